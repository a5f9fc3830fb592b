//! Whether a request may go over one more link, after those that have ended with it. Pure.
//!
//! ```text
//!   its link ends ─▶ the next one, at once ─ ends ─▶ a pause ─ ends ─▶ a longer pause ─▶ ...
//!                    until the time of a hold is over since the first of them,
//!                    or four of them have sent it: it may be what ends them
//!   requests go elsewhere ─▶ all of that begins again, up to eight times
//! ```
//!
//! Links end before the thread that decides where requests go knows that their upstream is lost,
//! and it may be late: how many are tried until then tells nothing of the request.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::schema::Incarnation;
use super::sweeping::SweepAt;
use crate::backoff::Backoff;
use crate::cells::claims::RequestId;
use crate::limits::{
    LINKS_LOST_PER_REQUEST_MAX, MOVES_PER_REQUEST_MAX, RECONNECT_WAIT_MAX, RECONNECT_WAIT_MIN,
};

/// Requests that are remembered, before it is looked for the first time which are over.
const SWEEP_LEN_MIN: usize = 64;

/// Why a request does not go on over the link that it was given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Returned {
    /// The link has ended, and had not sent it.
    Unsent,
    /// The link has ended, and had sent it.
    Sent,
    /// Requests go elsewhere.
    Moved,
}

/// What became of one request so far.
#[derive(Debug)]
struct Tried {
    /// Where requests go, since a link there ended with it.
    at: Option<Incarnation>,
    /// When that was first.
    since: Instant,
    /// Until when it is given to no other one there.
    until: Option<Instant>,
    backoff: Backoff,
    /// How many links ended that had sent it.
    lost: u8,
    /// How often requests came to go elsewhere.
    moves: u8,
}

/// What became of requests that have lost a link, of one worker.
#[derive(Debug)]
pub(crate) struct Tries {
    of: HashMap<RequestId, Tried>,
    hold: Duration,
    sweep_at: SweepAt,
}

impl Tried {
    fn new(now: Instant) -> Self {
        Self {
            at: None,
            since: now,
            until: None,
            backoff: Backoff::new(RECONNECT_WAIT_MIN, RECONNECT_WAIT_MAX),
            lost: 0,
            moves: 0,
        }
    }

    /// The request has come back from a link to this upstream.
    fn come_back(&mut self, from: Incarnation, why: Returned, now: Instant) {
        self.lost += u8::from(why == Returned::Sent);
        if why == Returned::Moved {
            self.moves += 1;
            self.at = None;
        } else if self.at == Some(from) && why == Returned::Unsent {
            self.until = Some(now + self.backoff.pause());
        } else {
            // One that was sent had a connection that came about: the time for those that do not
            // begins again.
            self.moves += u8::from(self.at.is_some_and(|at| at != from));
            self.at = Some(from);
            self.since = now;
            self.until = None;
            self.backoff.reset();
        }
    }

    fn may_go_on(&self, hold: Duration, now: Instant) -> bool {
        let waited = now.saturating_duration_since(self.since);
        let is_in_time = self.at.is_none() || waited < hold;
        is_in_time && self.lost < LINKS_LOST_PER_REQUEST_MAX && self.moves < MOVES_PER_REQUEST_MAX
    }
}

impl Tries {
    /// Nothing yet. Each has this time at one upstream, from the first link that it loses there.
    pub(crate) fn new(hold: Duration) -> Self {
        Self {
            of: HashMap::new(),
            hold,
            sweep_at: SweepAt::new(SWEEP_LEN_MIN),
        }
    }

    /// A request has come back from a link. Whether it may go over another one. `is_wanted` tells
    /// of one that came back before whether it has no answer yet: the others are forgotten now and
    /// then.
    pub(crate) fn may_go_on(
        &mut self,
        id: RequestId,
        (from, why): (Incarnation, Returned),
        now: Instant,
        is_wanted: impl Fn(RequestId) -> bool,
    ) -> bool {
        self.sweep_at.sweep(&mut self.of, |id, _| is_wanted(*id));
        let own = self.of.entry(id).or_insert_with(|| Tried::new(now));
        own.come_back(from, why, now);
        own.may_go_on(self.hold, now)
    }

