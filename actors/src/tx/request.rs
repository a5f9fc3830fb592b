//! The way of one request through Tx, from top to bottom.
//!
//! ```text
//!   run_request ─┬─ another of its stream runs: waits ─▶ resumed ─▶ `waits`
//!                ├─ taken back: nothing, but for what is behind a BEGIN ─▶ `unbegun`
//!                └─ execute ─▶ attempt ─▶ decode ─▶ dispatch ─┬─ BEGIN, COMMIT, ROLLBACK
//!                     │                      └ the fence      ├─ CALL: a procedure
//!                     │                                       └─ the engine
//!                     ├─ Done: the reply stands in the output, until the turn is committed
//!                     ├─ Deferred: the reply comes later
//!                     ├─ CommitFirst: commit, and once more
//!                     └─ an error is the reply
//! ```

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use vestibule_wire::reply::write_data_head;
use vestibule_wire::request::{self, Begin, Body};
use vestibule_wire::{Error, ErrorCode};

use super::atomic::{commit_transaction, run};
use super::callers::Callers;
use super::cancel::end_by;
use super::core::{Executor, TxCore};
use super::deferred::Deferred;
use super::holdings::Holder;
use super::pushes::PushOrigin;
use super::reply_account::ReplyAccount;
use super::request_context::{Announced, RequestContext};
use super::steps::{CallSteps, StepOrigin};
use super::streams::{Beginner, StreamKey, Transaction};
use super::tasks::TaskGuard;
use super::turn_writes::read_only;
use crate::admission::Class;
use crate::cells::claims::Claim;
use crate::cells::tx_counts::TransactionEnd;
use crate::engine::procedures::ProcedureCall;
use crate::engine::{
    AsyncContext, Caller, Engine, Outcome, Procedure, Reply, Request, Ticket, TransactionId,
};
use crate::messages::tx::{AbortedTransaction, BatchEntry, RequestOrigin, WaitKind};
use crate::quotas::Charge;
use crate::timeouts::transaction_deadline;

/// A request that is claimed, with what came with it.
#[derive(Clone, Copy)]
pub(super) struct ClaimedRequest<'a> {
    pub(super) worker: usize,
    pub(super) entry: &'a BatchEntry,
    pub(super) body: &'a [u8],
    pub(super) caller: &'a Arc<Caller>,
    /// Of the caller's connection.
    pub(super) replies: &'a Rc<ReplyAccount>,
    /// All that call: another request of the turn may have to be executed once more.
    pub(super) callers: &'a Callers,
}

impl<'a> ClaimedRequest<'a> {
    fn key(&self) -> StreamKey {
        StreamKey {
            connection: self.caller.connection,
            stream: self.entry.stream,
        }
    }

    fn origin(&self) -> RequestOrigin {
        RequestOrigin {
            worker: self.worker,
            id: self.entry.id,
        }
    }

    fn claim(&self) -> Claim<'a> {
        Claim {
            claims: self.callers.claims(self.worker),
            id: self.entry.id,
        }
    }

    fn holder(&self, now: Instant) -> Holder<'a> {
        Holder {
            caller: self.caller,
            origin: self.origin(),
            now,
        }
    }
}

/// What became of a request that was not refused.
enum Executed {
    Done,
    CommitFirst,
    Deferred(Ticket, Option<TaskGuard>, Charge),
}

impl Executed {
    /// Of what the engine or a procedure returned, and of the ticket that it took.
    fn from(outcome: Outcome, deferred: Option<(Ticket, Charge)>) -> Result<Self, Error> {
        match (outcome, deferred) {
            (Outcome::Done, _) => Ok(Self::Done),
            (Outcome::CommitFirst, _) => Ok(Self::CommitFirst),
            (Outcome::Deferred, Some((ticket, charge))) => Ok(Self::Deferred(ticket, None, charge)),
            (Outcome::Deferred, None) => {
                let text = "Deferred, but nobody will complete it";
                Err(Error::new(ErrorCode::SYSTEM, text))
            }
        }
    }
}

