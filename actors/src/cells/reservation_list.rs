//! What operators see of reservations, while Tx is blocked too: Tx writes it down when one comes or
//! goes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

use crate::engine::ReservationId;
use crate::limits::SHOW_ROWS_MAX;
use crate::serialized::in_seconds;

/// What a reservation is. Displayed and serialized as its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReservationKind {
    /// An advisory lock: `lock`.
    Lock,
    /// Something of the engine's, as it called it in
    /// [`Reply::reserve`](crate::engine::Reply::reserve).
    Engine(&'static str),
}

impl ReservationKind {
    /// `lock`, or what the engine calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Engine(name) => name,
        }
    }
}

impl fmt::Display for ReservationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for ReservationKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What is told of one reservation.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) connection: u64,
    pub(crate) kind: ReservationKind,
    pub(crate) name: Box<str>,
    pub(crate) since: Instant,
    /// Requests that wait for it.
    pub(crate) waiting: usize,
}

/// A reservation, as `vestibule.show('reservations')` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ReservationInfo {
    /// The reservation's number, of those of this Tx.
    pub reservation: u64,
    /// The connection that holds it.
    pub connection: u64,
    /// What it is.
    pub kind: ReservationKind,
    /// The reservation's name.
    pub name: String,
    /// Requests that wait for it.
    pub waiting: usize,
    /// How long it has been held. Serialized in seconds.
    #[serde(serialize_with = "in_seconds")]
    pub age: Duration,
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

    pub(crate) fn rows(&self, now: Instant) -> Vec<ReservationInfo> {
        let row = |(id, own): (&ReservationId, &Listed)| ReservationInfo {
            reservation: id.0,
            connection: own.connection,
            kind: own.kind,
            name: own.name.to_string(),
            waiting: own.waiting,
            age: now.saturating_duration_since(own.since),
        };
        self.lock().iter().take(SHOW_ROWS_MAX).map(row).collect()
    }
}
