//! Requests that nobody waits for any more: over their deadline, or killed. Each client is answered now,
//! by its session, whatever Tx does.
//!
//! ```text
//!   Tx has not begun it ─▶ taken back: it does not happen; its transaction goes on (not after a kill)
//!   Tx has begun it ─────▶ abandoned: outcome unknown; its token says so, Tx hears of it with the next
//!                          batch and stops what can be stopped; its transaction is aborted
//! ```

use std::time::Instant;

use vestibule_wire::Error;
use vestibule_wire::error::Field;

use super::state::Worker;
use crate::connection::intake::Closing;
use crate::connection::state::ConnectionState;
use crate::messages::{KillTarget, KilledRow};
use crate::resources::in_flight::{Cancelled, Effect, InFlightRequest};
use crate::timeouts::Limit;
use crate::tx::messages::{Cancel, TransactionEffect};

/// Why a request is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CancelReason {
    Timeout,
    Killed,
}

impl CancelReason {
    /// What its client is told. `is_committing`: the COMMIT of its transaction was sent behind it.
    fn error(self, own: &Cancelled, is_committing: bool) -> Error {
        // A COMMIT that Tx has begun may have happened: neither it nor what it commits is said to be
        // aborted.
        let is_commit = matches!(own.request.effect, Effect::Closed(of) if !of.is_aborted);
        let may_be_committed = own.was_started && (is_commit || is_committing);
        let error = match (self, own.request.limit) {
            (Self::Killed, _) => Error::cancelled(),
            (Self::Timeout, Limit::Transaction) if !may_be_committed => {
                return Error::transaction_timeout();
            }
            (Self::Timeout, _) => Error::timeout(),
        };
        if own.was_started {
            error.with_field("outcome", Field::Str("unknown".into()))
        } else {
            error
        }
    }

    /// What becomes of its transaction.
    fn transaction_effect(self, own: &Cancelled, is_committing: bool) -> TransactionEffect {
        let error = || match self {
            Self::Timeout => Error::transaction_timeout(),
            Self::Killed => Error::cancelled(),
        };
        let is_kept = !own.was_started && self == Self::Timeout;
        match (own.request.effect, own.request.limit) {
            _ if own.request.stream == 0 => TransactionEffect::Untouched,
            // Its COMMIT settles it.
            (Effect::None, _) if own.was_started && is_committing => TransactionEffect::Untouched,
            (Effect::Opened, _) if own.was_started => TransactionEffect::Ended(error()),
            (Effect::Opened, _) => TransactionEffect::Untouched,
            // Whatever COMMIT and ROLLBACK are answered, the transaction is over.
            (Effect::Closed(_), _) if own.was_started => TransactionEffect::Untouched,
            (Effect::Closed(_), _) => TransactionEffect::Ended(error()),
            (Effect::None, Limit::Request) if is_kept => TransactionEffect::Untouched,
            (Effect::None, _) => TransactionEffect::Aborted(error()),
        }
    }
}

impl Worker {
    /// Answers requests whose time is over.
    pub(crate) fn expire(&self, now: Instant) {
        let cancelled = self.cell.state.borrow_mut().in_flight.expire(now);
        self.answer_cancelled(cancelled, CancelReason::Timeout);
    }

    /// Ends what a connection has under way, and the connection too unless it is about one sync.
    pub(crate) fn kill(&self, target: KillTarget) -> KilledRow {
        let is_meant = |request: &InFlightRequest| {
            request.connection == target.connection
                && target.sync.is_none_or(|sync| sync == request.sync)
        };
        let cancelled = self.cell.state.borrow_mut().in_flight.cancel(is_meant);
        let mut killed = KilledRow {
            requests: cancelled.len(),
            ..KilledRow::default()
        };
        self.answer_cancelled(cancelled, CancelReason::Killed);
        let mut sessions = self.sessions.iter();
        let session = sessions.find(|own| own.connection == target.connection);
        let Some(session) = session else {
            return killed;
        };
        {
            let mut own = session.state.borrow_mut();
            killed.requests += self.kill_waiting(&mut own, target.sync);
            if target.sync.is_none() {
                killed.connections = 1;
                log::info!("the connection from {} is killed", session.peer);
                own.close(Closing::AfterFlush);
            }
        }
        self.mark_dirty(&session);
        self.flush_dirty();
        if target.sync.is_none() && !session.state.borrow().is_flushed() {
            // Nobody waits for a client that does not read.
            session.state.borrow_mut().close(Closing::Now);
        }
        session.wake();
        killed
    }

