//! Looking at a journal without changing anything: for `check` and `dump`.
//!
//! No file is made, cut or written, so a directory on a read-only file system will do.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::error::{JournalError, fault};

/// What was found in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// Size of the file in bytes.
    pub size: u64,
    /// How many of them are good, from the start: fewer than its size if its tail is torn.
    pub good: u64,
    /// Records that could be read.
    pub records: u64,
    /// The sequence number that comes after its last record.
    pub next: u64,
}

/// Keeps servers off for as long as the file is open, while others may look as well. `None` if no
/// server ever had the directory.
///
/// # Errors
///
/// `Locked` if a server has it, `Io`.
pub(crate) fn lock_shared(directory: &Path) -> Result<Option<File>, JournalError> {
    let path = directory.join("lock");
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault("open", &path, error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(JournalError::Locked {
            directory: directory.to_path_buf(),
        }),
        Err(TryLockError::Error(error)) => Err(fault("lock", &path, error)),
    }
}
