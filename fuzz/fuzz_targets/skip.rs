//! Stepping over a MessagePack value: all of it or nothing, the same again, and what rmp-serde can
//! read can be stepped over.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule_wire::msgpack::Reader;

fuzz_target!(|bytes: &[u8]| {
    let mut reader = Reader::new(bytes);
    let before = reader.rest().len();
    match reader.skip() {
        Ok(value) => {
            assert_eq!(value.len() + reader.rest().len(), before);
            assert_eq!(value, &bytes[..value.len()]);
            let mut again = Reader::new(value);
            assert_eq!(again.skip().ok(), Some(value));
            for end in 0..value.len().min(64) {
                assert!(Reader::new(&value[..end]).skip().is_err(), "cut at {end}");
            }
        }
        Err(_) => assert_eq!(reader.rest().len(), before, "a failure moved the position"),
    }
});
