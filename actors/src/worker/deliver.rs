//! Getting replies to sessions, and sessions going again. This is the one way around their
//! mailboxes: a reply is written into its session's output at once, and each session is flushed
//! once for all of its replies.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::actor::Worker;
use crate::cells::claims::RequestId;
use crate::cells::traffic::RequestPath;
use crate::connection::cell::ConnectionCell;
use crate::connection::intake::Closing;
use crate::connection::output::Flushed;
use crate::connection::state::ConnectionState;
use crate::counting::durations::DurationCounts;
use crate::hooks::CloseReason;
use crate::resources::credits::{CreditQueue, Pool};
use crate::resources::in_flight::{Effect, InFlightRequest};
use crate::resources::{Buffers, WorkerState};
use crate::segments::Chain;
use crate::session::actor::charge;
use crate::session::cancel::{CancelReason, answer_cancelled};
use crate::session::messages::{Close, ExpireWaiting};
use crate::timeouts::after;
use vestibule_wire::client::ReplyFrame;
use vestibule_wire::reply::error_code;
use vestibule_wire::{Error, ErrorCode};

use crate::config::SoloPolicy;
use crate::limits::TIMER_TICK;
use crate::messages::tx::{Push, Replies, WaitKind};

/// How long the requests of one message took: those that one read brought are counted together.
struct Timed<'a> {
    durations: &'a DurationCounts,
    now: Instant,
    since: Instant,
    count: u64,
}

impl<'a> Timed<'a> {
    fn new(durations: &'a DurationCounts, now: Instant) -> Self {
        Self {
            durations,
            now,
            since: now,
            count: 0,
        }
    }

    /// The reply to a request is here that arrived at this time.
    #[inline]
    fn note(&mut self, since: Instant) {
        if since != self.since {
            self.count();
            self.since = since;
        }
        self.count += 1;
    }

    fn count(&mut self) {
        let count = std::mem::take(&mut self.count);
        if count > 0 {
            let took = self.now.saturating_duration_since(self.since);
            self.durations.add_many(took, count);
        }
    }
}

