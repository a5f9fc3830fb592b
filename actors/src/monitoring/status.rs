//! What `vestibule.state()` returns, and `vestibule.drain()` when the stop has begun.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use crate::engine::Progress;
use crate::serialized::{in_seconds_or_nil, in_unix_seconds};
use crate::serving::{Role, State, StateOrRole, TransitionProgress};
use crate::shared::Shared;

/// The whole server in short, as `vestibule.state()` returns it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ServerStatus {
    /// What the network side may do.
    pub state: State,
    /// Whether data may be changed.
    pub role: Role,
    /// Grows with every change of both.
    pub epoch: u64,
    /// Why the state is not `Assist`, or why the engine takes no changes; empty if all is well.
    pub reason: String,
    /// How far what is waited for has come, from 0.0 to 1.0; `None` if nothing is known.
    pub progress: Option<f64>,
    /// When those are told to come back who are refused because the engine is busy or loading, as
    /// things are now; `None` in other states. Serialized in seconds.
    #[serde(serialize_with = "in_seconds_or_nil")]
    pub retry_after: Option<Duration>,
    /// When the state was entered. Serialized as Unix time in seconds.
    #[serde(serialize_with = "in_unix_seconds")]
    pub since: SystemTime,
    /// Requests that were forwarded, and not begun by Tx.
    pub queued: usize,
    /// Requests of clients that were forwarded, and not answered.
    pub in_flight: usize,
    /// Jobs of the embedder that are under way.
    pub jobs: usize,
    /// Connections that are open.
    pub connections: usize,
    /// What is wanted once everything that was asked for is done: `primary`, `replica` or
    /// `stopped`.
    pub wanted: StateOrRole,
    /// The transition under way.
    pub transition: Option<TransitionProgress>,
    /// What a stop or a demotion would give what runs, as things are now; `None` for ever.
    /// Serialized in seconds.
    #[serde(serialize_with = "in_seconds_or_nil")]
    pub grace_period: Option<Duration>,
    /// Why the engine takes no changes, if it does not.
    pub fault: Option<String>,
}

impl ServerStatus {
    pub(crate) fn of(shared: &Shared, now: Instant) -> Self {
        let status = shared.serving.status(now);
        let fault = shared.fault();
        let is_told = !status.reason.is_empty();
        let is_waited_for = matches!(status.serving.state, State::Loading | State::Solo);
        let retry_after = status.told_retry_after();
        let since = SystemTime::now().checked_sub(status.since);
        Self {
            state: status.serving.state,
            role: status.serving.role,
            epoch: status.serving.epoch,
            reason: match &fault {
                Some(fault) if !is_told => fault.clone(),
                _ => status.reason,
            },
            progress: status.progress.and_then(Progress::share),
            retry_after: is_waited_for.then_some(retry_after),
            since: since.unwrap_or(SystemTime::UNIX_EPOCH),
            queued: shared.queued_count(),
            in_flight: shared.in_flight_count(),
            jobs: shared.jobs.load(Ordering::Relaxed),
            connections: shared.connection_count(),
            wanted: status.wanted.map_or(State::Stopped.into(), Role::into),
            transition: status.transition,
            grace_period: shared.grace_or_default(None),
            fault,
        }
    }
}
