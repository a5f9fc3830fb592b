//! Dumps of directories, loaded into others.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use vestibule_wire::msgpack::{Reader, write_uint};

use super::directory::require_data;
use super::error::ToolError;
use super::load::{Lines, Loaded, line_size_max};
use super::{check, dump};
use crate::json::{self, tests::any_value};
use vestibule_engine::journal::STAGING;
use vestibule_engine::offline::{Contents, Findings, Import};
use vestibule_engine::{EngineOptions, JournalSync};

/// Definitions of the space `things`, by `[unsigned]`, with a unique index by the second field.
const DEFINITIONS: &str = r#"
{"space":"_user","tuple":[32,1,"bob","user",{"chap-sha1":"m1ADQS3xS0pJB+ZlBBRDjhMCZDc="}]}
{"space":"_space","tuple":[600,1,"things","memtx",0,{},[]]}
{"space":"_index","tuple":[600,0,"pk","tree",{"unique":true},[[0,"unsigned"]]]}
"#;
const UNIQUE: &str =
    r#"{"space":"_index","tuple":[600,1,"u","tree",{"unique":true},[[1,"unsigned"]]]}"#;

/// A directory that is gone when the test is.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("vestibule-tools-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn load(&self, text: &str, replaces: bool) -> Result<Loaded, ToolError> {
        let options = EngineOptions::new(&self.0).journal_sync(JournalSync::Never);
        let import = Import::begin(options, replaces, &mut |_| ()).unwrap();
        let lines = Lines {
            input: text.as_bytes(),
            name: "dump".to_owned(),
            size: 0,
            size_max: 10_000,
            line: 0,
            done: 0,
        };
        lines.load_into(import)
    }

    fn loaded(&self, text: &str) -> Loaded {
        self.load(text, false).unwrap()
    }

    fn refusal(&self, text: &str) -> String {
        self.load(text, false).unwrap_err().to_string()
    }

    fn dump(&self) -> String {
        self.dump_only(None)
    }

    fn dump_only(&self, only: Option<u32>) -> String {
        let mut out = Vec::new();
        dump::write(&self.contents(), only, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn contents(&self) -> Contents {
        let mut findings = Findings {
            is_thorough: true,
            on_damage: &mut |damage| panic!("{damage}"),
            on_file: &mut |_| (),
            progress: &mut |_| (),
        };
        Contents::read(&self.0, &mut findings).unwrap()
    }

    fn check(&self) -> (usize, String) {
        let mut out = Vec::new();
        let damages = check::examine(&self.0, &mut out).unwrap();
        (damages, String::from_utf8(out).unwrap())
    }

    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        files(&self.0)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths
        .map(|path| (path.clone(), fs::read(path).unwrap_or_default()))
        .collect();
    files.sort();
    files
}

/// A line of the space `things`.
fn line(tuple: &[u8]) -> String {
    let mut out = b"{\"space\":\"things\",\"tuple\":".to_vec();
    json::write_value(&mut Reader::new(tuple), &mut out).unwrap();
    out.extend_from_slice(b"}\n");
    String::from_utf8(out).unwrap()
}

/// A value that a client may send.
fn storable_value() -> impl Strategy<Value = Vec<u8>> {
    any_value().prop_filter("its extension values are of their types", |value| {
        Reader::new(value).skip_checked().is_ok()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_dump_that_is_loaded_gives_the_same_dump_and_the_same_bytes(
        values in prop::collection::vec(storable_value(), 1..40)
    ) {
        let mut tuples: Vec<Vec<u8>> = Vec::new();
        for (key, value) in (0..).zip(&values) {
            let mut tuple = vec![0x92];
            write_uint(&mut tuple, key * 100);
            tuple.extend_from_slice(value);
            tuples.push(tuple);
        }
        let rows: String = tuples.iter().map(|tuple| line(tuple)).collect();
        let (first, second) = (Scratch::new(), Scratch::new());
        first.loaded(&(DEFINITIONS.to_owned() + &rows));
        let text = first.dump();
        let loaded = second.loaded(&text);
        prop_assert_eq!(loaded.written, 3 + tuples.len() as u64);
        prop_assert_eq!(second.dump(), text);
        let contents = second.contents();
        prop_assert!(contents.rows(600).eq(tuples.iter().map(Vec::as_slice)));
    }
}

#[test]
fn a_dump_of_a_space_has_its_definition_and_nothing_else() {
    let scratch = Scratch::new();
    let other = r#"{"space":"_space","tuple":[601,1,"other","memtx",0,{},[]]}"#;
    scratch.loaded(&format!("{DEFINITIONS}{other}\n{}", line(&[0x91, 1])));
    let text = scratch.dump_only(Some(600));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines,
        [
            r#"{"vestibule_dump":1}"#,
            r#"{"space":"_space","tuple":[600,1,"things","memtx",0,{},[]]}"#,
            r#"{"space":"_index","tuple":[600,0,"pk","tree",{"unique":true},[[0,"unsigned"]]]}"#,
            r#"{"space":"things","tuple":[1]}"#,
            r#"{"rows":3}"#,
        ]
    );
}

#[test]
fn a_directory_that_cannot_be_read_is_not_called_empty() {
    let scratch = Scratch::new();
    assert!(matches!(
        require_data(&scratch.0),
        Err(ToolError::NoData { .. })
    ));
    // A link to itself is refused to everybody; a directory's permissions are not to root.
    std::os::unix::fs::symlink(&scratch.0, &scratch.0).unwrap();
    let told = require_data(&scratch.0).unwrap_err();
    fs::remove_file(&scratch.0).unwrap();
    let expected = format!("cannot read {}: ", scratch.0.display());
    assert!(told.to_string().starts_with(&expected), "{told}");
}

#[test]
fn a_bad_line_is_named_and_nothing_is_loaded() {
    let scratch = Scratch::new();
    scratch.loaded(DEFINITIONS);
    scratch.loaded(&line(&[0x92, 1, 1]));
    let before = scratch.files();
    let good = format!("{UNIQUE}\n{}", line(&[0x92, 2, 2]));
    for (bad, reason) in [
        ("{", "dump:3: EOF while parsing an object at column 1"),
        (r#"{"space":"things"}"#, "neither a row"),
        (r#"[null,"things",[3,3],null]"#, "an array, where an object"),
        (r#"{"space":"things","tuple":[3,3],"x":1}"#, "unknown field"),
        (r#"{"space":"things","tuple":{"a":1}}"#, "not an array"),
        (
            r#"{"space":"nothing","tuple":[3]}"#,
            "Space 'nothing' does not exist",
        ),
        (
            r#"{"space":"things","tuple":["3",3]}"#,
            "expected unsigned, got string",
        ),
        (
            r#"{"space":"things","tuple":[3,2]}"#,
            "Duplicate key exists in unique index \"u\"",
        ),
        (
            r#"{"space":"things","tuple":[1,7]}"#,
            "with old tuple - [1, 1] and new tuple - [1, 7]",
        ),
        (
            r#"{"space":"_space","tuple":[600,1,"s","memtx",0,{},[]]}"#,
            "Duplicate key",
        ),
        (
            r#"{"space":"_space","tuple":[601,1,"things","memtx",0,{},[]]}"#,
            "Duplicate key",
        ),
        (
            r#"{"space":"things","tuple":[{"$map":[[1]]}]}"#,
            "invalid length 1",
        ),
        (r#"{"vestibule_dump":1}"#, "not the first"),
        (r#"{"rows":3}"#, "3 rows should be above, not 2"),
        (
            &"x".repeat(10_001),
            "longer than 10000 bytes: see --tuple-size-max",
        ),
    ] {
        let told = scratch.refusal(&format!("{good}{bad}\n"));
        assert!(
            told.starts_with("dump:3: ") && told.contains(reason),
            "{bad}: {told}"
        );
        assert!(told.ends_with("nothing was loaded"), "{told}");
        assert!(scratch.files() == before, "{bad}");
    }
}

#[test]
fn a_dump_that_is_cut_short_or_of_a_later_version_is_refused() {
    let scratch = Scratch::new();
    scratch.loaded(DEFINITIONS);
    let text = scratch.dump();
    let other = Scratch::new();
    let cut = &text[..text.len() - "{\"rows\":3}\n".len()];
    assert!(other.refusal(cut).contains("cut short"));
    assert!(
        other
            .refusal(&format!("{text}{UNIQUE}"))
            .contains("after its last line")
    );
    let later = text.replacen(":1}", ":2}", 1);
    assert!(
        other
            .refusal(&later)
            .starts_with("dump:1: format version 2, newer")
    );
    assert_eq!(other.contents().last_sequence, 0);
}

#[test]
fn what_is_there_is_left_alone_and_replaced_only_if_that_is_asked_for() {
    let scratch = Scratch::new();
    scratch.loaded(DEFINITIONS);
    scratch.loaded(&(line(&[0x92, 1, 1]) + &line(&[0x92, 2, 2])));
    let text = scratch.dump();
    assert_eq!(
        scratch.loaded(&text),
        Loaded {
            written: 0,
            same: 5
        }
    );
    let new = line(&[0x92, 1, 9]);
    assert!(scratch.refusal(&new).contains("Duplicate key"));
    assert_eq!(
        scratch.load(&new, true).unwrap(),
        Loaded {
            written: 1,
            same: 0
        }
    );
    // A definition is altered as a client would.
    let renamed = r#"{"space":"_space","tuple":[600,1,"t","memtx",0,{},[]]}"#;
    scratch.load(renamed, true).unwrap();
    assert!(scratch.dump().contains(r#"{"space":"t","tuple":[1,9]}"#));
}

#[test]
fn a_row_with_an_extension_value_that_is_not_of_its_type_is_not_loaded() {
    let scratch = Scratch::new();
    scratch.loaded(DEFINITIONS);
    let text = scratch.dump();
    // A decimal without a sign.
    let row = r#"{"space":"things","tuple":[1,{"$ext":[1,"AhUA"]}]}"#;
    let told = scratch.load(row, false).unwrap_err().to_string();
    assert!(told.contains("Invalid MsgPack - packet body"), "{told}");
    assert_eq!(scratch.dump(), text);
}

#[test]
fn rows_are_loaded_without_the_defaults_of_their_fields() {
    let scratch = Scratch::new();
    let fields = r#"{"name":"id"},{"name":"a","default":1},{"name":"b","default":2}"#;
    scratch.loaded(&format!(
        r#"{{"space":"_space","tuple":[601,1,"d","memtx",0,{{}},[{fields}]]}}
        {{"space":"_index","tuple":[601,0,"pk","tree",{{"unique":true}},[[0,"unsigned"]]]}}
        {{"space":"d","tuple":[1,null,null]}}"#,
    ));
    let text = scratch.dump();
    assert!(text.contains(r#"{"space":"d","tuple":[1,null,null]}"#));
}

#[test]
fn a_load_that_was_killed_counts_for_nothing() {
    let scratch = Scratch::new();
    scratch.loaded(DEFINITIONS);
    let text = scratch.dump();
    let options = EngineOptions::new(&scratch.0);
    let mut import = Import::begin(options, false, &mut |_| ()).unwrap();
    let things = vestibule_wire::request::IdOrName::Id(600);
    import.put(things, &[0x91, 1]).unwrap();
    assert!(scratch.0.join(STAGING).exists());
    // As if the process ended here.
    drop(import);
    assert_eq!(scratch.dump(), text);
    let (damages, report) = scratch.check();
    assert_eq!(damages, 0);
    assert!(
        report.contains("left by a load that did not end"),
        "{report}"
    );
    scratch.loaded(&line(&[0x91, 2]));
    assert!(!scratch.0.join(STAGING).exists());
    assert!(scratch.dump().contains(r#"{"space":"things","tuple":[2]}"#));
}

#[test]
fn numbers_of_spaces_are_not_given_again_after_a_load() {
    let scratch = Scratch::new();
    let counter = |id| format!("{{\"space\":\"_schema\",\"tuple\":[\"max_id\",{id}]}}");
    scratch.loaded(&counter(700));
    scratch.load(&counter(650), true).unwrap();
    assert!(scratch.dump().contains("[\"max_id\",700]"));
}

#[test]
fn every_damage_is_told_with_file_offset_and_sequence_number() {
    let scratch = Scratch::new();
    scratch.loaded(DEFINITIONS);
    scratch.loaded(&line(&[0x92, 1, 1]));
    scratch.loaded(&line(&[0x92, 2, 2]));
    scratch.loaded(&line(&[0x92, 3, 3]));
    let (damages, report) = scratch.check();
    assert_eq!(damages, 0, "{report}");
    assert!(report.contains("space 600 'things': 3 rows\nlast sequence number: 6\nsound\n"));
    let journal = |first: u64| scratch.0.join(format!("journal-{first:020}.log"));
    for first in [4, 5] {
        let mut bytes = fs::read(journal(first)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(journal(first), bytes).unwrap();
    }
    let mut torn = fs::read(journal(6)).unwrap();
    torn.extend_from_slice(b"torn");
    let size = torn.len();
    fs::write(journal(6), torn).unwrap();
    let before = scratch.files();
    let (damages, report) = scratch.check();
    for sequence in [4, 5] {
        let file = journal(sequence);
        let told = format!(
            "damage: journal file {} is damaged at offset 32, where record {sequence} should be",
            file.display()
        );
        assert!(report.contains(&told), "{report}");
    }
    assert_eq!(damages, 2, "{report}");
    let tail = format!("a torn tail of 4 bytes from offset {} on", size - 4);
    assert!(report.contains(&tail), "{report}");
    assert!(scratch.files() == before, "nothing is changed");
}

#[test]
fn rights_that_were_taken_back_stay_so() {
    let (from, to) = (Scratch::new(), Scratch::new());
    let revoked = r#"{"space":"_priv","deleted":[1,0,"role",2,4]}"#;
    // A row of another version of the program is told from this one's, and left alone without
    // --replace.
    let other = r#"{"space":"_priv","deleted":[1,2,"space",281,3]}"#;
    let unborn = r#"{"space":"_priv","deleted":[1,32,"role",2,4]}"#;
    assert!(from.refusal(other).contains("Duplicate key exists"));
    assert!(from.refusal(unborn).contains("no directory is born with"));
    from.load(other, true).unwrap();
    assert_eq!(
        from.loaded(revoked),
        Loaded {
            written: 1,
            same: 0
        }
    );
    assert_eq!(
        from.loaded(revoked),
        Loaded {
            written: 0,
            same: 1
        }
    );

    let dump = from.dump();
    assert!(
        dump.contains(revoked) && dump.contains("[1,2,\"space\",281,1]"),
        "{dump}"
    );
    assert!(dump.ends_with("{\"rows\":2}\n"), "{dump}");
    assert_eq!(
        to.loaded(&dump),
        Loaded {
            written: 2,
            same: 0
        }
    );
    assert_eq!(to.dump(), dump);
    let only = from.dump_only(Some(280));
    assert!(!only.contains("deleted"), "{only}");
}

#[test]
fn data_is_loaded_whatever_admin_may_do() {
    let admin_reads = r#"{"space":"_priv","tuple":[1,1,"universe",0,1]}"#;
    let (from, to) = (Scratch::new(), Scratch::new());
    from.loaded(&format!(
        "{DEFINITIONS}{admin_reads}\n{}",
        line(b"\x92\x01\x02")
    ));
    let dump = from.dump();
    to.loaded(&dump);
    assert_eq!(to.dump(), dump);
    to.loaded(&line(b"\x92\x02\x02"));
}

#[test]
fn no_bound_of_tuples_makes_that_of_lines_wrap() {
    assert!(line_size_max(0) > 0);
    assert!(line_size_max(1 << 20) > 1 << 24);
    assert_eq!(line_size_max(usize::MAX), usize::MAX);
    let scratch = Scratch::new();
    let options = EngineOptions::new(&scratch.0);
    let lines = Lines {
        input: DEFINITIONS.as_bytes(),
        name: "dump".to_owned(),
        size: 0,
        size_max: usize::MAX,
        line: 0,
        done: 0,
    };
    let import = Import::begin(options, false, &mut |_| ()).unwrap();
    assert_eq!(lines.load_into(import).unwrap().written, 3);
}

/// A sequence may have been set back behind the rows that are there.
#[test]
fn a_sequence_goes_on_where_its_dump_says_or_else_behind_the_rows() {
    let definitions = r#"
{"space":"_sequence","tuple":[7,1,"s",1,1,1000,1,0,false]}
{"space":"_sequence_data","tuple":[7,5]}
{"space":"_space_sequence","tuple":[600,7,false,0,""]}
"#;
    let (first, second) = (Scratch::new(), Scratch::new());
    let rows = line(&[0x91, 9]) + &line(&[0x91, 3]);
    first.loaded(&(DEFINITIONS.to_owned() + definitions + &rows));
    let text = first.dump();
    assert!(
        text.contains(r#"{"space":"_sequence_data","tuple":[7,5]}"#),
        "{text}"
    );
    second.loaded(&text);
    assert_eq!(second.dump(), text);
    // Rows alone are as those of a client.
    second.loaded(&line(&[0x91, 8]));
    assert!(second.dump().contains(r#""_sequence_data","tuple":[7,8]}"#));
}

#[test]
fn an_empty_input_is_refused_and_the_dump_of_an_empty_directory_is_not() {
    let scratch = Scratch::new();
    for nothing in ["", "\n \n"] {
        assert_eq!(
            scratch.refusal(nothing),
            "dump is empty; nothing was loaded"
        );
    }
    let loaded = scratch.loaded("{\"vestibule_dump\":1}\n{\"rows\":0}\n");
    assert_eq!(loaded, Loaded::default());
}
