//! Everything that lives on Tx's thread: what waits, who calls, and what executes.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::time::Instant;

use actix::Recipient;

use super::backlog::Backlog;
use super::budget::TurnBudget;
use super::callers::Callers;
use super::calls::DeferredCalls;
use super::deferred::{DeferredRequests, Tickets};
use super::given_up::GivenUp;
use super::holdings::Holdings;
use super::output::TurnOutput;
use super::queue::Queue;
use super::replies::ReplyBuffer;
use super::steps::StepQueue;
use super::streams::Streams;
use super::tasks::Tasks;
use super::ticks::Ticks;
use super::turn_writes::TurnWrites;
use crate::cells::live::Follower;
use crate::cells::tx_counts::TransactionEnd;
use crate::clock::Clock;
use crate::config::Settings;
use crate::engine::procedures::Procedures;
use crate::engine::{Completions, Engine};
use crate::jobs::Job;
use crate::messages::tx::{Batch, Completed, Push, WorkerLink};
use crate::serving::Solos;
use crate::shared::Shared;

/// Tx without its actor.
pub(crate) struct TxCore<E: Engine> {
    pub(super) queue: Queue<E>,
    pub(super) callers: Callers,
    /// What waits because of replies.
    pub(super) backlog: Backlog,
    /// The last turn was full after few requests: what comes has turns, by who sends it.
    pub(super) is_behind: bool,
    /// The next turn takes what waited before what is new: each has every other turn.
    pub(super) is_backlog_first: bool,
    /// The next turn does the jobs of the embedder before what clients ask: every other one does.
    pub(super) are_jobs_first: bool,
    pub(super) executor: Executor<E>,
}

/// What executes requests: the engine, and what it is told and asked on the way.
pub(super) struct Executor<E: Engine> {
    pub(super) engine: E,
    pub(super) procedures: Arc<Procedures<E>>,
    pub(super) shared: Arc<Shared>,
    pub(super) settings: Follower<Settings>,
    pub(super) solos: Solos,
    /// Transactions, and what waits in its stream.
    pub(super) streams: Streams,
    /// Transactions that were ended before they were begun.
    pub(super) given_up: GivenUp,
    /// Reservations and locks.
    pub(super) holdings: Holdings,
    /// What this turn says.
    pub(super) output: TurnOutput,
    /// Where pushes go, by worker.
    pub(super) pushes: Vec<Recipient<Push>>,
    /// What may still be written of this turn, and what of it has to be.
    pub(super) writes: TurnWrites,
    pub(super) tickets: Tickets,
    pub(super) deferred: DeferredRequests,
    /// Calls of the embedder that are answered later.
    pub(super) calls: DeferredCalls,
    /// Where async procedures leave their steps.
    pub(super) steps: Rc<StepQueue<E>>,
    pub(super) tasks: Tasks,
    pub(super) budget: TurnBudget,
    /// When the work that is done every so often is due.
    pub(super) ticks: Ticks,
    /// The engine takes no changes: the status says so.
    pub(super) has_fault: bool,
    /// Transactions whose COMMIT was in this turn.
    pub(super) committing: usize,
}

impl<E: Engine> fmt::Debug for TxCore<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TxCore")
            .field("batches", &self.queue.batch_count())
            .finish_non_exhaustive()
    }
}

impl<E: Engine> Drop for TxCore<E> {
    fn drop(&mut self) {
        self.executor.steps.close();
    }
}

