//! What one session arbiter has forwarded and not yet answered.
//!
//! ```text
//!   insert ─▶ on its way ─┬─ finish ─────────────▶ its reply is here
//!                         ├─ expire, cancel ─────▶ answered without Tx: taken back if Tx has not begun
//!                         │                        it, else abandoned (a late reply finds nothing)
//!                         └─ revoke, abandon ────▶ all of them, when the state changes
//! ```
//!
//! O(1) per request and no allocation once it has grown: slots are reused, newest first, so that their
//! words share cache lines; deadlines are kept in lists through the slots.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use vestibule_wire::keys::RequestType;

use super::transactions::OpenTransaction;
use crate::admission::Class;
use crate::limits::{WORKER_REQUESTS_MAX, WORKER_RESERVE};
use crate::timeouts::Limit;
use crate::timers::Timers;
use crate::tx::claim::{Claims, Phase, RequestId};

/// A request on its way.
#[derive(Debug, Clone)]
pub(crate) struct InFlightRequest {
    /// Number of its session in the arbiter.
    pub(crate) session: u32,
    /// Number of its connection, which is never used again.
    pub(crate) connection: u64,
    pub(crate) sync: u64,
    pub(crate) stream: u64,
    pub(crate) request_type: RequestType,
    pub(crate) class: Class,
    /// What is called, for CALL.
    pub(crate) procedure: Option<Rc<str>>,
    /// Bytes of its body, for the credit.
    pub(crate) bytes: usize,
    /// It may change data, or is a part of a transaction that may: a demotion waits for it.
    pub(crate) is_writer: bool,
    /// To be undone if the request did not happen.
    pub(crate) effect: Effect,
    /// When it arrived, as of the read that brought it.
    pub(crate) since: Instant,
    /// Whose time its deadline is, if it has one.
    pub(crate) limit: Limit,
    /// Its credit is the reserve's.
    pub(crate) is_reserved: bool,
}

/// A request that nobody waits for any more.
#[derive(Debug)]
pub(crate) struct Cancelled {
    pub(crate) id: RequestId,
    pub(crate) request: InFlightRequest,
    /// Tx had begun it: whether it happens is not known. Otherwise it does not.
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
    slots: Vec<Option<(RequestId, InFlightRequest)>>,
    free: Vec<u32>,
    bytes: usize,
    reserved: usize,
    writers: usize,
    timers: Timers,
}

