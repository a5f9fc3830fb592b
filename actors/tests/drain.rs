//! Stopping: what runs may finish, what waits is told, nothing can hold it up.

use std::net::TcpStream;
use std::time::Duration;

use vestibule_actors::Config;
use vestibule_actors::config::SoloPolicy;
use vestibule_actors::serving::State;
use vestibule_actors::testing::{Harness, RequestBuilder, Script};
use vestibule_actors::wire::keys::{self, RequestType};

const NO_ARGS: &[u8] = &[0x90];
const LONG: Duration = Duration::from_secs(3600);

fn watch(key: &str, sync: u64) -> RequestBuilder {
    RequestBuilder::new(RequestType::Watch, sync).text(keys::EVENT_KEY, key)
}

#[test]
fn an_idle_runtime_stops_at_once_and_closes_its_connections() {
    let harness = Harness::start();
    let mut idle = harness.connect();
    idle.ping();
    let address = harness.address();
    let report = harness.stop(LONG);
    assert!(report.tx_stopped);
    assert_eq!((report.killed, report.failure), (0, None));
    assert!(idle.receive_until_closed().is_empty());
    assert!(
        TcpStream::connect(address).is_err(),
        "nobody listens any more"
    );
}

#[test]
fn what_runs_may_finish_and_what_comes_is_refused() {
    let mut harness = Harness::start();
    harness.script().hold_tx();
    let mut runner = harness.connect();
    runner.send(&RequestBuilder::call(1, "block", NO_ARGS));
    harness.script().wait_until_blocked();
    harness.handle().begin_drain(Some(LONG), "test");
    harness.wait_for(State::Draining);
    let refused = runner.ask(&RequestBuilder::replace(2, 2));
    assert_eq!((refused.sync, refused.error_code()), (2, Some(279)));
    assert_eq!(
        refused.error_text().as_deref(),
        Some("Server is shutting down")
    );
    assert!(refused.error_mentions("draining"));
    runner.ping();
    harness.script().release();
    let frames = runner.receive_until_closed();
    assert_eq!(frames.len(), 1);
    assert_eq!((frames[0].sync, frames[0].code), (1, 0));
    let report = harness.join();
    assert_eq!((report.killed, report.tx_stopped), (0, true));
    assert!(harness.script().executed().is_empty());
}

#[test]
fn a_tx_that_stands_still_for_ever_cannot_hold_up_a_stop() {
    let mut harness = Harness::start();
    harness.script().hold_tx();
    let mut runner = harness.connect();
    runner.send(&RequestBuilder::call(1, "block", NO_ARGS));
    harness.script().wait_until_blocked();
    let mut queued = harness.connect();
    queued.send(&RequestBuilder::replace(7, 7));
    queued.ping();
    harness
        .handle()
        .begin_drain(Some(Duration::from_millis(200)), "test");
    let told = runner.receive_until_closed();
    assert_eq!((told.len(), told[0].error_code()), (1, Some(279)));
    assert!(told[0].error_text().unwrap().starts_with("Outcome unknown"));
    let told = queued.receive_until_closed();
    assert_eq!((told.len(), told[0].error_code()), (1, Some(279)));
    assert_eq!(
        told[0].error_text().as_deref(),
        Some("Server is shutting down")
    );
    let report = harness.join();
    assert_eq!((report.killed, report.tx_stopped), (2, false));
    // 200 ms of grace; the slack is for a busy machine.
    assert!(report.took < Duration::from_secs(5), "{:?}", report.took);
    harness.script().release();
}

#[test]
fn subscribers_of_box_shutdown_are_told_first_and_leave_by_themselves() {
    let mut harness = Harness::start();
    let mut subscriber = harness.connect();
    let event = subscriber.ask(&watch("box.shutdown", 1));
    assert_eq!(event.event(), Some(("box.shutdown".to_owned(), None)));
    subscriber.send(&watch("box.shutdown", 2));
    subscriber.ping();
    let mut other = harness.connect();
    other.ping();
    harness.handle().begin_drain(Some(LONG), "test");
    let event = subscriber.receive();
    assert_eq!(event.sync, 2);
    assert_eq!(
        event.event(),
        Some(("box.shutdown".to_owned(), Some(vec![0xc3])))
    );
    assert!(
        other.receive_until_closed().is_empty(),
        "the others are closed when idle"
    );
    subscriber.ping();
    drop(subscriber);
    let report = harness.join();
    assert!(report.took < LONG);
}

