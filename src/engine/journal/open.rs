//! Opening: one process only, the files in order, and a file to append to.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;

use vestibule_actors::engine::Progress;

use super::format::{self, HEADER_SIZE};
use super::interval::Syncer;
use super::replay::Replay;
use super::storage::{LogFile, Storage};
use super::{
    Journal, JournalError, JournalOptions, JournalSync, Records, Segment, append_all, fault,
};

impl Journal {
    pub(super) fn open_on(
        storage: Box<dyn Storage>,
        options: JournalOptions,
        receive: Records<'_>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, JournalError> {
        let directory = options.dir;
        fs::create_dir_all(&directory).map_err(|error| fault("create", &directory, error))?;
        let lock = lock(&directory)?;
        let mut segments = list(&directory).map_err(|error| fault("read", &directory, error))?;
        if segments.is_empty() {
            sync_parent(storage.as_ref(), &directory)?;
        }
        let force = options.force_recovery;
        let mut replay = Replay {
            receive,
            progress,
            on_damage: &mut |error| skip_if(force, error),
            done: 0,
            total: segments.iter().map(|segment| segment.size).sum(),
            expected: segments.first().map_or(1, |segment| segment.first),
            count: 0,
            is_lost: false,
        };
        let count = segments.len();
        for (at, segment) in segments.iter_mut().enumerate() {
            let path = format::file_name(&directory, segment.first);
            let good = replay.file(&path, segment.first, at + 1 == count)?;
            if good < segment.size {
                cut_tail(storage.as_ref(), &path, segment, good)?;
            }
        }
        let last_sequence = replay.expected - 1;
        let file = match segments.last_mut() {
            Some(segment) if segment.size >= HEADER_SIZE as u64 => {
                let path = format::file_name(&directory, segment.first);
                storage
                    .open(&path)
                    .map_err(|error| fault("open", &path, error))?
            }
            _ => {
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
            segments,
            last_sequence,
            failure: None,
            rescued: Vec::new(),
            syncer: None,
            _lock: lock,
        };
        if let JournalSync::Interval(interval) = options.sync {
            let syncer = Syncer::start(interval, Arc::clone(&journal.file), journal.size());
            let start = |error| fault("start the sync thread of", &journal.directory, error);
            journal.syncer = Some(syncer.map_err(start)?);
        }
        Ok(journal)
    }
}

/// Goes on, loudly, if recovery is forced.
fn skip_if(force: bool, error: JournalError) -> Result<(), JournalError> {
    if !force {
        return Err(error);
    }
    log::error!("recovery is forced: {error}");
    Ok(())
}

/// Whether another process has the directory, looked at before anything is promised to clients. The
/// lock itself is taken by [`Journal::open`].
///
/// # Errors
///
/// [`JournalError::Locked`], or the lock file cannot be opened.
pub fn check_unlocked(directory: &Path) -> Result<(), JournalError> {
    lock(directory).map(drop)
}

/// Whether there is a journal in the directory.
#[must_use]
pub fn has_journal(directory: &Path) -> bool {
    list(directory).is_ok_and(|files| !files.is_empty())
}

fn lock(directory: &Path) -> Result<File, JournalError> {
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

/// The journal files of a directory, in order.
pub(super) fn list(directory: &Path) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if let Some(first) = format::parse_file_name(&entry.path()) {
            segments.push(Segment {
                first,
                size: entry.metadata()?.len(),
            });
        }
    }
    segments.sort_by_key(|segment| segment.first);
    Ok(segments)
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

/// Makes a file with its header, in place of one that an earlier attempt may have left.
pub(super) fn create(
    storage: &dyn Storage,
    directory: &Path,
    first: u64,
) -> Result<Arc<dyn LogFile>, JournalError> {
    let path = format::file_name(directory, first);
    let create = || {
        match storage.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = storage.create(&path)?;
        append_all(file.as_ref(), &format::header(first))?;
        file.sync()?;
        storage.sync_directory(directory)?;
        Ok(file)
    };
    create().map_err(|error| fault("create", &path, error))
}
