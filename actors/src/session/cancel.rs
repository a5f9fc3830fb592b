//! Requests that nobody waits for any more: over their deadline, or killed. Each client is answered
//! now, by its session, whatever Tx does.
//!
//! ```text
//!   Tx has not begun it ─▶ taken back: it does not happen; its transaction goes on, unless killed
//!   Tx has begun it ─────▶ abandoned: outcome unknown; its token says so, Tx hears of it with the
//!                          next batch and stops what can be stopped; its transaction is aborted
//! ```

use vestibule_wire::Error;
use vestibule_wire::error::Field;

use super::dispatch::Dispatcher;
use crate::connection::state::ConnectionState;
use crate::messages::tx::{Cancel, TransactionEffect};
use crate::resources::WorkerState;
use crate::resources::in_flight::{Cancelled, Effect, InFlightRequest};
use crate::resources::outgoing::UnsentBegin;
use crate::shared::Shared;
use crate::timeouts::{Limit, waited_too_long};

/// Why a request is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CancelReason {
    Timeout,
    Killed,
}

impl CancelReason {
    /// What its client is told. `is_committing`: the COMMIT of its transaction was sent behind it.
    fn error(self, own: &Cancelled, is_committing: bool) -> Error {
        // A COMMIT that Tx has begun may have happened: neither it nor what it commits is said to
        // be aborted.
        let is_commit = matches!(own.request.effect, Effect::Closed(of) if !of.is_aborted);
        let may_be_committed = own.was_started && (is_commit || is_committing);
        let error = match (self, own.request.limit) {
            (Self::Killed, _) => Error::cancelled(),
            (Self::Timeout, Limit::Transaction) if !may_be_committed => {
                return Error::transaction_timeout();
            }
            (Self::Timeout, Limit::Wait) => waited_too_long(),
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
            (Effect::None, Limit::Request | Limit::Wait) if is_kept => TransactionEffect::Untouched,
            (Effect::None, _) => TransactionEffect::Aborted(error()),
        }
    }
}

/// Answers a request that is cancelled, and has Tx told of it with the next batch. `session` is
/// none if it has ended. Returns whether the session goes on for that.
pub(crate) fn answer_cancelled(
    own: &Cancelled,
    reason: CancelReason,
    shared: &Shared,
    worker: &mut WorkerState,
    session: Option<&mut ConnectionState>,
) -> bool {
    let request = &own.request;
    let is_committing = own.was_started
        && request.effect == Effect::None
        && (session.as_ref()).is_some_and(|own| is_committing(request, own));
    let transaction = reason.transaction_effect(own, is_committing);
    let is_aborted = matches!(transaction, TransactionEffect::Aborted(_));
    if own.was_started || !matches!(transaction, TransactionEffect::Untouched) {
        worker.outgoing.cancel([Cancel {
            id: own.id,
            session: request.session,
            stream: request.stream,
            begin: own.begin(),
            transaction,
        }]);
    }
    if may_have_begun(own) {
        worker.outgoing.undo_begin(UnsentBegin {
            session: request.session,
            stream: request.stream,
            begin: own.id,
            is_begin: request.effect == Effect::Opened,
        });
    }
    let Some(session) = session else {
        return false;
    };
    let goes_on = session.on_reply(request);
    if own.was_started {
        session.note_unknown(request);
    }
    // COMMIT and ROLLBACK end the transaction in any case.
    if !matches!(request.effect, Effect::Closed(_)) {
        session.undo(request);
    }
    // The stream may have another one by now.
    if let Some(begin) = own.begin().filter(|_| is_aborted) {
        session.abort_begun_by(request.stream, begin);
    }
    session.reply_error(shared, request.sync, &reason.error(own, is_committing));
    goes_on
}

/// Whether a request that does not happen was a BEGIN, or is in a stream outside of the
/// transactions that sessions know: code may have been to begin one.
fn may_have_begun(own: &Cancelled) -> bool {
    let is_outside = || own.request.stream != 0 && own.begin().is_none();
    !own.was_started
        && match own.request.effect {
            Effect::Opened => true,
            Effect::None => is_outside(),
            Effect::Closed(_) => false,
        }
}

/// Whether the COMMIT of a statement's transaction was sent behind it: then the stream has no
/// transaction any more, or one whose BEGIN was sent behind that.
fn is_committing(statement: &InFlightRequest, session: &ConnectionState) -> bool {
    let open = session.transaction(statement.stream);
    open.is_none_or(|open| open.begin != statement.begin)
}

impl Dispatcher<'_> {
    /// Ends the requests of one sync, or all of them: in flight, held, scanned, or waiting for a
    /// transition or an authenticator. Returns how many they were.
    pub(crate) fn kill_requests(&mut self, sync: Option<u64>) -> usize {
        let session = self.cell.id;
        let is_meant = |request: &InFlightRequest| {
            request.session == session && sync.is_none_or(|sync| sync == request.sync)
        };
        let cancelled = self.worker.in_flight.cancel(is_meant);
        for own in &cancelled {
            let (worker, session) = (&mut *self.worker, &mut *self.session);
            let traffic = session.traffic();
            traffic.count_cut_off(own.was_started, own.request.since, self.now);
            answer_cancelled(
                own,
                CancelReason::Killed,
                self.shared,
                worker,
                Some(session),
            );
        }
        let mut scanned = 0;
        while let Some(sync) = self.session.cancel_scan(sync) {
            self.refuse(sync, &Error::cancelled());
            scanned += 1;
        }
        let waiting =
            scanned + self.kill_held(sync) + self.kill_awaited(sync) + self.kill_login(sync);
        // Others may have its credits.
        self.worker.outgoing.wake_flush();
        cancelled.len() + waiting
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use vestibule_wire::keys::RequestType;

    use super::*;
    use crate::admission::Class;
    use crate::cells::claims::RequestId;
    use crate::messages::SessionId;
    use crate::resources::credits::Pool;
    use crate::resources::in_flight::Credit;
    use crate::resources::transactions::OpenTransaction;

    const NOTHING: Effect = Effect::None;
    const BEGIN: Effect = Effect::Opened;
    const COMMIT: Effect = Effect::Closed(OpenTransaction {
        stream: 1,
        is_writer: true,
        deadline: None,
        begin: None,
        is_aborted: false,
        is_waited_for: false,
        is_reopened: false,
    });
    const COMMIT_OF_ABORTED: Effect = Effect::Closed(OpenTransaction {
        stream: 1,
        is_writer: false,
        deadline: None,
        begin: None,
        is_aborted: true,
        is_waited_for: false,
        is_reopened: false,
    });

    fn cancelled(effect: Effect, limit: Limit, was_started: bool) -> Cancelled {
        let request = InFlightRequest {
            session: SessionId {
                index: 0,
                connection: 1,
            },
            sync: 1,
            stream: 1,
            request_type: RequestType::Replace,
            class: Class::Write,
            is_named: false,
            bytes: 0,
            is_writer: true,
            begin: None,
            effect,
            since: Instant::now(),
            limit,
            credit: Credit::Shared(Pool::Requests),
            is_waited_for: false,
            is_replica_read: false,
            is_setting: false,
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