impl InFlightTable {
    /// `claims` must have room for [`WORKER_REQUESTS_MAX`] requests and [`WORKER_RESERVE`] more.
    pub(crate) fn new(claims: Arc<Claims>) -> Self {
        Self {
            claims,
            slots: Vec::new(),
            free: Vec::new(),
            bytes: 0,
            reserved: 0,
            writers: 0,
            timers: Timers::new(crate::clock::now()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
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
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        let id = self.claims.queue(index);
        self.bytes += request.bytes;
        self.reserved += usize::from(request.is_reserved);
        self.writers += usize::from(request.is_writer);
        if let Some(deadline) = deadline {
            self.timers.set(index, deadline);
        }
        self.slots[index as usize] = Some((id, request));
        Some(id)
    }

    /// Whether a request is on its way still.
    pub(crate) fn has(&self, id: RequestId) -> bool {
        let slot = self.slots.get(id.index as usize);
        slot.is_some_and(|slot| slot.as_ref().is_some_and(|(own, _)| *own == id))
    }

    fn remove(&mut self, id: RequestId) -> Option<InFlightRequest> {
        let slot = self.slots.get_mut(id.index as usize)?;
        let (_, request) = slot.take_if(|(own, _)| *own == id)?;
        self.free.push(id.index);
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

    /// Cancels whatever is over its deadline.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Cancelled> {
        let due = self.timers.expire(now);
        let id = |index: u32| self.slots[index as usize].as_ref().map(|(id, _)| *id);
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
    pub(crate) fn phase(&self, id: RequestId) -> Phase {
        // What is in the table was not answered, so it has a phase.
        self.claims.phase(id).unwrap_or(Phase::Started)
    }

    /// Everything on its way, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (RequestId, &InFlightRequest)> {
        self.slots
            .iter()
            .flatten()
            .map(|(id, request)| (*id, request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::TIMER_TICK;

    fn request(sync: u64) -> InFlightRequest {
        InFlightRequest {
            session: 0,
            connection: 1,
            sync,
            stream: 0,
            request_type: RequestType::Replace,
            class: Class::Write,
            procedure: None,
            bytes: 10,
            is_writer: true,
            effect: Effect::None,
            since: Instant::now(),
            limit: Limit::Request,
            is_reserved: false,
        }
    }

    fn in_flight() -> (InFlightTable, Arc<Claims>) {
        let claims = Arc::new(Claims::new(WORKER_REQUESTS_MAX + WORKER_RESERVE));
        (InFlightTable::new(claims.clone()), claims)
    }

    #[test]
    fn only_what_tx_has_not_begun_is_revoked() {
        let (mut in_flight, claims) = in_flight();
        let started = in_flight.insert(request(1), None).unwrap();
        let queued = in_flight.insert(request(2), None).unwrap();
        assert!(claims.claim(started));
        let revoked: Vec<_> = in_flight
            .revoke_queued(|_| true)
            .iter()
            .map(|own| own.sync)
            .collect();
        assert_eq!(revoked, [2]);
        assert!(!claims.claim(queued));
        assert_eq!((in_flight.len(), in_flight.bytes()), (1, 10));
        assert_eq!(in_flight.finish(started).map(|own| own.sync), Some(1));
        assert_eq!((in_flight.len(), in_flight.bytes()), (0, 0));
        assert_eq!(in_flight.writers(), 0);
    }

    #[test]
    fn a_late_reply_to_an_abandoned_request_finds_nothing_not_its_successor() {
        let (mut in_flight, claims) = in_flight();
        let first = in_flight.insert(request(1), None).unwrap();
        assert!(claims.claim(first));
        assert_eq!(in_flight.cancel_started(|_| true).len(), 1);
        let second = in_flight.insert(request(2), None).unwrap();
        assert_eq!(first.index, second.index);
        assert!(in_flight.finish(first).is_none());
        assert!(in_flight.finish(second).is_some());
    }

    /// QL-01: what runs is listed, and what is over is not.
    #[test]
    fn the_list_holds_what_runs_and_nothing_else() {
        let (mut in_flight, _claims) = in_flight();
        let first = in_flight.insert(request(1), None).unwrap();
        in_flight.insert(request(2), None).unwrap();
        let syncs = |in_flight: &InFlightTable| -> Vec<_> {
            in_flight.iter().map(|(_, own)| own.sync).collect()
        };
        assert_eq!(syncs(&in_flight), [1, 2]);
        assert!(in_flight.finish(first).is_some());
        assert_eq!(syncs(&in_flight), [2]);
    }

    /// QL-02: clients choose their syncs, so two requests may have the same; each is still its own.
    #[test]
    fn of_two_requests_with_one_sync_the_right_one_is_finished() {
        let (mut in_flight, _claims) = in_flight();
        let first = in_flight.insert(request(7), None).unwrap();
        let second = in_flight.insert(request(7), None).unwrap();
        assert!(in_flight.finish(first).is_some());
        let left: Vec<_> = in_flight.iter().map(|(id, _)| id).collect();
        assert_eq!(left, [second]);
        assert!(in_flight.finish(first).is_none());
    }

    /// RW-01: the count returns to nothing, whichever way each request ends.
    #[test]
    fn what_was_counted_in_is_counted_out_by_reply_timeout_and_kill() {
        let (mut in_flight, claims) = in_flight();
        let start = Instant::now();
        let replied = in_flight.insert(request(1), None).unwrap();
        let late = in_flight
            .insert(request(2), Some(start + TIMER_TICK))
            .unwrap();
        in_flight.insert(request(3), None).unwrap();
        assert_eq!((in_flight.len(), in_flight.bytes()), (3, 30));
        assert!(claims.claim(late));
        assert!(in_flight.finish(replied).is_some());
        let expired = in_flight.expire(start + TIMER_TICK * 3);
        assert_eq!(expired.len(), 1);
        assert!(expired[0].was_started && expired[0].request.sync == 2);
        assert_eq!(claims.phase(late), None, "whoever works on it sees that");
        let killed = in_flight.cancel(|own| own.sync == 3);
        assert!(!killed[0].was_started);
        assert_eq!((in_flight.len(), in_flight.bytes()), (0, 0));
        assert_eq!(in_flight.next_look(), None);
    }

    #[test]
    fn a_reply_in_time_takes_the_deadline_with_it() {
        let (mut in_flight, _claims) = in_flight();
        let start = Instant::now();
        let first = in_flight.insert(request(1), Some(start)).unwrap();
        assert!(in_flight.finish(first).is_some());
        in_flight.insert(request(2), None).unwrap();
        assert!(in_flight.expire(start + TIMER_TICK * 1000).is_empty());
        assert_eq!(in_flight.len(), 1);
    }

    #[test]
    fn it_is_bounded() {
        let (mut in_flight, _claims) = in_flight();
        for sync in 0..(WORKER_REQUESTS_MAX + WORKER_RESERVE) as u64 {
            assert!(in_flight.insert(request(sync), None).is_some());
        }
        assert!(in_flight.is_full());
        assert!(in_flight.insert(request(0), None).is_none());
    }

    /// A step of the session side or of Tx, in any order.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        /// A session forwards a request.
        Forward,
        /// Tx takes its next request and begins it unless it was revoked.
        Begin,
        /// A reply of Tx arrives: the oldest that is begun.
        Reply,
        /// Solo begins: what is queued is answered busy.
        Revoke,
        /// Tx is lost: what it had begun is answered "outcome unknown".
        Lose,
        /// The oldest request on its way is killed, or its time is over.
        Cancel,
    }

    /// What a client was told.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Told {
        Done,
        Refused,
        Unknown,
    }

    #[derive(Default)]
    struct World {
        sent: Vec<RequestId>,
        /// Begun, and not replied to by Tx.
        running: Vec<(RequestId, u64)>,
        executed: std::collections::HashSet<u64>,
        told: std::collections::HashMap<u64, Told>,
        syncs: std::collections::HashMap<RequestId, u64>,
    }

    impl World {
        fn tell(&mut self, sync: u64, told: Told) {
            assert_eq!(self.told.insert(sync, told), None, "one answer per request");
        }

        fn step(&mut self, step: Step, in_flight: &mut InFlightTable, claims: &Claims) {
            match step {
                Step::Forward => {
                    let sync = self.syncs.len() as u64;
                    let Some(id) = in_flight.insert(request(sync), None) else {
                        return;
                    };
                    self.syncs.insert(id, sync);
                    self.sent.push(id);
                }
                Step::Begin if !self.sent.is_empty() => {
                    let id = self.sent.remove(0);
                    if claims.claim(id) {
                        let sync = self.syncs[&id];
                        self.executed.insert(sync);
                        self.running.push((id, sync));
                    }
                }
                Step::Reply if !self.running.is_empty() => {
                    let (id, sync) = self.running.remove(0);
                    if let Some(own) = in_flight.finish(id) {
                        assert_eq!(own.sync, sync);
                        self.tell(sync, Told::Done);
                    }
                }
                Step::Revoke => {
                    for own in in_flight.revoke_queued(|_| true) {
                        self.tell(own.sync, Told::Refused);
                    }
                }
                Step::Lose => {
                    for own in in_flight.cancel_started(|_| true) {
                        self.tell(own.request.sync, Told::Unknown);
                    }
                }
                Step::Cancel => {
                    let oldest = in_flight.iter().map(|(_, own)| own.sync).min();
                    for own in in_flight.cancel(|own| Some(own.sync) == oldest) {
                        let told = if own.was_started {
                            Told::Unknown
                        } else {
                            Told::Refused
                        };
                        self.tell(own.request.sync, told);
                    }
                }
                Step::Begin | Step::Reply => {}
            }
        }
    }

    fn steps() -> impl proptest::strategy::Strategy<Value = Vec<Step>> {
        use proptest::prelude::*;
        let step = prop_oneof![
            8 => Just(Step::Forward),
            6 => Just(Step::Begin),
            6 => Just(Step::Reply),
            1 => Just(Step::Revoke),
            1 => Just(Step::Lose),
            2 => Just(Step::Cancel),
        ];
        proptest::collection::vec(step, 0..400)
    }

    proptest::proptest! {
        #[test]
        fn no_request_is_both_refused_and_executed_and_each_is_answered_once(steps in steps()) {
            let (mut in_flight, claims) = in_flight();
            let mut world = World::default();
            for step in steps {
                world.step(step, &mut in_flight, &claims);
            }
            // To the end: Tx does what it has, and its replies arrive.
            while !world.sent.is_empty() || !world.running.is_empty() {
                world.step(Step::Begin, &mut in_flight, &claims);
                world.step(Step::Reply, &mut in_flight, &claims);
            }
            assert_eq!(in_flight.len(), 0);
            assert_eq!((in_flight.bytes(), in_flight.writers()), (0, 0));
            assert_eq!(world.told.len(), world.syncs.len(), "nobody is left waiting");
            for (sync, told) in &world.told {
                let expected = *told != Told::Refused;
                assert_eq!(world.executed.contains(sync), expected, "{told:?}");
            }
        }
    }
}
