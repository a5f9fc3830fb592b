//! Ending from outside what a client has begun: transactions, deferred requests, reservations.
//!
//! ```text
//!   abort ─▶ rolled back in the engine; statements get the error until ROLLBACK, COMMIT too
//!     └ a deferred request of the stream ─▶ cancelled in the engine, answered at once
//! ```
//!
//! A session that cancels a request tells it by a `Cancel` in its next batch, after it has
//! answered. Nobody is waited for: neither the session nor the client has to agree.

use std::time::Instant;

use vestibule_wire::{Error, ErrorCode};

use super::callers::Callers;
use super::core::{Executor, TxCore};
use super::deferred::Deferred;
use super::given_up::Fate;
use super::streams::{Aborted, Beginner, StreamKey, Transaction};
use crate::cells::claims::RequestPhase;
use crate::cells::tx_counts::TransactionEnd;
use crate::engine::{Engine, ReservationId, Ticket};
use crate::messages::tx::{Cancel, Control, RequestOrigin, TransactionEffect};

impl<E: Engine> TxCore<E> {
    /// Does what it is told from the side, between two turns.
    pub(crate) fn control(&mut self, control: &Control) {
        let executor = &mut self.executor;
        match control {
            Control::SyncFence => executor.sync_fence(),
            Control::CloseIdleReservations => {
                executor.close_idle();
            }
            Control::CloseAllReservations => {
                executor.close_all();
            }
            Control::ReopenReservations => executor.holdings.reopen(),
            // The turn loop answers it.
            #[cfg(feature = "testing")]
            Control::LookAround(_) => {}
        }
    }

    /// What sessions have cancelled, before anything else in a turn.
    pub(super) fn apply_cancels(&mut self) {
        for (worker, cancel) in self.queue.take_cancels() {
            self.executor.apply_cancel(&self.callers, worker, cancel);
        }
    }
}

impl<E: Engine> Executor<E> {
    fn apply_cancel(&mut self, callers: &Callers, worker: usize, cancel: Cancel) {
        let ticket = self.deferred.find(worker, cancel.id);
        if let Some(ticket) = ticket
            && let Some(deferred) = self.take_deferred(ticket)
        {
            self.stop_deferred(ticket, deferred);
        }
        let id = cancel.id;
        self.cancel_lock(ticket, RequestOrigin { worker, id });
        let (connection, stream) = (cancel.session.connection, cancel.stream);
        let key = StreamKey { connection, stream };
        let (error, is_over) = match cancel.transaction {
            TransactionEffect::Untouched => return,
            TransactionEffect::Aborted(error) => (error, false),
            TransactionEffect::Ended(error) => (error, true),
        };
        let Some(id) = cancel.begin else { return };
        let (begin, fate) = (RequestOrigin { worker, id }, Fate { error, is_over });
        if self.streams.is_begun_by(key, begin) {
            return self.end(key, &fate);
        }
        // It waits in a batch behind this, or for something. The stream may have another
        // transaction meanwhile, which is none of this one's concern.
        self.given_up.note(begin, fate, |begin| {
            let phase = callers.claims(begin.worker).phase(begin.id);
            phase == Some(RequestPhase::Queued)
        });
    }

    /// Ends the transaction of a stream as its session has told.
    pub(super) fn end(&mut self, key: StreamKey, fate: &Fate) {
        self.abort(key, &fate.error);
        if fate.is_over {
            self.streams.mark_over(key);
        }
    }

    /// Aborts every open transaction that is wanted, between two turns; returns how many.
    /// Statements in their streams get `error` until their clients end them; COMMIT gets it too.
    /// What runs of them is stopped and not answered: their sessions know of the abort, and tell
    /// what became of it.
    pub(super) fn abort_transactions(
        &mut self,
        wanted: impl Fn(&Transaction) -> bool,
        error: &Error,
    ) -> usize {
        let keys = self.streams.find(wanted);
        for key in &keys {
            let running = self.roll_back_live(*key, error).and_then(|own| own.running);
            if let Some(ticket) = running
                && let Some(deferred) = self.take_deferred(ticket)
            {
                self.cancel_lock(Some(ticket), deferred.origin());
                self.stop_deferred(ticket, deferred);
            }
        }
        keys.len()
    }

