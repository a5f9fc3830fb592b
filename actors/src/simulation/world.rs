//! A world: a runtime with its clients on one thread and Tx in step with them, and what is checked.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_rt::Arbiter;

use super::engine::{EngineShared, InjectedFault, SimulatedEngine, procedures};
use super::ledger::Ledger;
use super::lockstep::{Halt, TxThread};
use super::random::Random;
use super::runtime::{MARGIN, SimulatedRuntime, WORKERS, begin_time, shared_by};
use super::stats::Stats;
use super::{clock, config};
use crate::jobs::JobTable;
use crate::limits::TRANSITION_SLACK;
use crate::runtime::spawner;
use crate::supervisor::Supervisor;
use crate::transitions::TransitionTarget;
use crate::tx::with_locks;

/// How long the world waits before it looks again, mostly, in ms.
pub(super) const STEP_MAX: u64 = 12;
pub(super) struct World {
    pub(super) random: Random,
    pub(super) runtime: SimulatedRuntime,
    pub(super) tx: TxThread,
    /// Until when Tx stands still, if it does.
    pub(super) stands_until: Instant,
    pub(super) engine: EngineShared,
    /// Connections of clients that had closed their half, with the requests that were not answered.
    pub(super) half_closed_ends: Vec<(u64, usize)>,
    /// Connections that somebody wanted killed.
    pub(super) victims: BTreeSet<u64>,
    /// Transitions that were looked at, by number.
    pub(super) checked: BTreeSet<u64>,
    /// When a demotion was last seen to have reached its deadline.
    pub(super) last_cut_off: Instant,
    pub(super) deaths: usize,
    pub(super) stats: Stats,
}

