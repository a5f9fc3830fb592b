//! The requests that one worker has forwarded and not yet answered.
//!
//! ```text
//!   insert ─▶ on its way ─┬─ finish ─────────────▶ its reply is here
//!                         ├─ expire, cancel ─────▶ answered without Tx: taken back if Tx has not
//!                         │                        begun it, else abandoned (its reply is dropped)
//!                         ├─ revoke_queued ──────▶ all that Tx has not begun, at a change of state
//!                         └─ cancel_started ─────▶ all that Tx has begun, when it is lost
//!   on its way ── wait ─▶ Tx keeps it until something else happens: it needs no credit meanwhile
//! ```
//!
//! O(1) per request and no allocation once it has grown: slots are reused, newest first, so that
//! their words share cache lines; deadlines are kept in lists through the slots.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use slab::Slab;
use vestibule_wire::groups::Group;
use vestibule_wire::keys::RequestType;

use crate::admission::Class;
use crate::cells::claims::{Claims, RequestId, RequestPhase};
use crate::messages::SessionId;
use crate::resources::credits::{PerPool, Pool};
use crate::resources::transactions::OpenTransaction;
use crate::timeouts::Limit;
use crate::timers::Timers;

/// A request on its way: plain bytes, which cost no more to put in and take out than they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InFlightRequest {
    /// Where it came from.
    pub(crate) session: SessionId,
    pub(crate) sync: u64,
    pub(crate) stream: u64,
    pub(crate) request_type: RequestType,
    pub(crate) class: Class,
    /// The table knows what is called: see [`InFlightTable::procedure`].
    pub(crate) is_named: bool,
    /// Bytes of its body, for the credit.
    pub(crate) bytes: usize,
    /// The request may change data, or is a part of a transaction that may: a demotion waits for
    /// it.
    pub(crate) is_writer: bool,
    /// BEGIN of the transaction that it is a part of, or begins, but does not end.
    pub(crate) begin: Option<RequestId>,
    /// To be undone if the request did not happen.
    pub(crate) effect: Effect,
    /// When it arrived, as of the read that brought it.
    pub(crate) since: Instant,
    /// Whose time its deadline is, if it has one.
    pub(crate) limit: Limit,
    /// By whose credit it is on its way.
    pub(crate) credit: Credit,
    /// A transition waits for it: it was told to.
    pub(crate) is_waited_for: bool,
    /// A replica may answer it.
    pub(crate) is_replica_read: bool,
    /// Once it is done, its client has a session upstream of its own, and no replica answers it.
    pub(crate) is_setting: bool,
}

impl InFlightRequest {
    /// The group whose turn it is when its reply is sent.
    pub(crate) fn group(&self) -> Group {
        self.class.group(self.stream)
    }

    /// The transaction that it ends, if it ends one.
    pub(crate) fn ended(&self) -> Option<&OpenTransaction> {
        match &self.effect {
            Effect::Closed(own) => Some(own),
            _ => None,
        }
    }
}

impl Cancelled {
    /// BEGIN of its transaction, which it may be itself.
    pub(crate) fn begin(&self) -> Option<RequestId> {
        match self.request.effect {
            Effect::None => self.request.begin,
            Effect::Opened => Some(self.id),
            Effect::Closed(own) => own.begin,
        }
    }
}

/// By whose credit a request is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credit {
    /// One of those that all connections of the worker share.
    Shared(Pool),
    /// One of those for connections with next to nothing on their way.
    Reserve(Pool),
    /// One of those for administrators.
    AdminReserve,
    /// None: the request waits for something else than Tx, which bounds such requests by itself.
    Returned,
}

