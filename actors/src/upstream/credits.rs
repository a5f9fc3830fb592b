//! How much one upstream may have to do at a time for one worker: its part of what all may have.
//!
//! Tarantool reads nobody any more, probes included, when it has as many requests as its
//! `net_msg_max`. Calls are bounded apart, for they may sleep, and nobody may have all of them:
//!
//! ```text
//!   calls on their way │ any ──────────────▶│ of connections │ of users      │
//!                      │                    │ with few       │ with few      │
//!                      0                    └─ reserve ──────┴─ reserve ─────┘ max
//! ```
//!
//! The links of one worker share them. One that has none left for what waits in it is woken when
//! another one gives some back, and has its turn before that one takes more.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use super::sight::LinkCounters;
use crate::counting::counter::OwnCounter;
use crate::limits::{
    KEPT_BYTES_MAX, UPSTREAM_CALLS_CONNECTIONS_RESERVE, UPSTREAM_CALLS_DEFAULT, UPSTREAM_CALLS_FEW,
    UPSTREAM_CALLS_USERS_RESERVE, UPSTREAM_REQUESTS_DEFAULT, UPSTREAM_REQUESTS_MIN,
};

/// What a request takes of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// CALL, EVAL or SQL, of which nobody knows how long it takes.
    Call,
    /// Anything else.
    Other,
}

/// How much one upstream may have to do at a time, of all workers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestBounds {
    /// Requests.
    pub(crate) requests: usize,
    /// Of these, calls, EVAL and SQL.
    pub(crate) calls: usize,
}

impl Default for RequestBounds {
    fn default() -> Self {
        Self {
            requests: UPSTREAM_REQUESTS_DEFAULT,
            calls: UPSTREAM_CALLS_DEFAULT,
        }
    }
}

impl RequestBounds {
    /// Of calls, those that are kept for connections with few of them.
    pub(crate) fn reserve_of_connections(self) -> usize {
        UPSTREAM_CALLS_CONNECTIONS_RESERVE.min(self.calls / 8)
    }

    /// And those that are kept for users with few.
    pub(crate) fn reserve_of_users(self) -> usize {
        UPSTREAM_CALLS_USERS_RESERVE.min(self.calls / 8)
    }
}

/// The credits of one worker at one upstream, for all its links there.
#[derive(Debug)]
pub(crate) struct Credits {
    /// What is taken, for others to see.
    counters: Arc<LinkCounters>,
    max: u64,
    calls_max: u64,
    /// Up to which calls of connections with few of them may be sent.
    calls_of_connections_max: u64,
    /// Up to which calls of anybody may be.
    calls_of_any_max: u64,
    /// Bytes that are kept of what was sent, so that it can be sent again.
    kept: Cell<usize>,
    kept_max: usize,
    /// The links in which something waits for credits.
    waiting: RefCell<Vec<Waker>>,
}

impl Credits {
    /// The part of one of this number of workers: at least one call, and one more that is none,
    /// whatever of the calls sleeps. `keeps`: whether anything is ever sent again.
    pub(crate) fn of_one(
        bounds: RequestBounds,
        workers: usize,
        keeps: bool,
        counters: Arc<LinkCounters>,
    ) -> Self {
        let part = |all: usize| (all / workers.max(1)).max(1);
        let max = part(bounds.requests).max(UPSTREAM_REQUESTS_MIN);
        let calls_max = part(bounds.calls).min(max - 1);
        // Of very few, somebody may have all.
        let keep = |max: usize, reserve: usize| max.saturating_sub(part(reserve)).max(1);
        let calls_of_connections_max = keep(calls_max, bounds.reserve_of_users());
        Self {
            counters,
            max: max as u64,
            calls_max: calls_max as u64,
            calls_of_connections_max: calls_of_connections_max as u64,
            calls_of_any_max: keep(calls_of_connections_max, bounds.reserve_of_connections())
                as u64,
            kept: Cell::default(),
            kept_max: if keeps { part(KEPT_BYTES_MAX) } else { 0 },
            waiting: RefCell::default(),
        }
    }

    /// Whether one more may be sent that is no call.
    #[inline]
    fn has_any(&self) -> bool {
        self.counters.in_flight.get() < self.max
    }

