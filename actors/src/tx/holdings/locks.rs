//! Advisory locks: who holds them, and who waits for them.
//!
//! ```text
//!   lock ─┬ free, or held by this connection ─▶ true
//!         └ held by another ─▶ waits, first come first served ─┬─ handed over ──▶ true
//!                                                              └─ time is over ─▶ false
//!   unlock, or the connection is gone, or a transition closes it ─▶ handed over to the next
//! ```
//!
//! They are Tx's alone and die with it, although connections stay: after a failure of Tx a lock is
//! free, and nobody tells who had it. What it guards has to bear that.
//!
//! A connection holds a lock once, however often it asked. Everybody waits for a limited time, so
//! no circle of waiters lasts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use vestibule_wire::Error;

use super::reservations::Reservations;
use crate::engine::{Caller, Completion, ReservationId, Ticket};
use crate::messages::tx::RequestOrigin;
use crate::tx::deadlines::{Deadlines, TimerId};

/// A request that waits for a lock.
struct LockWaiter {
    caller: Arc<Caller>,
    origin: RequestOrigin,
    completion: Completion,
    timer: TimerId,
}

struct Lock {
    reservation: ReservationId,
    origin: RequestOrigin,
    /// In the order of their tickets, which is that in which they came.
    waiting: BTreeMap<Ticket, LockWaiter>,
}

/// The locks of one Tx.
#[derive(Default)]
pub(super) struct Locks {
    locks: HashMap<Box<str>, Lock>,
    names: HashMap<ReservationId, Box<str>>,
    waiting: HashMap<Ticket, Box<str>>,
    /// The same by connection.
    waiters: BTreeSet<(u64, Ticket)>,
    granted: HashMap<RequestOrigin, ReservationId>,
}

/// A lock that has a new holder.
pub(super) struct Granted {
    pub(super) connection: u64,
    pub(super) reservation: ReservationId,
    pub(super) name: Box<str>,
    pub(super) waiting: usize,
}

impl Locks {
    /// Who holds a lock.
    pub(super) fn find(&self, name: &str) -> Option<ReservationId> {
        self.locks.get(name).map(|lock| lock.reservation)
    }

    /// Takes a lock that nobody holds.
    ///
    /// # Errors
    ///
    /// As [`Reservations::acquire`].
    pub(super) fn take(
        &mut self,
        name: &str,
        caller: &Arc<Caller>,
        origin: RequestOrigin,
        reservations: &mut Reservations,
    ) -> Result<Granted, Error> {
        let reservation = reservations.acquire(caller)?;
        let lock = Lock {
            reservation,
            origin,
            waiting: BTreeMap::new(),
        };
        Ok(self.put(name.into(), lock, caller.connection))
    }

    fn put(&mut self, name: Box<str>, lock: Lock, connection: u64) -> Granted {
        let (reservation, waiting) = (lock.reservation, lock.waiting.len());
        self.names.insert(reservation, name.clone());
        self.granted.insert(lock.origin, reservation);
        self.locks.insert(name.clone(), lock);
        Granted {
            connection,
            reservation,
            name,
            waiting,
        }
    }

    /// Has a request wait for a lock that is held; returns how many wait for it now.
    pub(super) fn wait(
        &mut self,
        name: &str,
        caller: &Arc<Caller>,
        origin: RequestOrigin,
        completion: Completion,
        timer: TimerId,
    ) -> usize {
        let Some(lock) = self.locks.get_mut(name) else {
            return 0;
        };
        let ticket = completion.ticket();
        self.waiting.insert(ticket, name.into());
        self.waiters.insert((caller.connection, ticket));
        let waiter = LockWaiter {
            caller: caller.clone(),
            origin,
            completion,
            timer,
        };
        lock.waiting.insert(ticket, waiter);
        lock.waiting.len()
    }

    /// A lock's reservation is over: the next one that waits gets it. `None` if nobody does.
    pub(super) fn hand_over(
        &mut self,
        closed: ReservationId,
        reservations: &mut Reservations,
        waits: &mut Deadlines<Ticket>,
    ) -> Option<Granted> {
        let name = self.names.remove(&closed)?;
        let mut lock = self.locks.remove(&name)?;
        self.granted.remove(&lock.origin);
        while let Some((ticket, next)) = lock.waiting.pop_first() {
            self.waiting.remove(&ticket);
            self.waiters.remove(&(next.caller.connection, ticket));
            waits.clear(next.timer);
            // If its session has cancelled it, that is told soon, and the lock goes on to the next.
            match reservations.acquire(&next.caller) {
                Ok(reservation) => {
                    lock.reservation = reservation;
                    lock.origin = next.origin;
                    next.completion.complete(Ok(true));
                    return Some(self.put(name, lock, next.caller.connection));
                }
                Err(error) => next.completion.complete::<bool>(Err(error)),
            }
        }
        None
    }

    /// Whether a reservation is a lock.
    pub(super) fn is_lock(&self, reservation: ReservationId) -> bool {
        self.names.contains_key(&reservation)
    }

    /// The lock that a request was given whose client was told that it failed.
    pub(super) fn granted_to(&self, origin: RequestOrigin) -> Option<ReservationId> {
        self.granted.get(&origin).copied()
    }

    /// A waiting request is not to wait any more: its completion, its lock's holder, and how many
    /// still wait.
    pub(super) fn stop_waiting(
        &mut self,
        ticket: Ticket,
        waits: &mut Deadlines<Ticket>,
    ) -> Option<(Completion, ReservationId, usize)> {
        let name = self.waiting.remove(&ticket)?;
        let lock = self.locks.get_mut(&name)?;
        let waiter = lock.waiting.remove(&ticket)?;
        self.waiters.remove(&(waiter.caller.connection, ticket));
        waits.clear(waiter.timer);
        Some((waiter.completion, lock.reservation, lock.waiting.len()))
    }

    /// Requests of a connection that wait.
    pub(super) fn waiting_of(&self, connection: u64) -> Vec<Ticket> {
        let first = (connection, Ticket(0));
        let own = self.waiters.range(first..=(connection, Ticket(u64::MAX)));
        own.map(|(_, ticket)| *ticket).collect()
    }
}