    fn roll_back_live(&mut self, key: StreamKey, error: &Error) -> Option<Aborted> {
        let aborted = self.streams.abort(key, error)?;
        self.shared.tx.ended(end_by(error), 1);
        self.engine.rollback_transaction(aborted.id);
        Some(aborted)
    }

    /// Aborts the transaction of a stream, if it has one that lives; returns who began it. Between
    /// two requests, and not after one whose turn is not committed.
    pub(super) fn abort(&mut self, key: StreamKey, error: &Error) -> Option<Beginner> {
        let aborted = self.roll_back_live(key, error)?;
        if let Some(ticket) = aborted.running {
            self.fail_deferred(ticket, error);
        }
        Some(aborted.begun_by)
    }

    /// Ends what is over its deadline, at the beginning of a turn.
    pub(super) fn expire(&mut self, now: Instant) {
        self.holdings.expire(now);
        for key in self.streams.expire(now) {
            let aborted = self.abort(key, &Error::transaction_timeout());
            // All other ends of transactions are brought about by sessions, or known to them.
            if let Some(Beginner { worker, if_aborted }) = aborted {
                self.output.to(worker).tell_aborted(if_aborted);
            }
        }
    }

    /// Takes a deferred request out, which uses nothing any more; `None` if it is over already.
    pub(super) fn take_deferred(&mut self, ticket: Ticket) -> Option<Deferred> {
        let deferred = self.deferred.remove(ticket)?;
        self.holdings.hand_back(&deferred.used);
        Some(deferred)
    }

    /// Answers a deferred request with an error, whether or not the engine can stop it. Its
    /// completion, if it comes, is dropped.
    fn fail_deferred(&mut self, ticket: Ticket, error: &Error) {
        let Some(deferred) = self.take_deferred(ticket) else {
            return;
        };
        self.output.error(deferred.worker, &deferred.entry, error);
        self.output.to(deferred.worker).mark_committed();
        self.cancel_lock(Some(ticket), deferred.origin());
        self.stop_deferred(ticket, deferred);
    }

    /// Stops what can be stopped of a deferred request that is answered, and goes on in its stream.
    fn stop_deferred(&mut self, ticket: Ticket, deferred: Deferred) {
        // An async procedure stops where it waits: its task is dropped with the rest.
        if !deferred.is_call {
            self.engine.cancel(ticket);
        }
        self.streams.resume(deferred.key(), ticket);
    }

    /// A request is over whose client was told an error: it has no lock.
    pub(super) fn cancel_lock(&mut self, ticket: Option<Ticket>, origin: RequestOrigin) {
        self.holdings.cancel(ticket, origin, self.budget.began());
    }

    /// Closes idle reservations now and others when they become idle, and lets nobody reserve
    /// anything, until they are reopened. A connection in a transaction uses all that it has.
    /// Between two turns; returns how many were closed at once.
    pub(super) fn close_idle(&mut self) -> usize {
        self.holdings.begin_closing();
        self.sweep_reservations()
    }

    /// Closes all reservations, in use or not, and lets nobody reserve anything. Between two turns;
    /// returns how many there were.
    pub(super) fn close_all(&mut self) -> usize {
        let closed = self.holdings.close_all();
        self.tell_closed(&closed)
    }

    /// At the end of a turn: what has become idle while idle ones are closed.
    pub(super) fn sweep_reservations(&mut self) -> usize {
        let streams = &self.streams;
        let closed = self
            .holdings
            .sweep(|connection| streams.has_transaction(connection));
        self.tell_closed(&closed)
    }

    /// The connection is gone, with everything that it held or waited for.
    pub(super) fn leave_reservations(&mut self, connection: u64) {
        let closed = self.holdings.leave(connection);
        self.tell_closed(&closed);
    }

    /// Passes on what was closed: to the next that waits, or to the engine.
    fn tell_closed(&mut self, closed: &[ReservationId]) -> usize {
        for id in closed {
            if !self.holdings.pass_on(*id, self.budget.began()) {
                self.engine.close_reservation(*id);
            }
        }
        closed.len()
    }
}

/// How a transaction ends that is aborted with this error, or whose COMMIT is answered with it.
pub(super) fn end_by(error: &Error) -> TransactionEnd {
    match error.code() {
        ErrorCode::TRANSACTION_TIMEOUT => TransactionEnd::Timeout,
        ErrorCode::TRANSACTION_CONFLICT => TransactionEnd::Conflict,
        ErrorCode::READONLY | ErrorCode::SHUTDOWN => TransactionEnd::Transition,
        // What a killed request is told.
        ErrorCode::PROC => TransactionEnd::Killed,
        _ => TransactionEnd::RolledBack,
    }
}

