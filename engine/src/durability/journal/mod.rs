//! The journal: what makes a turn durable before its replies are sent.
//!
//! ```text
//!   turn ─▶ append ─▶ journal-00000000000000000001.log  ┐
//!                     journal-00000000000000000815.log  ┘ rotate: a new file; forget_before: fewer
//!                       header │ record 815 │ record 816 │ …
//!                                length │ CRC32C │ sequence │ payload
//!
//!   open ─▶ every record, in order ─▶ replay          (torn tail: cut; damage before it: refused)
//! ```
//!
//! One record a turn, numbered consecutively from 1, written with one call. What
//! [`Journal::append`] reports as failed is cut away again. A failed fsync is never tried again:
//! the kernel may have dropped what it could not write, so the journal fails until
//! [`Journal::resume`].
//!
//! | module | what |
//! |---|---|
//! | `format` | file headers and records as bytes |
//! | `error` | what may go wrong |
//! | `file_window` | a part of a file in memory |
//! | `replay` | one file, record by record |
//! | `read` | all files of a directory, in order |
//! | `inspect` | what was found in one file |
//! | `open` | a journal opened for writing |
//! | `sync_thread` | fsync at intervals, on a thread of its own |
//! | `staging` | a new journal beside the place where it is used |

mod error;
mod file_window;
mod format;
mod inspect;
mod open;
mod read;
mod replay;
mod staging;
mod sync_thread;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::durability::storage::{Disk, LogFile, Storage, append_all, short};
use crate::errors::Fault;
use crate::limits::JOURNAL_SYNC_PERIOD_DEFAULT;
use crate::progress::Progress;

pub use error::JournalError;
pub use format::RECORD_SIZE_MAX;
pub(crate) use format::new_salt;
pub use inspect::FileReport;
pub(crate) use inspect::lock_shared;
pub use open::{check_unlocked, has_journal};
pub(crate) use open::{is_file_name, lock};
pub(crate) use read::{Found, check_before, read, read_with, size_from};
pub use staging::STAGING;
pub(crate) use sync_thread::FlushHandle;

use file_window::Window;
use format::{HEADER_SIZE, RECORD_HEAD_SIZE};
use open::{DirectoryLock, create};
use sync_thread::SyncThread;

/// When a record has to be on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JournalSync {
    /// Before [`Journal::append`] returns: acknowledged means on disk.
    #[default]
    Turn,
    /// Soon: a thread syncs once in this time. What a power failure loses is no older than that.
    Interval(Duration),
    /// Left to the operating system, and for a checkpoint. A crash of this process loses nothing.
    Never,
}

impl JournalSync {
    /// All of them, the one by interval with the period that it has unless another is given.
    pub const ALL: [Self; 3] = [
        Self::Turn,
        Self::Interval(JOURNAL_SYNC_PERIOD_DEFAULT),
        Self::Never,
    ];

    /// The name that operators give it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Turn => "turn",
            Self::Interval(_) => "interval",
            Self::Never => "never",
        }
    }
}

/// How to open a journal.
#[derive(Debug, Clone)]
pub struct JournalOptions {
    /// Where its files are; made if missing.
    pub dir: PathBuf,
    /// When records have to be on the disk.
    pub sync: JournalSync,
    /// Skip what cannot be read, loudly, rather than refuse to open. The damage stays in its file,
    /// and needs forced recovery each time, until a checkpoint makes the file obsolete.
    pub force_recovery: bool,
    /// The first record that is wanted: 1, or what a checkpoint does not hold. At least 1.
    pub from: u64,
    /// The last record that must be there, as far as a checkpoint has seen; 0 without one.
    pub required_until: u64,
}

/// Takes each record's sequence number and payload, in order. A fault ends the recovery.
pub type Records<'a> = &'a mut dyn FnMut(u64, &[u8]) -> Result<(), Fault>;

/// Takes each damage. Returns it to end the recovery, or `Ok` to go on without what cannot be read.
pub type OnDamage<'a> = &'a mut dyn FnMut(JournalError) -> Result<(), JournalError>;

/// An open journal. Dropping it syncs what [`JournalSync::Interval`] has left to sync, and lets
/// another process open the directory.
pub struct Journal {
    directory: PathBuf,
    storage: Arc<dyn Storage>,
    sync: JournalSync,
    file: Arc<dyn LogFile>,
    /// That of the file.
    salt: u32,
    /// All files in order, the one appended to last.
    segments: Vec<Segment>,
    last_sequence: u64,
    failure: Option<String>,
    /// Records that a resume took out of the file and has not put back yet.
    rescued: Vec<u8>,
    sync_thread: Option<SyncThread>,
    /// Released last.
    _lock: DirectoryLock,
}

