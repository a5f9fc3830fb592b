//! Requests of one connection that are in flight, counted for its bounds and for reads of its own
//! writes.

use crate::admission::Class;
use crate::limits::{CONNECTION_BYTES_MAX, RESERVE_REQUESTS_MAX};

/// Requests of one connection that are forwarded and not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InFlightCounts {
    /// All of them.
    pub(crate) all: usize,
    /// Bytes of their bodies.
    pub(crate) bytes: usize,
    /// Requests that write by themselves.
    pub(crate) writes: usize,
    /// Requests that call a procedure.
    pub(crate) calls: usize,
    /// Requests that wait for something else than Tx, and have no credit.
    pub(crate) waiting: usize,
    /// How many there may be.
    max: usize,
}

impl InFlightCounts {
    /// None, where there may be this number.
    pub(crate) fn up_to(max: usize) -> Self {
        Self {
            all: 0,
            bytes: 0,
            writes: 0,
            calls: 0,
            waiting: 0,
            max,
        }
    }

    /// One was forwarded.
    pub(crate) fn add(&mut self, class: Class, bytes: usize) {
        self.all += 1;
        self.bytes += bytes;
        if let Some(count) = self.of(class) {
            *count += 1;
        }
    }

    /// One was answered.
    pub(crate) fn remove(&mut self, class: Class, bytes: usize) {
        self.all -= 1;
        self.bytes -= bytes;
        if let Some(count) = self.of(class) {
            *count -= 1;
        }
    }

    /// The count of a class, if it has one of its own.
    #[inline]
    fn of(&mut self, class: Class) -> Option<&mut usize> {
        match class {
            Class::Write | Class::TemporaryWrite => Some(&mut self.writes),
            Class::Call => Some(&mut self.calls),
            Class::Local | Class::Finish | Class::Read | Class::Begin => None,
        }
    }

    /// One of them waits from now on.
    pub(crate) fn wait(&mut self) {
        self.waiting += 1;
    }

    /// One of those that waited was answered.
    pub(crate) fn end_wait(&mut self) {
        self.waiting -= 1;
    }

    /// Whether one more may be forwarded.
    pub(crate) fn has_credit(self) -> bool {
        self.all < self.max && self.bytes < CONNECTION_BYTES_MAX
    }

    /// Whether one more may be forwarded by a credit of the reserve.
    pub(crate) fn is_light(self) -> bool {
        self.all - self.waiting < RESERVE_REQUESTS_MAX
    }
}
