//! Slow readers and writers that never stop: they slow themselves, lose nothing, and nobody else
//! notices.

use std::time::Duration;

use vestibule_actors::config::TimeLimits;
use vestibule_actors::limits::{TURN_REQUESTS_MAX, WORKER_REQUESTS_MAX};
use vestibule_actors::testing::{Harness, Peer, RequestBuilder, Script, config};
use vestibule_actors::wire::keys::{self, RequestType};

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
    // The other connection is served while the other one's replies pile up.
    let mut other = harness.connect();
    for _ in 0..100 {
        other.ping();
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
fn a_greedy_connection_does_not_stop_another_while_tx_stands_still() {
    let harness = Harness::start();
    let mut blocker = harness.block();
    let mut greedy = harness.connect();
    let mut writer = greedy.clone_for_writing();
    const REQUESTS: u64 = 20_000;
    let sender = std::thread::spawn(move || {
        let burst = (0..REQUESTS).map(|key| RequestBuilder::replace(key, key));
        let bytes: Vec<u8> = burst.flat_map(|request| request.bytes()).collect();
        writer.send_bytes(&bytes);
    });
    let mut other = harness.connect();
    other.ping();
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
    let size = 3 << 20;
    let store = RequestBuilder::replace_large(1, 5, size as u32);
    for _ in 0..5 {
        let reply = peer.ask(&store);
        assert_eq!(reply.code, 0);
        assert!(reply.body.len() > size);
        assert!(peer.ask(&RequestBuilder::select(2, 5)).body.len() > size);
    }
}

#[test]
fn when_every_credit_is_taken_others_are_still_greeted_answered_and_let_go() {
    let config = config()
        .session_threads(1)
        .time_limits(TimeLimits::default().half_closed(Duration::from_millis(100)));
    let harness = Harness::start_with(config, Script::default());
    let _blocker = harness.block();
    let mut greedy: Vec<_> = (0..9).map(|_| harness.connect()).collect();
    for peer in &mut greedy {
        let burst = (0..3000).map(|key| RequestBuilder::replace(key, key));
        peer.send_bytes(
            &burst
                .flat_map(|request| request.bytes())
                .collect::<Vec<_>>(),
        );
    }
    let mut operator = harness.connect();
    let state = |operator: &mut Peer| operator.call("vestibule.state", &[0x90]);
    harness.wait_until("the credits are taken", || {
        harness.handle().in_flight() >= WORKER_REQUESTS_MAX
    });
    for _ in 0..20 {
        harness.connect().ping();
    }
    // A connection that waits for a credit is let go when its client leaves.
    let are_connected = |count| harness.handle().connection_count() == count;
    harness.wait_until("the others have left", || are_connected(11));
    drop(greedy.pop());
    harness.wait_until("its end is noticed", || are_connected(10));
    assert_eq!(operator.call("vestibule.solo", &[0x90]).code, 0);
    assert_eq!(state(&mut operator).code, 0);
    for peer in &mut greedy {
        for _ in 0..3000 {
            assert_eq!(peer.receive().error_code(), Some(116));
        }
    }
    harness.script().release();
}

#[test]
fn slow_procedures_do_not_keep_each_others_replies() {
    let harness = Harness::start();
    harness.script().hold_tx();
    let mut peer = harness.connect();
    let calls = [
        RequestBuilder::call(1, "pause", &[0x91, 20]),
        RequestBuilder::call(2, "block", &[0x90]),
    ];
    peer.send_bytes(&calls.map(|call| call.bytes()).concat());
    assert_eq!(
        peer.receive().sync,
        1,
        "told although the next one stands still"
    );
    harness.script().release();
    assert_eq!(peer.receive().sync, 2);
}

#[test]
fn the_key_of_a_watch_is_bounded() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    let watch = RequestBuilder::new(RequestType::Watch, 1);
    let reply = peer.ask(&watch.text(keys::EVENT_KEY, &"k".repeat(1025)));
    assert_eq!(reply.error_code(), Some(1));
}

#[test]
fn credits_are_shared_among_those_who_wait_and_not_taken_by_who_has_most_to_do() {
    const GREEDY: u64 = 9;
    const REQUESTS: u64 = 6000;
    const MODEST_KEY: u64 = 1_000_000;
    let config = config().session_threads(1);
    let harness = Harness::start_with(config, Script::default());
    let _blocker = harness.block();
    let mut greedy: Vec<_> = (0..GREEDY).map(|_| harness.connect()).collect();
    let senders: Vec<_> = greedy
        .iter()
        .map(|peer| {
            let mut writer = peer.clone_for_writing();
            std::thread::spawn(move || {
                let burst = (0..REQUESTS).map(|key| RequestBuilder::replace(key, key));
                let bytes: Vec<u8> = burst.flat_map(|request| request.bytes()).collect();
                writer.send_bytes(&bytes);
            })
        })
        .collect();
    harness.wait_until("the credits are taken", || {
        harness.handle().in_flight() >= WORKER_REQUESTS_MAX
    });
    let mut modest = harness.connect();
    modest.send(&RequestBuilder::replace(1, MODEST_KEY));
    // Its request is read when a connection that came later is served.
    harness.connect().ping();
    harness.script().release();
    assert_eq!(modest.receive().code, 0);
    for peer in &mut greedy {
        for sync in 0..REQUESTS {
            assert_eq!(peer.receive().sync, sync);
        }
    }
    for sender in senders {
        sender.join().expect("everything is sent");
    }
    let executed = harness.script().executed();
    let position = executed.iter().position(|key| *key == MODEST_KEY);
    // What was on its way already, and what is freed while one turn is answered.
    let soon = WORKER_REQUESTS_MAX + 2 * TURN_REQUESTS_MAX;
    assert!(position.is_some_and(|own| own < soon), "{position:?}");
}

/// Enough connections to have as many calls as they may that do not end.
fn take_all_waits(harness: &Harness, calls: u64) -> Vec<Peer> {
    let mut greedy: Vec<_> = (0..9).map(|_| harness.connect()).collect();
    for peer in &mut greedy {
        let burst = (0..calls).map(|sync| RequestBuilder::call(sync, "never", &[0x90]));
        let bytes: Vec<u8> = burst.flat_map(|call| call.bytes()).collect();
        peer.send_bytes(&bytes);
    }
    for peer in &mut greedy[4..] {
        assert_eq!(peer.receive().error_code(), Some(1));
    }
    greedy
}

#[test]
fn whoever_has_as_many_requests_wait_as_may_does_not_stop_those_who_ask_for_little() {
    let config = config().session_threads(1);
    let harness = Harness::start_with(config, Script::default());
    let _greedy = take_all_waits(&harness, 3000);
    let mut modest: Vec<_> = (0..20).map(|_| harness.connect()).collect();
    for round in 0..20 {
        for (key, peer) in (0..).zip(&mut modest) {
            peer.send(&RequestBuilder::replace(round, key));
        }
        for peer in &mut modest {
            let reply = peer.receive();
            assert_eq!((reply.sync, reply.code), (round, 0));
        }
    }
    // Also one that sends more at once than the reserve has for it.
    let burst = (0..100).flat_map(|key| RequestBuilder::replace(key, key).bytes());
    modest[0].send_bytes(&burst.collect::<Vec<_>>());
    for sync in 0..100 {
        assert_eq!(modest[0].receive().sync, sync);
    }
}
