//! The end of a turn: one commit, and the replies that waited for it.

use vestibule_wire::Error;

use super::callers::Callers;
use super::core::Executor;
use super::streams::Transaction;
use crate::cells::tx_counts::TransactionEnd;
use crate::engine::Engine;

impl<E: Engine> Executor<E> {
    /// Commits the turn so far and tells everyone who was in it.
    pub(super) fn commit(&mut self, callers: &Callers) {
        // Nothing comes between this question and the write.
        let result = match self.writes.take() {
            None => self.engine.commit(),
            Some(oldest) => {
                if self.shared.fence.begin_write(oldest).is_err() {
                    return self.discard_turn(callers);
                }
                let result = self.engine.commit();
                self.shared.fence.end_write();
                result
            }
        };
        self.writes.forget_reads();
        self.roll_back_begun_unless(|_| result.is_ok());
        self.count_commits(match result {
            Ok(()) => TransactionEnd::Committed,
            Err(_) => TransactionEnd::RolledBack,
        });
        match &result {
            Ok(()) => {
                if self.engine.schema_version() != self.output.schema_version() {
                    self.publish_catalog();
                    self.output.patch_uncommitted();
                }
            }
            Err(error) => {
                log::error!("a turn failed to commit: {error}");
                self.take_back_locks();
                self.output.fail_uncommitted(error);
            }
        }
        self.publish_fault(result.is_err());
        self.output.mark_committed();
        self.output.tell_steps(&result);
        match result {
            Ok(()) => self.streams.forget_statements(),
            Err(error) => self.abort_refused(&error),
        }
    }

    /// Transactions whose COMMIT was in this turn have ended so.
    pub(super) fn count_commits(&mut self, how: TransactionEnd) {
        let committing = std::mem::take(&mut self.committing);
        self.shared.tx.ended(how, committing);
    }

    /// Statements that were told the turn's error must not be committed with their transactions.
    fn abort_refused(&mut self, error: &Error) {
        for key in self.streams.take_statements() {
            self.abort(key, error);
        }
    }

    /// A client whose `vestibule.lock` is answered with the turn's error has no lock.
    fn take_back_locks(&mut self) {
        for origin in self.output.uncommitted() {
            self.cancel_lock(None, origin);
        }
    }

    /// A client whose BEGIN is answered with the turn's error has no transaction.
    pub(super) fn roll_back_begun_unless(&mut self, stays: impl Fn(&Transaction) -> bool) {
        for key in self.streams.take_begun() {
            if self.streams.transaction(key).is_some_and(&stays) {
                continue;
            }
            let transaction = self.streams.take_transaction(key);
            if let Some(live) = transaction.and_then(|own| own.live()) {
                self.shared.tx.ended(TransactionEnd::RolledBack, 1);
                self.engine.rollback_transaction(live);
            }
        }
    }

    /// Whether the engine takes changes is told when it may have changed.
    fn publish_fault(&mut self, has_failed: bool) {
        if !has_failed && !self.has_fault {
            return;
        }
        let fault = self.engine.fault();
        self.has_fault = fault.is_some();
        self.shared.publish_fault(fault);
    }
}

#[cfg(test)]
mod tests {
    use vestibule_wire::keys::RequestType;

    use crate::testing::RequestBuilder;
    use crate::tx::test_fixture::{Fixture, fixture};

    #[test]
    fn a_transaction_ends_with_the_turn_that_refused_its_statement() {
        fixture(|mut fixture: Fixture| async move {
            let in_stream = |request, sync| RequestBuilder::new(request, sync).stream(1);
            assert_eq!(fixture.ask(&in_stream(RequestType::Begin, 1)).await.code, 0);
            fixture.script.fail_commits(true);
            fixture.send(&RequestBuilder::replace(2, 2).stream(1));
            fixture.send(&RequestBuilder::replace(3, 3));
            fixture.turn();
            let codes: Vec<_> = fixture.replies().await.iter().map(|own| own.code).collect();
            assert_eq!(codes, [0x8000 | 40, 0x8000 | 40]);
            fixture.script.fail_commits(false);
            assert_eq!(fixture.script.log(), ["begin 1", "rollback 1"]);
            let commit = fixture.ask(&in_stream(RequestType::Commit, 4)).await;
            assert_eq!(commit.error_code(), Some(40));
            // A statement of a turn that was committed is no concern of a later one.
            assert_eq!(fixture.ask(&in_stream(RequestType::Begin, 5)).await.code, 0);
            let statement = RequestBuilder::replace(6, 6).stream(1);
            assert_eq!(fixture.ask(&statement).await.code, 0);
            fixture.script.fail_commits(true);
            let other = fixture.ask(&RequestBuilder::replace(7, 7)).await;
            assert_eq!(other.error_code(), Some(40));
            fixture.script.fail_commits(false);
            assert_eq!(
                fixture.ask(&in_stream(RequestType::Commit, 8)).await.code,
                0
            );
        });
    }
}
