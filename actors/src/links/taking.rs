//! One batch of a worker, put on links.
//!
//! ```text
//!   cancels ─▶ entries, each: who calls? ─▶ which link? ─▶ in a stream that is lost? ─▶ submitted
//!                                             └ none: refused    └ answered here
//!   ─▶ sessions that are gone ─▶ links are flushed ─▶ what was answered here is told
//! ```

use std::rc::Rc;

use vestibule_wire::keys::RequestType;
use vestibule_wire::reply::ReplyHeader;
use vestibule_wire::{Error, ErrorCode};

use super::callers::Leaving;
use super::cell::LinkCell;
use super::entries::{body_of, forward_of, step};
use super::hub::{Hub, Links};
use super::refusals::NoLink;
use crate::admission::Class;
use crate::cells::claims::{Claims, RequestId};
use crate::connection::orphaned::OrphanFate;
use crate::messages::tx::{
    AbortedTransaction, Batch, BatchEntry, Cancel, Replies, TransactionEffect,
};
use crate::resources::WorkerCell;
use crate::resources::outgoing::TakeBatch;
use crate::upstream::{ClientStream, Destination, Forward, ForwardBody, KeptRequest, StreamStep};

/// What is answered here.
#[derive(Default)]
struct Told {
    answers: Vec<(RequestId, u64, Result<(), Error>)>,
    aborted: Vec<AbortedTransaction>,
}

/// A batch as it is taken.
struct Taking<'a> {
    links: &'a Links,
    hub: &'a mut Hub,
    worker: &'a Rc<WorkerCell>,
    claims: &'a Claims,
    destination: Destination,
    /// The version of the catalog that clients know who tell one.
    catalog: u64,
    refused: Vec<(RequestId, NoLink)>,
    told: Told,
    /// Aborts of transactions whose BEGIN is in this batch.
    aborts: Vec<Cancel>,
}

impl TakeBatch for Links {
    fn take(&self, batch: &mut Batch) {
        let Some(worker) = self.worker.upgrade() else {
            return;
        };
        if self.again.borrow().has_parked() {
            // They came before.
            self.settle(&worker);
        }
        let claims = &worker.shared.counters[worker.index].claims;
        let mut hub = self.state.borrow_mut();
        let mut taking = Taking {
            links: self,
            hub: &mut hub,
            worker: &worker,
            claims,
            destination: self.gateway.destination(),
            catalog: worker.shared.schema_version(),
            refused: Vec::new(),
            told: Told::default(),
            aborts: Vec::new(),
        };
        taking.take_cancels(batch);
        taking.take_entries(batch);
        let Taking { refused, told, .. } = taking;
        for session in &batch.disconnects {
            hub.callers.forget(*session, claims);
        }
        drop(hub);
        self.flush();
        self.refuse(&worker, refused);
        self.tell(&worker, claims, told);
    }
}

impl Links {
    /// Tells sessions what was answered here.
    fn tell(&self, worker: &WorkerCell, claims: &Claims, told: Told) {
        let Told { answers, aborted } = told;
        if answers.is_empty() && aborted.is_empty() {
            return;
        }
        let mut replies = Box::new(Replies {
            aborted,
            ..Replies::default()
        });
        for (id, sync, answer) in answers {
            if !claims.claim(id) {
                continue;
            }
            let header = ReplyHeader {
                sync,
                schema_version: worker.shared.schema_version(),
            };
            match answer {
                Ok(()) => header.write_empty(&mut replies.bytes),
                Err(error) => header.write_error(&mut replies.bytes, &error),
            }
            replies.push_head(id, sync);
        }
        self.mailbox.replies.do_send(replies);
    }

