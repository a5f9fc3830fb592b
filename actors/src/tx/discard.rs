//! Tx's side of the fence: what a turn may write, and what becomes of one that may not.
//!
//! ```text
//!   request ─▶ too old to write? ─▶ 7           commit ─▶ fence: too old by now? ─▶ discard it
//!               └ noted: the oldest of the turn               └ journal
//!
//!   a turn that is discarded:   read read WRITE read write
//!                               └ kept ─┘ └ 7 ┘  │     └ 7
//!                                                └ may have seen the write: read again
//! ```

use vestibule_wire::{Error, ErrorCode};

use super::callers::Callers;
use super::core::Executor;
use super::request::ClaimedRequest;
use super::steps::StepOrigin;
use super::turn_writes::{Read, read_only};
use crate::cells::tx_counts::TransactionEnd;
use crate::engine::{Engine, Outcome};
use crate::messages::tx::{ReplyHead, RequestOrigin};
use crate::serving::Admitted;

impl<E: Engine> Executor<E> {
    /// Between two turns: aborts what is too old to be written, if the fence was raised.
    pub(super) fn sync_fence(&mut self) {
        let floor = self.shared.fence.floor();
        if !self.writes.set_floor(floor) {
            return;
        }
        let error = read_only(&self.shared);
        // What is deferred is ended by its session, which alone knows what its client was told: an
        // answer from here would say 7 of what has begun, and race with that.
        let is_too_old = |own: Admitted| !own.is_read_only() && own.epoch() < floor;
        self.abort_transactions(|own| is_too_old(own.admitted), &error);
    }

    /// A step of an async procedure is about to run.
    pub(super) fn admit_step(&mut self, origin: StepOrigin) -> Result<(), Error> {
        let StepOrigin {
            admitted,
            transaction,
        } = origin;
        let open = match transaction {
            Some((key, id)) => Some((key, self.streams.still_open(key, id)?.admitted)),
            None => None,
        };
        // As of a statement: a transaction keeps what it was begun as.
        let is_read_only = open.map_or(admitted, |(_, begun)| begun).is_read_only();
        if is_read_only {
            self.writes.note_read_only_step();
        } else if !self.writes.admit(admitted.epoch()) {
            return Err(read_only(&self.shared));
        }
        if let Some((key, _)) = open {
            self.streams.note_statement(key);
        }
        self.writes.tell(&mut self.engine, is_read_only);
        if self.writes.is_begun() {
            // Steps come first in a turn: whatever is replied to in it comes after their writes.
            self.output.mark_first_write();
        }
        Ok(())
    }

    /// The fence was raised while this turn ran: what it has changed is forgotten, and those who
    /// asked for it are refused. Reads are answered.
    pub(super) fn discard_turn(&mut self, callers: &Callers) {
        if let Err(fault) = self.engine.discard_turn() {
            // Caught where Tx's panics are: what the engine would commit now is older than the
            // transition. The next engine recovers without it.
            panic!("the engine cannot forget what a transition overtook: {fault}");
        }
        // Those that write are too old: they are aborted before the next turn.
        self.streams.forget_statements();
        self.count_commits(TransactionEnd::Transition);
        self.roll_back_begun_unless(|own| own.admitted.is_read_only());
        let error = read_only(&self.shared);
        let (reads, bodies) = self.writes.take_reads();
        for worker in self.output.workers() {
            let (first, heads) = self.output.to(worker).take_after_write();
            for (number, head) in (first..).zip(heads) {
                let is_it = |read: &&Read| (read.worker, read.head) == (worker, number);
                match reads.iter().find(is_it) {
                    Some(read) => self.read_again(read, &bodies[read.start..read.end], callers),
                    None => self.refuse_late(worker, &head, &error),
                }
            }
            self.output.to(worker).mark_committed();
        }
        self.output.tell_steps(&Err(error));
    }

    fn refuse_late(&mut self, worker: usize, head: &ReplyHead, error: &Error) {
        let id = head.id;
        self.cancel_lock(None, RequestOrigin { worker, id });
        self.output.error_instead(worker, head, error);
    }

