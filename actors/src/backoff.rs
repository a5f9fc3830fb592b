//! How long is waited before something that has failed is tried again: pure.

use std::time::Duration;

/// Pauses that are twice as long each time, between two bounds.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    last: Duration,
}

impl Backoff {
    /// Pauses of `min` to `max`, which is no less.
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        let last = Duration::ZERO;
        Self { min, max, last }
    }

    /// Returns the next pause, as it has failed (again).
    pub(crate) fn pause(&mut self) -> Duration {
        self.last = (self.last * 2).clamp(self.min, self.max);
        self.last
    }

    /// Begins again with no pause, after success.
    pub(crate) fn reset(&mut self) {
        self.last = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{ACCEPT_PAUSE_MAX, ACCEPT_PAUSE_MIN};

    #[test]
    fn pauses_grow_up_to_a_bound_and_begin_again_after_success() {
        let mut backoff = Backoff::new(ACCEPT_PAUSE_MIN, ACCEPT_PAUSE_MAX);
        let pauses: Vec<_> = (0..20).map(|_| backoff.pause()).collect();
        assert_eq!(pauses[0], ACCEPT_PAUSE_MIN);
        assert_eq!(pauses[1], ACCEPT_PAUSE_MIN * 2);
        assert_eq!(pauses[19], ACCEPT_PAUSE_MAX);
        assert!(pauses.is_sorted());
        backoff.reset();
        assert_eq!(backoff.pause(), ACCEPT_PAUSE_MIN);
    }
}
