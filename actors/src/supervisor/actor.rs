//! The actix shell of the Supervisor.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, AsyncContext, Context, Handler};
use actix_rt::Arbiter;
use tokio::sync::watch;

use super::log::{StopReport, TransitionRecord};
use super::messages::{BeginDrain, LaneDrained, SupervisorHandle, TxEvent};
use super::stop::{Action, Stop};
use crate::acceptor::AcceptorHandle;
use crate::limits::{TX_DEATHS_MAX, TX_DEATHS_PERIOD};
use crate::serving::State;
use crate::shared::Shared;
use crate::tx::{TxHandle, may_restart};

/// Starts a Tx of a given generation on the arbiter that is Tx's own.
pub(crate) type SpawnTx = Box<dyn Fn(&Arbiter, u64, &SupervisorHandle) -> TxHandle>;

/// The actor that watches over the others, on the System arbiter.
pub(crate) struct Supervisor {
    shared: Arc<Shared>,
    acceptor: Option<AcceptorHandle>,
    lanes: Vec<Arbiter>,
    spawn_tx: SpawnTx,
    /// Of every Tx in its turn: a panic ends a Tx, not its thread, and a new thread would need
    /// descriptors just when there may be none.
    tx_arbiter: Arbiter,
    tx: Option<TxHandle>,
    generation: u64,
    deaths: VecDeque<Instant>,
    stop: Stop,
    begun: Instant,
    record: Option<u64>,
    killed: usize,
    failure: Option<String>,
    stopped: watch::Sender<Option<StopReport>>,
}

impl Supervisor {
    pub(crate) fn new(
        shared: Arc<Shared>,
        lanes: Vec<Arbiter>,
        spawn_tx: SpawnTx,
        stopped: watch::Sender<Option<StopReport>>,
    ) -> Self {
        Self {
            stop: Stop::new(lanes.len()),
            shared,
            acceptor: None,
            lanes,
            spawn_tx,
            tx_arbiter: Arbiter::new(),
            tx: None,
            generation: 0,
            deaths: VecDeque::new(),
            begun: Instant::now(),
            record: None,
            killed: 0,
            failure: None,
            stopped,
        }
    }

    pub(crate) fn set_acceptor(&mut self, acceptor: AcceptorHandle) {
        self.acceptor = Some(acceptor);
    }

    fn start_tx(&mut self, ctx: &mut Context<Self>) {
        self.generation += 1;
        let own = SupervisorHandle::new(ctx.address());
        let tx = (self.spawn_tx)(&self.tx_arbiter, self.generation, &own);
        // Before it can be ready: nothing is forwarded while it loads.
        for lane in self.lane_handles() {
            lane.tx_ready(tx.clone());
        }
        self.tx = Some(tx);
    }

    fn lane_handles(&self) -> &[crate::session::LaneHandle] {
        self.shared.lanes.get().map_or(&[], Vec::as_slice)
    }

    /// A panic in engine code: connections stay, a new Tx recovers.
    fn tx_died(&mut self, text: &str, ctx: &mut Context<Self>) {
        let now = Instant::now();
        log::error!("Tx died: {text}");
        self.shared
            .cell
            .loading("recovering after a failure of Tx", now);
        for lane in self.lane_handles() {
            lane.tx_lost("Tx died while it executed the request".to_owned());
        }
        self.tx = None;
        self.deaths.push_back(now);
        self.deaths
            .retain(|death| now.duration_since(*death) < TX_DEATHS_PERIOD);
        if !may_restart(self.shared.cell.load().state) {
            self.tx_gone(ctx);
        } else if self.deaths.len() >= TX_DEATHS_MAX {
            self.fail(
                format!("Tx died {TX_DEATHS_MAX} times within a minute: {text}"),
                ctx,
            );
        } else {
            self.start_tx(ctx);
        }
    }

    /// The runtime cannot go on: it stops at once and says why.
    fn fail(&mut self, failure: String, ctx: &mut Context<Self>) {
        log::error!("{failure}");
        self.failure = Some(failure);
        self.tx_gone(ctx);
        let drain = BeginDrain {
            from: self.shared.cell.load().state,
            grace: Some(Duration::ZERO),
            reason: "failure".to_owned(),
            requested_by: "supervisor".to_owned(),
        };
        self.begin_stop(&drain, ctx);
    }