impl<E: Engine> TxCore<E> {
    /// Runs a request of a batch, or lets it wait: for the one that runs in its stream, or for room
    /// for its reply.
    pub(super) fn run_request(&mut self, worker: usize, entry: &BatchEntry, body: &[u8]) {
        let client = self.callers.get(worker, entry.session);
        if let Some(client) = client {
            if !self.has_room(worker, entry, &client.replies) {
                return self.put_aside_for_room(worker, entry, body);
            }
            let connection = client.caller.connection;
            let stream = entry.stream;
            let streams = &mut self.executor.streams;
            if stream != 0 && streams.is_busy(StreamKey { connection, stream }) {
                return self.wait_in_stream(worker, entry, body);
            }
        }
        if !self.callers.claim(worker, entry.id) {
            if let Some(client) = client {
                self.executor.pass_undone(worker, entry, &client.caller);
            }
            return;
        }
        let Some(client) = client else {
            let error = Error::new(ErrorCode::SYSTEM, "Unknown session");
            return self.executor.output.error(worker, entry, &error);
        };
        let request = ClaimedRequest {
            worker,
            entry,
            body,
            caller: &client.caller,
            replies: &client.replies,
            callers: &self.callers,
        };
        self.executor.execute(&request);
    }
}

impl<E: Engine> Executor<E> {
    /// Executes a request, and charges its reply to its connection.
    pub(super) fn execute(&mut self, request: &ClaimedRequest<'_>) {
        let before = self.output.to(request.worker).total();
        self.execute_claimed(request);
        self.output
            .to(request.worker)
            .charge(before, request.replies);
    }

    fn execute_claimed(&mut self, request: &ClaimedRequest<'_>) {
        let is_call = request.entry.class == Class::Call;
        self.budget.spend(is_call);
        self.show_progress();
        let mut outcome = self.attempt_and_note(request);
        if outcome == Ok(Outcome::CommitFirst) {
            // The outcome of the turn so far is told to those who were in it before this request,
            // which may be a long one, begins.
            self.commit(request.callers);
            self.send();
            outcome = self.attempt_and_note(request);
        }
        let error = match outcome {
            Ok(Outcome::Done | Outcome::Deferred) => return,
            Ok(Outcome::CommitFirst) => {
                let text = "The engine asks for a turn of its own again and again";
                Error::new(ErrorCode::SYSTEM, text)
            }
            Err(error) => error,
        };
        self.output.error(request.worker, request.entry, &error);
    }

    /// Runs the request once, and notes what a discarded turn has to know of it.
    fn attempt_and_note(&mut self, request: &ClaimedRequest<'_>) -> Result<Outcome, Error> {
        let had_writes = self.writes.is_begun();
        let head = self.output.to(request.worker).count();
        let outcome = self.attempt(request);
        if !had_writes && self.writes.is_begun() {
            self.output.mark_first_write();
            self.output.to(request.worker).mark_first_write(head);
        } else if had_writes && outcome == Ok(Outcome::Done) {
            let (worker, entry) = (request.worker, request.entry);
            self.writes.note_read(worker, head, entry, request.body);
        }
        outcome
    }

    /// Runs the request once. `Done`: its reply is written; otherwise nothing is.
    pub(super) fn attempt(&mut self, request: &ClaimedRequest<'_>) -> Result<Outcome, Error> {
        let (worker, entry) = (request.worker, request.entry);
        let body = request::decode_checked(entry.request, request.body)?;
        let (is_call, wraps_results) = match &body {
            Body::Call(call) => (true, call.wrap_results),
            _ => (false, false),
        };
        self.output.begin(worker, entry);
        let meaning = self.meaning(request, &body);
        let executed = meaning.and_then(|meaning| match meaning {
            // Answered as the CALL that it is.
            Some(meaning) => self.dispatch(request, meaning).inspect(|_| {
                let mut reply = self.output.to(worker).body(wraps_results);
                write_data_head(&mut reply);
                reply.push(0x90);
            }),
            None => self.dispatch(request, body),
        });
        let used = self.holdings.take_current();
        if let Ok(Executed::Done) = executed {
            self.output.to(worker).finish(entry, wraps_results);
        } else {
            self.output.to(worker).abandon();
        }
        if let Ok(Executed::Deferred(ticket, task, charge)) = executed {
            let deferred = Deferred {
                worker,
                entry: *entry,
                connection: request.caller.connection,
                is_call,
                wraps_results,
                used,
                task,
                begun: self.budget.began(),
                replies: request.replies.clone(),
                _charge: charge,
            };
            self.defer(request, ticket, deferred);
            return Ok(Outcome::Deferred);
        }
        self.holdings.hand_back(&used);
        match executed? {
            Executed::Done => Ok(Outcome::Done),
            Executed::CommitFirst => Ok(Outcome::CommitFirst),
            Executed::Deferred(..) => Ok(Outcome::Deferred),
        }
    }

