//! What Tx does, told while it is in a turn as well.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::counting::durations::DurationHistogram;
use crate::serialized::{in_seconds, in_seconds_or_nil};
use crate::shared::Shared;

/// What Tx does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TxMetrics {
    /// How long all its turns together took since the start, the one under way included. Serialized
    /// in seconds.
    #[serde(serialize_with = "in_seconds")]
    pub busy: Duration,
    /// How long turns took that have ended: their count is how many there were.
    pub turns: DurationHistogram,
    /// The longest turn that ended within about the last second, or the one under way if that is
    /// longer by now. Serialized in seconds.
    #[serde(serialize_with = "in_seconds")]
    pub longest_turn: Duration,
    /// How long the turn under way has taken, if there is one. Serialized in seconds.
    #[serde(serialize_with = "in_seconds_or_nil")]
    pub turn_under_way: Option<Duration>,
    /// Whether the watchdog says that it stands still.
    pub is_stalled: bool,
    /// How often it was replaced, because it had died.
    pub restarts: u64,
}

impl TxMetrics {
    pub(super) fn of(shared: &Shared, now: Instant) -> Self {
        let since_start = shared.since_start(now);
        Self {
            busy: shared.tx.busy(since_start),
            turns: shared.tx.turns(),
            longest_turn: shared.tx.longest(since_start),
            turn_under_way: shared.tx.under_way(since_start),
            is_stalled: shared.serving.is_stalled(),
            restarts: shared.engines_started().saturating_sub(1),
        }
    }
}
