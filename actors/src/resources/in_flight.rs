//! The requests that one worker has forwarded and not yet answered.
//!
//! ```text
//!   insert ─▶ on its way ─┬─ finish ─────────────▶ its reply is here
//!                         ├─ expire, cancel ─────▶ answered without Tx: taken back if Tx has not
//!                         │                        begun it, else abandoned (its reply is dropped)
//!                         ├─ revoke_queued ──────▶ all that Tx has not begun, at a change of state
//!                         └─ cancel_started ─────▶ all that Tx has begun, when it is lost
//! ```
//!
//! O(1) per request and no allocation once it has grown: slots are reused, newest first, so that
//! their words share cache lines; deadlines are kept in lists through the slots.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use slab::Slab;
use vestibule_wire::keys::RequestType;

use crate::admission::Class;
use crate::cells::claims::{Claims, RequestId, RequestPhase};
use crate::limits::{WORKER_REQUESTS_MAX, WORKER_RESERVE};
use crate::messages::SessionId;
use crate::resources::transactions::OpenTransaction;
use crate::timeouts::Limit;
use crate::timers::Timers;

/// A request on its way.
#[derive(Debug, Clone)]
pub(crate) struct InFlightRequest {
    /// Where it came from.
    pub(crate) session: SessionId,
    pub(crate) sync: u64,
    pub(crate) stream: u64,
    pub(crate) request_type: RequestType,
    pub(crate) class: Class,
    /// What is called, for CALL.
    pub(crate) procedure: Option<Rc<str>>,
    /// Bytes of its body, for the credit.
    pub(crate) bytes: usize,
    /// The request may change data, or is a part of a transaction that may: a demotion waits for
    /// it.
    pub(crate) is_writer: bool,
    /// To be undone if the request did not happen.
    pub(crate) effect: Effect,
    /// When it arrived, as of the read that brought it.
    pub(crate) since: Instant,
    /// Whose time its deadline is, if it has one.
    pub(crate) limit: Limit,
    /// The request's credit is the reserve's.
    pub(crate) is_reserved: bool,
    /// A transition waits for it: it was told to.
    pub(crate) is_waited_for: bool,
}

impl InFlightRequest {
    /// The transaction that it ends, if it ends one.
    pub(crate) fn ended(&self) -> Option<&OpenTransaction> {
        match &self.effect {
            Effect::Closed(own) => Some(own),
            _ => None,
        }
    }
}

/// A request that was answered without Tx.
#[derive(Debug)]
pub(crate) struct Cancelled {
    pub(crate) id: RequestId,
    pub(crate) request: InFlightRequest,
    /// True if Tx had started it, so its outcome is unknown. False: it will never run.
    pub(crate) was_started: bool,
}

/// What forwarding a request changed in its session's list of open transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// BEGIN put its stream on the list.
    Opened,
    /// COMMIT or ROLLBACK took this transaction off the list.
    Closed(OpenTransaction),
}

/// The table of requests on their way.
#[derive(Debug)]
pub(crate) struct InFlightTable {
    claims: Arc<Claims>,
    /// By the index of their claim words. The slot that was freed last is taken first.
    requests: Slab<(RequestId, InFlightRequest)>,
    bytes: usize,
    reserved: usize,
    writers: usize,
    timers: Timers,
}

