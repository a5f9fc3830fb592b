//! An open journal: records appended, files rotated, and the way out of a failure.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::counts::JournalCounts;
use super::directory::{DirectoryLock, create, cut_tail};
use super::error::{JournalError, fault};
use super::file_window::Window;
use super::format::{self, HEADER_SIZE, RECORD_HEAD_SIZE, RECORD_SIZE_MAX};
use super::mark;
use super::options::JournalOptions;
use super::read::FoundJournal;
use super::segment::Segment;
use super::sync_thread::{FlushHandle, SyncThread};
use crate::durability::storage::{LogFile, Storage, append_all, short};
use crate::options::JournalSync;

/// An open journal. Dropping it syncs what [`JournalSync::Interval`] has left to sync, and lets
/// another process open the directory.
pub(crate) struct Journal {
    pub(super) directory: PathBuf,
    pub(super) storage: Arc<dyn Storage>,
    sync: JournalSync,
    pub(super) file: Arc<dyn LogFile>,
    /// Salt of the file.
    pub(super) salt: u32,
    /// All files in order, the one appended to last.
    pub(super) segments: Vec<Segment>,
    pub(super) last_sequence: u64,
    failure: Option<String>,
    /// Records that a resume took out of the file and has not put back yet.
    rescued: Vec<u8>,
    pub(super) sync_thread: Option<SyncThread>,
    counts: Arc<JournalCounts>,
    /// Released last.
    lock: DirectoryLock,
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
    /// Opens the journal that was found: cuts a torn tail, and gets a file to append to.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub(crate) fn open_found(
        storage: Arc<dyn Storage>,
        lock: DirectoryLock,
        options: &JournalOptions,
        found: FoundJournal,
    ) -> Result<Self, JournalError> {
        let directory = options.dir.clone();
        mark::remove_unfinished(storage.as_ref(), &directory);
        let FoundJournal {
            mut segments,
            mut last_sequence,
            salt,
            torn,
            is_damaged,
            hashed,
        } = found;
        log::debug!("journal {}: {hashed} bytes hashed", directory.display());
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
                let created = create(storage.as_ref(), &directory, first)?;
                mark::write(storage.as_ref(), &directory, first);
                created
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
            counts: Arc::default(),
            lock,
        };
        journal.count_size();
        journal.start_sync_thread()?;
        Ok(journal)
    }

    fn start_sync_thread(&mut self) -> Result<(), JournalError> {
        let interval = match self.sync {
            JournalSync::Turn => return Ok(()),
            JournalSync::Interval(interval) => Some(interval),
            JournalSync::Never => None,
        };
        let counts = Arc::clone(&self.counts);
        let sync_thread = SyncThread::start(interval, Arc::clone(&self.file), self.size(), counts);
        let start = |error| fault("start the sync thread of", &self.directory, error);
        self.sync_thread = Some(sync_thread.map_err(start)?);
        Ok(())
    }

    /// Adds a record of at most [`RECORD_SIZE_MAX`] bytes and returns its sequence number. When it
    /// returns, the record is as durable as [`JournalSync`] says.
    ///
    /// # Errors
    ///
    /// `Io` if it could not be written or synced: it is not in the journal then. `TooLarge`, and
    /// `Failed` until [`resume`](Self::resume) once something went wrong that cannot be undone.
    pub(crate) fn append(&mut self, payload: &[u8]) -> Result<u64, JournalError> {
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
            && let Err(error) = self.counts.sync(self.file.as_ref())
        {
            return Err(self.undo("sync", error, true));
        }
        self.last_sequence = sequence;
        self.segment().size += size as u64;
        self.counts.note_append(size as u64);
        if let Some(sync_thread) = &self.sync_thread {
            sync_thread.written(self.size());
        }
        Ok(sequence)
    }

    /// Starts a new file and returns the sequence number of its first record, the next one.
    /// Nothing happens if the current file has no record yet. The [`mark`] is left to
    /// the caller, who can write it while the journal is used.
    ///
    /// # Errors
    ///
    /// `Io`: the current file goes on being used, unless its sync was what failed. `Failed`, with a
    /// sync that just failed as the reason too.
    pub(crate) fn rotate(&mut self) -> Result<u64, JournalError> {
        self.check()?;
        self.lock.check(&self.directory)?;
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
        let synced = self.counts.sync(self.file.as_ref());
        synced.map_err(|error| self.undo("sync", error, true))
    }

    /// Forgets the files that have only records before this one, and returns their paths in order,
    /// for the caller to remove them: that can take a while, and needs nothing of the journal.
    pub(crate) fn forget_before(&mut self, sequence: u64) -> Vec<PathBuf> {
        let later = self
            .segments
            .partition_point(|segment| segment.first <= sequence);
        let forgotten = self.segments.drain(..later.saturating_sub(1));
        let forgotten = forgotten
            .map(|segment| format::file_name(&self.directory, segment.first))
            .collect();
        self.count_size();
        forgotten
    }

    /// What monitoring is told.
    pub(crate) fn counts(&self) -> Arc<JournalCounts> {
        Arc::clone(&self.counts)
    }

    fn count_size(&self) {
        let sizes = self.segments.iter().map(|segment| segment.size);
        self.counts.set_size(sizes.sum());
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
    pub(crate) fn resume(&mut self) -> Result<(), JournalError> {
        let Err(JournalError::Failed { reason }) = self.check() else {
            return Ok(());
        };
        self.lock.check(&self.directory)?;
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
            mark::write(
                self.storage.as_ref(),
                &self.directory,
                self.last_sequence + 1,
            );
        }
        log::warn!("the journal is resumed; it had failed: {reason}");
        self.failure = None;
        Ok(())
    }

    /// Whether every append is refused until [`resume`](Self::resume).
    #[must_use]
    pub(crate) fn is_failed(&self) -> bool {
        self.failure.is_some()
            || self
                .sync_thread
                .as_ref()
                .is_some_and(|sync_thread| sync_thread.failure().is_some())
    }

    /// The sequence number of the last record ever appended; 0 before the first.
    #[must_use]
    pub(crate) fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// Size of the files that have records from this one on, together, in bytes; 0 if that is the
    /// next.
    #[must_use]
    pub(crate) fn size_bytes_from(&self, sequence: u64) -> u64 {
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
        self.count_size();
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
