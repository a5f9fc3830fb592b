//! Settings that are replaced while clients are there: what they hold for, and from when on.

use std::time::Duration;

use serde::Deserialize;
use vestibule_actors::Procedures;
use vestibule_actors::config::{
    Administrators, ConfigError, ConnectionLimits, Grace, HoldLimits, Settings, SoloPolicy,
    TimeLimits,
};
use vestibule_actors::serving::State;
use vestibule_actors::testing::{Harness, Peer, RequestBuilder, Script, TestServer, config};
use vestibule_actors::wire::keys::RequestType;

const NO_ARGS: &[u8] = &[0x90];
const SHORT: Duration = Duration::from_millis(20);
const HOUR: Duration = Duration::from_secs(3600);

/// Changes some of the settings.
fn reconfigure(harness: &Harness, change: impl FnOnce(Settings) -> Settings) {
    let settings = change(harness.handle().settings());
    assert_eq!(harness.handle().reconfigure(settings.clone()), Ok(()));
    assert_eq!(harness.handle().settings(), settings);
}

#[derive(Deserialize)]
struct Row {
    name: String,
    value: u64,
}

fn is_administrator(peer: &mut Peer) -> bool {
    match peer.call("vestibule.state", NO_ARGS).error_code() {
        None => true,
        Some(42) => false,
        other => panic!("{other:?}"),
    }
}

fn in_stream(request: RequestType, sync: u64) -> RequestBuilder {
    RequestBuilder::new(request, sync).stream(1)
}

fn shown(peer: &mut Peer, limit: &str) -> u64 {
    let rows: Vec<Row> = peer.show("limits").value();
    let row = rows.into_iter().find(|row| row.name == limit);
    row.expect("it is shown").value
}

#[test]
fn what_cannot_be_changes_nothing() {
    let harness = Harness::start();
    let before = harness.handle().settings();
    let [min, max] = [2, 1].map(Duration::from_secs);
    let wrong = before
        .clone()
        .request_timeout(SHORT)
        .shutdown_grace_period(Grace::Auto { min, max });
    let refused = harness.handle().reconfigure(wrong);
    assert_eq!(refused, Err(ConfigError::GraceBounds { min, max }));
    assert_eq!(harness.handle().settings(), before);
    assert_eq!(shown(&mut harness.connect(), "request_timeout_ms"), 0);
}

#[test]
fn a_request_that_waits_keeps_its_time_and_the_next_one_has_the_new_one() {
    let harness = Harness::start_with(config().request_timeout(HOUR), Script::default());
    let mut peer = harness.connect();
    peer.send(&RequestBuilder::call(1, "never", NO_ARGS));
    harness.wait_until("it is under way", || harness.handle().in_flight() == 1);
    reconfigure(&harness, |own| own.request_timeout(SHORT));
    let late = peer.ask(&RequestBuilder::call(2, "never", NO_ARGS));
    assert_eq!((late.sync, late.error_code()), (2, Some(78)));
    assert_eq!(shown(&mut peer, "request_timeout_ms"), 20);
    assert_eq!(harness.handle().in_flight(), 1, "the first one waits");
}

#[test]
fn the_next_transaction_has_the_new_time() {
    let harness = Harness::start_with(config().transaction_timeout(HOUR), Script::default());
    let mut peer = harness.connect();
    assert_eq!(peer.ask(&in_stream(RequestType::Begin, 1)).code, 0);
    reconfigure(&harness, |own| own.transaction_timeout(SHORT));
    let mut other = harness.connect();
    assert_eq!(other.ask(&in_stream(RequestType::Begin, 1)).code, 0);
    harness.wind(2 * SHORT);
    let aborted = other.ask(&in_stream(RequestType::Commit, 2));
    assert_eq!(aborted.error_code(), Some(231));
    assert_eq!(peer.ask(&in_stream(RequestType::Commit, 2)).code, 0);
}

#[test]
fn who_is_an_administrator_is_judged_anew_by_the_next_request() {
    let harness = Harness::start();
    let [mut guest, mut alice] = [(); 2].map(|()| harness.connect());
    alice.log_in("alice", "secret");
    assert!(is_administrator(&mut guest) && is_administrator(&mut alice));
    let users = Administrators::Users(vec!["alice".to_owned()]);
    reconfigure(&harness, |own| own.administrators(users));
    assert!(!is_administrator(&mut guest) && is_administrator(&mut alice));
    assert!(!is_administrator(&mut harness.connect()));
    reconfigure(&harness, |own| {
        own.administrators(Administrators::Users(Vec::new()))
    });
    assert!(!is_administrator(&mut alice));
    reconfigure(&harness, |own| {
        own.administrators(Administrators::LocalConnections)
    });
    assert!(is_administrator(&mut guest) && is_administrator(&mut alice));
}

