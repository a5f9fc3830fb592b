//! Looking at a journal without changing anything: for `check` and `dump`.
//!
//! No file is made, cut or written, so a directory on a read-only file system will do.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::error::{JournalError, fault};
use super::held::{HeldDirectory, Taking};
use crate::durability::storage::open_to_read;

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

/// What keeps servers off a directory until it is dropped, while others may look as well.
#[derive(Debug)]
pub(crate) struct SharedLock {
    /// `None` if no server ever had the directory.
    _file: Option<File>,
    _directory: File,
    _held: HeldDirectory,
}

/// Keeps servers off a directory, which is changed in nothing.
///
/// # Errors
///
/// `Locked` if a server has it, `Io`.
pub(crate) fn lock_shared(directory: &Path) -> Result<SharedLock, JournalError> {
    let path = directory.join("lock");
    let file = match open_to_read(&path) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(fault("open", &path, error)),
    };
    let taking = Taking::begin(directory);
    let locked = file.as_ref().map_or(Ok(()), File::try_lock_shared);
    taking.told(locked, &path)?;
    let own = File::open(directory).map_err(|error| fault("open", directory, error))?;
    match own.try_lock_shared() {
        // Not every file system has locks on directories.
        Err(TryLockError::Error(_)) => {}
        locked => taking.told(locked, directory)?,
    }
    let held = taking.done(&own);
    Ok(SharedLock {
        _file: file,
        _directory: own,
        _held: held.map_err(|error| fault("open", directory, error))?,
    })
}
