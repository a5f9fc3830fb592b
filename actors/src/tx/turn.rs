//! Tx's turn: claim, execute, commit once, release the replies.
//!
//! ```text
//!   cancels, deadlines ─▶ end what is over
//!   completed ─┐
//!   steps ─────┤
//!   ticks ─────┤
//!   jobs ──────┤
//!   resumed ───┼─▶ execute … execute ─▶ commit ─▶ publish the catalog ─▶ one message per worker
//!   batches ───┘        │
//!                       └ CommitFirst: commit, then this request again, first of a new turn
//!
//!   behind: resumed, batches ─▶ `backlog`: turns by user, address and connection ─▶ execute …
//! ```
//!
//! A turn ends after a number of requests, of reply bytes, or after a time, whichever comes first.
//! On its way per request nothing is allocated, logged or timed. The way of one request is in
//! `request`.

use std::time::Instant;

use vestibule_wire::Error;

use super::backlog::Backlog;
use super::core::{Executor, TxCore};
use super::deferred::Deferred;
use crate::cells::tx_counts::TransactionEnd;
use crate::engine::{Engine, StepKind};
use crate::messages::tx::{Batch, Completed};

/// Whether the turn goes on.
#[derive(PartialEq, Eq)]
enum Turn {
    Open,
    Full,
}

impl<E: Engine> TxCore<E> {
    /// One turn. Afterwards there may be [more to do](Self::has_work).
    pub(crate) fn turn(&mut self, now: Instant) {
        let counts = &self.executor.shared.tx;
        counts.begin_turn(self.executor.shared.since_start(now));
        self.executor.budget.begin(now);
        self.executor.sync_fence();
        self.apply_cancels();
        self.executor.expire(now);
        self.finish_completed();
        self.run_steps();
        self.executor.run_ticks(now);
        self.look_at_backlog(now);
        let jobs_come_last = self.queue.has_jobs() && !self.run_jobs_first();
        let end = self.run_requests();
        self.is_behind = end == Turn::Full && self.executor.budget.is_costly();
        if jobs_come_last {
            self.run_jobs();
        }
        self.executor.reap_streams(&self.backlog);
        self.executor.sweep_reservations();
        self.executor.commit(&self.callers);
        self.executor.send();
        self.executor.show_progress();
        self.end_turn();
    }

    /// The turn is over, also if it was ended by a panic.
    pub(super) fn end_turn(&self) {
        let at = self.executor.shared.since_start(self.now());
        self.executor.shared.tx.end_turn(at);
    }

    /// Runs what waits: in the order of arrival, or, when the last turn was full after few
    /// requests, in turns.
    fn run_requests(&mut self) -> Turn {
        if self.is_behind {
            self.line_up();
            return self.run_backlog();
        }
        match self.run_resumed() {
            Turn::Open => self.run_queued(),
            Turn::Full => Turn::Full,
        }
    }

    /// Runs what waited for room and what is new; in every other turn one comes first.
    fn run_queued(&mut self) -> Turn {
        let is_backlog_first = self.is_backlog_first;
        self.is_backlog_first = !is_backlog_first;
        if is_backlog_first && self.run_backlog() == Turn::Full {
            return Turn::Full;
        }
        match self.run_batches() {
            Turn::Open if !is_backlog_first => self.run_backlog(),
            end => end,
        }
    }

    /// Answers what completed since the last turn, and goes on in its streams. Nothing was executed
    /// in this turn so far: these replies depend on no commit.
    fn finish_completed(&mut self) {
        for Completed { ticket, result } in self.queue.take_completed() {
            let Some(mut deferred) = self.executor.take_deferred(ticket) else {
                self.executor.calls.finish(ticket, result);
                continue;
            };
            if let Some(task) = deferred.task.take() {
                task.release();
            }
            self.executor.answer_deferred(&deferred, result);
            self.executor.streams.resume(deferred.key(), ticket);
        }
    }

    /// Runs the steps of async procedures.
    fn run_steps(&mut self) {
        let executor = &mut self.executor;
        for step in self.queue.take_steps() {
            let admitted = executor.admit_step(step.origin);
            let admitted = admitted.and_then(|()| match step.kind {
                StepKind::Reads => Ok(()),
                StepKind::Changes => executor.writes.check_change(&executor.shared),
            });
            let on_commit = match admitted {
                Ok(()) => (step.run)(Ok(&mut executor.engine)),
                Err(error) => (step.run)(Err(error)),
            };
            executor.output.await_commit(on_commit);
        }
    }

    /// Runs what waited in its stream.
    fn run_resumed(&mut self) -> Turn {
        while let Some(request) = self.executor.streams.pop_resumed() {
            if self.executor.is_full(request.worker) {
                self.executor.streams.put_back_resumed(request);
                return Turn::Full;
            }
            if self.has_room_again(&request) {
                self.run_waiting(request);
            } else {
                self.put_aside_again(request);
            }
        }
        Turn::Open
    }

