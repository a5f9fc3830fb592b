//! A stop, and those who have to hear of it: clients that watch for it have a moment for what they
//! sent before they heard, and administrators stay, come in and act until its end.

use std::time::Duration;

use vestibule_actors::Config;
use vestibule_actors::serving::State;
use vestibule_actors::testing::{
    Harness, Peer, RequestBuilder, Script, ScriptedEngine, block_on, config,
};
use vestibule_actors::wire::events;
use vestibule_actors::wire::keys::{self, RequestType};

const NO_ARGS: &[u8] = &[0x90];
const LONG: Duration = Duration::from_secs(3600);

fn watch_shutdown(sync: u64) -> RequestBuilder {
    RequestBuilder::new(RequestType::Watch, sync).text(keys::EVENT_KEY, events::SHUTDOWN)
}

/// The arguments `{timeout = seconds}`.
fn timeout(seconds: f64) -> Vec<u8> {
    let mut args = vec![0x91, 0x81, 0xa7];
    args.extend_from_slice(b"timeout");
    args.push(0xcb);
    args.extend_from_slice(&seconds.to_be_bytes());
    args
}

fn with_admin_listener() -> Config {
    config().admin_listen(vec![([127, 0, 0, 1], 0).into()])
}

/// what was on its way before its client could know of the stop is executed.
#[test]
fn a_client_that_watches_for_a_stop_is_served_for_a_moment_after_it_has_begun() {
    let mut harness = Harness::start();
    let mut watcher = harness.connect();
    watcher.ask(&watch_shutdown(1));
    watcher.send(&watch_shutdown(2));
    watcher.ping();
    let mut other = harness.connect();
    other.ask(&RequestBuilder::new(RequestType::Begin, 1).stream(1));
    harness.handle().begin_drain(Some(LONG), "test");
    harness.wait_for(State::Draining);
    // It has not read the event yet. How long the moment is, the simulation shows.
    for key in 10..50 {
        watcher.send(&RequestBuilder::replace(key, key));
    }
    let told: Vec<_> = (0..41).map(|_| watcher.receive()).collect();
    let is_event = |sync: u64| sync == 2;
    let replies = told.iter().filter(|own| !is_event(own.sync));
    let codes: Vec<_> = replies.map(|own| own.error_code()).collect();
    assert_eq!(codes.len(), 40);
    let served = codes.iter().take_while(|code| code.is_none()).count();
    assert!(
        codes[served..].iter().all(|code| *code == Some(279)),
        "{told:?}"
    );
    // Who does not watch cannot know, and is told.
    let refused = other.ask(&RequestBuilder::replace(2, 2));
    assert_eq!(refused.error_code(), Some(279));
    // The moment is over some time, also for one that does not care.
    harness.wait_until("the moment is over", || {
        let mut own = watcher.clone_for_writing();
        key_of(&mut own, 100).error_code() == Some(279)
    });
    assert_eq!(key_of(&mut watcher, 101).error_code(), Some(279));
    drop((watcher, other));
    let report = harness.join();
    assert_eq!(report.killed, 0);
    let executed: Vec<_> = (10..50).take(served).collect();
    assert_eq!(harness.script().executed()[..served], executed);
}

fn key_of(peer: &mut Peer, key: u64) -> vestibule_actors::testing::Frame {
    peer.ask(&RequestBuilder::replace(key, key))
}

/// an operator can look at what holds a stop up, end it, and come in for that.
#[test]
fn operators_stay_come_in_and_act_until_a_stop_is_done() {
    let mut harness = Harness::start_with(with_admin_listener(), Script::default());
    let mut operator = harness.connect();
    operator.show("limits");
    let mut idle = harness.connect();
    idle.ping();
    let mut stuck = harness.connect();
    stuck.send(&RequestBuilder::call(5, "never", NO_ARGS));
    harness.wait_until("it is on its way", || harness.handle().in_flight() == 1);
    harness.handle().begin_drain(None, "test");
    harness.wait_for(State::Draining);
    assert!(
        idle.receive_until_closed().is_empty(),
        "it is no operator's"
    );
    // The one that is there stays, and another comes in.
    operator.ping();
    let mut second = Peer::connect(harness.handle().admin_addresses()[0]);
    for own in [&mut operator, &mut second] {
        let shown = own.show("requests");
        assert!(shown.error_mentions("never"), "{shown:?}");
    }
    let connection: (Vec<Row>,) = second.show("requests").data();
    let connection = connection.0[0].connection;
    let killed = second.call("vestibule.kill", &[0x91, connection as u8]);
    assert_eq!(killed.code, 0);
    assert_eq!(stuck.receive().error_code(), Some(32));
    // Nothing is left to wait for, and nobody waits for operators.
    let report = harness.join();
    assert_eq!((report.killed, report.tx_stopped), (0, true));
    assert!(operator.receive_until_closed().is_empty());
    assert!(second.receive_until_closed().is_empty());
}

