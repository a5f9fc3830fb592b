//! The actix shell of the Supervisor.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, AsyncContext, Context, Handler, SpawnHandle};
use actix_rt::{Arbiter, ArbiterHandle};
use tokio::sync::watch;

use super::watchdog::{Alarm, TxObservation, Watchdog};
use crate::acceptor::AcceptorHandle;
use crate::jobs::JobTable;
use crate::limits::{PULSE_PERIOD, TX_DEATHS_MAX, TX_DEATHS_PERIOD};
use crate::messages::supervisor::{Reconfigured, Submit, Withdraw, WorkerReported};
use crate::messages::tx::TxHandle;
use crate::messages::{ReplyTo, Requester, TxEvent, WorkerReport};
use crate::peers::Peers;
use crate::shared::Shared;
use crate::transitions::{
    AskedTimes, CallerId, Machine, StopReport, TransitionRecord, TransitionRequest,
    TransitionTarget,
};
use crate::upstream::UpstreamDrain;

/// The failure of a runtime whose threads were ended under it.
const THREADS_GONE: &str = "the actix System was stopped before the runtime: requests under way \
     were cut off; stop the runtime first, and wait for it";

/// Starts a Tx of a given generation on the arbiter that is Tx's own.
pub(crate) type SpawnTx = Box<dyn Fn(&ArbiterHandle, u64) -> TxHandle>;

/// Takes the upstream of this number out of use, or back.
pub(crate) type DrainUpstream = Box<dyn Fn(usize, UpstreamDrain)>;

/// The actor that watches over the others, on the System arbiter.
pub(crate) struct Supervisor {
    pub(super) shared: Arc<Shared>,
    pub(super) peers: Arc<Peers>,
    /// Of the embedder: to transitions one more worker.
    pub(super) jobs: Arc<JobTable>,
    pub(super) acceptor: Option<AcceptorHandle>,
    pub(super) workers: Vec<Arbiter>,
    /// None in a gateway, which has no Tx.
    spawn_tx: Option<SpawnTx>,
    /// Only in a gateway.
    pub(super) drain_upstream: Option<DrainUpstream>,
    /// Of every Tx in its turn: a panic ends a Tx, not its thread, and a new thread would need
    /// descriptors just when there may be none.
    pub(super) tx_arbiter: Arbiter,
    pub(super) tx: Option<TxHandle>,
    generation: u64,
    /// Of those that make the state ready, how many have not told that they are: the workers, by
    /// holding the handle of this Tx, and its engine. State and handle become visible together.
    missing: usize,
    deaths: VecDeque<Instant>,
    pub(super) machine: Machine,
    /// None if nobody is to watch.
    pub(super) watchdog: Option<Watchdog>,
    /// The timer of its next look.
    watching: Option<SpawnHandle>,
    /// Of the transition under way, or the last one.
    pub(super) record: Option<TransitionRecord>,
    /// Who waits for an answer of the machine.
    pub(super) requesters: HashMap<CallerId, Requester>,
    /// Timers of those who wait only so long.
    pub(super) patience: HashMap<CallerId, SpawnHandle>,
    /// The timer of what is to begin though nobody waits for it.
    pub(super) withdrawn: Option<SpawnHandle>,
    /// Who is told as soon as the transition that is being submitted has begun.
    pub(super) starting: Vec<ReplyTo>,
    pub(super) last_caller: u64,
    /// When the machine wants to look again, if a test winds the clock.
    #[cfg(feature = "testing")]
    pub(super) wakes: std::cell::RefCell<Vec<Instant>>,
    pub(super) failure: Option<String>,
    pub(super) stopped: watch::Sender<Option<StopReport>>,
}

impl Supervisor {
    /// `role_slack`: how long after its deadline a change of the role ends at the latest.
    pub(crate) fn new(
        shared: Arc<Shared>,
        peers: Arc<Peers>,
        jobs: Arc<JobTable>,
        workers: Vec<Arbiter>,
        role_slack: Duration,
        spawn_tx: Option<SpawnTx>,
        stopped: watch::Sender<Option<StopReport>>,
    ) -> Self {
        Self {
            machine: Machine::new(shared.counters.len() + 1, shared.config.role, role_slack),
            watchdog: Watchdog::new(
                stall_period(&shared, spawn_tx.is_some()),
                shared.clock.now(),
            ),
            watching: None,
            shared,
            peers,
            jobs,
            acceptor: None,
            workers,
            spawn_tx,
            drain_upstream: None,
            tx_arbiter: Arbiter::new(),
            tx: None,
            generation: 0,
            missing: 0,
            deaths: VecDeque::new(),
            record: None,
            requesters: HashMap::new(),
            patience: HashMap::new(),
            withdrawn: None,
            starting: Vec::new(),
            last_caller: 0,
            #[cfg(feature = "testing")]
            wakes: std::cell::RefCell::default(),
            failure: None,
            stopped,
        }
    }

