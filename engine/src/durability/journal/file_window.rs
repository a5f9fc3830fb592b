//! A file seen through a bounded part of it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::error::JournalError;
use super::format::{RECORD_HEAD_SIZE, RECORD_SIZE_MAX, RECORD_SUMMED_FROM, RecordHead};
use super::range_sums::RangeSums;
use crate::durability::storage::open_to_read;

/// Bytes that are read at once, unless one record is larger.
const WINDOW_SIZE: usize = 1 << 20;

/// Payloads up to this size, in bytes, are hashed as they are: that costs no more than a sum of a
/// range.
const HASHED_ALONE_MAX: usize = 128;

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
    /// Sums of the file's ranges, once records are searched for.
    sums: Option<RangeSums>,
    /// Bytes that were hashed without them.
    hashed: u64,
}

impl Window {
    pub(super) fn open(path: &Path) -> Result<Self, JournalError> {
        let open = || {
            let file = open_to_read(path)?;
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
            sums: None,
            hashed: 0,
        })
    }

    /// Prepares for a search: from here on, no byte of the file is hashed for each record that it
    /// may belong to, whatever places look like heads.
    pub(super) fn begin_search(&mut self, from: u64) {
        if let Some(sums) = self.sums.take_if(|sums| sums.base() > from) {
            self.hashed += sums.hashed;
        }
        self.sums.get_or_insert_with(|| RangeSums::new(from));
    }

    /// How many bytes were hashed, those that were hashed twice counted twice.
    pub(super) fn hashed(&self) -> u64 {
        self.hashed + self.sums.as_ref().map_or(0, |sums| sums.hashed)
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
        let is_whole = self.matches(at, head)?;
        Ok(is_whole.then_some(head))
    }

    /// Whether the file has at this offset what the head was written for.
    fn matches(&mut self, at: u64, head: RecordHead) -> Result<bool, JournalError> {
        let (salt, size) = (self.salt, RECORD_HEAD_SIZE + head.size);
        if let Some(sums) = &mut self.sums
            && head.size > HASHED_ALONE_MAX
        {
            sums.forget_before(at);
            let (from, to) = (at + RECORD_SUMMED_FROM as u64, at + size as u64);
            let sum = sums.append(&self.file, salt, from, to);
            let sum = sum.map_err(|source| error(&self.path, at, source))?;
            return Ok(head.has_sum(sum));
        }
        self.hashed += size as u64;
        let record = self.get(at, size)?;
        let sum = crc32c::crc32c_append(salt, &record[RECORD_SUMMED_FROM..]);
        Ok(head.has_sum(sum))
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
