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
use crate::connection::held::{HeldRequest, HeldRequests};
use crate::connection::orphaned::aborted_by;
use crate::messages::tx::{Cancel, TransactionEffect};
use crate::serving::DrainTarget;
use crate::session::dispatch::{DecodedRequest, Dispatcher};
use crate::timeouts::{Limit, held_deadline};

impl Dispatcher<'_> {
    /// Keeps a request until solo ends; false if the bounds are reached.
    pub(crate) fn hold(&mut self, request: &DecodedRequest<'_>) -> bool {
        if self.is_releasing {
            // Solo began again: it goes back to where it was, and the end of that solo wakes it.
            self.is_put_back = true;
            return true;
        }
        let held = HeldRequest {
            since: self.now,
            sync: request.sync,
            stream: request.stream,
            request_type: request.request_type,
            epoch: self.admitted.epoch(),
            content: Bytes::copy_from_slice(request.content),
            is_marked: false,
        };
        let until = self.held_until(&held).map(|(at, _)| at);
        let is_kept = self.session.hold(held, self.worker.settings.hold);
        if is_kept {
            self.path = None;
            self.session.count(Counter::HELD);
            self.look_by(until);
        }
        is_kept
    }

    /// Until when a held request is waited for, and whose limit that is: none for that of holding.
    fn held_until(&self, held: &HeldRequest) -> Option<(Instant, Option<Limit>)> {
        let is_rollback = held.request_type == RequestType::Rollback;
        let own = self.deadline_of(held.stream, is_rollback, held.since);
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
            self.worker.turns.spend(1);
            self.dispatch(&request.content);
            self.arrived = self.now;
            self.held_epoch = None;
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
    /// is behind its BEGIN is not done without that, and its COMMIT or ROLLBACK ends what it ended.
    fn pass_mark(&mut self, mark: &HeldRequest) {
        let stream = mark.stream;
        if !mark.is_begin() {
            // That is what its client was told of.
            let _ = self.session.answer_orphaned(stream, mark.request_type);
            self.end_given_up(mark, aborted_by("its end, which was not done"), true);
        } else if self.session.transaction(stream).is_none() {
            self.session.orphan_begin(stream);
        }
    }

    /// Keeps what is still held, if anything is.
    fn keep_held(&mut self, held: Box<HeldRequests>) {
        if !held.is_empty() {
            self.session.put_held(held);
        }
    }

    /// Takes out held requests.
    fn take_held_where(
        &mut self,
        is_meant: impl Fn(&Self, &HeldRequest) -> bool,
    ) -> Vec<HeldRequest> {
        let Some(mut held) = self.session.take_held() else {
            return Vec::new();
        };
        let taken = held.take_where(|own| is_meant(self, own));
        self.keep_held(held);
        for own in &taken {
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

    /// Answers held requests whose time is over.
    fn expire_held(&mut self) {
        let now = self.now;
        let is_over =
            |own: &Self, held: &HeldRequest| own.held_until(held).is_some_and(|(at, _)| at <= now);
        for held in self.take_held_where(is_over) {
            match self.held_until(&held).and_then(|(_, limit)| limit) {
                None => self.reject(held.sync, ErrorCode::LOADING),
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
            .filter(|own| !own.is_marked)
            .filter_map(|own| self.held_until(own))
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
        let killed = self.take_held_where(|_, own| sync.is_none_or(|sync| sync == own.sync));
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
        let refused = self.take_held_where(|_, _| true);
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
        let is_refused = |own: &Self, held: &HeldRequest| {
            let stream = held.stream;
            let in_transaction = own.session.transaction(stream).is_some();
            let class = Class::of(held.request_type);
            matches!(admit(serving, class, in_transaction), Verdict::Reject(_))
        };
        for held in self.take_held_where(is_refused) {
            self.reject(held.sync, ErrorCode::READONLY);
        }
    }

    /// The deadline of a demotion: held statements and COMMITs of transactions that may change data
    /// have nothing to wait for. A ROLLBACK has: it succeeds.
    pub(crate) fn refuse_held_writers(&mut self) {
        let is_refused = |own: &Self, held: &HeldRequest| {
            let open = own.session.transaction(held.stream);
            held.request_type != RequestType::Rollback && open.is_some_and(|own| own.is_writer)
        };
        let refused = self.take_held_where(is_refused);
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
    fn give_up(&mut self, held: &HeldRequest, error: &Error, ended: Error, ends_transaction: bool) {
        if !held.is_marked {
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
