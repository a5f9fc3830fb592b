//! The directory of a journal: one process only, and files made and cut.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::error::{JournalError, fault};
use super::format;
use super::read::list;
use super::segment::Segment;
use crate::durability::storage::{LogFile, Storage, append_all};

/// The right of one process to a directory, until it is dropped.
#[derive(Debug)]
pub(crate) struct DirectoryLock(
    #[expect(dead_code, reason = "the lock lasts as long as the file is open")] File,
);

/// Whether another process has the directory, looked at before anything is promised to clients. The
/// lock itself is taken when the journal is opened.
///
/// # Errors
///
/// [`JournalError::Locked`], or the lock file cannot be opened.
pub fn check_unlocked(directory: &Path) -> Result<(), JournalError> {
    take(directory).map(drop)
}

/// Whether there is a journal in the directory.
#[must_use]
pub fn has_journal(directory: &Path) -> bool {
    list(directory).is_ok_and(|files| !files.is_empty())
}

/// Whether a file of this name belongs to a journal.
pub(crate) fn is_file_name(name: &str) -> bool {
    format::parse_file_name(Path::new(name)).is_some()
}

/// Takes the directory, which is made if it is not there.
///
/// # Errors
///
/// [`JournalError::Locked`], or the operating system refused.
pub(crate) fn lock(storage: &dyn Storage, directory: &Path) -> Result<DirectoryLock, JournalError> {
    fs::create_dir_all(directory).map_err(|error| fault("create", directory, error))?;
    let taken = take(directory)?;
    if !has_journal(directory) {
        sync_parent(storage, directory)?;
    }
    Ok(DirectoryLock(taken))
}

fn take(directory: &Path) -> Result<File, JournalError> {
    let path = directory.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .open(&path);
    let file = file.map_err(|error| fault("open", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::Locked {
            directory: directory.to_path_buf(),
        }),
        Err(TryLockError::Error(error)) => Err(fault("lock", &path, error)),
    }
}

/// Cuts a torn tail.
pub(super) fn cut_tail(
    storage: &dyn Storage,
    path: &Path,
    segment: &mut Segment,
    good: u64,
) -> Result<(), JournalError> {
    let torn = segment.size - good;
    log::warn!(
        "journal file {}: cutting a torn tail of {torn} bytes at {good}",
        path.display()
    );
    let cut = || {
        let file = storage.open(path)?;
        file.cut(good)?;
        file.sync()
    };
    cut().map_err(|error| fault("cut", path, error))?;
    segment.size = good;
    Ok(())
}

/// Makes the name of a new journal directory durable.
fn sync_parent(storage: &dyn Storage, directory: &Path) -> Result<(), JournalError> {
    let synced = match fs::canonicalize(directory) {
        Ok(path) => path
            .parent()
            .map_or(Ok(()), |parent| storage.sync_directory(parent)),
        Err(error) => Err(error),
    };
    synced.map_err(|error| fault("sync the parent of", directory, error))
}

/// Makes a file with its header, in place of one that an earlier attempt may have left; returns it
/// with its salt.
pub(super) fn create(
    storage: &dyn Storage,
    directory: &Path,
    first: u64,
) -> Result<(Arc<dyn LogFile>, u32), JournalError> {
    let path = format::file_name(directory, first);
    let create = || {
        match storage.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let salt = format::new_salt()?;
        let file = storage.create(&path)?;
        append_all(file.as_ref(), &format::header(first, salt))?;
        file.sync()?;
        storage.sync_directory(directory)?;
        Ok((file, salt))
    };
    create().map_err(|error| fault("create", &path, error))
}