    /// One more is sent.
    #[inline]
    fn take(&self, kind: Kind) {
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
    fn give_back(&self, kind: Kind) {
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

    /// In one link another number of requests waits than before, each with the bytes of all.
    pub(crate) fn count_waiting(&self, before: (usize, usize), now: (usize, usize)) {
        let LinkCounters {
            queued,
            queued_bytes,
            ..
        } = &*self.counters;
        let replaced = |all: &OwnCounter, before: usize, now: usize| {
            all.set(all.get() - before as u64 + now as u64);
        };
        replaced(queued, before.0, now.0);
        replaced(queued_bytes, before.1, now.1);
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

/// The credits of one worker at one upstream, as one user has them.
#[derive(Debug)]
pub(crate) struct UserCredits {
    all: Rc<Credits>,
    /// Calls of this user, of all links.
    calls_taken: Cell<usize>,
}

impl UserCredits {
    /// None is taken yet.
    pub(crate) fn of(all: Rc<Credits>) -> Self {
        Self {
            all,
            calls_taken: Cell::default(),
        }
    }

    /// What all users share.
    #[inline]
    pub(crate) fn all(&self) -> &Credits {
        &self.all
    }

    /// Whether one more may be sent that is no call.
    #[inline]
    pub(crate) fn has_any(&self) -> bool {
        self.all.has_any()
    }

    /// Whether one more call may be sent, of a connection that has this number on their way.
    pub(crate) fn may_call(&self, of_connection: usize) -> bool {
        let own = &self.all;
        let has_few = of_connection < UPSTREAM_CALLS_FEW;
        let max = if has_few && self.calls_taken.get() < UPSTREAM_CALLS_FEW {
            own.calls_max
        } else if has_few {
            own.calls_of_connections_max
        } else {
            own.calls_of_any_max
        };
        own.has_any() && own.counters.calls.get() < max
    }

    /// Whether one more of this kind may be sent; `of_connection` tells how many calls its
    /// connection has on their way.
    #[inline]
    pub(crate) fn has(&self, kind: Kind, of_connection: impl FnOnce() -> usize) -> bool {
        match kind {
            Kind::Other => self.has_any(),
            Kind::Call => self.may_call(of_connection()),
        }
    }

    /// One more is sent.
    #[inline]
    pub(crate) fn take(&self, kind: Kind) {
        self.all.take(kind);
        if kind == Kind::Call {
            self.calls_taken.set(self.calls_taken.get() + 1);
        }
    }

    /// One that was sent is not owed any more: those who wait are woken.
    #[inline]
    pub(crate) fn give_back(&self, kind: Kind) {
        if kind == Kind::Call {
            self.calls_taken.set(self.calls_taken.get() - 1);
        }
        self.all.give_back(kind);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    fn of_one(workers: usize, keeps: bool) -> Credits {
        Credits::of_one(RequestBounds::default(), workers, keeps, Arc::default())
    }

    #[test]
    fn where_an_upstream_may_have_little_to_do_nobody_has_all_of_it_either() {
        for (requests, calls, of_one, of_all) in [
            (64, 48, 36, 48),
            (16, 8, 6, 8),
            (2, 1, 1, 1),
            (8192, 8000, 7904, 8000),
        ] {
            let bounds = RequestBounds { requests, calls };
            let all = Rc::new(Credits::of_one(bounds, 1, true, Arc::default()));
            let own = of_user(&all);
            assert_eq!(
                take_all(&own, Kind::Call, UPSTREAM_CALLS_FEW),
                of_one,
                "{bounds:?}"
            );
            let others: Vec<_> = (0..calls).map(|_| of_user(&all)).collect();
            let taken = others.iter().map(|own| take_all(own, Kind::Call, 0));
            assert_eq!(of_one + taken.sum::<usize>(), of_all, "{bounds:?}");
            assert_eq!(
                take_all(&own, Kind::Other, 0),
                requests - calls,
                "{bounds:?}"
            );
        }
    }

    #[test]
    fn calls_of_one_worker_leave_room_for_others_there_however_little_its_part_is() {
        for (requests, calls, workers, expected) in [
            (2, 1, 2, (1, 1)),
            (3, 2, 2, (1, 1)),
            (5, 4, 2, (1, 1)),
            (7, 6, 2, (2, 1)),
            (8, 4, 2, (2, 2)),
            (512, 384, 1000, (1, 1)),
        ] {
            let bounds = RequestBounds { requests, calls };
            let all = Rc::new(Credits::of_one(bounds, workers, true, Arc::default()));
            let users: Vec<_> = (0..calls).map(|_| of_user(&all)).collect();
            let calls = users.iter().map(|own| take_all(own, Kind::Call, 0)).sum();
            let taken: (usize, usize) = (calls, take_all(&users[0], Kind::Other, 0));
            assert_eq!(taken, expected, "{bounds:?} of {workers}");
        }
    }

    #[test]
    fn calls_leave_room_for_others_and_all_leave_room_for_probes() {
        let credits = of_user(&Rc::new(of_one(2, true)));
        let take_all = |kind| take_all(&credits, kind, 0);
        let of_user_max = UPSTREAM_CALLS_DEFAULT - UPSTREAM_CALLS_USERS_RESERVE;
        assert_eq!(take_all(Kind::Call), of_user_max / 2);
        assert_eq!(
            take_all(Kind::Other),
            (UPSTREAM_REQUESTS_DEFAULT - of_user_max) / 2
        );
        let half = KEPT_BYTES_MAX / 2;
        assert!(
            credits.all().keep(half) && !credits.all().keep(1),
            "its part of the bytes"
        );
        credits.all().let_go(half);
        assert!(credits.all().keep(1) && !of_one(2, false).keep(0));
        credits.give_back(Kind::Other);
        assert!(credits.has_any() && !credits.may_call(0));
        credits.give_back(Kind::Call);
        assert!(credits.may_call(0));
    }

    fn of_user(all: &Rc<Credits>) -> UserCredits {
        UserCredits::of(all.clone())
    }

    /// Takes what may be taken, by connections with this number of calls on their way.
    fn take_all(credits: &UserCredits, kind: Kind, of_connection: usize) -> usize {
        let mut count = 0;
        while credits.has(kind, || of_connection) {
            credits.take(kind);
            count += 1;
        }
        count
    }

    #[test]
    fn neither_a_connection_nor_a_user_keeps_others_from_calling() {
        let all = Rc::new(of_one(1, true));
        let [greedy, busy, modest] = [(); 3].map(|()| of_user(&all));
        let of_connection = UPSTREAM_CALLS_DEFAULT
            - UPSTREAM_CALLS_USERS_RESERVE
            - UPSTREAM_CALLS_CONNECTIONS_RESERVE;
        let few = UPSTREAM_CALLS_FEW;
        assert_eq!(take_all(&greedy, Kind::Call, few), of_connection);
        assert_eq!(take_all(&busy, Kind::Call, few), 0);
        assert!(greedy.may_call(0), "another connection of it");
        let rest = UPSTREAM_CALLS_CONNECTIONS_RESERVE;
        assert_eq!(take_all(&greedy, Kind::Call, 0), rest);
        assert_eq!(take_all(&modest, Kind::Call, 0), few);
        // However many users there are with next to nothing, they get no more than there is.
        let others: Vec<_> = (0..100).map(|_| of_user(&all)).collect();
        let taken = others.iter().map(|own| take_all(own, Kind::Call, 0));
        assert_eq!(taken.sum::<usize>(), UPSTREAM_CALLS_USERS_RESERVE - few);
        assert!(modest.has_any(), "what is no call has room all the same");
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
        let own = of_user(&Rc::new(of_one(1, true)));
        let credits = own.all();
        let links = [(); 2].map(|()| Arc::new(Woken::default()));
        let wakers = links.clone().map(Waker::from);
        own.take(Kind::Call);
        own.take(Kind::Other);
        assert!(!credits.is_wanted());
        wakers.iter().for_each(|own| credits.wait(own));
        credits.wait(&wakers[0]);
        assert!(credits.is_wanted());
        own.give_back(Kind::Call);
        own.give_back(Kind::Other);
        assert!(!credits.is_wanted());
        assert_eq!(links.map(|own| own.0.load(Ordering::Relaxed)), [1, 1]);
    }

    #[test]
    fn every_worker_has_a_part_however_many_there_are() {
        let credits = of_user(&Rc::new(of_one(100_000, true)));
        assert!(credits.may_call(UPSTREAM_CALLS_FEW) && credits.has_any());
    }
}
