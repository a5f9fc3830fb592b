//! The solo policy `hold`: requests that need Tx wait until it hears again, within bounds.
//!
//! ```text
//!   busy ─▶ kept ─┬─ solo ends ──▶ dispatched again, in order
//!                 ├─ time is over ─▶ answered busy; 78 if it is the request's own time,
//!                 │                  231 if it is its transaction's
//!                 ├─ a demotion ──▶ 7 to what the demotion refuses, and, when it is done, to what
//!                 │                 its transactions were aborted of
//!                 └─ no room ──────▶ answered busy at once
//! ```
//!
//! A held request is admitted when it is dispatched, and its epoch is that of its arrival: what was
//! held when a demotion began writes nothing after it, also if the server is promoted again.

use std::time::Instant;

use bytes::Bytes;
use vestibule_wire::header::read_header;
use vestibule_wire::keys::RequestType;
use vestibule_wire::{Error, ErrorCode};

use crate::admission::{Class, Verdict, admit};
use crate::cells::claims::RequestId;
use crate::cells::traffic::{CountedType, Counter, RequestPath};
use crate::connection::held::{HeldPart, HeldRequest, HeldRequests};
use crate::connection::orphaned::aborted_by;
use crate::messages::tx::{Cancel, TransactionEffect};
use crate::serving::DrainTarget;
use crate::session::dispatch::{DecodedRequest, Dispatcher};
use crate::timeouts::{Limit, held_deadline};
use crate::upstream::StreamStep;