#[derive(Debug)]
struct Segment {
    first: u64,
    size: u64,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("directory", &self.directory)
            .field("last_sequence", &self.last_sequence)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

impl Journal {
    /// Opens a directory's journal: hands the sequence number and payload of every record that is
    /// wanted to `replay`, in order, and cuts a torn tail. `progress` is told bytes, at most every few megabytes.
    ///
    /// # Errors
    ///
    /// Everything in [`JournalError`] but `TooLarge` and `Failed`.
    pub fn open(
        options: JournalOptions,
        replay: Records<'_>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, JournalError> {
        let lock = lock(&Disk, &options.dir)?;
        let found = read(&options, replay, progress)?;
        Self::open_found(Arc::new(Disk), lock, &options, found)
    }

    /// Adds a record of at most [`RECORD_SIZE_MAX`] bytes and returns its sequence number. When it
    /// returns, the record is as durable as [`JournalSync`] says.
    ///
    /// # Errors
    ///
    /// `Io` if it could not be written or synced: it is not in the journal then. `TooLarge`, and
    /// `Failed` until [`resume`](Self::resume) once something went wrong that cannot be undone.
    pub fn append(&mut self, payload: &[u8]) -> Result<u64, JournalError> {
        self.check()?;
        if payload.len() > RECORD_SIZE_MAX {
            return Err(JournalError::TooLarge {
                size: payload.len(),
            });
        }
        let sequence = self.last_sequence + 1;
        let size = RECORD_HEAD_SIZE + payload.len();
        match self
            .file
            .append(&format::record_head(self.salt, sequence, payload), payload)
        {
            Ok(written) if written == size => {}
            Ok(written) => return Err(self.undo("write to", short(written, size), false)),
            Err(error) => return Err(self.undo("write to", error, false)),
        }
        if self.sync == JournalSync::Turn
            && let Err(error) = self.file.sync()
        {
            return Err(self.undo("sync", error, true));
        }
        self.last_sequence = sequence;
        self.segment().size += size as u64;
        if let Some(sync_thread) = &self.sync_thread {
            sync_thread.written(self.size());
        }
        Ok(sequence)
    }

    /// Starts a new file and returns the sequence number of its first record, the next one.
    /// Nothing happens if the current file has no record yet.
    ///
    /// # Errors
    ///
    /// `Io`: the current file goes on being used, unless its sync was what failed. `Failed`, with a
    /// sync that just failed as the reason too.
    pub fn rotate(&mut self) -> Result<u64, JournalError> {
        self.check()?;
        let next = self.last_sequence + 1;
        if self.segment().first < next {
            self.sync_whole()?;
            self.start_file(next)?;
        }
        Ok(next)
    }

    /// Syncs the current file: one that is not the last must be whole, whatever the mode.
    fn sync_whole(&mut self) -> Result<(), JournalError> {
        // The kernel tells a failure to one of two callers only, so a file has one that syncs it.
        if let Some(sync_thread) = &self.sync_thread {
            let flushed = sync_thread.flush_handle().flush();
            return flushed.map_err(|reason| JournalError::Failed { reason });
        }
        let synced = self.file.sync();
        synced.map_err(|error| self.undo("sync", error, true))
    }

    /// Forgets the files that have only records before this one, and returns their paths in order, for
    /// the caller to remove them: that can take a while, and needs nothing of the journal.
    pub fn forget_before(&mut self, sequence: u64) -> Vec<PathBuf> {
        let later = self
            .segments
            .partition_point(|segment| segment.first <= sequence);
        let forgotten = self.segments.drain(..later.saturating_sub(1));
        forgotten
            .map(|segment| format::file_name(&self.directory, segment.first))
            .collect()
    }

    /// The means to have all records on the disk, whatever the mode, without keeping Tx waiting.
    /// `None` if they are there already when an append returns.
    pub(crate) fn flush_handle(&self) -> Option<FlushHandle> {
        self.sync_thread.as_ref().map(SyncThread::flush_handle)
    }

