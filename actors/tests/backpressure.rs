//! Slow readers and greedy writers: they slow themselves, lose nothing, and nobody else notices.

use vestibule_actors::testing::{Harness, RequestBuilder};
use vestibule_actors::wire::keys::RequestType;

/// Much more than a socket's buffers and the server's own pause together.
const PINGS: u64 = 400_000;

#[test]
fn a_client_that_does_not_read_is_not_read_and_gets_everything_later() {
    let harness = Harness::start();
    let mut slow = harness.connect();
    let mut writer = slow.clone_for_writing();
    let sender = std::thread::spawn(move || {
        for first in (0..PINGS).step_by(1000) {
            let pings =
                (first..first + 1000).map(|sync| RequestBuilder::new(RequestType::Ping, sync));
            let bytes: Vec<u8> = pings.flat_map(|ping| ping.bytes()).collect();
            writer.send_bytes(&bytes);
        }
    });
    // The neighbour is served while the other one's replies pile up.
    let mut neighbour = harness.connect();
    for _ in 0..100 {
        neighbour.ping();
    }
    for sync in 0..PINGS {
        assert_eq!(slow.receive().sync, sync);
    }
    sender.join().expect("everything is sent");
    slow.ping();
}

#[test]
fn more_requests_than_a_connection_may_have_in_flight_are_all_answered() {
    let harness = Harness::start();
    let mut greedy = harness.connect();
    let mut writer = greedy.clone_for_writing();
    const REQUESTS: u64 = 50_000;
    let sender = std::thread::spawn(move || {
        for first in (0..REQUESTS).step_by(1000) {
            let burst = (first..first + 1000).map(|key| RequestBuilder::replace(key, key));
            let bytes: Vec<u8> = burst.flat_map(|request| request.bytes()).collect();
            writer.send_bytes(&bytes);
        }
    });
    for sync in 0..REQUESTS {
        let reply = greedy.receive();
        assert_eq!((reply.sync, reply.code), (sync, 0));
    }
    sender.join().expect("everything is sent");
}

#[test]
fn a_greedy_connection_does_not_stop_its_neighbour_while_tx_stands_still() {
    let harness = Harness::start();
    harness.script().hold_tx();
    let mut blocker = harness.connect();
    blocker.send(&RequestBuilder::call(1, "block", &[0x90]));
    harness.script().wait_until_blocked();
    let mut greedy = harness.connect();
    let mut writer = greedy.clone_for_writing();
    const REQUESTS: u64 = 20_000;
    let sender = std::thread::spawn(move || {
        let burst = (0..REQUESTS).map(|key| RequestBuilder::replace(key, key));
        let bytes: Vec<u8> = burst.flat_map(|request| request.bytes()).collect();
        writer.send_bytes(&bytes);
    });
    let mut neighbour = harness.connect();
    neighbour.ping();
    harness.script().release();
    assert_eq!(blocker.receive().code, 0);
    for sync in 0..REQUESTS {
        assert_eq!(greedy.receive().sync, sync);
    }
    sender.join().expect("everything is sent");
}

#[test]
fn large_requests_and_replies_pass_whole() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    let mut tuple = vec![0x92, 5, 0xc6];
    let size = 3 << 20;
    tuple.extend_from_slice(&(size as u32).to_be_bytes());
    tuple.resize(tuple.len() + size, 0xab);
    let store = RequestBuilder::new(RequestType::Replace, 1)
        .uint(0x10, 512)
        .pair(0x21, &tuple);
    for _ in 0..5 {
        let reply = peer.ask(&store);
        assert_eq!(reply.code, 0);
        assert!(reply.body.len() > size);
        assert!(peer.ask(&RequestBuilder::select(2, 5)).body.len() > size);
    }
}
