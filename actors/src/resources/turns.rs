//! The turns of a worker's sessions: each is bounded by time, and one whose turn was over before
//! its work was gets its next one when those that are ready have had theirs.
//!
//! ```text
//!   ready ─▶ turn ─┬ all is done ─▶ ready again when there is more
//!                  └ its time is over ─▶ end of the queue ─▶ front: granted a turn
//!                                              ▲                └┬ all is done
//!                                              └── time is over ─┘
//!   one is granted, then the reactor is asked, then the next: what came meanwhile goes first
//! ```
//!
//! Writing takes turns as well. A session whose turn took long, without being over, joins the queue
//! too if it is ready again soon: many of them would keep others waiting together.
//!
//! The clock is looked at when a number of requests has been answered, by the work that is in them,
//! and at the end of one turn in a few: of those it is known how long their requests took.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::cells::traffic::RequestPath;
use crate::clock::Clock;
use crate::limits::{
    SESSION_REST_TIMES, SESSION_TURN_LONG, SESSION_TURN_TIME_MAX, SESSION_TURN_WORK_PER_LOOK,
    TURN_TIMED_EVERY, VIEW_SELECT_WORK,
};
use crate::messages::SessionId;

/// How many requests were answered in a turn, by their paths.
pub(crate) type Answered = [u32; RequestPath::ALL.len()];

/// The turn at hand, and the sessions that wait for another one.
#[derive(Debug)]
pub(crate) struct Turns {
    clock: Clock,
    /// When the turn at hand began; none before that was asked.
    began: Option<Instant>,
    /// What was done since the last look at the clock.
    work: u32,
    /// The turn at hand did more than a few pings.
    is_heavy: bool,
    is_over: bool,
    /// How many turns there were, modulo 2³².
    turns: u32,
    /// The turn at hand is timed to its end, as one of [`TURN_TIMED_EVERY`] is.
    is_timed: bool,
    answered: Answered,
    /// Sessions whose turn was over before their work was, with what wakes them.
    late: VecDeque<(SessionId, Waker)>,
    granted: Option<SessionId>,
    /// Wakes who grants turns.
    granting: Option<Waker>,
}

