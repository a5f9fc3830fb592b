//! One batch of a worker, put on links.
//!
//! ```text
//!   cancels ─▶ entries, each: who calls? ─▶ which link? ─▶ in a stream that is lost? ─▶ submitted
//!                                             └ none: refused    └ answered here
//!   ─▶ sessions that are gone, or have read ─▶ links are flushed ─▶ what was answered here is told
//! ```

use std::rc::Rc;

use vestibule_wire::Error;
use vestibule_wire::keys::RequestType;

use super::cell::LinkCell;
use super::entries::{body_of, forward_of, meaning};
use super::hub::{Hub, Links, check_catalog};
use super::pause::TurnTime;
use super::refusals::NoLink;
use super::told::Told;
use crate::admission::Class;
use crate::cells::claims::{Claims, RequestId};
use crate::connection::orphaned::OrphanFate;
use crate::messages::SessionId;
use crate::messages::post::Post as _;
use crate::messages::tx::{
    AbortedTransaction, Batch, BatchEntry, CallerUpdate, Cancel, Replies, TransactionEffect,
    UnsentStep,
};
use crate::resources::WorkerCell;
use crate::resources::outgoing::{TakeBatch, UnsentBegin};
use crate::upstream::{
    ClientStream, Destination, Forward, ForwardBody, KeptRequest, ReplicaRead, SessionRequest,
    StreamStep,
};

/// A batch as it is taken.
pub(super) struct Taking<'a> {
    pub(super) links: &'a Links,
    pub(super) hub: &'a mut Hub,
    pub(super) worker: &'a Rc<WorkerCell>,
    pub(super) claims: &'a Claims,
    pub(super) destination: Destination,
    pub(super) time: &'a TurnTime,
    pub(super) refused: Vec<(RequestId, NoLink)>,
    /// The entry at hand sets something.
    pub(super) is_setting: bool,
    pub(super) told: Told,
    /// Aborts of transactions whose BEGIN is in this batch.
    aborts: Vec<Cancel>,
}

impl TakeBatch for Links {
    fn take(&self, batch: &mut Batch) {
        let Some(worker) = self.worker.upgrade() else {
            return;
        };
        let destination = self.look(&worker);
        let time = TurnTime::new(worker.shared.clock);
        self.gateway.reads.refresh(&mut self.reads.borrow_mut());
        if !self.again.borrow().is_empty() {
            // They came before, and go to the same place as these.
            self.settle_for(&worker, destination, &time);
        }
        let claims = &worker.shared.counters[worker.index].claims;
        let mut hub = self.state.borrow_mut();
        let mut taking = Taking {
            links: self,
            hub: &mut hub,
            worker: &worker,
            claims,
            destination,
            time: &time,
            refused: Vec::new(),
            is_setting: false,
            told: Told::default(),
            aborts: Vec::new(),
        };
        taking.take_cancels(batch);
        taking.take_entries(batch);
        let Taking { refused, told, .. } = taking;
        for session in &batch.disconnects {
            hub.callers.forget(*session, claims);
            hub.has_read(session.connection);
            hub.forget_statements(session.connection);
            if hub.has_pins {
                hub.unpin(session.connection);
            }
        }
        for connection in &batch.roomy {
            hub.has_read(*connection);
        }
        drop(hub);
        self.flush();
        self.refuse(&worker, refused);
        told.send(&worker, claims, &self.mailbox);
    }

    fn undo_begin(&self, begin: UnsentBegin) {
        let Some(worker) = self.worker.upgrade() else {
            return;
        };
        let claims = &worker.shared.counters[worker.index].claims;
        let mut told = Told::default();
        // What waits nowhere is under way, or was answered with what stood before it.
        let _ = (self.state.borrow_mut()).undo_begin(self, begin, claims, &mut told);
        told.send(&worker, claims, &self.mailbox);
    }
}

impl Links {
    /// Tells sessions which of their transactions are aborted.
    pub(super) fn tell_aborted(&self, aborted: Vec<AbortedTransaction>) {
        if !aborted.is_empty() {
            self.mailbox.replies.post(Box::new(Replies {
                aborted,
                ..Replies::default()
            }));
        }
    }
}

