//! The end of a turn: one commit, and the replies that waited for it.

use vestibule_wire::Error;

use super::core::TxCore;
use super::streams::Transaction;
use crate::engine::Engine;

impl<E: Engine> TxCore<E> {
    /// Commits the turn so far and tells everyone who was in it.
    pub(super) fn commit(&mut self) {
        // Nothing comes between this question and the write.
        let result = match self.writes.take() {
            None => self.engine.commit(),
            Some(oldest) => {
                if self.shared.fence.begin_write(oldest).is_err() {
                    return self.discard_turn();
                }
                let result = self.engine.commit();
                self.shared.fence.end_write();
                result
            }
        };
        self.writes.forget_reads();
        self.roll_back_begun_unless(|_| result.is_ok());
        match &result {
            Ok(()) => {
                if self.engine.schema_version() != self.schema_version {
                    self.publish_catalog();
                    for link in &mut self.workers {
                        link.patch_uncommitted(self.schema_version);
                    }
                }
            }
            Err(error) => {
                log::error!("a turn failed to commit: {error}");
                self.take_back_locks();
                for link in &mut self.workers {
                    link.fail_uncommitted(self.schema_version, error);
                }
            }
        }
        self.tell_fault(result.is_err());
        for link in &mut self.workers {
            link.mark_committed();
        }
        for on_commit in self.on_commit.drain(..) {
            on_commit(result.clone());
        }
        match result {
            Ok(()) => self.streams.forget_statements(),
            Err(error) => self.abort_refused(&error),
        }
    }

    /// Statements that were told the turn's error must not be committed with their transactions.
    fn abort_refused(&mut self, error: &Error) {
        for key in self.streams.take_statements() {
            self.abort(key, error);
        }
    }

    /// A client whose `vestibule.lock` is answered with the turn's error has no lock.
    fn take_back_locks(&mut self) {
        let workers = self.workers.iter().enumerate();
        let origins =
            workers.flat_map(|(worker, link)| link.uncommitted().map(move |id| (worker, id)));
        for origin in origins.collect::<Vec<_>>() {
            self.give_up_lock(None, origin);
        }
    }

    /// A client whose BEGIN is answered with the turn's error has no transaction.
    pub(super) fn roll_back_begun_unless(&mut self, stays: impl Fn(&Transaction) -> bool) {
        for key in self.streams.take_begun() {
            let stream = self.streams.get(key);
            if stream.is_some_and(|own| own.transaction.as_ref().is_some_and(&stays)) {
                continue;
            }
            let Some(transaction) = self.streams.take_transaction(key) else {
                continue;
            };
            if let Some(id) = transaction.live() {
                self.engine.rollback_transaction(id);
            }
            if let Some(timer) = transaction.timer {
                self.deadlines.clear(timer);
            }
        }
    }

    /// Whether the engine takes changes is told when it may have changed.
    fn tell_fault(&mut self, has_failed: bool) {
        if !has_failed && !self.has_fault {
            return;
        }
        let fault = self.engine.fault();
        self.has_fault = fault.is_some();
        self.shared.publish_fault(fault);
    }

    pub(super) fn publish_catalog(&mut self) {
        self.schema_version = self.engine.schema_version();
        self.shared
            .publish_catalog(self.schema_version, self.engine.catalog());
    }

    pub(super) fn send_replies(&mut self) {
        for link in &mut self.workers {
            link.send();
        }
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
