//! A snapshot and a log with right heads and checksums, and any rows: reading them never panics.
#![no_main]

use std::path::PathBuf;
use std::sync::OnceLock;
use std::{env, fs, process};

use libfuzzer_sys::fuzz_target;
use vestibule_engine::fuzzing::{read_tarantool, tarantool_file};

fuzz_target!(|input: (Vec<Vec<u8>>, Vec<Vec<u8>>, bool, Option<u16>)| {
    let (snapshot, log, is_compressed, cut) = input;
    let snapshot = tarantool_file("SNAP", &snapshot, false);
    let mut log = tarantool_file("XLOG", &log, is_compressed);
    if let Some(cut) = cut {
        log.truncate(usize::from(cut));
    }
    read_tarantool(directory(), &snapshot, &log).expect("the directory is writable");
});

/// One for each process, in memory where the system has such a place.
fn directory() -> &'static PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() { memory } else { env::temp_dir() };
        let own = parent.join(format!("vestibule-fuzz-{}", process::id()));
        fs::create_dir_all(&own).expect("a directory can be made");
        own
    })
}
