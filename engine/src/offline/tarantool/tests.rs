//! Files as Tarantool 3 writes them, made from the format, and what becomes of them.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};
use vestibule_wire::msgpack::{write_map_len, write_uint};

use super::file::block_of;
use super::*;
use crate::offline::{Contents, Findings, Import};
use crate::schema::system;
use crate::{EngineOptions, JournalSync};

mod foreign_keys;

/// Directories of Tarantool's files and of what they are loaded into, gone when the test is.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("vestibule-tarantool-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("from")).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.0.join("from").join(name), bytes).unwrap();
    }

    fn read(&self) -> Result<TarantoolData, TarantoolError> {
        TarantoolData::read(&[self.0.join("from")], &mut |_| ())
    }

    fn load(&self) -> Result<Converted, String> {
        let data = self.read().map_err(|error| error.to_string())?;
        let options = EngineOptions {
            journal_sync: JournalSync::Never,
            ..EngineOptions::new(self.0.join("to"))
        };
        let import = Import::begin(options, false, &mut |_| ()).unwrap();
        let loaded = data.load_into(import, &mut |_| ());
        loaded.map_err(|error| error.to_string())
    }

    /// The rows of a space, and nothing that is wrong with any.
    fn rows(&self, space: u32) -> Vec<Value> {
        let mut findings = Findings {
            is_thorough: true,
            on_damage: &mut |damage| panic!("{damage}"),
            on_file: &mut |_| (),
            progress: &mut |_| (),
        };
        let mut contents = Contents::read(&self.0.join("to"), &mut findings).unwrap();
        contents.check_references(&mut |damage| panic!("{damage}"));
        let rows = contents.rows(space);
        rows.map(|row| rmp_serde::from_slice(row).unwrap())
            .collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A file on its way.
struct Writer {
    bytes: Vec<u8>,
    lsn: u64,
}

fn pack(value: &Value) -> Vec<u8> {
    rmp_serde::to_vec(value).unwrap()
}

impl Writer {
    fn new(kind: &str, clock: u64) -> Self {
        let instance = "01234567-0123-0123-0123-0123456789ab";
        let head = format!(
            "{kind}\n0.13\nVersion: 3.2.0-0-g12345\nInstance: {instance}\n\
             VClock: {{1: {clock}}}\n\n"
        );
        let lsn = if kind == "SNAP" { 0 } else { clock };
        let bytes = head.into_bytes();
        Self { bytes, lsn }
    }

    fn block(&mut self, rows: &[u8], is_compressed: bool) {
        let packed = compress_to_vec(rows, CompressionLevel::Fastest);
        let rows = if is_compressed { &packed[..] } else { rows };
        self.bytes.extend_from_slice(&block_of(rows, is_compressed));
    }

    /// A row by its type and the keys of its body; `transaction` is how far it is from the first
    /// row of its transaction, and whether it is the last.
    fn row(
        &mut self,
        kind: u64,
        body: &[(u64, Vec<u8>)],
        transaction: Option<(u64, bool)>,
    ) -> Vec<u8> {
        self.lsn += 1;
        let mut head = vec![(0, kind), (2, 1), (3, self.lsn)];
        if let Some((distance, is_commit)) = transaction {
            head.push((8, distance));
            head.extend(is_commit.then_some((9, 1)));
        }
        let mut row = Vec::new();
        write_map_len(&mut row, head.len() as u32);
        for (key, value) in head {
            write_uint(&mut row, key);
            write_uint(&mut row, value);
        }
        write_map_len(&mut row, body.len() as u32);
        for (key, value) in body {
            write_uint(&mut row, *key);
            row.extend_from_slice(value);
        }
        row
    }

    fn insert(&mut self, space: u32, tuple: &Value) -> Vec<u8> {
        self.row(2, &[(0x10, pack(&json!(space))), (0x21, pack(tuple))], None)
    }

    fn end(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&[0xd5, 0x10, 0xad, 0xed]);
        self.bytes
    }
}

/// System rows of 3.x: a user with the two fields that 2.x has not, spaces, their indexes.
fn definitions() -> Vec<(u32, Value)> {
    let auth = json!({"chap-sha1": "FOZVZ6vbUTXQz9mnCzAywXmknuc="});
    let unique = json!({"unique": true});
    vec![
        (272, json!(["max_id", 601])),
        (272, json!(["version", 3, 2, 0])),
        (
            276,
            json!([1, "unicode", 1, "ICU", "", {"strength": "tertiary"}]),
        ),
        (
            280,
            json!([600, 1, "things", "memtx", 0, {}, [{"name": "n", "type": "unsigned"}]]),
        ),
        (280, json!([601, 1, "auto", "memtx", 0, {}, []])),
        (284, json!([1, 1, "auto_seq", 1, 1, i64::MAX, 1, 0, false])),
        (285, json!([1, 7])),
        (
            288,
            json!([280, 0, "primary", "tree", unique, [[0, "unsigned"]]]),
        ),
        (
            288,
            json!([600, 0, "pk", "tree", unique, [{"field": 0, "type": "unsigned"}]]),
        ),
        (
            288,
            json!([601, 0, "pk", "tree", unique, [[0, "unsigned"]]]),
        ),
        (
            304,
            json!([0, 1, "guest", "user", {"chap-sha1": "vhvewKp0tNyweZQ+cFKAlsyphfg="}, [], 0]),
        ),
        (304, json!([1, 1, "admin", "user", auth, [], 1_700_000_000])),
        (
            304,
            json!([32, 1, "alice", "user", auth, [], 1_700_000_000]),
        ),
        (312, json!([1, 0, "role", 2, 4])),
        (312, json!([1, 2, "space", 313, 1])),
        (312, json!([1, 32, "space", 600, 3])),
        (340, json!([601, 1, true, 0, ""])),
        (600, json!([1, "one"])),
        (600, json!([2, "two"])),
        (601, json!([7, "seven"])),
    ]
}

