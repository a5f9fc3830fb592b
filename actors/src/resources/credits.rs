//! A fair queue for the credits to forward requests. Sessions that find none wait, first come,
//! first served; what is freed is split equally among those that wait. Pure.
//!
//! ```text
//!   no credit ─▶ end of the queue ─▶ front: granted its share of what is free
//!                                                    ├▶ uses it up ─▶ end of the queue
//!                                                    └▶ needs less ─▶ the next
//! ```
//!
//! In a gateway calls, EVAL and SQL take from a pool of their own, and so does what a connection
//! sends behind them: an upstream takes few of them at a time, and nobody knows for how long. Each
//! pool has its queue, so none waits for what the other one is short of.
//!
//! Beside these credits there is a reserve for sessions with next to nothing in flight. A session
//! that comes when that is used up waits here like the others; the tick that finds room in the
//! reserve again takes it out.
//!
//! Invariant: what is promised is free.

use std::collections::VecDeque;
use std::ops::{Index, IndexMut};

use crate::limits::{
    RESERVE_BYTES_MAX, WORKER_BYTES_MAX, WORKER_CALLS_BYTES_MAX, WORKER_CALLS_MAX,
    WORKER_REQUESTS_MAX, WORKER_RESERVE, WORKER_USERS_RESERVE,
};

/// Which of a worker's credits a request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pool {
    /// For all that is not of the other one.
    Requests,
    /// In a gateway, those of calls, EVAL and SQL, and of what may have to wait behind them.
    Calls,
}

impl Pool {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Requests, Self::Calls];

    /// How many credits there are.
    pub(crate) const fn requests_max(self) -> usize {
        match self {
            Self::Requests => WORKER_REQUESTS_MAX,
            Self::Calls => WORKER_CALLS_MAX,
        }
    }

    /// At how many bytes there are none.
    pub(crate) const fn bytes_max(self) -> usize {
        match self {
            Self::Requests => WORKER_BYTES_MAX,
            Self::Calls => WORKER_CALLS_BYTES_MAX,
        }
    }
}

/// One of each pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PerPool<T>([T; 2]);

impl<T> Index<Pool> for PerPool<T> {
    type Output = T;

    #[inline]
    fn index(&self, pool: Pool) -> &T {
        &self.0[pool as usize]
    }
}

impl<T> IndexMut<Pool> for PerPool<T> {
    #[inline]
    fn index_mut(&mut self, pool: Pool) -> &mut T {
        &mut self.0[pool as usize]
    }
}

/// The credit that a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) pool: Pool,
    /// No call, but some of its connection are under way.
    pub(crate) is_behind_calls: bool,
    /// Small enough for a credit of the reserve.
    pub(crate) fits_reserve: bool,
}

impl Need {
    /// Of a request of this size, by whether it is a call for an upstream, and how many its
    /// connection has under way.
    #[inline]
    pub(crate) fn of(is_call: bool, calls_under_way: usize, bytes: usize) -> Self {
        let is_behind_calls = !is_call && calls_under_way > 0;
        Self {
            pool: match is_call || is_behind_calls {
                true => Pool::Calls,
                false => Pool::Requests,
            },
            is_behind_calls,
            fits_reserve: bytes <= RESERVE_BYTES_MAX,
        }
    }
}

/// The sessions of one worker that wait for a credit.
#[derive(Debug, Default)]
pub(crate) struct CreditQueue {
    queue: VecDeque<u32>,
    /// Credits that were granted and not taken yet.
    promised: usize,
    /// Sessions that were resumed and have not had their turn yet.
    resumed: usize,
}

/// What a session may take in its next turn, after a wait.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grant {
    left: usize,
    is_resumed: bool,
}

impl CreditQueue {
    /// Whether a session with this grant may take a credit, of `free` that there are.
    #[inline]
    pub(crate) fn may_take(&self, grant: Grant, free: usize) -> bool {
        // Who was not asked yet does not overtake those who wait.
        let has_no_rival = self.queue.is_empty() && self.resumed == 0;
        free > 0 && (grant.left > 0 || has_no_rival)
    }