impl Taking<'_> {
    /// What sessions have cancelled is before everything else, but not before the BEGIN that it is
    /// of.
    fn take_cancels(&mut self, batch: &mut Batch) {
        for cancel in batch.cancels.drain(..) {
            let is_its = |own: &BatchEntry| Some(own.id) == cancel.begin;
            if matches!(cancel.transaction, TransactionEffect::Untouched) {
                // What was sent is the upstream's to end.
            } else if batch.entries.iter().any(is_its) {
                self.aborts.push(cancel);
            } else {
                self.abort(cancel);
            }
        }
    }

    fn take_entries(&mut self, batch: &mut Batch) {
        let mut large = batch.large.drain(..);
        for (index, entry) in batch.entries.iter().enumerate() {
            while let Some(update) = batch.caller_updates.front()
                && update.before <= index
            {
                self.set_caller(update);
                batch.caller_updates.pop_front();
            }
            while let Some(step) = batch.unsent_steps.front()
                && step.before <= index
            {
                self.lose_unsent(step);
                batch.unsent_steps.pop_front();
            }
            let large = match entry.is_large {
                true => large.next(),
                false => None,
            };
            let body = body_of(&batch.bytes, entry, large);
            if let ForwardBody::Own(own) = &body
                && own.len() >= self.links.gateway.bulk.bytes_min
            {
                self.note_large_request(entry.session);
            }
            self.take_entry(entry, body);
        }
        for update in batch.caller_updates.drain(..) {
            self.set_caller(&update);
        }
        for step in batch.unsent_steps.drain(..) {
            self.lose_unsent(&step);
        }
    }

    /// A call was given up that its session had held: what comes behind it in its stream is not
    /// done alone, up to its end, of which its client was told as well.
    #[cold]
    fn lose_unsent(&mut self, step: &UnsentStep) {
        let Some(caller) = self.hub.callers.of(step.session) else {
            return;
        };
        if step.is_end {
            let _ = caller.answer_lost(step.stream, RequestType::Commit);
        } else {
            let key = caller.key(step.session.index, step.stream);
            self.hub.callers.lose_unbegun(key, StreamStep::MayBegin);
        }
    }

    /// From here on, this one calls from a session.
    fn set_caller(&mut self, update: &CallerUpdate) {
        let aborted = &mut self.told.aborted;
        if self.hub.callers.set(update, self.claims, aborted) {
            let session = SessionId {
                index: update.session,
                connection: update.caller.connection,
            };
            let turn = (self.worker, self.time);
            (self.links).answer_left(self.hub, turn, session, &mut self.told);
        }
    }

    #[inline]
    fn take_entry(&mut self, entry: &BatchEntry, body: ForwardBody<'_>) {
        match SessionRequest::of(entry.code, body.bytes()) {
            SessionRequest::Nothing => self.take_plain(entry, body),
            SessionRequest::ByNumber => self.take_by_number(entry, body),
            request => self.take_of_session(entry, request, body),
        }
    }

    #[inline]
    pub(super) fn take_plain(&mut self, entry: &BatchEntry, body: ForwardBody<'_>) {
        if entry.replica_read != ReplicaRead::No
            && let Some((link, number)) = self.link_for_read(entry)
        {
            return self.take_read(entry, body, (&link, number));
        }
        let (link, key) = match self.link_of(entry) {
            Ok(own) => own,
            Err(why) => {
                self.take_without_link(entry, body, why);
                return self.abort_begun_by(entry);
            }
        };
        if key.stream != 0
            && let Some(answer) = self.answer_in_stream(entry, &link, key)
        {
            return self.told.answers.push((entry.id, entry.sync, answer));
        }
        let forward = self.forward(entry, key, body.bytes());
        let submitted = (self.links).submit(self.hub, self.worker, &link, forward, body);
        if let Err(error) = submitted {
            self.told.answers.push((entry.id, entry.sync, Err(error)));
        }
        self.abort_begun_by(entry);
    }

    /// The link to a replica that answers a SELECT, and that replica's number of its catalog.
    fn link_for_read(&mut self, entry: &BatchEntry) -> Option<(Rc<LinkCell>, u64)> {
        let read = (entry.session, entry.replica_read);
        (self.links).link_for_read(self.hub, self.time, self.destination, read)
    }

    /// A SELECT goes to a replica. Who tells which catalog it was made for is told by that if it is
    /// another one by then.
    fn take_read(
        &mut self,
        entry: &BatchEntry,
        body: ForwardBody<'_>,
        (link, number): (&Rc<LinkCell>, u64),
    ) {
        let Some(caller) = self.hub.callers.get(entry.session) else {
            return;
        };
        let key = caller.key(entry.session, entry.stream);
        let mut forward = self.forward(entry, key, body.bytes());
        if forward.catalog != 0 {
            // It is that of the writer's number, which was compared with the last one that is seen.
            if let Err(error) = check_catalog(self.worker, &forward) {
                return self.told.answers.push((entry.id, entry.sync, Err(error)));
            }
            forward.schema_version = number;
        }
        (self.links).submit_as(self.hub, link, forward, body, self.claims);
    }

    #[inline]
    fn forward(&mut self, entry: &BatchEntry, key: ClientStream, body: &[u8]) -> Forward {
        self.hub.last += 1;
        let harmless = &self.links.gateway.config.retry_calls;
        // Changed where it stands: it is large.
        let mut forward = forward_of(entry, key, body, self.hub.last, harmless);
        forward.is_setting = self.is_setting;
        forward
    }

    /// A request that goes over no link now waits for one, if that may change soon. What is in a
    /// stream whose transaction is not there any more need not wait.
    #[cold]
    fn take_without_link(&mut self, entry: &BatchEntry, body: ForwardBody<'_>, why: NoLink) {
        let Some(caller) = self.hub.callers.get_mut(entry.session) else {
            return self.refused.push((entry.id, why));
        };
        let is_in_stream = entry.stream != 0;
        if is_in_stream && let Some(answer) = caller.answer_lost(entry.stream, entry.meaning) {
            return self.told.answers.push((entry.id, entry.sync, answer));
        }
        let (client, key) = (caller.client(), caller.key(entry.session, entry.stream));
        let forward = self.forward(entry, key, body.bytes());
        let request = KeptRequest::unsent(forward, body);
        let parked = self
            .links
            .park(self.worker, why, client, (request, self.time));
        if parked.is_err() {
            self.hub.callers.lose_unbegun(key, forward.step);
        }
        self.refused.extend(parked.err());
    }

    /// The link that a session's request goes over, opened if need be.
    #[inline]
    fn link_of(&mut self, entry: &BatchEntry) -> Result<(Rc<LinkCell>, ClientStream), NoLink> {
        let session = entry.session;
        let caller = self.hub.callers.get(session).ok_or(NoLink::NoUpstream)?;
        let key = caller.key(session, entry.stream);
        let is_good = |own: &&Rc<LinkCell>| {
            Destination::To(own.incarnation) == self.destination && !own.is_retired.get()
        };
        match caller.link.as_ref().filter(is_good) {
            Some(link)
                if caller.leaving.is_none() && !caller.is_outdated && caller.bulk.is_small() =>
            {
                Ok((link.clone(), key))
            }
            _ => self.other_link_of(key).map(|link| (link, key)),
        }
    }

    /// The same where requests went over another link before.
    #[cold]
    fn other_link_of(&mut self, key: ClientStream) -> Result<Rc<LinkCell>, NoLink> {
        let (links, session) = (self.links, key.session);
        let caller = self.hub.callers.get_mut(session);
        let caller = caller.ok_or(NoLink::NoUpstream)?;
        let (seen, may_finish) = (links.seen.get(), |own: &LinkCell| links.may_finish(own));
        caller.leave_finished(seen, may_finish, self.claims, &mut self.told.aborted);
        if let Some(link) = caller.bound_to(links, key) {
            return Ok(link.clone());
        }
        let target = match self.destination {
            Destination::To(target) => target,
            Destination::Held => return Err(NoLink::Held),
            Destination::Nowhere => return Err(NoLink::NoUpstream),
        };
        caller.unpin_unused(self.claims);
        let client = caller.client();
        if (links.again.borrow()).is_paused(key.connection, &client.user) {
            // It is not to be ahead of that.
            return Err(NoLink::Paused);
        }
        self.go_by_size(session, target);
        let caller = self.hub.callers.get(session);
        let client = caller.ok_or(NoLink::NoUpstream)?.client();
        let turn = (self.worker, self.time);
        let link = links.find_link(self.hub, &client, session, target, turn)?;
        let aborted = &mut self.told.aborted;
        links.enter(self.hub, session, &link, self.claims, aborted);
        Ok(link)
    }

    /// What a request in a stream is answered here; `None` if it goes on.
    fn answer_in_stream(
        &mut self,
        entry: &BatchEntry,
        link: &LinkCell,
        key: ClientStream,
    ) -> Option<Result<(), Error>> {
        let max = transactions_max(self.worker);
        let caller = self.hub.callers.get_mut(key.session)?;
        caller.answer_in_stream(entry.meaning, key, link, max)
    }

    /// Applies what was cancelled of the transaction that this begins, or may begin.
    #[inline]
    fn abort_begun_by(&mut self, entry: &BatchEntry) {
        if !self.aborts.is_empty() {
            self.abort_all_begun_by(entry);
        }
    }

    #[cold]
    fn abort_all_begun_by(&mut self, entry: &BatchEntry) {
        let is_its = |own: &mut Cancel| own.begin == Some(entry.id);
        let own: Vec<_> = self.aborts.extract_if(.., is_its).collect();
        for own in own {
            match self.claims.phase(entry.id) {
                // It was taken back.
                None => self.give_up_unbegun(entry, own.session),
                Some(_) => self.abort(own),
            }
        }
    }

    #[cold]
    fn give_up_unbegun(&mut self, entry: &BatchEntry, session: SessionId) {
        let begin = UnsentBegin {
            session,
            stream: entry.stream,
            begin: entry.id,
            is_begin: entry.class == Class::Begin,
        };
        let (hub, told) = (&mut *self.hub, &mut self.told);
        if !hub.undo_begin(self.links, begin, self.claims, told)
            && let Some(caller) = hub.callers.of(session)
        {
            // It would have gone at once.
            let key = caller.key(session.index, entry.stream);
            hub.callers.lose_unbegun(key, StreamStep::of(entry.meaning));
        }
    }

    /// Ends a transaction, or will when its BEGIN is sent that is parked.
    fn abort(&mut self, cancel: Cancel) {
        if !self.hub.abort(&cancel, self.claims, &mut self.told) {
            self.links.abort_parked(self.worker, cancel);
        }
    }
}

