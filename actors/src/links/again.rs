//! Requests that are sent again, or later than they came: those of a link that is lost, those that
//! an upstream refuses which takes no changes any more, and those that come while none does.
//!
//! ```text
//!   link lost, taken back ──┬────▶ parked ── an upstream serves, a link can be had ─▶ link
//!   none to send to ────────┘       ▲  └──── solo is declared: its policy ─▶ told
//!   refused with 7, 116, 279 ─▶ in doubt ─── its upstream takes changes all the same ─▶ told
//! ```
//!
//! All of them are queued again: what takes queued requests back answers them as not done.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::{Either, select};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use vestibule_wire::Error;
use vestibule_wire::reply::ReplyHeader;

use super::cell::LinkCell;
use super::hub::Links;
use super::pause::TurnTime;
use super::refusals::{NoLink, not_there};
use crate::cells::claims::{RequestId, RequestPhase};
use crate::limits::{FAILOVER_BYTES_MAX, PARKED_LOOK_PERIOD};
use crate::messages::post::Post as _;
use crate::messages::tx::Cancel;
use crate::resources::WorkerCell;
use crate::upstream::{
    Destination, Forward, HeldCounters, Incarnation, KeptRequest, LinkClient, Parked,
    ParkedRequest, ReadPlace, ReadRole, RefusedRequest, Returned, StreamStep, Tries,
};

/// What is to be sent again, of one worker.
pub(super) struct Again {
    pub(super) parked: Parked,
    /// What came back from links.
    pub(super) tries: Tries,
    /// On which connections something of whom waits for a link, since that was last looked at.
    pub(super) paused: BTreeSet<(u64, Arc<str>)>,
    /// What ends the transactions of BEGINs that are parked, as soon as these are sent.
    aborts: HashMap<RequestId, Cancel>,
    /// What an upstream has refused, since it was asked how it is.
    refused: Vec<Doubtful>,
    /// Before it was asked, which it has not answered.
    asked: Vec<Doubtful>,
    is_asking: bool,
    /// Wakes who looks at it when there is something.
    look: Rc<Notify>,
}

/// A request in doubt: its upstream has refused it, and may take no changes any more.
struct Doubtful {
    own: RefusedRequest,
    client: LinkClient,
    incarnation: Incarnation,
}

impl Again {
    /// Nothing yet, of one of this number of workers, which tells how much is held. For links that
    /// end, a request has the time of a hold.
    pub(super) fn new(workers: usize, hold: Duration, held: Arc<HeldCounters>) -> Self {
        Self {
            parked: Parked::new(FAILOVER_BYTES_MAX / workers.max(1), held),
            tries: Tries::new(hold),
            paused: BTreeSet::new(),
            aborts: HashMap::new(),
            refused: Vec::new(),
            asked: Vec::new(),
            is_asking: false,
            look: Rc::default(),
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.parked.is_empty() && self.refused.is_empty() && self.asked.is_empty()
    }

    /// Whether something of this user's on a connection waits for a link already: what comes behind
    /// it waits as well, whether there is one now or not.
    #[inline]
    pub(super) fn is_paused(&self, connection: u64, user: &Arc<str>) -> bool {
        // Of what does not wait any more nothing is to be known.
        !self.parked.is_empty() && self.paused.contains(&(connection, user.clone()))
    }

    pub(super) fn pause(&mut self, connection: u64, user: Arc<str>) {
        self.paused.insert((connection, user));
    }

    /// Drops what nobody waits for.
    pub(super) fn sweep(&mut self, worker: &WorkerCell, now: Instant) {
        self.parked.sweep(now, |id| is_queued(worker, id));
        self.sweep_aborts(worker);
    }

    /// What waited has gone where it may, as far as it could.
    pub(super) fn end_settling(&mut self, worker: &WorkerCell, now: Instant) {
        self.parked.count_gone(now);
        self.sweep_aborts(worker);
    }

    fn sweep_aborts(&mut self, worker: &WorkerCell) {
        self.aborts.retain(|begin, _| is_queued(worker, *begin));
    }

    /// Takes out what an upstream has refused to which requests do not go any more.
    fn take_resolved(&mut self, destination: Destination) -> Vec<Doubtful> {
        let is_over = |own: &Doubtful| destination != Destination::To(own.incarnation);
        let asked = self.asked.extract_if(.., |own| is_over(own));
        let mut taken: Vec<_> = asked.collect();
        taken.extend(self.refused.extract_if(.., |own| is_over(own)));
        taken
    }
}

/// Does what follows from where requests go, when that changes, and looks at what is to be sent
/// again, as long as there is something.
pub(super) async fn follow(links: Weak<Links>, mut destinations: watch::Receiver<Destination>) {
    loop {
        let Some((look, is_empty)) = links.upgrade().map(|own| own.watched()) else {
            return;
        };
        let is_over = {
            let changed = pin!(destinations.changed());
            let look = pin!(async {
                match is_empty {
                    true => look.notified().await,
                    false => sleep(PARKED_LOOK_PERIOD).await,
                }
            });
            matches!(select(changed, look).await, Either::Left((Err(_), _)))
        };
        let Some(links) = links.upgrade().filter(|_| !is_over) else {
            return;
        };
        let Some(worker) = links.worker.upgrade() else {
            return;
        };
        destinations.mark_unchanged();
        match links.look(&worker) {
            Destination::To(target) => links.state.borrow().follow(Some(target)),
            Destination::Held => links.state.borrow().follow(None),
            // It may come back.
            Destination::Nowhere => {}
        }
        links.leave_vanished();
        links.leave_older();
        links.leave_replicas();
        links.settle(&worker);
        links.ask();
    }
}

impl Links {
    /// What wakes who looks at what is to be sent again, and whether there is nothing.
    fn watched(&self) -> (Rc<Notify>, bool) {
        let again = self.again.borrow();
        (again.look.clone(), again.is_empty())
    }