impl Turns {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            began: None,
            work: 0,
            is_heavy: false,
            is_over: false,
            turns: 0,
            is_timed: false,
            answered: Answered::default(),
            late: VecDeque::new(),
            granted: None,
            granting: None,
        }
    }

    /// A session's turn begins.
    #[inline]
    pub(crate) fn begin(&mut self) {
        self.is_timed = self.turns.is_multiple_of(TURN_TIMED_EVERY);
        self.turns = self.turns.wrapping_add(1);
        self.began = None;
        self.work = 0;
        self.is_heavy = false;
        self.is_over = false;
    }

    /// The turn is under way at this time.
    #[inline]
    pub(crate) fn note(&mut self, now: Instant) {
        self.began.get_or_insert(now);
    }

    /// Something was done that takes about as long as this number of pings, of which there are
    /// [`SESSION_TURN_WORK_PER_LOOK`] between two looks at the clock.
    #[inline]
    pub(crate) fn spend(&mut self, work: u32) {
        self.work += work;
        self.is_heavy |= self.work >= VIEW_SELECT_WORK;
    }

    /// Whether the turn at hand is one of those that are timed.
    #[inline]
    pub(crate) fn is_timed(&self) -> bool {
        self.is_timed
    }

    /// A request was answered in this turn, which is timed, or refused.
    pub(crate) fn note_answered(&mut self, path: RequestPath) {
        self.answered[path as usize] += 1;
    }

    /// The turn at hand is at its end: how long it took, and how many requests were answered in it
    /// by their paths, if it is timed and there were any.
    #[inline]
    pub(crate) fn take_answered(&mut self) -> Option<(Duration, Answered)> {
        if !std::mem::take(&mut self.is_timed) {
            return None;
        }
        let answered = std::mem::take(&mut self.answered);
        let began = self.began.filter(|_| answered != Answered::default())?;
        Some((self.clock.now().saturating_duration_since(began), answered))
    }

    /// The turn at hand is at its end: until when its session lets others go first, if it took
    /// long, by what it has read and by what it has written.
    #[inline]
    pub(crate) fn rest(&mut self) -> Option<Instant> {
        if !std::mem::take(&mut self.is_heavy) {
            return None;
        }
        let now = self.clock.now();
        let took = now.saturating_duration_since(self.began.unwrap_or(now));
        (took >= SESSION_TURN_LONG).then(|| now + took * SESSION_REST_TIMES)
    }

    /// Whether the turn may go on.
    #[inline]
    pub(crate) fn has_time(&mut self) -> bool {
        if self.work >= SESSION_TURN_WORK_PER_LOOK {
            self.look();
        }
        !self.is_over
    }

    #[cold]
    fn look(&mut self) {
        self.work = 0;
        let now = self.clock.now();
        let began = *self.began.get_or_insert(now);
        // One that was ended before its time stays so.
        self.is_over |= now.saturating_duration_since(began) >= SESSION_TURN_TIME_MAX;
    }

    /// The turn is over: what is left is for the next one.
    pub(crate) fn end(&mut self) {
        self.is_over = true;
    }

    /// A session has more to do, and wants another turn.
    pub(crate) fn wait(&mut self, session: SessionId, waker: Waker) {
        self.late.push_back((session, waker));
        // Only if it waits for that: it may be waiting for the reactor.
        if let Some(granting) = self.granting.take() {
            granting.wake();
        }
    }

    /// Whether it is the turn of a session that waits for one.
    pub(crate) fn take_grant(&mut self, session: SessionId) -> bool {
        self.granted.take_if(|own| *own == session).is_some()
    }

    /// Grants the next session that waits its turn; returns what wakes it. None: nobody waits, and
    /// `granting` is woken when somebody does.
    pub(crate) fn grant(&mut self, granting: &Waker) -> Option<Waker> {
        let Some((session, waker)) = self.late.pop_front() else {
            self.granting = Some(granting.clone());
            return None;
        };
        self.granted = Some(session);
        Some(waker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn session(connection: u64) -> SessionId {
        SessionId {
            index: connection as u32,
            connection,
        }
    }

    #[test]
    fn a_turn_is_over_when_its_time_is_and_the_clock_is_looked_at_now_and_then() {
        // A clock on which this time passes between two looks.
        fn slow() -> Instant {
            std::thread_local! {
                static NOW: std::cell::Cell<Instant> = std::cell::Cell::new(Instant::now());
            }
            NOW.set(NOW.get() + SESSION_TURN_TIME_MAX / 4);
            NOW.get()
        }
        let mut turns = Turns::new(Clock::of(slow));
        for _ in 0..2 {
            turns.begin();
            turns.note(slow());
            let mut requests = 0;
            while turns.has_time() {
                turns.spend(1);
                requests += 1;
            }
            assert_eq!(requests, 4 * SESSION_TURN_WORK_PER_LOOK);
            assert!(!turns.has_time());
        }
    }

    #[test]
    fn a_turn_that_was_ended_is_over_whatever_was_done_in_it() {
        let mut turns = Turns::new(Clock::SYSTEM);
        for work in [0, VIEW_SELECT_WORK, SESSION_TURN_WORK_PER_LOOK] {
            turns.begin();
            turns.spend(work);
            turns.end();
            assert!(!turns.has_time() && !turns.has_time(), "{work}");
        }
        turns.begin();
        assert!(turns.has_time());
    }

    #[test]
    fn a_turn_that_took_long_is_followed_by_a_rest_and_a_few_pings_are_not_looked_at() {
        fn slow() -> Instant {
            std::thread_local! {
                static NOW: std::cell::Cell<Instant> = std::cell::Cell::new(Instant::now());
            }
            NOW.set(NOW.get() + SESSION_TURN_LONG);
            NOW.get()
        }
        let mut turns = Turns::new(Clock::of(slow));
        turns.begin();
        turns.note(slow());
        turns.spend(VIEW_SELECT_WORK - 1);
        assert_eq!(turns.rest(), None);
        turns.begin();
        let began = slow();
        turns.note(began);
        turns.spend(VIEW_SELECT_WORK);
        let ended = began + SESSION_TURN_LONG;
        assert_eq!(
            turns.rest(),
            Some(ended + SESSION_TURN_LONG * SESSION_REST_TIMES)
        );
    }

    #[test]
    fn one_turn_in_a_few_is_timed_and_tells_what_was_answered_in_it() {
        fn slow() -> Instant {
            std::thread_local! {
                static NOW: std::cell::Cell<Instant> = std::cell::Cell::new(Instant::now());
            }
            NOW.set(NOW.get() + Duration::from_millis(3));
            NOW.get()
        }
        let mut turns = Turns::new(Clock::of(slow));
        let mut told = Vec::new();
        for turn in 0..2 * TURN_TIMED_EVERY {
            turns.begin();
            turns.note(slow());
            if turns.is_timed() {
                turns.note_answered(RequestPath::Local);
                turns.note_answered(RequestPath::Local);
                turns.note_answered(RequestPath::View);
            }
            told.extend(turns.take_answered().map(|own| (turn, own)));
            assert!(turns.take_answered().is_none(), "it is told once");
        }
        let one = (Duration::from_millis(3), [0, 1, 2, 0]);
        assert_eq!(told, [(0, one), (TURN_TIMED_EVERY, one)]);
        // A turn in which nothing was answered says nothing, and needs no clock.
        turns.begin();
        assert!(turns.is_timed() && turns.take_answered().is_none());
    }

    #[test]
    fn those_who_wait_are_granted_a_turn_one_after_the_other() {
        let mut turns = Turns::new(Clock::SYSTEM);
        let waker = Waker::noop();
        assert!(turns.grant(waker).is_none());
        turns.wait(session(1), waker.clone());
        turns.wait(session(2), waker.clone());
        assert!(!turns.take_grant(session(1)), "not yet");
        assert!(turns.grant(waker).is_some());
        assert!(!turns.take_grant(session(2)));
        assert!(turns.take_grant(session(1)) && !turns.take_grant(session(1)));
        // One that has ended meanwhile keeps nobody.
        assert!(turns.grant(waker).is_some() && turns.grant(waker).is_none());
        turns.wait(session(3), waker.clone());
        assert!(turns.grant(waker).is_some());
        assert!(!turns.take_grant(session(2)) && turns.take_grant(session(3)));
    }
}
