//! How much one upstream may have to do at a time for one worker: its part of what all may have.
//!
//! Tarantool reads nobody any more, probes included, when it has as many requests as its
//! `net_msg_max`. Calls are bounded apart, for they may sleep.

use std::cell::Cell;

use crate::limits::{UPSTREAM_CALLS_MAX, UPSTREAM_REQUESTS_MAX};

/// What a request takes of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// CALL, EVAL or SQL, of which nobody knows how long it takes.
    Call,
    /// Anything else.
    Other,
}

/// The credits of one worker at one upstream, for all its links there.
#[derive(Debug)]
pub(crate) struct Credits {
    taken: Cell<usize>,
    calls_taken: Cell<usize>,
    max: usize,
    calls_max: usize,
}

impl Credits {
    /// The part of one of this number of workers: at least one of each kind.
    pub(crate) fn of_one(workers: usize) -> Self {
        let part = |all: usize| (all / workers.max(1)).max(1);
        Self {
            taken: Cell::default(),
            calls_taken: Cell::default(),
            max: part(UPSTREAM_REQUESTS_MAX),
            calls_max: part(UPSTREAM_CALLS_MAX),
        }
    }

    /// Whether one more of this kind may be sent.
    #[inline]
    pub(crate) fn has(&self, kind: Kind) -> bool {
        let has_any = self.taken.get() < self.max;
        has_any && (kind == Kind::Other || self.calls_taken.get() < self.calls_max)
    }

    /// One more is sent.
    #[inline]
    pub(crate) fn take(&self, kind: Kind) {
        self.taken.set(self.taken.get() + 1);
        if kind == Kind::Call {
            self.calls_taken.set(self.calls_taken.get() + 1);
        }
    }

    /// One that was sent is not owed any more.
    #[inline]
    pub(crate) fn give_back(&self, kind: Kind) {
        self.taken.set(self.taken.get() - 1);
        if kind == Kind::Call {
            self.calls_taken.set(self.calls_taken.get() - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_leave_room_for_others_and_all_leave_room_for_probes() {
        let credits = Credits::of_one(2);
        let take_all = |kind| {
            let mut count = 0;
            while credits.has(kind) {
                credits.take(kind);
                count += 1;
            }
            count
        };
        assert_eq!(take_all(Kind::Call), UPSTREAM_CALLS_MAX / 2);
        assert_eq!(
            take_all(Kind::Other),
            (UPSTREAM_REQUESTS_MAX - UPSTREAM_CALLS_MAX) / 2
        );
        credits.give_back(Kind::Other);
        assert!(credits.has(Kind::Other) && !credits.has(Kind::Call));
        credits.give_back(Kind::Call);
        assert!(credits.has(Kind::Call));
    }

    #[test]
    fn every_worker_has_a_part_however_many_there_are() {
        let credits = Credits::of_one(100_000);
        assert!(credits.has(Kind::Call) && credits.has(Kind::Other));
    }
}