impl InFlightTable {
    /// `claims` must have room for [`WORKER_REQUESTS_MAX`] requests and [`WORKER_RESERVE`] more.
    pub(crate) fn new(claims: Arc<Claims>, now: Instant) -> Self {
        Self {
            claims,
            requests: Slab::new(),
            bytes: 0,
            reserved: 0,
            writers: 0,
            timers: Timers::new(now),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Bytes of everything on its way.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many on their way may change data.
    pub(crate) fn writers(&self) -> usize {
        self.writers
    }

    /// How many have the reserve's credits.
    pub(crate) fn reserved(&self) -> usize {
        self.reserved
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= WORKER_REQUESTS_MAX + WORKER_RESERVE
    }

    /// Queues a request for Tx; `None` if the table is full.
    pub(crate) fn insert(
        &mut self,
        request: InFlightRequest,
        deadline: Option<Instant>,
    ) -> Option<RequestId> {
        if self.is_full() {
            return None;
        }
        let slot = self.requests.vacant_entry();
        let id = self.claims.queue(slot.key() as u32);
        self.bytes += request.bytes;
        self.reserved += usize::from(request.is_reserved);
        self.writers += usize::from(request.is_writer);
        if let Some(deadline) = deadline {
            self.timers.set(id.index, deadline);
        }
        slot.insert((id, request));
        Some(id)
    }

    /// Whether a request is on its way still.
    pub(crate) fn has(&self, id: RequestId) -> bool {
        let slot = self.requests.get(id.index as usize);
        slot.is_some_and(|(own, _)| *own == id)
    }

    fn remove(&mut self, id: RequestId) -> Option<InFlightRequest> {
        if !self.has(id) {
            return None;
        }
        let (_, request) = self.requests.remove(id.index as usize);
        self.timers.clear(id.index);
        self.bytes -= request.bytes;
        self.reserved -= usize::from(request.is_reserved);
        self.writers -= usize::from(request.is_writer);
        Some(request)
    }

    /// Takes out a request because its reply is here; `None` if it was cancelled before.
    pub(crate) fn finish(&mut self, id: RequestId) -> Option<InFlightRequest> {
        let request = self.remove(id)?;
        self.claims.free(id);
        Some(request)
    }

    /// Takes back what Tx has not begun, of the requests that are wanted back.
    pub(crate) fn revoke_queued(
        &mut self,
        wanted: impl Fn(&InFlightRequest) -> bool,
    ) -> Vec<InFlightRequest> {
        let claims = self.claims.clone();
        self.take_where(|id, request| wanted(request) && claims.revoke(id))
    }

    /// Cancels what Tx has begun, of the requests that are wanted: a late reply will find nothing.
    pub(crate) fn cancel_started(
        &mut self,
        wanted: impl Fn(&InFlightRequest) -> bool,
    ) -> Vec<Cancelled> {
        let claims = &self.claims;
        let is_meant =
            |(id, own): &(RequestId, &InFlightRequest)| wanted(own) && claims.is_started(*id);
        let ids = self.iter().filter(is_meant).map(|(id, _)| id).collect();
        self.cancel_all(ids)
    }

    /// Cancels the requests that are over their deadline.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Cancelled> {
        let due = self.timers.expire(now);
        let id = |index: u32| self.requests.get(index as usize).map(|(id, _)| *id);
        let due: Vec<_> = due.into_iter().filter_map(id).collect();
        self.cancel_all(due)
    }

    /// When [`expire`](Self::expire) is worth calling; `None`: not until something else happens.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        self.timers.next_look()
    }

    /// Cancels the requests that are named.
    pub(crate) fn cancel(&mut self, is_named: impl Fn(&InFlightRequest) -> bool) -> Vec<Cancelled> {
        let named = self.iter().filter(|(_, request)| is_named(request));
        let ids = named.map(|(id, _)| id).collect();
        self.cancel_all(ids)
    }

    fn cancel_all(&mut self, ids: Vec<RequestId>) -> Vec<Cancelled> {
        let mut cancelled = Vec::with_capacity(ids.len());
        for id in ids {
            let was_started = !self.claims.revoke(id);
            if was_started {
                self.claims.free(id);
            }
            cancelled.extend(self.remove(id).map(|request| Cancelled {
                id,
                request,
                was_started,
            }));
        }
        cancelled.sort_by_key(|own| own.request.since);
        cancelled
    }

    fn take_where(
        &mut self,
        mut wanted: impl FnMut(RequestId, &InFlightRequest) -> bool,
    ) -> Vec<InFlightRequest> {
        let ids: Vec<_> = self
            .iter()
            .filter(|(id, request)| wanted(*id, request))
            .map(|(id, _)| id)
            .collect();
        let mut taken: Vec<_> = ids.into_iter().filter_map(|id| self.remove(id)).collect();
        taken.sort_by_key(|request| request.since);
        taken
    }

    /// How far a request has come.
    pub(crate) fn phase(&self, id: RequestId) -> RequestPhase {
        // What is in the table was not answered, so it has a phase.
        self.claims.phase(id).unwrap_or(RequestPhase::Started)
    }

    /// A transition waits for what is its concern: a stop for all, a demotion for what may change
    /// data.
    pub(crate) fn wait_for(&mut self, is_stop: bool) {
        for (_, (_, request)) in &mut self.requests {
            request.is_waited_for = is_stop || request.is_writer;
            if let Effect::Closed(own) = &mut request.effect {
                own.is_waited_for = own.is_concerned(is_stop);
            }
        }
    }

    /// Everything on its way, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (RequestId, &InFlightRequest)> {
        self.requests
            .iter()
            .map(|(_, (id, request))| (*id, request))
    }
}

#[cfg(test)]
mod tests;