impl Credit {
    /// Of which pool it is.
    #[inline]
    pub(crate) fn pool(self) -> Pool {
        match self {
            Self::Shared(pool) | Self::Reserve(pool) => pool,
            Self::AdminReserve | Self::Returned => Pool::Requests,
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
    /// By the same numbers, what is called, for CALL.
    procedures: Vec<Option<Rc<str>>>,
    bytes: PerPool<usize>,
    credits: CreditsTaken,
    writers: usize,
    timers: Timers,
    /// The deadlines, and whose they are, that requests have again when they do not wait as long as
    /// they may: of those whose limit is [`Limit::Wait`], by their numbers.
    before_wait: HashMap<u32, (Option<Instant>, Limit)>,
    /// How many were taken back that nobody had begun.
    taken_back: u64,
}

/// How many credits of each kind are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CreditsTaken {
    pub(crate) shared: PerPool<usize>,
    pub(crate) reserve: PerPool<usize>,
    pub(crate) admin_reserve: usize,
    /// How many requests wait without one.
    pub(crate) returned: usize,
}

impl CreditsTaken {
    fn of(&mut self, credit: Credit) -> &mut usize {
        match credit {
            Credit::Shared(pool) => &mut self.shared[pool],
            Credit::Reserve(pool) => &mut self.reserve[pool],
            Credit::AdminReserve => &mut self.admin_reserve,
            Credit::Returned => &mut self.returned,
        }
    }
}

impl InFlightTable {
    /// With room for as many requests as there are words in `claims`.
    pub(crate) fn new(claims: Arc<Claims>, now: Instant) -> Self {
        Self {
            claims,
            requests: Slab::new(),
            procedures: Vec::new(),
            bytes: PerPool::default(),
            credits: CreditsTaken::default(),
            writers: 0,
            timers: Timers::new(now),
            before_wait: HashMap::new(),
            taken_back: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Bytes of everything on its way that has a credit of this pool.
    #[inline]
    pub(crate) fn bytes(&self, pool: Pool) -> usize {
        self.bytes[pool]
    }

    /// How many on their way may change data.
    pub(crate) fn writers(&self) -> usize {
        self.writers
    }

    /// By which credits.
    #[inline]
    pub(crate) fn credits(&self) -> CreditsTaken {
        self.credits
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.claims.capacity()
    }

    /// Queues a request for Tx; `None` if the table is full.
    #[inline]
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
        self.bytes[request.credit.pool()] += request.bytes;
        *self.credits.of(request.credit) += 1;
        self.writers += usize::from(request.is_writer);
        if let Some(deadline) = deadline {
            self.timers.set(id.index, deadline);
        }
        slot.insert((id, request));
        Some(id)
    }

    /// A request is the BEGIN that it is named after.
    pub(crate) fn set_begin(&mut self, id: RequestId) {
        if let Some((_, request)) = self.requests.get_mut(id.index as usize) {
            request.begin = Some(id);
        }
    }

    /// This is what a request calls.
    pub(crate) fn set_procedure(&mut self, id: RequestId, procedure: Rc<str>) {
        let at = id.index as usize;
        if let Some((_, request)) = self.requests.get_mut(at) {
            request.is_named = true;
            if self.procedures.len() <= at {
                self.procedures.resize(at + 1, None);
            }
            self.procedures[at] = Some(procedure);
        }
    }

    /// What a request calls, for CALL; and what stands for it in a request that an upstream alone
    /// knows.
    pub(crate) fn procedure(&self, id: RequestId) -> Option<&str> {
        self.get(id).filter(|own| own.is_named)?;
        self.procedures.get(id.index as usize)?.as_deref()
    }

    /// Whether a request is on its way still.
    pub(crate) fn has(&self, id: RequestId) -> bool {
        let slot = self.requests.get(id.index as usize);
        slot.is_some_and(|(own, _)| *own == id)
    }

    /// A request that is on its way still.
    pub(crate) fn get(&self, id: RequestId) -> Option<&InFlightRequest> {
        let slot = self.requests.get(id.index as usize);
        slot.filter(|(own, _)| *own == id)
            .map(|(_, request)| request)
    }

    fn remove(&mut self, id: RequestId) -> Option<InFlightRequest> {
        self.leave(id)?;
        let (_, request) = self.requests.remove(id.index as usize);
        Some(request)
    }

    /// A request is about to be taken out, if it is on its way still: it counts no more, and has no
    /// deadline.
    #[inline]
    fn leave(&mut self, id: RequestId) -> Option<()> {
        let slot = self.requests.get(id.index as usize);
        let (_, request) = slot.filter(|(own, _)| *own == id)?;
        self.timers.clear(id.index);
        if request.limit == Limit::Wait {
            self.before_wait.remove(&id.index);
        }
        *self.credits.of(request.credit) -= 1;
        if request.credit != Credit::Returned {
            self.bytes[request.credit.pool()] -= request.bytes;
        }
        self.writers -= usize::from(request.is_writer);
        if request.is_named {
            self.procedures[id.index as usize] = None;
        }
        Some(())
    }

    /// A request waits for something else than Tx, until `deadline` at the latest, or with `None`
    /// until its own: its credit is free. Returns where it came from; `None` if that was told
    /// before, or if it was cancelled.
    pub(crate) fn wait(&mut self, id: RequestId, deadline: Option<Instant>) -> Option<SessionId> {
        let slot = self.requests.get_mut(id.index as usize);
        let (_, request) = slot.filter(|(own, _)| *own == id)?;
        let before = (self.timers.deadline(id.index), request.limit);
        if let Some(deadline) = deadline {
            if self.timers.shorten(id.index, deadline) {
                self.before_wait.entry(id.index).or_insert(before);
                request.limit = Limit::Wait;
            }
        } else if let Some((own, limit)) = self.before_wait.remove(&id.index) {
            self.timers.clear(id.index);
            if let Some(own) = own {
                self.timers.set(id.index, own);
            }
            request.limit = limit;
        }
        if request.credit == Credit::Returned {
            return None;
        }
        *self.credits.of(request.credit) -= 1;
        self.credits.returned += 1;
        self.bytes[request.credit.pool()] -= request.bytes;
        request.credit = Credit::Returned;
        Some(request.session)
    }

    /// What Tx has not begun.
    pub(crate) fn queued(&self) -> impl Iterator<Item = &InFlightRequest> {
        let is_queued = |(id, _): &(RequestId, _)| self.phase(*id) == RequestPhase::Queued;
        self.iter().filter(is_queued).map(|(_, request)| request)
    }

    /// Takes out a request because its reply is here, which `answer` hands on; `None` if it was
    /// cancelled before. The request is shown where it stands: most are done with that, and it is
    /// large.
    #[inline]
    pub(crate) fn finish<T>(
        &mut self,
        id: RequestId,
        answer: impl FnOnce(&InFlightRequest) -> T,
    ) -> Option<T> {
        let answered = answer(self.get(id)?);
        self.leave(id)?;
        self.requests.remove(id.index as usize);
        self.claims.free(id);
        Some(answered)
    }

    /// Takes back what Tx has not begun, of the requests that are wanted back.
    pub(crate) fn revoke_queued(
        &mut self,
        wanted: impl Fn(&InFlightRequest) -> bool,
    ) -> Vec<InFlightRequest> {
        let claims = self.claims.clone();
        let taken = self.take_where(|id, request| wanted(request) && claims.revoke(id));
        self.taken_back += taken.len() as u64;
        taken
    }

    /// How many were taken back since the start: what they waited in has them still.
    pub(crate) fn taken_back(&self) -> u64 {
        self.taken_back
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
        // What does not wait any more may take its time.
        let is_meant = |own: &&(RequestId, InFlightRequest)| {
            own.1.limit != Limit::Wait || self.phase(own.0) != RequestPhase::Started
        };
        let of = |index: u32| self.requests.get(index as usize);
        let due = due.into_iter().filter_map(of).filter(is_meant);
        let due: Vec<_> = due.map(|(id, _)| *id).collect();
        self.cancel_all(due)
    }

    /// When [`expire`](Self::expire) is worth calling; `None`: not until something else happens.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        self.timers.next_look()
    }

