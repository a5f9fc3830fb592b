//! What operators see of reservations, while Tx is blocked too: Tx writes it down when one comes or
//! goes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;

use crate::engine::ReservationId;
use crate::limits::SHOW_ROWS_MAX;

/// What is told of one reservation.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) connection: u64,
    pub(crate) kind: &'static str,
    pub(crate) name: Box<str>,
    pub(crate) since: Instant,
    /// Requests that wait for it.
    pub(crate) waiting: usize,
}

/// One row of `vestibule.show('reservations')`.
#[derive(Debug, Serialize)]
pub(crate) struct ReservationRow {
    reservation: u64,
    connection: u64,
    kind: &'static str,
    name: String,
    waiting: usize,
    /// Seconds since it was acquired.
    age: f64,
}

/// The reservations of one runtime.
#[derive(Debug, Default)]
pub(crate) struct ReservationList(Mutex<BTreeMap<ReservationId, Listed>>);

impl ReservationList {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ReservationId, Listed>> {
        // Every change is one step of the map, so a panic leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put(&self, id: ReservationId, listed: Listed) {
        self.lock().insert(id, listed);
    }

    pub(crate) fn remove(&self, id: ReservationId) {
        self.lock().remove(&id);
    }

    pub(crate) fn set_waiting(&self, id: ReservationId, waiting: usize) {
        if let Some(listed) = self.lock().get_mut(&id) {
            listed.waiting = waiting;
        }
    }

    /// A new Tx begins with none.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    pub(crate) fn rows(&self, now: Instant) -> Vec<ReservationRow> {
        let row = |(id, own): (&ReservationId, &Listed)| ReservationRow {
            reservation: id.0,
            connection: own.connection,
            kind: own.kind,
            name: own.name.to_string(),
            waiting: own.waiting,
            age: now.saturating_duration_since(own.since).as_secs_f64(),
        };
        self.lock().iter().take(SHOW_ROWS_MAX).map(row).collect()
    }
}
