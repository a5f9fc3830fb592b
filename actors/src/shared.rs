//! What every actor of one runtime shares: cells that are read without asking anyone.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use vestibule_wire::error::Field;
use vestibule_wire::{Error, ErrorCode};

use crate::audit::AuditBounds;
use crate::authenticator::AskAuthenticator;
use crate::cells::claims::Claims;
use crate::cells::fence::Fence;
use crate::cells::heartbeat::Heartbeat;
use crate::cells::live::Live;
use crate::cells::pulse::Pulse;
use crate::cells::recent_durations::RecentDurations;
use crate::cells::reservation_list::ReservationList;
use crate::cells::traffic::TrafficCounts;
use crate::cells::tx_counts::TxCounts;
use crate::clock::Clock;
use crate::config::{Config, Fixed, Grace, Settings};
use crate::engine::catalog::Catalog;
use crate::engine::{
    DataMemory, EngineNumbers, EngineTotals, LocalProcedures, ReadView, Statistics, counted,
};
use crate::exposure::Exposure;
use crate::failed_logins::FailedLogins;
use crate::hooks::ConnectionHooks;
use crate::incoming::Listener;
use crate::limits::{GRACE_UNKNOWN, RETRY_AFTER_DEFAULT, SCHEMA_VERSION_MIN};
use crate::memory::Memory;
use crate::quotas::Quotas;
use crate::reload::ReloadHook;
use crate::serving::{Events, Serving, ServingCell, Status};
use crate::slots::{ConnectionSlots, NoSlot};
use crate::tls::TlsIdentity;
use crate::transitions::TransitionLog;
use crate::upstream::GatewayCell;

/// Why the outcome of a request is unknown that a stop has cut off.
pub(crate) const STOPPING: &str = "the server is shutting down";

/// What an embedder has added to a runtime.
#[derive(Default)]
pub(crate) struct Additions {
    /// Who decides on logins before the users of the engine do.
    pub(crate) authenticator: Option<Arc<dyn AskAuthenticator>>,
    /// What sessions run.
    pub(crate) locals: LocalProcedures,
    /// Who is told of connections.
    pub(crate) hooks: ConnectionHooks,
    /// Who loads the configuration again.
    pub(crate) reload: ReloadHook,
    /// Who the server is by TLS, and where it listens for that.
    pub(crate) tls: Option<(TlsIdentity, Vec<SocketAddr>)>,
    /// Listeners that are bound already, until it starts.
    pub(crate) listeners: Vec<Listener>,
}

/// One per runtime.
pub(crate) struct Shared {
    /// What holds as long as the runtime does.
    pub(crate) config: Fixed,
    /// What may be replaced meanwhile.
    pub(crate) settings: Live<Settings>,
    pub(crate) additions: Additions,
    /// What its threads share of the upstreams, in a gateway.
    pub(crate) gateway: Option<Arc<GatewayCell>>,
    pub(crate) clock: Clock,
    pub(crate) serving: Arc<ServingCell>,
    pub(crate) events: Arc<Events>,
    pub(crate) transitions: TransitionLog,
    /// What Tx asks before it writes.
    pub(crate) fence: Fence,
    /// Durations of recent transactions.
    pub(crate) recent_durations: RecentDurations,
    pub(crate) counters: Vec<WorkerCounters>,
    /// What Tx counts.
    pub(crate) tx: TxCounts,
    /// When the System's thread was seen to go on last.
    pub(crate) system_pulse: Pulse,
    /// How many engines have come into service, one after the other.
    pub(crate) engines: watch::Sender<u64>,
    /// The serving state, for those who wait for it to change.
    pub(crate) changes: watch::Sender<Serving>,
    pub(crate) slots: Arc<ConnectionSlots>,
    pub(crate) exposure: Exposure,
    /// Wrong logins, by the addresses that they came from.
    failed_logins: Mutex<FailedLogins>,
    /// How many lines of the audit log there may be.
    audit: Mutex<AuditBounds>,
    pub(crate) memory: Arc<Memory>,
    /// What connections hold of what Tx has for all of them.
    pub(crate) quotas: Quotas,
    /// When the runtime started.
    pub(crate) started: Instant,
    /// Moves while Tx does.
    pub(crate) heartbeat: Heartbeat,
    pub(crate) reservations: ReservationList,
    connections: AtomicU64,
    /// Work of the embedder's that is under way.
    pub(crate) jobs: AtomicUsize,
    /// Why the engine takes no changes, if it does not.
    fault: Mutex<Option<String>>,
    schema_version: AtomicU64,
    catalog: Mutex<Option<Arc<Catalog>>>,
    views: AtomicU64,
    view: Mutex<Option<Arc<dyn ReadView>>>,
    data_memory: Mutex<Option<Arc<DataMemory>>>,
    statistics: Mutex<EngineTotals>,
}

