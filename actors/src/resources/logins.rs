//! What a session thread has told the log of logins.

use std::time::Instant;

use crate::throttle::{Repeats, Throttle};

/// Lines of the log about the logins of one worker's connections.
#[derive(Debug, Default)]
pub(crate) struct LoginLog {
    wrong: Throttle,
    undecided: Throttle,
}

impl LoginLog {
    /// A login was wrong. Returns the number of times since the last line of the log, if a line is
    /// due.
    pub(crate) fn count_wrong(&mut self, now: Instant) -> Option<Repeats> {
        self.wrong.note(now)
    }

    /// A login was not decided by whom it was to be. Returns as
    /// [`count_wrong`](Self::count_wrong) does.
    pub(crate) fn count_undecided(&mut self, now: Instant) -> Option<Repeats> {
        self.undecided.note(now)
    }
}
