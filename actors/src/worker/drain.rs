//! A worker's part in transitions: what is waited for, and what is cut off at the deadline.
//!
//! ```text
//!   Quiesce ─▶ tells what it waits for ─▶ … ─▶ quiet ◀─▶ busy: in a stop, by an administrator
//!   CutOff ──▶ queued: taken back ─▶ 7, 279       started: cancelled ──▶ outcome unknown
//!              of a demotion, only what may change data; of a stop, everything, and all are closed
//! ```

use std::rc::Rc;

use actix::Handler;
use vestibule_wire::{Error, ErrorCode};

use super::actor::Worker;
use super::progress::InTransition;
use crate::connection::cell::ConnectionCell;
use crate::connection::intake::Closing;
use crate::hooks::CloseReason;
use crate::messages::WorkerReport;
use crate::messages::tx::{Cancel, TransactionEffect};
use crate::messages::worker::{CutOff, Quiesce, Reloaded, TransitionOver, TransitionStarted};
use crate::resources::in_flight::{Cancelled, Effect, InFlightRequest};
use crate::session::messages::{AbortWriters, Close};
use crate::session::untaken::Untaken;
use crate::shared::STOPPING;
use crate::transitions::{CutOffCounts, TransitionScope, WaitedFor};

impl Handler<Quiesce> for Worker {
    type Result = ();

    fn handle(&mut self, quiesce: Quiesce, _ctx: &mut Self::Context) {
        let Quiesce { serial, scope } = quiesce;
        self.transition.set(Some(InTransition {
            serial,
            scope,
            is_quiet: false,
        }));
        let waiting = match scope {
            TransitionScope::Upstream(upstream) => self.begin_to_drain(upstream),
            _ => self.begin_to_wait(scope.is_stop()),
        };
        self.report(serial, WorkerReport::Quiesced(waiting));
        self.begin_lap(None);
        self.tell_if_quiet();
    }
}

impl Handler<CutOff> for Worker {
    type Result = ();

    fn handle(&mut self, cut_off: CutOff, _ctx: &mut Self::Context) {
        let counts = match cut_off.scope {
            TransitionScope::Everything => self.close_all(),
            TransitionScope::Writers => self.cut_off_writers(),
            TransitionScope::Upstream(upstream) => self.cut_off_upstream(upstream),
        };
        self.report(cut_off.serial, WorkerReport::CutOff(counts));
        self.tell_if_quiet();
    }
}

impl Handler<TransitionStarted> for Worker {
    type Result = ();

    fn handle(&mut self, started: TransitionStarted, _ctx: &mut Self::Context) {
        self.sessions.forward(started.reply_to, started);
    }
}

impl Handler<TransitionOver> for Worker {
    type Result = ();

    fn handle(&mut self, over: TransitionOver, _ctx: &mut Self::Context) {
        self.sessions.forward(over.reply_to, over);
    }
}

impl Handler<Reloaded> for Worker {
    type Result = ();

    fn handle(&mut self, reloaded: Reloaded, _ctx: &mut Self::Context) {
        self.sessions.forward(reloaded.reply_to, reloaded);
    }
}

/// What Tx is told of a request that it had begun when it was cut off. The client that sent
/// BEGIN takes it for failed, and may begin again.
fn cancel_of(own: &Cancelled, error: &Error) -> Cancel {
    let request = &own.request;
    let transaction = match request.effect {
        Effect::Opened => TransactionEffect::Ended(error.clone()),
        _ => TransactionEffect::Untouched,
    };
    Cancel {
        id: own.id,
        session: request.session,
        stream: request.stream,
        begin: own.begin(),
        transaction,
    }
}

impl Worker {
    fn report(&self, serial: u64, report: WorkerReport) {
        self.cell
            .peers
            .supervisor
            .report(self.cell.index, serial, report);
    }

    /// Marks what is under way and a transition's concern, and counts it.
    fn begin_to_wait(&self, is_stop: bool) -> WaitedFor {
        let open: usize = self
            .sessions
            .iter()
            .map(|own| own.state.borrow_mut().wait_for_transactions(is_stop))
            .sum();
        let mut state = self.cell.state.borrow_mut();
        state.in_flight.wait_for(is_stop);
        let mut waiting = WaitedFor {
            transactions: open,
            ..WaitedFor::default()
        };
        let requests = state.in_flight.iter().map(|(_, request)| request);
        for request in requests.filter(|own| own.is_waited_for) {
            waiting.requests.add(request.class);
            let is_ending = request.ended().is_some_and(|own| own.is_waited_for);
            waiting.transactions += usize::from(is_ending);
        }
        waiting
    }

