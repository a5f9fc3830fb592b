//! Procedures that the embedder calls, with a user's rights.
//!
//! ```text
//!   run_call ─▶ claim ─▶ attempt ─┬─ Done, an error ─▶ told with the turn's commit
//!                 │               ├─ CommitFirst: commit, and once more
//!                 └ taken back    └─ Deferred ─▶ DeferredCalls ─▶ completed: told in a later turn
//! ```
//!
//! They have no connection: there is nothing to push to, nor anything that a reservation or a lock
//! could belong to.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::{Either, select};
use vestibule_wire::msgpack::{DecodeError, Reader};
use vestibule_wire::{Error, ErrorCode, keys};

use super::atomic::run;
use super::core::{Executor, TxCore};
use super::deferred::Tickets;
use super::request_context::Announced;
use super::steps::{CallSteps, StepOrigin};
use super::tasks::TaskGuard;
use crate::engine::procedures::ProcedureCall;
use crate::engine::{
    AsyncContext, CancelToken, Completion, Context, Engine, LockAttempt, Outcome, Procedure,
    Pusher, Reply, ReplyBody, ReservationId, SoloGuard, Ticket,
};
use crate::jobs::{EngineError, JobCall, JobTicket, Waiting};
use crate::serving::Solos;
use crate::shared::Shared;

/// Who is told what became of a call.
struct CallAnswer {
    job: JobTicket,
    /// Nothing may be changed where it runs.
    is_read_only: bool,
    told: tokio::sync::oneshot::Sender<Result<Vec<u8>, EngineError>>,
}

impl CallAnswer {
    fn give(self, result: Result<Vec<u8>, EngineError>) {
        if self.job.finish() {
            // Its caller may have lost interest.
            let _ = self.told.send(result);
        }
    }
}

/// The calls of one Tx that are answered later.
#[derive(Default)]
pub(super) struct DeferredCalls(HashMap<Ticket, (CallAnswer, Option<TaskGuard>)>);

impl DeferredCalls {
    /// A call is complete. What it has changed was committed in steps of its own.
    pub(super) fn finish(&mut self, ticket: Ticket, result: Result<Vec<u8>, Error>) {
        let Some((answer, task)) = self.0.remove(&ticket) else {
            return;
        };
        if let Some(task) = task {
            task.release();
        }
        let results = result.and_then(|body| results(&body));
        let is_read_only = answer.is_read_only;
        answer.give(results.map_err(|error| EngineError::of_work(error, is_read_only)));
    }
}

/// What became of a call that was not refused.
enum Called {
    /// With the reply's body.
    Done(Vec<u8>),
    CommitFirst,
    Deferred(Ticket, Option<TaskGuard>),
}

impl<E: Engine> TxCore<E> {
    pub(super) fn run_call(&mut self, job: JobTicket, call: JobCall) {
        let Some(admitted) = job.claim() else {
            return;
        };
        let executor = &mut self.executor;
        executor.budget.spend(true);
        executor.show_progress();
        let origin = StepOrigin {
            admitted,
            transaction: None,
        };
        let mut called = executor.attempt_call(&call, origin);
        if let Ok(Called::CommitFirst) = called {
            // As before a client's request that needs a turn of its own.
            executor.commit(&self.callers);
            executor.send();
            called = executor.attempt_call(&call, origin);
        }
        let answer = CallAnswer {
            job,
            is_read_only: admitted.is_read_only(),
            told: call.told,
        };
        let result = match called {
            Ok(Called::Done(body)) => results(&body).map_err(EngineError::Failed),
            Ok(Called::CommitFirst) => {
                let text = "The engine asks for a turn of its own again and again";
                Err(EngineError::Failed(Error::new(ErrorCode::SYSTEM, text)))
            }
            Ok(Called::Deferred(ticket, task)) => {
                executor.calls.0.insert(ticket, (answer, task));
                return;
            }
            Err(error) => Err(error),
        };
        executor.output.await_commit(Box::new(move |committed| {
            let committed = committed.map_err(EngineError::of_commit);
            answer.give(result.and_then(|results| committed.map(|()| results)));
        }));
    }
}

impl<E: Engine> Executor<E> {
    /// Calls once. What is not done has changed nothing that the call is told of.
    fn attempt_call(&mut self, call: &JobCall, origin: StepOrigin) -> Result<Called, EngineError> {
        self.admit_step(origin).map_err(EngineError::Refused)?;
        self.call_admitted(call, origin).map_err(|error| {
            let may_change_nothing = self.writes.is_read_only() || self.engine.fault().is_some();
            EngineError::of_work(error, may_change_nothing)
        })
    }

