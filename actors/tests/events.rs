//! Events of one's own: set by the embedder, by CALL, and told to those who watch them.

use vestibule_actors::config::Administrators;
use vestibule_actors::limits::{EVENT_VALUE_SIZE_MAX, OUTPUT_PAUSE, WATCHES_PER_CONNECTION_MAX};
use vestibule_actors::testing::{Frame, Harness, Peer, RequestBuilder, Script, config};
use vestibule_actors::wire::keys::RequestType;

const PING_SYNC: u64 = 77;

/// The key and value of the next frame, which is an event.
fn event(peer: &mut Peer) -> (String, Option<Vec<u8>>) {
    let frame = peer.receive();
    frame
        .event()
        .unwrap_or_else(|| panic!("no event: {frame:?}"))
}

/// The next frame is the answer to a ping: nothing else was on its way.
fn assert_nothing_waits(peer: &mut Peer) {
    let pong = peer.ask(&RequestBuilder::new(RequestType::Ping, PING_SYNC));
    assert_eq!((pong.code, pong.sync), (0, PING_SYNC));
}

fn number(value: u8) -> (String, Option<Vec<u8>>) {
    ("jobs".to_owned(), Some(vec![value]))
}

#[test]
fn an_event_is_told_at_once_and_after_every_change_that_is_acknowledged() {
    let harness = Harness::start();
    let events = harness.handle().events();
    let mut peer = harness.connect();
    peer.send(&RequestBuilder::watch(1, "jobs"));
    assert_eq!(event(&mut peer), ("jobs".to_owned(), None));
    peer.send(&RequestBuilder::watch(2, "jobs"));
    events.set("jobs", &1).unwrap();
    assert_eq!(event(&mut peer), number(1));
    // Not acknowledged: what comes now is told as one.
    events.set("jobs", &2).unwrap();
    events.set("jobs", &3).unwrap();
    assert_nothing_waits(&mut peer);
    peer.send(&RequestBuilder::watch(3, "jobs"));
    let told = peer.receive();
    assert_eq!((told.sync, told.event()), (3, Some(number(3))));
    peer.send(&RequestBuilder::watch(4, "jobs"));
    events.unset("jobs").unwrap();
    assert_eq!(event(&mut peer), ("jobs".to_owned(), None));
}

#[test]
fn who_watches_something_else_or_nothing_any_more_is_not_told() {
    let harness = Harness::start();
    let events = harness.handle().events();
    let [mut left, mut other, mut stays] = [(); 3].map(|()| harness.connect());
    for (peer, key) in [
        (&mut left, "jobs"),
        (&mut other, "job"),
        (&mut stays, "jobs"),
    ] {
        peer.send(&RequestBuilder::watch(1, key));
        event(peer);
        peer.send(&RequestBuilder::watch(2, key));
        peer.ping();
    }
    left.send(&RequestBuilder::unwatch("jobs"));
    left.ping();
    events.set("jobs", &1).unwrap();
    assert_eq!(event(&mut stays), number(1));
    assert_nothing_waits(&mut left);
    assert_nothing_waits(&mut other);
}

#[test]
fn who_asks_once_is_told_the_value_and_nothing_later() {
    let harness = Harness::start();
    let events = harness.handle().events();
    let mut peer = harness.connect();
    let mut once = |sync| peer.ask(&RequestBuilder::watch_once(sync, "jobs"));
    assert_eq!(once(1).data::<Vec<u64>>(), []);
    events.set("jobs", &5).unwrap();
    assert_eq!(once(2).data::<Vec<u64>>(), [5]);
    events.set("jobs", &6).unwrap();
    assert_nothing_waits(&mut peer);
}

