//! Opening: one process only, the files in order, and a file to append to.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::format::{self, HEADER_SIZE};
use super::read::{Found, list};
use super::sync_thread::SyncThread;
use super::{Journal, JournalError, JournalOptions, JournalSync, Segment, fault};
use crate::durability::storage::{LogFile, Storage, append_all};

/// The right of one process to a directory, until it is dropped.
#[derive(Debug)]
pub(crate) struct DirectoryLock(
    #[expect(dead_code, reason = "the lock lasts as long as the file is open")] File,
);

impl Journal {
    /// Opens the journal that was found: cuts a torn tail, and gets a file to append to.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub(crate) fn open_found(
        storage: Arc<dyn Storage>,
        lock: DirectoryLock,
        options: &JournalOptions,
        found: Found,
    ) -> Result<Self, JournalError> {
        let directory = options.dir.clone();
        let Found {
            mut segments,
            mut last_sequence,
            salt,
            torn,
            is_damaged,
        } = found;
        if let Some(good) = torn
            && let Some(segment) = segments.last_mut()
        {
            let path = format::file_name(&directory, segment.first);
            cut_tail(storage.as_ref(), &path, segment, good)?;
        }
        let reusable = segments.last().filter(|last| {
            // What is left of a damaged journal is not appended to.
            last.size >= HEADER_SIZE as u64
                && !(is_damaged && last.first <= last_sequence.max(options.required_until))
        });
        let (file, salt) = match reusable {
            Some(segment) => {
                let path = format::file_name(&directory, segment.first);
                let opened = storage.open(&path);
                (opened.map_err(|error| fault("open", &path, error))?, salt)
            }
            None => {
                last_sequence = last_sequence.max(options.required_until);
                let first = last_sequence + 1;
                segments.pop_if(|segment| segment.first == first);
                segments.push(Segment {
                    first,
                    size: HEADER_SIZE as u64,
                });
                create(storage.as_ref(), &directory, first)?
            }
        };
        let mut journal = Self {
            directory,
            storage,
            sync: options.sync,
            file,
            salt,
            segments,
            last_sequence,
            failure: None,
            rescued: Vec::new(),
            sync_thread: None,
            _lock: lock,
        };
        let interval = match options.sync {
            JournalSync::Turn => return Ok(journal),
            JournalSync::Interval(interval) => Some(interval),
            JournalSync::Never => None,
        };
        let sync_thread = SyncThread::start(interval, Arc::clone(&journal.file), journal.size());
        let start = |error| fault("start the sync thread of", &journal.directory, error);
        journal.sync_thread = Some(sync_thread.map_err(start)?);
        Ok(journal)
    }
}

/// Whether another process has the directory, looked at before anything is promised to clients. The
/// lock itself is taken by [`Journal::open`].
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

fn cut_tail(
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