/// What one worker tells about itself.
pub(crate) struct WorkerCounters {
    pub(crate) claims: Arc<Claims>,
    pub(crate) in_flight: AtomicUsize,
    pub(crate) traffic: Arc<TrafficCounts>,
    /// The number of the last message with replies that Tx has sent to it.
    pub(crate) replies_sent: AtomicU64,
    /// The number of the last one that it has delivered.
    pub(crate) replies_delivered: AtomicU64,
    /// Whether it was told of a change of events, and has not looked yet.
    events_told: AtomicBool,
    /// When it was seen to go on last.
    pub(crate) pulse: Pulse,
    /// The last change of state that all its sessions have heard of, by its epoch.
    epoch: AtomicU64,
    /// How long that took, in microseconds, and the longest that it ever took.
    reached_us: AtomicU64,
    reached_max_us: AtomicU64,
}

impl WorkerCounters {
    fn new(claims: Arc<Claims>) -> Self {
        Self {
            claims,
            in_flight: AtomicUsize::new(0),
            traffic: Arc::new(TrafficCounts::new()),
            replies_sent: AtomicU64::new(0),
            replies_delivered: AtomicU64::new(0),
            events_told: AtomicBool::new(false),
            pulse: Pulse::default(),
            epoch: AtomicU64::new(0),
            reached_us: AtomicU64::new(0),
            reached_max_us: AtomicU64::new(0),
        }
    }

    /// An event has changed. True if the worker is to be told: it was not, since it looked last.
    pub(crate) fn tell_events(&self) -> bool {
        !self.events_told.swap(true, Ordering::AcqRel)
    }

    /// The worker looks at the events from now on: what changes later is told to it again.
    pub(crate) fn on_events_look(&self) {
        // It sees what changed before it was told, which the swap of those who tell releases.
        self.events_told.swap(false, Ordering::AcqRel);
    }

    /// All sessions of the worker have heard of a change.
    pub(crate) fn reached(&self, epoch: u64, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.epoch.store(epoch, Ordering::Relaxed);
        self.reached_us.store(took_us, Ordering::Relaxed);
        self.reached_max_us.fetch_max(took_us, Ordering::Relaxed);
    }

