//! Recovery: every record of every file, in order, and what to do where there is none.
//!
//! ```text
//!   bad record ──▶ a valid one behind it, or a later file?
//!                    no  ──▶ torn tail: never acknowledged, cut
//!                    yes ──▶ damage: refused, or skipped up to there if recovery is forced
//!   bad header ──▶ the same, but whatever stands behind it is damage, too
//! ```

use std::path::Path;

use super::error::JournalError;
use super::file_window::Window;
use super::format::{self, HEADER_SIZE, RECORD_HEAD_SIZE, RecordHead};
use super::options::{OnDamage, Records};

/// Bytes between two reports of progress.
const PROGRESS_STEP: u64 = 4 << 20;

/// The receivers of what is found.
pub(super) struct Replay<'a> {
    pub(super) receive: Records<'a>,
    pub(super) progress: &'a mut dyn FnMut(u64, u64),
    pub(super) on_damage: OnDamage<'a>,
    /// The first record that is handed on; those before it are only checked.
    pub(super) from: u64,
    /// Whether anything was found that only a forced recovery lives with.
    pub(super) is_damaged: bool,
    /// Whether damage was told since the last good record: it explains the gap behind it.
    pub(super) is_lost: bool,
    /// Records read so far.
    pub(super) count: u64,
    /// Bytes that were hashed so far.
    pub(super) hashed: u64,
    /// Bytes of the files before this one, and in all.
    pub(super) done: u64,
    pub(super) total: u64,
    /// The sequence number that comes next.
    pub(super) expected: u64,
}

impl Replay<'_> {
    /// Replays one file and returns how many of its bytes are good (all of them, unless it is the
    /// last and its tail is torn; 0 if that holds for the header), and its salt.
    pub(super) fn file(
        &mut self,
        path: &Path,
        first: u64,
        is_last: bool,
    ) -> Result<(u64, u32), JournalError> {
        let mut window = Window::open(path)?;
        if first != self.expected {
            self.gap(path, 0, first)?;
        }
        let good = match self.header(path, &mut window, first, is_last)? {
            0 => 0,
            start => self.records(path, &mut window, start, is_last)?,
        };
        self.hashed += window.hashed();
        self.done += window.size;
        (self.progress)(self.done, self.total);
        Ok((good, window.salt))
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
        match format::version(head) {
            Some(version) if version > format::VERSION => {
                return Err(JournalError::NewerVersion {
                    file: path.to_path_buf(),
                    version,
                });
            }
            Some(version) if version < format::VERSION => {
                return Err(JournalError::OlderVersion {
                    file: path.to_path_buf(),
                    version,
                });
            }
            _ => {}
        }
        if let Some(salt) = format::salt(head, first) {
            window.salt = salt;
        } else {
            // Of two salts, the right one is the one that a record matches.
            let claimed = format::claimed_salts(head).unwrap_or_default();
            let mut has_record = false;
            for salt in claimed {
                window.salt = salt;
                has_record = self.next_record(window, 0)?.is_some();
                if has_record {
                    break;
                }
            }
            // The header was on the disk before anything was written behind it.
            if !is_last || window.size > HEADER_SIZE as u64 {
                self.damage(path, 0)?;
            }
            if is_last && !has_record {
                return Ok(0);
            }
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
                (self.progress)(self.done + at, self.total);
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
        if !is_old && head.sequence < self.from {
            self.expected = head.sequence.saturating_add(1);
        } else if !is_old {
            let payload = &window.get(at, size)?[RECORD_HEAD_SIZE..];
            if let Err(source) = (self.receive)(head.sequence, payload) {
                self.unless_forced(JournalError::Replay {
                    file: path.to_path_buf(),
                    offset: at,
                    sequence: head.sequence,
                    source,
                })?;
            }
            self.expected = head.sequence.saturating_add(1);
        }
        self.count += u64::from(!is_old);
        self.is_lost = false;
        Ok(at + size as u64)
    }

    /// Looks for a valid record from an offset on. Its sequence number is bounded by the records
    /// that can have been lost before it, so that foreign bytes hardly ever pass for one.
    fn next_record(&self, window: &mut Window, from: u64) -> Result<Option<u64>, JournalError> {
        let mut at = from;
        window.begin_search(from);
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
        self.unless_forced(JournalError::Damaged {
            file,
            offset,
            sequence: self.expected,
        })
    }

    pub(super) fn gap(&mut self, path: &Path, offset: u64, found: u64) -> Result<(), JournalError> {
        if self.is_lost && found > self.expected {
            self.expected = found;
            return Ok(());
        }
        let file = path.to_path_buf();
        self.unless_forced(JournalError::Gap {
            file,
            offset,
            expected: self.expected,
            found,
        })?;
        self.expected = self.expected.max(found);
        Ok(())
    }

    pub(super) fn unless_forced(&mut self, error: JournalError) -> Result<(), JournalError> {
        (self.on_damage)(error)?;
        self.is_damaged = true;
        Ok(())
    }
}
