//! What an async procedure learns of a drain, and how it declares solo.

use std::time::Duration;

use vestibule_actors::serving::State;
use vestibule_actors::testing::{RequestBuilder, Script, ScriptedEngine, TestServer, config};
use vestibule_actors::{Config, Procedures};

const NO_ARGS: &[u8] = &[0x90];
/// The type of what comes before a reply.
const PUSH: u32 = 128;

fn server(
    config: Config,
    procedures: Procedures<ScriptedEngine>,
) -> (TestServer<ScriptedEngine>, Script) {
    let script = Script::default();
    let make = script.clone();
    let server = TestServer::with_config(config, move || Ok(make.engine()), procedures);
    (server, script)
}

/// Waits until it is told of a drain, and writes that down in the engine.
fn waiting() -> Procedures<ScriptedEngine> {
    Script::procedures().async_function("wait", |(): (), context| async move {
        let before = context.is_draining();
        context.push(&"waiting").await?;
        context.draining().await;
        let written = context.engine(|engine| {
            engine.put(42);
            Ok(())
        });
        let is_written = written.await.is_ok();
        Ok((before, context.is_draining(), is_written))
    })
}

#[test]
fn an_async_procedure_hears_of_a_stop_and_ends_early() {
    for lameduck in [Duration::ZERO, Duration::from_secs(3600)] {
        let mut config = config();
        config.settings.lameduck = lameduck;
        let (server, script) = server(config, waiting());
        let mut peer = server.connect();
        peer.send(&RequestBuilder::call(1, "wait", NO_ARGS));
        assert_eq!(peer.receive().code, PUSH, "it waits");
        let hour = Some(Duration::from_secs(3600));
        server.handle().begin_drain(hour, "test");
        let told: (bool, bool, bool) = peer.receive().value();
        assert_eq!(told, (false, true, true));
        assert_eq!(script.keys(), [42]);
        if lameduck.is_zero() {
            let mut server = server;
            assert_eq!(server.join().killed, 0);
        } else {
            server.handle().stop_now("test");
        }
    }
}

#[test]
fn an_async_procedure_hears_of_a_demotion_and_may_write_until_its_deadline() {
    let (server, script) = server(config(), waiting());
    let mut peer = server.connect();
    peer.send(&RequestBuilder::call(1, "wait", NO_ARGS));
    assert_eq!(peer.receive().code, PUSH, "it waits");
    let outcome = server.demote(Duration::from_secs(3600));
    assert!(outcome.transition.is_some());
    let told: (bool, bool, bool) = peer.receive().value();
    assert!(!told.0 && told.2, "{told:?}");
    assert_eq!(script.keys(), [42]);
    // The next one is of a replica, which does not drain.
    peer.send(&RequestBuilder::call(2, "wait", NO_ARGS));
    assert_eq!(peer.receive().code, PUSH, "it waits");
    server.handle().begin_drain(None, "test");
    let told: (bool, bool, bool) = peer.receive().value();
    assert!(!told.0 && told.1, "{told:?}");
}

/// While it lives, sessions answer alone; the steps of who declared it run all the same.
#[test]
fn an_async_procedure_declares_solo_and_goes_on_in_it() {
    let procedures = Script::procedures().async_function("alone", |(): (), context| async move {
        let guard = context.solo("moving house");
        guard.progress(1, 2);
        context
            .engine(|engine| {
                engine.put(1);
                Ok(())
            })
            .await?;
        context.push(&"in the middle").await?;
        // Until the test has seen it.
        context.draining().await;
        drop(guard);
        context.engine(|engine| Ok(engine.count() as u64)).await
    });
    let (server, script) = server(config(), procedures);
    let mut peer = server.connect();
    peer.send(&RequestBuilder::call(1, "alone", NO_ARGS));
    assert_eq!(peer.receive().sync, 1, "the push");
    server.wait_for(State::Solo);
    assert_eq!(script.keys(), [1], "committed in solo");
    let told = server.connect().ask(&RequestBuilder::replace(1, 7));
    assert_eq!(told.error_code(), Some(116));
    assert!(told.error_mentions("moving house"));
    let outcome = server.demote(Duration::from_secs(3600));
    assert!(outcome.transition.is_some());
    assert_eq!(peer.receive().value::<u64>(), 1);
    server.wait_for(State::Assist);
}