    /// The epoch of the last change, how long it took to reach all sessions, and the longest.
    pub(crate) fn reach(&self) -> (u64, u64, u64) {
        let load = |value: &AtomicU64| value.load(Ordering::Relaxed);
        (
            load(&self.epoch),
            load(&self.reached_us),
            load(&self.reached_max_us),
        )
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("serving", &self.serving)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is replaced whole, so a panic cannot leave it half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(
        config: Config,
        serving: Arc<ServingCell>,
        slots: ConnectionSlots,
        claims: Vec<Arc<Claims>>,
    ) -> Self {
        let (config, settings) = config.split();
        let counters = claims.into_iter().map(WorkerCounters::new);
        let clock = serving.clock();
        Self {
            events: Arc::new(Events::new(config.instance_uuid)),
            memory: Arc::new(Memory::new(settings.connection_limits.memory_max)),
            quotas: Quotas::new(&config.quotas),
            config,
            settings: Live::new(settings),
            additions: Additions::default(),
            gateway: None,
            clock,
            engines: watch::Sender::new(0),
            changes: watch::Sender::new(serving.load()),
            serving,
            transitions: TransitionLog::default(),
            fence: Fence::default(),
            recent_durations: RecentDurations::default(),
            counters: counters.collect(),
            tx: TxCounts::default(),
            system_pulse: Pulse::default(),
            slots: Arc::new(slots),
            exposure: Exposure::default(),
            failed_logins: Mutex::default(),
            audit: Mutex::default(),
            started: clock.now(),
            heartbeat: Heartbeat::default(),
            reservations: ReservationList::default(),
            connections: AtomicU64::new(0),
            jobs: AtomicUsize::new(0),
            fault: Mutex::new(None),
            schema_version: AtomicU64::new(SCHEMA_VERSION_MIN),
            catalog: Mutex::new(None),
            views: AtomicU64::new(0),
            view: Mutex::new(None),
            data_memory: Mutex::new(None),
            statistics: Mutex::default(),
        }
    }

    /// With what an embedder adds.
    pub(crate) fn with_additions(self, additions: Additions) -> Self {
        Self { additions, ..self }
    }

    /// Of a gateway.
    pub(crate) fn with_gateway(self, gateway: Arc<GatewayCell>) -> Self {
        Self {
            gateway: Some(gateway),
            ..self
        }
    }

    /// Goes by other settings from now on, which were checked. Who follows them sees it at the next
    /// look; the Supervisor is to be told.
    pub(crate) fn reconfigure(&self, settings: Settings) {
        let mut has_other_slots = false;
        self.settings.replace(settings, |own| {
            has_other_slots = self.slots.set_limits(&own.connection_limits);
            self.memory.set_max(own.connection_limits.memory_max);
        });
        if has_other_slots {
            self.slots.warn_of_shortage();
        }
    }

    /// The error for a request that was cut off when it had begun: it may have been executed.
    pub(crate) fn outcome_unknown(&self, code: ErrorCode, reason: &str) -> Error {
        let status = self.serving.status(self.clock.now());
        status
            .error_with_text(code, format!("Outcome unknown: {reason}"))
            .with_field("outcome", Field::Str("unknown".into()))
    }

    /// Why a connection is rejected: [`ErrorCode::LOADING`], with the fields that every error of a
    /// state carries.
    pub(crate) fn over_capacity(&self, why: NoSlot, now: Instant) -> Error {
        let status = Status {
            reason: "too many connections".to_owned(),
            progress: None,
            retry_after: RETRY_AFTER_DEFAULT,
            ..self.serving.status(now)
        };
        let what = match why {
            NoSlot::Listener(listener) => {
                let places = self.slots.budget().of(listener);
                format!("Too many connections: all {places} places are taken")
            }
            NoSlot::Address(address) => {
                let (max, _) = self.slots.of_one_address();
                let address = counted(address);
                format!("Too many connections from {address}: there may be {max}")
            }
        };
        let seconds = RETRY_AFTER_DEFAULT.as_secs();
        let text = format!("{what}, retry after {seconds} s");
        status.error_with_text(ErrorCode::LOADING, text)
    }

    /// The grace of a transition for which this was asked; `None` for ever. Without a wish it is
    /// the configured one.
    pub(crate) fn grace_or_default(&self, wanted: Option<Duration>) -> Option<Duration> {
        let configured = || self.settings.load().shutdown_grace_period;
        self.resolve_grace(wanted.map_or_else(configured, Grace::Limited))
    }

    /// How long a grace is now; `None` for ever.
    pub(crate) fn resolve_grace(&self, grace: Grace) -> Option<Duration> {
        match grace {
            Grace::Limited(period) => Some(period),
            Grace::Auto { min, max } => {
                let wanted = self.recent_durations.p99().unwrap_or(GRACE_UNKNOWN);
                Some(wanted.min(max).max(min))
            }
            Grace::Forever => None,
        }
    }

    /// From now on nothing that was admitted so far may be written; true if a write was under way.
    pub(crate) fn raise_fence(&self) -> bool {
        self.serving
            .before_next_epoch(|epoch| self.fence.raise(epoch))
    }

    /// A number for a new connection.
    pub(crate) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn schema_version(&self) -> u64 {
        self.schema_version.load(Ordering::Acquire)
    }

    /// The catalog of an upstream has changed.
    pub(crate) fn set_schema_version(&self, version: u64) {
        self.schema_version.fetch_max(version, Ordering::AcqRel);
        self.events.set_schema(version);
    }

    /// None until an engine has recovered for the first time.
    pub(crate) fn catalog(&self) -> Option<Arc<Catalog>> {
        lock(&self.catalog).clone()
    }

    pub(crate) fn publish_catalog(&self, schema_version: u64, catalog: Arc<Catalog>) {
        *lock(&self.catalog) = Some(catalog);
        self.schema_version.store(schema_version, Ordering::Release);
        self.events.set_schema(schema_version);
        self.serving.notify();
    }

    /// How often the view was published: sessions compare it before they use theirs.
    pub(crate) fn view_version(&self) -> u64 {
        self.views.load(Ordering::Acquire)
    }

    /// How many engines have come into service. A count, and no guard of it: who held one while it
    /// asks again would wait for the Supervisor, which waits for the guard.
    pub(crate) fn engines_started(&self) -> u64 {
        *self.engines.borrow()
    }

    pub(crate) fn view(&self) -> Option<Arc<dyn ReadView>> {
        lock(&self.view).clone()
    }

    pub(crate) fn publish_view(&self, view: Option<Arc<dyn ReadView>>) {
        *lock(&self.view) = view;
        self.views.fetch_add(1, Ordering::AcqRel);
    }

    /// What the engine's data take, if it is counted.
    pub(crate) fn data_memory(&self) -> Option<Arc<DataMemory>> {
        lock(&self.data_memory).clone()
    }

    pub(crate) fn publish_data_memory(&self, memory: Option<Arc<DataMemory>>) {
        *lock(&self.data_memory) = memory;
    }

    /// What the engine tells of itself, with what those before it have counted; `None` if it tells
    /// nothing.
    pub(crate) fn engine_numbers(&self) -> Option<EngineNumbers> {
        lock(&self.statistics).numbers()
    }

    /// Another engine is in service.
    pub(crate) fn publish_statistics(&self, statistics: Option<Arc<dyn Statistics>>) {
        lock(&self.statistics).follow(statistics);
    }

    /// The wrong logins, by the addresses that they came from.
    pub(crate) fn failed_logins(&self) -> MutexGuard<'_, FailedLogins> {
        lock(&self.failed_logins)
    }

