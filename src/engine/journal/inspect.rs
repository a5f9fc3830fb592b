//! Reading a journal without changing anything: for `check` and `dump`.
//!
//! ```text
//!   shared lock ─▶ every file in order ─▶ records ─▶ receive
//!                        │                damage  ─▶ on_damage: go on, or end
//!                        └ what was found ─▶ on_file
//! ```
//!
//! No file is made, cut or written, so a directory on a read-only file system will do.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use vestibule_actors::engine::Progress;

use super::open::list;
use super::replay::Replay;
use super::{JournalError, OnDamage, Records, fault, format};

/// What was found in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// How many of them are good, from the start: fewer than its size if its tail is torn.
    pub good: u64,
    /// Records that could be read.
    pub records: u64,
    /// The sequence number that its first record has by its name.
    pub first: u64,
    /// The sequence number that comes after its last record.
    pub next: u64,
}

/// Reads every record of a directory's journal and returns the last sequence number, 0 if there is
/// no record. A torn tail is told by its file's report and is no damage.
///
/// Holds a shared lock meanwhile, if the directory has a lock file: several may inspect it at once,
/// and no server starts on it.
///
/// # Errors
///
/// `Locked` if a server has the directory, `NewerVersion`, `Io`, and what `on_damage` returns.
pub fn inspect(
    directory: &Path,
    receive: Records<'_>,
    on_damage: OnDamage<'_>,
    on_file: &mut dyn FnMut(FileReport),
    progress: &mut dyn FnMut(Progress),
) -> Result<u64, JournalError> {
    let _lock = lock_shared(directory)?;
    let segments = list(directory).map_err(|error| fault("read", directory, error))?;
    let mut replay = Replay {
        receive,
        progress,
        on_damage,
        done: 0,
        total: segments.iter().map(|segment| segment.size).sum(),
        expected: segments.first().map_or(1, |segment| segment.first),
        count: 0,
        is_lost: false,
    };
    for (at, segment) in segments.iter().enumerate() {
        let path = format::file_name(directory, segment.first);
        let before = replay.count;
        let good = replay.file(&path, segment.first, at + 1 == segments.len())?;
        on_file(FileReport {
            path,
            size: segment.size,
            good,
            records: replay.count - before,
            first: segment.first,
            next: replay.expected,
        });
    }
    Ok(replay.expected - 1)
}

/// Keeps servers off for as long as the file is open; `None` if no server ever had the directory.
fn lock_shared(directory: &Path) -> Result<Option<File>, JournalError> {
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
