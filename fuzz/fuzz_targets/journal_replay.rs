//! A journal that no server wrote: records with whole checksums and any payload, then a flipped
//! byte and a cut. Reading it never panics, and what is sound once is sound again.
#![no_main]

mod support;

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
    let directory = support::directory();
    put_journal(directory, &file).expect("the directory is writable");
    let strict = replay(directory, false);
    let lenient = replay(directory, true);
    if let Ok(rows) = strict {
        assert_eq!(lenient.ok(), Some(rows), "what is sound reads the same");
    }
});