    pub(crate) fn set_upstreams(&mut self, drain: DrainUpstream) {
        self.drain_upstream = Some(drain);
    }

    pub(crate) fn set_acceptor(&mut self, acceptor: AcceptorHandle) {
        self.acceptor = Some(acceptor);
    }

    fn start_tx(&mut self) {
        let Some(spawn_tx) = &self.spawn_tx else {
            return;
        };
        self.generation += 1;
        self.missing = self.peers.workers.len() + 1;
        let tx = spawn_tx(&self.tx_arbiter.handle(), self.generation);
        // Before it can be ready: nothing is forwarded while it loads.
        for worker in &self.peers.workers {
            worker.tx_ready(tx.clone());
        }
        self.tx = Some(tx);
    }

    /// Tells now and then that the System's thread goes on.
    fn beat(&self, ctx: &mut Context<Self>) {
        ctx.run_interval(PULSE_PERIOD, |supervisor, _| {
            let shared = &supervisor.shared;
            shared
                .system_pulse
                .beat(shared.since_start(shared.clock.now()));
        });
    }

    /// Looks at Tx again when the watchdog wants to, until the stop.
    fn watch_tx(&mut self, ctx: &mut Context<Self>) {
        let look = |watchdog: &Watchdog| {
            ctx.run_later(watchdog.wait(), |supervisor, ctx| {
                if !supervisor.machine.is_stopping() {
                    supervisor.check_tx(supervisor.shared.clock.now());
                    supervisor.watch_tx(ctx);
                }
            })
        };
        self.watching = self.watchdog.as_ref().map(look);
    }

    /// Watches Tx as the settings say now.
    fn watch_anew(&mut self, ctx: &mut Context<Self>) {
        let now = self.shared.clock.now();
        let period = stall_period(&self.shared, self.spawn_tx.is_some());
        match &mut self.watchdog {
            Some(watchdog) if period.is_zero() => {
                if watchdog.is_stalled() {
                    // Nobody would see that it is over.
                    self.shared.serving.moving(now);
                }
                self.watchdog = None;
            }
            Some(watchdog) => watchdog.set_period(period, now),
            None => self.watchdog = Watchdog::new(period, now),
        }
        if let Some(watching) = self.watching.take() {
            ctx.cancel_future(watching);
        }
        self.watch_tx(ctx);
    }

    pub(super) fn check_tx(&mut self, now: Instant) {
        let Some(watchdog) = &mut self.watchdog else {
            return;
        };
        let shared = &self.shared;
        let serving = shared.serving.load();
        let observation = TxObservation {
            heartbeat: shared.heartbeat.load(),
            forwards: serving.forwards(),
            answers_alone: serving.state.traits().answers_alone,
            // The cheap question first: the other one looks at every word.
            is_queued: shared.in_flight_count() > 0 && shared.queued_count() > 0
                || self.jobs.has_queued(),
        };
        match watchdog.check(now, observation) {
            Some(Alarm::Probe) => self.tx.iter().for_each(TxHandle::probe),
            Some(Alarm::Stalled) => shared.serving.stalled(now),
            Some(Alarm::Over) => shared.serving.moving(now),
            None => {}
        }
    }

    /// A panic in engine code: connections stay, a new Tx recovers.
    fn tx_died(&mut self, text: &str, ctx: &mut Context<Self>) {
        let now = self.shared.clock.now();
        log::error!("Tx died: {text}");
        self.shared
            .serving
            .loading("recovering after a failure of Tx", now);
        for worker in &self.peers.workers {
            worker.tx_lost("Tx died while it executed the request".to_owned());
        }
        self.tx = None;
        self.deaths.push_back(now);
        self.deaths
            .retain(|death| now.duration_since(*death) < TX_DEATHS_PERIOD);
        if self.shared.serving.load().is_ending() {
            self.tx_gone(ctx);
        } else if self.deaths.len() >= TX_DEATHS_MAX {
            self.fail(
                format!("Tx died {TX_DEATHS_MAX} times within a minute: {text}"),
                ctx,
            );
        } else {
            self.start_tx();
        }
    }

