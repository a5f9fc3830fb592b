//! What a request may do with reservations while Tx executes it.

use std::cell::RefCell;
use std::fmt;
use std::time::Instant;

use vestibule_wire::Error;

use super::Reservations;
use crate::cells::reservation_list::{Listed, ReservationList};
use crate::engine::ReservationId;

/// The reservations of the connection that asks.
#[derive(Clone, Copy)]
pub(crate) struct Holder<'a> {
    pub(crate) reservations: &'a RefCell<Reservations>,
    pub(crate) list: &'a ReservationList,
    pub(crate) connection: u64,
    /// When the turn began.
    pub(crate) now: Instant,
}

impl fmt::Debug for Holder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holder")
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

impl Holder<'_> {
    pub(crate) fn reserve(self, kind: &'static str, name: &str) -> Result<ReservationId, Error> {
        let mut reservations = self.reservations.borrow_mut();
        let id = reservations.acquire(self.connection)?;
        reservations.take(id, self.connection)?;
        let listed = Listed {
            connection: self.connection,
            kind,
            name: name.into(),
            since: self.now,
            waiting: 0,
        };
        self.list.put(id, listed);
        Ok(id)
    }

    pub(crate) fn take(self, id: ReservationId) -> Result<(), Error> {
        self.reservations.borrow_mut().take(id, self.connection)
    }

    pub(crate) fn release(self, id: ReservationId) -> bool {
        let mut reservations = self.reservations.borrow_mut();
        let is_own = reservations.holder(id) == Some(self.connection);
        let is_released = is_own && reservations.remove(id);
        if is_released {
            self.list.remove(id);
        }
        is_released
    }
}
