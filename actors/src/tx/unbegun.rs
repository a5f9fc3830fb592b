//! A BEGIN that is not done, because its session has taken it back or it may not wait, takes its
//! transaction with it: what its client has sent behind it would be done statement by statement.
//!
//! ```text
//!   BEGIN taken back, or refused a wait ─▶ in its turn ─┬─ one is open: it is in its way, as ever
//!                                                       └─ none ─▶ aborted, without the engine
//!   statement ─▶ 97      COMMIT ─▶ 97, over      ROLLBACK ─▶ over      next BEGIN ─▶ a new one
//!   COMMIT or ROLLBACK taken back ─▶ in its turn ─▶ over, if its BEGIN was not done
//! ```

use std::sync::Arc;

use vestibule_wire::keys::RequestType;
use vestibule_wire::{Error, ErrorCode};

use super::core::Executor;
use super::streams::{Beginner, StreamKey, WaitingRequest};
use crate::engine::{Caller, Engine};
use crate::messages::tx::{AbortedTransaction, BatchEntry};

/// What is told behind a BEGIN that is not done.
const UNBEGUN: &str = "Transaction has been aborted by its BEGIN, which was not done";

impl<E: Engine> Executor<E> {
    /// The turn has come of a request that is not done: of one that begins or ends a transaction,
    /// what is behind it in its stream is told.
    pub(super) fn pass_undone(&mut self, worker: usize, entry: &BatchEntry, caller: &Arc<Caller>) {
        if !entry.bounds_transaction() {
            return;
        }
        let key = StreamKey {
            connection: caller.connection,
            stream: entry.stream,
        };
        if entry.meaning == RequestType::Begin {
            let begun_by = Beginner {
                worker,
                if_aborted: AbortedTransaction::of(entry, key.connection),
            };
            let error = Error::new(ErrorCode::TRANSACTION_CONFLICT, UNBEGUN);
            let why = (self.budget.began(), error);
            self.streams
                .lose_unbegun(key, entry.admitted, begun_by, why);
        } else {
            self.streams.forget_unbegun(key);
        }
    }