/// Procedures that Tx runs ask who calls as well.
#[test]
fn tx_hears_who_is_an_administrator_now() {
    let script = Script::default();
    let procedures = Procedures::default().with_engine("told", |call| {
        call.reply.value(&call.caller.is_administrator)
    });
    let server = TestServer::of(move || Ok(script.engine()), procedures);
    let mut peer = server.connect();
    let told = |peer: &mut Peer| peer.call("told", NO_ARGS).value::<bool>();
    assert!(told(&mut peer));
    let reconfigure = |administrators| {
        let settings = server.handle().settings().administrators(administrators);
        assert_eq!(server.handle().reconfigure(settings), Ok(()));
    };
    reconfigure(Administrators::Users(Vec::new()));
    assert!(!told(&mut peer));
    reconfigure(Administrators::LocalConnections);
    assert!(told(&mut peer));
}

#[test]
fn connections_that_are_there_stay_when_their_bound_is_lowered() {
    let nobody = Administrators::Users(Vec::new());
    let harness = Harness::start_with(config().administrators(nobody), Script::default());
    let mut kept: Vec<_> = (0..3).map(|_| harness.connect()).collect();
    let limits = ConnectionLimits::default();
    reconfigure(&harness, |own| {
        own.connection_limits(limits.connections_max(2))
    });
    let refused = harness.connect().receive_until_closed();
    assert_eq!(refused[0].error_code(), Some(116));
    kept.iter_mut().for_each(Peer::ping);
    kept.truncate(1);
    harness.wait_until("two have left", || harness.handle().connection_count() == 1);
    kept.push(harness.connect());
    kept.iter_mut().for_each(Peer::ping);
    let of_one_address = limits.per_address_max(2);
    reconfigure(&harness, |own| own.connection_limits(of_one_address));
    let refused = harness.connect().receive_until_closed();
    let told = refused[0].error_text().expect("it is refused");
    assert!(told.contains("from 127.0.0.1: there may be 2"), "{told}");
    reconfigure(&harness, |own| own.connection_limits(limits));
    harness.connect().ping();
}

#[test]
fn the_memory_of_connections_has_its_new_bound_at_once() {
    const LARGE: u32 = 1 << 20;
    let harness = Harness::start();
    let mut peer = harness.connect();
    assert_eq!(
        peer.ask(&RequestBuilder::replace_large(1, 1, LARGE)).code,
        0
    );
    let small = ConnectionLimits::default().memory_max(4 * LARGE as usize);
    reconfigure(&harness, |own| own.connection_limits(small));
    assert_eq!(
        shown(&mut peer, "connections_memory_max_bytes"),
        u64::from(4 * LARGE)
    );
    let metrics = harness.handle().metrics();
    assert_eq!(metrics.connections_memory.max_bytes, 4 * LARGE as usize);
    // Many replies that nobody reads: no more are made than fit.
    let mut greedy: Vec<_> = (0..10).map(|_| harness.connect()).collect();
    for peer in &mut greedy {
        (1..=10).for_each(|sync| peer.send(&RequestBuilder::select(sync, 1)));
    }
    let used = || harness.handle().metrics().connections_memory.used_bytes;
    harness.wait_until("it is scarce", || used() > 2 * LARGE as usize);
    assert!(used() < 16 * LARGE as usize, "{}", used());
    // Those who read get all of theirs.
    reconfigure(&harness, |own| {
        own.connection_limits(ConnectionLimits::default())
    });
    for peer in &mut greedy {
        (1..=10).for_each(|sync| assert_eq!(peer.receive().sync, sync));
    }
}

#[test]
fn the_watchdog_goes_by_the_new_time_and_can_be_turned_on_and_off() {
    let harness = Harness::start();
    let mut blocked = harness.block();
    let mut peer = harness.connect();
    peer.send(&RequestBuilder::replace(1, 1));
    reconfigure(&harness, |own| own.tx_stall_after(SHORT));
    harness.wait_for(State::Solo);
    assert_eq!(peer.receive().error_code(), Some(116));
    // Nobody would see that it is over.
    reconfigure(&harness, |own| own.tx_stall_after(Duration::ZERO));
    harness.wait_for(State::Assist);
    peer.send(&RequestBuilder::replace(2, 2));
    reconfigure(&harness, |own| own.tx_stall_after(HOUR));
    reconfigure(&harness, |own| own.tx_stall_after(SHORT));
    harness.wait_for(State::Solo);
    assert_eq!(peer.receive().error_code(), Some(116));
    harness.script().release();
    assert_eq!(blocked.receive().code, 0);
    harness.wait_for(State::Assist);
    assert_eq!(peer.ask(&RequestBuilder::replace(3, 3)).code, 0);
}

