//! Tx's side of the fence: what a turn may write, and what becomes of one that may not.
//!
//! ```text
//!   request ─▶ too old to write? ─▶ 7           commit ─▶ fence: too old by now? ─▶ discard the turn
//!               └ noted: the oldest of the turn                 └ journal
//!
//!   a turn that is discarded:   read read WRITE read write
//!                               └ kept ─┘ └ 7 ┘  │     └ 7
//!                                                └ may have seen the write: read again
//! ```

use vestibule_wire::keys::RequestType;
use vestibule_wire::request::Body;
use vestibule_wire::{Error, ErrorCode};

use super::core::TxCore;
use super::fence::Admitted;
use super::messages::{Entry, ReplyHead};
use crate::engine::{Engine, Outcome};
use crate::shared::Shared;

/// What may still be written, and what of this turn has to be.
#[derive(Debug, Default)]
pub(crate) struct TurnWrites {
    /// The oldest epoch that may write, as of the beginning of the turn.
    floor: u64,
    /// The oldest epoch of what was executed and may have changed data.
    oldest: Option<u64>,
    /// What the engine was told last.
    told_read_only: Option<bool>,
    /// Reads that came after the first write of the turn, and their bodies one after the other.
    reads: Vec<Read>,
    bodies: Vec<u8>,
}

/// A read that may have seen what is not committed.
#[derive(Debug, Clone, Copy)]
struct Read {
    worker: usize,
    /// Which reply of its arbiter.
    head: usize,
    entry: Entry,
    start: usize,
    end: usize,
}

impl TurnWrites {
    /// Something admitted under this epoch is about to be executed that may change data; false if it
    /// is too old.
    #[inline]
    pub(super) fn admit(&mut self, epoch: u64) -> bool {
        let may_write = epoch >= self.floor;
        if may_write {
            self.oldest = Some(self.oldest.map_or(epoch, |oldest| oldest.min(epoch)));
        }
        may_write
    }

    /// Tells the engine whether it may change data, if that changed.
    #[inline]
    pub(super) fn tell<E: Engine>(&mut self, engine: &mut E, is_read_only: bool) {
        if self.told_read_only.replace(is_read_only) != Some(is_read_only) {
            engine.set_read_only(is_read_only);
        }
    }

    /// Something of this turn may have changed data.
    pub(super) fn is_begun(&self) -> bool {
        self.oldest.is_some()
    }

    /// The turn ends: the oldest epoch of what has to be written.
    pub(super) fn take(&mut self) -> Option<u64> {
        self.oldest.take()
    }

    /// Remembers a plain read, should it have to be done again.
    pub(super) fn note_read(&mut self, worker: usize, head: usize, entry: &Entry, body: &[u8]) {
        if entry.request != RequestType::Select || entry.stream != 0 {
            return;
        }
        let start = self.bodies.len();
        self.bodies.extend_from_slice(body);
        self.reads.push(Read {
            worker,
            head,
            entry: *entry,
            start,
            end: self.bodies.len(),
        });
    }

    pub(super) fn forget_reads(&mut self) {
        self.reads.clear();
        self.bodies.clear();
    }
}

/// The error for what may not change data, or not any more.
pub(super) fn read_only(shared: &Shared) -> Error {
    let situation = shared.cell.situation(crate::clock::now());
    situation.error(ErrorCode::READONLY)
}

/// Whether a request changes data by what it is.
pub(super) fn is_write(body: &Body<'_>) -> bool {
    matches!(
        body,
        Body::Insert(_) | Body::Replace(_) | Body::Update(_) | Body::Delete(_) | Body::Upsert(_)
    )
}

impl<E: Engine> TxCore<E> {
    /// Between two turns: aborts what is too old to be written, if the fence was raised.
    pub(super) fn heed_fence(&mut self) {
        let floor = self.shared.fence.floor();
        if floor == self.writes.floor {
            return;
        }
        self.writes.floor = floor;
        let error = read_only(&self.shared);
        // What is deferred is ended by its session, which alone knows what its client was told: an
        // answer from here would say 7 of what has begun, and race with that.
        self.abort_transactions(|own| !own.is_read_only && own.epoch < floor, &error);
    }

    /// A step of an async procedure is about to run.
    pub(super) fn admit_step(&mut self, admitted: Admitted) -> Result<(), Error> {
        if !admitted.is_read_only() && !self.writes.admit(admitted.epoch()) {
            return Err(read_only(&self.shared));
        }
        self.writes.tell(&mut self.engine, admitted.is_read_only());
        if self.writes.is_begun() {
            // Steps come first in a turn: whatever is replied to in it comes after their writes.
            self.mark_first_write();
        }
        Ok(())
    }

