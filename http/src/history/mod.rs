//! The last minutes, kept by the door, so that a page that is opened shows them at once.
//!
//! ```text
//!   counters, once a period ─▶ what they grew by ─▶ a sample ─▶ the last 300 of them
//! ```
//!
//! Pure: who looks at the runtime, and when, is no matter of this module.
//!
//! | file | what |
//! |---|---|
//! | `quantile` | times out of histograms |
//! | `sample` | a sample, and what it is made of |
//! | `mod` | the samples |

mod quantile;
mod sample;

use std::collections::VecDeque;

pub(crate) use sample::{Reading, Sample};

use crate::limits::SAMPLES_MAX;

/// The last samples, and what the next one is the difference to.
#[derive(Debug, Default)]
pub(crate) struct History {
    last: Option<Reading>,
    samples: VecDeque<Sample>,
}

impl History {
    /// Adds a reading. The first one makes no sample: nothing is known yet that it could have grown
    /// by.
    pub(crate) fn add(&mut self, reading: Reading) {
        if let Some(last) = &self.last
            && let Some(sample) = Sample::between(last, &reading)
        {
            if self.samples.len() == SAMPLES_MAX {
                self.samples.pop_front();
            }
            self.samples.push_back(sample);
        }
        self.last = Some(reading);
    }

    /// All of them, the oldest first.
    pub(crate) fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter()
    }

    /// The newest.
    pub(crate) fn newest(&self) -> Option<&Sample> {
        self.samples.back()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn the_last_are_kept_and_no_more() {
        let mut history = History::default();
        assert!(history.newest().is_none());
        let total = 2 * SAMPLES_MAX as u64;
        for second in 0..=total {
            let mut reading = Reading::at(Duration::from_secs(second), SystemTime::UNIX_EPOCH);
            // Grows by its own number in each second.
            reading.tx = second * (second + 1) / 2;
            history.add(reading);
        }
        let rates: Vec<_> = history.samples().map(|own| own.tx).collect();
        let first = total - SAMPLES_MAX as u64 + 1;
        let expected: Vec<_> = (first..=total).map(|second| second as f64).collect();
        assert_eq!(rates, expected);
        assert_eq!(history.newest().map(|own| own.tx), Some(total as f64));
    }
}