    /// Ends what a session itself keeps: held requests, and a scan of the view.
    fn kill_waiting(&self, own: &mut ConnectionState, sync: Option<u64>) -> usize {
        let was_holding = own.has_held();
        let syncs = own.cancel_waiting(sync);
        if was_holding && !own.has_held() {
            self.cell.state.borrow_mut().holding -= 1;
        }
        for sync in &syncs {
            own.reply_error(&self.cell.shared, *sync, &Error::cancelled());
        }
        syncs.len()
    }

    fn answer_cancelled(&self, cancelled: Vec<Cancelled>, reason: CancelReason) {
        if cancelled.is_empty() {
            return;
        }
        for own in cancelled {
            let request = &own.request;
            let is_statement = request.effect == Effect::None;
            let is_committing = own.was_started && is_statement && self.is_committing(request);
            let transaction_effect = reason.transaction_effect(&own, is_committing);
            let is_aborted = matches!(transaction_effect, TransactionEffect::Aborted(_));
            if own.was_started || !matches!(transaction_effect, TransactionEffect::Untouched) {
                let mut state = self.cell.state.borrow_mut();
                state.outgoing.cancels.push(Cancel {
                    id: own.id,
                    connection: request.connection,
                    stream: request.stream,
                    transaction: transaction_effect,
                });
                state.wake_flush();
            }
            let Some(session) = self.owner(request) else {
                continue;
            };
            let mut state = session.state.borrow_mut();
            if state.on_reply(request) {
                session.wake();
            }
            // COMMIT and ROLLBACK end the transaction in any case.
            if !matches!(request.effect, Effect::Closed(_)) {
                state.undo(request);
            }
            if is_aborted {
                state.abort_transaction(request.stream);
            }
            let error = reason.error(&own, is_committing);
            state.reply_error(&self.cell.shared, request.sync, &error);
            drop(state);
            self.mark_dirty(&session);
        }
        self.cell.publish_counts(&self.cell.state.borrow());
        self.flush_dirty();
        self.resume_stalled();
        self.tell_if_quiet();
    }

