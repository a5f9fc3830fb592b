//! A panic in a session is that session's alone; one in Tx ends what its procedures have under way.

use vestibule_actors::testing::{Harness, RequestBuilder};
use vestibule_actors::wire::keys::RequestType;

const NO_ARGS: &[u8] = &[0x90];

#[test]
fn a_panic_in_a_session_closes_that_session_and_takes_its_requests_back() {
    let harness = Harness::start();
    let mut neighbour = harness.connect();
    assert_eq!(neighbour.ask(&RequestBuilder::replace(1, 1)).code, 0);
    let mut blocker = harness.block();

    let mut victim = harness.connect();
    victim.send(&RequestBuilder::new(RequestType::Begin, 2).stream(5));
    harness.wait_until("it is on its way to Tx", || {
        harness.handle().in_flight() == 2
    });
    harness.script().panic_in_view();
    victim.send(&RequestBuilder::select(3, 1));
    assert!(victim.receive_until_closed().is_empty());
    harness.wait_until("its slot is given back", || {
        harness.handle().connection_count() == 2
    });
    assert_eq!(
        harness.handle().in_flight(),
        1,
        "what was queued is revoked"
    );

    // On the same thread, everything goes on.
    neighbour.ping();
    let read = neighbour.ask(&RequestBuilder::select(5, 1));
    assert_eq!(read.data::<Vec<(u64, u64)>>(), [(1, 1)]);
    for _ in 0..10 {
        harness.connect().ping();
    }
    harness.script().release();
    assert_eq!(blocker.receive().code, 0);
    assert_eq!(neighbour.ask(&RequestBuilder::replace(6, 6)).code, 0);
    let log = harness.script().log();
    let has_begun = log.iter().any(|own| own.starts_with("begin"));
    assert!(!has_begun, "what was revoked is never executed");
}

#[test]
fn procedures_that_were_under_way_when_tx_died_are_dropped() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    peer.send(&RequestBuilder::call(1, "never", NO_ARGS));
    harness.script().wait_for_log("never: begun");
    harness.script().panic_next();
    peer.send(&RequestBuilder::replace(2, 2));
    for _ in 0..2 {
        assert!(peer.receive().error_mentions("Outcome unknown"));
    }
    harness.script().wait_for_log("never: dropped");
}
