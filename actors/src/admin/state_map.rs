//! What `vestibule.state()` returns, and `vestibule.drain()` when the stop has begun.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::engine::Progress;
use crate::serving::{Role, TransitionProgress};
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
    transition: Option<TransitionProgress>,
    /// Seconds that a stop or a demotion would give what runs, as things are now; nil for ever.
    grace_period: Option<f64>,
}

impl StateMap {
    pub(crate) fn of(shared: &Shared, now: Instant) -> Self {
        let status = shared.serving.status(now);
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            state: status.serving.state.name(),
            role: status.serving.role.name(),
            epoch: status.serving.epoch,
            reason: match shared.fault() {
                Some(fault) if status.reason.is_empty() => fault,
                _ => status.reason,
            },
            progress: status.progress.and_then(Progress::share),
            since: unix.saturating_sub(status.since).as_secs_f64(),
            queued: shared.queued_count(),
            in_flight: shared.in_flight_count(),
            connections: shared.connection_count(),
            wanted: status.wanted.map_or("stopped", Role::name),
            transition: status.transition,
            grace_period: shared
                .resolve_grace(shared.config.shutdown_grace_period)
                .map(|period| period.as_secs_f64()),
        }
    }
}
