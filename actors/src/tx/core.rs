//! Tx's turn: claim, execute, commit once, release the replies.
//!
//! ```text
//!   completed ─┐
//!   steps ─────┼─▶ execute … execute ─▶ commit ─▶ publish the catalog ─▶ one message per worker
//!   batches ───┘        │
//!                       └ CommitFirst: commit, then this request again, first of a new turn
//! ```
//!
//! A turn ends after a number of requests, of reply bytes, or after a time, whichever comes first. On
//! its way per request nothing is allocated, logged or timed.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use super::deadlines::Deadlines;
use super::deferred::Deferred;
use super::locks::Locks;
use super::messages::{Batch, Cancel, Completed};
use super::replies::WorkerLink;
use super::reservations::Reservations;
use super::steps::StepQueue;
use super::streams::{Streams, WaitingRequest};
use super::turn_writes::TurnWrites;
use crate::engine::procedures::Procedures;
use crate::engine::{Completions, Engine, OnCommit, Ticket};
use crate::limits::{TURN_CLOCK_EVERY, TURN_REPLY_BYTES_MAX, TURN_REQUESTS_MAX, TURN_TIME_MAX};
use crate::serving::{ServingCell, Solos};
use crate::shared::Shared;

/// Everything that lives on Tx's thread.
pub(crate) struct TxCore<E: Engine> {
    pub(super) engine: E,
    pub(super) procedures: Arc<Procedures<E>>,
    pub(super) workers: Vec<WorkerLink>,
    pub(super) batches: VecDeque<(Batch, usize)>,
    pub(super) completed: VecDeque<Completed>,
    pub(super) steps: Rc<StepQueue<E>>,
    /// Steps of this turn that wait for its commit.
    pub(super) on_commit: Vec<OnCommit>,
    pub(super) deferred: HashMap<Ticket, Deferred>,
    /// The same by worker and word.
    pub(super) tickets_of: HashMap<(usize, u32), Ticket>,
    /// Told by workers and not carried out yet, with the worker.
    pub(super) cancels: Vec<(usize, Cancel)>,
    pub(super) streams: Streams,
    pub(super) deadlines: Deadlines,
    /// In a cell because the engine reaches it while a request runs.
    pub(super) reservations: RefCell<Reservations>,
    pub(super) locks: Locks,
    /// Waited in their streams, and may run now, before anything that came later.
    pub(super) resumed: VecDeque<WaitingRequest>,
    pub(super) tickets: Cell<u64>,
    pub(super) transactions: u64,
    pub(super) completions: Arc<dyn Completions>,
    pub(super) shared: Arc<Shared>,
    pub(super) solos: Solos,
    pub(super) schema_version: u64,
    /// What may still be written of this turn, and what of it has to be.
    pub(super) writes: TurnWrites,
    pub(super) executed: usize,
    /// The engine takes no changes: the status says so.
    pub(super) has_fault: bool,
    /// The last request was a CALL.
    pub(super) has_called: bool,
    pub(super) began: Instant,
}

impl<E: Engine> fmt::Debug for TxCore<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TxCore")
            .field("batches", &self.batches.len())
            .finish_non_exhaustive()
    }
}

/// Whether the turn goes on.
#[derive(PartialEq, Eq)]
enum Turn {
    Open,
    Full,
}

impl<E: Engine> TxCore<E> {
    pub(crate) fn new(
        engine: E,
        procedures: Arc<Procedures<E>>,
        workers: Vec<WorkerLink>,
        completions: Arc<dyn Completions>,
        shared: Arc<Shared>,
    ) -> Self {
        let solos = Solos::new(shared.cell.clone());
        let now = shared.clock.now();
        let mut core = Self {
            engine,
            procedures,
            workers,
            batches: VecDeque::new(),
            completed: VecDeque::new(),
            steps: Rc::new(StepQueue::default()),
            on_commit: Vec::new(),
            deferred: HashMap::new(),
            tickets_of: HashMap::new(),
            cancels: Vec::new(),
            streams: Streams::default(),
            deadlines: Deadlines::new(now),
            reservations: RefCell::default(),
            locks: Locks::default(),
            resumed: VecDeque::new(),
            tickets: Cell::new(0),
            transactions: 0,
            completions,
            shared,
            solos,
            schema_version: 0,
            writes: TurnWrites::default(),
            executed: 0,
            has_fault: false,
            has_called: false,
            began: now,
        };
        // Whatever the one before it was writing when it died.
        core.shared.fence.end_write();
        // Whatever it stood still at.
        core.show_progress();
        core.publish_catalog();
        // What the engine before this one complained of is over.
        core.shared.publish_fault(None);
        core.shared.reservations.clear();
        core.shared.publish_view(core.engine.view());
        core
    }

