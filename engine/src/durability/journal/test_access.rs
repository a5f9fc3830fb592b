//! What tests look at, and how they open a journal.

use std::sync::Arc;

use super::directory::lock;
use super::error::JournalError;
use super::options::{JournalOptions, Records};
use super::read::read;
use super::writer::Journal;
use crate::durability::storage::Disk;

impl Journal {
    /// Opens a directory's journal: hands the sequence number and payload of every record that is
    /// wanted to `replay`, in order, and cuts a torn tail. `progress` is told bytes read and in
    /// all, at most every few megabytes.
    ///
    /// # Errors
    ///
    /// Everything in [`JournalError`] but `TooLarge` and `Failed`.
    pub(crate) fn open(
        options: JournalOptions,
        replay: Records<'_>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, JournalError> {
        let lock = lock(&Disk, &options.dir)?;
        let found = read(&options, replay, progress)?;
        Self::open_found(Arc::new(Disk), lock, &options, found)
    }

    /// Size of all files together, in bytes.
    #[must_use]
    pub(crate) fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size).sum()
    }
}
