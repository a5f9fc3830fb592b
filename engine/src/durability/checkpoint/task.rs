//! One checkpoint, from the rotation of the journal to the removal of old files.
//!
//! ```text
//!   flush ─▶ rotate ─▶ outline ─▶ step, step, … ─▶ flush ─▶ rename ─▶ remove what is old
//!   journal            └── image, each a version ┘ journal
//! ```
//!
//! A step looks at a version of the image, without a lock; the journal's is held for the rotation.
//! The second flush makes sure that nothing in the checkpoint is ahead of the journal on the disk,
//! however that is synced.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::format::{self, Header};
use super::scan::{Outline, Scan, ScanStep};
use super::write::{Payload, Writer};
use super::{CheckpointError, list, read};
use crate::durability::journal::{Journal, mark, new_salt};
use crate::durability::storage::Storage;
use crate::limits::{CHECKPOINT_ATTEMPTS_MAX, CHECKPOINT_STEP_BYTES_MAX};
use crate::store::image::Image;
use crate::store::shared_image::{HalfApplied, SharedImage};

/// What a checkpoint is made from, and where.
pub(crate) struct Task {
    pub(crate) image: SharedImage,
    pub(crate) journal: Arc<Mutex<Journal>>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) directory: PathBuf,
    /// Rows and finished spaces that one step looks at.
    pub(crate) step_rows_max: usize,
    /// Checkpoints to keep; at least 1.
    pub(crate) count: usize,
    /// The newest checkpoint that is known to be whole, by the record that it is gone on from.
    pub(crate) newest: Option<u64>,
    /// Journal files that nothing needs, and that could not be removed yet.
    pub(crate) obsolete_files: Vec<PathBuf>,
}

/// A checkpoint that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    /// The record that it is gone on from.
    pub(crate) from: u64,
    pub(crate) rows: u64,
    pub(crate) size_bytes: u64,
    /// Old files that were removed.
    pub(crate) removed: usize,
}

impl Task {
    /// Makes a checkpoint; `None` if nothing has changed since the newest.
    ///
    /// # Errors
    ///
    /// Everything in [`CheckpointError`] that has to do with writing. The directory is as it was.
    pub(crate) fn run(
        &mut self,
        is_stopping: &dyn Fn() -> bool,
    ) -> Result<Option<Made>, CheckpointError> {
        let mut attempts = 1;
        loop {
            match self.attempt(is_stopping) {
                Err(CheckpointError::Redefined) if attempts < CHECKPOINT_ATTEMPTS_MAX => {
                    log::info!("checkpoint: primary keys were redefined meanwhile; it begins anew");
                    attempts += 1;
                }
                result => return result,
            }
        }
    }

    fn attempt(&mut self, is_stopping: &dyn Fn() -> bool) -> Result<Option<Made>, CheckpointError> {
        // Most of what the rotation has to sync is synced before, while nobody waits for it.
        self.flush()?;
        if !self.journal().is_failed() {
            let first = self.journal().rotate()?;
            // Nobody waits for this one.
            mark::write(self.storage.as_ref(), &self.directory, first);
        }
        let outline = self.look(Outline::of)?;
        if self.newest == Some(outline.from) {
            return Ok(None);
        }
        let header = Header {
            salt: new_salt().map_err(CheckpointError::io("salt a file in", &self.directory))?,
            from: outline.from,
            schema_version: outline.schema_version,
        };
        let mut writer = Writer::begin(self.storage.as_ref(), &self.directory, header)?;
        let mut payload = Payload::default();
        write_system(&outline, &mut writer, &mut payload)?;
        let mut scan = Scan::new(&outline, self.step_rows_max);
        let required_until = loop {
            if is_stopping() {
                return Err(CheckpointError::Stopped);
            }
            match self.look(|image| scan.step(image, &mut payload))?? {
                ScanStep::Rows(_) if payload.rows == 0 => {}
                ScanStep::Rows(space) => writer.block(space, &payload)?,
                ScanStep::Done { required_until } => break required_until,
            }
        };
        self.flush()?;
        let rows = writer.rows;
        let size_bytes = writer.finish(required_until)?;
        self.newest = Some(outline.from);
        Ok(Some(Made {
            from: outline.from,
            rows,
            size_bytes,
            removed: self.remove_old(),
        }))
    }

