//! Calls that wait for a transition and are not to wait until its end.

use std::time::Duration;

use serde::Deserialize;
use vestibule_actors::serving::{Role, State};
use vestibule_actors::testing::{Frame, Harness, Peer, RequestBuilder, Script, config};
use vestibule_actors::wire::keys::RequestType;

use super::{begin, commit, is_unknown, state, table, told};

/// Of one connection.
const WAITS_MAX: u64 = 16;

/// What `vestibule.show('requests')` tells of each.
#[derive(Debug, Deserialize)]
struct Shown {
    connection: u64,
    sync: Option<u64>,
    procedure: Option<String>,
    #[serde(rename = "type")]
    request: Option<String>,
    state: String,
}

fn start(request_timeout: Duration) -> Harness {
    let config = config().request_timeout(request_timeout);
    Harness::start_with(config, Script::default())
}

/// A transaction that a demotion waits for, and a call that waits for the demotion.
fn demote_behind_a_transaction(harness: &Harness) -> (Peer, Peer) {
    let (mut writer, mut waiting) = (harness.connect(), harness.connect());
    assert_eq!(writer.ask(&begin(1)).code, 0);
    waiting.send(&demotion(9));
    harness.wait_for(State::Draining);
    (writer, waiting)
}

fn demotion(sync: u64) -> RequestBuilder {
    let times = table(&[("grace", 3600.0), ("timeout", 3600.0)]);
    RequestBuilder::call(sync, "vestibule.demote", &times)
}

/// The calls that wait for transitions.
fn waiting_calls(operator: &mut Peer) -> Vec<Shown> {
    let frame = operator.show("requests");
    let (mut shown,): (Vec<Shown>,) = frame.data();
    shown.retain(|own| own.state == "waiting");
    shown
}

fn kill(operator: &mut Peer, connection: u64, sync: u64) -> u64 {
    let args = [0x92, connection as u8, sync as u8];
    let frame = operator.call("vestibule.kill", &args);
    let (killed,): (std::collections::BTreeMap<String, u64>,) = frame.data();
    killed["requests"]
}

/// The transition was not touched, and its end is told to nobody who did not wait for it.
fn the_transition_goes_on(harness: &Harness, mut writer: Peer, mut waiting: Peer) {
    assert_eq!(state(&mut waiting).wanted, "replica");
    assert_eq!(writer.ask(&commit(2)).code, 0);
    harness.wait_until("it is a replica", || {
        harness.handle().serving().role == Role::Replica
    });
    waiting.ping();
}

fn goes_on(frame: &Frame) -> bool {
    let text = frame.error_text().unwrap_or_default();
    text.ends_with("the transition goes on") && frame.error_mentions("outcome")
}

#[test]
fn a_call_that_waits_for_a_transition_is_listed_and_can_be_killed() {
    let harness = Harness::start();
    let mut operator = harness.connect();
    let (writer, mut waiting) = demote_behind_a_transaction(&harness);
    let shown = waiting_calls(&mut operator);
    let [call] = &shown[..] else {
        panic!("one call waits: {shown:?}");
    };
    assert_eq!(call.procedure.as_deref(), Some("vestibule.demote"));
    assert_eq!(
        (call.sync, call.request.as_deref()),
        (Some(9), Some("CALL"))
    );
    assert_eq!(kill(&mut operator, call.connection, 8), 0, "another sync");
    assert_eq!(kill(&mut operator, call.connection, 9), 1);
    let killed = waiting.receive();
    assert_eq!((killed.sync, killed.error_code()), (9, Some(32)));
    assert!(goes_on(&killed), "{killed:?}");
    assert!(waiting_calls(&mut operator).is_empty());
    the_transition_goes_on(&harness, writer, waiting);
}

#[test]
fn a_call_waits_for_a_transition_no_longer_than_a_request_may_take() {
    const TIMEOUT: Duration = Duration::from_millis(50);
    let harness = start(TIMEOUT);
    let before = std::time::Instant::now();
    let (mut writer, mut waiting) = (harness.connect(), harness.connect());
    assert_eq!(writer.ask(&begin(1)).code, 0);
    waiting.send(&demotion(9));
    let late = waiting.receive();
    assert_eq!((late.sync, late.error_code()), (9, Some(78)));
    assert!(goes_on(&late), "{late:?}");
    assert!(before.elapsed() >= TIMEOUT);
    the_transition_goes_on(&harness, writer, waiting);
}

/// As many as ever wait in all, several times over: who is gone takes nobody's place.
#[test]
fn those_who_do_not_wait_any_longer_make_room_for_others() {
    const ROUNDS: usize = 1024 / WAITS_MAX as usize + 1;
    let harness = Harness::start();
    let (mut writer, waiting) = demote_behind_a_transaction(&harness);
    for _ in 0..ROUNDS {
        let mut gone = harness.connect();
        let calls = (0..=WAITS_MAX).flat_map(|sync| demotion(sync).bytes());
        gone.send_bytes(&calls.collect::<Vec<_>>());
        let refused = gone.receive();
        let code = (refused.sync, refused.error_code());
        assert_eq!(code, (WAITS_MAX, Some(1)), "one too many for a connection");
        // Its client does not even take the answer, so this is no half that is closed.
        gone.send(&RequestBuilder::new(RequestType::Ping, 99));
        drop(gone);
        harness.wait_until("it is gone", || harness.handle().connection_count() == 2);
    }
    let mut last = harness.connect();
    last.send(&demotion(5));
    last.ping();
    assert_eq!(writer.ask(&commit(2)).code, 0);
    for (mut peer, sync) in [(waiting, 9), (last, 5)] {
        let frame = peer.receive();
        assert_eq!(frame.sync, sync);
        assert_eq!(told(&frame).result, "done");
    }
}

/// All of a connection, with the connection.
#[test]
fn who_kills_its_own_connection_hears_of_all_its_calls() {
    let harness = Harness::start();
    let (_writer, mut waiting) = demote_behind_a_transaction(&harness);
    waiting.send(&demotion(10));
    let shown = waiting_calls(&mut waiting);
    assert_eq!(shown.len(), 2);
    let args = [0x91, shown[0].connection as u8];
    waiting.send(&RequestBuilder::call(11, "vestibule.kill", &args));
    let frames = waiting.receive_until_closed();
    let told: Vec<_> = frames
        .iter()
        .map(|own| (own.sync, own.error_code()))
        .collect();
    assert_eq!(told, [(9, Some(32)), (10, Some(32)), (11, None)]);
}

/// The deadline is here before the Supervisor can tell them that the demotion is superseded.
#[test]
fn a_stop_without_time_answers_the_calls_that_wait() {
    let mut harness = Harness::start();
    let (_writer, mut waiting) = demote_behind_a_transaction(&harness);
    let mut operator = harness.connect();
    let times = table(&[("timeout", 0.0)]);
    operator.send(&RequestBuilder::call(1, "vestibule.drain", &times));
    let frames = waiting.receive_until_closed();
    let told: Vec<_> = frames
        .iter()
        .map(|own| (own.sync, own.error_code()))
        .collect();
    assert_eq!(told, [(9, Some(279))]);
    assert!(is_unknown(&frames[0]), "{frames:?}");
    let _ = harness.join();
}
