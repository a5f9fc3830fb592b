//! What the sessions of one worker share by `Rc`.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use super::buffers::Buffers;
use super::credits::{CreditQueue, Grant, reserve_for};
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
use crate::limits::{WORKER_ADMIN_RESERVE, WORKER_BYTES_MAX, WORKER_REQUESTS_MAX};
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
    /// Sessions that wait for a credit, first come first.
    pub(crate) credit_queue: CreditQueue,
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
            credit_queue: CreditQueue::default(),
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

    /// Requests that may still be forwarded without the reserve.
    pub(crate) fn free_credits(&self) -> usize {
        if self.in_flight.bytes() < WORKER_BYTES_MAX {
            WORKER_REQUESTS_MAX - self.in_flight.credits().shared
        } else {
            0
        }
    }

    /// Whether one more request may be forwarded by a session with this grant.
    pub(crate) fn has_credit(&self, grant: Grant) -> bool {
        self.credit_queue.may_take(grant, self.free_credits())
    }

    /// Whether there is room in the reserve, for guest or for a user who has logged in.
    pub(crate) fn has_reserve(&self, is_guest: bool) -> bool {
        self.in_flight.credits().reserve < reserve_for(is_guest)
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
