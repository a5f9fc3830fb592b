//! What operators see, for embedders: the same values, and the same means.

#[path = "monitoring/counters.rs"]
mod counters;

use std::time::Duration;

use serde::Serialize;
use vestibule_actors::config::Grace;
use vestibule_actors::monitoring::{
    ConnectionPlace, QuotaKind, RequestState, ReservationKind, TrafficMetrics,
};
use vestibule_actors::serving::{Role, State, TransitionPhase};
use vestibule_actors::testing::{Frame, Harness, RequestBuilder, Script, block_on, config};
use vestibule_actors::wire::keys::RequestType;
use vestibule_actors::wire::reply::write_value;
use vestibule_actors::{RecordedResult, Transition, TransitionResult};

const LONG: Duration = Duration::from_secs(3600);
const NO_ARGS: &[u8] = &[0x90];

/// Holds a reply against the value of the handle, byte by byte.
fn assert_same(reply: &Frame, value: &impl Serialize) {
    let mut body = Vec::new();
    write_value(&mut body, value).expect("it is a value");
    assert_eq!(reply.body, body);
}

#[test]
fn the_procedures_tell_what_the_handle_gives() {
    let harness = Harness::start();
    let handle = harness.handle();
    let mut operator = harness.connect();
    assert_same(&operator.show("descriptors"), &handle.descriptors());
    assert_same(&operator.show("transitions"), &handle.transitions());
    assert_same(&operator.show("quotas"), &handle.quotas());
    assert_same(&operator.show("reservations"), &handle.reservations());
    assert_same(&operator.show("threads"), &handle.threads());
    let told = operator.show("limits");
    assert_eq!(told.body.len(), {
        let mut body = Vec::new();
        write_value(&mut body, &handle.limits()).expect("they are values");
        body.len()
    });
    let told: (Instance,) = operator.call("box.info", NO_ARGS).data();
    let own = handle.instance();
    assert_eq!(told.0.uuid, own.uuid);
    assert_eq!((told.0.ro, own.ro), (false, false));
    let (told,): (Told,) = operator.call("vestibule.state", NO_ARGS).data();
    let own = handle.status();
    assert_eq!(told.state, own.state.name());
    assert_eq!((told.connections, own.connections), (1, 1));
    assert_eq!((told.jobs, told.fault), (0, None));
}

#[derive(Debug, serde::Deserialize)]
struct Kinds {
    what: Option<String>,
    kind: Option<String>,
}

#[test]
fn kinds_of_what_is_held_are_values_and_are_told_by_their_names() {
    let harness = Harness::start();
    let handle = harness.handle();
    let mut operator = harness.connect();
    assert_eq!(operator.call_with("vestibule.lock", &("a",)).code, 0);
    assert_eq!(operator.call("reserve", NO_ARGS).code, 0);
    let kinds: Vec<_> = handle.reservations().iter().map(|own| own.kind).collect();
    let expected = [ReservationKind::Lock, ReservationKind::Engine("scripted")];
    assert_eq!(kinds, expected);
    let (told,): (Vec<Kinds>,) = operator.show("reservations").data();
    let told: Vec<_> = told.into_iter().filter_map(|own| own.kind).collect();
    assert_eq!(told, ["lock", "scripted"]);
    let held = handle.quotas();
    assert_eq!((held[0].what, held[0].used), (QuotaKind::Reservations, 2));
    let (told,): (Vec<Kinds>,) = operator.show("quotas").data();
    assert_eq!(told[0].what.as_deref(), Some(held[0].what.name()));
    let bound = format!("{}_max", held[0].what);
    assert!(handle.limits().iter().any(|limit| limit.name == bound));
}

#[derive(Debug, serde::Deserialize)]
struct Instance {
    uuid: String,
    ro: bool,
}

#[derive(Debug, serde::Deserialize)]
struct Told {
    state: String,
    connections: usize,
    jobs: usize,
    fault: Option<String>,
}

#[test]
fn metrics_are_what_was_counted() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    let before = harness.handle().metrics();
    assert_eq!((before.state, before.role), (State::Assist, Role::Primary));
    assert!(before.is_ready && !before.has_fault && before.transitions > 0);
    for key in 0..3 {
        assert_eq!(peer.ask(&RequestBuilder::replace(key, key)).code, 0);
    }
    assert_ne!(peer.call("no such", NO_ARGS).code, 0);
    peer.ping();
    let begin = RequestBuilder::new(RequestType::Begin, 9).stream(1);
    assert_eq!(peer.ask(&begin).code, 0);
    let metrics = harness.handle().metrics();
    let count = |name| metrics.traffic.requests[name].total;
    assert_eq!((count("REPLACE"), count("CALL"), count("BEGIN")), (3, 1, 1));
    assert_eq!(count(TrafficMetrics::OTHER), 1, "the ping");
    let all = metrics.traffic.all_requests().total;
    assert_eq!(all, before.traffic.all_requests().total + 6);
    assert_eq!(
        (metrics.transactions, metrics.traffic.streams.total),
        (1, 1)
    );
    assert_eq!(metrics.traffic.errors.total, 1);
    assert_eq!(metrics.client_connections, 1);
    assert_eq!(metrics.threads.len(), harness.handle().threads().len());
    assert!(metrics.connections_memory.used_bytes <= metrics.connections_memory.max_bytes);
    assert!(
        metrics.data_memory.is_none(),
        "the engine does not count it"
    );
}

