//! What monitoring counts, against what was done: each thing once, under its own name, whatever
//! becomes of connections, of the state and of Tx.

use std::collections::BTreeMap;
use std::time::Duration;

use vestibule_actors::CloseReason;
use vestibule_actors::config::SoloPolicy;
use vestibule_actors::monitoring::{LoginResult, Metrics, RequestPath, SoloCounts, TransactionEnd};
use vestibule_actors::serving::State;
use vestibule_actors::testing::{Harness, RequestBuilder, Script, config};
use vestibule_actors::wire::keys::RequestType;

use super::{NO_ARGS, block_on};

/// Requests by type and path, without those of which there were none.
fn requests(metrics: &Metrics) -> BTreeMap<(&'static str, &'static str), u64> {
    let counts = metrics.requests.counts.iter().filter(|own| own.count > 0);
    let counts = counts.map(|own| ((own.request, own.path.name()), own.count));
    counts.collect()
}

fn errors(metrics: &Metrics) -> BTreeMap<&'static str, u64> {
    let counts = metrics.requests.errors.iter().filter(|own| own.count > 0);
    counts.map(|own| (own.name, own.count)).collect()
}

fn ends(metrics: &Metrics) -> BTreeMap<&'static str, u64> {
    let counts = metrics
        .transaction_ends
        .iter()
        .filter(|(_, count)| **count > 0);
    counts.map(|(how, count)| (how.name(), *count)).collect()
}

fn in_stream(request: RequestType, sync: u64, stream: u64) -> RequestBuilder {
    RequestBuilder::new(request, sync).stream(stream)
}

#[test]
fn each_request_is_counted_once_by_its_type_and_where_it_went() {
    let harness = Harness::start();
    for _ in 0..3 {
        // Over reconnects: nothing is counted by connection.
        let mut peer = harness.connect();
        peer.ping();
        for key in 0..2 {
            assert_eq!(peer.ask(&RequestBuilder::replace(key, key)).code, 0);
        }
        assert_eq!(peer.ask(&RequestBuilder::select(3, 1)).code, 0);
        assert_eq!(peer.call("vestibule.state", NO_ARGS).code, 0);
        assert_eq!(peer.call("no such", NO_ARGS).error_code(), Some(33));
        // No request, no type, not in a stream.
        assert_ne!(peer.ask(&RequestBuilder::raw(99, 7)).code, 0);
        assert_ne!(
            peer.ask(&RequestBuilder::new(RequestType::Begin, 8)).code,
            0
        );
    }
    let metrics = harness.handle().metrics();
    let expected = [
        (("begin", "refused"), 3),
        (("call", "local"), 3),
        (("call", "tx"), 3),
        (("other", "refused"), 3),
        (("ping", "local"), 3),
        (("replace", "tx"), 6),
        (("select", "view"), 3),
    ];
    assert_eq!(requests(&metrics), expected.into());
    let by_path: u64 = metrics.requests.counts.iter().map(|own| own.count).sum();
    assert_eq!(by_path, metrics.traffic.all_requests().total);
    let expected = [
        ("NO_SUCH_PROC", 3),
        ("UNKNOWN_REQUEST_TYPE", 3),
        ("other", 3),
    ];
    assert_eq!(errors(&metrics), expected.into());
    assert_eq!(metrics.traffic.errors.total, 9);
    let forwarded = metrics.requests.durations[&RequestPath::Tx].count();
    assert_eq!(forwarded, 9, "each that was forwarded is timed");
    harness.wait_until("the connections are closed", || {
        harness.handle().metrics().closed_connections[&CloseReason::Client] == 3
    });
}

#[test]
fn of_requests_that_sessions_answer_those_of_the_first_turn_are_timed() {
    let config = config().session_threads(1);
    let harness = Harness::start_with(config, Script::default());
    let mut peer = harness.connect();
    let timed = |path| harness.handle().metrics().requests.durations[&path].count();
    let pings = 64;
    for _ in 0..pings {
        peer.ping();
    }
    harness.wait_until("some were timed", || timed(RequestPath::Local) > 0);
    assert!(
        timed(RequestPath::Local) < pings,
        "a clock is not read for each"
    );
    assert_eq!(timed(RequestPath::Tx), 0);
}

