//! What becomes of transactions whose BEGIN is not sent: nothing behind it is done, until its
//! client ends what it takes for a transaction. A call and SQL in a stream may begin one as well,
//! as far as is known here.
//!
//! ```text
//!   BEGIN taken back ──┬─▶ on a link ─▶ taken out there, as a transaction that is aborted
//!                      └─▶ parked ────▶ what waits behind it is answered with 97
//!   call taken back ─────▶ the same, but that its stream is lost, and that what is open by what
//!                          was sent in that before goes on
//!   no link for it ────────┬─▶ its stream is lost: what comes in it is answered with 97,
//!   not sent again ────────┘   up to COMMIT, ROLLBACK or the next BEGIN
//! ```

use std::collections::BTreeSet;
use std::rc::Rc;

use vestibule_wire::Error;

use super::again::is_queued;
use super::callers::{Leaving, SessionCaller, SessionCallers, session_of};
use super::cell::LinkCell;
use super::entries::meaning;
use super::hub::{Hub, Links};
use super::pause::TurnTime;
use super::told::Told;
use crate::cells::claims::Claims;
use crate::connection::orphaned::{OrphanFate, aborted_by};
use crate::messages::SessionId;
use crate::messages::tx::{Cancel, TransactionEffect};
use crate::resources::WorkerCell;
use crate::resources::outgoing::UnsentBegin;
use crate::upstream::{ClientStream, Forward, StreamStep};

impl Hub {
    /// A BEGIN is not sent, or a call or SQL in a stream, wherever it waits, or has waited. False
    /// if it is no BEGIN and waits nowhere.
    pub(super) fn undo_begin(
        &mut self,
        links: &Links,
        begin: UnsentBegin,
        claims: &Claims,
        told: &mut Told,
    ) -> bool {
        if !begin.is_begin {
            return self.undo_call(links, begin, claims, told);
        }
        let cancel = Cancel {
            id: begin.begin,
            session: begin.session,
            stream: begin.stream,
            begin: Some(begin.begin),
            transaction: TransactionEffect::Ended(aborted_unbegun(StreamStep::Begin)),
        };
        if !self.abort(&cancel, claims, told) {
            links.give_up_unbegun(self, begin, told);
        }
        true
    }

    /// A call or SQL in a stream is not sent: nothing is done behind it that may belong to what it
    /// was to begin. False if it does not wait.
    fn undo_call(
        &mut self,
        links: &Links,
        call: UnsentBegin,
        claims: &Claims,
        told: &mut Told,
    ) -> bool {
        let Some(caller) = self.callers.of(call.session) else {
            return true;
        };
        let key = caller.key(call.session.index, call.stream);
        let found = caller.links().find_map(|link| {
            let own = link.link.borrow();
            let lost = own.not_done_without(key, call.begin, claims)?;
            Some((link.clone(), lost))
        });
        let Some((link, lost)) = found else {
            return links.give_up_call(self, call, key, told);
        };
        let is_other = |own: &&Rc<LinkCell>| !Rc::ptr_eq(own, &link);
        let is_open = |own: &Rc<LinkCell>| own.link.borrow().may_be_open(key);
        if lost.is_empty() || caller.links().filter(is_other).any(is_open) {
            return true;
        }
        caller.lose_unbegun(key.stream, StreamStep::MayBegin);
        let mut numbers = BTreeSet::new();
        for forward in lost {
            let Some(answer) = caller.lost.answer(key.stream, meaning(&forward)) else {
                // Its client has ended it, or begins another one.
                break;
            };
            told.answers.push((forward.id, forward.sync, answer));
            numbers.insert(forward.number);
        }
        link.link.borrow_mut().drop_unsent(key, &numbers);
        link.wake();
        true
    }
}

impl Links {
    /// The transactions of these streams, which were open, are not there any more: what waits here
    /// of them is answered now. Later it might be done alone, for the client may have ended by then
    /// what it takes for a transaction.
    pub(super) fn answer_parked(&self, worker: &WorkerCell, lost: &BTreeSet<ClientStream>) {
        if lost.is_empty() || self.again.borrow().parked.is_empty() {
            return;
        }
        let callers = &mut self.state.borrow_mut().callers;
        let parked = &mut self.again.borrow_mut().parked;
        let (mut told, now) = (Told::default(), worker.shared.clock.now());
        let connections: BTreeSet<_> = lost.iter().map(|own| own.connection).collect();
        for connection in connections {
            let taken = parked.take_answered(connection, now, |own| {
                let is_of_lost = lost.contains(&own.key) && is_queued(worker, own.id);
                is_of_lost.then(|| callers.answer_lost(own)).flatten()
            });
            told.add_parked(taken);
        }
        let claims = &worker.shared.counters[worker.index].claims;
        told.send(worker, claims, &self.mailbox);
    }