    /// Takes back what Tx has not begun and cancels what it has, of what a transition waits for.
    fn cut_off(&self, is_stop: bool, code: ErrorCode, error: &Error) -> CutOffCounts {
        let is_concerned = |own: &InFlightRequest| is_stop || own.is_writer;
        // Before the requests: a BEGIN that is taken back has no transaction any more.
        let open = self.sessions.iter().map(|own| {
            let own = own.state.borrow();
            own.concerned_transactions(is_stop)
        });
        let mut counts = CutOffCounts::default();
        for (all, joined) in open {
            counts.transactions += all;
            counts.joined_transactions += joined;
        }
        let revoked = self.revoke_where(code, is_concerned);
        let killed = self.cancel_started_where(error, is_concerned);
        let revoked = revoked.iter().map(|own| (own, false));
        for (request, was_started) in revoked.chain(killed.iter().map(|own| (own, true))) {
            let (requests, transactions) = if was_started {
                (&mut counts.killed, &mut counts.unknown_transactions)
            } else {
                (&mut counts.revoked, &mut counts.transactions)
            };
            requests.add(request.class);
            if let Some(own) = request.ended().filter(|own| own.is_concerned(is_stop)) {
                *transactions += 1;
                counts.joined_transactions += usize::from(!own.is_waited_for);
            }
            counts.joins(request.class, request.is_waited_for);
        }
        counts
    }

    /// Whether no session is left that a stop waits for.
    fn are_all_idle_operators(&self) -> bool {
        let mut sessions = self.sessions.iter();
        sessions.all(|own| own.state.borrow().is_idle_operator())
    }

    /// Tells the Supervisor, once, that nothing is left that the transition waits for; and if an
    /// administrator has a request under way in a stop after that, that too.
    pub(crate) fn tell_if_quiet(&self) {
        let Some(transition) = self.transition.get() else {
            return;
        };
        let report = match transition.is_quiet {
            false if self.is_quiet(transition.scope) => WorkerReport::Quiet,
            true if transition.scope.is_stop() && self.has_in_flight() => WorkerReport::Busy,
            _ => return,
        };
        self.transition.set(Some(InTransition {
            is_quiet: !transition.is_quiet,
            ..transition
        }));
        self.report(transition.serial, report);
    }

    fn is_quiet(&self, scope: TransitionScope) -> bool {
        let state = self.cell.state.borrow();
        match scope {
            // What is under way is, whether or not its client is there still.
            TransitionScope::Everything => {
                state.in_flight.len() == 0 && self.are_all_idle_operators()
            }
            TransitionScope::Writers => state.in_flight.writers() == 0 && state.open_writers() == 0,
            TransitionScope::Upstream(upstream) => self.is_drained(upstream),
        }
    }

    fn has_in_flight(&self) -> bool {
        self.cell.state.borrow().in_flight.len() > 0
    }

    /// An administrator has had something done that the Supervisor may have been told of as
    /// [`WorkerReport::Busy`]: a stop is told again when that is answered.
    pub(super) fn wait_again_for_administrators(&self) {
        let Some(transition) = self.transition.get() else {
            return;
        };
        if transition.scope.is_stop() {
            self.transition.set(Some(InTransition {
                is_quiet: false,
                ..transition
            }));
            self.tell_if_quiet();
        }
    }

    /// Takes back what Tx has not begun and answers it with this code.
    pub(crate) fn revoke_queued(&self, code: ErrorCode) {
        self.revoke_where(code, |_| true);
    }

    /// Returns what it has answered.
    fn revoke_where(
        &self,
        code: ErrorCode,
        wanted: impl Fn(&InFlightRequest) -> bool,
    ) -> Vec<InFlightRequest> {
        let revoked = self.cell.state.borrow_mut().in_flight.revoke_queued(wanted);
        if !revoked.is_empty() {
            let now = self.cell.shared.clock.now();
            let error = self.cell.shared.serving.status(now).error(code);
            self.answer_revoked(&revoked, &error);
        }
        revoked
    }