#[derive(serde::Deserialize)]
struct Row {
    connection: u64,
}

/// whichever of two session threads has the administrator, and which what is ended: that is
/// the last that the stop waits for, and the thread of the administrator may have nothing else.
#[test]
fn what_an_operator_ended_in_a_stop_is_answered_before_the_stop_is_done() {
    for _ in 0..20 {
        let config = with_admin_listener().session_threads(2);
        let mut harness = Harness::start_with(config, Script::default());
        let address = harness.handle().admin_addresses()[0];
        let mut operators = [0, 1].map(|_| Peer::connect(address));
        operators
            .iter_mut()
            .for_each(|own| drop(own.show("limits")));
        let mut stuck = harness.connect();
        stuck.send(&RequestBuilder::call(5, "never", NO_ARGS));
        harness.wait_until("it is on its way", || harness.handle().in_flight() == 1);
        harness.handle().begin_drain(None, "test");
        harness.wait_for(State::Draining);
        let [first, second] = &mut operators;
        let rows: (Vec<Row>,) = first.show("requests").data();
        // Both threads have seen the stop, and nobody waits for administrators.
        let killed = second.call("vestibule.kill", &[0x91, rows.0[0].connection as u8]);
        assert_eq!(killed.code, 0);
        assert_eq!(stuck.receive().error_code(), Some(32));
        assert_eq!(harness.join().killed, 0);
    }
}

/// Tx hears nobody any more, and the administrator's connection is one that nobody waits for.
#[test]
fn what_an_operator_asks_of_a_tx_that_is_closing_is_refused_and_counted() {
    let mut harness = Harness::start_with(with_admin_listener(), Script::default());
    let mut administrator = Peer::connect(harness.handle().admin_addresses()[0]);
    administrator.ping();
    harness.script().hold_close();
    harness.handle().begin_drain(Some(LONG), "test");
    harness.script().wait_for_log("closing");
    administrator.send(&RequestBuilder::new(RequestType::Commit, 7).stream(1));
    harness.wait_until("it is on its way", || harness.handle().in_flight() == 1);
    harness.script().release();
    let told = administrator.receive();
    assert_eq!((told.sync, told.error_code()), (7, Some(279)));
    let report = harness.join();
    assert_eq!((report.killed, report.tx_stopped), (1, true));
}

/// a job is what the stop waits for, then a request of an administrator's that came after its
/// thread had nothing left to wait for.
#[test]
fn what_an_operator_asks_for_while_a_stop_waits_is_waited_for() {
    let mut harness = Harness::start_with(with_admin_listener(), Script::default());
    let address = harness.handle().admin_addresses()[0];
    let [mut watcher, mut operator] = [0, 1].map(|_| Peer::connect(address));
    harness.script().hold_tx();
    let (runtime, script) = (harness.handle().clone(), harness.script().clone());
    let job = std::thread::spawn(move || {
        let work = move |_: &mut ScriptedEngine| {
            script.stand_still();
            Ok(())
        };
        block_on(runtime.write(work))
    });
    harness.script().wait_until_blocked();
    harness.handle().begin_drain(Some(LONG), "test");
    harness.wait_for(State::Draining);
    // When the second is answered, the thread has told that nothing is left but the job.
    (0..2).for_each(|_| watcher.ping());
    watcher.send(&watch_shutdown(2));
    watcher.send(&RequestBuilder::call(5, "never", NO_ARGS));
    assert_eq!(watcher.receive().sync, 2);
    harness.wait_until("the job and the call", || harness.handle().in_flight() == 2);
    // Its thread shows that one step before it tells that it is busy again, and answers after both.
    watcher.ping();
    harness.script().release();
    assert_eq!(job.join().expect("it does not panic"), Ok(()));
    harness.script().wait_for_log("never: begun");
    // A stop that did not wait would be over by then.
    (0..100).for_each(|_| operator.ping());
    let rows: (Vec<Row>,) = operator.show("requests").data();
    let killed = operator.call("vestibule.kill", &[0x91, rows.0[0].connection as u8]);
    assert_eq!(killed.code, 0);
    assert_eq!(watcher.receive().error_code(), Some(32));
    let report = harness.join();
    assert_eq!((report.killed, report.tx_stopped), (0, true));
}