    /// Keeps a request that goes over no link now, if that may change soon.
    ///
    /// # Errors
    ///
    /// Why it goes over none.
    pub(super) fn park(
        &self,
        worker: &WorkerCell,
        why: NoLink,
        client: LinkClient,
        (request, time): (KeptRequest, &TurnTime),
    ) -> Result<(), (RequestId, NoLink)> {
        let (id, connection) = (request.forward.id, request.forward.key.connection);
        // Of a transaction that is not there any more nothing comes here: what is in a stream is to
        // begin one, or belongs to none.
        let is_for_now = matches!(why, NoLink::Held | NoLink::Paused);
        let (may_wait, user) = (is_for_now && self.gateway.holds(), client.user.clone());
        if !may_wait || !self.keep(worker, client, (request, time)) {
            return Err((id, why));
        }
        if matches!(why, NoLink::Paused) {
            self.again.borrow_mut().pause(connection, user);
        }
        Ok(())
    }

    /// Keeps a request that is queued; false if there is no room for it.
    fn keep(
        &self,
        worker: &WorkerCell,
        client: LinkClient,
        (request, time): (KeptRequest, &TurnTime),
    ) -> bool {
        let since = time.now();
        let own = ParkedRequest {
            request,
            client,
            since,
        };
        let mut again = self.again.borrow_mut();
        again.look.notify_one();
        again.parked.push(own, |id| is_queued(worker, id))
    }

    /// A transaction is aborted that no link has: if its BEGIN is parked, it is rolled back behind
    /// that.
    pub(super) fn abort_parked(&self, worker: &WorkerCell, cancel: Cancel) {
        let mut again = self.again.borrow_mut();
        if let Some(begin) = cancel.begin.filter(|own| is_queued(worker, *own))
            && !again.parked.is_empty()
        {
            again.aborts.insert(begin, cancel);
        }
    }

    /// What is aborted of a transaction whose BEGIN has just been given to a link.
    pub(super) fn take_abort(&self, forward: &Forward) -> Option<Cancel> {
        let aborts = &mut self.again.borrow_mut().aborts;
        if aborts.is_empty() || forward.step != StreamStep::Begin {
            return None;
        }
        aborts.remove(&forward.id)
    }

    /// What a link has not sent, or what may be sent twice, is to go elsewhere; what may not is
    /// answered with this error.
    pub(super) fn send_again(
        &self,
        worker: &WorkerCell,
        cell: &LinkCell,
        requests: Vec<KeptRequest>,
        error: &Error,
    ) {
        let is_possible =
            self.gateway.holds() && self.gateway.destination() != Destination::Nowhere;
        let claims = &worker.shared.counters[worker.index].claims;
        let (mut told, mut unbegun) = (Vec::new(), BTreeMap::new());
        let time = TurnTime::new(worker.shared.clock);
        for own in requests {
            let forward = &own.forward;
            let id = forward.id;
            match forward.step {
                // What became of its stream was settled when it was taken back.
                step if step.may_begin() && !is_queued(worker, id) => {}
                StreamStep::Begin => drop(unbegun.insert(forward.key, forward.step)),
                StreamStep::MayBegin => drop(unbegun.entry(forward.key).or_insert(forward.step)),
                StreamStep::Commit | StreamStep::Rollback => drop(unbegun.remove(&forward.key)),
                StreamStep::Nothing => {}
            }
            if cell.reads == ReadRole::Replica {
                // What its client asks behind it does not see less.
                let clients = self.state.borrow().clients.clone();
                clients.set_read_place(forward.key, ReadPlace::Writer);
            }
            let returned = (cell.incarnation, cell.returns(&own));
            let may =
                forward.repeat.may_move() && self.may_try_again(worker, id, returned, time.now());
            if !is_possible || !may {
                told.push(id);
            } else if own.was_sent && !claims.requeue(id) {
                // Nobody waits for it any more.
            } else {
                let was_sent = own.was_sent;
                match self.keep(worker, cell.client.clone(), (own, &time)) {
                    true if was_sent => self.count_retried(worker, cell.incarnation.upstream),
                    true => {}
                    false => told.push(id),
                }
            }
        }
        let callers = &mut self.state.borrow_mut().callers;
        (unbegun.into_iter()).for_each(|(key, step)| callers.lose_unbegun(key, step));
        self.tell_over(worker, told, Vec::new(), error.clone(), "");
    }

