//! A world of a gateway: its runtime and clients on one thread, and upstreams that act between.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::accounts::Accounts;
use super::drains::SeenDrain;
use super::fates::Fates;
use super::model::{LATEST_ANSWER, Process, UpstreamModel};
use super::network;
use super::options::Options;
use super::stats::GatewayStats;
use crate::authenticator::UpstreamLogins;
use crate::clock::Clock;
use crate::config::LoginLimits;
use crate::jobs::JobTable;
use crate::limits::{LINK_AHEAD_MAX, SCHEMA_VERSION_MIN, TRANSITION_SLACK};
use crate::scouts::Scouts;
use crate::serving::UpstreamUse;
use crate::shared::Additions;
use crate::simulation::client::Client;
use crate::simulation::engine::LARGE_REQUEST;
use crate::simulation::ledger::Ledger;
use crate::simulation::random::Random;
use crate::simulation::runtime::{MARGIN, SimulatedRuntime, WORKERS, begin_time, shared_by};
use crate::simulation::{clock, config};
use crate::supervisor::Supervisor;
use crate::transitions::TransitionTarget;
use crate::upstream::{BulkRule, GatewayCell, LinkMode, Upstream, Upstreams};

/// At most so much time passes before upstreams act and are looked at again.
pub(super) const SLICE: Duration = Duration::from_millis(2);

pub(super) struct GatewayWorld {
    pub(super) random: Random,
    /// For what only some options let happen.
    pub(super) options: Random,
    pub(super) runtime: SimulatedRuntime,
    pub(super) gateway: Arc<GatewayCell>,
    pub(super) upstreams: Vec<UpstreamModel>,
    /// By upstream.
    pub(super) drains: Vec<SeenDrain>,
    /// When somebody was told last that one is drained.
    pub(super) last_drained: Option<Instant>,
    pub(super) fates: Fates,
    /// The last election, where there are any.
    pub(super) elections: Option<u64>,
    /// Whether upstreams have streams, and transactions in them.
    pub(super) has_streams: bool,
    pub(super) stats: GatewayStats,
}

fn upstreams(random: &mut Random, accounts: &Accounts) -> Upstreams {
    let named = |(name, port)| Upstream::new(name, "simulated", port);
    let count = 1 + random.index(3);
    let all = ["a", "b", "c"].into_iter().zip(1..).take(count);
    let hold = Duration::from_millis(200 * random.below(4).min(1));
    let mode = match random.once_in(3) {
        true => LinkMode::Pinned,
        false => LinkMode::Shared,
    };
    Upstreams::default()
        .upstreams(all.map(named).collect())
        .account(Some(Accounts::reader()))
        .users(accounts.source(random))
        .mode(mode)
        .silent_after(Duration::from_millis(100))
        .probe_interval(Duration::from_millis(40))
        .connect_timeout(Duration::from_millis(200))
        .failover_hold(hold)
        .retry_calls(["count".to_owned()].into())
}

impl GatewayWorld {
    /// On a System whose clock is paused.
    pub(super) async fn new(
        seed: u64,
        has_elections: bool,
        bulk: BulkRule,
        options: Options,
    ) -> Self {
        let mut random = Random::new(seed);
        // Who is wrong waits no longer than others.
        let logins = LoginLimits::default().delay_max(Duration::ZERO);
        let config = config::random(&mut random).login_limits(logins);
        let accounts = Accounts::new(&mut random);
        let upstreams = options.set(seed, upstreams(&mut random, &accounts));
        upstreams.check().expect("a gateway starts with them");
        // Who tells of elections has streams.
        let has_streams = random.once_in(2) || has_elections;
        begin_time().await;
        let count = upstreams.upstreams.len();
        network::begin(count, Random::new(seed ^ 1));
        let now = clock::now();
        let mut gateway = GatewayCell::new(upstreams, WORKERS, SCHEMA_VERSION_MIN, now);
        gateway.bulk = bulk;
        let gateway = Arc::new(gateway);
        let logins = UpstreamLogins::new(gateway.clone(), Clock::of(clock::now));
        let additions = Additions {
            authenticator: Some(Arc::new(logins)),
            ..Additions::default()
        };
        let shared = shared_by(config).with_gateway(gateway.clone());
        let shared = Arc::new(shared.with_additions(additions));
        let scouts = Scouts::new(shared.clone(), gateway.clone());
        let runtime = SimulatedRuntime::start(shared.clone(), |peers, told| {
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
            supervisor
        });
        scouts.launch();
        let version = if has_streams { (2, 10, 4) } else { (2, 6, 0) };
        let model =
            |index| UpstreamModel::new(index, version, Random::new(seed + 2 + index as u64), now);
        let ledger = Ledger::new(shared.serving.clone());
        let fates = Fates::new(ledger, accounts, &gateway.config, now);
        Self {
            random,
            options: Random::new(seed ^ 8),
            runtime,
            gateway,
            upstreams: (0..count).map(model).collect(),
            drains: vec![SeenDrain::default(); count],
            last_drained: None,
            fates,
            elections: None,
            has_streams,
            stats: GatewayStats::default(),
        }
    }

