//! The directory of a journal: one process only, and files made and cut.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use super::error::{JournalError, fault};
use super::format;
use super::held::{HeldDirectory, Taking};
use super::read::list;
use super::segment::Segment;
use crate::durability::storage::{LogFile, Storage, append_all, create_directory, open};

/// Bits of a directory's permissions by which others than its owner get in.
const OTHERS_ENTER: u32 = 0o011;

/// Bits of a file's permissions by which others than its owner read it.
const OTHERS_READ: u32 = 0o044;

/// The right of one process to a directory, until it is dropped. It is held by the file `lock`,
/// which earlier versions know, and by the directory itself, which cannot be removed beside it.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
    directory: File,
    _held: HeldDirectory,
}

impl DirectoryLock {
    /// Fails if the path leads to another directory now, where files would be lost or in the way of
    /// another process.
    pub(super) fn check(&self, path: &Path) -> Result<(), JournalError> {
        let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let check = || {
            if identity(self.directory.metadata()?) == identity(fs::metadata(path)?) {
                return Ok(());
            }
            let text = "it is not the directory any more that was opened";
            Err(io::Error::other(text))
        };
        check().map_err(|error| fault("make files in", path, error))
    }
}

/// Whether somebody else has the directory, looked at before anything is promised to clients. The
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
    create_directory(directory).map_err(|error| fault("create", directory, error))?;
    let taken = take(directory)?;
    warn_of_readers(directory);
    if !has_journal(directory) {
        sync_parent(storage, directory)?;
    }
    Ok(taken)
}

fn take(directory: &Path) -> Result<DirectoryLock, JournalError> {
    let path = directory.join("lock");
    let mut options = OpenOptions::new();
    let file = open(options.create(true).write(true).truncate(false), &path);
    let file = file.map_err(|error| fault("open", &path, error))?;
    let taking = Taking::begin(directory);
    taking.told(file.try_lock(), &path)?;
    let own = File::open(directory).map_err(|error| fault("open", directory, error))?;
    match own.try_lock() {
        // Not every file system has locks on directories.
        Err(TryLockError::Error(error)) => {
            log::debug!("{} itself cannot be locked: {error}", directory.display());
        }
        locked => taking.told(locked, directory)?,
    }
    let held = taking.done(&own);
    Ok(DirectoryLock {
        _file: file,
        directory: own,
        _held: held.map_err(|error| fault("open", directory, error))?,
    })
}

/// Says so if others may read what is in the directory, as in one that an earlier version made.
fn warn_of_readers(directory: &Path) {
    let is_open = |metadata: Metadata, bits: u32| metadata.mode() & bits != 0;
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut data = files.filter(|file| {
        let name = file.file_name();
        name.to_str()
            .is_some_and(|name| name.ends_with(".log") || name.ends_with(".ckpt"))
    });
    let is_entered = fs::metadata(directory).is_ok_and(|own| is_open(own, OTHERS_ENTER));
    if is_entered && data.any(|file| file.metadata().is_ok_and(|own| is_open(own, OTHERS_READ))) {
        let path = directory.display();
        log::warn!(
            "other users of this machine may read the files in {path}, with the hashes of \
             passwords in them: chmod -R go= {path}"
        );
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