    /// Puts a failed journal back to work: makes sure that the current file ends with its last good
    /// record and is on the disk, and starts a new one. Reads what was not synced yet into memory.
    ///
    /// # Errors
    ///
    /// `Io` or `Damaged`: the journal is still failed, and this may be tried again.
    pub fn resume(&mut self) -> Result<(), JournalError> {
        let Err(JournalError::Failed { reason }) = self.check() else {
            return Ok(());
        };
        let (path, size) = (self.path(), self.size());
        let synced = match (self.sync, &self.sync_thread) {
            (JournalSync::Interval(_), Some(sync_thread)) => sync_thread.synced(),
            // On the disk already, or never promised to be.
            _ => size,
        };
        if self.rescued.is_empty() {
            self.rescued = self.read_back(&path, synced)?;
        }
        let file = self
            .storage
            .open(&path)
            .map_err(|error| fault("open", &path, error))?;
        // Written again, because a failed sync may have dropped it although it can still be read.
        let rewrite = || {
            file.cut(synced)?;
            append_all(file.as_ref(), &self.rescued)?;
            file.sync()
        };
        rewrite().map_err(|error| fault("repair", &path, error))?;
        self.rescued = Vec::new();
        self.file = file;
        if let Some(sync_thread) = &self.sync_thread {
            sync_thread.follow(Arc::clone(&self.file), size);
        }
        if self.segment().first <= self.last_sequence {
            self.start_file(self.last_sequence + 1)?;
        }
        log::warn!("the journal is resumed; it had failed: {reason}");
        self.failure = None;
        Ok(())
    }

    /// Whether every append is refused until [`resume`](Self::resume).
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.failure.is_some()
            || self
                .sync_thread
                .as_ref()
                .is_some_and(|sync_thread| sync_thread.failure().is_some())
    }

    /// The sequence number of the last record ever appended; 0 before the first.
    #[must_use]
    pub fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// Size of all files together, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size).sum()
    }

    /// Size of the files that have records from this one on, together, in bytes; 0 if that is the next.
    #[must_use]
    pub fn size_bytes_from(&self, sequence: u64) -> u64 {
        if sequence > self.last_sequence {
            return 0;
        }
        let later = self.segments.partition_point(|own| own.first <= sequence);
        let needed = &self.segments[later.saturating_sub(1)..];
        needed.iter().map(|segment| segment.size).sum()
    }

    fn segment(&mut self) -> &mut Segment {
        self.segments
            .last_mut()
            .expect("there is always a file to append to")
    }

    /// Size of the current file.
    fn size(&self) -> u64 {
        self.segments.last().map_or(0, |segment| segment.size)
    }

    fn path(&self) -> PathBuf {
        let first = self.segments.last().map_or(1, |segment| segment.first);
        format::file_name(&self.directory, first)
    }

    fn check(&mut self) -> Result<(), JournalError> {
        if self.failure.is_none() {
            self.failure = self.sync_thread.as_ref().and_then(SyncThread::failure);
        }
        match &self.failure {
            Some(reason) => Err(JournalError::Failed {
                reason: reason.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Cuts the file back to its last good record after an error. The journal fails if that is not
    /// possible, or not enough.
    fn undo(&mut self, action: &'static str, source: io::Error, is_final: bool) -> JournalError {
        let (path, size) = (self.path(), self.size());
        let cut = self.file.cut(size);
        let error = JournalError::Io {
            action,
            path,
            offset: Some(size),
            source,
        };
        if let Err(cut) = cut {
            self.failure = Some(format!("{error}, and cannot cut it back: {cut}"));
        } else if is_final {
            self.failure = Some(error.to_string());
        }
        error
    }

    fn start_file(&mut self, first: u64) -> Result<(), JournalError> {
        match create(self.storage.as_ref(), &self.directory, first) {
            Ok((file, salt)) => (self.file, self.salt) = (file, salt),
            Err(error) => {
                let path = format::file_name(&self.directory, first);
                // A file that is left there would contradict records that are yet to come.
                match self.storage.remove(&path) {
                    Err(left) if left.kind() != io::ErrorKind::NotFound => {
                        self.failure = Some(fault("remove", &path, left).to_string());
                    }
                    _ => {}
                }
                return Err(error);
            }
        }
        self.segments.push(Segment {
            first,
            size: HEADER_SIZE as u64,
        });
        if let Some(sync_thread) = &self.sync_thread {
            sync_thread.follow(Arc::clone(&self.file), HEADER_SIZE as u64);
        }
        Ok(())
    }

    /// The records of the current file from an offset on, checked.
    fn read_back(&self, path: &Path, from: u64) -> Result<Vec<u8>, JournalError> {
        let (mut window, mut at) = (Window::open(path)?, from);
        window.salt = self.salt;
        let size = self.size();
        let mut bytes = Vec::new();
        while at < size {
            let Some(head) = window.record_before(at, size)? else {
                let sequence = self.last_sequence;
                return Err(JournalError::Damaged {
                    file: path.to_path_buf(),
                    offset: at,
                    sequence,
                });
            };
            let record = window.get(at, RECORD_HEAD_SIZE + head.size)?;
            bytes.extend_from_slice(record);
            at += record.len() as u64;
        }
        Ok(bytes)
    }
}

fn fault(action: &'static str, path: &Path, source: io::Error) -> JournalError {
    JournalError::Io {
        action,
        path: path.to_path_buf(),
        offset: None,
        source,
    }
}