    fn call_admitted(&mut self, call: &JobCall, origin: StepOrigin) -> Result<Called, Error> {
        self.engine.may_call(&call.caller, &call.name)?;
        if self.engine.must_commit_first() {
            return Ok(Called::CommitFirst);
        }
        let found = self.procedures.find(&call.name);
        let found = found.map_err(|error| self.engine.no_procedure(&call.name).unwrap_or(error))?;
        self.writes.check_procedure(found, &self.shared)?;
        let (procedure, is_atomic) = match found {
            Procedure::ReadOnly(procedure) | Procedure::Sync(procedure) => (procedure, false),
            Procedure::Atomic(procedure) => (procedure, true),
            Procedure::Async(start) => {
                let steps = Box::new(CallSteps {
                    queue: self.steps.clone(),
                    pusher: Pusher::unheard(),
                    shared: self.shared.clone(),
                    origin,
                });
                let token = CancelToken::new(call.waiting.clone(), 0);
                let context = AsyncContext::new(call.caller.clone(), None, token, steps);
                let procedure = start(&call.args, context);
                let ended = Box::pin(call.waiting.ended());
                // As with a client that is gone: dropped where it waits.
                let procedure = async move {
                    match select(procedure, ended).await {
                        Either::Left((result, _)) => result,
                        Either::Right(_) => Err(Error::cancelled()),
                    }
                };
                let ticket = self.tickets.next();
                let task = self.tasks.spawn(ticket, Box::pin(procedure));
                return Ok(Called::Deferred(ticket, Some(task)));
            }
        };
        let mut context = CallContext {
            waiting: &call.waiting,
            solos: &self.solos,
            tickets: &mut self.tickets,
            deferred: None,
            shared: &self.shared,
            announced: Vec::new(),
        };
        let mut body = Vec::new();
        let mut called = ProcedureCall {
            engine: &mut self.engine,
            name: &call.name,
            args: &call.args,
            caller: &call.caller,
            stream: 0,
            transaction: None,
            reply: Reply::new(ReplyBody::contiguous(&mut body), &mut context),
        };
        let own = is_atomic.then(|| (self.streams.next_id(), origin.admitted));
        let outcome = run(procedure, &mut called, own, &self.shared)?;
        let CallContext {
            deferred,
            announced,
            ..
        } = context;
        self.announce(announced);
        match (outcome, deferred) {
            (Outcome::Done, _) => Ok(Called::Done(body)),
            (Outcome::CommitFirst, _) => Ok(Called::CommitFirst),
            (Outcome::Deferred, Some(ticket)) => Ok(Called::Deferred(ticket, None)),
            (Outcome::Deferred, None) => {
                let text = "Deferred, but nobody will complete it";
                Err(Error::new(ErrorCode::SYSTEM, text))
            }
        }
    }
}

/// The results in the body of a reply: one array.
fn results(body: &[u8]) -> Result<Vec<u8>, Error> {
    let found = find_results(body);
    let malformed = |_| Error::new(ErrorCode::PROC, "Bad results: malformed MessagePack");
    found.map(<[u8]>::to_vec).map_err(malformed)
}

fn find_results(body: &[u8]) -> Result<&[u8], DecodeError> {
    const NONE: &[u8] = &[0x90];
    if body.is_empty() {
        return Ok(NONE);
    }
    let mut reader = Reader::new(body);
    for _ in 0..reader.read_map_len()? {
        let key = reader.read_uint()?;
        let value = reader.skip_checked()?;
        if key == keys::DATA {
            return Ok(value);
        }
    }
    Ok(NONE)
}

/// Stands behind the [`Reply`] to a call of the embedder.
struct CallContext<'a> {
    waiting: &'a Arc<Waiting>,
    solos: &'a Solos,
    tickets: &'a mut Tickets,
    /// The ticket of this call, once its completion was taken.
    deferred: Option<Ticket>,
    shared: &'a Shared,
    /// Events that are set with the turn's commit.
    announced: Vec<Announced>,
}

fn no_connection() -> Error {
    Error::unsupported("A call without a connection", "reservations and locks")
}

impl CallContext<'_> {
    fn token(&self) -> CancelToken {
        CancelToken::new(self.waiting.clone(), 0)
    }
}

impl Context for CallContext<'_> {
    fn solo(&self, reason: String) -> SoloGuard {
        self.solos.enter(reason)
    }

    fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    fn is_cancelled(&self) -> bool {
        self.token().is_cancelled()
    }

    fn cancel_token(&self) -> Option<CancelToken> {
        Some(self.token())
    }

    fn defer(&mut self) -> Result<Completion, Error> {
        let completion = self.tickets.completion(self.token());
        self.deferred = Some(completion.ticket());
        Ok(completion)
    }

    fn reserve(&mut self, _kind: &'static str, _name: &str) -> Result<ReservationId, Error> {
        Err(no_connection())
    }

    fn take_reservation(&mut self, _id: ReservationId) -> Result<(), Error> {
        Err(no_connection())
    }

    fn release_reservation(&mut self, _id: ReservationId) -> bool {
        false
    }

    fn lock(&mut self, _name: &str, _patience: Duration) -> Result<LockAttempt, Error> {
        Err(no_connection())
    }

    fn unlock(&mut self, _name: &str) -> bool {
        false
    }

    fn pusher(&self) -> Pusher {
        Pusher::unheard()
    }

    fn broadcast(&mut self, key: &str, value: Vec<u8>) -> Result<(), Error> {
        self.shared.events.check(key, &value)?;
        let key = key.into();
        self.announced.push(Announced { key, value });
        Ok(())
    }
}