impl World {
    /// On a System whose clock is paused.
    pub(super) async fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let config = config::random(&mut random);
        begin_time().await;
        let shared = Arc::new(shared_by(config));
        let (tx, gate) = TxThread::start();
        let engine = EngineShared::new(gate, Ledger::new(shared.serving.clone()));
        let made = engine.clone();
        let factory = move || Ok(SimulatedEngine::new(made.clone()));
        let arbiter: Rc<Arbiter> = tx.arbiter.clone();
        let runtime = SimulatedRuntime::start(shared.clone(), |peers, told| {
            let spawn = spawner(
                shared.clone(),
                peers.clone(),
                Arc::default(),
                Arc::new(factory),
                with_locks(procedures()),
            );
            Supervisor::new(
                shared.clone(),
                peers.clone(),
                JobTable::new(shared.clone(), peers.supervisor.clone()),
                // Threads of which nothing is asked but to be there.
                (0..WORKERS).map(|_| Arbiter::new()).collect(),
                TRANSITION_SLACK,
                Some(Box::new(move |_, generation| {
                    spawn(&arbiter.handle(), generation)
                })),
                told,
            )
        });
        Self {
            random,
            runtime,
            tx,
            stands_until: clock::now(),
            engine,
            half_closed_ends: Vec::new(),
            victims: BTreeSet::new(),
            checked: BTreeSet::new(),
            last_cut_off: clock::now(),
            deaths: 0,
            stats: Stats::default(),
        }
    }

    /// Connects a client, which may ask for chunks.
    pub(super) fn connect(&mut self, is_narrow: bool) {
        if let Some(client) = self.runtime.connect(is_narrow)
            && self.random.once_in(2)
        {
            client.ask_for_chunks(self.random.next());
        }
    }

    /// A client goes away.
    pub(super) fn disconnect(&mut self, index: usize) {
        let client = self.runtime.clients.swap_remove(index);
        self.stats.count_chunks(&client.chunked);
    }

    /// Asks for a transition as an embedder does.
    pub(super) fn ask(
        &mut self,
        target: TransitionTarget,
        lameduck: Duration,
        grace: Duration,
        wait: Duration,
    ) {
        self.engine
            .ledger()
            .note(|| format!("asks for {target:?}, {grace:?}, waits {wait:?}"));
        self.runtime.ask(target, lameduck, grace, wait);
    }

    /// Time passes: everything but Tx does what is due, then Tx unless it stands still.
    pub(super) async fn pass(&mut self, time: Duration) {
        actix_rt::time::sleep(time).await;
        self.check_records();
        // In this order: a request that was given up on is not waited for.
        self.receive(clock::now() - time);
        self.hear_answers();
        self.check_bounds();
        self.run_tx();
        self.fail_on_faults();
    }

    fn run_tx(&mut self) {
        let now = clock::now();
        if self.tx.parked.is_some() && now < self.stands_until {
            return;
        }
        self.tx.run(now);
        if let Some(halt) = self.tx.parked {
            let longest = if self.random.once_in(4) { 400 } else { 40 };
            self.stands_until = now + self.random.millis(1..longest);
            let until = self.stands_until;
            self.engine
                .ledger()
                .note(|| format!("Tx stands at {halt:?} for {:?}", until - now));
            let name = match halt {
                Halt::Recovery => "recovery",
                Halt::Request => "request",
                Halt::Commit => "commit",
                Halt::Close => "close",
            };
            *self.stats.parked.entry(name).or_default() += 1;
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.runtime.is_stopped()
    }

    /// The last that clients say before a stop: they end their transactions, and close their half,
    /// or all of it.
    fn last_words(&mut self) {
        let due = super::actions::due(self);
        let mut goes = Vec::new();
        for (index, client) in self.runtime.clients.iter_mut().enumerate() {
            if client.is_mute || !self.random.once_in(2) {
                continue;
            }
            let mut ledger = self.engine.ledger();
            for stream in client.open_streams() {
                client.statement(stream, &mut ledger, due);
                client.end(stream, true, &mut ledger, due);
            }
            match self.random.once_in(2) && client.may_end_input() {
                true => client.end_input(),
                false => goes.push(index),
            }
        }
        for index in goes.into_iter().rev() {
            self.disconnect(index);
        }
    }

    /// Stops the world, lets everything come to its end, and looks whether anything is left.
    pub(super) async fn end(mut self) -> Stats {
        if !self.is_stopped() {
            self.last_words();
            self.half_closed_ends.retain(|own| own.1 == 0);
            let lameduck = self.random.millis(0..5) * self.random.below(2) as u32;
            let grace = self.random.millis(0..50);
            self.ask(TransitionTarget::Stopped, lameduck, grace, Duration::ZERO);
            let mut due = clock::now() + lameduck + grace + MARGIN;
            if self.random.once_in(3) {
                // Somebody has less time.
                self.pass(Duration::from_millis(3)).await;
                let grace = self.random.millis(0..20);
                self.ask(TransitionTarget::Stopped, Duration::ZERO, grace, MARGIN);
                due = due.min(clock::now() + grace + MARGIN);
            }
            if self.random.once_in(2) {
                self.engine.plan().close = Some(InjectedFault::Stall);
            }
            while !self.is_stopped() {
                if self.random.once_in(2) {
                    super::actions::somebody_rolls_back(&mut self);
                }
                self.pass(Duration::from_millis(2)).await;
                assert!(
                    clock::now() <= due || self.is_stopped(),
                    "the stop takes too long"
                );
            }
        }
        self.runtime
            .clients
            .iter_mut()
            .for_each(|own| own.is_reading = true);
        self.check_half_closed();
        // Tx goes on with what it stood still at; nothing of it may be written any more.
        self.engine.plan().forget();
        for _ in 0..10 {
            self.stands_until = clock::now();
            self.pass(Duration::from_millis(5)).await;
        }
        self.check_nothing_is_left();
        self.stats.deaths = self.engine.plan().recoveries - 1;
        self.stats.committed = self.engine.ledger().committed;
        self.stats.fingerprint = self.engine.ledger().fingerprint;
        self.tx.end();
        clock::release();
        self.stats
    }
}