    /// A session took a credit.
    #[inline]
    pub(crate) fn take(&mut self, grant: &mut Grant) {
        if grant.left > 0 {
            grant.left -= 1;
            self.promised -= 1;
        }
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Who waits, first come first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        self.queue.iter().copied()
    }

    /// A session has to wait.
    pub(crate) fn wait(&mut self, session: u32) {
        self.queue.push_back(session);
    }

    /// How many sessions may go on now, and the grant of each: equal, so that nobody gains by where
    /// in the list it stands.
    pub(crate) fn round(&self, free: usize) -> (usize, usize) {
        let left = free.saturating_sub(self.promised);
        let waiting = self.queue.len();
        if left == 0 || waiting == 0 {
            return (0, 0);
        }
        (waiting.min(left), (left / waiting).max(1))
    }

    /// The next session that may go on, and its grant of `credits`, to be given back at the end of
    /// its turn.
    pub(crate) fn resume(&mut self, credits: usize) -> Option<(u32, Grant)> {
        let session = self.queue.pop_front()?;
        self.promised += credits;
        self.resumed += 1;
        let grant = Grant {
            left: credits,
            is_resumed: true,
        };
        Some((session, grant))
    }

    /// Takes out the sessions that need not wait, in their order.
    pub(crate) fn take_out(&mut self, need_not: impl Fn(u32) -> bool) -> VecDeque<u32> {
        let (out, stay) = self.queue.drain(..).partition(|session| need_not(*session));
        self.queue = stay;
        out
    }

    /// A session has had its turn; true if others wait for what it did not take.
    #[inline]
    pub(crate) fn give_back(&mut self, grant: &mut Grant) -> bool {
        let Grant { left, is_resumed } = std::mem::take(grant);
        if is_resumed {
            self.resumed -= 1;
            self.promised -= left;
        }
        left > 0 && !self.queue.is_empty()
    }
}

/// How many of a pool's credits each of a worker's connections has if all have the same, by their
/// number.
pub(crate) fn credit_share(connections: usize) -> usize {
    // Requests outlive their connections: those may be gone while all credits are taken.
    WORKER_REQUESTS_MAX / connections.max(1)
}