    fn tried_at(&self, id: RequestId, target: Incarnation) -> Option<&Tried> {
        // As it is while no link has ended with something.
        if self.of.is_empty() {
            return None;
        }
        self.of.get(&id).filter(|own| own.at == Some(target))
    }

    /// Whether a request may be given to a link to this upstream now.
    pub(crate) fn may_try(&self, id: RequestId, target: Incarnation, now: Instant) -> bool {
        let until = self.tried_at(id, target).and_then(|own| own.until);
        until.is_none_or(|until| now >= until)
    }

    /// Since when a request is given to links to this upstream that end, if it is.
    pub(crate) fn since(&self, id: RequestId, target: Incarnation) -> Option<Instant> {
        self.tried_at(id, target).map(|own| own.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_secs(1);
    const A: Incarnation = Incarnation {
        upstream: 0,
        number: 1,
    };
    const B: Incarnation = Incarnation {
        upstream: 1,
        number: 1,
    };

    fn id(index: u32) -> RequestId {
        RequestId {
            index,
            generation: 1,
        }
    }

    /// How many links end with a request that asks for the next one as soon as it may, and when it
    /// is given up.
    fn lose_all(own: &mut Tries, from: Incarnation, why: Returned) -> (u32, Duration) {
        let begin = Instant::now();
        let (mut now, mut count) = (begin, 1);
        while own.may_go_on(id(0), (from, why), now, |_| true) {
            while !own.may_try(id(0), from, now) {
                now += Duration::from_millis(1);
            }
            count += 1;
        }
        (count, now - begin)
    }

    #[test]
    fn what_was_not_sent_has_the_time_of_a_hold_with_pauses_that_grow() {
        let mut own = Tries::new(HOLD);
        let (count, took) = lose_all(&mut own, A, Returned::Unsent);
        assert!(took >= HOLD, "{took:?}");
        // At once, then after 50, 100, 200, 400, 800 ms.
        assert_eq!(count, 7);
        assert!(own.may_try(id(0), B, Instant::now()), "elsewhere it may");
        let (count, took) = lose_all(&mut own, B, Returned::Unsent);
        assert!(took >= HOLD && count == 7, "and begins anew: {took:?}");
    }

    #[test]
    fn what_was_sent_is_given_up_as_what_may_end_its_links() {
        let mut own = Tries::new(Duration::from_secs(3600));
        let (count, _) = lose_all(&mut own, A, Returned::Sent);
        assert_eq!(count, u32::from(LINKS_LOST_PER_REQUEST_MAX));
    }

    #[test]
    fn what_a_link_has_sent_and_served_for_long_goes_over_another_one_when_that_ends() {
        let (mut own, mut now) = (Tries::new(HOLD), Instant::now());
        for _ in 1..LINKS_LOST_PER_REQUEST_MAX {
            assert!(own.may_go_on(id(0), (A, Returned::Sent), now, |_| true));
            assert!(own.may_try(id(0), A, now), "at once");
            now += 2 * HOLD;
        }
        assert!(!own.may_go_on(id(0), (A, Returned::Sent), now, |_| true));
    }

    #[test]
    fn it_does_not_go_to_and_fro_for_ever() {
        let (mut own, now) = (Tries::new(HOLD), Instant::now());
        let mut lose = |index, from, why| own.may_go_on(id(index), (from, why), now, |_| true);
        let moves = (0..100).take_while(|_| lose(0, A, Returned::Moved));
        assert_eq!(moves.count(), usize::from(MOVES_PER_REQUEST_MAX) - 1);
        let turns = (0..100).take_while(|at| lose(1, [A, B][at % 2], Returned::Unsent));
        assert_eq!(turns.count(), usize::from(MOVES_PER_REQUEST_MAX));
    }

    #[test]
    fn those_that_are_over_are_forgotten() {
        let (mut own, now) = (Tries::new(HOLD), Instant::now());
        for index in 0..1000 {
            let is_wanted = |id: RequestId| id.index < 3;
            assert!(own.may_go_on(id(index), (A, Returned::Unsent), now, is_wanted));
        }
        assert!(own.of.len() <= SWEEP_LEN_MIN);
        assert_eq!(own.since(id(2), A), Some(now));
        assert_eq!(own.since(id(2), B), None);
    }
}