/// A monitor that asks at the wrong moment changes nothing about how clean a stop was.
#[test]
fn half_a_request_of_an_administrator_is_refused_and_is_nothing_that_was_cut_off() {
    let config = with_admin_listener().session_threads(1);
    let mut harness = Harness::start_with(config, Script::default());
    let address = harness.handle().admin_addresses()[0];
    let mut half = Peer::connect(address);
    half.ping();
    harness.script().hold_close();
    harness.handle().begin_drain(Some(LONG), "test");
    harness.script().wait_for_log("closing");
    let whole = RequestBuilder::new(RequestType::Ping, 8).bytes();
    let mut bytes = [whole, RequestBuilder::replace(9, 9).bytes()].concat();
    bytes.pop();
    half.send_bytes(&bytes);
    assert_eq!(half.receive().sync, 8);
    harness.script().release();
    let told = half.receive();
    assert_eq!((told.sync, told.error_code()), (9, Some(279)));
    let report = harness.join();
    assert_eq!((report.killed, report.tx_stopped), (0, true));
}

#[test]
fn operators_hold_up_no_stop() {
    let mut harness = Harness::start_with(with_admin_listener(), Script::default());
    let mut administrator = Peer::connect(harness.handle().admin_addresses()[0]);
    administrator.ping();
    let mut operator = harness.connect();
    let told = operator.call("vestibule.drain", &timeout(3600.0));
    assert_eq!(told.code, 0);
    let report = harness.join();
    assert!(report.took < LONG);
    assert!(operator.receive_until_closed().is_empty());
    assert!(administrator.receive_until_closed().is_empty());
}

/// a later caller that has less time gives a stop less time, and is told.
#[test]
fn a_second_drain_shortens_the_first_also_if_that_was_for_ever() {
    #[derive(serde::Deserialize)]
    struct Told {
        transition: UnderWay,
    }
    #[derive(serde::Deserialize)]
    struct UnderWay {
        left: Option<f64>,
    }
    let forever = config().shutdown_grace_period(vestibule_actors::config::Grace::Forever);
    let mut harness = Harness::start_with(forever, Script::default());
    let mut stuck = harness.connect();
    stuck.send(&RequestBuilder::call(5, "never", NO_ARGS));
    harness.wait_until("it is on its way", || harness.handle().in_flight() == 1);
    let mut operator = harness.connect();
    let left = |peer: &mut Peer, args: &[u8]| {
        let told = peer.call("vestibule.drain", args);
        told.data::<Vec<Told>>().remove(0).transition.left
    };
    assert_eq!(left(&mut operator, NO_ARGS), None);
    let hour = left(&mut operator, &timeout(3600.0)).expect("it is limited now");
    assert!(hour > 3000.0);
    // Longer ones, and those that ask for nothing, change nothing.
    assert!(left(&mut operator, &timeout(7200.0)).is_some_and(|own| own <= hour));
    assert!(left(&mut operator, NO_ARGS).is_some_and(|own| own <= hour));
    operator.send(&RequestBuilder::call(9, "vestibule.drain", &timeout(0.05)));
    let report = harness.join();
    assert_eq!(report.killed, 1);
    assert!(report.took < LONG);
    assert!(stuck.receive_until_closed().len() == 1);
}

#[test]
fn an_announcement_ends_when_somebody_stops_it_now() {
    let config = config().lameduck(LONG);
    let mut harness = Harness::start_with(config, Script::default());
    let mut peer = harness.connect();
    peer.ping();
    harness.handle().begin_drain(Some(LONG), "first");
    harness.wait_until("it is announced", || {
        harness.handle().serving().is_stop_announced()
    });
    peer.ping();
    harness.handle().stop_now("second");
    let report = harness.join();
    assert_eq!((report.killed, report.aborted_transactions), (0, 0));
}