    fn read_again(&mut self, read: &Read, body: &[u8], callers: &Callers) {
        let client = callers.get(read.worker, read.entry.session);
        let outcome = match client {
            Some(client) => self.attempt(&ClaimedRequest {
                worker: read.worker,
                entry: &read.entry,
                body,
                caller: &client.caller,
                replies: &client.replies,
                callers,
            }),
            None => Err(Error::new(ErrorCode::SYSTEM, "Unknown session")),
        };
        let error = match outcome {
            Ok(Outcome::Done | Outcome::Deferred) => return,
            Ok(Outcome::CommitFirst) => {
                Error::new(ErrorCode::SYSTEM, "The engine has no turn for a read")
            }
            Err(error) => error,
        };
        self.output.error(read.worker, &read.entry, &error);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use vestibule_wire::keys::RequestType;

    use super::*;
    use crate::messages::tx::TransactionEffect;
    use crate::serving::{Role, Serving, TransitionView};
    use crate::testing::{Frame, RequestBuilder};
    use crate::tx::test_fixture::{Fixture, fixture};

    /// A demotion, as the Supervisor carries it out.
    fn demote(fixture: &Fixture) {
        let cell = &fixture.shared.serving;
        cell.demoting(TransitionView::default(), Instant::now());
        fixture.shared.raise_fence();
        cell.set_role(Role::Replica, TransitionView::default(), Instant::now());
    }

    fn in_stream(request: RequestType, sync: u64) -> RequestBuilder {
        RequestBuilder::new(request, sync).stream(1)
    }

    /// X-03: admitted, then kept somewhere while a whole transition went by.
    #[test]
    fn what_was_admitted_before_a_demotion_is_refused_after_it_and_reads_are_not() {
        fixture(|mut fixture: Fixture| async move {
            demote(&fixture);
            let write = fixture.ask(&RequestBuilder::replace(1, 1)).await;
            assert_eq!(write.error_code(), Some(7));
            let call = fixture
                .ask(&RequestBuilder::call(2, "echo", &[0x91, 7]))
                .await;
            assert_eq!(call.error_code(), Some(7));
            let begin = fixture.ask(&in_stream(RequestType::Begin, 3)).await;
            assert_eq!(begin.error_code(), Some(7));
            assert_eq!(fixture.ask(&RequestBuilder::select(4, 1)).await.code, 0);
            assert!(fixture.script.executed().is_empty());
            assert!(fixture.script.log().is_empty());
        });
    }

    /// X-09: whether a transaction may write is decided by its BEGIN, once.
    #[test]
    fn a_transaction_keeps_what_it_was_begun_as() {
        fixture(|mut fixture: Fixture| async move {
            let writable = fixture.shared.serving.load();
            let read_only = Serving {
                role: Role::Replica,
                ..writable
            };
            fixture.admitted = Admitted::under(read_only);
            assert_eq!(fixture.ask(&in_stream(RequestType::Begin, 1)).await.code, 0);
            fixture.admitted = Admitted::under(writable);
            let write = RequestBuilder::replace(2, 2).stream(1);
            assert_eq!(fixture.ask(&write).await.error_code(), Some(7));
            assert_eq!(
                fixture.ask(&in_stream(RequestType::Commit, 3)).await.code,
                0
            );
            assert_eq!(fixture.ask(&in_stream(RequestType::Begin, 4)).await.code, 0);
            fixture.admitted = Admitted::under(read_only);
            let write = RequestBuilder::replace(5, 5).stream(1);
            assert_eq!(fixture.ask(&write).await.code, 0);
        });
    }

    #[test]
    fn a_transaction_of_before_is_aborted_and_its_commit_fails() {
        fixture(|mut fixture: Fixture| async move {
            fixture.ask(&in_stream(RequestType::Begin, 1)).await;
            demote(&fixture);
            fixture.core.executor.sync_fence();
            assert_eq!(fixture.script.log(), ["begin 1", "rollback 1"]);
            // Whenever it was admitted.
            fixture.admitted = Admitted::under(fixture.shared.serving.load());
            let commit = fixture.ask(&in_stream(RequestType::Commit, 2)).await;
            assert_eq!(commit.error_code(), Some(7));
            assert_eq!(
                fixture.ask(&in_stream(RequestType::Rollback, 3)).await.code,
                0
            );
        });
    }

    /// The fence goes up while a turn runs: in the middle of it, at the procedure `pause`.
    fn overtake_at_pause(fixture: &Fixture) {
        let shared = fixture.shared.clone();
        fixture.script.on_pause(move || {
            shared
                .serving
                .demoting(TransitionView::default(), Instant::now());
            shared.raise_fence();
        });
    }

    #[test]
    fn a_turn_that_is_overtaken_writes_nothing_and_its_reads_are_answered() {
        fixture(|mut fixture: Fixture| async move {
            overtake_at_pause(&fixture);
            fixture.send(&RequestBuilder::select(1, 5));
            fixture.send(&RequestBuilder::replace(2, 5));
            fixture.send(&RequestBuilder::select(3, 5));
            fixture.send(&RequestBuilder::call(4, "pause", &[0x91, 0]));
            fixture.core.turn(Instant::now());
            let replies = fixture.replies().await;
            let told: Vec<_> = replies
                .iter()
                .map(|own| (own.sync, own.error_code()))
                .collect();
            assert_eq!(told, [(1, None), (2, Some(7)), (3, None), (4, Some(7))]);
            let rows: Vec<(u64, u64)> = replies[2].data();
            assert!(rows.is_empty(), "what was never written is never read");
            assert_eq!(fixture.script.log(), ["discard"]);
        });
    }

    /// What is admitted read-only may write to temporary spaces, and is forgotten with the turn.
    #[test]
    fn what_may_have_written_to_a_temporary_space_is_not_acknowledged_by_a_discarded_turn() {
        fixture(|mut fixture: Fixture| async move {
            overtake_at_pause(&fixture);
            let writable = fixture.shared.serving.load();
            fixture.admitted = Admitted::under(Serving {
                role: Role::Replica,
                ..writable
            });
            fixture.send(&RequestBuilder::select(1, 5));
            fixture.send(&RequestBuilder::call(2, "echo", &[0x91, 7]));
            fixture.admitted = Admitted::under(writable);
            fixture.send(&RequestBuilder::replace(3, 5));
            fixture.send(&RequestBuilder::call(4, "pause", &[0x91, 0]));
            fixture.core.turn(Instant::now());
            let replies = fixture.replies().await;
            let told = |own: &Frame| (own.sync, own.error_code());
            let told: Vec<_> = replies.iter().map(told).collect();
            assert_eq!(told, [(1, None), (2, Some(7)), (3, Some(7)), (4, Some(7))]);
        });
    }

    #[test]
    fn a_read_that_saw_a_step_of_a_discarded_turn_is_done_again() {
        fixture(|mut fixture: Fixture| async move {
            // A turn whose first write is its fourth request.
            for sync in 1..4 {
                fixture.send(&RequestBuilder::select(sync, 9));
            }
            fixture.send(&RequestBuilder::replace(4, 9));
            fixture.send(&RequestBuilder::call(5, "write_steps", &[0x91, 1]));
            fixture.core.turn(Instant::now());
            fixture.run_tasks().await;
            overtake_at_pause(&fixture);
            assert_eq!(fixture.replies().await.len(), 4);
            // The step writes key 0, and the read after it sees that, until it is discarded.
            fixture.send(&RequestBuilder::select(6, 0));
            fixture.send(&RequestBuilder::call(7, "pause", &[0x91, 0]));
            fixture.core.turn(Instant::now());
            let replies = fixture.replies().await;
            assert_eq!((replies[0].sync, replies[1].error_code()), (6, Some(7)));
            assert!(replies[0].data::<Vec<(u64, u64)>>().is_empty());
            assert_eq!(fixture.script.rows(), 1);
        });
    }

    #[test]
    fn what_is_deferred_is_left_to_its_session_which_alone_knows_what_it_told() {
        fixture(|mut fixture: Fixture| async move {
            let call = fixture.send(&RequestBuilder::call(1, "never", &[0x90]));
            fixture.core.turn(Instant::now());
            demote(&fixture);
            fixture.core.executor.sync_fence();
            fixture.core.turn(Instant::now());
            assert!(
                fixture.replies().await.is_empty(),
                "7 would say that it was not begun"
            );
            fixture.cancel(call, (0, None), TransactionEffect::Untouched);
            assert!(fixture.core.executor.deferred.is_empty(), "dropped");
        });
    }

    #[test]
    fn steps_of_an_async_procedure_stop_at_the_fence() {
        fixture(|mut fixture: Fixture| async move {
            fixture.send(&RequestBuilder::call(1, "write_steps", &[0x91, 3]));
            fixture.core.turn(Instant::now());
            // Its first step is asked for.
            fixture.run_tasks().await;
            demote(&fixture);
            let mut replies = Vec::new();
            while replies.is_empty() {
                fixture.turn();
                fixture.run_tasks().await;
                replies = fixture.replies().await;
            }
            assert_eq!(
                replies[0].data::<Vec<u64>>(),
                [0],
                "it was told at each step"
            );
            assert_eq!(fixture.script.rows(), 0);
        });
    }
}
