//! What a run has counted.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use vestibule_wire::ErrorCode;

/// One minute in nanoseconds; what takes longer is recorded as this.
const LATENCY_MAX: u64 = 60_000_000_000;

/// Counts while it is on.
pub(crate) struct Meter {
    on: bool,
    latency: Histogram<u64>,
    /// Replies of the same read are often to requests of the same write and so equally old:
    /// they are recorded together.
    equal: (u64, u64),
    answered: u64,
    reply_bytes: u64,
    errors: BTreeMap<ErrorCode, ErrorCount>,
    /// Requests that came to nothing without a reply that says so.
    lost: u64,
}

/// How often an error was answered, and what the first one said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ErrorCount {
    pub(crate) count: u64,
    pub(crate) text: String,
}

/// The figures of a run.
pub(crate) struct Figures {
    /// Answered requests per second, errors not included.
    pub(crate) rate: f64,
    pub(crate) answered: u64,
    pub(crate) mean_reply_bytes: f64,
    pub(crate) latency_us: Latency,
    pub(crate) errors: BTreeMap<ErrorCode, ErrorCount>,
    /// Requests that came to nothing without a reply that says so.
    pub(crate) lost: u64,
}

impl Figures {
    /// Requests that were not served.
    pub(crate) fn error_count(&self) -> u64 {
        self.lost + self.errors.values().map(|error| error.count).sum::<u64>()
    }
}

/// In microseconds.
pub(crate) struct Latency {
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl Meter {
    pub(crate) fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, LATENCY_MAX, 3)
            .expect("the bounds are constants that the histogram accepts");
        Meter {
            on: false,
            latency,
            equal: (0, 0),
            answered: 0,
            reply_bytes: 0,
            errors: BTreeMap::new(),
            lost: 0,
        }
    }

    /// One that is on, with what was measured elsewhere.
    pub(crate) fn of(times: &[Duration]) -> Self {
        let mut meter = Self::new();
        meter.start();
        meter.served_elsewhere(times);
        meter
    }

    pub(crate) fn start(&mut self) {
        self.on = true;
    }

    /// A request was served after this many nanoseconds by a reply of this size.
    #[inline]
    pub(crate) fn served(&mut self, nanoseconds: u64, size: usize) {
        if !self.on {
            return;
        }
        self.answered += 1;
        self.reply_bytes += size as u64;
        if nanoseconds == self.equal.0 {
            self.equal.1 += 1;
        } else {
            self.record_equal();
            self.equal = (nanoseconds, 1);
        }
    }

    /// A request was refused.
    #[cold]
    pub(crate) fn refused(&mut self, code: ErrorCode, text: impl FnOnce() -> String) {
        if self.on {
            self.errors
                .entry(code)
                .or_insert_with(|| ErrorCount {
                    count: 0,
                    text: text(),
                })
                .count += 1;
        }
    }

    /// Counts what was measured elsewhere.
    pub(crate) fn served_elsewhere(&mut self, times: &[Duration]) {
        for time in times {
            self.served(time.as_nanos() as u64, 0);
        }
    }

    /// Some requests came to nothing.
    pub(crate) fn lost(&mut self, count: u64) {
        self.lost += count;
    }

    fn record_equal(&mut self) {
        let (nanoseconds, count) = self.equal;
        self.latency
            .saturating_record_n(nanoseconds.clamp(1, LATENCY_MAX), count);
    }

    /// The figures over the time that the meter was on.
    pub(crate) fn finish(mut self, elapsed: Duration) -> Figures {
        self.record_equal();
        let at = |quantile| self.latency.value_at_quantile(quantile) as f64 / 1000.0;
        let max = if self.answered == 0 {
            0.0
        } else {
            self.latency.max() as f64 / 1000.0
        };
        Figures {
            rate: if elapsed.is_zero() {
                0.0
            } else {
                self.answered as f64 / elapsed.as_secs_f64()
            },
            answered: self.answered,
            mean_reply_bytes: self.reply_bytes as f64 / self.answered.max(1) as f64,
            latency_us: Latency {
                mean: self.latency.mean() / 1000.0,
                p50: at(0.5),
                p99: at(0.99),
                p999: at(0.999),
                max,
            },
            errors: self.errors,
            lost: self.lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_only_while_on() {
        let mut meter = Meter::new();
        meter.served(5_000, 33);
        meter.start();
        for _ in 0..99 {
            meter.served(10_000, 33);
        }
        meter.served(90_000, 33);
        meter.refused(ErrorCode::NO_SUCH_SPACE, || "loading".to_owned());
        meter.refused(ErrorCode::NO_SUCH_SPACE, || {
            unreachable!("only the first text is kept")
        });
        let figures = meter.finish(Duration::from_secs(2));
        assert_eq!(figures.rate, 50.0);
        assert_eq!(figures.mean_reply_bytes, 33.0);
        assert!((figures.latency_us.p50 - 10.0).abs() < 0.1);
        assert!((figures.latency_us.max - 90.0).abs() < 0.1);
        assert_eq!(
            figures.errors[&ErrorCode::NO_SUCH_SPACE],
            ErrorCount {
                count: 2,
                text: "loading".to_owned()
            }
        );
    }

    #[test]
    fn nothing_answered_is_no_division_by_zero() {
        let figures = Meter::new().finish(Duration::from_secs(1));
        assert_eq!((figures.rate, figures.latency_us.max), (0.0, 0.0));
    }
}
