//! One request on its way through the engine, the transactions or the procedures.

use std::rc::Rc;
use std::time::{Duration, Instant};

use vestibule_wire::Error;
use vestibule_wire::request::{self, Begin, Body};

use super::deadlines::{Deadlines, Timed};
use super::deferred::Task;
use super::locks::{LOCK, Locks, Origin, UNLOCK, Wanted};
use super::messages::AbortedTransaction;
use super::reservations::Holder;
use super::steps::{CallSteps, StepQueue};
use super::streams::{Key, Streams, Transaction};
use super::turn_writes::{TurnWrites, read_only};
use crate::admission::Class;
use crate::engine::procedures::{Call, Procedure, Procedures};
use crate::engine::{AsyncContext, Caller, Engine, Outcome, Reply, Request, TransactionId};
use crate::serving::Admitted;
use crate::shared::Shared;
use crate::timeouts::transaction_deadline;

/// One request with everything it may touch.
pub(super) struct Execution<'a, E: Engine> {
    pub(super) engine: &'a mut E,
    pub(super) procedures: &'a Procedures<E>,
    pub(super) streams: &'a mut Streams,
    pub(super) transactions: &'a mut u64,
    /// Under which epoch the request was admitted, and whether it may change data.
    pub(super) admitted: Admitted,
    pub(super) class: Class,
    pub(super) writes: &'a mut TurnWrites,
    pub(super) shared: &'a Shared,
    pub(super) deadlines: &'a mut Deadlines,
    /// How long transactions may take at most; zero: for ever.
    pub(super) timeout: Duration,
    /// When the turn began.
    pub(super) now: Instant,
    pub(super) steps: &'a Rc<StepQueue<E>>,
    pub(super) caller: &'a Caller,
    pub(super) locks: &'a mut Locks,
    /// Which request this is.
    pub(super) origin: Origin,
    /// The session that it came from, in its worker.
    pub(super) session: u32,
    pub(super) holder: Holder<'a>,
    pub(super) reply: Reply<'a>,
    /// The task of an async procedure that was started.
    pub(super) task: Option<Task>,
}

