//! Advisory locks: `vestibule.lock(name [, timeout])` and `vestibule.unlock(name)`, the first users of
//! reservations.
//!
//! ```text
//!   lock ─┬ free, or held by this connection ─▶ true
//!         └ held by another ─▶ waits, first come first served ─┬─ handed over ──▶ true
//!                                                              └─ time is over ─▶ false
//!   unlock, or the connection is gone, or a transition closes it ─▶ handed over to the next
//! ```
//!
//! They are Tx's alone and die with it, although connections stay: after a failure of Tx a lock is free, and
//! nobody tells who had it. What it guards has to bear that.
//!
//! A connection holds a lock once, however often it asked. Everybody waits for a limited time, so no
//! circle of waiters lasts.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use vestibule_wire::Error;
use vestibule_wire::msgpack::{Kind, Reader};

use crate::cells::claims::RequestId;
use crate::engine::{Completion, ReservationId, Ticket};
use crate::limits::{LOCK_NAME_SIZE_MAX, LOCK_WAIT_DEFAULT, LOCK_WAIT_MAX};
use crate::seconds::read_seconds;
use crate::tx::deadlines::{Deadlines, TimerId};
use crate::tx::reservations::Reservations;

/// What takes a lock.
pub(in crate::tx) const LOCK: &str = "vestibule.lock";
/// What gives it back.
pub(in crate::tx) const UNLOCK: &str = "vestibule.unlock";

/// A request of a worker: by it a lock is taken back whose request was given up on.
pub(in crate::tx) type Origin = (usize, RequestId);

/// Arguments of `vestibule.lock`.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::tx) struct Wanted<'a> {
    pub(in crate::tx) name: &'a str,
    pub(in crate::tx) timeout: Duration,
}

impl<'a> Wanted<'a> {
    /// # Errors
    ///
    /// 1 for anything but a name of a sensible size and seconds.
    pub(in crate::tx) fn read(procedure: &str, args: &'a [u8]) -> Result<Self, Error> {
        let usage = || Error::illegal_params(format!("Usage: {procedure}(name [, timeout])"));
        let mut reader = Reader::new(args);
        let count = reader.read_array_len().map_err(|_| usage())?;
        let name = reader.read_str().map_err(|_| usage())?;
        if !(1..=2).contains(&count) || name.len() > LOCK_NAME_SIZE_MAX {
            return Err(usage());
        }
        let timeout = match reader.peek() {
            _ if count == 1 => LOCK_WAIT_DEFAULT,
            Ok(Kind::Nil) => LOCK_WAIT_DEFAULT,
            _ => read_seconds(&mut reader, LOCK_WAIT_MAX).ok_or_else(usage)?,
        };
        Ok(Self { name, timeout })
    }
}

/// A request that waits for a lock.
struct LockWaiter {
    connection: u64,
    origin: Origin,
    completion: Completion,
    timer: TimerId,
}

struct Lock {
    reservation: ReservationId,
    origin: Origin,
    waiting: VecDeque<LockWaiter>,
}

/// The locks of one Tx.
#[derive(Default)]
pub(in crate::tx) struct Locks {
    locks: HashMap<Box<str>, Lock>,
    names: HashMap<ReservationId, Box<str>>,
    waiting: HashMap<Ticket, Box<str>>,
    granted: HashMap<Origin, ReservationId>,
}

/// A lock that has a new holder.
pub(in crate::tx) struct Granted {
    pub(in crate::tx) connection: u64,
    pub(in crate::tx) reservation: ReservationId,
    pub(in crate::tx) name: Box<str>,
    pub(in crate::tx) waiting: usize,
}

impl Locks {
    /// Who holds a lock.
    pub(in crate::tx) fn find(&self, name: &str) -> Option<ReservationId> {
        self.locks.get(name).map(|lock| lock.reservation)
    }

