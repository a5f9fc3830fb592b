//! The reply reader, as clients use it: no bytes panic, nothing is read twice, and the accessors
//! agree with each other.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule_wire::reply::ReplyFrame;

/// Larger than any input.
const LENGTH_MAX: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Ok(Some(frame)) = ReplyFrame::read(rest, LENGTH_MAX) {
        assert!(frame.size > 0 && frame.size <= rest.len());
        let again = ReplyFrame::read(&rest[..frame.size], LENGTH_MAX);
        assert!(
            matches!(again, Ok(Some(_))),
            "a frame is whole without what follows"
        );
        if frame.error().is_some() {
            assert!(frame.error_code().is_some());
        }
        let _ = (frame.error_text(), frame.data(), frame.position());
        let _ = (frame.event(), frame.id());
        rest = &rest[frame.size..];
    }
});
