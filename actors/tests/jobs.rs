//! Work on the engine that the embedder asks for: committed, refused and cut off like requests.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures::future::{join_all, poll_immediate};
use vestibule_actors::limits::JOBS_MAX;
use vestibule_actors::serving::{Role, State};
use vestibule_actors::testing::{
    Harness, RequestBuilder, Script, ScriptedEngine, block_on, config,
};
use vestibule_actors::wire::{Error, ErrorCode};
use vestibule_actors::{EngineError, RuntimeHandle, TransitionResult};

#[path = "jobs/calls.rs"]
mod calls;

const LONG: Duration = Duration::from_secs(3600);

type Runtime = RuntimeHandle<ScriptedEngine>;
type Running = Pin<Box<dyn Future<Output = Result<(), EngineError>> + Send>>;

fn put(runtime: &Runtime, key: u64) -> impl Future<Output = Result<(), EngineError>> + use<> {
    let runtime = runtime.clone();
    async move {
        let work = move |engine: &mut ScriptedEngine| {
            engine.put(key);
            Ok(())
        };
        runtime.write(work).await
    }
}

fn count(runtime: &Runtime) -> Result<usize, EngineError> {
    block_on(runtime.read(|engine| Ok(engine.count())))
}

/// Begins a job, without waiting for it.
fn begin(job: impl Future<Output = Result<(), EngineError>> + Send + 'static) -> Running {
    let mut job: Running = Box::pin(job);
    let told = block_on(poll_immediate(job.as_mut()));
    assert_eq!(told, None, "it is under way");
    job
}

/// Begins a job that writes a key, and stands still in it.
fn stand_still(harness: &Harness, key: u64) -> Running {
    harness.script().hold_tx();
    let (runtime, script) = (harness.handle().clone(), harness.script().clone());
    let job = begin(async move {
        let work = move |engine: &mut ScriptedEngine| {
            engine.put(key);
            script.stand_still();
            Ok(())
        };
        runtime.write(work).await
    });
    harness.script().wait_until_blocked();
    job
}

/// How it was told: whether it was begun, and the error's code.
fn told<T>(result: Result<T, EngineError>) -> (&'static str, u16) {
    let error = match result {
        Ok(_) => return ("done", 0),
        Err(error) => error,
    };
    let kind = match error {
        EngineError::Refused(_) => "refused",
        EngineError::OutcomeUnknown(_) => "unknown",
        _ => "failed",
    };
    (kind, error.error().code().0)
}

#[test]
fn what_a_job_returns_is_committed() {
    let harness = Harness::start();
    assert_eq!(block_on(put(harness.handle(), 1)), Ok(()));
    assert_eq!(harness.script().keys(), [1]);
    assert_eq!(count(harness.handle()), Ok(1));
    let rows: Vec<(u64, u64)> = harness.connect().ask(&RequestBuilder::select(1, 1)).data();
    assert_eq!(rows, [(1, 1)]);
}

#[test]
fn a_job_that_fails_tells_its_own_error_or_that_of_its_commit() {
    let harness = Harness::start();
    let fails = |_: &mut ScriptedEngine| Err::<(), _>(Error::new(ErrorCode::PROC, "as wanted"));
    assert_eq!(
        told(block_on(harness.handle().write(fails))),
        ("failed", 32)
    );
    harness.script().fail_commits(true);
    assert_eq!(told(block_on(put(harness.handle(), 1))), ("failed", 40));
    harness.script().fail_commits(false);
    assert_eq!(count(harness.handle()), Ok(0));
}

#[test]
fn a_job_is_refused_as_a_client_is() {
    let script = Script::default();
    script.hold_recovery(true);
    let harness = Harness::start_loading(config(), script.clone());
    assert_eq!(told(block_on(put(harness.handle(), 1))), ("refused", 116));
    assert_eq!(told(count(harness.handle())), ("refused", 116));
    script.hold_recovery(false);
    harness.wait_for(State::Assist);
    assert_eq!(harness.demote(LONG).result, TransitionResult::Done);
    assert_eq!(told(block_on(put(harness.handle(), 1))), ("refused", 7));
    assert_eq!(count(harness.handle()), Ok(0));
    let runtime = harness.handle().clone();
    assert_eq!(harness.stop(LONG).failure, None);
    assert_eq!(told(block_on(put(&runtime, 1))), ("refused", 279));
    assert_eq!(told(count(&runtime)), ("refused", 279));
}

#[test]
fn a_job_that_tx_has_not_begun_is_taken_back_when_tx_is_busy() {
    let harness = Harness::start();
    let standing = stand_still(&harness, 1);
    let queued = begin(put(harness.handle(), 2));
    harness.handle().solo("the test");
    assert_eq!(told(block_on(queued)), ("refused", 116));
    assert_eq!(told(block_on(put(harness.handle(), 3))), ("refused", 116));
    harness.script().release();
    assert_eq!(block_on(standing), Ok(()));
    assert_eq!(harness.script().keys(), [1]);
}

