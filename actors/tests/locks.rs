//! Advisory locks between connections.

use serde::Deserialize;
use vestibule_actors::testing::{Harness, Peer, RequestBuilder};

const ARGS: &[u8] = &[0x91, 0xa1, b'a'];
const AT_ONCE: &[u8] = &[0x92, 0xa1, b'a', 0];

/// A row of `vestibule.show('reservations')`.
#[derive(Debug, Deserialize)]
struct Row {
    connection: u64,
    kind: String,
    name: String,
    waiting: usize,
}

fn ask(peer: &mut Peer, name: &str, args: &[u8]) -> bool {
    peer.call(name, args).data::<Vec<bool>>()[0]
}

fn reservations(harness: &Harness) -> Vec<Row> {
    let shown = harness.connect().show("reservations");
    shown.data::<Vec<Vec<Row>>>().remove(0)
}

fn wait_for_waiter(harness: &Harness) -> Row {
    let find = || {
        reservations(harness)
            .into_iter()
            .find(|own| own.waiting == 1)
    };
    harness.wait_until("somebody waits for the lock", || find().is_some());
    find().expect("it was there")
}

#[test]
fn a_lock_is_held_by_one_connection_and_handed_over_when_that_goes() {
    let harness = Harness::start();
    let mut holder = harness.connect();
    assert!(ask(&mut holder, "vestibule.lock", ARGS));
    let mut next = harness.connect();
    assert!(!ask(&mut next, "vestibule.lock", AT_ONCE));
    assert!(!ask(&mut next, "vestibule.unlock", ARGS));
    next.send(&RequestBuilder::call(50, "vestibule.lock", ARGS));
    let row = wait_for_waiter(&harness);
    assert_eq!((row.kind.as_str(), row.name.as_str()), ("lock", "a"));
    drop(holder);
    let reply = next.receive();
    assert_eq!((reply.sync, reply.data::<Vec<bool>>()), (50, vec![true]));
    let rows = reservations(&harness);
    assert_eq!((rows.len(), rows[0].waiting), (1, 0));
    assert_ne!(rows[0].connection, row.connection);
    assert!(ask(&mut next, "vestibule.unlock", ARGS));
    assert!(reservations(&harness).is_empty());
}

#[test]
fn who_is_killed_while_it_waits_does_not_get_the_lock() {
    let harness = Harness::start();
    let mut holder = harness.connect();
    assert!(ask(&mut holder, "vestibule.lock", ARGS));
    let mut waiting = harness.connect();
    waiting.ping();
    waiting.send(&RequestBuilder::call(50, "vestibule.lock", ARGS));
    wait_for_waiter(&harness);
    // Whichever connection has a request of this sync.
    let holder_number = reservations(&harness)[0].connection;
    let args = [0x92, (holder_number + 1) as u8, 50];
    assert_eq!(harness.connect().call("vestibule.kill", &args).code, 0);
    assert_eq!(waiting.receive().error_code(), Some(32));
    harness.wait_until("nobody waits", || reservations(&harness)[0].waiting == 0);
    assert!(ask(&mut holder, "vestibule.unlock", ARGS));
    assert!(ask(&mut harness.connect(), "vestibule.lock", AT_ONCE));
}

#[test]
fn locks_are_listed_while_tx_is_blocked() {
    let harness = Harness::start();
    let mut holder = harness.connect();
    assert!(ask(&mut holder, "vestibule.lock", ARGS));
    harness.script().hold_tx();
    holder.send(&RequestBuilder::call(2, "block", &[0x90]));
    harness.script().wait_until_blocked();
    assert_eq!(reservations(&harness).len(), 1);
    harness.script().release();
}
