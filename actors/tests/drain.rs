//! Stopping: what runs may finish, what waits is told, nothing can hold it up.

use std::net::TcpStream;
use std::time::Duration;

use vestibule_actors::config::{Grace, SoloPolicy};
use vestibule_actors::serving::{State, TransitionPhase};
use vestibule_actors::testing::{Harness, RequestBuilder, Script, config};
use vestibule_actors::wire::events;
use vestibule_actors::wire::keys::{self, RequestType};

const NO_ARGS: &[u8] = &[0x90];
const LONG: Duration = Duration::from_secs(3600);

fn watch(key: &str, sync: u64) -> RequestBuilder {
    RequestBuilder::new(RequestType::Watch, sync).text(keys::EVENT_KEY, key)
}

/// TE-01 (a), C3-4, C3-17: where nothing is open nothing is waited for.
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

/// C3-1, C3-4, TE-01 (f): what runs is waited for, what comes is not served.
#[test]
fn what_runs_may_finish_and_what_comes_is_refused() {
    let mut harness = Harness::start();
    let mut runner = harness.block();
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

/// C3-3, C3-14: a request that hangs is cut off at the deadline.
#[test]
fn a_tx_that_stands_still_for_ever_cannot_hold_up_a_stop() {
    let mut harness = Harness::start();
    let mut runner = harness.block();
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

/// SM-17, C3-6, C3-9: who watches is told once, and not closed.
#[test]
fn subscribers_of_box_shutdown_are_told_first_and_leave_by_themselves() {
    let mut harness = Harness::start();
    let mut subscriber = harness.connect();
    let event = subscriber.ask(&watch(events::SHUTDOWN, 1));
    assert_eq!(event.event(), Some((events::SHUTDOWN.to_owned(), None)));
    subscriber.send(&watch(events::SHUTDOWN, 2));
    subscriber.ping();
    let mut other = harness.connect();
    other.ping();
    harness.handle().begin_drain(Some(LONG), "test");
    let event = subscriber.receive();
    assert_eq!(event.sync, 2);
    assert_eq!(
        event.event(),
        Some((events::SHUTDOWN.to_owned(), Some(vec![0xc3])))
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

/// C3-7: a second shutdown starts nothing again.
#[test]
fn an_operator_can_drain_by_call_and_the_first_deadline_holds() {
    let mut harness = Harness::start();
    let mut operator = harness.connect();
    let mut subscriber = harness.connect();
    subscriber.ask(&watch(events::SHUTDOWN, 1));
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

/// The Supervisor begins the stop and has it answered: what the client sent behind the call waits
/// for that.
#[test]
fn what_is_sent_behind_a_drain_is_taken_under_the_new_state() {
    #[derive(serde::Deserialize)]
    struct Told {
        state: String,
    }
    let mut harness = Harness::start();
    let mut operator = harness.connect();
    let drain = RequestBuilder::call(5, "vestibule.drain", NO_ARGS).bytes();
    let behind = RequestBuilder::replace(6, 6).bytes();
    operator.send_bytes(&[drain, behind].concat());
    let frames = operator.receive_until_closed();
    assert_eq!((frames.len(), frames[0].sync, frames[0].code), (2, 5, 0));
    let told = frames[0].data::<Vec<Told>>().remove(0);
    assert_eq!(told.state, "draining");
    assert_eq!((frames[1].sync, frames[1].error_code()), (6, Some(279)));
    assert_eq!(harness.join().killed, 0);
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
    let config = config().solo_policy(SoloPolicy::Hold);
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
    let mut blocker = harness.block();
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
fn transactions_that_were_revoked_whole_leave_nothing_to_wait_for() {
    let harness = Harness::start();
    let mut blocker = harness.block();
    let mut peer = harness.connect();
    let request = |kind, sync| RequestBuilder::new(kind, sync).stream(1).bytes();
    let twice = (0..2).flat_map(|_| {
        let begin = request(RequestType::Begin, 1);
        let write = RequestBuilder::replace(2, 7).stream(1).bytes();
        [begin, write, request(RequestType::Commit, 3)].concat()
    });
    peer.send_bytes(&twice.collect::<Vec<u8>>());
    peer.ping();
    blocker.send(&RequestBuilder::call(2, "vestibule.solo", NO_ARGS));
    for _ in 0..6 {
        assert_eq!(peer.receive().error_code(), Some(116));
    }
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

/// what Tx had begun when it was cut off is not written after the stop is reported.
#[test]
fn a_tx_left_behind_writes_nothing_any_more() {
    let mut harness = Harness::start();
    harness.script().hold_tx();
    let mut runner = harness.connect();
    let write = RequestBuilder::replace(1, 1).bytes();
    let block = RequestBuilder::call(2, "block", NO_ARGS).bytes();
    runner.send_bytes(&[write, block].concat());
    harness.script().wait_until_blocked();
    harness.handle().begin_drain(Some(Duration::ZERO), "test");
    let report = harness.join();
    assert_eq!((report.killed, report.tx_stopped), (2, false));
    harness.script().release();
    harness.script().wait_for_log("discard");
    assert_eq!(harness.script().rows(), 0);
}

/// a journal that hangs for ever holds up no stop, and its client is told that nobody knows.
#[test]
fn a_commit_that_hangs_for_ever_does_not_hold_up_a_stop() {
    let mut harness = Harness::start();
    harness.script().hold_commits(true);
    let mut writer = harness.connect();
    writer.send(&RequestBuilder::replace(1, 1));
    harness.script().wait_until_committing();
    harness.handle().begin_drain(Some(Duration::ZERO), "test");
    let told = writer.receive_until_closed();
    assert_eq!((told.len(), told[0].error_code()), (1, Some(279)));
    assert!(told[0].error_text().unwrap().starts_with("Outcome unknown"));
    let report = harness.join();
    assert_eq!((report.killed, report.tx_stopped), (1, false));
    // 40 ms for Tx to close; the slack is for a busy machine.
    assert!(report.took < Duration::from_secs(10));
    harness.script().release();
}

/// C3-15, X-02: two hundred stuck requests are answered within one bound, not one after the other.
#[test]
fn two_hundred_stuck_requests_do_not_hold_up_a_stop() {
    let mut harness = Harness::start();
    let mut peer = harness.connect();
    let calls: Vec<u8> = (0..200)
        .flat_map(|sync| RequestBuilder::call(sync, "never", NO_ARGS).bytes())
        .collect();
    peer.send_bytes(&calls);
    harness.wait_until("all of them are on their way", || {
        harness.handle().in_flight() == 200
    });
    harness.handle().begin_drain(Some(Duration::ZERO), "test");
    assert_eq!(peer.receive_until_closed().len(), 200);
    assert_eq!(harness.join().killed, 200);
}

/// C3-13: a connection that is still being set up is waited for no longer than any other.
#[test]
fn half_a_login_holds_up_no_stop() {
    let mut harness = Harness::start();
    let mut peer = harness.connect();
    let login = peer.log_in_request(1, "guest", "").bytes();
    peer.send_bytes(&login[..login.len() - 1]);
    // Greeted, and not a byte read.
    let mut silent = harness.connect();
    harness
        .handle()
        .begin_drain(Some(Duration::from_millis(50)), "test");
    // Its header is there: it is told that it was not looked at.
    let told = peer.receive_until_closed();
    assert_eq!((told.len(), told[0].error_code()), (1, Some(279)));
    assert!(silent.receive_until_closed().is_empty());
    assert_eq!(harness.join().killed, 0);
}

/// C3-2: who does not wait for the answer of a request gets its effect all the same.
#[test]
fn what_was_sent_before_its_client_left_is_done_in_a_stop_too() {
    let mut harness = Harness::start();
    let mut runner = harness.block();
    let mut peer = harness.connect();
    peer.send(&RequestBuilder::replace(1, 77));
    harness.wait_until("it is on its way", || harness.handle().in_flight() == 2);
    peer.close();
    drop(peer);
    harness.handle().begin_drain(Some(LONG), "test");
    harness.wait_for(State::Draining);
    harness.script().release();
    assert_eq!(runner.receive_until_closed().len(), 1);
    assert!(harness.join().tx_stopped);
    assert_eq!(harness.script().executed(), [77]);
}

/// C3-16, X-15: in a drain a connection that waits for a reply may not begin anything else.
#[test]
fn in_a_drain_nobody_becomes_busy_again_but_to_finish() {
    let mut harness = Harness::start();
    let mut peer = harness.connect();
    let request = |kind, sync| RequestBuilder::new(kind, sync).stream(1);
    assert_eq!(peer.ask(&request(RequestType::Begin, 1)).code, 0);
    harness.handle().begin_drain(Some(LONG), "test");
    harness.wait_for(State::Draining);
    for refused in [
        RequestBuilder::replace(2, 2),
        RequestBuilder::select(3, 2),
        RequestBuilder::call(4, "echo", &[0x91, 7]),
        RequestBuilder::new(RequestType::Begin, 5).stream(2),
    ] {
        assert_eq!(peer.ask(&refused).error_code(), Some(279));
    }
    assert_eq!(peer.ask(&RequestBuilder::replace(6, 6).stream(1)).code, 0);
    assert_eq!(peer.ask(&request(RequestType::Commit, 7)).code, 0);
    assert!(peer.receive_until_closed().is_empty());
    assert_eq!(harness.join().killed, 0);
}

#[test]
fn an_announced_stop_serves_on_and_says_so() {
    let config = config().lameduck(Duration::from_secs(2));
    let mut harness = Harness::start_with(config, Script::default());
    let mut subscriber = harness.connect();
    subscriber.ask(&watch(events::SHUTDOWN, 1));
    subscriber.send(&watch(events::SHUTDOWN, 1));
    let mut pool = harness.connect();
    assert!(
        pool.ask(&watch(events::STATUS, 1))
            .error_mentions("running")
    );
    pool.send(&watch(events::STATUS, 1));
    let mut peer = harness.connect();
    harness.handle().begin_drain(Some(LONG), "test");
    let told = subscriber.receive().event();
    assert_eq!(told, Some((events::SHUTDOWN.to_owned(), Some(vec![0xc3]))));
    assert!(
        !pool.receive().error_mentions("running"),
        "not ready any more"
    );
    assert!(
        peer.call("vestibule.state", NO_ARGS)
            .error_mentions("announce")
            || harness.handle().serving().state == State::Draining
    );
    let answered = peer.ask(&RequestBuilder::replace(1, 1));
    assert!(answered.code == 0 || harness.handle().serving().state == State::Draining);
    drop(subscriber);
    let report = harness.join();
    assert!(report.took >= Duration::from_secs(2));
    assert_eq!(report.killed, 0);
}

/// SM-16: without a deadline a stop waits until the last request has its answer.
#[test]
fn grace_for_ever_waits_until_it_is_over() {
    let config = config().shutdown_grace_period(Grace::Forever);
    let mut harness = Harness::start_with(config, Script::default());
    let mut runner = harness.block();
    harness.handle().begin_drain(None, "test");
    harness.wait_for(State::Draining);
    harness.wait_until("it waits", || {
        harness
            .handle()
            .status()
            .transition
            .is_some_and(|own| own.phase == TransitionPhase::Grace)
    });
    let transition = harness.handle().status().transition;
    assert!(transition.is_some_and(|own| own.left.is_none()));
    harness.script().release();
    let frames = runner.receive_until_closed();
    assert_eq!((frames.len(), frames[0].code), (1, 0));
    let report = harness.join();
    assert_eq!((report.killed, report.tx_stopped), (0, true));
}

#[test]
fn grace_auto_follows_what_transactions_took() {
    let bounds = (Duration::from_millis(40), Duration::from_secs(60));
    let config = config().shutdown_grace_period(Grace::Auto {
        min: bounds.0,
        max: bounds.1,
    });
    let harness = Harness::start_with(config, Script::default());
    let mut peer = harness.connect();
    let grace = |peer: &mut vestibule_actors::testing::Peer| {
        let state = peer.call("vestibule.state", NO_ARGS);
        state.data::<Vec<Shown>>()[0].grace_period
    };
    assert_eq!(grace(&mut peer), 3.0, "before anything is known");
    let request = |kind, sync| RequestBuilder::new(kind, sync).stream(1);
    assert_eq!(peer.ask(&request(RequestType::Begin, 1)).code, 0);
    assert_eq!(peer.call("pause", &[0x91, 100]).code, 0);
    assert_eq!(peer.ask(&request(RequestType::Commit, 2)).code, 0);
    let learned = grace(&mut peer);
    assert!((0.1..3.0).contains(&learned) || learned > 3.0, "{learned}");
    for sync in 3..1500 {
        assert_eq!(peer.ask(&request(RequestType::Begin, sync)).code, 0);
        assert_eq!(peer.ask(&request(RequestType::Commit, sync)).code, 0);
    }
    let calm = grace(&mut peer);
    assert!(calm >= bounds.0.as_secs_f64() && calm < learned, "{calm}");
}

#[derive(Debug, serde::Deserialize)]
struct Shown {
    grace_period: f64,
}
