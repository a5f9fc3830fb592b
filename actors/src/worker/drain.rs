//! A worker's part in transitions: what is waited for, and what is cut off at the deadline.
//!
//! ```text
//!   Quiesce ─▶ tells what it waits for ─▶ … ─▶ quiet: told once
//!   CutOff ──▶ queued: taken back ─▶ 7, 279       started: cancelled ──▶ outcome unknown
//!              of a demotion, only what may change data; of a stop, everything, and all are closed
//! ```

use std::rc::Rc;

use actix::Handler;
use vestibule_wire::error::Field;
use vestibule_wire::{Error, ErrorCode};

use super::actor::Worker;
use super::progress::InTransition;
use crate::connection::cell::ConnectionCell;
use crate::connection::intake::Closing;
use crate::messages::WorkerReport;
use crate::messages::tx::{Cancel, TransactionEffect};
use crate::messages::worker::{CutOff, Quiesce, TransitionOver, TransitionStarted};
use crate::resources::in_flight::{Cancelled, Effect, InFlightRequest};
use crate::session::messages::{AbortWriters, Close};
use crate::transitions::{Counts, CutOffCounts, WaitedFor};

impl Handler<Quiesce> for Worker {
    type Result = ();

    fn handle(&mut self, quiesce: Quiesce, _ctx: &mut Self::Context) {
        let Quiesce { serial, is_stop } = quiesce;
        self.transition.set(Some(InTransition {
            serial,
            is_stop,
            is_quiet: false,
        }));
        let waiting = {
            let state = self.cell.state.borrow();
            let request = state.in_flight.iter().map(|(_, request)| request);
            let concerned = request.filter(|own| is_stop || own.is_writer);
            WaitedFor {
                requests: count(concerned),
                transactions: if is_stop {
                    self.open_transactions()
                } else {
                    state.open_writers()
                },
            }
        };
        self.report(serial, WorkerReport::Quiesced(waiting));
        self.begin_lap(None);
        self.tell_if_quiet();
    }
}

impl Handler<CutOff> for Worker {
    type Result = ();