#[test]
fn an_embedder_lists_and_kills_while_tx_stands_still() {
    let harness = Harness::start();
    let handle = harness.handle();
    let mut stuck = harness.block();
    let mut other = harness.connect();
    other.send(&RequestBuilder::replace(7, 7));
    harness.wait_until("both are on their way", || handle.in_flight() == 2);
    let (status, metrics) = (handle.status(), handle.metrics());
    assert_eq!((status.queued, status.in_flight), (1, 2));
    assert_eq!((metrics.queued, metrics.in_flight), (1, 2));
    let connections = block_on(handle.connections(100));
    assert_eq!(connections.len(), 2);
    assert!(connections.iter().all(|own| own.in_flight == 1));
    assert!(
        connections
            .iter()
            .all(|own| own.place == ConnectionPlace::Client)
    );
    let mut requests = block_on(handle.requests(100));
    requests.sort_by_key(|own| own.connection);
    let states: Vec<_> = requests.iter().map(|own| own.state).collect();
    assert_eq!(states, [RequestState::Started, RequestState::Queued]);
    assert_eq!(requests[0].procedure.as_deref(), Some("block"));
    assert_eq!(requests[1].request_type, Some(RequestType::Replace));
    let (first, second) = (requests[0].connection, requests[1].connection);
    let killed = block_on(handle.kill_request(second, 7));
    assert_eq!((killed.connections, killed.requests), (0, 1));
    assert_ne!(other.receive().code, 0);
    let killed = block_on(handle.kill_connection(first));
    assert_eq!((killed.connections, killed.requests), (1, 1));
    let told = stuck.receive_until_closed();
    assert!(told[0].error_mentions("fiber is cancelled"), "{told:?}");
    let none = block_on(handle.kill_connection(first));
    assert_eq!((none.connections, none.requests), (0, 0));
    harness.script().release();
}

#[test]
fn an_embedder_declares_solo_and_takes_it_back() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    harness.handle().solo("the embedder's backup");
    let refused = peer.ask(&RequestBuilder::replace(1, 1));
    assert!(refused.error_mentions("Tx is busy: the embedder's backup"));
    assert_eq!(harness.handle().status().reason, "the embedder's backup");
    assert!(!harness.handle().metrics().is_ready);
    harness.handle().assist();
    assert_eq!(peer.ask(&RequestBuilder::replace(2, 2)).code, 0);
}

#[test]
fn a_transition_takes_everything_that_operators_may_say_about_it() {
    let harness = Harness::start();
    let handle = harness.handle();
    let demotion = Transition::to_replica()
        .grace(Grace::Forever)
        .reason("a test")
        .requested_by("me");
    let outcome = block_on(handle.change(demotion));
    assert_eq!(outcome.result, TransitionResult::Done);
    let record = outcome.transition.expect("it was carried out");
    assert_eq!((record.grace, record.result), (None, RecordedResult::Done));
    assert_eq!((&*record.reason, &*record.requested_by), ("a test", "me"));
    assert_eq!(handle.transitions().last(), Some(&record));
    let promotion = block_on(handle.change(Transition::to_primary()));
    let record = promotion.transition.expect("it was carried out");
    assert_eq!(
        (&*record.reason, record.to),
        ("promote", Role::Primary.into())
    );
    assert_eq!(record.requested_by, "the embedder");
}

/// The announcement ends when somebody gives it less time.
#[test]
fn a_stop_is_announced_for_as_long_as_the_embedder_says() {
    let config = config().lameduck(Duration::ZERO);
    let mut harness = Harness::start_with(config, Script::default());
    let handle = harness.handle();
    handle.begin(Transition::stop().lameduck(LONG).grace(Grace::AUTO));
    let is_announced = || {
        let transition = handle.status().transition;
        transition.is_some_and(|own| own.phase == TransitionPhase::Announce)
    };
    harness.wait_until("it is announced", is_announced);
    assert_eq!(handle.status().wanted, State::Stopped.into());
    let mut peer = harness.connect();
    assert_eq!(peer.ask(&RequestBuilder::replace(1, 1)).code, 0);
    handle.stop_now("the test");
    assert_eq!(harness.join().killed, 0);
}

/// A runtime that is gone answers as well: nothing is left.
#[test]
fn after_the_end_everything_is_told_and_nothing_is_there() {
    let harness = Harness::start();
    let handle = harness.handle().clone();
    assert!(harness.stop(LONG).tx_stopped);
    assert_eq!(block_on(handle.connections(100)), []);
    assert_eq!(block_on(handle.requests(100)), []);
    assert_eq!(handle.status().state, State::Stopped);
    assert_eq!(handle.metrics().client_connections, 0);
    let outcome = block_on(handle.change(Transition::to_replica()));
    assert_eq!(outcome.result, TransitionResult::Superseded);
}