    /// A request that may not wait is answered: a BEGIN keeps its place all the same.
    pub(super) fn keep_place(&mut self, refused: WaitingRequest) {
        let entry = &refused.entry;
        if entry.bounds_transaction() && entry.meaning == RequestType::Begin {
            self.streams.wait_refused(WaitingRequest {
                body: Vec::new(),
                is_refused: true,
                ..refused
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, QuotaLimits};
    use crate::limits::{BACKLOG_LOOK_PERIOD, CONNECTION_REPLY_BYTES_MAX};
    use crate::messages::tx::Batch;
    use crate::segments::Held;
    use crate::testing::{Frame, RequestBuilder};
    use crate::tx::test_fixture::{Fixture, fixture, fixture_with};

    fn of_stream(request: RequestType, sync: u64) -> RequestBuilder {
        RequestBuilder::new(request, sync).stream(7)
    }

    fn write(key: u64) -> RequestBuilder {
        RequestBuilder::replace(key, key).stream(7)
    }

    /// A transaction of one row that ends like this, and a row behind it.
    fn transaction(end: RequestType, sync: u64) -> [RequestBuilder; 4] {
        [
            of_stream(RequestType::Begin, sync),
            write(sync + 1),
            of_stream(end, sync + 2),
            write(sync + 3),
        ]
    }

    /// The syncs and codes of errors of these replies; 0: done.
    fn told(replies: &[Frame]) -> Vec<(u64, u16)> {
        let told = replies.iter();
        told.map(|own| (own.sync, own.error_code().unwrap_or(0)))
            .collect()
    }

    impl Fixture {
        /// Sends these; those of the second list are taken back before Tx looks.
        fn send_but(&mut self, all: &[RequestBuilder], taken_back: &[usize]) {
            let ids: Vec<_> = all.iter().map(|own| self.send(own)).collect();
            for at in taken_back {
                assert!(self.claims.revoke(ids[*at]));
            }
        }
    }

    #[test]
    fn nothing_is_done_behind_a_begin_that_was_taken_back_until_its_client_ends_it() {
        use RequestType::Begin;
        fixture(|mut fixture: Fixture| async move {
            let all = transaction(RequestType::Commit, 1);
            fixture.send_but(&all, &[0]);
            fixture.turn();
            assert_eq!(told(&fixture.replies().await), [(2, 97), (3, 97), (4, 0)]);
            let all = transaction(RequestType::Rollback, 5);
            fixture.send_but(&all, &[0]);
            fixture.turn();
            assert_eq!(told(&fixture.replies().await), [(6, 97), (7, 0), (8, 0)]);
            let all = [of_stream(Begin, 9), write(10), of_stream(Begin, 11)];
            fixture.send_but(&all, &[0]);
            fixture.turn();
            assert_eq!(told(&fixture.replies().await), [(10, 97), (11, 0)]);
            assert_eq!(fixture.script.executed(), [4, 8]);
        });
    }

    #[test]
    fn of_a_transaction_that_was_taken_back_with_its_end_nothing_is_left() {
        fixture(|mut fixture: Fixture| async move {
            let all = transaction(RequestType::Commit, 1);
            fixture.send_but(&all, &[0, 1, 2]);
            fixture.turn();
            assert_eq!(told(&fixture.replies().await), [(4, 0)]);
        });
    }

    #[test]
    fn a_begin_that_was_taken_back_leaves_what_is_open_alone() {
        use RequestType::{Begin, Commit};
        fixture(|mut fixture: Fixture| async move {
            assert_eq!(fixture.ask(&of_stream(Begin, 1)).await.code, 0);
            let all = [of_stream(Begin, 2), write(3), of_stream(Commit, 4)];
            fixture.send_but(&all, &[0]);
            fixture.turn();
            assert_eq!(told(&fixture.replies().await), [(3, 0), (4, 0)]);
        });
    }

    /// What is behind it may, for others wait no more.
    #[test]
    fn a_begin_that_may_not_wait_in_its_stream_takes_its_transaction_with_it() {
        use RequestType::{Begin, Commit};
        let quotas = QuotaLimits::default().waits_max(32);
        fixture_with(Config::default().quotas(quotas), |mut fixture| async move {
            let reserve = RequestBuilder::call(1, "reserve", &[0x90]);
            fixture.ask(&reserve).await;
            // A quarter is all that one user at one address may have of them.
            fixture.send(&RequestBuilder::call(2, "take", &[0x91, 1]).stream(7));
            for stream in 1..8 {
                let later = RequestBuilder::call(stream, "later", &[0x91, 0]);
                fixture.send_as(2, &later.stream(stream));
            }
            fixture.turn();
            fixture.send(&of_stream(Begin, 3));
            fixture.turn();
            let refused = told(&fixture.replies().await);
            assert!(matches!(refused[..], [(3, 1..)]), "{refused:?}");
            fixture.run_tasks().await;
            fixture.turn();
            assert_eq!(fixture.replies().await.len(), 7);
            fixture.send(&write(4));
            fixture.send(&of_stream(Commit, 5));
            fixture.turn();
            fixture.script.complete();
            fixture.replies().await;
            fixture.turn();
            let answered = told(&fixture.replies().await);
            assert_eq!(answered, [(2, 0), (4, 97), (5, 97)]);
            assert_eq!(fixture.script.executed(), []);
        });
    }

    #[test]
    fn a_begin_that_is_taken_back_while_it_waits_for_room_takes_its_transaction_with_it() {
        use RequestType::{Begin, Commit};
        fixture(|mut fixture: Fixture| async move {
            fixture.ask(&RequestBuilder::replace(1, 1)).await;
            let full = CONNECTION_REPLY_BYTES_MAX;
            fixture.charge(1).set(Held::buffers(full), full);
            let client = fixture
                .core
                .callers
                .get(0, 0)
                .expect("it has sent something");
            client.replies.set_waiting(true);
            let all = [of_stream(Begin, 2), write(3), of_stream(Commit, 4)];
            let ids = all.map(|own| fixture.send(&own));
            fixture.turn();
            assert!(fixture.claims.revoke(ids[0]));
            // What was taken back is dropped, but for this.
            fixture.wait(BACKLOG_LOOK_PERIOD);
            assert!(fixture.replies().await.is_empty(), "there is no room yet");
            fixture.charge(1).set(Held::default(), 0);
            let mut batch = Box::<Batch>::default();
            batch.roomy.push(1);
            fixture.core.push_batch(batch);
            fixture.turn();
            assert_eq!(told(&fixture.replies().await), [(3, 97), (4, 97)]);
            assert_eq!(fixture.script.executed(), [1]);
        });
    }
}
