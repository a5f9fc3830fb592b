//! What Tx writes its turns to: the journal, with the checkpoints that keep it short.
//!
//! ```text
//!   turn ─▶ record ─▶ journal ──bytes──▶ checkpointer
//!              └ failed: nothing more is written until resume
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::durability::checkpoint::{
    Answer, CheckpointPlan, CheckpointWatch, Checkpointer, InProgress, Status, Task,
};
use crate::durability::journal::{Journal, JournalCounts, JournalError};
use crate::durability::record;
use crate::durability::storage::Storage;
use crate::errors;
use crate::store::layer::Layer;
use crate::store::shared_image::SharedImage;
use crate::{EngineOptions, limits};
use vestibule_actors::engine::Fault;
use vestibule_wire::Error;

/// The journal and the thread that makes checkpoints, from Tx's side.
#[derive(Debug, Default)]
pub(crate) struct CommitLog {
    /// Open once recovery is done.
    journal: Option<Arc<Mutex<Journal>>>,
    /// Running once recovery is done.
    checkpointer: Option<Checkpointer>,
    /// The turn's record, kept for its allocation.
    record: Vec<u8>,
    /// Why nothing can be written, if the journal failed.
    failure: Option<String>,
}

impl CommitLog {
    /// A log that writes to this journal, and never makes a checkpoint.
    pub(crate) fn new(journal: Journal) -> Self {
        Self {
            journal: Some(Arc::new(Mutex::new(journal))),
            ..Self::default()
        }
    }

    /// Begins to make checkpoints of the image. `newest` is the checkpoint that recovery began
    /// with, `journal_bytes` the size of the journal since.
    ///
    /// # Errors
    ///
    /// There is no thread to be had.
    pub(crate) fn start_checkpoints(
        &mut self,
        image: SharedImage,
        storage: Arc<dyn Storage>,
        options: &EngineOptions,
        plan: &CheckpointPlan,
        newest: Option<u64>,
        journal_bytes: u64,
    ) -> Result<(), Fault> {
        let Some(journal) = self.journal.clone() else {
            return Ok(());
        };
        let is_forced = options.force_recovery;
        let task = Task {
            image,
            journal,
            storage,
            directory: options.data_dir.clone(),
            count: plan.options().count,
            step_rows_max: limits::CHECKPOINT_STEP_ROWS_MAX,
            newest: newest.filter(|_| !is_forced),
            obsolete_files: Vec::new(),
        };
        let started =
            plan.start(|options| Checkpointer::start(task, options, journal_bytes, is_forced));
        self.checkpointer = Some(started?);
        Ok(())
    }

    /// Writes what of a turn is durable, and returns the number of its record; `None` if that is
    /// nothing.
    ///
    /// # Errors
    ///
    /// `ErrorCode::WAL_IO` if it could not be written, `ErrorCode::LOADING` before recovery is
    /// done.
    pub(crate) fn append(
        &mut self,
        turn: &Layer,
        is_durable: impl Fn(u32) -> bool,
    ) -> Result<Option<u64>, Error> {
        self.record.clear();
        if !record::encode(turn, is_durable, &mut self.record) {
            return Ok(None);
        }
        let journal = self.journal.as_ref().ok_or_else(errors::loading)?;
        let appended = lock(journal).append(&self.record);
        if let Some(checkpointer) = self.checkpointer.as_ref().filter(|_| appended.is_ok()) {
            checkpointer.note(self.record.len() as u64);
        }
        if self.record.capacity() > limits::RECORD_KEPT_MAX {
            self.record = Vec::new();
        }
        appended.map(Some).map_err(|fault| {
            log::error!("a turn was not written: {fault}");
            // A turn beyond the journal's bounds says nothing about the next one.
            if !matches!(fault, JournalError::TooLarge { .. }) {
                self.failure = Some(fault.to_string());
            }
            Error::wal_io()
        })
    }

    /// Why nothing can be written, if the journal failed.
    #[inline]
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// The same, forgotten: the next turn is tried again.
    pub(crate) fn take_failure(&mut self) -> Option<String> {
        self.failure.take()
    }

    /// Tries the journal again after it failed.
    ///
    /// # Errors
    ///
    /// `ErrorCode::WAL_IO` if it cannot be written still.
    pub(crate) fn resume(&mut self) -> Result<(), Error> {
        if let Some(journal) = &self.journal {
            lock(journal).resume().map_err(|fault| {
                log::error!("the journal cannot be resumed: {fault}");
                Error::wal_io()
            })?;
        }
        if let Some(reason) = self.failure.take() {
            log::info!("the journal is written again; it had failed: {reason}");
        }
        Ok(())
    }

    /// Has a checkpoint made, in the background; `answer` is called when that is done.
    ///
    /// # Errors
    ///
    /// `ErrorCode::CHECKPOINT_IN_PROGRESS` if there is one in progress, `ErrorCode::LOADING`
    /// before recovery is done.
    pub(crate) fn ask_checkpoint(&self, answer: Answer) -> Result<(), Error> {
        let checkpointer = self.checkpointer.as_ref().ok_or_else(errors::loading)?;
        let asked = checkpointer.ask(answer);
        asked.map_err(|InProgress| errors::checkpoint_in_progress())
    }

    /// What became of checkpoints since the start.
    pub(crate) fn checkpoint_status(&self) -> Status {
        let status = self.checkpointer.as_ref().map(|own| own.status());
        status.unwrap_or_default()
    }

    /// What monitoring looks at, once recovery is done.
    pub(crate) fn watches(&self) -> (Option<Arc<JournalCounts>>, Option<CheckpointWatch>) {
        let journal = self.journal.as_ref().map(|own| lock(own).counts());
        (journal, self.checkpointer.as_ref().map(Checkpointer::watch))
    }

    /// The journal, if nobody else holds it.
    pub(crate) fn into_journal(self) -> Option<Journal> {
        let journal = Arc::into_inner(self.journal?)?;
        Some(journal.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
impl CommitLog {
    /// The journal, for a checkpoint that a test makes on its own thread.
    pub(crate) fn journal(&self) -> Arc<Mutex<Journal>> {
        self.journal.clone().expect("recovery is done")
    }
}

// Only a panic between two of its own assignments could leave the journal half changed.
fn lock(journal: &Mutex<Journal>) -> MutexGuard<'_, Journal> {
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}