#[cfg(test)]
mod tests {
    use vestibule_wire::keys::RequestType;

    use super::*;
    use crate::cells::claims::RequestId;
    use crate::testing::RequestBuilder;
    use crate::tx::test_fixture::{Fixture, fixture};

    fn in_stream(request: RequestType, sync: u64, stream: u64) -> RequestBuilder {
        RequestBuilder::new(request, sync).stream(stream)
    }

    fn too_late() -> Error {
        Error::new(ErrorCode::SHUTDOWN, "too late")
    }

    /// TP-13: a client that comes back to an aborted transaction is told what ended it.
    #[test]
    fn an_aborted_transaction_tells_why_until_its_client_ends_it() {
        fixture(|mut fixture: Fixture| async move {
            assert_eq!(
                fixture.ask(&in_stream(RequestType::Begin, 1, 1)).await.code,
                0
            );
            let aborted = fixture
                .core
                .executor
                .abort_transactions(|_| true, &too_late());
            assert_eq!(aborted, 1);
            assert_eq!(fixture.script.log(), ["begin 1", "rollback 1"]);
            let statement = RequestBuilder::replace(2, 2).stream(1);
            for _ in 0..2 {
                assert_eq!(fixture.ask(&statement).await.error_code(), Some(279));
            }
            let call = RequestBuilder::call(3, "echo", &[0x91, 7]).stream(1);
            assert_eq!(fixture.ask(&call).await.error_code(), Some(279));
            let again = fixture.ask(&in_stream(RequestType::Begin, 4, 1)).await;
            assert_eq!(again.error_code(), Some(79));
            assert_eq!(
                fixture
                    .ask(&in_stream(RequestType::Rollback, 5, 1))
                    .await
                    .code,
                0
            );
            assert_eq!(fixture.ask(&statement).await.code, 0);
            assert_eq!(fixture.script.executed(), [2]);
            assert_eq!(
                fixture.script.log().len(),
                2,
                "the engine forgot it long ago"
            );
        });
    }

    #[test]
    fn commit_of_an_aborted_transaction_fails_and_ends_it() {
        fixture(|mut fixture: Fixture| async move {
            fixture.ask(&in_stream(RequestType::Begin, 1, 1)).await;
            fixture
                .core
                .executor
                .abort_transactions(|_| true, &too_late());
            let commit = fixture.ask(&in_stream(RequestType::Commit, 2, 1)).await;
            assert_eq!(commit.error_code(), Some(279));
            assert_eq!(
                fixture.ask(&in_stream(RequestType::Begin, 3, 1)).await.code,
                0
            );
        });
    }

    #[test]
    fn a_deferred_statement_of_an_aborted_transaction_is_left_to_its_session() {
        fixture(|mut fixture: Fixture| async move {
            fixture.ask(&in_stream(RequestType::Begin, 1, 1)).await;
            fixture.send(&RequestBuilder::call(2, "never", &[0x90]).stream(1));
            fixture.send(&RequestBuilder::replace(3, 3).stream(1));
            fixture.turn();
            fixture
                .core
                .executor
                .abort_transactions(|_| true, &too_late());
            fixture.turn();
            let replies = fixture.replies().await;
            let told: Vec<_> = replies.iter().map(|own| (own.sync, own.code)).collect();
            assert_eq!(
                told,
                [(3, 0x8000 | 279)],
                "what waited behind it runs, and fails"
            );
            assert!(fixture.core.executor.deferred.is_empty());
        });
    }

    /// SP-02: only what has a transaction is meant.
    #[test]
    fn aborting_transactions_leaves_requests_outside_of_them_alone() {
        fixture(|mut fixture: Fixture| async move {
            fixture.send(&RequestBuilder::call(1, "never", &[0x90]).stream(1));
            fixture.turn();
            assert_eq!(
                fixture
                    .core
                    .executor
                    .abort_transactions(|_| true, &too_late()),
                0
            );
            assert!(fixture.replies().await.is_empty());
        });
    }

