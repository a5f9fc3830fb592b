//! How often something that happens again and again is told in the log: pure.

use std::fmt;
use std::time::Instant;

use crate::limits::WARNING_PERIOD;

/// One line in the log per [`WARNING_PERIOD`], with the number of times.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    last: Option<Instant>,
    count: u64,
}

/// How often something has happened since the last line: behind what it was, as people read it.
/// Once is not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Repeats(pub(crate) u64);

impl fmt::Display for Repeats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => Ok(()),
            count => write!(f, " ({count} times)"),
        }
    }
}

impl Throttle {
    /// Counts one time more; returns the number of times since the last line, if a line is due.
    pub(crate) fn note(&mut self, now: Instant) -> Option<Repeats> {
        self.count += 1;
        let is_recent = |last: Instant| now.saturating_duration_since(last) < WARNING_PERIOD;
        if self.last.is_some_and(is_recent) {
            return None;
        }
        self.last = Some(now);
        Some(Repeats(std::mem::take(&mut self.count)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_interval_tells_how_often() {
        let mut throttle = Throttle::default();
        let start = Instant::now();
        assert_eq!(throttle.note(start), Some(Repeats(1)));
        for _ in 0..9 {
            assert_eq!(throttle.note(start), None);
        }
        assert_eq!(throttle.note(start + WARNING_PERIOD), Some(Repeats(10)));
    }

    #[test]
    fn how_often_is_said_of_what_has_happened_more_than_once() {
        let told = |count| format!("it panicked{}: why", Repeats(count));
        assert_eq!(told(1), "it panicked: why");
        assert_eq!(told(10), "it panicked (10 times): why");
    }
}
