//! A world of a gateway: its runtime and clients on one thread, upstreams that act between, and
//! what is checked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix::{Addr, Context};
use tokio::sync::{oneshot, watch};

use super::fates::Fates;
use super::model::{Process, UpstreamModel};
use super::network;
use super::stats::GatewayStats;
use crate::cells::claims::Claims;
use crate::clock::Clock;
use crate::config::Settings;
use crate::jobs::JobTable;
use crate::limits::{
    SCHEMA_VERSION_MIN, SCOUT_LOOK_PERIOD, TRANSITION_SLACK, UPSTREAM_REQUESTS_MAX,
    WORKER_REQUESTS_MAX,
};
use crate::messages::Requester;
use crate::peers::Peers;
use crate::runtime::{Mailboxes, follow_cell};
use crate::scouts::Scouts;
use crate::serving::ServingCell;
use crate::shared::Shared;
use crate::simulation::checks::memory_bound;
use crate::simulation::client::Client;
use crate::simulation::ledger::Ledger;
use crate::simulation::random::Random;
use crate::simulation::{clock, config};
use crate::slots::{ConnectionSlots, ListenerKind};
use crate::supervisor::Supervisor;
use crate::testing::connect::Connect;
use crate::testing::pipe::pipe;
use crate::transitions::{
    AskedTimes, StopReport, TransitionOutcome, TransitionRequest, TransitionTarget,
};
use crate::upstream::{Destination, GatewayCell, Upstream, Upstreams};
use crate::worker::Worker;

const WORKERS: usize = 2;

/// At most so much time passes before upstreams act and are looked at again.
const SLICE: Duration = Duration::from_millis(2);

/// What the guarantee adds to a grace period.
pub(super) const MARGIN: Duration = Duration::from_millis(50);

/// Somebody who asked for a transition.
struct Asker {
    due: Instant,
    answer: oneshot::Receiver<TransitionOutcome>,
}

pub(super) struct GatewayWorld {
    pub(super) random: Random,
    pub(super) shared: Arc<Shared>,
    pub(super) gateway: Arc<GatewayCell>,
    peers: Arc<Peers>,
    workers: Vec<Addr<Worker>>,
    pub(super) stopped: watch::Receiver<Option<StopReport>>,
    pub(super) upstreams: Vec<UpstreamModel>,
    pub(super) fates: Fates,
    pub(super) clients: Vec<Client>,
    /// Whether upstreams have streams, and transactions in them.
    pub(super) has_streams: bool,
    connections: u64,
    askers: Vec<Asker>,
    pub(super) stats: GatewayStats,
}

fn upstreams(random: &mut Random) -> Upstreams {
    let named = |name: &&str| Upstream::new(name, "simulated", 1);
    let count = 1 + random.index(3);
    let hold = Duration::from_millis(200 * random.below(4).min(1));
    Upstreams::default()
        .upstreams(["a", "b", "c"][..count].iter().map(named).collect())
        .silent_after(Duration::from_millis(100))
        .probe_interval(Duration::from_millis(40))
        .connect_timeout(Duration::from_millis(200))
        .failover_hold(hold)
        .retry_calls(["count".to_owned()].into())
}