/// A whole frame that goes to a client.
enum ReadyReply<'a> {
    Small(&'a [u8]),
    /// To be taken.
    Large(&'a mut Chain),
}

impl Worker {
    /// The session that a request came from, if it is still there.
    pub(crate) fn owner(&self, request: &InFlightRequest) -> Option<Rc<ConnectionCell>> {
        self.sessions.of(request.session)
    }

    /// Hands every reply to its session and flushes each session once.
    pub(crate) fn deliver(&self, mut replies: Box<Replies>) {
        let mut start = 0;
        // Given back when what was delivered is charged where it stands now.
        let charge = replies.charge.take();
        {
            let mut state = self.cell.state.borrow_mut();
            let traffic = &self.cell.shared.counters[self.cell.index].traffic;
            let mut timed = Timed::new(traffic.durations(RequestPath::Tx), self.now());
            let mut last: Option<Rc<ConnectionCell>> = None;
            let mut large = replies.large.iter_mut().peekable();
            let WorkerState {
                in_flight, buffers, ..
            } = &mut *state;
            for (index, head) in replies.heads.iter().enumerate() {
                let frame = &replies.bytes[start..head.end];
                start = head.end;
                let reply = match large.next_if(|own| own.head == index) {
                    Some(own) => ReadyReply::Large(&mut own.frame),
                    None => ReadyReply::Small(frame),
                };
                // Cancelled before: a late result is dropped, never sent.
                in_flight.finish(head.id, |request| {
                    timed.note(request.since);
                    self.deliver_one(request, reply, &mut last, buffers);
                });
            }
            timed.count();
            self.return_credits(&mut state, &replies.waiting);
            for aborted in &replies.aborted {
                let session = self.sessions.of(aborted.session);
                let Some(session) = session else { continue };
                let mut own = session.state.borrow_mut();
                let (stream, begin) = (aborted.stream, aborted.begin);
                own.abort_begun_by(stream, begin);
                drop(own);
                // In a stop it may be closed now.
                self.mark_dirty(&session);
            }
            let counters = &self.cell.shared.counters[self.cell.index];
            counters
                .replies_delivered
                .store(replies.number, Ordering::SeqCst);
            state.recycle(replies);
            self.cell.publish_counts(&state);
        }
        self.flush_dirty();
        drop(charge);
        self.resume_stalled();
        self.tell_if_quiet();
    }

    /// Hands a reply to the session that its request came from: mostly the one of the reply before.
    #[inline]
    fn deliver_one(
        &self,
        request: &InFlightRequest,
        reply: ReadyReply<'_>,
        last: &mut Option<Rc<ConnectionCell>>,
        buffers: &mut Buffers,
    ) {
        let is_same = |session: &Rc<ConnectionCell>| session.id == request.session;
        if !last.as_ref().is_some_and(is_same) {
            *last = self.owner(request);
        }
        let Some(session) = last else { return };
        let mut own = session.state.borrow_mut();
        if own.on_reply(request) {
            session.wake();
        }
        if let ReadyReply::Small(frame) = reply
            && let Some(code) = error_code(frame)
        {
            self.note_error(&mut own, request, (code, frame));
        } else if request.is_setting {
            own.on_set();
        }
        own.lend_output(|| buffers.spare());
        let group = request.group();
        match reply {
            ReadyReply::Large(frame) => own.append_chain(std::mem::take(frame), group),
            ReadyReply::Small(frame) => own.append_copy(frame, group),
        }
        drop(own);
        self.mark_dirty(session);
    }

    /// Hands a push to its session, if its request is not over.
    pub(crate) fn deliver_push(&self, push: Push) {
        let Push { id, frame, charge } = push;
        {
            let mut state = self.cell.state.borrow_mut();
            let Some(request) = state.in_flight.get(id) else {
                return;
            };
            let group = request.group();
            let Some(session) = self.sessions.of(request.session) else {
                return;
            };
            let mut own = session.state.borrow_mut();
            own.lend_output(|| state.buffers.spare());
            own.append_copy(&frame, group);
            self.mark_dirty(&session);
        }
        // Given back when it is charged where it stands now.
        self.flush_dirty();
        drop(charge);
    }

    /// Others may have the credits of requests that wait for something else than Tx.
    fn return_credits(&self, state: &mut WorkerState, waiting: &[(RequestId, WaitKind)]) {
        if waiting.is_empty() {
            return;
        }
        let deadline = after(self.now(), state.settings.wait_timeout);
        for (id, kind) in waiting {
            let deadline = deadline.filter(|_| *kind == WaitKind::Limited);
            let session = state.in_flight.wait(*id, deadline);
            let Some(session) = session.and_then(|own| self.sessions.of(own)) else {
                continue;
            };
            if session.state.borrow_mut().on_wait() {
                session.wake();
            }
        }
    }

    fn now(&self) -> Instant {
        self.cell.shared.clock.now()
    }

    /// Counts requests that are answered without Tx.
    fn count_cut_off(&self, taken: &[InFlightRequest], was_started: bool) {
        let (traffic, now) = (
            &self.cell.shared.counters[self.cell.index].traffic,
            self.now(),
        );
        for request in taken {
            traffic.count_cut_off(was_started, request.since, now);
        }
    }

    /// Answers requests that were taken back: they did not happen.
    pub(crate) fn answer_revoked(&self, taken: &[InFlightRequest], error: &Error) {
        self.count_cut_off(taken, false);
        // Ends before beginnings, whose order is not known here: of a transaction that was taken
        // back whole, nothing stays open.
        for request in taken.iter().filter(|own| own.ended().is_some()) {
            if let Some(session) = self.owner(request) {
                session.state.borrow_mut().undo(request);
            }
        }
        self.answer_each(taken, error, |state, request| {
            if request.ended().is_none() {
                state.undo(request);
            }
        });
    }

    /// Answers requests that were begun and are cancelled: they may happen or not.
    pub(crate) fn answer_unknown(&self, started: &[InFlightRequest], error: &Error) {
        self.count_cut_off(started, true);
        self.answer_each(started, error, ConnectionState::outcome_unknown);
    }

    /// Closes the connections of such requests: their clients know as much. Replies that are
    /// complete go before, as the upstream's own connection would still deliver them.
    pub(crate) fn close_unknown(&self, started: &[InFlightRequest]) {
        self.count_cut_off(started, true);
        for request in started {
            let Some(session) = self.owner(request) else {
                continue;
            };
            {
                let mut state = session.state.borrow_mut();
                state.on_reply(request);
                state.outcome_unknown(request);
            }
            let close = Close(Closing::AfterFlush, CloseReason::Lost);
            self.sessions.tell(&session, close);
        }
        self.after_answers();
    }

    fn answer_each(
        &self,
        taken: &[InFlightRequest],
        error: &Error,
        forget: impl Fn(&mut ConnectionState, &InFlightRequest),
    ) {
        for request in taken {
            let Some(session) = self.owner(request) else {
                continue;
            };
            {
                let mut state = session.state.borrow_mut();
                if state.on_reply(request) {
                    session.wake();
                }
                forget(&mut state, request);
                state.reply_error(&self.cell.shared, request.sync, error);
            }
            self.mark_dirty(&session);
        }
        self.after_answers();
    }

    /// Answers requests whose time is over.
    pub(crate) fn expire(&self, now: Instant) {
        let cancelled = self.cell.state.borrow_mut().in_flight.expire(now);
        if cancelled.is_empty() {
            return;
        }
        let traffic = &self.cell.shared.counters[self.cell.index].traffic;
        for own in &cancelled {
            traffic.count_cut_off(own.was_started, own.request.since, now);
            let session = self.owner(&own.request);
            let mut worker = self.cell.state.borrow_mut();
            let mut connection = session.as_ref().map(|own| own.state.borrow_mut());
            let connection = connection.as_deref_mut();
            let shared = &self.cell.shared;
            let goes_on =
                answer_cancelled(own, CancelReason::Timeout, shared, &mut worker, connection);
            if let Some(session) = &session {
                if goes_on {
                    session.wake();
                }
                self.mark_dirty(session);
            }
        }
        self.after_answers();
    }

    /// When the time of something may be over next.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let state = self.cell.state.borrow();
        let looks = [
            state.in_flight.next_look(),
            state.looks.next(),
            self.kept_until.get(),
        ];
        looks.into_iter().flatten().min()
    }

    /// Has those sessions answer which have kept something for as long as they may.
    pub(super) fn look(&self, now: Instant) {
        loop {
            let due = self.cell.state.borrow_mut().looks.pop_due(now);
            let Some(session) = due else { return };
            if let Some(session) = self.sessions.of(session) {
                self.sessions.tell(&session, ExpireWaiting);
            }
        }
    }

    /// What comes after answers that no reply of Tx was needed for.
    fn after_answers(&self) {
        // Before the clients hear of it: they may look.
        self.cell.publish_counts(&self.cell.state.borrow());
        self.flush_dirty();
        self.resume_stalled();
        self.tell_if_quiet();
    }

    /// Solo: what Tx has not begun is answered as each session's policy says. Under `hold` it stays
    /// in Tx's queue until its time is over.
    pub(crate) fn revoke_in_solo(&self, now: Instant) {
        self.kept_until.set(None);
        let status = self.cell.shared.serving.status(now);
        if !status.serving.state.traits().answers_alone {
            // It has ended meanwhile.
            return;
        }
        let settings = self.cell.shared.settings.load();
        let time_max = settings.hold.time_max;
        let policy = |request: &InFlightRequest| {
            self.owner(request).map_or(SoloPolicy::Reject, |own| {
                own.solo_policy(&self.cell.shared, &settings)
            })
        };
        let kept_until = |request: &InFlightRequest| request.since.checked_add(time_max);
        let wanted = |request: &InFlightRequest| {
            policy(request) != SoloPolicy::Hold || kept_until(request).is_some_and(|at| at <= now)
        };
        let revoked = {
            let in_flight = &mut self.cell.state.borrow_mut().in_flight;
            let revoked = in_flight.revoke_queued(wanted);
            let next = in_flight.queued().filter_map(kept_until).min();
            // Each look goes over all of them.
            self.kept_until.set(next.map(|at| at.max(now + TIMER_TICK)));
            revoked
        };
        if revoked.is_empty() {
            return;
        }
        let is_closed = |own: &&InFlightRequest| policy(own) == SoloPolicy::Close;
        let closed = revoked.iter().filter(is_closed);
        let closed: BTreeSet<_> = closed.map(|own| own.session).collect();
        for id in closed {
            if let Some(session) = self.sessions.of(id) {
                self.sessions
                    .tell(&session, Close(Closing::AfterFlush, CloseReason::Solo));
            }
        }
        let error = status.error(ErrorCode::LOADING);
        self.answer_revoked(&revoked, &error);
    }

    /// The same when the time of something that is kept there is over.
    pub(super) fn revoke_kept(&self, now: Instant) {
        if self.kept_until.get().is_some_and(|at| at <= now) {
            self.revoke_in_solo(now);
        }
    }

    /// A reply that is an error, whole in its frame.
    fn note_error(
        &self,
        own: &mut ConnectionState,
        request: &InFlightRequest,
        (code, frame): (ErrorCode, &[u8]),
    ) {
        own.traffic().count_error(code);
        if code == ErrorCode::ACCESS_DENIED {
            own.audit_denied(&self.cell.shared, &told(frame));
        }
        if request.effect == Effect::Opened {
            own.undo(request);
        }
    }

    /// Puts a session on the list of those to flush.
    pub(super) fn mark_dirty(&self, session: &ConnectionCell) {
        if !session.is_dirty.replace(true) {
            self.dirty.borrow_mut().push(session.id.index);
        }
    }

    /// Writes out what sessions on the list have; what does not go now, their tasks finish.
    pub(crate) fn flush_dirty(&self) {
        let dirty = std::mem::take(&mut *self.dirty.borrow_mut());
        let serving = self.cell.shared.serving.load();
        for index in &dirty {
            let Some(session) = self.sessions.get(*index) else {
                continue;
            };
            session.is_dirty.set(false);
            let mut own = session.state.borrow_mut();
            let give_back = |buffer| self.cell.state.borrow_mut().buffers.give_back(buffer);
            let flushed = own.flush(give_back);
            charge(&session, &mut self.cell.state.borrow_mut(), &mut own);
            match flushed {
                Ok(Flushed::All) if !own.awaits_flush() && !own.is_closed_by_stop(serving) => {}
                Ok(_) => session.wake(),
                Err(_) => {
                    own.close(Closing::Now, CloseReason::Client);
                    session.wake();
                }
            }
        }
        // The list's memory is kept for the next tick.
        let mut list = self.dirty.borrow_mut();
        if list.is_empty() {
            *list = dirty;
            list.clear();
        }
    }

    /// Wakes sessions that stopped for want of a credit, first come first served, while there is
    /// some.
    pub(crate) fn resume_stalled(&self) {
        let mut state = self.cell.state.borrow_mut();
        for pool in Pool::ALL {
            let free = state.free_credits(pool);
            self.resume_stalled_of(pool, &mut state.credit_queues[pool], free);
        }
    }

    /// The same of those that wait for credits of one pool, of which this number is free.
    fn resume_stalled_of(&self, pool: Pool, queue: &mut CreditQueue, free: usize) {
        let (count, credits) = queue.round(free);
        for _ in 0..count {
            let Some((index, mut grant)) = queue.resume(credits) else {
                return;
            };
            let goes_on = |own: &Rc<ConnectionCell>| own.state.borrow_mut().on_credit(pool, grant);
            match self.sessions.get(index).filter(goes_on) {
                Some(session) => session.wake(),
                // It is gone, and perhaps another one has its number.
                None => {
                    let _ = queue.give_back(&mut grant);
                }
            }
        }
    }
}

/// The text of the error that a whole frame tells.
#[cold]
fn told(frame: &[u8]) -> String {
    let read = ReplyFrame::read(frame, frame.len());
    let frame = read.ok().flatten();
    frame.map_or_else(String::new, |own| {
        own.error_text().unwrap_or_default().to_owned()
    })
}
