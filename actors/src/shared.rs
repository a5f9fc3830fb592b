//! What every actor of one runtime shares: cells that are read without asking anyone.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use crate::catalogue::Catalogue;
use crate::config::Config;
use crate::engine::ReadView;
use crate::events::Events;
use crate::serving::ServingCell;
use crate::session::LaneHandle;
use crate::supervisor::{SupervisorHandle, TransitionLog};
use crate::tx::claim::Claims;
use crate::tx::mark::Mark;
use crate::tx::reservation::ReservationList;

/// One per runtime.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) cell: Arc<ServingCell>,
    pub(crate) events: Events,
    pub(crate) transitions: TransitionLog,
    /// Set once when the runtime is put together.
    pub(crate) supervisor: OnceLock<SupervisorHandle>,
    pub(crate) lanes: OnceLock<Vec<LaneHandle>>,
    pub(crate) counters: Vec<LaneCounters>,
    pub(crate) started: Instant,
    /// Moves while Tx does.
    pub(crate) mark: Mark,
    pub(crate) reservations: ReservationList,
    connections: AtomicU64,
    /// Connections whose replies a stop threw away.
    cut_off: AtomicUsize,
    /// Why the engine takes no changes, if it does not.
    fault: Mutex<Option<String>>,
    schema_version: AtomicU64,
    catalogue: Mutex<Option<Arc<Catalogue>>>,
    views: AtomicU64,
    view: Mutex<Option<Arc<dyn ReadView>>>,
}

/// What one session arbiter tells about itself.
pub(crate) struct LaneCounters {
    pub(crate) claims: Arc<Claims>,
    pub(crate) connections: AtomicUsize,
    pub(crate) in_flight: AtomicUsize,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("cell", &self.cell)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is behind these locks is replaced whole, so a panic cannot leave it half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(config: Config, cell: Arc<ServingCell>, claims: Vec<Arc<Claims>>) -> Self {
        let counters = claims.into_iter().map(|claims| LaneCounters {
            claims,
            connections: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
        });
        Self {
            events: Events::new(&config),
            config,
            cell,
            transitions: TransitionLog::default(),
            supervisor: OnceLock::new(),
            lanes: OnceLock::new(),
            counters: counters.collect(),
            started: Instant::now(),
            mark: Mark::default(),
            reservations: ReservationList::default(),
            connections: AtomicU64::new(0),
            cut_off: AtomicUsize::new(0),
            fault: Mutex::new(None),
            schema_version: AtomicU64::new(1),
            catalogue: Mutex::new(None),
            views: AtomicU64::new(0),
            view: Mutex::new(None),
        }
    }

    /// A number for a new connection.
    pub(crate) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn schema_version(&self) -> u64 {
        self.schema_version.load(Ordering::Acquire)
    }

    /// None until an engine has recovered for the first time.
    pub(crate) fn catalogue(&self) -> Option<Arc<Catalogue>> {
        lock(&self.catalogue).clone()
    }

    pub(crate) fn publish_catalogue(&self, schema_version: u64, catalogue: Arc<Catalogue>) {
        *lock(&self.catalogue) = Some(catalogue);
        self.schema_version.store(schema_version, Ordering::Release);
        self.events.set_schema(schema_version);
        self.nudge();
    }

    /// How often the view was published: sessions compare it before they use theirs.
    pub(crate) fn view_version(&self) -> u64 {
        self.views.load(Ordering::Acquire)
    }

    pub(crate) fn view(&self) -> Option<Arc<dyn ReadView>> {
        lock(&self.view).clone()
    }

    pub(crate) fn publish_view(&self, view: Option<Arc<dyn ReadView>>) {
        *lock(&self.view) = view;
        self.views.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn count_cut_off(&self, count: usize) {
        self.cut_off.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn cut_off(&self) -> usize {
        self.cut_off.load(Ordering::Relaxed)
    }

    /// Why the engine takes no changes, if it does not.
    pub(crate) fn fault(&self) -> Option<String> {
        lock(&self.fault).clone()
    }

    /// Tells everyone whether the engine takes changes.
    pub(crate) fn publish_fault(&self, fault: Option<String>) {
        self.events.set_fault(fault.is_some(), self.cell.load());
        *lock(&self.fault) = fault;
        self.nudge();
    }

    /// Makes every session arbiter look at the cell and the events.
    pub(crate) fn nudge(&self) {
        for lane in self.lanes.get().into_iter().flatten() {
            lane.nudge();
        }
    }

    pub(crate) fn connection_count(&self) -> usize {
        self.counters
            .iter()
            .map(|lane| lane.connections.load(Ordering::Relaxed))
            .sum()
    }

    pub(crate) fn in_flight_count(&self) -> usize {
        self.counters
            .iter()
            .map(|lane| lane.in_flight.load(Ordering::Relaxed))
            .sum()
    }

    /// Requests that were forwarded and that Tx has not begun.
    pub(crate) fn queued_count(&self) -> usize {
        self.counters
            .iter()
            .map(|lane| lane.claims.count_queued())
            .sum()
    }
}