impl<E: Engine> Execution<'_, E> {
    fn key(&self) -> Key {
        (self.caller.connection, self.caller.stream)
    }

    fn transaction(&self) -> Option<&Transaction> {
        if self.caller.stream == 0 {
            return None;
        }
        self.streams.get(self.key())?.transaction.as_ref()
    }

    pub(super) fn run(&mut self, body: Body<'_>) -> Result<Outcome, Error> {
        self.pass_the_fence(&body)?;
        let open = self.transaction();
        match body {
            Body::Begin(_) if open.is_some_and(|own| !own.is_over) => {
                Err(Error::active_transaction())
            }
            Body::Begin(options) => self.begin(&options),
            Body::Commit | Body::Rollback => self.end(matches!(body, Body::Commit)),
            body => {
                if let Some(error) = open.and_then(|own| own.aborted.as_deref()) {
                    return Err(error.clone());
                }
                let transaction = open.map(|own| own.id);
                if transaction.is_some() {
                    self.streams.note_statement(self.key());
                }
                if let Body::Call(call) = body {
                    return self.call(call, transaction);
                }
                let request = Request {
                    body,
                    caller: self.caller,
                    transaction,
                };
                self.engine.execute(&request, &mut self.reply)
            }
        }
    }

    /// Refuses what may not change data, or not any more; tells the engine which of the two is asked of
    /// it now. A plain read passes always.
    fn pass_the_fence(&mut self, body: &Body<'_>) -> Result<(), Error> {
        let open = self.transaction();
        let is_read_only = open.map_or(self.admitted.is_read_only(), |own| own.is_read_only);
        let is_rollback = matches!(body, Body::Rollback);
        if is_rollback || matches!(body, Body::Select(_)) && open.is_none() {
            return Ok(());
        }
        if is_read_only {
            if self.class == Class::Write {
                return Err(read_only(self.shared));
            }
        } else if !self.writes.admit(self.admitted.epoch()) {
            return Err(read_only(self.shared));
        }
        self.writes.tell(self.engine, is_read_only);
        Ok(())
    }

    fn begin(&mut self, options: &Begin) -> Result<Outcome, Error> {
        *self.transactions += 1;
        let id = TransactionId(*self.transactions);
        self.engine.begin(id, options)?;
        let deadline = transaction_deadline(self.now, self.timeout, options.timeout);
        let timed = Timed::Transaction(self.key());
        let timer = deadline.map(|at| self.deadlines.set(timed, at));
        let (worker, begin) = self.origin;
        let (connection, stream) = self.key();
        let if_aborted = AbortedTransaction {
            session: self.session,
            connection,
            stream,
            begin,
        };
        let begun_by = (worker, if_aborted);
        let transaction = Transaction::new(id, self.admitted, self.now, timer, begun_by);
        self.streams.entry(self.key()).transaction = Some(transaction);
        self.streams.note_begin(self.key());
        Ok(Outcome::Done)
    }

    /// COMMIT and ROLLBACK, which end an aborted transaction too.
    fn end(&mut self, is_commit: bool) -> Result<Outcome, Error> {
        if self.caller.stream == 0 {
            return Ok(Outcome::Done);
        }
        let Some(transaction) = self.streams.take_transaction(self.key()) else {
            return Ok(Outcome::Done);
        };
        let time = self.now.saturating_duration_since(transaction.begun);
        self.shared.recent_durations.add(time);
        if let Some(timer) = transaction.timer {
            self.deadlines.clear(timer);
        }
        match transaction.aborted {
            Some(error) if is_commit => return Err(*error),
            Some(_) => {}
            None if is_commit => self.commit(&transaction)?,
            None => self.engine.rollback_transaction(transaction.id),
        }
        Ok(Outcome::Done)
    }

    /// The engine may write here already.
    fn commit(&mut self, transaction: &Transaction) -> Result<(), Error> {
        if transaction.is_read_only {
            return self.engine.commit_transaction(transaction.id);
        }
        let fence = &self.shared.fence;
        if fence.begin_write(transaction.epoch).is_err() {
            self.engine.rollback_transaction(transaction.id);
            return Err(read_only(self.shared));
        }
        let result = self.engine.commit_transaction(transaction.id);
        fence.end_write();
        result
    }

    fn call(
        &mut self,
        call: request::Call<'_>,
        transaction: Option<TransactionId>,
    ) -> Result<Outcome, Error> {
        self.engine.may_call(self.caller, call.name)?;
        match call.name {
            LOCK => return self.lock(&call),
            UNLOCK => return self.unlock(&call),
            _ => {}
        }
        match self.procedures.find(call.name)? {
            Procedure::Sync(procedure) => procedure(&mut Call {
                engine: self.engine,
                name: call.name,
                args: call.args,
                caller: self.caller,
                transaction,
                reply: self.reply.reborrow(),
            }),
            Procedure::Async(start) => {
                let completion = self.reply.defer()?;
                let token = completion.token().clone();
                let caller = self.caller.clone();
                let steps = Box::new(CallSteps {
                    queue: self.steps.clone(),
                    admitted: self.admitted,
                });
                let context = AsyncContext::new(caller, token, steps);
                let running = start(call.args, context);
                let task = async move { completion.complete_raw(running.await) };
                self.task = Some(Task(actix_rt::spawn(task)));
                Ok(Outcome::Deferred)
            }
        }
    }

    /// `vestibule.lock(name [, timeout])`: true if this connection has it, false if it took too long.
    fn lock(&mut self, call: &request::Call<'_>) -> Result<Outcome, Error> {
        let wanted = Wanted::read(call.name, call.args)?;
        let connection = self.caller.connection;
        let holder = self.locks.find(wanted.name);
        let Some(holder) = holder else {
            let mut reservations = self.holder.reservations.borrow_mut();
            let taken = self
                .locks
                .take(wanted.name, connection, self.origin, &mut reservations);
            taken?.list(self.shared, self.now);
            return self.reply.value(&true);
        };
        if self.holder.reservations.borrow().holder(holder) == Some(connection) {
            return self.reply.value(&true);
        }
        if wanted.timeout.is_zero() {
            return self.reply.value(&false);
        }
        let completion = self.reply.defer()?;
        let timed = Timed::LockWait(completion.ticket());
        let timer = self.deadlines.set(timed, self.now + wanted.timeout);
        let waiting = self
            .locks
            .wait(wanted.name, connection, self.origin, completion, timer);
        self.shared.reservations.set_waiting(holder, waiting);
        Ok(Outcome::Deferred)
    }

    /// `vestibule.unlock(name)`: false if this connection does not have it.
    fn unlock(&mut self, call: &request::Call<'_>) -> Result<Outcome, Error> {
        let wanted = Wanted::read(call.name, call.args)?;
        let own = self.locks.find(wanted.name);
        let is_released = own.is_some_and(|own| self.holder.release(own));
        if let Some(own) = own.filter(|_| is_released) {
            let mut reservations = self.holder.reservations.borrow_mut();
            let next = self.locks.hand_over(own, &mut reservations, self.deadlines);
            if let Some(granted) = next {
                granted.list(self.shared, self.now);
            }
        }
        self.reply.value(&is_released)
    }
}