    /// The reply comes later.
    fn defer(&mut self, request: &ClaimedRequest<'_>, ticket: Ticket, deferred: Deferred) {
        let claims = request.callers.claims(request.worker);
        claims.defer(request.entry.id);
        self.output
            .to(request.worker)
            .tell_waiting(request.entry.id, WaitKind::Limited);
        self.streams.run(request.key(), ticket);
        self.deferred.insert(ticket, deferred);
    }

    /// Sends the request to where it is executed, if it passes the fence.
    fn dispatch(
        &mut self,
        request: &ClaimedRequest<'_>,
        body: Body<'_>,
    ) -> Result<Executed, Error> {
        let open = self.streams.transaction(request.key());
        let admitted = request.entry.admitted;
        // A transaction keeps what it was begun as; how old it is, is seen when it is committed.
        let is_read_only = open.map_or(admitted, |own| own.admitted).is_read_only();
        let is_plain_read = request.entry.class == Class::Read && open.is_none();
        if !is_plain_read && !matches!(body, Body::Rollback) {
            let (engine, entry) = (&mut self.engine, request.entry);
            if !self.writes.admit_request(engine, is_read_only, entry) {
                return Err(read_only(&self.shared));
            }
        }
        match body {
            Body::Begin(options) => match open {
                Some(own) if !own.is_over => Err(Error::active_transaction()),
                _ => self.begin(request, &options),
            },
            Body::Commit | Body::Rollback => self.finish(request, matches!(body, Body::Commit)),
            body => {
                if let Some(error) = open.and_then(|own| own.aborted.as_deref()) {
                    return Err(error.clone());
                }
                let transaction = open.map(|own| own.id);
                if transaction.is_some() {
                    self.streams.note_statement(request.key());
                }
                match body {
                    Body::Call(_) if self.engine.must_commit_first() => Ok(Executed::CommitFirst),
                    Body::Call(call) => self.call(request, call, transaction),
                    body => self.ask_engine(request, body, transaction),
                }
            }
        }
    }

    fn ask_engine(
        &mut self,
        request: &ClaimedRequest<'_>,
        body: Body<'_>,
        transaction: Option<TransactionId>,
    ) -> Result<Executed, Error> {
        let asked = Request {
            body,
            caller: request.caller,
            stream: request.entry.stream,
            transaction,
        };
        let pushes = PushOrigin {
            worker: &self.pushes[request.worker],
            claim: request.claim(),
            header: self.output.header(request.entry.sync),
            gauge: request.replies.gauge(),
            shared: &self.shared,
        };
        let mut context = RequestContext {
            holder: request.holder(self.budget.began()),
            claim: request.claim(),
            solos: &self.solos,
            holdings: &mut self.holdings,
            tickets: &mut self.tickets,
            waits: &self.shared.quotas.waits,
            deferred: None,
            pushes,
            announced: Vec::new(),
        };
        let out = self.output.to(request.worker).body(false);
        let mut reply = Reply::new(out, &mut context);
        let outcome = self.engine.execute(&asked, &mut reply)?;
        let RequestContext {
            deferred,
            announced,
            ..
        } = context;
        self.announce(announced);
        Executed::from(outcome, deferred)
    }