    /// When the first one is due.
    #[cfg(feature = "testing")]
    pub(crate) fn first_due(&self) -> Option<Instant> {
        self.timers.first_due()
    }

    /// Cancels the requests that are named.
    pub(crate) fn cancel(&mut self, is_named: impl Fn(&InFlightRequest) -> bool) -> Vec<Cancelled> {
        let named = self.iter().filter(|(_, request)| is_named(request));
        let ids = named.map(|(id, _)| id).collect();
        self.cancel_all(ids)
    }

    /// Cancels those of these requests that are on their way still.
    pub(crate) fn cancel_these(&mut self, mut ids: Vec<RequestId>) -> Vec<Cancelled> {
        ids.retain(|id| self.has(*id));
        self.cancel_all(ids)
    }

    fn cancel_all(&mut self, ids: Vec<RequestId>) -> Vec<Cancelled> {
        let mut cancelled = Vec::with_capacity(ids.len());
        for id in ids {
            let was_started = !self.claims.revoke(id);
            match was_started {
                true => self.claims.free(id),
                false => self.taken_back += 1,
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

    /// A transition waits for these, and for nothing else.
    pub(crate) fn wait_for_these(&mut self, ids: &[RequestId]) {
        for (_, (_, request)) in &mut self.requests {
            request.is_waited_for = false;
            if let Effect::Closed(own) = &mut request.effect {
                own.is_waited_for = false;
            }
        }
        for id in ids {
            let slot = self.requests.get_mut(id.index as usize);
            if let Some((_, request)) = slot.filter(|(own, _)| own == id) {
                request.is_waited_for = true;
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
