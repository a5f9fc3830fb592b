//! Transactions that were open when Tx died: their clients are told so, whatever they ask next.

use vestibule_actors::testing::{Frame, Harness, Peer, RequestBuilder};
use vestibule_actors::wire::keys::RequestType;

fn in_stream(request: RequestType, sync: u64) -> RequestBuilder {
    RequestBuilder::new(request, sync).stream(1)
}

fn begin(peer: &mut Peer) {
    assert_eq!(peer.ask(&in_stream(RequestType::Begin, 1)).code, 0);
}

/// Tx dies, and the next one serves every connection.
fn let_tx_die(harness: &Harness) {
    harness.script().panic_next();
    let unknown = harness.connect().ask(&RequestBuilder::replace(1, 100));
    assert_eq!(unknown.error_code(), Some(115));
    wait_for_tx(harness);
}

fn wait_for_tx(harness: &Harness) {
    harness.wait_until("a write is accepted", || {
        let written = harness.connect().ask(&RequestBuilder::replace(1, 101));
        written.code == 0
    });
}

fn is_lost(reply: &Frame) -> bool {
    reply.error_code() == Some(97) && reply.error_mentions("aborted by a failure of Tx")
}

#[test]
fn a_commit_does_not_succeed_when_its_transaction_died_with_tx() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    begin(&mut peer);
    assert_eq!(peer.ask(&RequestBuilder::replace(2, 2).stream(1)).code, 0);
    let_tx_die(&harness);
    let written = peer.ask(&RequestBuilder::replace(3, 3).stream(1));
    assert!(is_lost(&written), "{written:?}");
    let read = peer.ask(&RequestBuilder::select(4, 2).stream(1));
    assert!(is_lost(&read), "{read:?}");
    let commit = peer.ask(&in_stream(RequestType::Commit, 5));
    assert!(is_lost(&commit), "{commit:?}");
    assert!(!harness.script().executed().contains(&3));
    // It is over: the stream is as good as new.
    begin(&mut peer);
    assert_eq!(peer.ask(&in_stream(RequestType::Commit, 6)).code, 0);
}

#[test]
fn rollback_and_begin_end_a_transaction_that_died_with_tx() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    begin(&mut peer);
    let_tx_die(&harness);
    assert_eq!(peer.ask(&in_stream(RequestType::Rollback, 2)).code, 0);
    assert_eq!(peer.ask(&RequestBuilder::replace(3, 3).stream(1)).code, 0);
    begin(&mut peer);
    let_tx_die(&harness);
    begin(&mut peer);
    assert_eq!(peer.ask(&RequestBuilder::replace(4, 4).stream(1)).code, 0);
    assert_eq!(peer.ask(&in_stream(RequestType::Commit, 5)).code, 0);
}

#[test]
fn nobody_is_told_that_a_commit_was_aborted_that_tx_had_begun() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    begin(&mut peer);
    harness.script().panic_next();
    // One turn: COMMIT is executed, and Tx dies before anybody is answered.
    let mut bytes = in_stream(RequestType::Commit, 2).bytes();
    bytes.extend(RequestBuilder::replace(3, 3).bytes());
    peer.send_bytes(&bytes);
    for _ in 0..2 {
        assert!(peer.receive().error_mentions("Outcome unknown"));
    }
    wait_for_tx(&harness);
    let again = peer.ask(&in_stream(RequestType::Commit, 4));
    assert!(again.error_mentions("Outcome unknown"), "{again:?}");
}
