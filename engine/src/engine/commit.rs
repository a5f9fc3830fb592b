//! The end of a turn: to the journal, to the image, to checkpoints.
//!
//! ```text
//!   turn ─▶ log ─▶ image ─▶ rights, definitions and catalog, if the turn changed any
//!            └ failed: the turn is forgotten, and nothing more is written until resume
//! ```

use vestibule_actors::engine::TransactionId;
use vestibule_wire::Error;

use super::{EmbeddedEngine, openings};
use crate::durability::checkpoint::{Answer, Status};
use crate::durability::journal::Journal;
use crate::store::image::Image;

impl EmbeddedEngine {
    /// Makes the turn durable and then visible, or forgets it.
    ///
    /// # Errors
    ///
    /// `ErrorCode::WAL_IO` if it could not be written, `ErrorCode::LOADING` before recovery is
    /// done.
    pub(super) fn commit_turn(&mut self) -> Result<(), Error> {
        let schema = &self.schema;
        let is_durable = |space| !schema.is_temporary(space);
        match self.log.append(self.workspace.turn().layer(), is_durable) {
            Ok(sequence) => {
                self.apply_turn(sequence);
                Ok(())
            }
            Err(error) => {
                self.workspace.discard_turn().discard();
                self.author = None;
                Err(error)
            }
        }
    }

    /// `sequence`: of the turn's record, if it has one.
    fn apply_turn(&mut self, sequence: Option<u64>) {
        let (turn, built) = self.workspace.take_turn();
        let (applied, bytes) = self.image.change(turn.changes_len(), |image| {
            let applied = image.apply(sequence, turn, built);
            (applied, image.bytes())
        });
        self.memory.note(bytes, self.workspace.uncommitted_bytes());
        applied.garbage.discard();
        let author = self.author.take();
        if !applied.changes.is_empty() {
            self.schema.change(&self.image.read(), &applied.changes);
            self.user.refresh(self.schema.access());
            self.audit_changes(&applied.changes, author.as_ref());
            self.opened_by(&applied.changes)
                .iter()
                .for_each(openings::tell);
        }
    }

    /// Moves what a transaction changed into the turn; the transaction is gone then, whatever comes
    /// of it.
    ///
    /// # Errors
    ///
    /// `ErrorCode::TRANSACTION_CONFLICT` if it was aborted, `ErrorCode::READONLY` if it changed
    /// anything and nothing can be written.
    pub(super) fn merge(&mut self, transaction: TransactionId) -> Result<(), Error> {
        let is_writable = self.check_writable();
        let schema = &self.schema;
        self.workspace.commit(transaction, |changed| {
            // What is not durable may always be changed.
            let is_durable = |(space, _)| !schema.is_temporary(space);
            if changed.spaces().any(is_durable) {
                is_writable
            } else {
                Ok(())
            }
        })
    }

    /// Tries the journal again after it failed, so that data can be changed again.
    ///
    /// # Errors
    ///
    /// `ErrorCode::WAL_IO` if it cannot be written still.
    pub fn resume(&mut self) -> Result<(), Error> {
        self.log.resume()
    }

    /// Has a checkpoint made, in the background; `answer` is called when that is done.
    ///
    /// # Errors
    ///
    /// `ErrorCode::CHECKPOINT_IN_PROGRESS` if there is one in progress, `ErrorCode::LOADING` before
    /// recovery is done.
    pub(crate) fn snapshot(&self, answer: Answer) -> Result<(), Error> {
        self.log.ask_checkpoint(answer)
    }

    /// Calls `look` with all that is committed; `None` while the turn has anything that is not.
    pub(crate) fn committed<T>(&self, look: impl FnOnce(&Image) -> T) -> Option<T> {
        let is_all = self.workspace.turn().is_empty();
        is_all.then(|| look(&self.image.read()))
    }

    /// The most that data may take, in bytes; 0 for no bound.
    pub(crate) fn memory_max(&self) -> usize {
        self.settings.memory().max()
    }

    /// What became of checkpoints since the start.
    pub(crate) fn checkpoint_status(&self) -> Status {
        self.log.checkpoint_status()
    }

    /// Why nothing can be written, in the journal's own words; from here on it is tried again.
    pub(crate) fn take_journal_failure(&mut self) -> Option<String> {
        self.log.take_failure()
    }

    /// The journal that turns were written to, once the engine is not needed any more.
    pub(crate) fn into_journal(self) -> Option<Journal> {
        self.log.into_journal()
    }
}
