//! A replica, whose engine leaves it to the runtime to refuse what would change data: nothing gets
//! it to change it, and what reads goes on.

use std::time::Duration;

use vestibule_actors::catalog::GUEST;
use vestibule_actors::testing::{
    Peer, RequestBuilder, Script, ScriptedEngine, TestServer, block_on, config,
};
use vestibule_actors::wire::keys::RequestType;
use vestibule_actors::wire::{Error, ErrorCode};
use vestibule_actors::{EngineError, Procedures, TransitionResult};

/// One procedure of each kind.
fn procedures() -> Procedures<ScriptedEngine> {
    Procedures::<ScriptedEngine>::default()
        .function("sum", |(a, b): (u64, u64)| Ok(a + b))
        .with_engine("put", |call| {
            call.engine.put(1);
            call.reply.value(&call.engine.count())
        })
        .atomic("put_or_not", |call| {
            call.engine.put(2);
            call.reply.value(&call.engine.count())
        })
        .family("puts.", |call| {
            call.engine.put(3);
            call.reply.value(&call.engine.count())
        })
        .async_function("put_later", |(): (), context| async move {
            let step = |engine: &mut ScriptedEngine, _| {
                engine.put(4);
                Ok(engine.count())
            };
            context.engine_in_transaction(step).await
        })
        .read_only("count", |call| call.reply.value(&call.engine.count()))
        .async_function("count_later", |(): (), context| async move {
            let step = |engine: &ScriptedEngine, _| Ok(engine.count());
            context.read_in_transaction(step).await
        })
}

fn server() -> (Script, TestServer<ScriptedEngine>) {
    let script = Script::default();
    let engine = script.clone();
    let server = TestServer::with_config(config(), move || Ok(engine.engine()), procedures());
    (script, server)
}

const CHANGING: [&str; 4] = ["put", "put_or_not", "puts.some", "put_later"];
const READING: [&str; 2] = ["count", "count_later"];

/// Calls it in a stream, in whose transaction it works if there is one.
fn call(peer: &mut Peer, name: &str) -> Option<u16> {
    let call = RequestBuilder::call(1, name, &[0x90]).stream(1);
    peer.ask(&call).error_code()
}

fn ask(peer: &mut Peer, request: RequestType) -> Option<u16> {
    peer.ask(&RequestBuilder::new(request, 2).stream(1))
        .error_code()
}

#[test]
fn a_replica_calls_what_reads_and_refuses_what_gets_the_engine_to_change_it() {
    let (script, server) = server();
    let mut peer = server.connect();
    let demoted = server.demote(Duration::ZERO);
    assert_eq!(demoted.result, TransitionResult::Done);
    for name in CHANGING {
        assert_eq!(call(&mut peer, name), Some(7), "{name}");
    }
    for name in READING {
        assert_eq!(call(&mut peer, name), None, "{name}");
    }
    assert_eq!(peer.call_with("sum", &(2, 3)).value::<u64>(), 5);
    assert!(script.keys().is_empty());
    // A lock is no data.
    assert!(peer.call_with("vestibule.lock", &("mine",)).value::<bool>());
}

/// a transaction keeps what it was begun as.
#[test]
fn in_a_transaction_of_a_replica_it_is_refused_after_a_promotion_too() {
    let (script, server) = server();
    let mut peer = server.connect();
    let demoted = server.demote(Duration::ZERO);
    assert_eq!(demoted.result, TransitionResult::Done);
    assert_eq!(ask(&mut peer, RequestType::Begin), None);
    let promoted = server.promote();
    assert_eq!(promoted.result, TransitionResult::Done);
    for name in CHANGING {
        assert_eq!(call(&mut peer, name), Some(7), "{name}");
    }
    for name in READING {
        assert_eq!(call(&mut peer, name), None, "{name}");
    }
    assert_eq!(ask(&mut peer, RequestType::Commit), None);
    assert!(script.keys().is_empty());
    for name in CHANGING {
        assert_eq!(call(&mut peer, name), None, "{name}");
    }
    assert_eq!(script.keys(), [1, 2, 3, 4]);
}

/// How a call of the embedder is told to have gone.
fn called(server: &TestServer<ScriptedEngine>, name: &str) -> Result<usize, EngineError> {
    let called = block_on(server.handle().call::<_, (usize,)>(GUEST, name, &()));
    called.map(|(value,)| value)
}

#[test]
fn the_embedder_is_told_that_it_was_refused_and_may_ask_elsewhere() {
    let (script, server) = server();
    let demoted = server.demote(Duration::ZERO);
    assert_eq!(demoted.result, TransitionResult::Done);
    let is_refused = |told: Result<usize, EngineError>| {
        let error = told.expect_err("it is refused");
        matches!(&error, EngineError::Refused(own) if own.code() == ErrorCode::READONLY)
            && error.is_without_effect()
    };
    for name in CHANGING {
        assert!(is_refused(called(&server, name)), "{name}");
    }
    for name in READING {
        assert_eq!(called(&server, name), Ok(0), "{name}");
    }
    let work = |engine: &mut ScriptedEngine| {
        engine.put(5);
        Ok(engine.count())
    };
    assert!(is_refused(block_on(server.handle().write(work))));
    let read = server.handle().read(|engine| Ok(engine.count()));
    assert_eq!(block_on(read), Ok(0));
    assert!(script.keys().is_empty());
}

/// What a procedure says of its own accord is no refusal of the runtime's.
#[test]
fn an_error_of_ones_own_is_a_failure_whatever_its_code() {
    let script = Script::default();
    let engine = script.clone();
    let procedures = Procedures::<ScriptedEngine>::default().with_engine("put_and_fail", |call| {
        call.engine.put(1);
        Err(Error::read_only("mood", "not today"))
    });
    let server = TestServer::of(move || Ok(engine.engine()), procedures);
    let told = called(&server, "put_and_fail");
    assert!(matches!(told, Err(EngineError::Failed(_))), "{told:?}");
    assert_eq!(script.keys(), [1], "it is committed with the turn");
}
