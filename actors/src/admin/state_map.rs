//! What `vestibule.state()` returns, and `vestibule.drain()` when the stop has begun.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::engine::Progress;
use crate::serving::{Role, Underway};
use crate::shared::Shared;

/// What `vestibule.state()` returns.
#[derive(Debug, Serialize)]
pub(crate) struct StateMap {
    state: &'static str,
    role: &'static str,
    epoch: u64,
    reason: String,
    /// 0.0 to 1.0; nil if nothing is known.
    progress: Option<f64>,
    /// Unix time in seconds at which the state was entered.
    since: f64,
    /// Forwarded, and not begun by Tx.
    queued: usize,
    /// Forwarded, and not answered.
    in_flight: usize,
    connections: usize,
    /// What is wanted in the end: `primary`, `replica` or `stopped`.
    wanted: &'static str,
    /// The transition under way; nil if there is none.
    transition: Option<TransitionMap>,
    /// Seconds that a stop or a demotion would give what runs, as things are now; nil for ever.
    grace_period: Option<f64>,
}

/// A transition under way, in `vestibule.state()`.
#[derive(Debug, Serialize)]
struct TransitionMap {
    id: u64,
    to: &'static str,
    phase: &'static str,
    reason: String,
    requested_by: String,
    /// Seconds until what still runs is cut off; nil if it may take for ever.
    left: Option<f64>,
}

impl TransitionMap {
    fn of(under_way: Underway, now: Instant) -> Self {
        let left = under_way
            .deadline
            .map(|deadline| deadline.saturating_duration_since(now).as_secs_f64());
        Self {
            id: under_way.id,
            to: under_way.to,
            phase: under_way.phase,
            reason: under_way.reason,
            requested_by: under_way.requested_by,
            left,
        }
    }
}

impl StateMap {
    pub(crate) fn of(shared: &Shared, now: Instant) -> Self {
        let situation = shared.cell.situation(now);
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            state: situation.serving.state.name(),
            role: situation.serving.role.name(),
            epoch: situation.serving.epoch,
            reason: match shared.fault() {
                Some(fault) if situation.reason.is_empty() => fault,
                _ => situation.reason,
            },
            progress: situation.progress.and_then(Progress::share),
            since: unix.saturating_sub(situation.since).as_secs_f64(),
            queued: shared.queued_count(),
            in_flight: shared.in_flight_count(),
            connections: shared.connection_count(),
            wanted: situation.wanted.map_or("stopped", Role::name),
            transition: situation
                .transition
                .map(|under_way| TransitionMap::of(under_way, now)),
            grace_period: shared
                .resolve_grace(shared.config.shutdown_grace_period)
                .map(|period| period.as_secs_f64()),
        }
    }
}