fn snapshot_of(rows: &[(u32, Value)], clock: u64) -> Vec<u8> {
    let mut snapshot = Writer::new("SNAP", clock);
    for (at, rows) in rows.chunks(5).enumerate() {
        let rows: Vec<u8> = rows
            .iter()
            .flat_map(|(space, row)| snapshot.insert(*space, row))
            .collect();
        snapshot.block(&rows, at % 2 == 0);
    }
    // Who was elected last.
    let elected = snapshot.row(30, &[(0, pack(&json!(3)))], None);
    snapshot.block(&elected, false);
    snapshot.end()
}

/// Rows 11 to 17: of which up to 12 are in the snapshot.
fn log() -> Writer {
    let mut log = Writer::new("XLOG", 10);
    let space = |id: u32| (0x10, pack(&json!(id)));
    for number in [2, 3] {
        let row = log.insert(600, &json!([number, "in the snapshot, or it was deleted"]));
        log.block(&row, false);
    }
    let ops = pack(&json!([["=", 2, "changed"]]));
    let update = [
        space(600),
        (0x15, vec![1]),
        (0x20, pack(&json!([1]))),
        (0x21, ops),
    ];
    let first = log.row(4, &update, Some((0, false)));
    let second = log.row(5, &[space(600), (0x20, pack(&json!([2])))], Some((1, true)));
    log.block(&first, false);
    log.block(&second, true);
    let ops = pack(&json!([["+", 1, 1]]));
    let upsert = |tuple| [space(600), (0x21, pack(&tuple)), (0x28, ops.clone())];
    let rows = [
        log.row(9, &upsert(json!([5, "five"])), None),
        log.insert(601, &json!([9, "nine"])),
    ];
    log.block(&rows.concat(), true);
    // What nobody was told to be written.
    let open = log.row(
        5,
        &[space(600), (0x20, pack(&json!([1])))],
        Some((0, false)),
    );
    log.block(&open, false);
    log
}

#[test]
fn a_snapshot_and_the_log_behind_it_come_to_their_rows() {
    let scratch = Scratch::new();
    scratch.write(
        "00000000000000000012.snap",
        &snapshot_of(&definitions(), 12),
    );
    scratch.write("00000000000000000010.xlog", &log().end());
    scratch.write("00000000000000000099.snap.inprogress", b"SNAP");
    let converted = scratch.load().unwrap();
    assert!(converted.written > 10, "{converted:?}");
    assert_eq!(
        scratch.rows(600),
        [json!([1, "changed"]), json!([5, "five"])]
    );
    assert_eq!(scratch.rows(601), [json!([7, "seven"]), json!([9, "nine"])]);
    // A row of the log moved it on.
    assert_eq!(scratch.rows(system::SEQUENCE_DATA), [json!([1, 9])]);
    let users: Vec<_> = scratch
        .rows(system::USER)
        .into_iter()
        .map(|row| row[2].clone())
        .collect();
    assert!(users.contains(&json!("alice")), "{users:?}");
    let rights = scratch.rows(system::PRIV);
    assert!(
        rights.contains(&json!([1, 32, "space", 600, 3])),
        "{rights:?}"
    );
    // Taken from guest there, and so here.
    assert!(
        !rights.iter().any(|row| row[1] == 0 && row[2] == "universe"),
        "{rights:?}"
    );
    // Once more: everything is there.
    assert_eq!(scratch.load().map(|converted| converted.written), Ok(0));
}

#[test]
fn a_torn_tail_of_a_log_is_left_out_and_one_of_a_snapshot_refused() {
    let log = log().end();
    let snapshot = snapshot_of(&definitions(), 12);
    let head = Writer::new("XLOG", 10).bytes.len();
    let mut counts = Vec::new();
    for end in (head..log.len()).rev() {
        let scratch = Scratch::new();
        scratch.write("00000000000000000012.snap", &snapshot);
        scratch.write("00000000000000000010.xlog", &log[..end]);
        let data = scratch.read().unwrap();
        assert!(!data.left_out.is_empty(), "cut at {end}");
        counts.push(data.model.rows(600).count());
    }
    counts.dedup();
    // Row 5 goes, then row 2 comes back with the change of row 1.
    assert_eq!(counts, [2, 1, 2]);
    let scratch = Scratch::new();
    scratch.write("00000000000000000012.snap", &snapshot[..snapshot.len() - 4]);
    let told = scratch.read().unwrap_err().to_string();
    assert!(told.contains("the snapshot is cut short"), "{told}");
}