#[test]
fn solo_goes_by_the_new_policy() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    let mut operator = harness.connect();
    operator.call("vestibule.solo", NO_ARGS);
    let ask = |peer: &mut Peer, sync| peer.ask(&RequestBuilder::replace(sync, sync));
    assert_eq!(ask(&mut peer, 1).error_code(), Some(116));
    let hold = HoldLimits::default().time_max(HOUR).requests_max(2);
    reconfigure(&harness, |own| own.solo_policy(SoloPolicy::Hold).hold(hold));
    (2..=4).for_each(|sync| peer.send(&RequestBuilder::replace(sync, sync)));
    assert_eq!(peer.receive().sync, 4, "two are kept");
    let mut new = harness.connect();
    assert_eq!(ask(&mut new, 1).error_code(), Some(116));
    reconfigure(&harness, |own| own.solo_policy_new(SoloPolicy::Close));
    let told = harness.connect().receive_until_closed();
    assert_eq!(told[0].error_code(), Some(116));
    operator.call("vestibule.assist", NO_ARGS);
    assert_eq!([peer.receive().sync, peer.receive().sync], [2, 3]);
}

#[test]
fn time_limits_hold_for_connections_that_are_there() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    peer.ping();
    reconfigure(&harness, |own| {
        own.time_limits(TimeLimits::default().idle(HOUR))
    });
    harness.wind(HOUR / 2);
    peer.ping();
    reconfigure(&harness, |own| {
        own.time_limits(TimeLimits::default().idle(HOUR / 4))
    });
    harness.wind(HOUR / 2);
    assert!(peer.receive_until_closed().is_empty());

    let mut peer = harness.connect();
    reconfigure(&harness, |own| own.time_limits(TimeLimits::default()));
    harness.wind(2 * HOUR);
    peer.ping();
    reconfigure(&harness, |own| {
        own.time_limits(TimeLimits::default().authentication(HOUR))
    });
    assert!(peer.receive_until_closed().is_empty());
}

/// Who came in while there was none has it now.
#[test]
fn the_time_to_log_in_as_an_administrator_holds_for_those_who_are_there() {
    let limits = TimeLimits::default().admin_authentication(Duration::ZERO);
    let nobody = Administrators::Users(vec!["alice".to_owned()]);
    let config = config()
        .admin_listen(vec![([127, 0, 0, 1], 0).into()])
        .administrators(nobody)
        .time_limits(limits);
    let harness = Harness::start_with(config, Script::default());
    let mut peer = Peer::connect(harness.handle().admin_addresses()[0]);
    harness.wind(HOUR);
    peer.ping();
    let limits = TimeLimits::default().admin_authentication(HOUR / 2);
    reconfigure(&harness, |own| own.time_limits(limits));
    // It is told why.
    let told = peer.receive_until_closed();
    assert_eq!(told[0].error_code(), Some(116));
}

#[derive(Deserialize)]
struct Reservation {
    waiting: usize,
}

#[test]
fn who_begins_to_wait_goes_by_the_new_time() {
    let harness = Harness::start_with(config().wait_timeout(HOUR), Script::default());
    let mut holder = harness.connect();
    let lock = |sync| RequestBuilder::call(sync, "vestibule.lock", &[0x91, 0xa1, b'a']);
    assert_eq!(holder.ask(&lock(1)).code, 0);
    let mut first = harness.connect();
    first.send(&lock(1));
    harness.wait_until("it waits by the old time", || {
        let shown = harness.connect().show("reservations");
        shown.data::<Vec<Vec<Reservation>>>()[0][0].waiting == 1
    });
    reconfigure(&harness, |own| own.wait_timeout(SHORT));
    let mut second = harness.connect();
    assert_eq!(second.ask(&lock(1)).error_code(), Some(78));
    drop(holder);
    assert_eq!(first.receive().code, 0);
}

#[test]
fn a_stop_goes_by_the_new_grace_and_announcement() {
    let harness = Harness::start_with(config().lameduck(HOUR), Script::default());
    let _running = harness.block();
    reconfigure(&harness, |own| {
        own.lameduck(Duration::ZERO)
            .shutdown_grace_period(Grace::Limited(SHORT))
    });
    let handle = harness.handle().clone();
    handle.begin_drain(None, "test");
    harness.wait_for(State::Draining);
    harness.wait_until("the grace is over", || {
        handle.serving().state == State::Stopped || handle.in_flight() == 0
    });
}
