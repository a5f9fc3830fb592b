//! How long new links to an upstream are left alone after some did not come about, and what time
//! it is for all that ask for one in a turn.

use std::cell::Cell;
use std::time::Instant;

use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::limits::{RECONNECT_WAIT_MAX, RECONNECT_WAIT_MIN};

/// After links that did not come about, new ones are left for a while, each time longer.
#[derive(Debug, Clone)]
pub(super) struct Pause {
    /// In which run of their upstream.
    run: u64,
    until: Option<Instant>,
    backoff: Backoff,
}

/// The upstream that has refused what a client had set, on a new link, and how long that client is
/// without another one there.
#[derive(Debug, Default)]
pub(super) struct RefusedSetting {
    pub(super) upstream: usize,
    pub(super) pause: Pause,
}

/// What time it is in one turn of the links: it is read once, if anybody asks, and does not go on
/// between two requests.
pub(super) struct TurnTime {
    clock: Clock,
    read: Cell<Option<Instant>>,
}

impl TurnTime {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            read: Cell::new(None),
        }
    }

    pub(super) fn now(&self) -> Instant {
        let now = self.read.get().unwrap_or_else(|| self.clock.now());
        self.read.set(Some(now));
        now
    }
}

impl Default for Pause {
    fn default() -> Self {
        Self {
            run: 0,
            until: None,
            backoff: Backoff::new(RECONNECT_WAIT_MIN, RECONNECT_WAIT_MAX),
        }
    }
}

impl Pause {
    /// One did not come about.
    pub(super) fn fail(&mut self, run: u64, now: Instant) {
        if self.run != run {
            *self = Self::default();
            self.run = run;
        }
        self.until = Some(now + self.backoff.pause());
    }

    /// Whether new ones may be had.
    pub(super) fn is_over(&self, run: u64, now: Instant) -> bool {
        self.run != run || self.until.is_none_or(|until| now >= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_takes_longer_until_the_upstream_is_another_one() {
        let (mut own, now) = (Pause::default(), Instant::now());
        assert!(own.is_over(1, now));
        own.fail(1, now);
        own.fail(1, now);
        assert!(!own.is_over(1, now + RECONNECT_WAIT_MIN));
        assert!(own.is_over(1, now + 2 * RECONNECT_WAIT_MIN));
        assert!(own.is_over(2, now), "it has begun anew");
        own.fail(2, now);
        assert!(own.is_over(2, now + RECONNECT_WAIT_MIN));
    }
}