#[test]
fn a_job_that_nobody_waits_for_is_taken_back_if_it_was_not_begun() {
    let harness = Harness::start();
    let standing = stand_still(&harness, 1);
    drop(begin(put(harness.handle(), 2)));
    assert_eq!(harness.handle().in_flight(), 1);
    drop(standing);
    harness.script().release();
    // What was begun goes on.
    assert_eq!(block_on(put(harness.handle(), 3)), Ok(()));
    assert_eq!(harness.script().keys(), [1, 3]);
    assert_eq!(harness.handle().in_flight(), 0);
}

#[test]
fn when_tx_dies_what_was_begun_is_unknown_and_the_rest_is_refused() {
    let harness = Harness::start();
    let (runtime, script) = (harness.handle().clone(), harness.script().clone());
    script.hold_tx();
    let dies = begin(async move {
        let work = move |_: &mut ScriptedEngine| {
            script.stand_still();
            panic!("as the test wants it")
        };
        runtime.write(work).await
    });
    harness.script().wait_until_blocked();
    let queued = begin(put(harness.handle(), 2));
    harness.script().release();
    assert_eq!(told(block_on(dies)), ("unknown", 115));
    assert_eq!(told(block_on(queued)), ("refused", 116));
    let recovered = |own: &String| own == "recovered";
    harness.wait_until("another engine", || {
        let log = harness.script().log();
        log.iter().filter(|own| recovered(own)).count() == 2
    });
    harness.wait_for(State::Assist);
    assert_eq!(block_on(put(harness.handle(), 3)), Ok(()));
    assert_eq!(harness.script().keys(), [3]);
}

#[test]
fn a_drain_waits_for_jobs() {
    let harness = Harness::start();
    let standing = stand_still(&harness, 1);
    let queued = begin(put(harness.handle(), 2));
    harness.handle().begin_drain(Some(LONG), "test");
    harness.wait_for(State::Draining);
    assert_eq!(told(block_on(put(harness.handle(), 3))), ("refused", 279));
    harness.script().release();
    assert_eq!(block_on(standing), Ok(()));
    assert_eq!(block_on(queued), Ok(()));
    let script = harness.script().clone();
    let report = harness.stop(LONG);
    assert_eq!((report.killed, report.failure), (0, None));
    assert_eq!(script.keys(), [1, 2]);
}

#[test]
fn a_stop_cuts_jobs_off_and_counts_them() {
    let mut harness = Harness::start();
    let standing = stand_still(&harness, 1);
    let queued = begin(put(harness.handle(), 2));
    harness.handle().begin_drain(Some(Duration::ZERO), "test");
    assert_eq!(told(block_on(standing)), ("unknown", 279));
    assert_eq!(told(block_on(queued)), ("refused", 279));
    harness.script().release();
    assert_eq!(harness.join().killed, 2);
}

#[test]
fn what_a_demotion_has_cut_off_is_never_written() {
    let harness = Harness::start();
    let standing = stand_still(&harness, 1);
    let queued = begin(put(harness.handle(), 2));
    let outcome = harness.demote(Duration::ZERO);
    assert_eq!(outcome.result, TransitionResult::Done);
    let record = outcome.transition.expect("it was carried out");
    assert_eq!((record.killed.write, record.revoked.write), (1, 1));
    assert_eq!(told(block_on(standing)), ("unknown", 115));
    assert_eq!(told(block_on(queued)), ("refused", 7));
    harness.script().release();
    assert_eq!(count(harness.handle()), Ok(0));
    assert_eq!(harness.handle().serving().role, Role::Replica);
}

#[test]
fn a_demotion_does_not_wait_for_jobs_that_only_read() {
    let harness = Harness::start();
    harness.script().hold_tx();
    let (runtime, script) = (harness.handle().clone(), harness.script().clone());
    let reads = begin(async move {
        let work = move |_: &ScriptedEngine| {
            script.stand_still();
            Ok(())
        };
        runtime.read(work).await
    });
    harness.script().wait_until_blocked();
    assert_eq!(harness.demote(LONG).result, TransitionResult::Done);
    harness.script().release();
    assert_eq!(block_on(reads), Ok(()));
}

#[test]
fn more_jobs_than_may_be_under_way_wait_for_their_turn() {
    let config = config().tx_stall_after(LONG);
    let harness = Harness::start_with(config, Script::default());
    let standing = stand_still(&harness, 0);
    let keys = 1..=JOBS_MAX as u64 + 100;
    let waiting: Vec<_> = keys.map(|key| begin(put(harness.handle(), key))).collect();
    assert_eq!(harness.handle().in_flight(), JOBS_MAX);
    harness.script().release();
    let all = block_on(join_all(waiting.into_iter().chain([standing])));
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(harness.script().rows(), JOBS_MAX + 101);
}
