//! How fast connections without a slot are rejected, and accepting goes on after an error: pure.

use std::time::{Duration, Instant};

use crate::limits::{ACCEPT_PAUSE_MAX, ACCEPT_PAUSE_MIN, REJECT_BURST, REJECT_PERIOD};

/// Paces the rejecting: a burst, then one per period.
#[derive(Debug, Default)]
pub(crate) struct RejectRateLimiter {
    /// When the whole burst is there again.
    full_at: Option<Instant>,
}

impl RejectRateLimiter {
    /// How long the next one has to wait; zero if it may go now.
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        let Some(full_at) = self.full_at else {
            return Duration::ZERO;
        };
        let debt = full_at.saturating_duration_since(now) + REJECT_PERIOD;
        debt.saturating_sub(REJECT_PERIOD * REJECT_BURST)
    }

    /// One was rejected.
    pub(crate) fn count(&mut self, now: Instant) {
        let from = self.full_at.map_or(now, |full_at| full_at.max(now));
        self.full_at = Some(from + REJECT_PERIOD);
    }
}

/// How long accepting pauses when the system is out of something: longer each time, up to a bound.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    last: Duration,
}

impl Backoff {
    /// Returns the next pause, as the system is out of something (again).
    pub(crate) fn pause(&mut self) -> Duration {
        self.last = (self.last * 2).clamp(ACCEPT_PAUSE_MIN, ACCEPT_PAUSE_MAX);
        self.last
    }

    /// A connection was accepted.
    pub(crate) fn reset(&mut self) {
        self.last = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejecting_is_paced_and_recovers() {
        let begin = Instant::now();
        let mut pace = RejectRateLimiter::default();
        for _ in 0..REJECT_BURST {
            assert_eq!(pace.wait(begin), Duration::ZERO);
            pace.count(begin);
        }
        assert_eq!(pace.wait(begin), REJECT_PERIOD);
        let soon = begin + REJECT_PERIOD;
        assert_eq!(pace.wait(soon), Duration::ZERO);
        pace.count(soon);
        assert_eq!(pace.wait(soon), REJECT_PERIOD);
        let late = begin + REJECT_PERIOD * REJECT_BURST * 2;
        for _ in 0..REJECT_BURST {
            assert_eq!(pace.wait(late), Duration::ZERO);
            pace.count(late);
        }
        assert_eq!(pace.wait(late), REJECT_PERIOD, "no more than one burst");
    }

    #[test]
    fn pauses_grow_up_to_a_bound_and_begin_again_after_success() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..20).map(|_| backoff.pause()).collect();
        assert_eq!(pauses[0], ACCEPT_PAUSE_MIN);
        assert_eq!(pauses[1], ACCEPT_PAUSE_MIN * 2);
        assert_eq!(pauses[19], ACCEPT_PAUSE_MAX);
        assert!(pauses.is_sorted());
        backoff.reset();
        assert_eq!(backoff.pause(), ACCEPT_PAUSE_MIN);
    }
}
