//! Durations of recent transactions; their p99 is the automatic grace period.
//!
//! Counted are interactive transactions, from BEGIN to their end, and deferred requests: what a
//! drain has to wait for. A plain request takes a part of a turn, and is not. Tx writes a ring of
//! the last [`RECENT_TRANSACTIONS`]; a reader copies and sorts it. The times are those of turns: no
//! clock is read for them.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::limits::RECENT_TRANSACTIONS;

/// The ring. Only Tx's thread adds to it.
#[derive(Debug)]
pub(crate) struct RecentDurations {
    /// Microseconds, at most 71 minutes.
    times: Box<[AtomicU32]>,
    count: AtomicU64,
}

impl Default for RecentDurations {
    fn default() -> Self {
        Self {
            times: (0..RECENT_TRANSACTIONS)
                .map(|_| AtomicU32::new(0))
                .collect(),
            count: AtomicU64::new(0),
        }
    }
}

impl RecentDurations {
    pub(crate) fn add(&self, time: Duration) {
        let count = self.count.load(Ordering::Relaxed);
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let at = (count % RECENT_TRANSACTIONS as u64) as usize;
        self.times[at].store(micros, Ordering::Relaxed);
        self.count.store(count + 1, Ordering::Release);
    }

    /// The time that 99 of 100 did not exceed; `None` before the first.
    pub(crate) fn p99(&self) -> Option<Duration> {
        let count = self.count.load(Ordering::Acquire);
        let len = count.min(RECENT_TRANSACTIONS as u64) as usize;
        let times = self.times[..len].iter();
        let mut times: Vec<_> = times.map(|time| time.load(Ordering::Relaxed)).collect();
        let rank = (len * 99).div_ceil(100).checked_sub(1)?;
        let (_, p99, _) = times.select_nth_unstable(rank);
        Some(Duration::from_micros(u64::from(*p99)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_hundred_may_be_longer() {
        let recent = RecentDurations::default();
        assert_eq!(recent.p99(), None);
        recent.add(Duration::from_millis(7));
        assert_eq!(recent.p99(), Some(Duration::from_millis(7)));
        for _ in 0..98 {
            recent.add(Duration::from_millis(10));
        }
        recent.add(Duration::from_secs(60));
        assert_eq!(recent.p99(), Some(Duration::from_millis(10)));
        recent.add(Duration::from_secs(60));
        assert_eq!(recent.p99(), Some(Duration::from_secs(60)));
    }

    #[test]
    fn what_is_long_ago_does_not_count() {
        let recent = RecentDurations::default();
        for _ in 0..RECENT_TRANSACTIONS {
            recent.add(Duration::from_secs(9));
        }
        for _ in 0..RECENT_TRANSACTIONS {
            recent.add(Duration::from_millis(1));
        }
        assert_eq!(recent.p99(), Some(Duration::from_millis(1)));
    }
}
