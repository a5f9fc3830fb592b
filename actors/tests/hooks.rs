//! What an embedder is told of engines and connections.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use vestibule_actors::config::{SoloPolicy, TimeLimits};
use vestibule_actors::serving::State;
use vestibule_actors::testing::{RequestBuilder, Script, ScriptedEngine, TestServer, config};
use vestibule_actors::{CloseReason, Config, ConnectionClosed, RuntimeBuilder};

const NO_ARGS: &[u8] = &[0x90];
const PATIENCE: Duration = Duration::from_secs(30);

fn builder(config: Config, script: &Script) -> RuntimeBuilder<ScriptedEngine> {
    let script = script.clone();
    RuntimeBuilder::new(config, move || Ok(script.engine()), Script::procedures())
}

/// A server that tells of the ends of its connections.
fn server(
    config: Config,
    script: &Script,
) -> (TestServer<ScriptedEngine>, Receiver<ConnectionClosed>) {
    let (told, closed) = channel();
    let builder = builder(config, script).on_connection_closed(move |own| {
        let _ = told.send(own.clone());
    });
    (TestServer::start(builder), closed)
}

fn next(closed: &Receiver<ConnectionClosed>) -> ConnectionClosed {
    closed.recv_timeout(PATIENCE).expect("it is told")
}

#[test]
fn a_connection_is_told_of_when_it_is_there_and_when_it_has_ended() {
    let (told, events) = channel();
    let opened = told.clone();
    let builder = builder(config(), &Script::default())
        .on_connection_opened(move |own| {
            let _ = opened.send((own.connection, own.peer.ip(), None));
        })
        .on_connection_closed(move |own| {
            let user = Some(own.user.clone());
            let _ = told.send((own.connection, own.peer.ip(), user));
        });
    let server = TestServer::start(builder);
    let mut peer = server.connect();
    let here = peer_ip();
    assert_eq!(events.recv_timeout(PATIENCE), Ok((1, here, None)));
    peer.log_in("alice", "secret");
    drop(peer);
    assert_eq!(
        events.recv_timeout(PATIENCE),
        Ok((1, here, Some("alice".to_owned())))
    );
}

fn peer_ip() -> std::net::IpAddr {
    std::net::Ipv4Addr::LOCALHOST.into()
}

#[test]
fn the_end_of_a_connection_is_told_with_its_reason() {
    let config = config()
        .time_limits(TimeLimits::default().idle(Duration::from_secs(60)))
        .solo_policy(SoloPolicy::Close);
    let script = Script::default();
    let (server, closed) = server(config, &script);
    let mut peer = server.connect();
    peer.send_bytes(b"\xc1 is no frame");
    assert_eq!(next(&closed).reason, CloseReason::Damaged);

    let mut operator = server.connect();
    let victim = server.connect();
    operator.call_with("vestibule.kill", &(3,));
    let own = next(&closed);
    assert_eq!((own.connection, own.reason), (3, CloseReason::Killed));
    drop(victim);

    // A busy Tx, and the policy to close.
    script.hold_tx();
    let mut blocker = server.connect();
    blocker.send(&RequestBuilder::call(1, "busy", NO_ARGS));
    script.wait_until_blocked();
    server.wait_for(State::Solo);
    operator.send(&RequestBuilder::replace(1, 1));
    assert_eq!(next(&closed).reason, CloseReason::Solo);
    script.release();
    assert_eq!(blocker.receive().code, 0);
    server.wait_for(State::Assist);

    let _left = server.stop(Duration::ZERO);
    let own = next(&closed);
    assert_eq!((own.connection, own.reason), (4, CloseReason::Stopped));
}

#[test]
fn a_time_limit_is_told_as_one() {
    let config =
        config().time_limits(TimeLimits::default().authentication(Duration::from_millis(50)));
    let (server, closed) = server(config, &Script::default());
    let _peer = server.connect();
    let own = next(&closed);
    assert_eq!(own.reason, CloseReason::TimeLimit);
    assert!(own.lasted >= Duration::from_millis(50));
}

#[test]
fn a_hook_that_panics_ends_nothing() {
    let (told, events) = channel();
    let started = told.clone();
    let builder = builder(config(), &Script::default())
        .on_connection_opened(|_| panic!("as the test wants it"))
        .on_connection_closed(|_| panic!("as the test wants it"))
        .on_connection_closed(move |own| {
            let _ = told.send(own.connection);
        })
        .on_engine_started(|_| panic!("as the test wants it"))
        .on_engine_started(move |_| {
            let _ = started.send(0);
        });
    let server = TestServer::start(builder);
    assert_eq!(events.recv_timeout(PATIENCE), Ok(0));
    let mut peer = server.connect();
    peer.ping();
    drop(peer);
    assert_eq!(events.recv_timeout(PATIENCE), Ok(1));
}

#[test]
fn each_engine_that_comes_into_service_is_told_of_with_a_handle_that_reaches_it() {
    let (told, counts) = channel();
    let script = Script::default();
    let builder = builder(config(), &script).on_engine_started(move |runtime| {
        let (runtime, told) = (runtime.clone(), told.clone());
        actix_rt::spawn(async move {
            let counted = runtime.read(|engine| Ok(engine.count())).await;
            let _ = told.send(counted.map_err(|error| error.to_string()));
        });
    });
    let server = TestServer::start(builder);
    assert_eq!(counts.recv_timeout(PATIENCE), Ok(Ok(0)));
    let mut peer = server.connect();
    assert_eq!(peer.ask(&RequestBuilder::replace(1, 7)).code, 0);
    script.panic_next();
    peer.send(&RequestBuilder::replace(2, 8));
    assert_eq!(counts.recv_timeout(PATIENCE), Ok(Ok(1)));
}