    /// Asks for a transition as an embedder does.
    pub(super) fn ask(&mut self, target: TransitionTarget, grace: Duration) {
        let note = || format!("asks for {target:?}, {grace:?}");
        self.fates.ledger.note(note);
        if let TransitionTarget::Upstream(upstream, wanted) = target {
            let now = clock::now();
            self.drains[upstream].ask(wanted, now);
            self.upstreams[upstream].reconsidered(now);
            if wanted == UpstreamUse::Drained {
                self.fates.leaving_until[upstream] = Some(now);
            }
        }
        self.runtime.ask(target, Duration::ZERO, grace, MARGIN);
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

    pub(super) fn is_stopped(&self) -> bool {
        self.runtime.is_stopped()
    }

    /// The operator leaves off: all upstreams run and are used, and one of them takes changes.
    async fn heal(&mut self) {
        let now = clock::now();
        for upstream in &mut self.upstreams {
            if upstream.is_leaving() {
                upstream.crash();
            }
            upstream.run_on(now, Duration::from_millis(20));
            upstream.set_writable(false, now);
        }
        let index = self.random.index(self.upstreams.len());
        match self.elections {
            None => self.upstreams[index].set_writable(true, now),
            Some(_) => {
                self.elect(index);
                self.keep_a_former_leader();
            }
        }
        // What is under way comes to its end before they are asked for.
        self.pass(Duration::from_millis(300)).await;
        for index in 0..self.upstreams.len() {
            self.ask(
                TransitionTarget::Upstream(index, UpstreamUse::Used),
                Duration::ZERO,
            );
            self.pass(MARGIN).await;
        }
        assert!(
            self.drains.iter().all(SeenDrain::is_used),
            "{:?}",
            self.drains
        );
    }

    /// Everything comes to its end.
    pub(super) async fn end(mut self) -> GatewayStats {
        for client in &mut self.runtime.clients {
            client.is_reading = true;
        }
        self.runtime.shared.serving.operator_assist(clock::now());
        self.heal().await;
        // A scout comes back within 2 s, and what was in doubt has its answer by then.
        self.pass(Duration::from_millis(4000)).await;
        let target = self.gateway.target();
        let is_leader = target.is_some_and(|own| {
            let upstream = &self.upstreams[own.upstream];
            upstream.is_writable() && upstream.election() == self.elections
        });
        assert!(is_leader, "requests go to who takes changes: {target:?}");
        let all_read = |own: &&Client| own.hears_at_once();
        for client in self.runtime.clients.iter().filter(all_read) {
            let (connection, left) = (client.connection, client.waiting());
            assert_eq!(left, 0, "{connection} waits, and all is well");
        }
        // What is read in small pieces takes longer.
        let until = clock::now() + Duration::from_secs(60);
        while self.runtime.clients.iter().any(|own| own.waiting() > 0) {
            assert!(clock::now() < until, "requests that nobody answers");
            self.pass(Duration::from_millis(100)).await;
        }
        match self.random.once_in(2) {
            true => super::storm::last_words(&mut self).await,
            false => {
                self.runtime.clients.clear();
                self.pass(Duration::from_millis(500)).await;
                self.check_nothing_is_open();
                let in_flight = self.runtime.shared.in_flight_count();
                assert_eq!(in_flight, 0, "requests on their way");
            }
        }
        let grace = self.random.millis(0..100);
        self.ask(TransitionTarget::Stopped, grace);
        let due = clock::now() + 2 * MARGIN + grace;
        while !self.is_stopped() {
            self.pass(SLICE).await;
            assert!(clock::now() <= due, "the stop takes too long");
        }
        let shared = self.runtime.shared.clone();
        assert_eq!(shared.connection_count(), 0, "slots");
        assert_eq!(shared.memory.used(), 0, "memory");
        self.pass(Duration::from_millis(100)).await;
        self.come_to_rest().await;
        self.check_nothing_is_open();
        assert_eq!(shared.in_flight_count(), 0, "requests on their way");
        self.sum_up()
    }

    /// The links of a runtime end with its threads, and what is open there with them. Here they
    /// live on, so that what they have begun is seen to be ended: behind what a slow socket has not
    /// taken, and when the upstream has answered enough for it.
    async fn come_to_rest(&mut self) {
        let slices = (LINK_AHEAD_MAX + LARGE_REQUEST).div_ceil(network::ROOM) as u32;
        let due = clock::now() + slices * SLICE + LATEST_ANSWER;
        while self.open_transactions() > 0 && clock::now() < due {
            self.pass(SLICE).await;
        }
    }

    fn open_transactions(&self) -> usize {
        let open = self.upstreams.iter().map(UpstreamModel::open_transactions);
        open.sum()
    }

    fn check_nothing_is_open(&self) {
        let open = self.open_transactions();
        assert_eq!(open, 0, "transactions that nobody ends");
    }

    fn sum_up(mut self) -> GatewayStats {
        self.stats.worlds = 1;
        self.stats.pinned = usize::from(self.fates.is_pinned);
        let upstreams = self.gateway.sight.upstreams().iter();
        let bulk_moves = upstreams.map(|own| own.sum(|own| &own.bulk_moves));
        self.stats.bulk_moves = bulk_moves.sum();
        self.stats.by_replicas = self.fates.reads.by_replicas;
        self.stats.refused = self.fates.refused;
        self.stats.replies = self.fates.replies;
        self.stats.lost_at_ends = self.fates.lost_at_ends;
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
