//! Procedures that the embedder calls: with a user's rights, refused and cut off like clients.

use std::time::Duration;

use futures::future::poll_immediate;
use serde::Serialize;
use vestibule_actors::catalog::GUEST;
use vestibule_actors::serving::State;
use vestibule_actors::testing::{Harness, Script, ScriptedEngine, TestServer, block_on, config};
use vestibule_actors::wire::{Error, ErrorCode};
use vestibule_actors::{Config, EngineError, Procedures, TransitionResult};

use super::{LONG, Runtime, told};

fn call<A: Serialize + Sync>(runtime: &Runtime, name: &str, args: &A) -> Result<u64, EngineError> {
    let called = block_on(runtime.call::<A, (u64,)>(GUEST, name, args));
    called.map(|(value,)| value)
}

/// A server with what these tests call.
fn server(config: Config) -> (Script, TestServer<ScriptedEngine>) {
    let script = Script::default();
    let engine = script.clone();
    let procedures = Script::procedures()
        .with_engine("put", |call| {
            let (key,): (u64,) = call.parse()?;
            call.engine.put(key);
            call.reply.value(&key)
        })
        .with_engine("nothing", |_| Ok(vestibule_actors::engine::Outcome::Done))
        .with_engine("administer", |call| {
            call.caller.check_administrator("administer")?;
            call.reply.values(&(call.caller.connection, call.stream))
        })
        .with_engine("elsewhere", |call| {
            let completion = call.reply.defer()?;
            std::thread::spawn(move || completion.complete(Ok(7)));
            Ok(vestibule_actors::engine::Outcome::Deferred)
        })
        .async_function("panics", |(): (), _| async {
            if true {
                panic!("as the test wants it");
            }
            Ok(())
        });
    let server = TestServer::with_config(config, move || Ok(engine.engine()), procedures);
    (script, server)
}

#[test]
fn what_is_called_is_committed_and_its_results_have_types() {
    let (script, server) = server(config());
    assert_eq!(call(server.handle(), "put", &(7,)), Ok(7));
    assert_eq!(script.keys(), [7]);
    assert_eq!(call(server.handle(), "later", &[3]), Ok(3));
    assert_eq!(call(server.handle(), "elsewhere", &()), Ok(7));
    let nothing = block_on(server.handle().call::<_, ()>(GUEST, "nothing", &()));
    assert_eq!(nothing, Ok(()));
    let raw = server.handle().call_raw(GUEST, "put", vec![0x91, 8]);
    assert_eq!(block_on(raw), Ok(vec![0x91, 8]));
    assert_eq!(server.handle().in_flight(), 0);
}

#[test]
fn a_call_is_told_what_a_client_would_be() {
    let (script, server) = server(config());
    let tell = |name: &str| told(call(server.handle(), name, &()));
    assert_eq!(tell("forbidden.f"), ("failed", 42));
    assert_eq!(tell("unknown"), ("failed", 33));
    assert_eq!(tell("put"), ("failed", 1), "arguments that do not fit");
    assert_eq!(tell("nothing"), ("failed", 32), "a result that is missing");
    assert_eq!(
        tell("reserve"),
        ("failed", 5),
        "nothing that it could belong to"
    );
    assert_eq!(tell("panics"), ("failed", 115));
    let unknown = server.handle().call::<_, ()>("nobody", "nothing", &());
    assert_eq!(told(block_on(unknown)), ("failed", 45));
    for args in [&[][..], &[0x80], &[0x91], &[0x90, 0x90]] {
        let raw = server.handle().call_raw(GUEST, "nothing", args.to_vec());
        assert_eq!(told(block_on(raw)), ("failed", 1), "{args:?}");
    }
    script.fail_commits(true);
    assert_eq!(told(call(server.handle(), "put", &(7,))), ("failed", 40));
    script.fail_commits(false);
    assert_eq!(script.keys(), []);
}

#[test]
fn a_call_is_an_administrators_if_one_from_here_would_be() {
    let (_, local) = server(config());
    let called = block_on(local.handle().call(GUEST, "administer", &()));
    assert_eq!(called, Ok((0, 0)));
    let by_name = config().administrators(vestibule_actors::config::Administrators::Users(vec![
        "root".to_owned(),
    ]));
    let (_, by_name) = server(by_name);
    let called = by_name.handle().call::<_, ()>(GUEST, "administer", &());
    assert_eq!(told(block_on(called)), ("failed", 42));
}

#[test]
fn a_call_is_refused_by_the_state_as_a_client_is() {
    let script = Script::default();
    script.hold_recovery(true);
    let harness = Harness::start_loading(config(), script.clone());
    let runtime = harness.handle().clone();
    assert_eq!(told(call(&runtime, "later", &[1])), ("refused", 116));
    script.hold_recovery(false);
    harness.wait_for(State::Assist);
    assert_eq!(harness.demote(LONG).result, TransitionResult::Done);
    // A replica is called too.
    assert_eq!(call(&runtime, "later", &[1]), Ok(1));
    assert_eq!(harness.stop(LONG).failure, None);
    assert_eq!(told(call(&runtime, "later", &[1])), ("refused", 279));
}

#[test]
fn a_call_that_wants_a_turn_of_its_own_gets_one() {
    let harness = Harness::start();
    let called = harness
        .handle()
        .call::<_, (String,)>(GUEST, "commit_first", &());
    assert_eq!(block_on(called), Ok(("alone".to_owned(),)));
}

#[test]
fn an_async_procedure_that_nobody_waits_for_ends_where_it_waits() {
    let harness = Harness::start();
    let runtime = harness.handle().clone();
    let mut called = Box::pin(runtime.call::<_, ()>(GUEST, "never", &()));
    assert_eq!(block_on(poll_immediate(called.as_mut())), None);
    harness.script().wait_for_log("never: begun");
    assert_eq!(harness.handle().in_flight(), 1);
    drop(called);
    harness.script().wait_for_log("never: dropped");
    harness.wait_until("nothing is under way", || harness.handle().in_flight() == 0);
}

#[test]
fn a_call_is_waited_for_by_a_stop_and_cut_off_at_its_deadline() {
    let harness = Harness::start();
    let runtime = harness.handle().clone();
    let mut called = Box::pin(runtime.call::<_, ()>(GUEST, "never", &()));
    assert_eq!(block_on(poll_immediate(called.as_mut())), None);
    harness.script().wait_for_log("never: begun");
    let report = harness.stop(Duration::ZERO);
    assert_eq!((report.killed, report.failure), (1, None));
    assert_eq!(told(block_on(called)), ("unknown", 279));
}

#[test]
fn an_error_of_a_procedure_is_that_of_the_call() {
    let script = Script::default();
    let procedures = Procedures::default().function("fails", |(): ()| {
        Err::<(), _>(Error::new(ErrorCode::PROC, "as wanted"))
    });
    let server = TestServer::of(move || Ok(script.engine()), procedures);
    let called = block_on(server.handle().call::<_, ()>(GUEST, "fails", &()));
    let error = Error::new(ErrorCode::PROC, "as wanted");
    assert_eq!(called, Err(EngineError::Failed(error)));
}
