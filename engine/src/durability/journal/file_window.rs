//! A file seen through a bounded part of it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::error::JournalError;
use super::format::{RECORD_HEAD_SIZE, RECORD_SIZE_MAX, RecordHead};

/// Bytes that are read at once, unless one record is larger.
const WINDOW_SIZE: usize = 1 << 20;

/// A bounded part of a file, moved along as it is read.
pub(super) struct Window {
    file: File,
    path: PathBuf,
    /// Size of the file in bytes.
    pub(super) size: u64,
    /// Salt of the file's records.
    pub(super) salt: u32,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    pub(super) fn open(path: &Path) -> Result<Self, JournalError> {
        let open = || {
            let file = File::open(path)?;
            let size = file.metadata()?.len();
            Ok((file, size))
        };
        let (file, size) = open().map_err(|source| error(path, 0, source))?;
        Ok(Self {
            file,
            path: path.to_path_buf(),
            size,
            salt: 0,
            start: 0,
            bytes: Vec::new(),
        })
    }

    /// `size` bytes of the file, which must have them.
    pub(super) fn get(&mut self, at: u64, size: usize) -> Result<&[u8], JournalError> {
        let held = self.start..=self.start + self.bytes.len() as u64;
        if !held.contains(&at) || !held.contains(&(at + size as u64)) {
            let rest = usize::try_from(self.size - at).unwrap_or(usize::MAX);
            self.bytes.resize(size.max(WINDOW_SIZE.min(rest)), 0);
            self.bytes.shrink_to(WINDOW_SIZE.max(self.bytes.len()));
            self.start = at;
            let mut fill = || {
                self.file.seek(SeekFrom::Start(at))?;
                self.file.read_exact(&mut self.bytes)
            };
            fill().map_err(|source| error(&self.path, at, source))?;
        }
        let from = (at - self.start) as usize;
        Ok(&self.bytes[from..from + size])
    }

    /// The head of the record at an offset, if a whole and valid one stands there.
    pub(super) fn record(&mut self, at: u64) -> Result<Option<RecordHead>, JournalError> {
        self.record_before(at, self.size)
    }

    /// The same, with the record ending by another offset than the file's end.
    pub(super) fn record_before(
        &mut self,
        at: u64,
        end: u64,
    ) -> Result<Option<RecordHead>, JournalError> {
        let rest = end.min(self.size).saturating_sub(at);
        if rest < RECORD_HEAD_SIZE as u64 {
            return Ok(None);
        }
        let head = RecordHead::parse(self.get(at, RECORD_HEAD_SIZE)?);
        let size = RECORD_HEAD_SIZE + head.size;
        if head.size > RECORD_SIZE_MAX || size as u64 > rest {
            return Ok(None);
        }
        let salt = self.salt;
        let record = self.get(at, size)?;
        let is_whole = head.matches(salt, &record[RECORD_HEAD_SIZE..]);
        Ok(is_whole.then_some(head))
    }
}

fn error(path: &Path, offset: u64, source: io::Error) -> JournalError {
    JournalError::Io {
        action: "read",
        path: path.to_path_buf(),
        offset: Some(offset),
        source,
    }
}
