//! Transactions that are over before their clients have ended them: nobody waits for those clients.

use std::time::Duration;

use vestibule_actors::TransitionResult;
use vestibule_actors::serving::{Role, State};
use vestibule_actors::testing::{Harness, Peer, RequestBuilder};
use vestibule_actors::wire::keys::{self, RequestType};

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(50);

fn in_stream(request: RequestType, sync: u64) -> RequestBuilder {
    RequestBuilder::new(request, sync).stream(1)
}

/// BEGIN of a transaction that may be open for so long.
fn begin_for(seconds: f64, sync: u64) -> RequestBuilder {
    let mut value = vec![0xcb];
    value.extend_from_slice(&seconds.to_be_bytes());
    RequestBuilder::new(RequestType::Begin, sync).pair(keys::TIMEOUT, &value)
}

/// A connection whose transaction Tx has aborted while it was idle: it has asked for little time.
fn timed_out(harness: &Harness) -> Peer {
    let mut peer = harness.connect();
    assert_eq!(peer.ask(&begin_for(0.05, 1).stream(1)).code, 0);
    harness.script().wait_for_log("rollback 1");
    peer
}

/// TE-01 (e): the wait ends with the last transaction, also if that was ended by its deadline.
#[test]
fn a_transaction_that_timed_out_holds_up_no_demotion() {
    let harness = Harness::start();
    let mut peer = timed_out(&harness);
    let outcome = harness.demote(LONG);
    assert_eq!(outcome.result, TransitionResult::Done);
    let record = outcome.transition.expect("it was carried out");
    assert_eq!(record.aborted_transactions, 0, "it was over long before");
    assert_eq!(harness.handle().serving().role, Role::Replica);
    let commit = peer.ask(&in_stream(RequestType::Commit, 2));
    assert_eq!(
        commit.error_code(),
        Some(231),
        "and its client is still told"
    );
}

/// TE-01 (b): with no deadline at all, the transactions' own time is the only end, and it is one.
#[test]
fn a_transaction_that_times_out_lets_a_stop_go_on() {
    let mut harness = Harness::start();
    let mut peer = harness.connect();
    assert_eq!(peer.ask(&begin_for(0.2, 1).stream(1)).code, 0);
    harness.handle().begin_drain(Some(LONG), "test");
    assert!(peer.receive_until_closed().is_empty());
    let report = harness.join();
    assert_eq!((report.killed, report.aborted_transactions), (0, 0));
    assert!(harness.script().log().contains(&"rollback 1".to_owned()));
}

/// What a demotion has aborted is nothing that the stop after it would wait for.
#[test]
fn a_stop_does_not_wait_for_what_a_demotion_has_aborted() {
    let mut harness = Harness::start();
    let mut peer = harness.connect();
    assert_eq!(peer.ask(&in_stream(RequestType::Begin, 1)).code, 0);
    let outcome = harness.demote(SHORT);
    let record = outcome.transition.expect("it was carried out");
    assert_eq!(record.aborted_transactions, 1);
    harness.handle().begin_drain(Some(LONG), "test");
    assert!(peer.receive_until_closed().is_empty());
    assert_eq!(harness.join().aborted_transactions, 0);
}

/// ROLLBACK of a transaction that timed out is no late request: it ends it, and the next one
/// begins.
#[test]
fn the_end_of_a_transaction_that_timed_out_has_time_of_its_own() {
    let harness = Harness::start();
    let mut peer = timed_out(&harness);
    // Behind the notice: it came with or before the reply to this.
    let other = begin_for(0.1, 2).stream(2);
    assert_eq!(peer.ask(&other).code, 0);
    let _runner = harness.block();
    peer.send(&in_stream(RequestType::Rollback, 3));
    peer.send(&RequestBuilder::replace(4, 4).stream(2));
    // The time of this one is over, later than that of the other transaction.
    let late = peer.receive();
    assert_eq!((late.sync, late.error_code()), (4, Some(231)));
    harness.script().release();
    let rolled_back = peer.receive();
    assert_eq!((rolled_back.sync, rolled_back.code), (3, 0));
    assert_eq!(peer.ask(&in_stream(RequestType::Begin, 4)).code, 0);
    harness.wait_for(State::Assist);
}

/// A stop that cuts a transaction off says so.
#[test]
fn a_stop_reports_the_transactions_that_it_has_aborted() {
    let mut harness = Harness::start();
    let mut peer = harness.connect();
    assert_eq!(peer.ask(&in_stream(RequestType::Begin, 1)).code, 0);
    harness.handle().begin_drain(Some(SHORT), "test");
    assert!(peer.receive_until_closed().is_empty());
    let report = harness.join();
    assert_eq!((report.killed, report.aborted_transactions), (0, 1));
}
