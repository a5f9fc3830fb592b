//! A journal that no server wrote: records with whole checksums and any payload, then a flipped
//! byte and a cut. Reading it never panics, and what is sound once is sound again.
#![no_main]

use std::path::PathBuf;
use std::sync::OnceLock;
use std::{env, fs, process};

use libfuzzer_sys::fuzz_target;
use vestibule_engine::fuzzing::{journal_of, put_journal, replay};

fuzz_target!(|input: (Vec<Vec<u8>>, Option<(u16, u8)>, Option<u16>)| {
    let (payloads, flip, cut) = input;
    let mut file = journal_of(payloads.iter().map(Vec::as_slice));
    if let Some((at, bits)) = flip {
        let at = usize::from(at) % file.len();
        file[at] ^= bits;
    }
    if let Some(cut) = cut {
        file.truncate(usize::from(cut));
    }
    let directory = directory();
    put_journal(directory, &file).expect("the directory is writable");
    let strict = replay(directory, false);
    let lenient = replay(directory, true);
    if let Ok(rows) = strict {
        assert_eq!(lenient.ok(), Some(rows), "what is sound reads the same");
    }
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