    pub(crate) fn cell(&self) -> &Arc<ServingCell> {
        &self.shared.cell
    }

    /// Has Tx's turn woken when a step is asked for.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        self.steps.set_waker(waker);
    }

    pub(crate) fn push_batch(&mut self, mut batch: Batch) {
        let worker = batch.worker;
        let cancels = batch.cancels.drain(..).map(|cancel| (worker, cancel));
        self.cancels.extend(cancels);
        self.batches.push_back((batch, 0));
    }

    pub(crate) fn push_completed(&mut self, completed: Completed) {
        self.completed.push_back(completed);
    }

    /// Tells the watchdog that Tx's thread goes on.
    pub(crate) fn show_progress(&self) {
        self.shared.heartbeat.advance();
    }

    pub(crate) fn has_work(&self) -> bool {
        !self.batches.is_empty()
            || !self.completed.is_empty()
            || !self.resumed.is_empty()
            || !self.steps.is_empty()
    }

    /// When a deadline may be over next.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        self.deadlines.next_look()
    }

    /// One turn. Afterwards there may be [more to do](Self::has_work).
    pub(crate) fn turn(&mut self, now: Instant) {
        self.executed = 0;
        self.has_called = false;
        self.began = now;
        self.sync_fence();
        self.apply_cancels();
        self.expire(now);
        self.finish_completed();
        self.run_steps();
        if self.run_resumed() == Turn::Open {
            while let Some((batch, next)) = self.batches.pop_front() {
                if self.run_batch(batch, next) == Turn::Full {
                    break;
                }
            }
        }
        self.reap_streams();
        self.sweep_reservations();
        self.commit();
        self.send_replies();
        self.show_progress();
    }

    fn run_steps(&mut self) {
        for step in self.steps.take() {
            let on_commit = match self.admit_step(step.admitted) {
                Ok(()) => (step.run)(Ok(&mut self.engine)),
                Err(error) => (step.run)(Err(error)),
            };
            self.on_commit.push(on_commit);
        }
    }

    /// Runs what waited in its stream.
    fn run_resumed(&mut self) -> Turn {
        while let Some(waiting) = self.resumed.pop_front() {
            if self.is_full(waiting.worker) {
                self.resumed.push_front(waiting);
                return Turn::Full;
            }
            if let Some(stream) = self.streams.busy(waiting.key()) {
                stream.waiting.push_back(waiting);
                continue;
            }
            let WaitingRequest {
                worker,
                entry,
                body,
                mut caller,
            } = waiting;
            if self.workers[worker].claims.claim(entry.id) {
                self.execute(worker, &entry, &body, Some(&mut caller));
            }
        }
        Turn::Open
    }

    fn run_batch(&mut self, mut batch: Batch, next: usize) -> Turn {
        let worker = batch.worker;
        if let Some(replies) = batch.recycled.take() {
            self.workers[worker].spare.push(replies);
        }
        for index in next..batch.entries.len() {
            if self.is_full(worker) {
                self.batches.push_front((batch, index));
                return Turn::Full;
            }
            while batch
                .caller_updates
                .front()
                .is_some_and(|own| own.before <= index)
                && let Some(own) = batch.caller_updates.pop_front()
            {
                self.workers[worker].introduce(own.session, own.caller);
            }
            let entry = batch.entries[index];
            self.run_entry(
                worker,
                &entry,
                &batch.bytes[entry.start as usize..entry.end as usize],
            );
        }
        for (session, connection) in batch.disconnects.drain(..) {
            self.forget(worker, session, connection);
        }
        batch.clear();
        self.workers[worker].out.spent.push(batch);
        Turn::Open
    }

    fn is_full(&self, worker: usize) -> bool {
        self.executed >= TURN_REQUESTS_MAX
            || self.workers[worker].out.bytes.len() >= TURN_REPLY_BYTES_MAX
            || (self.is_clock_due() && self.has_run_out())
    }

    /// What time it is.
    pub(super) fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    fn has_run_out(&self) -> bool {
        self.now().saturating_duration_since(self.began) >= TURN_TIME_MAX
    }

    /// The clock is looked at now and then, and after each procedure: those may take any time.
    fn is_clock_due(&self) -> bool {
        self.has_called || self.executed % TURN_CLOCK_EVERY == TURN_CLOCK_EVERY - 1
    }
}
