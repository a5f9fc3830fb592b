//! Recovery: every record of every file, in order, and what to do where there is none.
//!
//! ```text
//!   bad record ──▶ a valid one behind it, or a later file?
//!                    no  ──▶ torn tail: never acknowledged, cut
//!                    yes ──▶ damage: refused, or skipped up to there if recovery is forced
//! ```

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use vestibule_actors::engine::Progress;

use super::format::{self, HEADER_SIZE, RECORD_HEAD_SIZE, RECORD_SIZE_MAX, RecordHead};
use super::{JournalError, OnDamage, Records};

/// Bytes that are read at once, unless one record is larger.
const WINDOW_SIZE: usize = 1 << 20;

/// Progress is told once in so many bytes.
const PROGRESS_STEP: u64 = 4 << 20;

/// The receivers of what is found.
pub(super) struct Replay<'a> {
    pub(super) receive: Records<'a>,
    pub(super) progress: &'a mut dyn FnMut(Progress),
    pub(super) on_damage: OnDamage<'a>,
    /// Bytes of the files before this one, and in all.
    pub(super) done: u64,
    pub(super) total: u64,
    /// The sequence number that comes next.
    pub(super) expected: u64,
    /// Records handed on so far.
    pub(super) count: u64,
    /// Whether damage was told since the last good record: it explains the gap behind it.
    pub(super) is_lost: bool,
}

impl Replay<'_> {
    /// Replays one file and returns how many of its bytes are good: all of them, unless it is the
    /// last and its tail is torn (0 if that holds for the header).
    pub(super) fn file(
        &mut self,
        path: &Path,
        first: u64,
        is_last: bool,
    ) -> Result<u64, JournalError> {
        let mut window = Window::open(path)?;
        if first != self.expected {
            self.gap(path, 0, first)?;
        }
        let good = match self.header(path, &mut window, first, is_last)? {
            0 => 0,
            start => self.records(path, &mut window, start, is_last)?,
        };
        self.done += window.size;
        (self.progress)(Progress {
            done: self.done,
            total: self.total,
        });
        Ok(good)
    }

    /// Checks the header and returns where records start; 0 if it is torn.
    fn header(
        &mut self,
        path: &Path,
        window: &mut Window,
        first: u64,
        is_last: bool,
    ) -> Result<u64, JournalError> {
        let head = window.get(0, HEADER_SIZE.min(window.size as usize))?;
        if let Some(version) = format::version(head).filter(|version| *version > format::VERSION) {
            return Err(JournalError::NewerVersion {
                file: path.to_path_buf(),
                version,
            });
        }
        if head != format::header(first) {
            if is_last && self.next_record(window, 0)?.is_none() {
                return Ok(0);
            }
            self.damage(path, 0)?;
        }
        Ok(HEADER_SIZE as u64)
    }

    /// Replays the records from an offset on and returns where the good ones end.
    fn records(
        &mut self,
        path: &Path,
        window: &mut Window,
        start: u64,
        is_last: bool,
    ) -> Result<u64, JournalError> {
        let (mut at, mut told) = (start, start);
        while at < window.size {
            if let Some(head) = window.record(at)? {
                at = self.record(path, window, at, head)?;
            } else if let Some(next) = self.next_record(window, at + 1)? {
                self.damage(path, at)?;
                at = next;
            } else if is_last {
                return Ok(at);
            } else {
                self.damage(path, at)?;
                break;
            }
            if at - told >= PROGRESS_STEP {
                told = at;
                (self.progress)(Progress {
                    done: self.done + at,
                    total: self.total,
                });
            }
        }
        Ok(window.size)
    }

    /// Hands one valid record on and returns where the next one starts.
    fn record(
        &mut self,
        path: &Path,
        window: &mut Window,
        at: u64,
        head: RecordHead,
    ) -> Result<u64, JournalError> {
        let size = RECORD_HEAD_SIZE + head.size;
        let is_old = head.sequence < self.expected;
        if head.sequence != self.expected {
            self.gap(path, at, head.sequence)?;
        }
        if !is_old {
            let payload = &window.get(at, size)?[RECORD_HEAD_SIZE..];
            if let Err(source) = (self.receive)(head.sequence, payload) {
                (self.on_damage)(JournalError::Replay {
                    file: path.to_path_buf(),
                    offset: at,
                    sequence: head.sequence,
                    source,
                })?;
            }
            self.expected = head.sequence.saturating_add(1);
            self.count += 1;
            self.is_lost = false;
        }
        Ok(at + size as u64)
    }

    /// Looks for a valid record from an offset on. Its sequence number is bounded by the records
    /// that can have been lost before it, so that foreign bytes hardly ever pass for one.
    fn next_record(&self, window: &mut Window, from: u64) -> Result<Option<u64>, JournalError> {
        let mut at = from;
        while at + RECORD_HEAD_SIZE as u64 <= window.size {
            let head = RecordHead::parse(window.get(at, RECORD_HEAD_SIZE)?);
            let lost = (at - from) / RECORD_HEAD_SIZE as u64 + 1;
            if (self.expected..=self.expected.saturating_add(lost)).contains(&head.sequence)
                && window.record(at)?.is_some()
            {
                return Ok(Some(at));
            }
            at += 1;
        }
        Ok(None)
    }

    fn damage(&mut self, path: &Path, offset: u64) -> Result<(), JournalError> {
        let file = path.to_path_buf();
        self.is_lost = true;
        (self.on_damage)(JournalError::Damaged {
            file,
            offset,
            sequence: self.expected,
        })
    }

    fn gap(&mut self, path: &Path, offset: u64, found: u64) -> Result<(), JournalError> {
        if self.is_lost && found > self.expected {
            self.expected = found;
            return Ok(());
        }
        let file = path.to_path_buf();
        (self.on_damage)(JournalError::Gap {
            file,
            offset,
            expected: self.expected,
            found,
        })?;
        self.expected = self.expected.max(found);
        Ok(())
    }
}

/// A bounded part of a file, moved along as it is read.
pub(super) struct Window {
    file: File,
    path: PathBuf,
    /// Size of the file in bytes.
    pub(super) size: u64,
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
            start: 0,
            bytes: Vec::new(),
        })
    }

    /// So many bytes of the file, which must have them.
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
    fn record(&mut self, at: u64) -> Result<Option<RecordHead>, JournalError> {
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
        let record = self.get(at, size)?;
        Ok(head.matches(&record[RECORD_HEAD_SIZE..]).then_some(head))
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