    /// Takes a lock that nobody holds.
    ///
    /// # Errors
    ///
    /// As [`Reservations::acquire`].
    pub(in crate::tx) fn take(
        &mut self,
        name: &str,
        connection: u64,
        origin: Origin,
        reservations: &mut Reservations,
    ) -> Result<Granted, Error> {
        let reservation = reservations.acquire(connection)?;
        let lock = Lock {
            reservation,
            origin,
            waiting: VecDeque::new(),
        };
        Ok(self.put(name.into(), lock, connection))
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
    pub(in crate::tx) fn wait(
        &mut self,
        name: &str,
        connection: u64,
        origin: Origin,
        completion: Completion,
        timer: TimerId,
    ) -> usize {
        let Some(lock) = self.locks.get_mut(name) else {
            return 0;
        };
        self.waiting.insert(completion.ticket(), name.into());
        lock.waiting.push_back(LockWaiter {
            connection,
            origin,
            completion,
            timer,
        });
        lock.waiting.len()
    }

    /// A lock's reservation is over: the next one that waits gets it. `None` if nobody does.
    pub(in crate::tx) fn hand_over(
        &mut self,
        closed: ReservationId,
        reservations: &mut Reservations,
        deadlines: &mut Deadlines,
    ) -> Option<Granted> {
        let name = self.names.remove(&closed)?;
        let mut lock = self.locks.remove(&name)?;
        self.granted.remove(&lock.origin);
        while let Some(next) = lock.waiting.pop_front() {
            self.waiting.remove(&next.completion.ticket());
            deadlines.clear(next.timer);
            // If its session has given up on it, that is told soon, and the lock goes on to the next.
            match reservations.acquire(next.connection) {
                Ok(reservation) => {
                    lock.reservation = reservation;
                    lock.origin = next.origin;
                    next.completion.complete(Ok(true));
                    return Some(self.put(name, lock, next.connection));
                }
                Err(error) => next.completion.complete::<bool>(Err(error)),
            }
        }
        None
    }

    /// Whether a reservation is a lock.
    pub(in crate::tx) fn is_lock(&self, reservation: ReservationId) -> bool {
        self.names.contains_key(&reservation)
    }

    /// The lock that a request was given whose client was told that it failed.
    pub(in crate::tx) fn granted_to(&self, origin: Origin) -> Option<ReservationId> {
        self.granted.get(&origin).copied()
    }

    /// A waiting request is not to wait any more: its completion, its lock's holder, and how many
    /// still wait.
    pub(in crate::tx) fn stop_waiting(
        &mut self,
        ticket: Ticket,
        deadlines: &mut Deadlines,
    ) -> Option<(Completion, ReservationId, usize)> {
        let name = self.waiting.remove(&ticket)?;
        let lock = self.locks.get_mut(&name)?;
        let is_own = |waiter: &LockWaiter| waiter.completion.ticket() == ticket;
        let at = lock.waiting.iter().position(is_own)?;
        let waiter = lock.waiting.remove(at)?;
        deadlines.clear(waiter.timer);
        Some((waiter.completion, lock.reservation, lock.waiting.len()))
    }

    /// Requests of a connection that wait.
    pub(in crate::tx) fn waiting_of(&self, connection: u64) -> Vec<Ticket> {
        let waiters = self.locks.values().flat_map(|lock| &lock.waiting);
        waiters
            .filter(|own| own.connection == connection)
            .map(|own| own.completion.ticket())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_asked_for_by_name_and_for_a_limited_time() {
        let read = |args: &[u8]| Wanted::read(LOCK, args).map(|own| own.timeout).ok();
        assert_eq!(read(&[0x91, 0xa1, b'a']), Some(LOCK_WAIT_DEFAULT));
        assert_eq!(read(&[0x92, 0xa1, b'a', 0xc0]), Some(LOCK_WAIT_DEFAULT));
        assert_eq!(read(&[0x92, 0xa1, b'a', 0]), Some(Duration::ZERO));
        let forever = [&[0x92, 0xa1, b'a', 0xcb][..], &1e300f64.to_be_bytes()].concat();
        assert_eq!(read(&forever), Some(LOCK_WAIT_MAX));
        let infinite = [&[0x92, 0xa1, b'a', 0xcb][..], &f64::INFINITY.to_be_bytes()].concat();
        assert_eq!(read(&infinite), None);
        assert_eq!(read(&[0x90]), None);
        assert_eq!(read(&[0x92, 0xa1, b'a', 0xff]), None);
        let mut long = vec![0x91, 0xda, 0x02, 0x00];
        long.resize(4 + 0x200, b'a');
        assert_eq!(read(&long), None);
    }
}