    /// The turn writes from here on.
    pub(super) fn mark_first_write(&mut self) {
        for port in &mut self.ports {
            port.first_after_write = port.out.heads.len();
        }
    }

    /// The fence was raised while this turn ran: what it has changed is forgotten, and whoever asked for
    /// it is refused. Reads are answered.
    pub(super) fn discard_turn(&mut self) {
        self.engine.discard_turn();
        // Those that write are too old: they are aborted before the next turn.
        self.streams.forget_statements();
        self.settle_begun(|own| own.is_read_only);
        let error = read_only(&self.shared);
        let reads = std::mem::take(&mut self.writes.reads);
        let bodies = std::mem::take(&mut self.writes.bodies);
        for worker in 0..self.ports.len() {
            let (first, heads) = self.ports[worker].take_after_write();
            for (number, head) in (first..).zip(heads) {
                let is_it = |read: &&Read| (read.worker, read.head) == (worker, number);
                match reads.iter().find(is_it) {
                    Some(read) => self.read_again(read, &bodies[read.start..read.end]),
                    None => self.refuse_late(worker, &head, &error),
                }
            }
            self.ports[worker].settle();
        }
        for on_commit in self.on_commit.drain(..) {
            on_commit(Err(error.clone()));
        }
    }

    fn refuse_late(&mut self, worker: usize, head: &ReplyHead, error: &Error) {
        self.give_up_lock(None, (worker, head.id));
        self.ports[worker].push_error(head, self.schema_version, error);
    }