#[test]
fn an_event_is_told_to_all_connections_of_all_session_threads_while_tx_stands_still() {
    let config = config().session_threads(2);
    let harness = Harness::start_with(config, Script::default());
    let mut peers: Vec<_> = (0..8).map(|_| harness.connect()).collect();
    for peer in &mut peers {
        peer.send(&RequestBuilder::watch(1, "jobs"));
        event(peer);
        peer.send(&RequestBuilder::watch(2, "jobs"));
        peer.ping();
    }
    let _stuck = harness.block();
    let mut operator = harness.connect();
    let told = operator.call_with("box.broadcast", &("jobs", 9));
    assert_eq!(told.data::<Vec<u64>>(), []);
    for peer in &mut peers {
        assert_eq!(event(peer), number(9));
        peer.send(&RequestBuilder::watch(3, "jobs"));
        peer.ping();
    }
    assert_eq!(operator.call_with("box.broadcast", &("jobs",)).code, 0);
    for peer in &mut peers {
        assert_eq!(event(peer), ("jobs".to_owned(), None));
    }
}

#[test]
fn broadcasts_are_for_administrators_and_never_of_the_system() {
    let administrators = Administrators::Users(vec!["alice".to_owned()]);
    let config = config().administrators(administrators);
    let harness = Harness::start_with(config, Script::default());
    let mut peer = harness.connect();
    let broadcast =
        |peer: &mut Peer, key: &str| -> Frame { peer.call_with("box.broadcast", &(key, 1)) };
    assert_eq!(broadcast(&mut peer, "jobs").error_code(), Some(42));
    peer.log_in("alice", "secret");
    assert_eq!(broadcast(&mut peer, "jobs").code, 0);
    let refused = broadcast(&mut peer, "box.status");
    let text = "The event 'box.status' is the system's";
    assert_eq!(refused.error_text().as_deref(), Some(text));
    let usage = "Usage: box.broadcast(key [, value])";
    for wrong in [&[0x90][..], &[0x91, 1], b"\x93\xa1k\x01\x02"] {
        let refused = peer.call("box.broadcast", wrong);
        assert_eq!(refused.error_text().as_deref(), Some(usage));
    }
}

/// All of them come, but not faster than they are read.
#[test]
fn events_wait_for_a_client_that_does_not_read() {
    let harness = Harness::start();
    let events = harness.handle().events();
    let mut peer = harness.connect();
    let value = "v".repeat(EVENT_VALUE_SIZE_MAX - 3);
    let keys: Vec<_> = (0..WATCHES_PER_CONNECTION_MAX)
        .map(|number| format!("key {number}"))
        .collect();
    for key in &keys {
        events.set(key, &value).unwrap();
    }
    let mut syncs = 0;
    // More than the socket's buffers take.
    for _ in 0..16 {
        for key in &keys {
            syncs += 1;
            peer.send(&RequestBuilder::unwatch(key));
            peer.send(&RequestBuilder::watch(syncs, key));
        }
    }
    harness.wait_until("nothing is taken of it any more", || {
        let waiting = output_bytes(&harness);
        waiting >= OUTPUT_PAUSE as u64
    });
    let most = OUTPUT_PAUSE as u64 + 2 * EVENT_VALUE_SIZE_MAX as u64;
    let waiting = output_bytes(&harness);
    assert!(waiting <= most, "{waiting} bytes wait");
    for _ in 0..syncs {
        let (_, told) = event(&mut peer);
        assert_eq!(told.map(|own| own.len()), Some(value.len() + 3));
    }
    assert_nothing_waits(&mut peer);
    // One change each, all of them at once.
    for (sync, key) in keys.iter().enumerate() {
        peer.send(&RequestBuilder::watch(sync as u64, key));
    }
    peer.ping();
    for round in 0..3 {
        for key in &keys {
            events.set(key, &format!("{round}{}", &value[1..])).unwrap();
        }
    }
    let mut told: Vec<_> = keys.iter().map(|_| event(&mut peer).0).collect();
    told.sort();
    let mut keys = keys;
    keys.sort();
    assert_eq!(told, keys);
}

/// The most that waits for one connection.
fn output_bytes(harness: &Harness) -> u64 {
    #[derive(serde::Deserialize)]
    struct Row {
        output_bytes: u64,
    }
    let rows: Vec<Row> = harness.connect().show("connections").value();
    let bytes = rows.iter().map(|row| row.output_bytes);
    bytes.max().expect("there are connections")
}
