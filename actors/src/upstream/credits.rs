//! How much one upstream may have to do at a time for one worker: its part of what all may have.
//!
//! Tarantool reads nobody any more, probes included, when it has as many requests as its
//! `net_msg_max`. Calls are bounded apart, for they may sleep.
//!
//! The links of one worker share them. One that has none left for what waits in it is woken when
//! another one gives some back, and has its turn before that one takes more.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::task::Waker;

use super::sight::LinkCounters;
use crate::limits::{KEPT_BYTES_MAX, UPSTREAM_CALLS_MAX, UPSTREAM_REQUESTS_MAX};

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
    /// What is taken, for others to see.
    counters: Arc<LinkCounters>,
    max: u64,
    calls_max: u64,
    /// Bytes that are kept of what was sent, so that it can be sent again.
    kept: Cell<usize>,
    kept_max: usize,
    /// The links in which something waits for credits.
    waiting: RefCell<Vec<Waker>>,
}

impl Credits {
    /// The part of one of this number of workers: at least one of each kind. `keeps`: whether
    /// anything is ever sent again.
    pub(crate) fn of_one(workers: usize, keeps: bool, counters: Arc<LinkCounters>) -> Self {
        let part = |all: usize| (all / workers.max(1)).max(1);
        Self {
            counters,
            max: part(UPSTREAM_REQUESTS_MAX) as u64,
            calls_max: part(UPSTREAM_CALLS_MAX) as u64,
            kept: Cell::default(),
            kept_max: if keeps { part(KEPT_BYTES_MAX) } else { 0 },
            waiting: RefCell::default(),
        }
    }

    /// Whether one more of this kind may be sent.
    #[inline]
    pub(crate) fn has(&self, kind: Kind) -> bool {
        let (taken, calls) = (&self.counters.in_flight, &self.counters.calls);
        let has_any = taken.get() < self.max;
        has_any && (kind == Kind::Other || calls.get() < self.calls_max)
    }

    /// One more is sent.
    #[inline]
    pub(crate) fn take(&self, kind: Kind) {
        let LinkCounters {
            in_flight,
            calls,
            sent,
            ..
        } = &*self.counters;
        in_flight.add(1);
        sent.add(1);
        if kind == Kind::Call {
            calls.add(1);
        }
    }

    /// One that was sent is not owed any more: those who wait are woken.
    #[inline]
    pub(crate) fn give_back(&self, kind: Kind) {
        let LinkCounters {
            in_flight, calls, ..
        } = &*self.counters;
        in_flight.set(in_flight.get() - 1);
        if kind == Kind::Call {
            calls.set(calls.get() - 1);
        }
        if self.is_wanted() {
            self.waiting.take().into_iter().for_each(Waker::wake);
        }
    }

    /// Whether this number of bytes may be kept: they are, then.
    #[inline]
    pub(crate) fn keep(&self, bytes: usize) -> bool {
        let kept = self.kept.get() + bytes;
        let may = kept <= self.kept_max && self.kept_max > 0;
        if may {
            self.kept.set(kept);
        }
        may
    }

    /// This number is not kept any more.
    #[inline]
    pub(crate) fn let_go(&self, bytes: usize) {
        self.kept.set(self.kept.get() - bytes);
    }

    /// A link has none for what waits in it: it is woken, once, when some are given back.
    pub(crate) fn wait(&self, waker: &Waker) {
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|own| own.will_wake(waker)) {
            waiting.push(waker.clone());
        }
    }

    /// Whether some link waits.
    #[inline]
    pub(crate) fn is_wanted(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    fn of_one(workers: usize, keeps: bool) -> Credits {
        Credits::of_one(workers, keeps, Arc::default())
    }

    #[test]
    fn calls_leave_room_for_others_and_all_leave_room_for_probes() {
        let credits = of_one(2, true);
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
        let half = KEPT_BYTES_MAX / 2;
        assert!(
            credits.keep(half) && !credits.keep(1),
            "its part of the bytes"
        );
        credits.let_go(half);
        assert!(credits.keep(1) && !of_one(2, false).keep(0));
        credits.give_back(Kind::Other);
        assert!(credits.has(Kind::Other) && !credits.has(Kind::Call));
        credits.give_back(Kind::Call);
        assert!(credits.has(Kind::Call));
    }

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_waits_is_woken_once_by_what_is_given_back() {
        let credits = of_one(1, true);
        let links = [(); 2].map(|()| Arc::new(Woken::default()));
        let wakers = links.clone().map(Waker::from);
        credits.take(Kind::Call);
        credits.take(Kind::Other);
        assert!(!credits.is_wanted());
        wakers.iter().for_each(|own| credits.wait(own));
        credits.wait(&wakers[0]);
        assert!(credits.is_wanted());
        credits.give_back(Kind::Call);
        credits.give_back(Kind::Other);
        assert!(!credits.is_wanted());
        assert_eq!(links.map(|own| own.0.load(Ordering::Relaxed)), [1, 1]);
    }

    #[test]
    fn every_worker_has_a_part_however_many_there_are() {
        let credits = of_one(100_000, true);
        assert!(credits.has(Kind::Call) && credits.has(Kind::Other));
    }
}