impl Dispatcher<'_> {
    /// Keeps a request until solo ends; gives it back if the bounds are reached.
    pub(crate) fn hold(&mut self, request: &DecodedRequest<'_>) -> Result<(), HeldRequest> {
        if self.is_releasing {
            // Solo began again: it goes back to where it was, and the end of that solo wakes it.
            self.is_put_back = true;
            return Ok(());
        }
        let held = HeldRequest {
            since: self.now,
            sync: request.sync,
            stream: request.stream,
            request_type: request.request_type,
            epoch: self.admitted.epoch(),
            read_from: self.session.counts().read_from,
            content: Bytes::copy_from_slice(request.content),
            is_marked: false,
            may_begin: self.may_begin(request),
        };
        // If it is a part of something else, that is looked at too early, and found out then.
        let until = self.held_until(&held, HeldPart::Open).map(|(at, _)| at);
        self.session.hold(held, self.worker.settings.hold)?;
        self.path = None;
        self.session.count(Counter::HELD);
        self.look_by(until);
        Ok(())
    }

    /// Whether a request may begin a transaction, for all that a gateway knows, and is no BEGIN.
    fn may_begin(&self, request: &DecodedRequest<'_>) -> bool {
        let is_call = StreamStep::of(request.request_type) == StreamStep::MayBegin;
        is_call && request.stream != 0 && self.shared.gateway.is_some()
    }

    /// A request was refused that there was no room to hold: what is behind a BEGIN is not done
    /// without that.
    pub(super) fn on_not_held(&mut self, refused: &HeldRequest) {
        if refused.is_begin() && refused.stream != 0 {
            self.session.refuse_begin(refused);
        }
    }

    /// Until when a held request is waited for, and whose limit that is: none for that of holding.
    /// The time of a transaction whose BEGIN is held is looked at when that has been done.
    fn held_until(&self, held: &HeldRequest, part: HeldPart) -> Option<(Instant, Option<Limit>)> {
        let is_rollback = held.request_type == RequestType::Rollback;
        let stream = if part == HeldPart::Open {
            held.stream
        } else {
            0
        };
        let own = self.deadline_of(stream, is_rollback, held.since);
        held_deadline(held.since, self.worker.settings.hold.time_max, own)
    }

    /// Has the worker look at this session at a time, if it does not look before.
    pub(super) fn look_by(&mut self, at: Option<Instant>) {
        let look_at = self.session.look_at();
        if at.is_some_and(|at| look_at.is_none_or(|own| at < own)) {
            self.look(at);
        }
    }

    /// Has the worker look at this session at a time.
    fn look(&mut self, at: Option<Instant>) {
        let before = self.session.set_look(at);
        self.worker.looks.set(self.cell.id, before, at);
        // It sets its timer.
        self.worker.outgoing.wake_flush();
    }

    /// Dispatches held requests when solo has ended, in their order and as long as frames may be
    /// taken.
    pub(crate) fn release_held(&mut self) {
        self.refuse_in_demotion();
        let Some(mut held) = self.session.take_held() else {
            return;
        };
        self.is_releasing = true;
        while !self.shared.serving.load().state.traits().answers_alone
            && self.session.may_take_frame()
            && self.worker.turns.has_time()
            && let Some(request) = held.pop()
        {
            if request.is_marked {
                self.pass_mark(&request);
                continue;
            }
            self.arrived = request.since;
            self.held_epoch = Some(request.epoch);
            self.held_read_from = Some(request.read_from);
            self.worker.turns.spend(1);
            self.dispatch(&request.content);
            self.arrived = self.now;
            (self.held_epoch, self.held_read_from) = (None, None);
            if self.session.has_left_frame() || std::mem::take(&mut self.is_put_back) {
                held.put_back(request);
                break;
            }
            self.session.count(Counter::RELEASED);
            self.count_taken();
        }
        self.is_releasing = false;
        self.keep_held(held);
    }

    /// What was told before to the client of one that was taken out becomes so in its turn: what
    /// is behind its BEGIN is not done without that, a statement of it aborts it, and its COMMIT or
    /// ROLLBACK ends what it ended.
    fn pass_mark(&mut self, mark: &HeldRequest) {
        let stream = mark.stream;
        if mark.is_end() {
            // That is what its client was told of.
            let _ = self.session.answer_orphaned(stream, mark.request_type);
            self.end_given_up(mark, aborted_by("its end, which was not done"), true);
            self.note_unsent(stream, true);
        } else if mark.may_begin {
            // What is open behind what was sent before it, its link knows.
            if self.session.transaction(stream).is_none() {
                self.note_unsent(stream, false);
            }
        } else if !mark.is_begin() {
            let ended = aborted_by("a statement of it, which was not done");
            self.end_given_up(mark, ended, true);
        } else if self.session.transaction(stream).is_none() {
            self.session.orphan_begin(stream);
        }
    }

    /// Before a gateway's upstream, the links know what is open in a stream.
    fn note_unsent(&mut self, stream: u64, is_end: bool) {
        if self.shared.gateway.is_some() {
            self.update_caller();
            (self.worker.outgoing).note_unsent(self.cell.id, stream, is_end);
        }
    }

    /// Keeps what is still held, if anything is.
    fn keep_held(&mut self, held: Box<HeldRequests>) {
        if !held.is_empty() {
            self.session.put_held(held);
        }
    }

    /// Takes out held requests, with what each is a part of. `ends_transaction`: so does what keeps
    /// a statement from happening, in its turn if its BEGIN is held.
    fn take_held_where(
        &mut self,
        ends_transaction: bool,
        is_meant: impl Fn(&Self, &HeldRequest, HeldPart) -> bool,
    ) -> Vec<(HeldRequest, HeldPart)> {
        let Some(mut held) = self.session.take_held() else {
            return Vec::new();
        };
        let taken = held.take_where(ends_transaction, |own, part| is_meant(self, own, part));
        self.keep_held(held);
        for (own, _) in &taken {
            // Those who take them refuse them. What it is counted as, its bytes say.
            let code = read_header(&own.content).map(|(header, _)| header.request_type);
            let counted = code.map_or(CountedType::OTHER, CountedType::of_code);
            self.session.count(counted.on(RequestPath::Refused));
            self.session.count(Counter::RELEASED);
        }
        taken
    }

    /// Answers what has waited here until its time was over, and has the worker look again.
    pub(crate) fn expire_waiting(&mut self) {
        self.look(None);
        self.expire_held();
        self.expire_awaited();
        self.expire_transactions();
        self.expire_login();
        if self.session.end_login_wait(Some(self.now)) {
            self.cell.wake();
        }
        self.plan_look();
    }

    /// Answers held requests whose time is over. The time of a transaction whose BEGIN is held is
    /// none of these.
    fn expire_held(&mut self) {
        let now = self.now;
        let taken = self.take_held_where(false, |own, held, part| {
            own.held_until(held, part).is_some_and(|(at, _)| at <= now)
        });
        for held in taken {
            let (own, part) = (&held.0, held.1);
            match self.held_until(own, part).and_then(|(_, limit)| limit) {
                None => self.reject(own.sync, ErrorCode::LOADING),
                Some(limit) => {
                    let error = match limit {
                        Limit::Transaction => Error::transaction_timeout(),
                        _ => Error::timeout(),
                    };
                    let ended = Error::transaction_timeout();
                    self.give_up(&held, &error, ended, limit == Limit::Transaction);
                }
            }
        }
    }

    /// Has the worker look when the next time of something that waits here is over.
    pub(crate) fn plan_look(&mut self) {
        let held = self.session.held();
        let held = held
            .filter(|(own, _)| !own.is_marked)
            .filter_map(|(own, part)| self.held_until(own, part))
            .map(|(at, _)| at);
        let awaited = self.session.awaited().filter_map(|own| own.deadline);
        let login = self.session.login_look();
        let is_gateway = self.shared.gateway.is_some();
        let transactions = is_gateway
            .then(|| self.session.transaction_look())
            .flatten();
        let next = held.chain(awaited).chain(login).chain(transactions).min();
        if next != self.session.look_at() {
            self.look(next);
        }
    }

    /// Ends the held requests of one sync, or all of them; returns how many they were.
    pub(crate) fn kill_held(&mut self, sync: Option<u64>) -> usize {
        let is_meant = |own: &HeldRequest| sync.is_none_or(|sync| sync == own.sync);
        let killed = self.take_held_where(true, |_, own, _| is_meant(own));
        for held in &killed {
            self.give_up(held, &Error::cancelled(), Error::cancelled(), true);
        }
        killed.len()
    }

    /// Somebody logs in: what was held of another user is not done, for it would be done as the new
    /// one.
    pub(super) fn refuse_held_of_another(&mut self, user: &str) {
        if &*self.session.caller().user.name == user || !self.session.has_held() {
            return;
        }
        let status = self.shared.serving.status(self.now);
        let error = status.error(ErrorCode::LOADING);
        let refused = self.take_held_where(true, |_, _, _| true);
        for held in &refused {
            self.give_up(held, &error, aborted_by("a login as another user"), true);
        }
    }

    /// A demotion has begun, and Tx does not hear: what it refuses need not wait for that.
    fn refuse_in_demotion(&mut self) {
        let serving = self.shared.serving.load();
        let is_demoting = serving.drain_target == Some(DrainTarget::Replica);
        if !is_demoting || !serving.state.traits().answers_alone {
            return;
        }
        let is_refused = |own: &Self, held: &HeldRequest, part: HeldPart| {
            let open = own.session.transaction(held.stream);
            let in_transaction = part == HeldPart::Open && open.is_some();
            let class = Class::of(held.request_type);
            matches!(admit(serving, class, in_transaction), Verdict::Reject(_))
        };
        for (held, _) in self.take_held_where(false, is_refused) {
            self.reject(held.sync, ErrorCode::READONLY);
        }
    }

    /// The deadline of a demotion: held statements and COMMITs of transactions that may change data
    /// have nothing to wait for. A ROLLBACK has: it succeeds.
    pub(crate) fn refuse_held_writers(&mut self) {
        let is_refused = |own: &Self, held: &HeldRequest, part: HeldPart| {
            let open = own.session.transaction(held.stream);
            let is_of_writer = part == HeldPart::Open && open.is_some_and(|own| own.is_writer);
            is_of_writer && held.request_type != RequestType::Rollback
        };
        let refused = self.take_held_where(true, is_refused);
        let error = self
            .shared
            .serving
            .status(self.now)
            .error(ErrorCode::READONLY);
        for held in &refused {
            self.give_up(held, &error, error.clone(), true);
        }
    }

    /// Answers a held request, which does not happen. The end of a transaction ends it, whatever
    /// it is answered, as elsewhere; `ends_transaction`: so does what keeps a statement from
    /// happening.
    fn give_up(
        &mut self,
        (held, part): &(HeldRequest, HeldPart),
        error: &Error,
        ended: Error,
        ends_transaction: bool,
    ) {
        let is_of_open = *part == HeldPart::Open || held.is_end();
        if is_of_open && (!held.is_marked || held.may_begin) {
            self.end_given_up(held, ended, ends_transaction);
        }
        self.refuse(held.sync, error);
    }

    /// Ends the transaction of one that does not happen.
    fn end_given_up(&mut self, held: &HeldRequest, ended: Error, ends_transaction: bool) {
        let is_end = held.is_end();
        let open = self.session.transaction(held.stream);
        let begin = open.map(|own| own.begin);
        if let Some(begin) = begin
            && (is_end || ends_transaction)
        {
            let transaction = if is_end {
                self.session.on_finish(held.stream);
                TransactionEffect::Ended(ended)
            } else {
                self.session.abort_transaction(held.stream);
                TransactionEffect::Aborted(ended)
            };
            self.worker.outgoing.cancel([Cancel {
                id: RequestId::NONE,
                session: self.cell.id,
                stream: held.stream,
                begin,
                transaction,
            }]);
        }
    }
}
