//! Engines around the embedded one.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use vestibule_actors::engine::{Caller, Engine as _, EngineWrapper, Outcome, Reply, Request};
use vestibule_actors::testing::{EngineCheck, TestServer};
use vestibule_actors::wire::{Error, ErrorCode};
use vestibule_actors::{EngineFactory, Procedures};
use vestibule_engine::testing::TestData;
use vestibule_engine::{CallData as _, EmbeddedEngine, EngineOptions, GuestRights, procedures};

/// Data, how many requests they were asked, and a procedure that nobody may call.
struct Guarded {
    data: EmbeddedEngine,
    asked: u64,
}

impl EngineWrapper for Guarded {
    type Inner = EmbeddedEngine;

    fn inner(&self) -> &EmbeddedEngine {
        &self.data
    }

    fn inner_mut(&mut self) -> &mut EmbeddedEngine {
        &mut self.data
    }

    fn execute(&mut self, request: &Request<'_>, reply: &mut Reply<'_>) -> Result<Outcome, Error> {
        self.asked += 1;
        self.data.execute(request, reply)
    }

    fn may_call(&self, caller: &Caller, procedure: &str) -> Result<(), Error> {
        if procedure == "forbidden" {
            return Err(Error::new(ErrorCode::ACCESS_DENIED, "not today"));
        }
        self.data.may_call(caller, procedure)
    }
}

fn guarded(data: EmbeddedEngine) -> Guarded {
    Guarded { data, asked: 0 }
}

/// Procedures of the inner engine, of each kind, and the work that it does by itself.
fn inner_procedures(ticks: &Arc<AtomicU64>) -> Procedures<EmbeddedEngine> {
    let ticks = ticks.clone();
    procedures::standard()
        .atomic("store_then_fail", |call| {
            let mut data = call.data();
            data.space::<(u64, String)>("rows").insert(&(9, "gone"))?;
            Err(Error::new(ErrorCode::PROC, "on purpose"))
        })
        .with_engine("large", |call| {
            let (size,): (usize,) = call.parse()?;
            call.reply.value(&"x".repeat(size))
        })
        .async_function("store_later", |row: (u64, String), context| async move {
            let stored = context.engine(move |engine| {
                let mut data = engine.data();
                data.space::<(u64, String)>("rows").insert(&row)
            });
            Ok(stored.await?.0)
        })
        .function("forbidden", |(): ()| Ok(0))
        .every(Duration::from_millis(1), move |engine, _| {
            engine.data().space::<(u64, String)>("rows").get(&1)?;
            ticks.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
}

#[test]
fn what_is_around_an_engine_has_its_say_and_the_engine_does_the_rest() {
    let ticks = Arc::new(AtomicU64::new(0));
    let own = inner_procedures(&ticks)
        .wrapped::<Guarded>()
        .with_engine("asked", |call| call.reply.value(&call.engine.asked))
        .with_engine("first", |call| {
            let first = call.data().space::<(u64, String)>("rows").get(&1)?;
            call.reply.value(&first)
        });
    let data = TestData::new();
    let server = TestServer::of(data.engine().wrapped(guarded), own);
    let mut peer = server.connect();
    let made = peer.call_with("box.schema.space.create", &("rows",));
    assert_eq!(made.code, 0, "{made:?}");
    let indexed = peer.call_with("box.space.rows:create_index", &("pk",));
    assert_eq!(indexed.code, 0, "{indexed:?}");

    // An async one writes to the engine inside, and who is called with the wrapper reads it.
    let stored: u64 = peer.call_with("store_later", &(1, "one")).value();
    assert_eq!(stored, 1);
    let first: (u64, String) = peer.call_with("first", &()).value();
    assert_eq!(first, (1, "one".to_owned()));
    // What is all or nothing still is.
    assert_ne!(peer.call_with("store_then_fail", &()).code, 0);
    let inserted = peer.call_with("box.space.rows:insert", &((9, "nine"),));
    assert_eq!(inserted.code, 0, "{inserted:?}");
    // A reply that outgrows its buffer, and one behind it.
    let large: String = peer.call_with("large", &(300_000,)).value();
    assert_eq!(large.len(), 300_000);
    // The wrapper's own: its state, and its refusal.
    let asked: u64 = peer.call_with("asked", &()).value();
    let refused = peer.call_with("forbidden", &());
    assert!(refused.error_mentions("not today"), "{refused:?}");
    peer.ping();
    let again: u64 = peer.call_with("asked", &()).value();
    assert_eq!(again, asked, "calls are no requests of the engine");
    // Its ticks go on.
    let before = ticks.load(Ordering::Relaxed);
    while ticks.load(Ordering::Relaxed) == before {
        std::thread::yield_now();
    }
}

#[test]
fn what_is_around_an_engine_keeps_the_contract() {
    let data = support::data_with_rows();
    let make = data.engine();
    EngineCheck::of(move || make().map(guarded))
        .with_failing_commits({
            let data = data.clone();
            move |fail| data.fail_writes(fail)
        })
        .run();
}

#[test]
fn what_is_known_before_there_is_an_engine_is_known_of_what_is_around_it() {
    let options = EngineOptions::new("data").guest(GuestRights::Super);
    let factory = EmbeddedEngine::factory(options).wrapped(guarded);
    assert!(factory.guest_power().is_some());
    assert_eq!(factory.check().ok(), Some(()));
    let factory = EmbeddedEngine::factory(EngineOptions::new("")).wrapped(guarded);
    let fault = factory.check().expect_err("there is no directory");
    assert!(fault.to_string().contains("bad options"), "{fault}");
}
