//! What has waited for an upstream, or for a link, goes where it may go now.
//!
//! ```text
//!   parked, in their order ─▶ wanted? ─▶ its stream? ─▶ whose is it? ─▶ a link?
//!                              gone         97             97           │
//!     its catalog? ◀── there is one, and nothing of its kind waits before it ┤
//!      │ └ its link                                                            │
//!     parked again ◀── there is none yet              told ◀── it has waited for too long
//! ```

use std::rc::Rc;

use vestibule_wire::Error;

use super::again::is_queued;
use super::callers::session_of;
use super::cell::LinkCell;
use super::entries::meaning;
use super::hub::{Hub, Links};
use super::pause::TurnTime;
use super::refusals::NoLink;
use super::taking::transactions_max;
use super::told::Told;
use crate::cells::claims::{Claims, RequestId};
use crate::resources::WorkerCell;
use crate::upstream::{Destination, Forward, ForwardBody, Incarnation, ParkedRequest};

/// What waits, as it goes.
struct Settling<'a> {
    links: &'a Links,
    hub: &'a mut Hub,
    worker: &'a Rc<WorkerCell>,
    claims: &'a Claims,
    target: Incarnation,
    time: &'a TurnTime,
    refused: Vec<(RequestId, NoLink)>,
    told: Told,
}

impl Links {
    /// Sends what waits as far as there are links for it.
    pub(super) fn settle(&self, worker: &Rc<WorkerCell>) {
        let destination = self.look(worker);
        let time = TurnTime::new(worker.shared.clock);
        self.settle_for(worker, destination, &time);
    }

    /// The same, where requests go there, whatever has changed since.
    pub(super) fn settle_for(
        &self,
        worker: &Rc<WorkerCell>,
        destination: Destination,
        time: &TurnTime,
    ) {
        self.park_resolved(worker, destination, time);
        let Destination::To(target) = destination else {
            return self.again.borrow_mut().sweep(worker, time.now());
        };
        let claims = &worker.shared.counters[worker.index].claims;
        let parked = {
            let mut again = self.again.borrow_mut();
            again.paused.clear();
            again.parked.take_all()
        };
        let mut hub = self.state.borrow_mut();
        let mut settling = Settling {
            links: self,
            hub: &mut hub,
            worker,
            claims,
            target,
            time,
            refused: Vec::new(),
            told: Told::default(),
        };
        parked.for_each(|own| settling.settle(own));
        let Settling { refused, told, .. } = settling;
        drop(hub);
        self.again.borrow_mut().end_settling(worker, time.now());
        self.flush();
        self.refuse(worker, refused);
        told.send(worker, claims, &self.mailbox);
    }
}

