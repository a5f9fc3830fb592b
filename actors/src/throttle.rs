//! How often something that happens again and again is told in the log: pure.

use std::time::Instant;

use crate::limits::WARNING_PERIOD;

/// One line in the log per [`WARNING_PERIOD`], with the number of times.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    last: Option<Instant>,
    count: u64,
}

impl Throttle {
    /// Counts one time more; returns the number of times since the last line, if a line is due.
    pub(crate) fn note(&mut self, now: Instant) -> Option<u64> {
        self.count += 1;
        let is_recent = |last: Instant| now.saturating_duration_since(last) < WARNING_PERIOD;
        if self.last.is_some_and(is_recent) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_interval_tells_how_often() {
        let mut throttle = Throttle::default();
        let start = Instant::now();
        assert_eq!(throttle.note(start), Some(1));
        for _ in 0..9 {
            assert_eq!(throttle.note(start), None);
        }
        assert_eq!(throttle.note(start + WARNING_PERIOD), Some(10));
    }
}