impl<E: Engine> TxCore<E> {
    pub(crate) fn new(
        engine: E,
        procedures: Arc<Procedures<E>>,
        workers: Vec<WorkerLink>,
        completions: Arc<dyn Completions>,
        shared: Arc<Shared>,
    ) -> Self {
        let (clock, now) = (shared.clock, shared.clock.now());
        let steps = Rc::new(StepQueue::default());
        let callers = Callers::new(workers.iter().map(|worker| worker.claims.clone()));
        let pushes = workers.iter().map(|own| own.pushes.clone()).collect();
        let counters = shared.counters.iter();
        let replies = workers.into_iter().zip(counters).map(|(own, counters)| {
            let last = counters.replies_sent.load(Ordering::Relaxed);
            ReplyBuffer::new(own.replies, shared.memory.clone(), last)
        });
        let ticks = Ticks::new(procedures.ticks(), now);
        let mut executor = Executor {
            engine,
            procedures,
            solos: Solos::new(shared.serving.clone()),
            streams: Streams::new(shared.config.quotas.transactions_per_connection_max, now),
            given_up: GivenUp::default(),
            holdings: Holdings::new(shared.clone(), now),
            output: TurnOutput::new(replies.collect()),
            pushes,
            writes: TurnWrites::default(),
            tickets: Tickets::new(completions),
            deferred: DeferredRequests::default(),
            calls: DeferredCalls::default(),
            steps: steps.clone(),
            tasks: Tasks::default(),
            budget: TurnBudget::new(clock, now),
            ticks,
            has_fault: false,
            committing: 0,
            settings: shared.settings.follow(),
            shared,
        };
        executor.take_over();
        let memory = executor.shared.memory.clone();
        Self {
            queue: Queue::new(steps),
            callers,
            backlog: Backlog::new(memory),
            is_behind: false,
            is_backlog_first: false,
            are_jobs_first: true,
            executor,
        }
    }

    pub(crate) fn push_batch(&mut self, batch: Box<Batch>) {
        self.queue.push_batch(batch);
    }

    pub(crate) fn push_completed(&mut self, completed: Completed) {
        self.queue.push_completed(completed);
    }

    pub(crate) fn push_job(&mut self, job: Job<E>) {
        self.queue.push_job(job);
    }

    /// Has the next turn woken when a step of an async procedure is asked for.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        self.queue.set_waker(waker);
    }

    /// Goes on with the async procedures that are ready: between two turns.
    pub(crate) fn poll_tasks(&mut self, cx: &mut Context<'_>) {
        while let Some(completed) = self.executor.tasks.poll(cx) {
            self.queue.push_completed(completed);
        }
    }

    /// By which it goes.
    pub(super) fn clock(&self) -> Clock {
        self.executor.shared.clock
    }

    /// What time it is.
    pub(super) fn now(&self) -> Instant {
        self.executor.shared.clock.now()
    }

    /// Tells the watchdog that Tx's thread goes on.
    pub(crate) fn show_progress(&self) {
        self.executor.show_progress();
    }

    /// This Tx has panicked: what it counts ends with it.
    pub(crate) fn on_death(&self) {
        self.end_turn();
        let open = self.executor.streams.find(|_| true).len() + self.executor.committing;
        self.executor.shared.tx.ended(TransactionEnd::TxDeath, open);
    }

    pub(crate) fn has_work(&self) -> bool {
        self.queue.has_work() || self.executor.streams.has_resumed() || self.backlog.has_ready()
    }

    /// When a deadline may be over next.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        let looks = [
            self.executor.streams.next_look(),
            self.executor.holdings.next_look(),
            self.backlog.next_look(),
            self.executor.ticks.next_look(),
        ];
        looks.into_iter().flatten().min()
    }

    /// When something is due next.
    #[cfg(feature = "testing")]
    pub(crate) fn first_due(&self) -> Option<Instant> {
        let due = [
            self.executor.streams.first_due(),
            self.executor.holdings.first_due(),
            self.backlog.next_look(),
            self.executor.ticks.next_look(),
        ];
        due.into_iter().flatten().min()
    }
}

impl<E: Engine> Executor<E> {
    /// Puts itself in the place of the Tx before it, if there was one.
    fn take_over(&mut self) {
        // Whatever the one before it was writing when it died.
        self.shared.fence.end_write();
        // Whatever it stood still at.
        self.show_progress();
        self.publish_catalog();
        // What the engine before this one complained of is over.
        self.shared.publish_fault(None);
        self.shared.publish_view(self.engine.view());
        self.shared.publish_data_memory(self.engine.data_memory());
        self.shared.publish_statistics(self.engine.statistics());
    }

    #[inline]
    pub(super) fn show_progress(&self) {
        self.shared.heartbeat.advance();
    }

    pub(super) fn publish_catalog(&mut self) {
        let version = self.engine.schema_version();
        self.output.set_schema_version(version);
        self.shared.publish_catalog(version, self.engine.catalog());
    }
}