    fn call(
        &mut self,
        request: &ClaimedRequest<'_>,
        call: request::Call<'_>,
        transaction: Option<TransactionId>,
    ) -> Result<Executed, Error> {
        self.engine.may_call(request.caller, call.name)?;
        let found = self.procedures.find(call.name);
        let found = found.map_err(|error| self.engine.no_procedure(call.name).unwrap_or(error))?;
        let pushes = PushOrigin {
            worker: &self.pushes[request.worker],
            claim: request.claim(),
            header: self.output.header(request.entry.sync),
            gauge: request.replies.gauge(),
            shared: &self.shared,
        };
        self.writes.check_procedure(found, &self.shared)?;
        let (procedure, is_atomic) = match found {
            Procedure::ReadOnly(procedure) | Procedure::Sync(procedure) => (procedure, false),
            Procedure::Atomic(procedure) => (procedure, transaction.is_none()),
            Procedure::Async(start) => {
                let charge = self.shared.quotas.waits.take(request.caller, 1)?;
                let claim = request.claim();
                let steps = Box::new(CallSteps {
                    queue: self.steps.clone(),
                    pusher: pushes.pusher(),
                    shared: self.shared.clone(),
                    origin: StepOrigin {
                        admitted: request.entry.admitted,
                        transaction: transaction.map(|id| (request.key(), id)),
                    },
                });
                let caller = request.caller.clone();
                let context = AsyncContext::new(caller, transaction, claim.token(), steps);
                let ticket = self.tickets.next();
                let task = self.tasks.spawn(ticket, start(call.args, context));
                return Ok(Executed::Deferred(ticket, Some(task), charge));
            }
        };
        let mut context = RequestContext {
            holder: request.holder(self.budget.began()),
            claim: request.claim(),
            solos: &self.solos,
            holdings: &mut self.holdings,
            tickets: &mut self.tickets,
            waits: &self.shared.quotas.waits,
            deferred: None,
            pushes,
            announced: Vec::new(),
        };
        let out = self.output.to(request.worker).body(call.wrap_results);
        let mut called = ProcedureCall {
            engine: &mut self.engine,
            name: call.name,
            args: call.args,
            caller: request.caller,
            stream: request.entry.stream,
            transaction,
            reply: Reply::new(out, &mut context),
        };
        let own = is_atomic.then(|| (self.streams.next_id(), request.entry.admitted));
        let outcome = run(procedure, &mut called, own, &self.shared)?;
        let RequestContext {
            deferred,
            announced,
            ..
        } = context;
        self.announce(announced);
        Executed::from(outcome, deferred)
    }

    /// Sets events with the turn's commit.
    pub(super) fn announce(&mut self, announced: Vec<Announced>) {
        for Announced { key, value } in announced {
            let events = self.shared.events.clone();
            self.output.await_commit(Box::new(move |committed| {
                // There was room for it when it was announced.
                if let Some(error) = committed.and_then(|()| events.set_raw(&key, value)).err() {
                    log::warn!("the event '{key}' is not set: {error}");
                }
            }));
        }
    }

    fn begin(&mut self, request: &ClaimedRequest<'_>, options: &Begin) -> Result<Executed, Error> {
        self.engine.may_begin(request.caller)?;
        let charge = self.shared.quotas.transactions.take(request.caller, 1)?;
        let id = self.streams.next_id();
        self.engine.begin(id, options, request.caller)?;
        let now = self.budget.began();
        self.settings.refresh(&self.shared.settings);
        let longest = self.settings.transaction_timeout;
        let deadline = transaction_deadline(now, longest, options.timeout);
        let (key, entry) = (request.key(), request.entry);
        let given_up = self.given_up.take(request.origin());
        let begun_by = Beginner {
            worker: request.worker,
            if_aborted: AbortedTransaction::of(entry, key.connection),
        };
        self.streams
            .begin(key, id, entry.admitted, begun_by, (now, deadline), charge);
        if let Some(fate) = given_up {
            self.end(key, &fate);
        }
        Ok(Executed::Done)
    }

    /// COMMIT and ROLLBACK, which end an aborted transaction too.
    fn finish(&mut self, request: &ClaimedRequest<'_>, is_commit: bool) -> Result<Executed, Error> {
        if request.entry.stream == 0 {
            return Ok(Executed::Done);
        }
        let Some(transaction) = self.streams.take_transaction(request.key()) else {
            return Ok(Executed::Done);
        };
        if !transaction.is_unbegun() {
            let now = self.budget.began();
            let time = now.saturating_duration_since(transaction.begun);
            self.shared.recent_durations.add(time);
        }
        match transaction.aborted {
            Some(error) if is_commit => return Err(*error),
            Some(_) => {}
            None if is_commit => {
                let committed = self.commit_open(request, &transaction);
                match &committed {
                    // How it ends is known when the turn is committed.
                    Ok(()) => self.committing += 1,
                    Err(error) => self.shared.tx.ended(end_by(error), 1),
                }
                committed?;
            }
            None => {
                self.shared.tx.ended(TransactionEnd::RolledBack, 1);
                self.engine.rollback_transaction(transaction.id);
            }
        }
        Ok(Executed::Done)
    }

    fn commit_open(
        &mut self,
        request: &ClaimedRequest<'_>,
        transaction: &Transaction,
    ) -> Result<(), Error> {
        let may = self.engine.may_commit(request.caller);
        may.inspect_err(|_| self.engine.rollback_transaction(transaction.id))?;
        let (id, admitted) = (transaction.id, transaction.admitted);
        commit_transaction(&mut self.engine, id, admitted, &self.shared)
    }
}
