//! A clock that is wound by hand: what is due when `wind` returns has been seen by every thread.
//!
//! `VESTIBULE_WINDS=500` does each of them so often.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use vestibule_actors::config::TimeLimits;
use vestibule_actors::serving::State;
use vestibule_actors::testing::{Harness, RequestBuilder, Script, TestServer, block_on, config};
use vestibule_actors::wire::keys::RequestType;

const SECOND: Duration = Duration::from_secs(1);

/// How often each is done.
fn times() -> usize {
    let times = std::env::var("VESTIBULE_WINDS").ok();
    times.and_then(|own| own.parse().ok()).unwrap_or(5)
}

fn in_stream(request: RequestType, sync: u64) -> RequestBuilder {
    RequestBuilder::new(request, sync).stream(1)
}

/// Tx has aborted it before its COMMIT comes.
#[test]
fn a_transaction_whose_time_is_over_is_aborted_when_the_clock_is_wound() {
    let config = config().transaction_timeout(30 * SECOND);
    let harness = Harness::start_with(config, Script::default());
    for round in 0..times() {
        let mut peer = harness.connect();
        assert_eq!(peer.ask(&in_stream(RequestType::Begin, 1)).code, 0);
        // At the limit to the tick, and beyond.
        harness.wind(30 * SECOND + Duration::from_millis([20, 1000][round % 2]));
        let commit = peer.ask(&in_stream(RequestType::Commit, 2));
        assert_eq!(commit.error_code(), Some(231), "round {round}");
    }
}

/// What is known to be under way is where it waits before the clock is wound.
#[test]
fn a_wait_that_is_over_is_answered_wherever_its_request_was() {
    let config = config()
        .wait_timeout(60 * SECOND)
        .request_timeout(Duration::ZERO);
    let harness = Harness::start_with(config, Script::default());
    for round in 0..times() {
        let mut peer = harness.connect();
        peer.send(&RequestBuilder::call(1, "never", &[0x90]));
        harness.wait_until("it is forwarded", || harness.handle().in_flight() == 1);
        harness.wind(60 * SECOND + Duration::from_millis(20));
        assert_eq!(peer.receive().error_code(), Some(78), "round {round}");
        drop(peer);
        harness.wait_until("it is over", || harness.handle().in_flight() == 0);
    }
}

/// As if the time had passed: what is due before something else is done before it, in whatever
/// thread.
#[test]
fn what_is_due_is_done_in_its_order() {
    let config = config().transaction_timeout(25 * SECOND);
    for round in 0..times() {
        let (script, told) = (Script::default(), Arc::<Mutex<Vec<bool>>>::default());
        let (make, log, seen) = (script.clone(), script.clone(), told.clone());
        let procedures = Script::procedures().every(10 * SECOND, move |_, _| {
            let is_over = log.log().contains(&"rollback 1".to_owned());
            seen.lock().expect("nobody panics").push(is_over);
            Ok(())
        });
        let server = TestServer::with_config(config.clone(), move || Ok(make.engine()), procedures);
        let mut peer = server.connect();
        assert_eq!(peer.ask(&in_stream(RequestType::Begin, 1)).code, 0);
        server.wind(60 * SECOND);
        let told = told.lock().expect("nobody panics").clone();
        assert_eq!(
            told,
            [false, false, true, true, true, true],
            "round {round}"
        );
    }
}

/// A procedure asks the runtime what time it is, and sleeps by its clock.
#[test]
fn procedures_go_by_the_clock_that_is_wound() {
    let told = Arc::<Mutex<Vec<Instant>>>::default();
    let seen = told.clone();
    let procedures = Script::procedures()
        .read_only("now", move |call| {
            seen.lock().expect("nobody panics").push(call.reply.now());
            call.reply.value(&true)
        })
        .async_function("nap", async |(seconds,): (u32,), context| {
            let began = context.now();
            context.sleep(seconds * SECOND).await;
            Ok((context.now() - began).as_secs())
        });
    let script = Script::default();
    let server = TestServer::of(move || Ok(script.engine()), procedures);
    let mut peer = server.connect();
    for round in 0..times() as u32 {
        let hours = 3600 * (round + 1);
        peer.send(&RequestBuilder::call(1, "nap", &[0x91, 30]));
        server.wait_until("it is forwarded", || server.handle().in_flight() == 1);
        let before = server.handle().now();
        server.wind(hours * SECOND);
        assert!(server.handle().now() - before >= hours * SECOND);
        // It was woken at its time, or as much later as this machine took, and not at the end.
        let slept = peer.receive().value::<u64>();
        assert!((30..3600).contains(&slept), "round {round}: {slept}");
        assert!(peer.call_with("now", &()).value::<bool>());
        let told = told.lock().expect("nobody panics").pop();
        assert!(told.expect("it was called") - before >= hours * SECOND);
    }
}

/// Idle is who asked nothing since the clock was wound last.
#[test]
fn a_connection_that_is_idle_is_closed_when_the_clock_is_wound() {
    let limits = TimeLimits::default().idle(60 * SECOND);
    let harness = Harness::start_with(config().time_limits(limits), Script::default());
    for _ in 0..times() {
        let mut peer = harness.connect();
        peer.ping();
        harness.wind(30 * SECOND);
        peer.ping();
        harness.wind(90 * SECOND);
        assert!(peer.receive_until_closed().is_empty());
        assert_eq!(harness.handle().connection_count(), 0);
    }
}

/// A transition that gives what runs an hour.
#[test]
fn the_grace_of_a_transition_is_over_when_the_clock_is_wound() {
    for _ in 0..times() {
        let harness = Harness::start();
        let mut peer = harness.connect();
        assert_eq!(peer.ask(&in_stream(RequestType::Begin, 1)).code, 0);
        let runtime = harness.handle().clone();
        std::thread::scope(|scope| {
            let demotion = scope.spawn(|| block_on(runtime.demote(Some(3600 * SECOND), "test")));
            harness.wait_until("it is under way", || {
                runtime.serving().state == State::Draining
            });
            harness.wind(3600 * SECOND);
            let outcome = demotion.join().expect("no panic");
            let transition = outcome.transition.expect("it is carried out");
            assert_eq!(transition.aborted_transactions, 1);
        });
        let commit = peer.ask(&in_stream(RequestType::Commit, 2));
        assert_eq!(commit.error_code(), Some(7));
    }
}