    /// Runs what waited for room, while there is some, or for its turn.
    fn run_backlog(&mut self) -> Turn {
        let mut last = None;
        loop {
            while let Some(gone) = self.backlog.finish_next() {
                self.executor.leave(gone);
            }
            let Some(request) = self.backlog.peek() else {
                return Turn::Open;
            };
            let worker = request.worker;
            if !self.may_go_on(request) {
                self.backlog.leave_next();
                continue;
            }
            if self.executor.is_full(worker) {
                return Turn::Full;
            }
            if let Some(request) = self.backlog.pop() {
                let connection = request.caller.connection;
                let began = last.unwrap_or_else(|| self.now());
                self.run_waiting(request);
                let now = self.now();
                last = Some(now);
                let took = now.saturating_duration_since(began);
                self.backlog.spend(connection, took.as_micros() as u64 + 1);
            }
        }
    }

    fn run_batches(&mut self) -> Turn {
        while let Some((batch, next)) = self.queue.pop_batch() {
            if self.run_batch(batch, next) == Turn::Full {
                return Turn::Full;
            }
        }
        Turn::Open
    }

    fn run_batch(&mut self, mut batch: Box<Batch>, next: usize) -> Turn {
        let worker = batch.worker;
        self.recycle_replies(&mut batch);
        for index in next..batch.entries.len() {
            if self.executor.is_full(worker) {
                self.queue.put_back_batch(batch, index);
                return Turn::Full;
            }
            self.update_callers(&mut batch, index);
            let entry = &batch.entries[index];
            self.run_request(worker, entry, batch.body(index));
        }
        self.finish_batch(batch);
        Turn::Open
    }

    #[inline]
    pub(super) fn recycle_replies(&mut self, batch: &mut Batch) {
        if let Some(replies) = batch.recycled.take() {
            self.executor.output.to(batch.worker).recycle(replies);
        }
    }

    /// Hears who calls from an entry of a batch on.
    #[inline]
    pub(super) fn update_callers(&mut self, batch: &mut Batch, index: usize) {
        while batch
            .caller_updates
            .front()
            .is_some_and(|own| own.before <= index)
            && let Some(own) = batch.caller_updates.pop_front()
        {
            self.callers.set(batch.worker, own);
        }
    }

    /// Does what is to be done behind the entries of a batch, and gives it back.
    pub(super) fn finish_batch(&mut self, mut batch: Box<Batch>) {
        let worker = batch.worker;
        for session in batch.disconnects.drain(..) {
            self.callers.forget(worker, session);
            if !self.backlog.leave(session.connection) {
                self.executor.leave(session.connection);
            }
        }
        for connection in batch.roomy.drain(..) {
            self.backlog.wake(connection);
        }
        batch.clear();
        self.executor.output.to(worker).give_back(batch);
    }
}

impl<E: Engine> Executor<E> {
    /// Whether the turn has to end before another request of this worker.
    #[inline]
    fn is_full(&mut self, worker: usize) -> bool {
        self.budget.is_spent() || self.output.to(worker).is_full()
    }

    /// Answers a deferred request that is complete.
    fn answer_deferred(&mut self, deferred: &Deferred, result: Result<Vec<u8>, Error>) {
        let time = self
            .budget
            .began()
            .saturating_duration_since(deferred.begun);
        self.shared.recent_durations.add(time);
        let (worker, entry) = (deferred.worker, &deferred.entry);
        let before = self.output.to(worker).total();
        match result {
            Ok(body) => self
                .output
                .body(worker, entry, &body, deferred.wraps_results),
            Err(error) => self.output.error(worker, entry, &error),
        }
        self.output.to(worker).charge(before, &deferred.replies);
        self.output.to(worker).mark_committed();
    }

    /// Sends the replies, one message to each worker.
    pub(super) fn send(&mut self) {
        self.output.send(&self.shared.counters);
    }

    /// Rolls back what connections that are gone have left open, if nothing of them waits for room.
    fn reap_streams(&mut self, backlog: &Backlog) {
        let left_open = self.streams.reap(|connection| backlog.has(connection));
        let disconnected = TransactionEnd::Disconnected;
        self.shared.tx.ended(disconnected, left_open.len());
        for transaction in left_open {
            self.engine.rollback_transaction(transaction);
        }
    }

    /// A connection is gone: what it sent is executed, what it left open is rolled back.
    fn leave(&mut self, connection: u64) {
        self.streams.leave(connection);
        self.leave_reservations(connection);
        for ticket in self.deferred.of_engine(connection) {
            self.engine.cancel(ticket);
        }
    }
}