#[test]
fn a_flipped_bit_is_found_wherever_rows_are() {
    let scratch = Scratch::new();
    scratch.write(
        "00000000000000000012.snap",
        &snapshot_of(&definitions(), 12),
    );
    let log = log().end();
    let head = Writer::new("XLOG", 10).bytes.len();
    for at in head..log.len() {
        let mut log = log.clone();
        log[at] ^= 1 << (at % 8);
        scratch.write("00000000000000000010.xlog", &log);
        // The sum of the block before and the filler are of no account, and a size that is too
        // large cannot be told from a torn tail.
        match scratch.read() {
            Ok(data) => assert!(data.model.rows(600).count() > 0, "flipped at {at}"),
            Err(error) => assert!(error.to_string().contains(".xlog is damaged at"), "{error}"),
        }
    }
}

#[test]
fn a_log_that_is_missing_between_others_is_an_error() {
    let scratch = Scratch::new();
    scratch.write(
        "00000000000000000012.snap",
        &snapshot_of(&definitions(), 12),
    );
    scratch.write("00000000000000000010.xlog", &log().end());
    scratch.write("00000000000000000030.xlog", &Writer::new("XLOG", 30).end());
    let told = scratch.load().unwrap_err();
    assert!(
        told.contains("30.xlog goes on from {1: 30}, but the files before it end at"),
        "{told}"
    );
    let scratch = Scratch::new();
    scratch.write("00000000000000000010.xlog", &log().end());
    let told = scratch.load().unwrap_err();
    assert!(told.contains("there is no snapshot"), "{told}");
}

#[test]
fn all_that_cannot_be_held_is_told_and_nothing_is_loaded() {
    let scratch = Scratch::new();
    let mut rows = definitions();
    let unique = json!({"unique": true});
    let body = "function() return 1 end";
    rows.extend([
        (280, json!([610, 1, "cold", "vinyl", 0, {}, []])),
        (
            288,
            json!([610, 0, "pk", "tree", unique, [[0, "unsigned"]]]),
        ),
        (
            288,
            json!([600, 1, "map", "rtree", {"unique": false}, [[1, "array"]]]),
        ),
        (
            296,
            json!([
                70,
                1,
                "run",
                0,
                "LUA",
                body,
                "function",
                [],
                "any",
                "none",
                "none",
                false,
                true,
                true,
                ["LUA"],
                {},
                "",
                "2024",
                "2024",
                []
            ]),
        ),
        (312, json!([1, 32, "space", 610, 1])),
        (364, json!([600, "positive", false, "SQL", "n > 0", true])),
        (601, json!([8, "x".repeat(2 << 20)])),
    ]);
    rows.sort_by_key(|(space, _)| *space);
    scratch.write("00000000000000000012.snap", &snapshot_of(&rows, 12));
    let told = scratch.load().unwrap_err();
    for what in [
        "space 'cold' (610)",
        "index of space 600",
        "check constraint",
    ] {
        assert_eq!(told.matches(what).count(), 1, "{what}: {told}");
    }
    assert!(told.ends_with("nothing was loaded"), "{told}");
    assert!(told.len() < 4000, "{told}");
    assert_eq!(scratch.rows(system::SEQUENCE), [Value::Null; 0]);
}

#[test]
fn rows_of_any_bytes_are_taken_or_refused_and_nothing_panics() {
    let scratch = Scratch::new();
    let mut random = fastrand::Rng::with_seed(3);
    scratch.write(
        "00000000000000000012.snap",
        &snapshot_of(&definitions(), 12),
    );
    for _ in 0..3000 {
        let mut log = Writer::new("XLOG", 12);
        let space = random
            .choice([280, 285, 288, 304, 312, 330, 340, 600, 601])
            .unwrap();
        let ops = pack(&json!([["=", 2, "changed"], ["+", 0, 1]]));
        let key = pack(&json!([random.u32(0..3)]));
        let tuple = pack(&json!([
            random.u32(0..700),
            0,
            "text",
            "tree",
            {},
            [[0, "unsigned"]]
        ]));
        let body = [
            (0x10, pack(&json!(space))),
            (0x20, key),
            (0x21, if random.bool() { tuple } else { ops.clone() }),
            (0x28, ops),
        ];
        let mut row = log.row(random.u64(2..10), &body, None);
        for _ in 0..random.usize(0..3) {
            let at = random.usize(0..row.len());
            row[at] ^= random.u8(..);
        }
        row.truncate(random.usize(row.len() / 2..=row.len()));
        log.block(&row, false);
        scratch.write("00000000000000000012.xlog", &log.end());
        drop(scratch.read());
    }
}
