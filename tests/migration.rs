//! Files that Debian's Tarantool 2.6 has written, and was killed over, loaded by the real binary:
//! they come to the same rows. Files of Tarantool 3 are made from the format, in the tests of the
//! engine.
//!
//! Without Tarantool this fails and says so; it is left out by `VESTIBULE_TEST_SKIP_INTEROP=1`
//! alone.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use support::{Directory, command, tarantool};

/// Has Tarantool make its files in a directory.
fn make(program: &str, directory: &Directory, what: &str) -> PathBuf {
    let files = directory.path().join("tarantool");
    fs::create_dir(&files).expect("the directory is fresh");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/migration/make.lua");
    let made = Command::new(program)
        .arg(script)
        .arg(&files)
        .arg(what)
        .output();
    let made = made.expect("Tarantool starts");
    let is_made = files.join("expected").exists();
    assert!(is_made, "{}", String::from_utf8_lossy(&made.stderr));
    files
}

fn run(directory: &Directory, arguments: &[&str]) -> Output {
    let mut command = command(directory.path());
    command.args(arguments).output().expect("the binary starts")
}

fn load(directory: &Directory, files: &Path) -> Output {
    run(
        directory,
        &["load", "--input", files.to_str().expect("a plain path")],
    )
}

/// Rows by their spaces, whatever the order of keys in maps.
fn rows(lines: &str) -> BTreeSet<String> {
    let lines = lines.lines().map(|line| {
        let line: Value = serde_json::from_str(line).expect("a line of JSON");
        line.to_string()
    });
    lines.collect()
}

#[test]
fn files_of_a_killed_tarantool_come_to_the_same_rows() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let files = make(&program, &directory, "held");
    let loaded = load(&directory, &files);
    let told = String::from_utf8_lossy(&loaded.stderr).into_owned();
    assert!(loaded.status.success(), "{told}");
    assert!(
        told.contains("was not closed"),
        "its log has no end: {told}"
    );
    let checked = run(&directory, &["check"]);
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stdout)
    );
    let dumped = run(&directory, &["dump"]);
    let dumped = rows(&String::from_utf8(dumped.stdout).expect("a dump is text"));
    let expected = fs::read_to_string(files.join("expected")).expect("it was made");
    // Users that every directory is born with are in no dump, unless they were changed.
    let born = ["\"guest\"", "\"public\"", "\"replication\"", "\"super\""];
    let expected: Vec<_> = expected
        .lines()
        .filter(|line| !line.contains("_user") || !born.iter().any(|name| line.contains(name)))
        .collect();
    let expected = rows(&expected.join("\n"));
    let lost: Vec<_> = expected.difference(&dumped).collect();
    assert!(
        lost.is_empty(),
        "{} lost, for example {:?}",
        lost.len(),
        &lost[..lost.len().min(9)]
    );
    let is_data = |row: &&String| row.contains("\"tuple\"") && !row.contains("\"space\":\"_");
    let invented: Vec<_> = dumped.difference(&expected).filter(is_data).collect();
    assert!(invented.is_empty(), "{invented:?}");
    // Where a sequence stands that gives values to rows is in no row of its own in Tarantool.
    let moved = r#"{"space":"_sequence_data","tuple":[1,13]}"#;
    assert!(dumped.contains(moved), "the late rows count");
    let deleted = dumped
        .iter()
        .any(|row| row.contains("deleted") || row.contains("[1,0,\"universe\""));
    assert!(deleted, "what was taken from guest");
    assert_eq!(dump_of_named(&files), dumped, "files by their names");
}

/// What files come to that are named one by one.
fn dump_of_named(files: &Path) -> BTreeSet<String> {
    let directory = Directory::new();
    let entries = fs::read_dir(files).expect("it is there");
    let named = entries.map(|file| file.expect("it has a name").path());
    let is_data = |path: &PathBuf| {
        path.extension()
            .is_some_and(|end| end == "snap" || end == "xlog")
    };
    let named: Vec<_> = named.filter(is_data).collect();
    let named = named
        .iter()
        .map(|path| path.to_str().expect("a plain path"));
    let arguments: Vec<_> = ["load", "--input"].into_iter().chain(named).collect();
    let loaded = run(&directory, &arguments);
    assert!(
        loaded.status.success(),
        "{}",
        String::from_utf8_lossy(&loaded.stderr)
    );
    let dumped = run(&directory, &["dump"]);
    rows(&String::from_utf8(dumped.stdout).expect("a dump is text"))
}

#[test]
fn what_cannot_be_held_is_told_all_at_once_and_nothing_is_loaded() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let files = make(&program, &directory, "unheld");
    let loaded = load(&directory, &files);
    let told = String::from_utf8_lossy(&loaded.stderr).into_owned();
    assert_eq!(loaded.status.code(), Some(1), "{told}");
    for what in ["space 'cold'", "rtree", "nothing was loaded"] {
        assert!(told.contains(what), "{what}: {told}");
    }
    let dumped = run(&directory, &["dump"]);
    let dumped = String::from_utf8_lossy(&dumped.stdout).into_owned();
    assert!(!dumped.contains("tuple"), "{dumped}");
}

#[cfg(feature = "collations")]
#[test]
fn indexes_with_collations_come_with_a_tarantools_files_and_with_dumps() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let loaded = load(&directory, &make(&program, &directory, "collated"));
    let told = String::from_utf8_lossy(&loaded.stderr).into_owned();
    assert!(loaded.status.success(), "{told}");
    let dumped = run(&directory, &["dump"]).stdout;
    let text = String::from_utf8_lossy(&dumped).into_owned();
    for row in [
        r#"{"space":"words","tuple":[4,"APA"]}"#,
        r#"{"collation":2,"field":1,"type":"string"}"#,
        r#"{"collation":213,"field":1,"type":"string"}"#,
        r#"{"collation":2,"name":"word","type":"string"}"#,
    ] {
        assert!(
            rows(&text).iter().any(|own| own.contains(row)),
            "{row}: {text}"
        );
    }
    assert!(!text.contains("Straße"), "{text}");
    // A dump is loaded, and comes to the same.
    let again = Directory::new();
    let file = directory.path().join("dump");
    fs::write(&file, &dumped).expect("there is room");
    let loaded = load(&again, &file);
    assert!(
        loaded.status.success(),
        "{}",
        String::from_utf8_lossy(&loaded.stderr)
    );
    assert_eq!(run(&again, &["dump"]).stdout, dumped);
    assert!(run(&again, &["check"]).status.success());
}

#[cfg(not(feature = "collations"))]
#[test]
fn collations_of_a_tarantools_files_are_told_by_a_build_without_them() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let loaded = load(&directory, &make(&program, &directory, "collated"));
    let told = String::from_utf8_lossy(&loaded.stderr).into_owned();
    assert_eq!(loaded.status.code(), Some(1), "{told}");
    let why = "space 'words' (517): this build has no collations: 'unicode_ci' needs one with the \
               feature 'collations'";
    assert!(told.contains(why), "{told}");
}
