//! Header and body of a request, as a session decodes them: no bytes panic, and what was decoded
//! once is decoded the same by Tx, which does not check the bytes again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule_wire::header::read_header;
use vestibule_wire::keys::RequestType;
use vestibule_wire::request::{decode, decode_checked};

fuzz_target!(|content: &[u8]| {
    let Ok((header, body)) = read_header(content) else {
        return;
    };
    let Some(request) = RequestType::from_code(header.request_type) else {
        return;
    };
    let decoded = decode(request, body);
    if decoded.is_ok() {
        assert_eq!(decode_checked(request, body), decoded, "{request:?}");
    }
});
