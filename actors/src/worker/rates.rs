//! How much there was per second in the last few, from totals that only grow. Pure.
//!
//! ```text
//!   once a second: totals ─▶ the last six ─▶ (newest - oldest) / the time between them
//! ```

use std::collections::VecDeque;
use std::time::Instant;

use crate::cells::traffic::RATED;
use crate::limits::{RATE_SAMPLE_PERIOD, RATE_SAMPLES};

/// The last totals of a worker's counters, and when they were looked at.
#[derive(Debug, Default)]
pub(super) struct Rates {
    samples: VecDeque<(Instant, [u64; RATED])>,
}

impl Rates {
    /// Looks at the totals, if it is time to; returns how much there was per second since the
    /// oldest look that is kept, in thousandths.
    pub(super) fn sample(
        &mut self,
        now: Instant,
        totals: impl FnOnce() -> [u64; RATED],
    ) -> Option<[u64; RATED]> {
        let last = self.samples.back();
        if last.is_some_and(|(at, _)| now.duration_since(*at) < RATE_SAMPLE_PERIOD) {
            return None;
        }
        if self.samples.len() > RATE_SAMPLES {
            self.samples.pop_front();
        }
        let totals = totals();
        self.samples.push_back((now, totals));
        let (since, before) = self.samples.front()?;
        let took_ms = now.duration_since(*since).as_millis() as u64;
        let rate = |more: u64| more.saturating_mul(1_000_000).checked_div(took_ms);
        Some(std::array::from_fn(|at| {
            rate(totals[at] - before[at]).unwrap_or(0)
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Looks at a time in milliseconds; returns the rate of the first counter.
    fn look(rates: &mut Rates, start: Instant, at_ms: u64, total: u64) -> Option<u64> {
        let mut totals = [0; RATED];
        totals[0] = total;
        let now = start + Duration::from_millis(at_ms);
        rates.sample(now, || totals).map(|rates| rates[0])
    }

    #[test]
    fn the_rate_is_that_of_the_last_five_seconds() {
        let (mut rates, start) = (Rates::default(), Instant::now());
        assert_eq!(look(&mut rates, start, 0, 100), Some(0));
        // Too early.
        assert_eq!(look(&mut rates, start, 999, 200), None);
        assert_eq!(look(&mut rates, start, 1000, 200), Some(100_000));
        for second in 2..=5 {
            let rate = look(&mut rates, start, second * 1000, 200);
            assert_eq!(rate, Some(100_000 / second));
        }
        // The burst is over for longer than that.
        assert_eq!(look(&mut rates, start, 6000, 200), Some(0));
        assert!(rates.samples.len() <= RATE_SAMPLES + 1);
    }

    #[test]
    fn a_look_that_is_late_makes_no_burst() {
        let (mut rates, start) = (Rates::default(), Instant::now());
        assert_eq!(look(&mut rates, start, 0, 0), Some(0));
        assert_eq!(look(&mut rates, start, 4000, 8), Some(2000));
    }
}