    /// Another user has logged in on a connection: what waits here in its streams is answered now,
    /// and so is what comes of transactions that would be open behind that. Who sent it may be the
    /// user again before there is a link for it, and what came in between would be missing.
    pub(super) fn answer_left(
        &self,
        hub: &mut Hub,
        (worker, time): (&Rc<WorkerCell>, &TurnTime),
        session: SessionId,
        told: &mut Told,
    ) {
        let Some(caller) = hub.callers.of(session) else {
            return;
        };
        let parked = &mut self.again.borrow_mut().parked;
        let taken = parked.take_answered(session.connection, time.now(), |own| {
            let is_in_stream = own.key.stream != 0 && is_queued(worker, own.id);
            is_in_stream.then(|| caller.answer_left(own))
        });
        told.add_parked(taken);
    }

    /// No link has the call or SQL: if it is parked, so is what may belong to what it was to begin.
    /// False if it is not.
    fn give_up_call(
        &self,
        hub: &mut Hub,
        call: UnsentBegin,
        key: ClientStream,
        told: &mut Told,
    ) -> bool {
        let (connection, id) = (key.connection, call.begin);
        let step = self.again.borrow().parked.step_of(connection, id);
        let caller = hub.callers.of(call.session);
        let is_open = caller.is_some_and(|own| own.may_be_open(key));
        if step == Some(StreamStep::MayBegin) && !is_open {
            self.give_up_unbegun(hub, call, told);
        }
        step.is_some()
    }

    /// No link has the BEGIN: what waits of its transaction is answered, and so is what comes of
    /// it.
    fn give_up_unbegun(&self, hub: &mut Hub, begin: UnsentBegin, told: &mut Told) {
        let Some(worker) = self.worker.upgrade() else {
            return;
        };
        let Some(caller) = hub.callers.of(begin.session) else {
            return;
        };
        let key = caller.key(begin.session.index, begin.stream);
        let step = match begin.is_begin {
            true => StreamStep::Begin,
            false => StreamStep::MayBegin,
        };
        let parked = &mut self.again.borrow_mut().parked;
        let now = worker.shared.clock.now();
        let (taken, has_end) = parked.take_transaction(key, begin.begin, now);
        for forward in taken.iter().filter(|own| own.id != begin.begin) {
            let answer = match forward.step {
                StreamStep::Rollback => Ok(()),
                _ => Err(aborted_unbegun(step)),
            };
            told.answers.push((forward.id, forward.sync, answer));
        }
        if !has_end {
            caller.lose_unbegun(begin.stream, step);
        }
    }
}

impl SessionCaller {
    /// What a request is answered that waits in a stream, and that another user has sent.
    pub(super) fn answer_left(&mut self, forward: &Forward) -> Result<(), Error> {
        let stream = forward.key.stream;
        if let Some(answer) = self.answer_lost(stream, meaning(forward)) {
            return answer;
        }
        let error = Leaving::Login.error();
        if forward.step.may_begin() {
            self.lost.add(stream, OrphanFate::Unbegun(error.clone()));
        }
        Err(error)
    }

    /// What was to begin a transaction in a stream is not done: nothing behind it is, until its
    /// client ends what it takes for one.
    fn lose_unbegun(&mut self, stream: u64, step: StreamStep) {
        let error = aborted_unbegun(step);
        self.lost.add(stream, OrphanFate::Unbegun(error));
    }
}

impl SessionCallers {
    /// What was to begin a transaction in a stream, or might have, is not done. Where its client
    /// has begun another one by now, that is left alone.
    pub(super) fn lose_unbegun(&mut self, key: ClientStream, step: StreamStep) {
        if key.stream == 0 || !step.may_begin() {
            return;
        }
        if let Some(own) = self.of(session_of(key)).filter(|own| !own.may_be_open(key)) {
            own.lose_unbegun(key.stream, step);
        }
    }

    /// What a request that has waited is answered, if it is in a stream whose transaction is not
    /// there any more.
    pub(super) fn answer_lost(&mut self, forward: &Forward) -> Option<Result<(), Error>> {
        if forward.key.stream == 0 {
            return None;
        }
        let own = self.of(session_of(forward.key))?;
        own.answer_lost(forward.key.stream, meaning(forward))
    }
}

/// The error for what belongs to a transaction of which what was to begin it is not done.
fn aborted_unbegun(step: StreamStep) -> Error {
    aborted_by(match step {
        StreamStep::Begin => "its BEGIN, which was not sent",
        // It may have left one open.
        _ => "a call or SQL in its stream, which was not sent",
    })
}