    /// Whether the COMMIT of a statement's transaction was sent behind it: then the stream has no
    /// transaction any more, or one whose BEGIN was sent behind that.
    fn is_committing(&self, statement: &InFlightRequest) -> bool {
        let state = self.cell.state.borrow();
        self.owner(statement).is_some_and(|session| {
            let own = session.state.borrow();
            let open = own.transaction(statement.stream);
            open.is_none_or(|open| open.begin.is_some_and(|begin| state.in_flight.has(begin)))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use vestibule_wire::keys::RequestType;

    use super::*;
    use crate::admission::Class;
    use crate::cells::claims::RequestId;
    use crate::resources::transactions::OpenTransaction;

    const NOTHING: Effect = Effect::None;
    const BEGIN: Effect = Effect::Opened;
    const COMMIT: Effect = Effect::Closed(OpenTransaction {
        stream: 1,
        is_writer: true,
        deadline: None,
        begin: None,
        is_aborted: false,
    });
    const COMMIT_OF_ABORTED: Effect = Effect::Closed(OpenTransaction {
        stream: 1,
        is_writer: false,
        deadline: None,
        begin: None,
        is_aborted: true,
    });

    fn cancelled(effect: Effect, limit: Limit, was_started: bool) -> Cancelled {
        let request = InFlightRequest {
            session: 0,
            connection: 1,
            sync: 1,
            stream: 1,
            request_type: RequestType::Replace,
            class: Class::Write,
            procedure: None,
            bytes: 0,
            is_writer: true,
            effect,
            since: Instant::now(),
            limit,
            is_reserved: false,
        };
        let id = RequestId {
            index: 0,
            generation: 1,
        };
        Cancelled {
            id,
            request,
            was_started,
        }
    }

    fn effect_name(transaction_effect: &TransactionEffect) -> String {
        match transaction_effect {
            TransactionEffect::Untouched => "untouched".to_owned(),
            TransactionEffect::Ended(error) => format!("ended {}", error.code().0),
            TransactionEffect::Aborted(error) => format!("aborted {}", error.code().0),
        }
    }

    #[test]
    fn what_the_client_is_told_and_what_becomes_of_its_transaction() {
        use CancelReason::{Killed, Timeout};
        use Limit::{Request, Transaction};
        let rows = [
            // Tx has not begun it: it does not happen.
            (Timeout, NOTHING, Request, false, 78, "untouched"),
            (Timeout, NOTHING, Transaction, false, 231, "aborted 231"),
            (Timeout, BEGIN, Request, false, 78, "untouched"),
            (Timeout, COMMIT, Request, false, 78, "ended 231"),
            (Timeout, COMMIT, Transaction, false, 231, "ended 231"),
            (Killed, NOTHING, Request, false, 32, "aborted 32"),
            (Killed, COMMIT, Request, false, 32, "ended 32"),
            (Killed, BEGIN, Request, false, 32, "untouched"),
            // Tx has begun it: nobody knows.
            (Timeout, NOTHING, Request, true, 78, "aborted 231"),
            (Timeout, NOTHING, Transaction, true, 231, "aborted 231"),
            (Timeout, BEGIN, Request, true, 78, "ended 231"),
            (Killed, NOTHING, Request, true, 32, "aborted 32"),
            (Killed, BEGIN, Request, true, 32, "ended 32"),
            // It may be committed, so nobody is told that it is aborted.
            (Timeout, COMMIT, Request, true, 78, "untouched"),
            (Timeout, COMMIT, Transaction, true, 78, "untouched"),
            (Killed, COMMIT, Request, true, 32, "untouched"),
            // It was aborted long before.
            (
                Timeout,
                COMMIT_OF_ABORTED,
                Transaction,
                true,
                231,
                "untouched",
            ),
        ];
        for (reason, effect, limit, was_started, code, transaction_effect) in rows {
            let own = cancelled(effect, limit, was_started);
            let name = format!("{reason:?} {effect:?} {limit:?} {was_started}");
            let error = reason.error(&own, false);
            assert_eq!(error.code().0, code, "{name}");
            assert_eq!(
                effect_name(&reason.transaction_effect(&own, false)),
                transaction_effect,
                "{name}"
            );
            let is_unknown = error.fields().iter().any(|(field, _)| *field == "outcome");
            assert_eq!(is_unknown, was_started && code != 231, "{name}");
        }
    }

    /// A statement and its COMMIT in one turn whose journal write takes too long.
    #[test]
    fn a_statement_whose_commit_may_happen_is_not_said_to_be_aborted() {
        let own = cancelled(NOTHING, Limit::Transaction, true);
        let error = CancelReason::Timeout.error(&own, true);
        assert_eq!(error.code(), Error::timeout().code());
        assert!(error.fields().iter().any(|(field, _)| *field == "outcome"));
        assert_eq!(
            effect_name(&CancelReason::Timeout.transaction_effect(&own, true)),
            "untouched"
        );
    }

    #[test]
    fn outside_of_streams_there_is_no_transaction_to_end() {
        let mut own = cancelled(NOTHING, Limit::Request, true);
        own.request.stream = 0;
        assert_eq!(
            effect_name(&CancelReason::Killed.transaction_effect(&own, false)),
            "untouched"
        );
    }
}
