//! A session of a real runtime, on loopback, fed with bytes: requests with a right head and any
//! body, then any bytes. Every reply can be read, and the next connection is served.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use vestibule_actors::config::Administrators;
use vestibule_actors::testing::{Harness, Script, config};

fuzz_target!(|input: (Vec<(u8, u8, Vec<u8>)>, Vec<u8>)| {
    let (requests, tail) = input;
    let mut bytes = Vec::new();
    for (sync, (request, stream, body)) in (1u8..).zip(requests.iter().take(100)) {
        write_request(&mut bytes, *request % 0x80, sync % 0x80, *stream % 4, body);
    }
    bytes.extend_from_slice(&tail);
    let mut peer = harness().connect();
    // A server that closes first is right.
    if peer.try_send_bytes(&bytes).is_ok() {
        peer.shut_down_writing();
        while let Ok(Some(frame)) = peer.try_receive() {
            let _ = (frame.error_text(), frame.event());
        }
    }
    harness().connect().ping();
});

fn write_request(bytes: &mut Vec<u8>, request: u8, sync: u8, stream: u8, body: &[u8]) {
    let header = [0x83, 0x00, request, 0x01, sync, 0x0a, stream];
    let length = (header.len() + body.len()) as u32;
    bytes.push(0xce);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(body);
}

/// One for the process, where nobody may stop it.
fn harness() -> &'static Harness {
    static HARNESS: OnceLock<Harness> = OnceLock::new();
    HARNESS.get_or_init(|| {
        let config = config().administrators(Administrators::Users(Vec::new()));
        Harness::start_with(config, Script::default())
    })
}