    fn handle(&mut self, cut_off: CutOff, _ctx: &mut Self::Context) {
        let counts = if cut_off.is_stop {
            self.close_all()
        } else {
            self.cut_off_writers()
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

fn count<'a>(request: impl Iterator<Item = &'a InFlightRequest>) -> Counts {
    let mut counts = Counts::default();
    request.for_each(|own| counts.add(own.class));
    counts
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
        connection: request.session.connection,
        stream: request.stream,
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

    fn open_transactions(&self) -> usize {
        let sessions = self.sessions.iter();
        let open = sessions.map(|own| own.state.borrow().live_transactions());
        open.sum()
    }

    /// Tells the Supervisor, once, that nothing is left that the transition waits for.
    pub(crate) fn tell_if_quiet(&self) {
        let Some(transition) = self.transition.get().filter(|own| !own.is_quiet) else {
            return;
        };
        let state = self.cell.state.borrow();
        let is_quiet = if transition.is_stop {
            // What is under way is, whether or not its client is there still.
            self.sessions.is_empty() && state.in_flight.len() == 0
        } else {
            state.in_flight.writers() == 0 && state.open_writers() == 0
        };
        drop(state);
        if is_quiet {
            self.transition.set(Some(InTransition {
                is_quiet: true,
                ..transition
            }));
            self.report(transition.serial, WorkerReport::Quiet);
        }
    }

    /// Takes back what Tx has not begun and answers it with this code.
    pub(crate) fn revoke_queued(&self, code: ErrorCode) -> Counts {
        self.revoke_where(code, |_| true)
    }

    fn revoke_where(&self, code: ErrorCode, wanted: impl Fn(&InFlightRequest) -> bool) -> Counts {
        let revoked = self.cell.state.borrow_mut().in_flight.revoke_queued(wanted);
        let counts = count(revoked.iter());
        if !revoked.is_empty() {
            let error = self
                .cell
                .shared
                .serving
                .status(self.cell.shared.clock.now())
                .error(code);
            self.answer_revoked(revoked, &error);
        }
        counts
    }

    fn cancel_started_where(
        &self,
        error: &Error,
        wanted: impl Fn(&InFlightRequest) -> bool,
    ) -> Counts {
        let mut state = self.cell.state.borrow_mut();
        let started = state.in_flight.cancel_started(wanted);
        // Tx stops what can be stopped. The fence has aborted the transactions.
        let cancels = started.iter().map(|own| cancel_of(own, error));
        state.outgoing.cancel(cancels);
        drop(state);
        let started: Vec<_> = started.into_iter().map(|own| own.request).collect();
        let counts = count(started.iter());
        self.answer_unknown(started, error);
        counts
    }

    /// The error for a request that Tx had begun when it was lost or cut off: it may have been
    /// executed.
    pub(crate) fn outcome_unknown(&self, code: ErrorCode, reason: &str) -> Error {
        let status = self
            .cell
            .shared
            .serving
            .status(self.cell.shared.clock.now());
        status
            .error_with_text(code, format!("Outcome unknown: {reason}"))
            .with_field("outcome", Field::Str("unknown".into()))
    }

    /// The deadline of a demotion: whatever may change data is answered, and reads go on.
    fn cut_off_writers(&self) -> CutOffCounts {
        let is_writer = |own: &InFlightRequest| own.is_writer;
        // Before the transactions: what is taken back may belong to one.
        let revoked = self.revoke_where(ErrorCode::READONLY, is_writer);
        // Not 7: a client that reads it as "not done" would do it again elsewhere.
        let error = self.outcome_unknown(ErrorCode::SYSTEM, "the server becomes a replica");
        let killed = self.cancel_started_where(&error, is_writer);
        let transactions = self.cell.state.borrow().open_writers();
        self.tell_where(|own| own.has_open_writer(), || AbortWriters);
        CutOffCounts {
            revoked,
            killed,
            transactions,
            unread: 0,
        }
    }

    /// The deadline of a stop: everything is answered, and everybody closed.
    fn close_all(&self) -> CutOffCounts {
        let transactions = self.open_transactions();
        let revoked = self.revoke_queued(ErrorCode::SHUTDOWN);
        let error = self.outcome_unknown(ErrorCode::SHUTDOWN, "the server is shutting down");
        let killed = self.cancel_started_where(&error, |_| true);
        // What the kernel has not taken is lost: the deadline is here.
        let is_unread = |own: &Rc<ConnectionCell>| !own.state.borrow().is_flushed();
        let unread = self.sessions.iter().filter(is_unread).count();
        self.tell_where(|_| true, || Close(Closing::Now));
        CutOffCounts {
            revoked,
            killed,
            transactions,
            unread,
        }
    }
}

#[cfg(test)]
mod tests {
    use vestibule_wire::keys::RequestType;

    use super::*;
    use crate::admission::Class;
    use crate::cells::claims::RequestId;
    use crate::messages::SessionId;
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
                procedure: None,
                bytes: 0,
                is_reserved: false,
                is_writer: true,
                effect,
                since: std::time::Instant::now(),
                limit: Limit::Request,
            },
            was_started: true,
        };
        let error = Error::cancelled();
        let begin = cut_off(RequestType::Begin, Class::Begin, Effect::Opened);
        let told = cancel_of(&begin, &error);
        assert_eq!((told.id, told.connection, told.stream), (begin.id, 7, 3));
        assert!(matches!(told.transaction, TransactionEffect::Ended(_)));
        let write = cut_off(RequestType::Replace, Class::Write, Effect::None);
        let told = cancel_of(&write, &error);
        assert!(matches!(told.transaction, TransactionEffect::Untouched));
    }
}