    /// Returns what it has answered.
    fn cancel_started_where(
        &self,
        error: &Error,
        wanted: impl Fn(&InFlightRequest) -> bool,
    ) -> Vec<InFlightRequest> {
        let mut state = self.cell.state.borrow_mut();
        let started = state.in_flight.cancel_started(wanted);
        // Tx stops what can be stopped. The fence has aborted the transactions.
        let cancels = started.iter().map(|own| cancel_of(own, error));
        state.outgoing.cancel(cancels);
        drop(state);
        let started: Vec<_> = started.into_iter().map(|own| own.request).collect();
        self.answer_unknown(&started, error);
        started
    }

    /// The deadline of a demotion: whatever may change data is answered, and reads go on.
    fn cut_off_writers(&self) -> CutOffCounts {
        // Not 7: a client that reads it as "not done" would do it again elsewhere.
        let shared = &self.cell.shared;
        let error = shared.outcome_unknown(ErrorCode::SYSTEM, "the server becomes a replica");
        let counts = self.cut_off(false, ErrorCode::READONLY, &error);
        self.tell_where(|own| own.has_open_writer(), || AbortWriters);
        if let Some(links) = &self.links {
            links.freeze();
        }
        counts
    }

    /// The deadline of a stop, or the end of its Tx: everything is answered, and everybody closed.
    fn close_all(&self) -> CutOffCounts {
        let shared = &self.cell.shared;
        // Nobody would answer it.
        self.cell.state.borrow_mut().outgoing.refuse_requests();
        let error = shared.outcome_unknown(ErrorCode::SHUTDOWN, STOPPING);
        let mut counts = self.cut_off(true, ErrorCode::SHUTDOWN, &error);
        let mut untold = 0;
        let mut untaken = Untaken::new(shared);
        for session in self.sessions.iter() {
            let mut own = session.state.borrow_mut();
            let before = own.unsent_bytes();
            let buffers = &mut self.cell.state.borrow_mut().buffers;
            let is_told = untaken.refuse(shared, &mut own, buffers, |class| {
                counts.revoked.add(class);
                counts.joined.add(class);
            });
            untold += usize::from(!is_told);
            let has_more = own.unsent_bytes() > before;
            drop(own);
            if has_more {
                self.mark_dirty(&session);
            }
        }
        self.flush_dirty();
        // What the kernel has not taken is lost: the deadline is here. Of a thread that was quiet,
        // that is what administrators had told them after all else was done; what they asked of Tx
        // is counted.
        let is_quiet = self.transition.get().is_some_and(|own| own.is_quiet);
        let is_unread = |own: &Rc<ConnectionCell>| !is_quiet && !own.state.borrow().is_flushed();
        let unread = untold + self.sessions.iter().filter(is_unread).count();
        self.tell_where(|_| true, || Close(Closing::Now, CloseReason::Stopped));
        CutOffCounts { unread, ..counts }
    }
}

#[cfg(test)]
mod tests {
    use vestibule_wire::keys::RequestType;

    use super::*;
    use crate::admission::Class;
    use crate::cells::claims::RequestId;
    use crate::messages::SessionId;
    use crate::resources::credits::Pool;
    use crate::resources::in_flight::Credit;
    use crate::timeouts::Limit;

    #[test]
    fn a_begin_that_is_cut_off_leaves_nothing_in_the_way_of_the_next() {
        let cut_off = |request, class, effect| Cancelled {
            id: RequestId {
                index: 4,
                generation: 2,
            },
            request: InFlightRequest {
                session: SessionId {
                    index: 0,
                    connection: 7,
                },
                sync: 1,
                stream: 3,
                request_type: request,
                class,
                is_named: false,
                bytes: 0,
                credit: Credit::Shared(Pool::Requests),
                is_waited_for: false,
                is_replica_read: false,
                is_setting: false,
                is_writer: true,
                begin: None,
                effect,
                since: std::time::Instant::now(),
                limit: Limit::Request,
            },
            was_started: true,
        };
        let error = Error::cancelled();
        let begin = cut_off(RequestType::Begin, Class::Begin, Effect::Opened);
        let told = cancel_of(&begin, &error);
        let session = told.session.connection;
        assert_eq!((told.id, session, told.stream), (begin.id, 7, 3));
        assert_eq!(told.begin, Some(begin.id));
        assert!(matches!(told.transaction, TransactionEffect::Ended(_)));
        let write = cut_off(RequestType::Replace, Class::Write, Effect::None);
        let told = cancel_of(&write, &error);
        assert!(matches!(told.transaction, TransactionEffect::Untouched));
    }
}