impl Settling<'_> {
    /// One goes, waits on, or is told why it does not.
    fn settle(&mut self, mut own: ParkedRequest) {
        let (worker, forward) = (self.worker, own.request.forward);
        if !is_queued(worker, forward.id) {
            return;
        }
        if let Some(answer) = self.hub.callers.answer_lost(&forward) {
            return self.answer(&forward, answer);
        }
        self.hub.follow_caller(&mut own, self.claims);
        let is_there = self.hub.callers.of(session_of(forward.key)).is_some();
        if own.client.pinned.is_some() && !is_there {
            // Its client is gone, and nothing would close a link that is opened for it now.
            return self.refused.push((forward.id, NoLink::Paused));
        }
        if forward.key.stream != 0 && !self.is_of_caller(&own) {
            // It needs no link to be told that.
            let caller = self.hub.callers.of(session_of(forward.key));
            let answer = caller.map_or(Ok(()), |own| own.answer_left(&forward));
            return self.answer(&forward, answer);
        }
        match self.link_for(&own) {
            Ok(link) => self.send(own, &link),
            Err(why) => self.keep(own, why),
        }
    }

    fn answer(&mut self, forward: &Forward, answer: Result<(), Error>) {
        self.told.answers.push((forward.id, forward.sync, answer));
    }

    /// Whether the one who calls from its session by now is the one who has sent it.
    fn is_of_caller(&mut self, own: &ParkedRequest) -> bool {
        let caller = self.hub.callers.of(session_of(own.request.forward.key));
        caller.is_some_and(|caller| caller.is_client(&own.client))
    }

    /// The link for a request: that to which its stream is bound, or else that of whom it is from.
    fn link_for(&mut self, own: &ParkedRequest) -> Result<Rc<LinkCell>, NoLink> {
        let (links, key) = (self.links, own.request.forward.key);
        let caller = self.hub.callers.of(session_of(key));
        if let Some(link) = caller.and_then(|own| own.bound_to(links, key)) {
            return Ok(link.clone());
        }
        let again = links.again.borrow();
        let is_paused = again.is_paused(key.connection, &own.client.user);
        let id = own.request.forward.id;
        if is_paused || !again.tries.may_try(id, self.target, self.time.now()) {
            return Err(NoLink::Paused);
        }
        drop(again);
        let turn = (self.worker, self.time);
        links.find_link(self.hub, &own.client, key.session, self.target, turn)
    }

    /// A request goes over this link.
    fn send(&mut self, own: ParkedRequest, link: &Rc<LinkCell>) {
        let forward = own.request.forward;
        if !self.enter(&own, link) {
            return;
        }
        let body = ForwardBody::Own(own.request.body);
        let submitted = (self.links).submit(self.hub, self.worker, link, forward, body);
        if let Err(error) = submitted {
            return self.refuse_begin(&forward, error);
        }
        if let Some(abort) = self.links.take_abort(&forward) {
            self.hub.abort(&abort, self.claims, &mut self.told);
        }
    }

    /// All requests of its session go over this link from now on. False if this one is answered
    /// here.
    fn enter(&mut self, own: &ParkedRequest, link: &Rc<LinkCell>) -> bool {
        let (links, forward) = (self.links, &own.request.forward);
        let key = forward.key;
        if !self.is_of_caller(own) {
            return true;
        }
        let Some(caller) = self.hub.callers.of(session_of(key)) else {
            return true;
        };
        let (seen, may_finish) = (links.seen.get(), |own: &LinkCell| links.may_finish(own));
        let aborted = &mut self.told.aborted;
        caller.leave_finished(seen, may_finish, self.claims, aborted);
        if caller.bound_to(links, key).is_none() {
            links.enter(self.hub, key.session, link, self.claims, aborted);
        }
        if key.stream == 0 {
            return true;
        }
        let max = transactions_max(self.worker);
        let Some(caller) = self.hub.callers.get_mut(key.session) else {
            return true;
        };
        let answer = caller.answer_in_stream(meaning(forward), key, link, max);
        let Some(answer) = answer else {
            return true;
        };
        match answer {
            Ok(()) => self.answer(forward, Ok(())),
            Err(error) => self.refuse_begin(forward, error),
        }
        false
    }

    /// A request is told this. Its client has sent more by now, and did not know: nothing of a
    /// transaction goes without its beginning.
    fn refuse_begin(&mut self, forward: &Forward, error: Error) {
        (self.hub.callers).lose_unbegun(forward.key, forward.step);
        self.answer(forward, Err(error));
    }

    /// There is no link for a request: it waits on, if that may change soon, and it has not waited
    /// for too long.
    fn keep(&mut self, own: ParkedRequest, why: NoLink) {
        let forward = own.request.forward;
        let hold = self.links.gateway.config.failover_hold;
        let tried_since = self
            .links
            .again
            .borrow()
            .tries
            .since(forward.id, self.target);
        let since = tried_since.unwrap_or(own.since);
        let waited = (self.time.now()).saturating_duration_since(since);
        if matches!(why, NoLink::Paused) && waited < hold {
            let (worker, again) = (self.worker, &mut self.links.again.borrow_mut());
            again.pause(forward.key.connection, own.client.user.clone());
            // There was room for it.
            let _ = again.parked.push(own, |id| is_queued(worker, id));
            return;
        }
        self.refused.push((forward.id, why));
        // Nothing of a transaction goes without its beginning.
        (self.hub.callers).lose_unbegun(forward.key, forward.step);
    }
}
