//! Times out of histograms. Pure.

use std::time::Duration;

use vestibule_actors::limits::DURATION_BUCKETS;
use vestibule_actors::monitoring::DurationHistogram;

/// How many took how long, between two looks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Grown {
    /// One for each bound, and one for what was longer.
    counts: Vec<u64>,
}

impl Grown {
    pub(super) fn between(before: &DurationHistogram, after: &DurationHistogram) -> Self {
        let count = |own: &DurationHistogram, at: usize| match at < DURATION_BUCKETS.len() {
            true => own.buckets.get(at).copied().unwrap_or(0),
            false => own.beyond,
        };
        let grown = |at| count(after, at).saturating_sub(count(before, at));
        Self {
            counts: (0..=DURATION_BUCKETS.len()).map(grown).collect(),
        }
    }

    /// The time that this share did not exceed, as if those of a bucket were spread over it evenly;
    /// `None` if there were none. Of what was longer than the last bound, that bound is told.
    pub(super) fn quantile(&self, share: f64) -> Option<Duration> {
        let all: u64 = self.counts.iter().sum();
        if all == 0 {
            return None;
        }
        let rank = share * all as f64;
        let (mut below, mut from) = (0.0, Duration::ZERO);
        for (bound, count) in DURATION_BUCKETS.into_iter().zip(&self.counts) {
            let count = *count as f64;
            if count > 0.0 && below + count >= rank {
                let within = ((rank - below) / count).clamp(0.0, 1.0);
                return Some(from + (bound - from).mul_f64(within));
            }
            below += count;
            from = bound;
        }
        Some(from)
    }
}

#[cfg(test)]
mod tests {
    use vestibule_actors::monitoring::DurationCounts;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn quantiles_are_those_of_what_grew() {
        let counts = DurationCounts::default();
        // Slow ones, of before.
        counts.add_many(MS * 20_000, 1000);
        let before = counts.histogram();
        let of = |counts: &DurationCounts| Grown::between(&before, &counts.histogram());
        assert_eq!(of(&counts).quantile(0.5), None);
        counts.add_many(MS * 2, 98);
        counts.add_many(MS * 4000, 2);
        let grown = of(&counts);
        let p50 = grown.quantile(0.5).expect("there are some");
        // Between 1 and 2.5 ms, where 98 of 100 are: about half of the way.
        assert!(p50 > MS * 17 / 10 && p50 < MS * 18 / 10, "{p50:?}");
        let p99 = grown.quantile(0.99).expect("there are some");
        assert!(p99 > MS * 2500 && p99 <= MS * 5000, "{p99:?}");
    }

    #[test]
    fn what_is_beyond_the_last_bound_is_told_as_that() {
        let counts = DurationCounts::default();
        counts.add(Duration::from_secs(600));
        let grown = Grown::between(&DurationHistogram::default(), &counts.histogram());
        assert_eq!(grown.quantile(0.5), Some(Duration::from_secs(30)));
    }
}