    fn tx_gone(&mut self, ctx: &mut Context<Self>) {
        let actions = self.stop.tx_stopped();
        self.carry_out(actions, ctx);
    }

    fn begin_stop(&mut self, drain: &BeginDrain, ctx: &mut Context<Self>) {
        if self.stop.is_begun() {
            return;
        }
        let now = Instant::now();
        let grace = drain
            .grace
            .unwrap_or(self.shared.config.shutdown_grace_period);
        let (reason, by) = (&drain.reason, &drain.requested_by);
        log::info!(
            "stopping ({reason}, by {by}), grace period {} ms",
            grace.as_millis()
        );
        self.begun = now;
        let record = TransitionRecord::now(
            drain.from.name(),
            State::Stopped.name(),
            reason.clone(),
            by,
            self.shared.in_flight_count(),
        );
        self.record = Some(self.shared.transitions.push(record));
        let actions = self.stop.begin(now, grace);
        self.carry_out(actions, ctx);
    }

    fn carry_out(&mut self, actions: Vec<Action>, ctx: &mut Context<Self>) {
        for action in actions {
            match action {
                Action::Quiesce => {
                    if let Some(acceptor) = &self.acceptor {
                        acceptor.stop();
                    }
                    self.shared
                        .cell
                        .draining("the server is stopping", Instant::now());
                }
                Action::CloseAll => {
                    self.killed = self.shared.in_flight_count();
                    for lane in self.lane_handles() {
                        lane.close_all();
                    }
                }
                Action::StopTx => {
                    if let Some(tx) = &self.tx {
                        tx.stop();
                    } else {
                        self.tx_gone(ctx);
                    }
                }
                Action::WakeAt(time) => {
                    let wait = time.saturating_duration_since(Instant::now());
                    ctx.run_later(wait, |supervisor, ctx| {
                        let actions = supervisor.stop.on_time(Instant::now());
                        supervisor.carry_out(actions, ctx);
                    });
                }
                Action::Finish { tx_stopped } => {
                    self.finish(tx_stopped);
                    ctx.stop();
                }
            }
        }
    }

    fn finish(&mut self, tx_stopped: bool) {
        let now = Instant::now();
        self.shared.cell.stopped(now);
        // The data are let go, whoever still holds a handle.
        self.shared.publish_view(None);
        let took = now.duration_since(self.begun);
        self.killed += self.shared.cut_off();
        if let Some(record) = self.record {
            self.shared.transitions.finish(record, took, self.killed);
        }
        log::info!(
            "stopped after {} ms, {} requests cut off{}",
            took.as_millis(),
            self.killed,
            if tx_stopped { "" } else { ", Tx left behind" }
        );
        for lane in &self.lanes {
            lane.stop();
        }
        self.tx_arbiter.stop();
        let failure = self.failure.clone();
        let report = StopReport {
            killed: self.killed,
            tx_stopped,
            took,
            failure,
        };
        // Nobody listening is no fault: an embedder may have dropped its handle.
        let _ = self.stopped.send(Some(report));
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.start_tx(ctx);
    }
}

impl Handler<TxEvent> for Supervisor {
    type Result = ();

    fn handle(&mut self, event: TxEvent, ctx: &mut Self::Context) {
        let current = self.generation;
        match event {
            TxEvent::Failed { generation, text } if generation == current => {
                self.fail(format!("the engine cannot start: {text}"), ctx);
            }
            TxEvent::Died { generation, text } if generation == current => {
                self.tx_died(&text, ctx);
            }
            TxEvent::Stopped { generation } if generation == current && self.tx.is_some() => {
                self.tx_gone(ctx);
            }
            _ => {}
        }
    }
}

impl Handler<BeginDrain> for Supervisor {
    type Result = ();

    fn handle(&mut self, drain: BeginDrain, ctx: &mut Self::Context) {
        self.begin_stop(&drain, ctx);
    }
}

impl Handler<LaneDrained> for Supervisor {
    type Result = ();

    fn handle(&mut self, drained: LaneDrained, ctx: &mut Self::Context) {
        let actions = self.stop.lane_drained(drained.0, Instant::now());
        self.carry_out(actions, ctx);
    }
}
