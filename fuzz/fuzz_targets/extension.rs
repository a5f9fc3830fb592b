//! Values that a request may carry: what is accepted is read and shown by what it is, whatever is
//! inside its extension values.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule_engine::fuzzing::printed;
use vestibule_wire::keys::{EXT_DATETIME, EXT_DECIMAL, EXT_ERROR, EXT_INTERVAL, EXT_UUID};
use vestibule_wire::msgpack::{Reader, write_ext};

fuzz_target!(|input: (i8, &[u8])| {
    let (kind, payload) = input;
    let mut value = Vec::new();
    write_ext(&mut value, kind, payload);
    let mut reader = Reader::new(&value);
    if reader.skip_checked().is_err() {
        return;
    }
    assert!(reader.is_empty());
    assert_eq!(Reader::new(&value).skip(), Ok(&value[..]));
    let text = printed(&value);
    let is_known = matches!(
        kind,
        EXT_DECIMAL | EXT_UUID | EXT_ERROR | EXT_DATETIME | EXT_INTERVAL
    );
    assert_eq!(text.starts_with("(extension: type"), !is_known, "{text}");
    assert!(!text.ends_with("<malformed>"), "{text}");
});