    /// The runtime cannot go on: it stops at once and says why.
    fn fail(&mut self, failure: String, ctx: &mut Context<Self>) {
        log::error!("{failure}");
        self.failure = Some(failure);
        self.tx_gone(ctx);
        let stop = TransitionRequest {
            target: TransitionTarget::Stopped,
            lameduck: Duration::ZERO,
            grace: Some(Duration::ZERO),
            asked: AskedTimes {
                lameduck: true,
                grace: true,
            },
            wait: Duration::ZERO,
            reason: "failure".to_owned(),
            requested_by: "supervisor".to_owned(),
        };
        self.submit(stop, Requester::Nobody, ctx);
    }

    /// A session thread has ended under its worker, and its connections with it.
    fn worker_gone(&mut self, worker: usize, ctx: &mut Context<Self>) {
        if self.failure.is_none() {
            // A stop that is under way is not what it says it is either.
            self.failure = Some(THREADS_GONE.to_owned());
        }
        let actions = self.machine.worker_gone(worker, self.shared.clock.now());
        self.apply(actions, ctx);
        self.fail_unless_stopping(THREADS_GONE, ctx);
    }

    fn fail_unless_stopping(&mut self, failure: &str, ctx: &mut Context<Self>) {
        if !self.machine.is_stopping() {
            self.fail(failure.to_owned(), ctx);
        }
    }

    pub(super) fn tx_gone(&mut self, ctx: &mut Context<Self>) {
        let actions = self.machine.tx_stopped(self.shared.clock.now());
        self.apply(actions, ctx);
    }
}

/// After how long without progress Tx counts as stalled; zero: nobody watches, as where there is
/// none.
fn stall_period(shared: &Shared, has_tx: bool) -> Duration {
    match has_tx {
        true => shared.settings.load().tx_stall_after,
        false => Duration::ZERO,
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.start_tx();
        self.watch_tx(ctx);
        self.beat(ctx);
    }
}

impl Handler<Reconfigured> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Reconfigured, ctx: &mut Self::Context) {
        self.watch_anew(ctx);
    }
}

impl Handler<TxEvent> for Supervisor {
    type Result = ();

    fn handle(&mut self, event: TxEvent, ctx: &mut Self::Context) {
        let current = self.generation;
        match event {
            TxEvent::Recovered { generation } | TxEvent::Attached { generation }
                if generation == current =>
            {
                self.missing -= 1;
                if self.missing == 0 {
                    self.shared.serving.ready(self.shared.clock.now());
                    self.shared.engines.send_modify(|count| *count += 1);
                }
            }
            TxEvent::Failed { generation, text } if generation == current => {
                self.fail(format!("the engine cannot start: {text}"), ctx);
            }
            TxEvent::Died { generation, text } if generation == current => {
                self.tx_died(&text, ctx);
            }
            TxEvent::Stopped { generation } if generation == current && self.tx.is_some() => {
                self.tx_gone(ctx);
                self.fail_unless_stopping(THREADS_GONE, ctx);
            }
            _ => {}
        }
    }
}

impl Handler<Submit> for Supervisor {
    type Result = ();

    fn handle(&mut self, submit: Submit, ctx: &mut Self::Context) {
        self.submit(submit.request, submit.requester, ctx);
    }
}

impl Handler<Withdraw> for Supervisor {
    type Result = ();

    fn handle(&mut self, withdraw: Withdraw, ctx: &mut Self::Context) {
        self.withdraw(&withdraw, ctx);
    }
}

impl Handler<WorkerReported> for Supervisor {
    type Result = ();

    fn handle(&mut self, reported: WorkerReported, ctx: &mut Self::Context) {
        let WorkerReported {
            worker,
            serial,
            report,
        } = reported;
        let now = self.shared.clock.now();
        let machine = &mut self.machine;
        let actions = match report {
            WorkerReport::Gone => return self.worker_gone(worker, ctx),
            WorkerReport::Quiesced(waiting) => {
                machine.worker_quiesced(worker, serial, &waiting, now)
            }
            WorkerReport::Quiet => machine.worker_quiet(worker, serial, now),
            WorkerReport::Busy => return machine.worker_busy(worker),
            WorkerReport::CutOff(counts) => machine.worker_cut_off(worker, serial, &counts, now),
        };
        self.apply(actions, ctx);
    }
}
