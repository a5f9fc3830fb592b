//! How fast connections without a slot are rejected: pure.

use std::time::{Duration, Instant};

use crate::limits::{REJECT_BURST, REJECT_PERIOD};

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
}