impl GatewayWorld {
    /// On a System whose clock is paused.
    pub(super) async fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let config = config::random(&mut random);
        let upstreams = upstreams(&mut random);
        let has_streams = random.once_in(2);
        clock::follow_tokio();
        actix_rt::time::sleep(Duration::from_secs(60)).await;
        let count = upstreams.upstreams.len();
        network::begin(count, Random::new(seed ^ 1));
        let clock = Clock::of(clock::now);
        let gateway = GatewayCell::new(upstreams, WORKERS, SCHEMA_VERSION_MIN, clock.now());
        let gateway = Arc::new(gateway);
        let serving = ServingCell::new(config.role, clock);
        let claims = (0..WORKERS).map(|_| Arc::new(Claims::new(WORKER_REQUESTS_MAX)));
        let slots = ConnectionSlots::new(&config, &[]).expect("no limit is known");
        let shared = Shared::new(config, serving, slots, claims.collect());
        let shared = Arc::new(shared.with_gateway(gateway.clone()));
        let (mailboxes, peers) = Mailboxes::new(WORKERS);
        follow_cell(&shared, &peers);
        let workers = (mailboxes.workers.into_iter().enumerate())
            .map(|(index, mailbox)| {
                let worker = Worker::new(index, shared.clone(), peers.clone());
                Context::with_receiver(mailbox).run(worker)
            })
            .collect();
        let (told, stopped) = watch::channel(None);
        let scouts = Scouts::new(shared.clone(), gateway.clone());
        let mut supervisor = Supervisor::new(
            shared.clone(),
            peers.clone(),
            JobTable::new(shared.clone(), peers.supervisor.clone()),
            Vec::new(),
            TRANSITION_SLACK,
            None,
            told,
        );
        supervisor.set_upstreams(Box::new(scouts.draining()));
        Context::with_receiver(mailboxes.supervisor).run(supervisor);
        scouts.launch();
        let version = if has_streams { (2, 10, 4) } else { (2, 6, 0) };
        let now = clock::now();
        let model =
            |index| UpstreamModel::new(index, version, Random::new(seed + 2 + index as u64), now);
        let ledger = Ledger::new(shared.serving.clone());
        Self {
            random,
            gateway,
            peers,
            workers,
            stopped,
            upstreams: (0..count).map(model).collect(),
            fates: Fates::new(ledger, clock::now()),
            clients: Vec::new(),
            has_streams,
            connections: 0,
            askers: Vec::new(),
            stats: GatewayStats::default(),
            shared,
        }
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        self.shared.settings.load()
    }

    /// Connects a client.
    pub(super) fn connect(&mut self, is_narrow: bool) {
        let room = if is_narrow { 300 } else { 1 << 20 };
        let peer = SocketAddr::from(([127, 0, 0, 1], 1024)).into();
        let slots = &self.shared.slots;
        let Some(kind) = slots.find(ListenerKind::Clients, true) else {
            return;
        };
        let slot = slots.take(kind);
        let (end, transport) = pipe(room);
        self.connections += 1;
        let is_short = config::is_memory_short(&self.settings());
        let client = Client::new(self.connections, end, is_narrow, is_short);
        self.clients.push(client);
        self.workers[slot.thread()].do_send(Connect {
            transport,
            peer,
            slot,
        });
    }

    /// Asks for a transition as an embedder does.
    pub(super) fn ask(&mut self, target: TransitionTarget, grace: Duration) {
        let note = || format!("asks for {target:?}, {grace:?}");
        self.fates.ledger.note(note);
        let (told, answer) = oneshot::channel();
        let wait = MARGIN;
        let request = TransitionRequest {
            target,
            lameduck: Duration::ZERO,
            grace: Some(grace),
            asked: AskedTimes {
                lameduck: true,
                grace: true,
            },
            wait,
            reason: "simulated".to_owned(),
            requested_by: "the world".to_owned(),
        };
        let due = clock::now() + wait + grace + MARGIN;
        self.peers
            .supervisor
            .submit(request, Requester::Embedder(told));
        self.askers.push(Asker { due, answer });
    }

    /// Time passes.
    pub(super) async fn pass(&mut self, time: Duration) {
        let until = clock::now() + time;
        while clock::now() < until {
            let slice = SLICE.min(until - clock::now());
            actix_rt::time::sleep(slice).await;
            self.look(slice);
        }
    }

    fn look(&mut self, slice: Duration) {
        let now = clock::now();
        self.check_destination(now);
        for upstream in &mut self.upstreams {
            upstream.act(now, &mut self.fates);
        }
        self.receive(now - slice);
        self.hear_answers(now);
        self.check_bounds(now);
        if let Some(fault) = self.fates.ledger.faults().first() {
            let serving = self.shared.serving.load();
            panic!("{fault}; {serving:?}, {:?}", self.gateway.destination());
        }
    }

    /// Requests stay where they go as long as that takes changes, others may say that they do.
    fn check_destination(&mut self, now: Instant) {
        let destination = self.gateway.destination();
        if let Some(before) = self.fates.target()
            && !matches!(destination, Destination::To(own) if own.upstream == before)
            && self.upstreams[before].is_known_to_be_writable(now)
        {
            let fault = format!("requests leave {before}, that takes changes, for {destination:?}");
            self.fates.ledger.fault(fault);
        }
        let changes = self.gateway.changes.load(Ordering::Relaxed);
        self.fates.look(now, destination, changes);
    }

    /// Clients read what has come.
    fn receive(&mut self, last_look: Instant) {
        let ledger = &mut self.fates.ledger;
        let stats = &mut self.stats;
        self.clients.retain_mut(|client| {
            let count = |_, told| *stats.told.entry(told).or_default() += 1;
            !client.is_reading || client.receive(ledger, count)
        });
        for client in &mut self.clients {
            client.cut_off.clear();
            if client.is_reading
                && let Some(fault) = client.overdue(last_look)
            {
                ledger.fault(fault);
            }
        }
    }

    /// Every caller of a transition is answered in time.
    fn hear_answers(&mut self, now: Instant) {
        let is_stopped = self.is_stopped();
        let ledger = &mut self.fates.ledger;
        self.askers.retain_mut(|own| match own.answer.try_recv() {
            Ok(outcome) => {
                ledger.note(|| format!("told {outcome:?}"));
                false
            }
            Err(oneshot::error::TryRecvError::Empty) if now <= own.due => true,
            Err(oneshot::error::TryRecvError::Closed) if is_stopped => false,
            Err(fault) => {
                ledger.fault(format!("the caller of a transition: {fault}"));
                false
            }
        });
    }

    /// Holds end, memory is bounded, and upstreams have no more to do than they may.
    fn check_bounds(&mut self, now: Instant) {
        let hold = self.gateway.config.failover_hold;
        let late = SCOUT_LOOK_PERIOD + 2 * SLICE;
        if let Some(since) = self.fates.held_since()
            && now > since + hold + late
        {
            let held = now - since;
            self.fates
                .ledger
                .fault(format!("requests are held for {held:?}, of {hold:?}"));
        }
        let (used, most) = (self.shared.memory.used(), memory_bound(&self.settings()));
        if used > most {
            let fault = format!("{used} bytes for connections, of {most} that there may be");
            self.fates.ledger.fault(fault);
        }
        let busiest = self.upstreams.iter().map(UpstreamModel::unanswered).max();
        let busiest = busiest.unwrap_or_default();
        self.stats.busiest = self.stats.busiest.max(busiest);
        if busiest > UPSTREAM_REQUESTS_MAX {
            let fault = format!("an upstream has {busiest} requests at a time");
            self.fates.ledger.fault(fault);
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.borrow().is_some()
    }

    /// The operator leaves off: one upstream takes changes, and all of them run.
    fn heal(&mut self) {
        let now = clock::now();
        for upstream in &mut self.upstreams {
            if upstream.is_leaving() {
                upstream.crash();
            }
            upstream.run_on(now, Duration::from_millis(20));
            upstream.set_writable(false, now);
        }
        let index = self.random.index(self.upstreams.len());
        self.upstreams[index].set_writable(true, now);
    }

    /// Everything comes to its end.
    pub(super) async fn end(mut self) -> GatewayStats {
        self.heal();
        for client in &mut self.clients {
            client.is_reading = true;
        }
        let serving = &self.shared.serving;
        serving.operator_assist(clock::now());
        // A scout comes back within 2 s, and what was in doubt has its answer by then.
        self.pass(Duration::from_millis(4000)).await;
        let target = self.gateway.target();
        let is_writable = target.is_some_and(|own| self.upstreams[own.upstream].is_writable());
        assert!(is_writable, "requests go to who takes changes: {target:?}");
        let all_read = |own: &&Client| own.hears_at_once();
        for client in self.clients.iter().filter(all_read) {
            let (connection, left) = (client.connection, client.waiting());
            assert_eq!(left, 0, "{connection} waits, and all is well");
        }
        // What is read in small pieces takes longer.
        let until = clock::now() + Duration::from_secs(60);
        while self.clients.iter().any(|own| own.waiting() > 0) {
            assert!(clock::now() < until, "requests that nobody answers");
            self.pass(Duration::from_millis(100)).await;
        }
        self.clients.clear();
        self.pass(Duration::from_millis(500)).await;
        let open = self.upstreams.iter().map(UpstreamModel::open_transactions);
        assert_eq!(open.sum::<usize>(), 0, "transactions that nobody ends");
        assert_eq!(self.shared.in_flight_count(), 0, "requests on their way");
        let grace = self.random.millis(0..100);
        self.ask(TransitionTarget::Stopped, grace);
        let due = clock::now() + 2 * MARGIN + grace;
        while !self.is_stopped() {
            self.pass(SLICE).await;
            assert!(clock::now() <= due, "the stop takes too long");
        }
        assert_eq!(self.shared.connection_count(), 0, "slots");
        assert_eq!(self.shared.memory.used(), 0, "memory");
        self.pass(Duration::from_millis(100)).await;
        self.sum_up()
    }

    fn sum_up(mut self) -> GatewayStats {
        self.stats.worlds = 1;
        self.stats.refused = self.fates.refused;
        self.stats.replies = self.fates.replies;
        self.stats.changes = self.fates.changes as usize;
        self.stats.committed = self.fates.ledger.committed;
        self.stats.fingerprint = self.fates.ledger.fingerprint;
        network::end();
        clock::release();
        self.stats
    }

    /// Whether the process of an upstream is this.
    pub(super) fn find(&self, process: Process) -> Option<usize> {
        self.upstreams
            .iter()
            .position(|own| own.process() == process)
    }
}
