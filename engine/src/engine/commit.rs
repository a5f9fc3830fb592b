//! The end of a turn: to the journal, to the image, to checkpoints.
//!
//! ```text
//!   turn ─▶ record ─▶ journal ─▶ image
//!             └ failed: the turn is forgotten, and nothing more is written until resume
//! ```

use std::sync::{Arc, PoisonError};

use vestibule_wire::{Error, ErrorCode};

use super::schema_cache::Definitions;
use crate::durability::checkpoint::{Answer, InProgress, Status};
use crate::durability::journal::JournalError;
use crate::durability::record;
use crate::engine::EmbeddedEngine;
use crate::query::catalog;
use crate::store::image::Garbage;
use crate::{errors, limits};

impl EmbeddedEngine {
    /// Tries the journal again after it failed, so that data can be changed again.
    ///
    /// # Errors
    ///
    /// 40 if it cannot be written still.
    pub fn resume(&mut self) -> Result<(), Error> {
        if let Some(journal) = &self.journal {
            let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
            journal.resume().map_err(|fault| {
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
    /// 120 if there is one in progress, 116 before recovery is done.
    pub(crate) fn snapshot(&self, answer: Answer) -> Result<(), Error> {
        let checkpointer = self.checkpointer.as_ref().ok_or_else(loading)?;
        checkpointer
            .ask(answer)
            .map_err(|InProgress| errors::checkpoint_in_progress())
    }

    /// What became of checkpoints since the start.
    pub(crate) fn checkpoint_status(&self) -> Status {
        let status = self.checkpointer.as_ref().map(|own| own.status());
        status.unwrap_or_default()
    }

    /// Writes the turn, and returns the number of its record.
    fn append(&mut self) -> Result<u64, Error> {
        self.record.clear();
        record::encode(&self.turn, &mut self.record);
        let journal = self.journal.as_ref().ok_or_else(loading)?;
        #[cfg(test)]
        if std::mem::take(&mut self.fails_next_append) {
            self.failure = Some("told to".to_owned());
            return Err(Error::wal_io());
        }
        let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
        let appended = journal.append(&self.record);
        drop(journal);
        if let Some(checkpointer) = self.checkpointer.as_ref().filter(|_| appended.is_ok()) {
            checkpointer.note(self.record.len() as u64);
        }
        if self.record.capacity() > limits::RECORD_KEPT_MAX {
            self.record = Vec::new();
        }
        appended.map_err(|fault| {
            log::error!("a turn was not written: {fault}");
            // A turn beyond the journal's bounds says nothing about the next one.
            if !matches!(fault, JournalError::TooLarge { .. }) {
                self.failure = Some(fault.to_string());
            }
            Error::wal_io()
        })
    }

    pub(crate) fn forget_turn(&mut self) {
        self.transactions.note_all(&self.turn);
        self.turn.clear();
        let built = self.built.drain(..).map(|built| built.tree);
        discard(Garbage(built.collect()));
    }

    fn apply(&mut self, sequence: u64) {
        let mut image = self.image.write().unwrap_or_else(PoisonError::into_inner);
        let garbage = image.apply(sequence, &mut self.turn, std::mem::take(&mut self.built));
        drop(image);
        discard(garbage);
        if self.is_ddl {
            // Readers go on meanwhile: nobody else changes the image.
            let access = self.image().rights();
            let access = access.expect("a row was checked before it was journaled");
            let mut image = self.image.write().unwrap_or_else(PoisonError::into_inner);
            image.access = access;
            drop(image);
            let image = self.image();
            let (definitions, catalog) = (Definitions::of(&image), catalog::build(&image));
            drop(image);
            self.definitions = definitions;
            self.catalog = Arc::new(catalog);
            self.refresh_effective_user();
        }
    }

    /// Makes the turn durable and then visible, or forgets it.
    pub(crate) fn commit_turn(&mut self) -> Result<(), Error> {
        let appended = self.append();
        match appended {
            Ok(sequence) => self.apply(sequence),
            Err(_) => self.forget_turn(),
        }
        self.is_ddl = false;
        appended.map(drop)
    }
}

fn loading() -> Error {
    Error::new(ErrorCode::LOADING, "Instance bootstrap hasn't finished yet")
}

/// Drops trees; large ones on a thread of their own, so that Tx goes on.
fn discard(garbage: Garbage) {
    let size: usize = garbage.0.iter().map(|tree| tree.len()).sum();
    if size > limits::DROP_INLINE_MAX {
        // If there is no thread to be had, they were dropped with the closure.
        let _ = std::thread::Builder::new()
            .name("discard".into())
            .spawn(move || drop(garbage));
    }
}
