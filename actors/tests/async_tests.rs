//! Tests of an async runtime: nothing of `testing` keeps a server from going on, and time is wound.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use vestibule_actors::engine::{Engine, Fault, Outcome, Reply, Request};
use vestibule_actors::serving::{Role, State};
use vestibule_actors::testing::config;
use vestibule_actors::testing::{AsyncPeer, Harness, Peer, RequestBuilder, Script, TestServer};
use vestibule_actors::wire::Error;
use vestibule_actors::{Procedures, start};

const NO_ARGS: &[u8] = &[0x90];
const HOUR: Duration = Duration::from_secs(3600);

/// Nothing but procedures.
#[derive(Default)]
struct Nothing;

impl Engine for Nothing {
    fn execute(&mut self, _: &Request<'_>, _: &mut Reply<'_>) -> Result<Outcome, Error> {
        Err(Error::unsupported("This engine", "spaces"))
    }

    fn discard_turn(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

fn on_a_system(test: impl Future<Output = ()>) {
    actix_rt::System::new().block_on(test);
}

#[test]
fn an_async_peer_talks_to_a_server_of_its_own_thread() {
    on_a_system(async {
        let procedures =
            Procedures::<Nothing>::default().function("twice", |(of,): (u64,)| Ok(2 * of));
        let runtime = start(config(), || Ok(Nothing), procedures).expect("it starts");
        while runtime.serving().state != State::Assist {
            runtime.changed(runtime.serving()).await;
        }
        let mut peer = AsyncPeer::connect(runtime.addresses()[0]).await;
        peer.ping().await;
        assert_eq!(peer.call_with("twice", &(4,)).await.value::<u64>(), 8);
        // Two answers in one piece.
        let call = |sync| RequestBuilder::call(sync, "twice", &[0x91, sync as u8]).bytes();
        peer.send_bytes(&[call(1), call(2)].concat()).await;
        let [first, second] = [peer.receive().await, peer.receive().await];
        assert_eq!((first.value(), second.value()), (2u64, 4u64));
        assert_eq!(peer.log_in("guest", "").await.code, 0);
        assert_eq!(runtime.stop(Some(Duration::ZERO)).await.failure, None);
        assert_eq!(peer.try_receive().await, None);
    });
}

#[test]
fn a_peer_that_would_wait_for_its_own_thread_says_what_to_do() {
    on_a_system(async {
        let procedures = Procedures::<Nothing>::default();
        let runtime = start(config(), || Ok(Nothing), procedures).expect("it starts");
        let address = runtime.addresses()[0];
        let connect = AssertUnwindSafe(|| drop(Peer::connect(address)));
        let told = catch_unwind(connect).expect_err("nobody would accept it");
        let told = told.downcast_ref::<&str>().expect("it is a text");
        assert!(
            told.contains("AsyncPeer") && told.contains("TestServer"),
            "{told}"
        );
        runtime.stop(Some(Duration::ZERO)).await;
    });
}

#[test]
fn a_server_with_a_thread_of_its_own_may_be_waited_for_in_an_async_test() {
    on_a_system(async {
        let harness = Harness::start();
        harness.connect().ping();
        let outcome = harness.demote(Duration::ZERO);
        assert!(outcome.transition.is_some(), "{outcome:?}");
        assert_eq!(harness.handle().serving().role, Role::Replica);
        harness.promote();
        assert_eq!(harness.handle().serving().role, Role::Primary);
        assert_eq!(harness.stop(Duration::ZERO).failure, None);
    });
}

#[test]
fn the_time_of_a_request_is_over_when_the_clock_is_wound() {
    let config = config().request_timeout(HOUR).wait_timeout(2 * HOUR);
    let harness = Harness::start_with(config, Script::default());
    let mut peer = harness.connect();
    peer.send(&RequestBuilder::call(1, "never", NO_ARGS));
    harness.script().wait_for_log("never: begun");
    harness.wind(HOUR / 2);
    peer.ping();
    harness.wind(HOUR / 2);
    let told = peer.receive();
    assert_eq!((told.sync, told.error_code()), (1, Some(78)));
    harness.script().wait_for_log("never: dropped");
}

#[test]
fn an_open_transaction_is_over_when_the_clock_is_wound() {
    let config = config().transaction_timeout(HOUR);
    let harness = Harness::start_with(config, Script::default());
    let mut peer = harness.connect();
    let begin = vestibule_actors::wire::keys::RequestType::Begin;
    let begun = peer.ask(&RequestBuilder::new(begin, 1).stream(1));
    assert_eq!(begun.code, 0);
    harness.wind(HOUR);
    harness.script().wait_for_log("rollback 1");
}

#[test]
fn the_grace_of_a_stop_is_over_when_the_clock_is_wound() {
    let config = config().wait_timeout(2 * HOUR);
    let mut harness = Harness::start_with(config, Script::default());
    let mut peer = harness.connect();
    peer.send(&RequestBuilder::call(1, "never", NO_ARGS));
    harness.script().wait_for_log("never: begun");
    harness.handle().begin_drain(Some(HOUR), "test");
    harness.wait_for(State::Draining);
    harness.wind(HOUR);
    let report = harness.join();
    assert_eq!((report.killed, report.failure), (1, None));
}

#[test]
fn a_test_server_runs_any_engine() {
    let procedures = Procedures::<Nothing>::default().function("one", |(): ()| Ok(1));
    let server = TestServer::of(|| Ok(Nothing), procedures);
    assert_eq!(server.connect().call("one", NO_ARGS).value::<u64>(), 1);
    assert_eq!(server.stop(Duration::ZERO).failure, None);
}
