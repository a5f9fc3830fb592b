//! What the sessions of one worker share by `Rc`.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::buffers::Buffers;
use super::credits::{CreditQueue, Grant, PerPool, Pool, reserve_for};
use super::in_flight::InFlightTable;
use super::logins::LoginLog;
use super::looks::Looks;
use super::outgoing::Outgoing;
use super::paused::PausedReads;
use super::published::Published;
use super::turns::Turns;
use crate::cells::live::Follower;
use crate::clock::Clock;
use crate::config::Settings;
use crate::limits::WORKER_ADMIN_RESERVE;
use crate::memory::Memory;
use crate::messages::tx::Replies;
use crate::throttle::Throttle;
use crate::upstream::ReadSet;

/// What the log tells of procedures that sessions run, now and then.
#[derive(Debug, Default)]
pub(crate) struct LocalCallLog {
    pub(crate) long: Throttle,
    pub(crate) panics: Throttle,
}

/// Everything of a worker that changes with every request.
pub(crate) struct WorkerState {
    /// As of the turn at hand.
    pub(crate) settings: Follower<Settings>,
    /// Of a gateway: which replicas answer SELECTs.
    pub(crate) reads: Option<Follower<ReadSet>>,
    pub(crate) in_flight: InFlightTable,
    pub(crate) outgoing: Outgoing,
    /// Sessions that wait for a credit of each pool, first come first.
    pub(crate) credit_queues: PerPool<CreditQueue>,
    pub(crate) buffers: Buffers,
    pub(crate) published: Published,
    pub(crate) paused: PausedReads,
    pub(crate) looks: Looks,
    pub(crate) logins: LoginLog,
    /// How long the turn at hand may go on, and who waits for another one.
    pub(crate) turns: Turns,
    pub(crate) local_calls: LocalCallLog,
    /// Open transactions that may change data.
    open_writers: Rc<Cell<usize>>,
    /// Numbers of sessions that have ended: the worker forgets them at the end of the tick.
    ended: Vec<u32>,
    /// Name of the procedure that was called last: most calls repeat it.
    procedure: Option<Rc<str>>,
}

impl WorkerState {
    pub(crate) fn new(
        settings: Follower<Settings>,
        in_flight: InFlightTable,
        memory: Arc<Memory>,
        clock: Clock,
    ) -> Self {
        Self {
            settings,
            reads: None,
            in_flight,
            outgoing: Outgoing::default(),
            credit_queues: PerPool::default(),
            buffers: Buffers::new(memory),
            published: Published::default(),
            paused: PausedReads::default(),
            looks: Looks::default(),
            logins: LoginLog::default(),
            turns: Turns::new(clock),
            local_calls: LocalCallLog::default(),
            open_writers: Rc::default(),
            ended: Vec::new(),
            procedure: None,
        }
    }

    /// Keeps the buffers of an answer that is delivered.
    pub(crate) fn recycle(&mut self, replies: Box<Replies>) {
        let keep = |frame| self.buffers.give_back(frame);
        self.outgoing.recycle(replies, keep);
    }

    /// A shared copy of a procedure's name.
    pub(crate) fn intern(&mut self, name: &str) -> Rc<str> {
        match &self.procedure {
            Some(last) if **last == *name => last.clone(),
            _ => self.procedure.insert(name.into()).clone(),
        }
    }

    /// Requests of a pool that may still be forwarded without the reserve.
    #[inline]
    pub(crate) fn free_credits(&self, pool: Pool) -> usize {
        if self.in_flight.bytes(pool) < pool.bytes_max() {
            pool.requests_max() - self.in_flight.credits().shared[pool]
        } else {
            0
        }
    }

    /// Whether one more request of a pool may be forwarded by a session with this grant of it.
    #[inline]
    pub(crate) fn has_credit(&self, pool: Pool, grant: Grant) -> bool {
        self.credit_queues[pool].may_take(grant, self.free_credits(pool))
    }

    /// Whether sessions wait for a credit of some pool, and there is none.
    pub(crate) fn is_short(&self) -> bool {
        Pool::ALL.into_iter().any(|pool| self.is_short_of(pool))
    }

    fn is_short_of(&self, pool: Pool) -> bool {
        !self.credit_queues[pool].is_empty() && self.free_credits(pool) == 0
    }

    /// How many requests each connection has under way of the pools that are short.
    pub(crate) fn held_of_short(&self) -> HashMap<u64, usize> {
        let mut held = HashMap::new();
        for pool in Pool::ALL.into_iter().filter(|own| self.is_short_of(*own)) {
            let requests = self.in_flight.iter().map(|(_, request)| request);
            for request in requests.filter(|own| own.credit.pool() == pool) {
                *held.entry(request.session.connection).or_default() += 1;
            }
        }
        held
    }

    /// Whether there is room in a pool's reserve, for guest or for a user who has logged in.
    pub(crate) fn has_reserve(&self, pool: Pool, is_guest: bool) -> bool {
        self.in_flight.credits().reserve[pool] < reserve_for(is_guest)
    }

    /// Whether there is room in the reserve of administrators.
    pub(crate) fn has_admin_reserve(&self) -> bool {
        self.in_flight.credits().admin_reserve < WORKER_ADMIN_RESERVE
    }

    /// How many transactions are open that may change data.
    pub(crate) fn open_writers(&self) -> usize {
        self.open_writers.get()
    }

    /// The same count, for a session to keep.
    pub(crate) fn writer_count(&self) -> Rc<Cell<usize>> {
        self.open_writers.clone()
    }

    /// A session has ended.
    pub(crate) fn on_ended(&mut self, session: u32) {
        self.ended.push(session);
    }

    /// The sessions that have ended since this was asked last.
    pub(crate) fn drain_ended(&mut self) -> impl Iterator<Item = u32> {
        self.ended.drain(..)
    }
}
