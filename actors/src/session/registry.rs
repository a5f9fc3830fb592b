//! What one session arbiter has forwarded and not yet answered.
//!
//! ```text
//!   insert ─▶ on its way ─┬─ finish ─────────────▶ its reply is here
//!                         ├─ expire, give_up ────▶ answered without Tx: taken back if Tx has not begun
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
pub(crate) struct Pending {
    /// Number of its session in the arbiter.
    pub(crate) session: u32,
    /// Number of its connection, which is never used again.
    pub(crate) connection: u64,
    pub(crate) sync: u64,
    pub(crate) stream: u64,
    pub(crate) request: RequestType,
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
pub(crate) struct GivenUp {
    pub(crate) id: RequestId,
    pub(crate) pending: Pending,
    /// Tx had begun it: whether it happens is not known. Otherwise it does not.
    pub(crate) was_begun: bool,
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
pub(crate) struct Registry {
    claims: Arc<Claims>,
    slots: Vec<Option<(RequestId, Pending)>>,
    free: Vec<u32>,
    bytes: usize,
    reserved: usize,
    writers: usize,
    timers: Timers,
}

impl Registry {
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
        pending: Pending,
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
        self.bytes += pending.bytes;
        self.reserved += usize::from(pending.is_reserved);
        self.writers += usize::from(pending.is_writer);
        if let Some(deadline) = deadline {
            self.timers.set(index, deadline);
        }
        self.slots[index as usize] = Some((id, pending));
        Some(id)
    }

    /// Whether a request is on its way still.
    pub(crate) fn has(&self, id: RequestId) -> bool {
        let slot = self.slots.get(id.index as usize);
        slot.is_some_and(|slot| slot.as_ref().is_some_and(|(own, _)| *own == id))
    }

    fn remove(&mut self, id: RequestId) -> Option<Pending> {
        let slot = self.slots.get_mut(id.index as usize)?;
        let (_, pending) = slot.take_if(|(own, _)| *own == id)?;
        self.free.push(id.index);
        self.timers.clear(id.index);
        self.bytes -= pending.bytes;
        self.reserved -= usize::from(pending.is_reserved);
        self.writers -= usize::from(pending.is_writer);
        Some(pending)
    }

    /// Takes out a request because its reply is here; `None` if it was given up on before.
    pub(crate) fn finish(&mut self, id: RequestId) -> Option<Pending> {
        let pending = self.remove(id)?;
        self.claims.free(id);
        Some(pending)
    }

    /// Takes back what Tx has not begun, of the requests that are wanted back.
    pub(crate) fn revoke_queued(&mut self, wanted: impl Fn(&Pending) -> bool) -> Vec<Pending> {
        let claims = self.claims.clone();
        self.take_where(|id, pending| wanted(pending) && claims.revoke(id))
    }

    /// Gives up on what Tx has begun, of the requests that are wanted: a late reply will find nothing.
    pub(crate) fn abandon_started(&mut self, wanted: impl Fn(&Pending) -> bool) -> Vec<GivenUp> {
        let claims = &self.claims;
        let is_meant = |(id, own): &(RequestId, &Pending)| wanted(own) && claims.is_started(*id);
        let ids = self.iter().filter(is_meant).map(|(id, _)| id).collect();
        self.give_up_all(ids)
    }

    /// Gives up on whatever is over its deadline.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<GivenUp> {
        let due = self.timers.expire(now);
        let id = |index: u32| self.slots[index as usize].as_ref().map(|(id, _)| *id);
        let due: Vec<_> = due.into_iter().filter_map(id).collect();
        self.give_up_all(due)
    }