    /// How many lines of the audit log there may be.
    pub(crate) fn audit_bounds(&self) -> &Mutex<AuditBounds> {
        &self.audit
    }

    /// Why the engine takes no changes, if it does not.
    pub(crate) fn fault(&self) -> Option<String> {
        lock(&self.fault).clone()
    }

    /// Tells everyone whether the engine takes changes.
    pub(crate) fn publish_fault(&self, fault: Option<String>) {
        // While an engine loads, `box.status` tells how far it is: not to be replaced for nothing.
        if self.fault() == fault {
            return;
        }
        self.events.set_fault(fault.is_some(), self.serving.load());
        *lock(&self.fault) = fault;
        self.serving.notify();
    }

    /// Tells those who watch `box.status` how far recovery is.
    pub(crate) fn tell_loading(&self, progress: Option<f64>, now: Instant) {
        let status = self.serving.status(now);
        if !status.serving.state.traits().has_recovered {
            let reason = &status.reason;
            self.events.set_loading(status.serving, reason, progress);
            self.serving.notify();
        }
    }

    /// How long after the start of the runtime.
    #[inline]
    pub(crate) fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }

    pub(crate) fn connection_count(&self) -> usize {
        self.slots.count()
    }

    pub(crate) fn in_flight_count(&self) -> usize {
        self.counters
            .iter()
            .map(|worker| worker.in_flight.load(Ordering::Relaxed))
            .sum()
    }

    /// Requests that were forwarded and that Tx has not begun.
    pub(crate) fn queued_count(&self) -> usize {
        self.counters
            .iter()
            .map(|worker| worker.claims.count_queued())
            .sum()
    }
}
