//! How long a turn goes on.

use std::time::Instant;

use crate::clock::Clock;
use crate::limits::{TURN_CLOCK_EVERY, TURN_REQUESTS_COSTLY, TURN_REQUESTS_MAX, TURN_TIME_MAX};

/// What a turn has used of the requests and the time that it may take.
pub(super) struct TurnBudget {
    clock: Clock,
    began: Instant,
    executed: usize,
    /// The last request was a CALL.
    has_called: bool,
}

impl TurnBudget {
    /// Of a first turn that begins at this time.
    pub(super) fn new(clock: Clock, now: Instant) -> Self {
        Self {
            clock,
            began: now,
            executed: 0,
            has_called: false,
        }
    }

    /// Another turn begins.
    pub(super) fn begin(&mut self, now: Instant) {
        *self = Self::new(self.clock, now);
    }

    /// When the turn began: the time of all that happens in it.
    #[inline]
    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// A request is executed.
    #[inline]
    pub(super) fn spend(&mut self, is_call: bool) {
        self.executed += 1;
        self.has_called = is_call;
    }

    /// Whether the turn has to end.
    #[inline]
    pub(super) fn is_spent(&self) -> bool {
        self.executed >= TURN_REQUESTS_MAX || (self.is_clock_due() && self.has_run_out())
    }

    /// Whether so few requests were executed that those of a full turn took long.
    pub(super) fn is_costly(&self) -> bool {
        self.executed < TURN_REQUESTS_COSTLY
    }

    fn has_run_out(&self) -> bool {
        self.clock.now().saturating_duration_since(self.began) >= TURN_TIME_MAX
    }

    /// The clock is looked at now and then, and after each procedure: those may take any time.
    #[inline]
    fn is_clock_due(&self) -> bool {
        self.has_called || self.executed % TURN_CLOCK_EVERY == TURN_CLOCK_EVERY - 1
    }
}
