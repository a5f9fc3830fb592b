//! Requests whose replies come later.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::reply_account::ReplyAccount;
use super::streams::StreamKey;
use super::tasks::TaskGuard;
use crate::cells::claims::RequestId;
use crate::engine::{CancelToken, Completion, Completions, ReservationId, Ticket};
use crate::messages::tx::{BatchEntry, RequestOrigin};
use crate::quotas::Charge;

/// A request whose reply comes later.
pub(super) struct Deferred {
    pub(super) worker: usize,
    pub(super) entry: BatchEntry,
    pub(super) connection: u64,
    /// A procedure, not the engine, will complete it.
    pub(super) is_call: bool,
    pub(super) wraps_results: bool,
    /// Reservations that it uses.
    pub(super) used: Vec<ReservationId>,
    /// Stops the async procedure that will, when it is dropped.
    pub(super) task: Option<TaskGuard>,
    /// When the turn began in which it was deferred.
    pub(super) begun: Instant,
    /// Of its connection.
    pub(super) replies: Rc<ReplyAccount>,
    /// Given back with it.
    pub(super) _charge: Charge,
}

impl Deferred {
    pub(super) fn key(&self) -> StreamKey {
        StreamKey {
            connection: self.connection,
            stream: self.entry.stream,
        }
    }

    pub(super) fn origin(&self) -> RequestOrigin {
        RequestOrigin {
            worker: self.worker,
            id: self.entry.id,
        }
    }
}

/// Numbers deferred requests, and makes the means to complete them.
pub(super) struct Tickets {
    last: u64,
    completions: Arc<dyn Completions>,
}

impl Tickets {
    pub(super) fn new(completions: Arc<dyn Completions>) -> Self {
        Self {
            last: 0,
            completions,
        }
    }

    pub(super) fn next(&mut self) -> Ticket {
        self.last += 1;
        Ticket(self.last)
    }

    pub(super) fn completion(&mut self, token: CancelToken) -> Completion {
        Completion::new(self.next(), token, self.completions.clone())
    }
}

/// The deferred requests of one Tx.
#[derive(Default)]
pub(super) struct DeferredRequests {
    requests: HashMap<Ticket, Deferred>,
    /// The same by worker and word.
    tickets: HashMap<(usize, u32), Ticket>,
}

impl DeferredRequests {
    pub(super) fn insert(&mut self, ticket: Ticket, deferred: Deferred) {
        let word = (deferred.worker, deferred.entry.id.index);
        self.tickets.insert(word, ticket);
        self.requests.insert(ticket, deferred);
    }

    /// Takes one out; `None` if it is over already.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Deferred> {
        let deferred = self.requests.remove(&ticket)?;
        let word = (deferred.worker, deferred.entry.id.index);
        // Cancelled, its word may have a new tenant that is deferred too.
        if self.tickets.get(&word) == Some(&ticket) {
            self.tickets.remove(&word);
        }
        Some(deferred)
    }

    /// The ticket of a request, if it is deferred.
    pub(super) fn find(&self, worker: usize, id: RequestId) -> Option<Ticket> {
        let ticket = *self.tickets.get(&(worker, id.index))?;
        let own = self.requests.get(&ticket)?;
        (own.entry.id == id).then_some(ticket)
    }

    /// What the engine will complete for a connection.
    pub(super) fn of_engine(&self, connection: u64) -> impl Iterator<Item = Ticket> {
        let is_own = move |own: &Deferred| own.connection == connection && !own.is_call;
        let own = self.requests.iter().filter(move |(_, own)| is_own(own));
        own.map(|(ticket, _)| *ticket)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.tickets.is_empty()
    }
}