#[test]
fn what_solo_refuses_takes_back_and_holds_is_counted() {
    let mut config = config();
    config.settings.hold.time_max = Duration::from_secs(3600);
    let harness = Harness::start_with(config, Script::default());
    let mut stuck = harness.block();
    let mut queued = harness.connect();
    queued.send(&RequestBuilder::replace(1, 1));
    harness.wait_until("both are on their way", || {
        harness.handle().in_flight() == 2
    });
    harness.handle().solo("the test");
    assert_eq!(queued.receive().error_code(), Some(116));
    assert_eq!(
        queued.ask(&RequestBuilder::replace(2, 2)).error_code(),
        Some(116)
    );
    harness.handle().solo("the test, said again");
    let metrics = harness.handle().metrics();
    assert_eq!(
        (metrics.requests.revoked, metrics.requests.outcome_unknown),
        (1, 0)
    );
    let expected = [
        (("call", "tx"), 1),
        (("replace", "refused"), 1),
        (("replace", "tx"), 1),
    ];
    assert_eq!(requests(&metrics), expected.into());
    assert_eq!(errors(&metrics), [("LOADING", 2)].into());
    let SoloCounts {
        operator,
        guard,
        stall,
        ..
    } = metrics.solos;
    assert_eq!((operator, guard, stall), (1, 0, 0));
    assert_eq!(metrics.state, State::Solo);
    harness.script().release();
    assert_eq!(stuck.receive().code, 0);
}

#[test]
fn held_requests_are_told_and_counted_when_it_is_known_where_they_go() {
    let mut config = config();
    config.settings.solo_policy = SoloPolicy::Hold;
    config.settings.hold.time_max = Duration::from_secs(3600);
    let harness = Harness::start_with(config, Script::default());
    let (mut kept, mut gone) = (harness.connect(), harness.connect());
    harness.handle().solo("the test");
    kept.send(&RequestBuilder::replace(1, 1));
    kept.send(&RequestBuilder::replace(2, 2));
    gone.send(&RequestBuilder::replace(3, 3));
    let held = || harness.handle().metrics().requests.held;
    harness.wait_until("three are held", || held() == 3);
    assert_eq!(requests(&harness.handle().metrics()), BTreeMap::new());
    let connections = block_on(harness.handle().connections(100));
    let held_one = connections.iter().find(|own| own.held == 1);
    let killed = held_one.expect("the other one holds two").connection;
    assert_eq!(
        block_on(harness.handle().kill_request(killed, 3)).requests,
        1
    );
    assert_ne!(gone.receive().code, 0);
    assert_eq!(held(), 2);
    harness.wind(Duration::from_secs(1));
    harness.handle().assist();
    assert_eq!((kept.receive().code, kept.receive().code), (0, 0));
    let metrics = harness.handle().metrics();
    assert_eq!(metrics.requests.held, 0);
    assert_eq!(
        requests(&metrics),
        [(("replace", "refused"), 1), (("replace", "tx"), 2)].into()
    );
    let took = &metrics.requests.durations[&RequestPath::Tx];
    assert!(
        took.sum >= Duration::from_secs(2),
        "from their arrival: {took:?}"
    );
}

#[test]
fn tx_is_seen_to_be_busy_while_it_is_in_a_turn_that_does_not_end() {
    let harness = Harness::start();
    let before = harness.handle().metrics().tx;
    let mut stuck = harness.block();
    harness.wind(Duration::from_secs(5));
    let during = harness.handle().metrics().tx;
    assert!(
        during.busy >= before.busy + Duration::from_secs(5),
        "{during:?}"
    );
    assert!(during.longest_turn >= Duration::from_secs(5), "{during:?}");
    harness.script().release();
    assert_eq!(stuck.receive().code, 0);
    let turns = |metrics: &Metrics| metrics.tx.turns.count();
    harness.wait_until("the turn has ended", || {
        turns(&harness.handle().metrics()) > during.turns.count()
    });
    let after = harness.handle().metrics().tx;
    assert!(after.busy >= during.busy && after.turns.sum >= Duration::from_secs(5));
    assert_eq!(after.restarts, 0);
}