impl Hub {
    /// Ends the transaction of a stream, if it is that of the BEGIN that is named: it is rolled
    /// back, before what is not sent of it. False if no link has that BEGIN.
    pub(super) fn abort(&mut self, cancel: &Cancel, claims: &Claims, told: &mut Told) -> bool {
        let error = match &cancel.transaction {
            TransactionEffect::Aborted(error) | TransactionEffect::Ended(error) => error,
            TransactionEffect::Untouched => return true,
        };
        let Some((begin, caller)) = cancel.begin.zip(self.callers.of(cancel.session)) else {
            return true;
        };
        let key = caller.key(cancel.session.index, cancel.stream);
        let abort = |link: &Rc<LinkCell>| {
            let behind = link.link.borrow_mut().abort(key, begin, claims);
            behind.map(|behind| (link.clone(), behind))
        };
        let Some((link, behind)) = caller.links().find_map(abort) else {
            return false;
        };
        caller
            .lost
            .add(key.stream, OrphanFate::Aborted(error.clone()));
        for (forward, body) in behind {
            match caller.lost.answer(key.stream, meaning(&forward)) {
                Some(answer) => told.answers.push((forward.id, forward.sync, answer)),
                None => {
                    let body = ForwardBody::Own(body);
                    link.link.borrow_mut().submit(forward, body, claims);
                }
            }
        }
        link.wake();
        true
    }
}

/// How many transactions of a connection may be open.
pub(super) fn transactions_max(worker: &WorkerCell) -> usize {
    let quotas = &worker.shared.config.quotas;
    quotas.transactions_per_connection_max
}