#[test]
fn an_operator_can_drain_by_call_and_the_first_deadline_holds() {
    let mut harness = Harness::start();
    let mut operator = harness.connect();
    let mut subscriber = harness.connect();
    subscriber.ask(&watch("box.shutdown", 1));
    let mut args = vec![0x91, 0x81, 0xa7];
    args.extend_from_slice(b"timeout");
    args.push(0xcb);
    args.extend_from_slice(&0.3f64.to_be_bytes());
    let reply = operator.ask(&RequestBuilder::call(5, "vestibule.drain", &args));
    assert_eq!((reply.sync, reply.code), (5, 0));
    harness.handle().begin_drain(Some(LONG), "a later wish");
    assert!(operator.receive_until_closed().is_empty());
    let report = harness.join();
    assert!(report.took >= Duration::from_millis(300));
    assert!(subscriber.receive_until_closed().len() <= 1);
}

#[test]
fn bad_arguments_of_drain_stop_nothing() {
    let harness = Harness::start();
    let mut operator = harness.connect();
    let reply = operator.call("vestibule.drain", &[0x91, 5]);
    assert_eq!(reply.error_code(), Some(1));
    assert_eq!(harness.handle().serving().state, State::Assist);
}

#[test]
fn held_requests_are_answered_when_a_stop_begins() {
    let config = Config {
        solo_policy: SoloPolicy::Hold,
        ..Config::default()
    };
    let mut harness = Harness::start_with(config, Script::default());
    let mut peer = harness.connect();
    peer.call("vestibule.solo", NO_ARGS);
    peer.send(&RequestBuilder::replace(9, 9));
    peer.ping();
    harness.handle().begin_drain(Some(LONG), "test");
    let frames = peer.receive_until_closed();
    assert_eq!((frames.len(), frames[0].sync), (1, 9));
    assert_eq!(frames[0].error_code(), Some(279));
    assert_eq!(harness.join().killed, 0);
}

#[test]
fn a_begin_that_failed_leaves_nothing_to_wait_for() {
    let harness = Harness::start();
    harness.script().fail_begins(true);
    let mut peer = harness.connect();
    let begin = RequestBuilder::new(RequestType::Begin, 1).stream(1);
    assert_eq!(peer.ask(&begin).error_code(), Some(5));
    let report = harness.stop(LONG);
    assert!(report.took < LONG);
    assert!(peer.receive_until_closed().is_empty());
}

#[test]
fn a_begin_that_was_revoked_leaves_nothing_to_wait_for() {
    let harness = Harness::start();
    harness.script().hold_tx();
    let mut blocker = harness.connect();
    blocker.send(&RequestBuilder::call(1, "block", NO_ARGS));
    harness.script().wait_until_blocked();
    let mut peer = harness.connect();
    peer.send(&RequestBuilder::new(RequestType::Begin, 1).stream(1));
    peer.ping();
    blocker.send(&RequestBuilder::call(2, "vestibule.solo", NO_ARGS));
    assert_eq!(peer.receive().error_code(), Some(116));
    harness.script().release();
    let report = harness.stop(LONG);
    assert!(report.took < LONG);
}

#[test]
fn a_second_begin_that_is_refused_leaves_the_first_transaction_open() {
    let mut harness = Harness::start();
    let mut peer = harness.connect();
    let request = |kind, sync| RequestBuilder::new(kind, sync).stream(1);
    assert_eq!(peer.ask(&request(RequestType::Begin, 1)).code, 0);
    assert_eq!(
        peer.ask(&request(RequestType::Begin, 2)).error_code(),
        Some(79)
    );
    harness.handle().begin_drain(Some(LONG), "test");
    harness.wait_for(State::Draining);
    assert_eq!(peer.ask(&request(RequestType::Commit, 3)).code, 0);
    assert!(peer.receive_until_closed().is_empty());
    assert!(harness.join().took < LONG);
    assert!(harness.script().log().contains(&"commit 1".to_owned()));
}