    /// Tells sessions which of their transactions are aborted.
    pub(super) fn tell_aborted(&self, aborted: Vec<AbortedTransaction>) {
        if !aborted.is_empty() {
            self.mailbox.replies.do_send(Box::new(Replies {
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
                self.abort(&cancel);
            }
        }
    }

    fn take_entries(&mut self, batch: &mut Batch) {
        let mut large = batch.large.drain(..).peekable();
        for (index, entry) in batch.entries.iter().enumerate() {
            while let Some(update) = batch.caller_updates.front()
                && update.before <= index
            {
                let aborted = &mut self.told.aborted;
                self.hub.callers.set(update, self.claims, aborted);
                batch.caller_updates.pop_front();
            }
            let large = large.next_if(|own| own.index == index);
            self.take_entry(entry, body_of(&batch.bytes, entry, large));
        }
        for update in batch.caller_updates.drain(..) {
            let aborted = &mut self.told.aborted;
            self.hub.callers.set(&update, self.claims, aborted);
        }
    }

    #[inline]
    fn take_entry(&mut self, entry: &BatchEntry, body: ForwardBody<'_>) {
        let (link, key) = match self.link_of(entry) {
            Ok(own) => own,
            Err(why) => return self.take_without_link(entry, body, why),
        };
        if key.stream != 0
            && let Some(answer) = self.answer_in_stream(entry, &link, key)
        {
            return self.told.answers.push((entry.id, entry.sync, answer));
        }
        let forward = self.forward(entry, key, body.bytes());
        (self.links).submit(self.hub, &link, forward, body, self.claims);
        if entry.class == Class::Begin && !self.aborts.is_empty() {
            self.abort_begun_by(entry.id);
        }
    }

    #[inline]
    fn forward(&mut self, entry: &BatchEntry, key: ClientStream, body: &[u8]) -> Forward {
        self.hub.last += 1;
        Forward {
            number: self.hub.last,
            catalog: if entry.is_versioned { self.catalog } else { 0 },
            ..forward_of(entry, key, body, &self.links.gateway.config.retry_calls)
        }
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
        let parked = self.links.park(self.worker, why, client, request);
        self.refused.extend(parked.err());
    }

    /// The link that a session's request goes over, opened if need be.
    #[inline]
    fn link_of(&mut self, entry: &BatchEntry) -> Result<(Rc<LinkCell>, ClientStream), NoLink> {
        let session = entry.session;
        let target = match self.destination {
            Destination::To(target) => target,
            Destination::Held => return Err(NoLink::Held),
            Destination::Nowhere => return Err(NoLink::NoUpstream),
        };
        let caller = self.hub.callers.get(session).ok_or(NoLink::NoUpstream)?;
        let key = caller.key(session, entry.stream);
        let is_good = |own: &&Rc<LinkCell>| own.incarnation == target && !own.is_retired.get();
        if let Some(link) = caller.link.as_ref().filter(is_good) {
            return Ok((link.clone(), key));
        }
        let client = caller.client();
        let link = (self.links).find_link(self.hub, &client, target, self.worker)?;
        if let Some(caller) = self.hub.callers.get_mut(session) {
            let aborted = &mut self.told.aborted;
            caller.leave(session, Leaving::Target, self.claims, aborted);
            caller.link = Some(link.clone());
        }
        Ok((link, key))
    }

    /// What a request in a stream is answered here; `None` if it goes on.
    fn answer_in_stream(
        &mut self,
        entry: &BatchEntry,
        link: &LinkCell,
        key: ClientStream,
    ) -> Option<Result<(), Error>> {
        let caller = self.hub.callers.get_mut(key.session)?;
        caller.uses_streams = true;
        let lost = caller.answer_lost(key.stream, entry.meaning);
        if lost.is_some() || !step(entry.meaning).may_begin() {
            return lost;
        }
        let own = link.link.borrow();
        let open = own.open_of(key.connection) + caller.lost.len();
        let max = self
            .worker
            .shared
            .config
            .quotas
            .transactions_per_connection_max;
        if open < max || own.may_be_open(key) {
            return None;
        }
        let text =
            format!("Too many streams of this connection may have a transaction open: {max}");
        Some(Err(Error::new(ErrorCode::ILLEGAL_PARAMS, text)))
    }

    fn abort_begun_by(&mut self, begin: RequestId) {
        let aborts = std::mem::take(&mut self.aborts);
        let (own, others) = aborts.into_iter().partition(|own| own.begin == Some(begin));
        self.aborts = others;
        let own: Vec<Cancel> = own;
        own.iter().for_each(|own| self.abort(own));
    }

    /// Ends the transaction of a stream, if it is that of the BEGIN that is named: it is rolled
    /// back, before what is not sent of it.
    fn abort(&mut self, cancel: &Cancel) {
        let error = match &cancel.transaction {
            TransactionEffect::Aborted(error) | TransactionEffect::Ended(error) => error,
            TransactionEffect::Untouched => return,
        };
        let Some((begin, caller)) = cancel.begin.zip(self.hub.callers.of(cancel.session)) else {
            return;
        };
        let Some(link) = caller.link.clone() else {
            return;
        };
        let key = caller.key(cancel.session.index, cancel.stream);
        let behind = link.link.borrow_mut().abort(key, begin, self.claims);
        let Some(behind) = behind else { return };
        caller
            .lost
            .add(key.stream, OrphanFate::Aborted(error.clone()));
        for (forward, body) in behind {
            match caller.lost.answer(key.stream, meaning(&forward)) {
                Some(answer) => self.told.answers.push((forward.id, forward.sync, answer)),
                None => {
                    let body = ForwardBody::Own(body);
                    link.link.borrow_mut().submit(forward, body, self.claims);
                }
            }
        }
        link.wake();
    }
}

/// What one that waits means, as far as it matters in a stream that is lost.
fn meaning(forward: &Forward) -> RequestType {
    match forward.step {
        StreamStep::Begin => RequestType::Begin,
        StreamStep::Commit => RequestType::Commit,
        StreamStep::Rollback => RequestType::Rollback,
        // Of a statement it does not matter which one it is.
        StreamStep::MayBegin | StreamStep::Nothing => RequestType::Select,
    }
}