    fn look<T>(&self, look: impl FnOnce(&Image) -> T) -> Result<T, CheckpointError> {
        // Poisoned means that Tx died while it applied a turn.
        let image = self.image.read_whole();
        let image = image
            .map_err(|HalfApplied| CheckpointError::Stopped)?
            .clone();
        Ok(look(&image))
    }

    // Only a panic between two of its own assignments could leave the journal half changed.
    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns once all records that the image holds are on the disk.
    fn flush(&self) -> Result<(), CheckpointError> {
        let flush_handle = self.journal().flush_handle();
        let flushed = flush_handle.map_or(Ok(()), |flush_handle| flush_handle.flush());
        flushed.map_err(CheckpointError::Journal)
    }

    /// Removes checkpoints beyond those to keep, and then what of the journal only they needed.
    /// While there are fewer than that, the journal from its beginning counts as one. What cannot
    /// be removed is told, and left to the next time. Returns how many files went.
    fn remove_old(&mut self) -> usize {
        let mut removed = 0;
        if let Err(error) = self.try_remove_old(&mut removed) {
            log::warn!("checkpoint: old files are left behind: {error}");
        }
        removed
    }

    fn try_remove_old(&mut self, removed: &mut usize) -> Result<(), CheckpointError> {
        let all = list(&self.directory)?;
        if let Some(excess) = all.len().checked_sub(self.count) {
            let (old, kept) = all.split_at(excess);
            let path = |from: &u64| format::file_name(&self.directory, *from);
            self.remove(&mut old.iter().map(path).collect(), removed)?;
            if let Some(oldest) = kept.first() {
                let obsolete = self.journal().forget_before(*oldest);
                self.obsolete_files.extend(obsolete);
            }
        }
        let mut obsolete = std::mem::take(&mut self.obsolete_files);
        let result = self.remove(&mut obsolete, removed);
        self.obsolete_files = obsolete;
        result
    }

    /// Removes files from the first to the last: after a crash in between, what is left has no gap.
    fn remove(&self, paths: &mut Vec<PathBuf>, removed: &mut usize) -> Result<(), CheckpointError> {
        if paths.is_empty() {
            return Ok(());
        }
        while let Some(path) = paths.first() {
            match self.storage.remove(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(CheckpointError::io("remove", path)(error));
                }
                _ => *removed += 1,
            }
            paths.remove(0);
        }
        let synced = self.storage.sync_directory(&self.directory);
        synced.map_err(CheckpointError::io("sync", &self.directory))
    }
}

/// Writes the rows of system spaces; at least one block for each, which tells that it was there.
fn write_system(
    outline: &Outline,
    writer: &mut Writer<'_>,
    payload: &mut Payload,
) -> Result<(), CheckpointError> {
    for (space, rows) in &outline.system {
        payload.clear();
        for row in rows {
            if payload.bytes.len() >= CHECKPOINT_STEP_BYTES_MAX {
                writer.block(*space, payload)?;
                payload.clear();
            }
            payload.push(row);
        }
        writer.block(*space, payload)?;
    }
    Ok(())
}

/// Removes files that an earlier run has begun and not finished.
///
/// # Errors
///
/// The operating system refused.
pub(crate) fn remove_unfinished(
    storage: &dyn Storage,
    directory: &Path,
) -> Result<(), CheckpointError> {
    for path in read::list_unfinished(directory)? {
        log::info!("{} was never finished, and is removed", path.display());
        let removed = storage.remove(&path);
        removed.map_err(CheckpointError::io("remove", &path))?;
    }
    Ok(())
}