    /// Whether a request that has come back from a link may go over another one.
    fn may_try_again(
        &self,
        worker: &WorkerCell,
        id: RequestId,
        returned: (Incarnation, Returned),
        now: Instant,
    ) -> bool {
        let claims = &worker.shared.counters[worker.index].claims;
        let is_wanted = |id| claims.phase(id).is_some();
        let tries = &mut self.again.borrow_mut().tries;
        tries.may_go_on(id, returned, now, is_wanted)
    }

    fn count_retried(&self, worker: &WorkerCell, upstream: usize) {
        let counters = &self.gateway.sight.upstreams()[upstream];
        counters.links_on(worker.index).retried.add(1);
    }

    /// What was not answered over a link, though it was asked, goes elsewhere.
    pub(super) fn send_elsewhere(&self, worker: &Rc<WorkerCell>, cell: &LinkCell) {
        let refused = cell.link.borrow_mut().take_refused();
        self.on_refused(worker, cell, refused);
        let returned = cell.link.borrow_mut().take_returned();
        self.on_returned(worker, cell, returned);
    }

    /// An upstream has refused requests that may be sent again. If it takes changes all the same,
    /// these are its answers.
    fn on_refused(&self, worker: &Rc<WorkerCell>, cell: &LinkCell, refused: Vec<RefusedRequest>) {
        if refused.is_empty() {
            return;
        }
        let claims = &worker.shared.counters[worker.index].claims;
        let waited_for = refused
            .into_iter()
            .filter(|own| claims.requeue(own.request.forward.id));
        let doubtful = waited_for.map(|own| Doubtful {
            own,
            client: cell.client.clone(),
            incarnation: cell.incarnation,
        });
        self.again.borrow_mut().refused.extend(doubtful);
        self.settle(worker);
        self.ask();
    }

    /// Asks the upstream that has refused requests how it is.
    fn ask(&self) {
        let mut again = self.again.borrow_mut();
        let Some(upstream) = again.refused.first().map(|own| own.incarnation.upstream) else {
            return;
        };
        if std::mem::replace(&mut again.is_asking, true) {
            return;
        }
        again.asked = std::mem::take(&mut again.refused);
        drop(again);
        let (answered, me) = (self.gateway.doubt(upstream), self.me.clone());
        actix_rt::spawn(async move {
            let is_known = answered.await.is_ok();
            if let Some(links) = me.upgrade() {
                links.on_answered(is_known);
            }
        });
    }

    /// The upstream that was asked has answered, or is lost.
    fn on_answered(&self, is_known: bool) {
        let Some(worker) = self.worker.upgrade() else {
            return;
        };
        let destination = self.look(&worker);
        let time = TurnTime::new(worker.shared.clock);
        self.park_resolved(&worker, destination, &time);
        {
            let mut again = self.again.borrow_mut();
            again.is_asking = false;
            let asked = std::mem::take(&mut again.asked);
            if is_known {
                drop(again);
                self.tell_refused(&worker, &asked);
                self.ask();
            } else {
                // What follows from its loss is done in a moment.
                again.refused.splice(0..0, asked);
            }
        }
        self.settle(&worker);
    }

    /// Where requests go has changed: what was refused before goes there.
    pub(super) fn park_resolved(
        &self,
        worker: &Rc<WorkerCell>,
        destination: Destination,
        time: &TurnTime,
    ) {
        let resolved = self.again.borrow_mut().take_resolved(destination);
        for own in resolved {
            let Doubtful {
                own,
                client,
                incarnation,
            } = own;
            let id = own.request.forward.id;
            let moved = (incarnation, Returned::Moved);
            let may = self.may_try_again(worker, id, moved, time.now());
            if may && self.keep(worker, client, (own.request, time)) {
                self.count_retried(worker, incarnation.upstream);
            } else {
                let error = not_there(worker, "requests go to another upstream by now");
                self.tell_over(worker, vec![id], Vec::new(), error, "");
            }
        }
    }

    /// What was refused is answered by that.
    fn tell_refused(&self, worker: &WorkerCell, refused: &[Doubtful]) {
        let claims = &worker.shared.counters[worker.index].claims;
        let mut replies = worker.state.borrow_mut().outgoing.spare_replies();
        for Doubtful { own, .. } in refused {
            let (id, sync) = (own.request.forward.id, own.request.forward.sync);
            if claims.claim(id) {
                let schema_version = worker.shared.schema_version();
                let header = ReplyHeader {
                    sync,
                    schema_version,
                };
                header.pass_on(&mut replies.bytes, own.code, &own.body);
                replies.push_head(id, sync);
            }
        }
        self.mailbox.replies.post(replies);
    }
}

pub(super) fn is_queued(worker: &WorkerCell, id: RequestId) -> bool {
    let claims = &worker.shared.counters[worker.index].claims;
    claims.phase(id) == Some(RequestPhase::Queued)
}