    #[test]
    fn a_begin_that_was_given_up_on_leaves_nothing_open() {
        fixture(|mut fixture: Fixture| async move {
            let begin = fixture.send(&in_stream(RequestType::Begin, 1, 1));
            fixture.turn();
            fixture.cancel(
                begin,
                (1, Some(begin)),
                TransactionEffect::Ended(too_late()),
            );
            assert_eq!(fixture.script.log(), ["begin 1", "rollback 1"]);
            fixture.replies().await;
            // Sent with the BEGIN: it must not run outside of the transaction that it was meant
            // for.
            let pipelined = RequestBuilder::replace(2, 2).stream(1);
            assert_eq!(fixture.ask(&pipelined).await.error_code(), Some(279));
            assert_eq!(
                fixture.ask(&in_stream(RequestType::Begin, 3, 1)).await.code,
                0
            );
            assert_eq!(fixture.ask(&pipelined).await.code, 0);
            assert_eq!(
                fixture
                    .ask(&in_stream(RequestType::Commit, 4, 1))
                    .await
                    .code,
                0
            );
        });
    }

    /// Of what a batch brings, cancels come first.
    #[test]
    fn a_transaction_that_was_given_up_before_it_began_is_over_when_it_begins() {
        for is_over in [true, false] {
            fixture(|mut fixture: Fixture| async move {
                let begin = fixture.send(&in_stream(RequestType::Begin, 1, 1));
                fixture.send(&RequestBuilder::replace(2, 2).stream(1));
                let effect = match is_over {
                    true => TransactionEffect::Ended(too_late()),
                    false => TransactionEffect::Aborted(too_late()),
                };
                fixture.end_transaction(RequestId::NONE, (1, Some(begin)), effect);
                fixture.turn();
                let codes = fixture.replies().await;
                let codes: Vec<_> = codes.iter().map(|own| own.error_code()).collect();
                assert_eq!(codes, [None, Some(279)]);
                assert_eq!(fixture.script.log(), ["begin 1", "rollback 1"]);
                let again = fixture.ask(&in_stream(RequestType::Begin, 3, 1)).await;
                let expected = (!is_over).then_some(79);
                assert_eq!(
                    again.error_code(),
                    expected,
                    "an end makes room for the next"
                );
            });
        }
    }

    #[test]
    fn what_is_told_of_a_transaction_is_no_concern_of_the_one_before_it_in_its_stream() {
        fixture(|mut fixture: Fixture| async move {
            fixture.ask(&in_stream(RequestType::Begin, 1, 1)).await;
            let commit = fixture.send(&in_stream(RequestType::Commit, 2, 1));
            let begin = fixture.send(&in_stream(RequestType::Begin, 3, 1));
            let aborted = || TransactionEffect::Aborted(too_late());
            // One of a statement that was none of a transaction.
            fixture.end_transaction(commit, (1, None), aborted());
            fixture.end_transaction(RequestId::NONE, (1, Some(begin)), aborted());
            fixture.turn();
            let log = ["begin 1", "commit 1", "begin 2", "rollback 2"];
            assert_eq!(fixture.script.log(), log);
        });
    }

    #[test]
    fn a_cancel_reaches_its_request_and_not_the_next_tenant_of_its_word() {
        fixture(|mut fixture: Fixture| async move {
            let first = fixture.send(&RequestBuilder::call(1, "never", &[0x90]));
            fixture.turn();
            let stranger = RequestId {
                generation: first.generation + 1,
                ..first
            };
            fixture.cancel(stranger, (0, None), TransactionEffect::Untouched);
            assert_eq!(fixture.core.executor.deferred.len(), 1);
            fixture.cancel(first, (0, None), TransactionEffect::Untouched);
            assert!(fixture.core.executor.deferred.is_empty());
        });
    }

    /// TP-19: the transaction is over, what its connection has reserved is not.
    #[test]
    fn aborting_a_transaction_does_not_touch_reservations() {
        fixture(|mut fixture: Fixture| async move {
            fixture
                .ask(&RequestBuilder::call(
                    1,
                    "vestibule.lock",
                    &[0x91, 0xa1, b'a'],
                ))
                .await;
            fixture.ask(&in_stream(RequestType::Begin, 2, 1)).await;
            assert_eq!(
                fixture
                    .core
                    .executor
                    .abort_transactions(|_| true, &too_late()),
                1
            );
            assert_eq!(fixture.shared.reservations.rows(fixture.now).len(), 1);
        });
    }
}
