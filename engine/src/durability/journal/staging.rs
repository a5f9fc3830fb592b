//! Many records that take their place in a journal all together, or not at all.
//!
//! ```text
//!   journal-…41.log                       journal-…41.log
//!   load.new/journal-…57.log  ── adopt ─▶ journal-…57.log      one rename
//! ```
//!
//! Whatever ends it before the rename leaves the journal as it was; what is left in `load.new`
//! counts for nothing, and the next attempt removes it.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::directory::{create, lock};
use super::error::{JournalError, fault};
use super::format;
use super::mark;
use super::options::JournalOptions;
use super::read::read;
use super::writer::Journal;
use crate::durability::storage::create_directory;
use crate::options::JournalSync;

/// Directory inside the journal's where records wait for their place.
pub const STAGING: &str = "load.new";

impl Journal {
    /// A journal beside this one that goes on after its last record. Nothing may be appended to
    /// this one meanwhile. What is appended to the other is synced by [`adopt`](Self::adopt).
    ///
    /// # Errors
    ///
    /// `Io`.
    pub(crate) fn stage(&self) -> Result<Self, JournalError> {
        let dir = self.directory.join(STAGING);
        remove_all(&dir)?;
        create_directory(&dir).map_err(|error| fault("create", &dir, error))?;
        let (storage, next) = (Arc::clone(&self.storage), self.last_sequence + 1);
        create(storage.as_ref(), &dir, next)?;
        let lock = lock(storage.as_ref(), &dir)?;
        let options = JournalOptions {
            dir,
            sync: JournalSync::Never,
            force_recovery: false,
            from: next,
            required_until: 0,
        };
        let found = read(&options, &mut |_, _| Ok(()), &mut |_, _| ())?;
        Self::open_found(storage, lock, &options, found)
    }

    /// Makes the records of a [staged](Self::stage) journal part of this one, and closes both.
    ///
    /// # Errors
    ///
    /// `Io`: none of the records is in this journal, unless only the last sync failed.
    ///
    /// # Panics
    ///
    /// If the other was not staged for this one, or has begun a second file.
    pub(crate) fn adopt(self, staged: Self) -> Result<(), JournalError> {
        let [segment] = staged.segments.as_slice() else {
            panic!("a staged journal has one file");
        };
        assert_eq!(segment.first, self.last_sequence + 1);
        let from = format::file_name(&staged.directory, segment.first);
        let to = format::file_name(&self.directory, segment.first);
        // A file that is not the last must be whole, whatever the mode.
        let synced = self.file.sync().and_then(|()| staged.file.sync());
        synced.map_err(|error| fault("sync", &from, error))?;
        // In place of this journal's last file, if that has no record yet.
        fs::rename(&from, &to).map_err(|error| fault("rename", &from, error))?;
        self.storage
            .sync_directory(&self.directory)
            .map_err(|error| fault("sync", &self.directory, error))?;
        mark::write(self.storage.as_ref(), &self.directory, segment.first);
        // What is left counts for nothing, and the records are in: no error for the caller.
        if let Err(error) = remove_all(&staged.directory) {
            log::warn!("{error}");
        }
        Ok(())
    }

    /// Forgets a [staged](Self::stage) journal.
    ///
    /// # Errors
    ///
    /// `Io`: its files are left, and count for nothing.
    pub(crate) fn discard(staged: Self) -> Result<(), JournalError> {
        let directory = staged.directory.clone();
        drop(staged);
        remove_all(&directory)
    }
}

fn remove_all(directory: &Path) -> Result<(), JournalError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(fault("remove", directory, error))
        }
        _ => Ok(()),
    }
}
