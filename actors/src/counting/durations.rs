//! How long things took, counted in buckets.
//!
//! ```text
//!   took ─▶ the first bucket whose bound it does not exceed, or the last, which has none
//! ```
//!
//! The bounds are the same for everything: what is asked of them is which share was slow, and
//! whether that is the engine, the journal or the way there.

use std::time::Duration;

use serde::Serialize;

use super::counter::OwnCounter;
use crate::limits::{DURATION_BUCKETS, DURATION_BUCKETS_COUNT};
use crate::serialized::in_seconds;

/// The bounds, in nanoseconds.
const BOUNDS_NS: [u64; DURATION_BUCKETS_COUNT] = {
    let mut bounds = [0; DURATION_BUCKETS_COUNT];
    let mut at = 0;
    while at < bounds.len() {
        bounds[at] = DURATION_BUCKETS[at].as_nanos() as u64;
        at += 1;
    }
    bounds
};

/// The counts of one thing, written by one thread at a time and read by any.
#[derive(Debug, Default)]
pub struct DurationCounts {
    buckets: [OwnCounter; DURATION_BUCKETS_COUNT],
    beyond: OwnCounter,
    sum_ns: OwnCounter,
}

impl DurationCounts {
    /// Counts one more. For one thread at a time: another that counts meanwhile may be lost.
    #[inline]
    pub fn add(&self, took: Duration) {
        self.add_many(took, 1);
    }

    /// Counts some that took equally long, as [`add`](Self::add) does.
    #[inline]
    pub fn add_many(&self, took: Duration, count: u64) {
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        // Most are short: the first bounds decide.
        let bucket = BOUNDS_NS.iter().position(|bound| took_ns <= *bound);
        match bucket {
            Some(at) => self.buckets[at].add(count),
            None => self.beyond.add(count),
        }
        self.sum_ns.add(took_ns.saturating_mul(count));
    }

    /// What was counted so far.
    #[must_use]
    pub fn histogram(&self) -> DurationHistogram {
        let counts = self.buckets.iter().map(OwnCounter::get);
        DurationHistogram {
            buckets: counts.collect(),
            beyond: self.beyond.get(),
            sum: Duration::from_nanos(self.sum_ns.get()),
        }
    }
}

/// How many took how long, since the start.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct DurationHistogram {
    /// How many took at most [`DURATION_BUCKETS`], and longer than the bound before: one number
    /// for each bound.
    pub buckets: Vec<u64>,
    /// How many took longer than the last bound.
    pub beyond: u64,
    /// The sum of all. Serialized in seconds.
    #[serde(serialize_with = "in_seconds")]
    pub sum: Duration,
}

impl DurationHistogram {
    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum::<u64>() + self.beyond
    }

    /// The sum of both.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.buckets.resize(DURATION_BUCKETS.len(), 0);
        for (own, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *own += more;
        }
        self.beyond += other.beyond;
        self.sum += other.sum;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_the_first_bucket_that_it_fits() {
        let counts = DurationCounts::default();
        let last = DURATION_BUCKETS[DURATION_BUCKETS.len() - 1];
        for bound in DURATION_BUCKETS {
            counts.add(bound);
        }
        counts.add(Duration::ZERO);
        counts.add_many(last + Duration::from_nanos(1), 3);
        let told = counts.histogram();
        assert_eq!(told.buckets[0], 2);
        assert!(told.buckets[1..].iter().all(|count| *count == 1));
        assert_eq!(
            (told.beyond, told.count()),
            (3, DURATION_BUCKETS.len() as u64 + 4)
        );
        let sum: Duration = DURATION_BUCKETS.iter().sum();
        assert_eq!(told.sum, sum + 3 * last + Duration::from_nanos(3));
    }

    #[test]
    fn histograms_add_up_and_an_empty_one_adds_nothing() {
        let counts = DurationCounts::default();
        counts.add(Duration::from_millis(7));
        let told = counts.histogram();
        let both = DurationHistogram::default().and(&told).and(&told);
        assert_eq!((both.count(), both.sum), (2, Duration::from_millis(14)));
        assert_eq!(both.buckets.len(), told.buckets.len());
    }
}
