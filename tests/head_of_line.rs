//! A connection that asks for much slows itself, not its neighbors.

mod support;

use support::{Directory, Server};
use vestibule_actors::testing::RequestBuilder;

const NO_ARGS: &[u8] = &[0x90];
/// As many as Tarantool has in flight for everybody together (`net_msg_max`).
const CALLS: u64 = 768;

#[test]
fn sleeping_calls_of_one_connection_delay_nothing_of_another() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &["--session-threads", "1"]);
    let mut busy = server.connect();
    // For an hour: whatever is answered is answered meanwhile.
    let hour = [0x91, 0xcd, 0x0e, 0x10];
    let calls = (0..CALLS).map(|sync| RequestBuilder::call(sync, "vestibule.debug.sleep", &hour));
    let bytes: Vec<u8> = calls.flat_map(|call| call.bytes()).collect();
    busy.send_bytes(&bytes);
    let mut neighbor = server.connect();
    for sync in 0..100 {
        neighbor.ping();
        let call = RequestBuilder::call(sync, "vestibule.debug.sleep", &[0x91, 0]);
        let reply = neighbor.ask(&call);
        assert_eq!((reply.sync, reply.code), (sync, 0));
    }
    support::wait_until("all of them are under way", || {
        let state = neighbor.call("vestibule.state", NO_ARGS);
        // {in_flight: 768}
        state
            .body
            .windows(12)
            .any(|own| own == b"in_flight\xcd\x03\x00")
    });
    let call = RequestBuilder::call(1, "vestibule.debug.sleep", &[0x91, 0]);
    assert_eq!(neighbor.ask(&call).code, 0);
    // And the busy one itself is read.
    busy.ping();
}
