//! `check`, `dump` and `load` as processes, on what a server has written.

mod support;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use support::{Directory, Server, command, make_space, select_all};
use vestibule_actors::testing::RequestBuilder;
use vestibule_actors::wire::keys::{self, RequestType};

/// Runs the binary on a directory's data.
fn run(directory: &Directory, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = command(directory.path())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("the input is piped");
    // It may end before it has read everything.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().expect("the binary ends")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the output is text")
}

fn run_well(directory: &Directory, arguments: &[&str], input: &[u8]) -> String {
    let output = run(directory, arguments, input);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn a_flag_in_the_environment_is_also_on_as_1_or_yes() {
    let nothing = Directory::new();
    for (value, is_flag) in [
        ("1", true),
        ("0", true),
        ("yes", true),
        ("true", true),
        ("x", false),
    ] {
        let output = command(nothing.path())
            .arg("dump")
            .env("VESTIBULE_FORCE_RECOVERY", value)
            .output()
            .expect("the binary starts");
        let told = text(&output.stderr);
        assert_eq!(
            told.contains("there is no data"),
            is_flag,
            "{value}: {told}"
        );
        assert_eq!(told.contains("invalid value"), !is_flag, "{value}: {told}");
    }
}

/// A space by `[unsigned]` with an index by the second field, a user, and a thousand rows, some of
/// them with what JSON does not have. Half of it is in a checkpoint.
fn fill(server: &Server) {
    let mut peer = server.connect();
    make_space(&mut peer);
    for (procedure, args) in [
        (
            "box.space.rows:create_index",
            &b"\x92\xa1s\x82\xa5parts\x91\x92\x02\xa8unsigned\xa6unique\xc2"[..],
        ),
        (
            "box.schema.user.create",
            b"\x92\xa3bob\x81\xa8password\xa6secret",
        ),
        ("box.schema.user.grant", b"\x92\xa3bob\xa5super"),
        // Every directory is born with this one.
        ("box.schema.user.revoke", b"\x92\xa5guest\xa6public"),
    ] {
        let reply = peer.call(procedure, args);
        assert_eq!(reply.code, 0, "{procedure}: {:?}", reply.error_text());
    }
    for key in 0..1000 {
        if key == 500 {
            assert_eq!(peer.call("box.snapshot", &[0x90]).code, 0);
        }
        assert_eq!(peer.ask(&RequestBuilder::replace(key, key)).code, 0);
    }
    for odd in [
        &b"\x93\xcd\x10\0\x01\xc4\x02\0\xff"[..],
        b"\x93\xcd\x10\x01\x01\xca\x3f\x80\0\0",
        b"\x93\xcd\x10\x02\x01\xd8\x02................",
        b"\x93\xcd\x10\x03\x01\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        let insert = RequestBuilder::new(RequestType::Insert, 1)
            .uint(keys::SPACE_ID, 512)
            .pair(keys::TUPLE, odd);
        assert_eq!(peer.ask(&insert).code, 0);
    }
}

fn everything(server: &Server) -> Vec<u8> {
    server.connect().ask(&select_all()).body
}

#[test]
fn what_a_server_wrote_is_dumped_loaded_and_served_again() {
    let (from, to) = (Directory::new(), Directory::new());
    let server = Server::start(from.path(), &[]);
    fill(&server);
    let rows = everything(&server);
    assert!(server.terminate().success());

    let report = run_well(&from, &["check"], b"");
    assert!(report.contains("space 512 'rows': 1004 rows"), "{report}");
    assert!(report.contains(".ckpt: "), "{report}");
    assert!(report.ends_with("sound\n"), "{report}");
    let dump = run_well(&from, &["dump"], b"");
    run_well(&from, &["dump", "--output", "dump.jsonl"], b"");
    let file = fs::read(from.path().join("dump.jsonl")).expect("the dump is written");
    assert_eq!(text(&file), dump);

    run_well(&to, &["load"], dump.as_bytes());
    assert_eq!(run_well(&to, &["dump"], b""), dump);
    // All of it is there already, in a checkpoint or behind it.
    run_well(&from, &["load"], dump.as_bytes());
    let more = b"{\"space\":\"rows\",\"tuple\":[5000,1,null]}";
    run_well(&from, &["load"], more);
    let report = run_well(&from, &["check"], b"");
    assert!(
        report.contains("1005 rows") && report.ends_with("sound\n"),
        "{report}"
    );
    let server = Server::start(from.path(), &[]);
    let row = server.connect().ask(&RequestBuilder::select(1, 5000));
    assert_eq!(row.data::<Vec<(u64, u64, ())>>(), [(5000, 1, ())]);
    assert!(server.terminate().success());

    let server = Server::start(to.path(), &[]);
    assert_eq!(everything(&server), rows);
    let mut peer = server.connect();
    assert_eq!(peer.log_in("bob", "secret").code, 0);
    // The counter of spaces has come with it.
    let created = peer.call("box.schema.space.create", b"\x91\xa4next");
    assert_eq!(created.code, 0, "{:?}", created.error_text());
    assert!(created.error_mentions("next"));
    assert!(server.terminate().success());
}

#[test]
fn a_directory_that_is_served_is_left_to_its_server() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    for (tool, code) in [("check", 2), ("dump", 1), ("load", 1)] {
        let output = run(&directory, &[tool], b"");
        assert_eq!(output.status.code(), Some(code), "{tool}");
        let told = text(&output.stderr);
        assert!(told.contains("in use by another process"), "{tool}: {told}");
    }
    assert!(server.terminate().success());
}