/// How far the reserve may be used for a request of guest, or of a user who has logged in: the
/// last part of it is for those. So nobody who needs no password can take all there is.
pub(crate) fn reserve_for(is_guest: bool) -> usize {
    match is_guest {
        true => WORKER_RESERVE - WORKER_USERS_RESERVE,
        false => WORKER_RESERVE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_without_connections_shares_its_credits_too() {
        let told = [0, 1, 4].map(credit_share);
        assert_eq!(told, [1, 1, 4].map(|parts| WORKER_REQUESTS_MAX / parts));
    }

    #[test]
    fn calls_have_credits_of_their_own_and_so_has_what_comes_behind_them() {
        let need = |is_call, under_way| {
            let need = Need::of(is_call, under_way, RESERVE_BYTES_MAX);
            assert!(need.fits_reserve);
            (need.pool, need.is_behind_calls)
        };
        assert_eq!(need(false, 0), (Pool::Requests, false));
        assert_eq!(need(true, 0), (Pool::Calls, false));
        assert_eq!(need(true, 3), (Pool::Calls, false));
        assert_eq!(need(false, 1), (Pool::Calls, true));
        assert!(!Need::of(false, 0, RESERVE_BYTES_MAX + 1).fits_reserve);
    }

    const CREDITS: usize = 100;

    /// Sessions with endless work or little of it, and credits that come back in portions.
    struct World {
        list: CreditQueue,
        free: usize,
        wants: Vec<usize>,
        took: Vec<usize>,
        grants: Vec<Grant>,
        is_waiting: Vec<bool>,
    }

    impl World {
        fn new(wants: &[usize]) -> Self {
            Self {
                list: CreditQueue::default(),
                free: CREDITS,
                wants: wants.to_vec(),
                took: vec![0; wants.len()],
                grants: vec![Grant::default(); wants.len()],
                is_waiting: vec![false; wants.len()],
            }
        }

        /// One session's turn.
        fn run(&mut self, session: usize) {
            while self.wants[session] > 0 && !self.is_waiting[session] {
                if !self.list.may_take(self.grants[session], self.free) {
                    self.is_waiting[session] = true;
                    self.list.wait(session as u32);
                    break;
                }
                self.list.take(&mut self.grants[session]);
                self.free -= 1;
                self.wants[session] -= 1;
                self.took[session] += 1;
            }
            self.list.give_back(&mut self.grants[session]);
            assert!(self.list.promised <= self.free);
        }

        /// Replies arrive: credits are free again, and who waits is resumed.
        fn deliver(&mut self, replies: usize) {
            self.free = (self.free + replies).min(CREDITS);
            let mut resumed = Vec::new();
            let (count, credits) = self.list.round(self.free);
            for _ in 0..count {
                let (session, grant) = self.list.resume(credits).unwrap();
                let session = session as usize;
                self.is_waiting[session] = false;
                self.grants[session] = grant;
                resumed.push(session);
            }
            for session in resumed {
                self.run(session);
            }
        }
    }

    #[test]
    fn the_greedy_get_equal_shares_and_who_wants_little_gets_it() {
        let mut world = World::new(&[usize::MAX, usize::MAX, usize::MAX, 10]);
        for session in 0..4 {
            world.run(session);
        }
        assert_eq!(world.took, [CREDITS, 0, 0, 0]);
        for round in 0..1000 {
            world.deliver(1 + round % 40);
        }
        assert_eq!(world.wants[3], 0);
        let greedy = &world.took[..3];
        let (min, max) = (greedy.iter().min().unwrap(), greedy.iter().max().unwrap());
        assert!(max - min <= CREDITS + 40, "{greedy:?}");
        assert!(*min > 5000);
    }

    #[test]
    fn who_comes_later_does_not_overtake() {
        let mut world = World::new(&[usize::MAX, 1, 1]);
        world.run(0);
        world.run(1);
        // A credit is free, and promised to nobody yet: it is not for who comes just now.
        world.free += 1;
        world.run(2);
        assert_eq!(world.took[2], 0);
        world.deliver(0);
        assert_eq!(world.took[0], CREDITS + 1, "the first in the list");
        world.deliver(2);
        assert_eq!(world.took[1..], [1, 1]);
    }

    #[test]
    fn what_is_given_back_is_there_for_the_next() {
        let mut list = CreditQueue::default();
        list.wait(7);
        list.wait(8);
        assert_eq!(list.round(11), (2, 5));
        let (session, mut grant) = list.resume(5).unwrap();
        assert_eq!(session, 7);
        list.take(&mut grant);
        assert!(list.give_back(&mut grant), "another one waits");
        assert_eq!(list.round(10), (1, 10));
        assert_eq!(list.resume(10).map(|(session, _)| session), Some(8));
        assert_eq!(list.round(10), (0, 0));
    }

    #[test]
    fn who_is_taken_out_does_not_change_the_order_of_the_others() {
        let mut list = CreditQueue::default();
        (0..6).for_each(|session| list.wait(session));
        assert_eq!(list.take_out(|session| session % 2 == 0), [0, 2, 4]);
        let next = |list: &mut CreditQueue| list.resume(1).map(|(session, _)| session);
        assert_eq!([next(&mut list), next(&mut list)], [Some(1), Some(3)]);
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_promised_that_is_not_free_and_all_work_gets_done(
            wants in proptest::collection::vec(0usize..300, 1..6),
            steps in proptest::collection::vec((0usize..6, 0usize..50), 0..100),
        ) {
            let mut world = World::new(&wants);
            for (session, replies) in steps {
                if session < wants.len() {
                    world.run(session);
                }
                world.deliver(replies);
            }
            for session in 0..wants.len() {
                world.run(session);
            }
            for _ in 0..10_000 {
                world.deliver(1);
            }
            assert_eq!(world.took, wants);
        }
    }
}