#[test]
fn transactions_are_counted_by_how_they_end() {
    let config = config().transaction_timeout(Duration::from_secs(60));
    let harness = Harness::start_with(config, Script::default());
    let mut peer = harness.connect();
    let mut begin = |stream| {
        let begun = peer.ask(&in_stream(RequestType::Begin, stream, stream));
        assert_eq!(begun.code, 0);
    };
    (1..=3).for_each(&mut begin);
    assert_eq!(peer.ask(&in_stream(RequestType::Commit, 10, 1)).code, 0);
    assert_eq!(peer.ask(&in_stream(RequestType::Rollback, 11, 2)).code, 0);
    // One whose turn is not written.
    harness.script().fail_commits(true);
    let commit = in_stream(RequestType::Commit, 12, 3).bytes();
    let write = RequestBuilder::replace(13, 3).bytes();
    peer.send_bytes(&[commit, write].concat());
    assert_eq!(peer.receive().error_code(), Some(40));
    assert_eq!(peer.receive().error_code(), Some(40));
    harness.script().fail_commits(false);
    let told = harness.handle().metrics();
    assert_eq!(ends(&told), [("committed", 1), ("rolled_back", 2)].into());
    // Two that are left open: by their client, and for too long.
    let mut other = harness.connect();
    assert_eq!(other.ask(&in_stream(RequestType::Begin, 1, 1)).code, 0);
    other.close();
    let count = |how| harness.handle().metrics().transaction_ends[&how];
    harness.wait_until("it is rolled back", || {
        count(TransactionEnd::Disconnected) == 1
    });
    assert_eq!(peer.ask(&in_stream(RequestType::Begin, 13, 4)).code, 0);
    harness.wind(Duration::from_secs(61));
    harness.wait_until("its time is over", || count(TransactionEnd::Timeout) == 1);
    // One that a demotion ends.
    assert_eq!(peer.ask(&in_stream(RequestType::Begin, 14, 5)).code, 0);
    let _ = harness.demote(Duration::ZERO);
    harness.wait_until("it is aborted", || count(TransactionEnd::Transition) == 1);
    // Its client hears of it, and that is no second end.
    assert_ne!(peer.ask(&in_stream(RequestType::Commit, 15, 5)).code, 0);
    let all: u64 = harness.handle().metrics().transaction_ends.values().sum();
    assert_eq!(all, 6);
}

#[test]
fn nothing_that_was_counted_falls_when_tx_dies() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    assert_eq!(peer.ask(&in_stream(RequestType::Begin, 1, 1)).code, 0);
    assert_eq!(peer.ask(&RequestBuilder::replace(2, 2)).code, 0);
    let before = harness.handle().metrics();
    harness.script().panic_next();
    assert_ne!(peer.ask(&RequestBuilder::replace(3, 3)).code, 0);
    harness.wait_until("there is another Tx", || {
        harness.handle().metrics().tx.restarts == 1
    });
    harness.wait_for(State::Assist);
    assert_eq!(
        harness.connect().ask(&RequestBuilder::replace(4, 4)).code,
        0
    );
    let after = harness.handle().metrics();
    assert_eq!(after.transaction_ends[&TransactionEnd::TxDeath], 1);
    assert_eq!(after.requests.outcome_unknown, 1);
    assert_eq!(requests(&after)[&("replace", "tx")], 3);
    assert!(after.tx.turns.count() > before.tx.turns.count());
    assert!(after.tx.busy >= before.tx.busy);
    let kinds: Vec<_> = after
        .transition_counts
        .iter()
        .map(|own| own.to.name())
        .collect();
    assert_eq!(kinds, ["assist", "loading"]);
}

#[test]
fn logins_and_the_time_of_states_are_counted() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    assert_eq!(peer.log_in("alice", "secret").code, 0);
    assert_ne!(harness.connect().log_in("alice", "wrong").code, 0);
    let logins = harness.handle().metrics().logins;
    assert_eq!(
        (logins[&LoginResult::Ok], logins[&LoginResult::Failed]),
        (1, 1)
    );
    let lasted = |state: State| {
        let states = harness.handle().metrics().states;
        let own = states.iter().find(|own| own.state == state);
        own.expect("every state is told").lasted
    };
    harness.wind(Duration::from_secs(7));
    harness.handle().solo("the test");
    harness.wind(Duration::from_secs(11));
    harness.handle().assist();
    let (assist, solo) = (lasted(State::Assist), lasted(State::Solo));
    assert!(
        assist >= Duration::from_secs(7) && assist < Duration::from_secs(11),
        "{assist:?}"
    );
    assert!(solo >= Duration::from_secs(11), "{solo:?}");
    assert_eq!(lasted(State::Stopped), Duration::ZERO);
}