    /// When [`expire`](Self::expire) is worth calling; `None`: not until something else happens.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        self.timers.next_look()
    }

    /// Gives up on the requests that are named.
    pub(crate) fn give_up(&mut self, is_named: impl Fn(&Pending) -> bool) -> Vec<GivenUp> {
        let named = self.iter().filter(|(_, pending)| is_named(pending));
        let ids = named.map(|(id, _)| id).collect();
        self.give_up_all(ids)
    }

    fn give_up_all(&mut self, ids: Vec<RequestId>) -> Vec<GivenUp> {
        let mut given_up = Vec::with_capacity(ids.len());
        for id in ids {
            let was_begun = !self.claims.revoke(id);
            if was_begun {
                self.claims.free(id);
            }
            given_up.extend(self.remove(id).map(|pending| GivenUp {
                id,
                pending,
                was_begun,
            }));
        }
        given_up.sort_by_key(|own| own.pending.since);
        given_up
    }

    fn take_where(&mut self, mut wanted: impl FnMut(RequestId, &Pending) -> bool) -> Vec<Pending> {
        let ids: Vec<_> = self
            .iter()
            .filter(|(id, pending)| wanted(*id, pending))
            .map(|(id, _)| id)
            .collect();
        let mut taken: Vec<_> = ids.into_iter().filter_map(|id| self.remove(id)).collect();
        taken.sort_by_key(|pending| pending.since);
        taken
    }

    /// How far a request has come.
    pub(crate) fn phase(&self, id: RequestId) -> Phase {
        // What is in the table was not answered, so it has a phase.
        self.claims.phase(id).unwrap_or(Phase::Started)
    }

    /// Everything on its way, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (RequestId, &Pending)> {
        self.slots
            .iter()
            .flatten()
            .map(|(id, pending)| (*id, pending))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::TIMER_TICK;

    fn pending(sync: u64) -> Pending {
        Pending {
            session: 0,
            connection: 1,
            sync,
            stream: 0,
            request: RequestType::Replace,
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

    fn registry() -> (Registry, Arc<Claims>) {
        let claims = Arc::new(Claims::new(WORKER_REQUESTS_MAX + WORKER_RESERVE));
        (Registry::new(claims.clone()), claims)
    }

    #[test]
    fn only_what_tx_has_not_begun_is_revoked() {
        let (mut registry, claims) = registry();
        let started = registry.insert(pending(1), None).unwrap();
        let queued = registry.insert(pending(2), None).unwrap();
        assert!(claims.claim(started));
        let revoked: Vec<_> = registry
            .revoke_queued(|_| true)
            .iter()
            .map(|own| own.sync)
            .collect();
        assert_eq!(revoked, [2]);
        assert!(!claims.claim(queued));
        assert_eq!((registry.len(), registry.bytes()), (1, 10));
        assert_eq!(registry.finish(started).map(|own| own.sync), Some(1));
        assert_eq!((registry.len(), registry.bytes()), (0, 0));
        assert_eq!(registry.writers(), 0);
    }

    #[test]
    fn a_late_reply_to_an_abandoned_request_finds_nothing_not_its_successor() {
        let (mut registry, claims) = registry();
        let first = registry.insert(pending(1), None).unwrap();
        assert!(claims.claim(first));
        assert_eq!(registry.abandon_started(|_| true).len(), 1);
        let second = registry.insert(pending(2), None).unwrap();
        assert_eq!(first.index, second.index);
        assert!(registry.finish(first).is_none());
        assert!(registry.finish(second).is_some());
    }

    /// QL-01: what runs is listed, and what is over is not.
    #[test]
    fn the_list_holds_what_runs_and_nothing_else() {
        let (mut registry, _claims) = registry();
        let first = registry.insert(pending(1), None).unwrap();
        registry.insert(pending(2), None).unwrap();
        let syncs =
            |registry: &Registry| -> Vec<_> { registry.iter().map(|(_, own)| own.sync).collect() };
        assert_eq!(syncs(&registry), [1, 2]);
        assert!(registry.finish(first).is_some());
        assert_eq!(syncs(&registry), [2]);
    }

    /// QL-02: clients choose their syncs, so two requests may have the same; each is still its own.
    #[test]
    fn of_two_requests_with_one_sync_the_right_one_is_finished() {
        let (mut registry, _claims) = registry();
        let first = registry.insert(pending(7), None).unwrap();
        let second = registry.insert(pending(7), None).unwrap();
        assert!(registry.finish(first).is_some());
        let left: Vec<_> = registry.iter().map(|(id, _)| id).collect();
        assert_eq!(left, [second]);
        assert!(registry.finish(first).is_none());
    }

    /// RW-01: the count returns to nothing, whichever way each request ends.
    #[test]
    fn what_was_counted_in_is_counted_out_by_reply_timeout_and_kill() {
        let (mut registry, claims) = registry();
        let start = Instant::now();
        let replied = registry.insert(pending(1), None).unwrap();
        let late = registry
            .insert(pending(2), Some(start + TIMER_TICK))
            .unwrap();
        registry.insert(pending(3), None).unwrap();
        assert_eq!((registry.len(), registry.bytes()), (3, 30));
        assert!(claims.claim(late));
        assert!(registry.finish(replied).is_some());
        let expired = registry.expire(start + TIMER_TICK * 3);
        assert_eq!(expired.len(), 1);
        assert!(expired[0].was_begun && expired[0].pending.sync == 2);
        assert_eq!(claims.phase(late), None, "whoever works on it sees that");
        let killed = registry.give_up(|own| own.sync == 3);
        assert!(!killed[0].was_begun);
        assert_eq!((registry.len(), registry.bytes()), (0, 0));
        assert_eq!(registry.next_look(), None);
    }

    #[test]
    fn a_reply_in_time_takes_the_deadline_with_it() {
        let (mut registry, _claims) = registry();
        let start = Instant::now();
        let first = registry.insert(pending(1), Some(start)).unwrap();
        assert!(registry.finish(first).is_some());
        registry.insert(pending(2), None).unwrap();
        assert!(registry.expire(start + TIMER_TICK * 1000).is_empty());
        assert_eq!(registry.len(), 1);
    }

    #[test]
    fn it_is_bounded() {
        let (mut registry, _claims) = registry();
        for sync in 0..(WORKER_REQUESTS_MAX + WORKER_RESERVE) as u64 {
            assert!(registry.insert(pending(sync), None).is_some());
        }
        assert!(registry.is_full());
        assert!(registry.insert(pending(0), None).is_none());
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
        GiveUp,
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

        fn step(&mut self, step: Step, registry: &mut Registry, claims: &Claims) {
            match step {
                Step::Forward => {
                    let sync = self.syncs.len() as u64;
                    let Some(id) = registry.insert(pending(sync), None) else {
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
                    if let Some(own) = registry.finish(id) {
                        assert_eq!(own.sync, sync);
                        self.tell(sync, Told::Done);
                    }
                }
                Step::Revoke => {
                    for own in registry.revoke_queued(|_| true) {
                        self.tell(own.sync, Told::Refused);
                    }
                }
                Step::Lose => {
                    for own in registry.abandon_started(|_| true) {
                        self.tell(own.pending.sync, Told::Unknown);
                    }
                }
                Step::GiveUp => {
                    let oldest = registry.iter().map(|(_, own)| own.sync).min();
                    for own in registry.give_up(|own| Some(own.sync) == oldest) {
                        let told = if own.was_begun {
                            Told::Unknown
                        } else {
                            Told::Refused
                        };
                        self.tell(own.pending.sync, told);
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
            2 => Just(Step::GiveUp),
        ];
        proptest::collection::vec(step, 0..400)
    }

    proptest::proptest! {
        #[test]
        fn no_request_is_both_refused_and_executed_and_each_is_answered_once(steps in steps()) {
            let (mut registry, claims) = registry();
            let mut world = World::default();
            for step in steps {
                world.step(step, &mut registry, &claims);
            }
            // To the end: Tx does what it has, and its replies arrive.
            while !world.sent.is_empty() || !world.running.is_empty() {
                world.step(Step::Begin, &mut registry, &claims);
                world.step(Step::Reply, &mut registry, &claims);
            }
            assert_eq!(registry.len(), 0);
            assert_eq!((registry.bytes(), registry.writers()), (0, 0));
            assert_eq!(world.told.len(), world.syncs.len(), "nobody is left waiting");
            for (sync, told) in &world.told {
                let expected = *told != Told::Refused;
                assert_eq!(world.executed.contains(sync), expected, "{told:?}");
            }
        }
    }
}