#[test]
fn a_directory_without_data_is_refused_and_not_made() {
    let directory = Directory::new();
    for (tool, code) in [("check", 2), ("dump", 1)] {
        let output = run(&directory, &[tool], b"");
        assert_eq!(output.status.code(), Some(code), "{tool}");
        assert!(text(&output.stderr).contains("there is no data in"));
    }
    assert!(!directory.path().join("data").exists());
    let output = run(&directory, &["dump", "--no-such-option"], b"");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_directory_of_tarantools_files_is_neither_served_nor_loaded_into() {
    let directory = Directory::new();
    let data = directory.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("00000000000000000000.snap"), "SNAP\n").unwrap();
    for arguments in [&["serve", "--listen", "127.0.0.1:0"][..], &["load"]] {
        let output = run(&directory, arguments, b"");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let told = text(&output.stderr);
        assert!(told.contains("vestibule load --data DIRECTORY"), "{told}");
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "nothing is made");
    }
}

/// The limit's signal kills the process with half of it written, or is ignored, as this process was
/// told by its parent: then the write fails.
#[test]
fn a_load_that_meets_a_full_disk_leaves_the_directory_as_it_was() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    fill(&server);
    assert!(server.terminate().success());
    let before = run_well(&directory, &["dump"], b"");
    let rows = (10_000..20_000)
        .map(|key| format!("{{\"space\":\"rows\",\"tuple\":[{key},1]}}\n"))
        .collect::<String>();
    fs::write(directory.path().join("rows.jsonl"), rows).expect("it can be written");
    let stopped = std::process::Command::new("prlimit")
        .args(["--fsize=50000:50000", env!("CARGO_BIN_EXE_vestibule")])
        .args(["load", "--data", "data", "--input", "rows.jsonl"])
        .current_dir(directory.path())
        .output();
    let stopped = stopped.expect("prlimit (util-linux) can be run");
    assert!(!stopped.status.success());
    let told = text(&stopped.stderr);
    let is_told = told.contains("is the disk full?") && told.contains("nothing was loaded");
    assert!(is_told || stopped.status.code().is_none(), "{told}");
    let report = run_well(&directory, &["check"], b"");
    assert!(report.ends_with("sound\n"), "{report}");
    assert_eq!(run_well(&directory, &["dump"], b""), before);

    let load = ["load", "--input", "rows.jsonl"];
    run_well(&directory, &load, b"");
    let report = run_well(&directory, &["check"], b"");
    assert!(
        report.contains("11004 rows") && !report.contains("left by"),
        "{report}"
    );
}

#[test]
fn damage_is_told_by_check_and_crossed_by_dump_only_if_that_is_forced() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    fill(&server);
    assert!(server.terminate().success());
    // The checkpoint is the base of the newest file of the journal.
    let journal = newest_journal(&directory.path().join("data"));
    let mut bytes = fs::read(&journal).expect("there is a journal");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&journal, &bytes).expect("it can be written");

    let output = run(&directory, &["check"], b"");
    assert_eq!(output.status.code(), Some(1));
    let report = text(&output.stdout);
    assert!(report.contains("is damaged at offset"), "{report}");
    assert!(report.ends_with("damaged: 1 found\n"), "{report}");
    assert_eq!(run(&directory, &["dump"], b"").status.code(), Some(1));
    let rescued = run_well(&directory, &["dump", "--force-recovery"], b"");
    assert_eq!(rescued.matches("{\"space\":\"rows\"").count(), 1003);
    assert_eq!(fs::read(&journal).expect("it is there"), bytes);
}

#[test]
fn a_file_of_a_later_version_is_named_and_is_no_damage() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    fill(&server);
    assert!(server.terminate().success());
    let journal = newest_journal(&directory.path().join("data"));
    let mut bytes = fs::read(&journal).expect("there is a journal");
    bytes[8] = 99;
    fs::write(&journal, &bytes).expect("it can be written");
    for (tool, code) in [("check", 2), ("dump", 1), ("load", 1)] {
        let output = run(&directory, &[tool], b"");
        assert_eq!(output.status.code(), Some(code), "{tool}");
        let told = text(&output.stderr);
        assert!(
            told.contains("has format version 99, newer"),
            "{tool}: {told}"
        );
    }
}

fn newest_journal(data: &Path) -> std::path::PathBuf {
    let entries = fs::read_dir(data).expect("the directory is there");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    let journals = paths.filter(|path| path.extension().is_some_and(|own| own == "log"));
    journals.max().expect("there is a journal")
}

#[test]
fn help_has_examples() {
    let directory = Directory::new();
    for tool in ["check", "dump", "load"] {
        let help = run_well(&directory, &[tool, "--help"], b"");
        assert!(help.contains("Examples:") && help.contains("--data"));
    }
    let help = run_well(&directory, &["--help"], b"");
    assert!(help.contains("Without a command it serves"), "{help}");
    for command in ["serve", "check", "dump", "load", "bench"] {
        assert!(help.contains(command), "{command}");
    }
}