    fn read_again(&mut self, read: &Read, body: &[u8]) {
        match self.attempt(read.worker, &read.entry, body, None) {
            Ok(Outcome::Done | Outcome::Deferred) => {}
            Ok(Outcome::CommitFirst) => {
                let error = Error::new(ErrorCode::SYSTEM, "The engine has no turn for a read");
                self.reply_error(read.worker, &read.entry, &error);
            }
            Err(error) => self.reply_error(read.worker, &read.entry, &error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::serving::{Role, Serving};
    use crate::testing::RequestBuilder;
    use crate::tx::messages::Fate;
    use crate::tx::rig::{Rig, rig};

    /// A demotion, as the Supervisor carries it out.
    fn demote(rig: &Rig) {
        let cell = &rig.shared.cell;
        cell.demoting(Instant::now());
        rig.shared.raise_fence();
        cell.set_role(Role::Replica, Instant::now());
    }

    fn in_stream(request: RequestType, sync: u64) -> RequestBuilder {
        RequestBuilder::new(request, sync).stream(1)
    }

    /// X-03: admitted, then kept somewhere while a whole transition went by.
    #[test]
    fn what_was_admitted_before_a_demotion_is_refused_after_it_and_reads_are_not() {
        rig(|mut rig: Rig| async move {
            demote(&rig);
            let write = rig.ask(&RequestBuilder::replace(1, 1)).await;
            assert_eq!(write.error_code(), Some(7));
            let call = rig.ask(&RequestBuilder::call(2, "echo", &[0x91, 7])).await;
            assert_eq!(call.error_code(), Some(7));
            let begin = rig.ask(&in_stream(RequestType::Begin, 3)).await;
            assert_eq!(begin.error_code(), Some(7));
            assert_eq!(rig.ask(&RequestBuilder::select(4, 1)).await.code, 0);
            assert!(rig.script.executed().is_empty());
            assert!(rig.script.log().is_empty());
        });
    }

    /// X-09: whether a transaction may write is decided by its BEGIN, once.
    #[test]
    fn a_transaction_keeps_what_it_was_begun_as() {
        rig(|mut rig: Rig| async move {
            let writable = rig.shared.cell.load();
            let read_only = Serving {
                role: Role::Replica,
                ..writable
            };
            rig.admitted = Admitted::under(read_only);
            assert_eq!(rig.ask(&in_stream(RequestType::Begin, 1)).await.code, 0);
            rig.admitted = Admitted::under(writable);
            let write = RequestBuilder::replace(2, 2).stream(1);
            assert_eq!(rig.ask(&write).await.error_code(), Some(7));
            assert_eq!(rig.ask(&in_stream(RequestType::Commit, 3)).await.code, 0);
            assert_eq!(rig.ask(&in_stream(RequestType::Begin, 4)).await.code, 0);
            rig.admitted = Admitted::under(read_only);
            let write = RequestBuilder::replace(5, 5).stream(1);
            assert_eq!(rig.ask(&write).await.code, 0);
        });
    }

    #[test]
    fn a_transaction_of_before_is_aborted_and_its_commit_fails() {
        rig(|mut rig: Rig| async move {
            rig.ask(&in_stream(RequestType::Begin, 1)).await;
            demote(&rig);
            rig.core.heed_fence();
            assert_eq!(rig.script.log(), ["begin 1", "rollback 1"]);
            // Whenever it was admitted.
            rig.admitted = Admitted::under(rig.shared.cell.load());
            let commit = rig.ask(&in_stream(RequestType::Commit, 2)).await;
            assert_eq!(commit.error_code(), Some(7));
            assert_eq!(rig.ask(&in_stream(RequestType::Rollback, 3)).await.code, 0);
        });
    }

    /// The fence goes up while a turn runs: `raise` is called in the middle of it.
    #[test]
    fn a_turn_that_is_overtaken_writes_nothing_and_its_reads_are_answered() {
        rig(|mut rig: Rig| async move {
            let (shared, raised) = (rig.shared.clone(), rig.script.clone());
            raised.on_pause(move || {
                shared.cell.demoting(Instant::now());
                shared.raise_fence();
            });
            rig.send(&RequestBuilder::select(1, 5));
            rig.send(&RequestBuilder::replace(2, 5));
            rig.send(&RequestBuilder::select(3, 5));
            rig.send(&RequestBuilder::call(4, "pause", &[0x91, 0]));
            rig.core.turn(Instant::now());
            let replies = rig.replies().await;
            let told: Vec<_> = replies
                .iter()
                .map(|own| (own.sync, own.error_code()))
                .collect();
            assert_eq!(told, [(1, None), (2, Some(7)), (3, None), (4, Some(7))]);
            let rows: Vec<(u64, u64)> = replies[2].data();
            assert!(rows.is_empty(), "what was never written is never read");
            assert_eq!(rig.script.log(), ["discard"]);
        });
    }

    #[test]
    fn a_read_that_saw_a_step_of_a_discarded_turn_is_done_again() {
        rig(|mut rig: Rig| async move {
            // A turn whose first write is its fourth request.
            for sync in 1..4 {
                rig.send(&RequestBuilder::select(sync, 9));
            }
            rig.send(&RequestBuilder::replace(4, 9));
            rig.send(&RequestBuilder::call(5, "write_steps", &[0x91, 1]));
            rig.core.turn(Instant::now());
            tokio::task::yield_now().await;
            let shared = rig.shared.clone();
            rig.script.on_pause(move || {
                shared.cell.demoting(Instant::now());
                shared.raise_fence();
            });
            assert_eq!(rig.replies().await.len(), 4);
            // The step writes key 0, and the read after it sees that, until it is discarded.
            rig.send(&RequestBuilder::select(6, 0));
            rig.send(&RequestBuilder::call(7, "pause", &[0x91, 0]));
            rig.core.turn(Instant::now());
            let replies = rig.replies().await;
            assert_eq!((replies[0].sync, replies[1].error_code()), (6, Some(7)));
            assert!(replies[0].data::<Vec<(u64, u64)>>().is_empty());
            assert_eq!(rig.script.rows(), 1);
        });
    }

    #[test]
    fn what_is_deferred_is_left_to_its_session_which_alone_knows_what_it_told() {
        rig(|mut rig: Rig| async move {
            let call = rig.send(&RequestBuilder::call(1, "never", &[0x90]));
            rig.core.turn(Instant::now());
            demote(&rig);
            rig.core.heed_fence();
            rig.core.turn(Instant::now());
            assert!(
                rig.replies().await.is_empty(),
                "7 would say that it was not begun"
            );
            rig.cancel(call, 0, Fate::Untouched);
            assert!(rig.core.deferred.is_empty(), "dropped");
        });
    }

    #[test]
    fn steps_of_an_async_procedure_stop_at_the_fence() {
        rig(|mut rig: Rig| async move {
            rig.send(&RequestBuilder::call(1, "write_steps", &[0x91, 3]));
            rig.core.turn(Instant::now());
            // Its first step is asked for.
            tokio::task::yield_now().await;
            demote(&rig);
            let mut replies = Vec::new();
            while replies.is_empty() {
                rig.turn();
                tokio::task::yield_now().await;
                replies = rig.replies().await;
            }
            assert_eq!(
                replies[0].data::<Vec<u64>>(),
                [0],
                "it was told at each step"
            );
            assert_eq!(rig.script.rows(), 0);
        });
    }
}
