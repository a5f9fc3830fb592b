//! A snapshot and a log with right heads and checksums, and any rows: reading them never panics.
#![no_main]

mod support;

use libfuzzer_sys::fuzz_target;
use vestibule_engine::fuzzing::{read_tarantool, tarantool_file};

fuzz_target!(|input: (Vec<Vec<u8>>, Vec<Vec<u8>>, bool, Option<u16>)| {
    let (snapshot, log, is_compressed, cut) = input;
    let snapshot = tarantool_file("SNAP", &snapshot, false);
    let mut log = tarantool_file("XLOG", &log, is_compressed);
    if let Some(cut) = cut {
        log.truncate(usize::from(cut));
    }
    read_tarantool(support::directory(), &snapshot, &log).expect("the directory is writable");
});
