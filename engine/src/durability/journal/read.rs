//! Reading a directory's journal, and changing nothing in it.
//!
//! ```text
//!   journal-…001   journal-…300   journal-…700        from = 450, required_until = 720
//!     not read       301..449 checked, 450.. handed on
//!                                   .. 720 must be there: a checkpoint has seen it
//! ```

use std::fs;
use std::io;
use std::path::Path;

use super::error::{JournalError, fault};
use super::format;
use super::inspect::FileReport;
use super::mark;
use super::options::{JournalOptions, OnDamage, Records};
use super::replay::Replay;
use super::segment::Segment;

/// What is there.
#[derive(Debug)]
pub(crate) struct FoundJournal {
    /// All files in order, those that were not read included.
    pub(super) segments: Vec<Segment>,
    /// The number of the last record; 0 if there was never one.
    pub(crate) last_sequence: u64,
    /// Salt of the last file.
    pub(super) salt: u32,
    /// How many bytes of the last file are good, if its tail is torn.
    pub(crate) torn: Option<u64>,
    /// Whether anything was found that only a forced recovery lives with.
    pub(crate) is_damaged: bool,
    /// How many bytes were hashed, those that were hashed twice counted twice.
    pub(super) hashed: u64,
}

/// Hands every record from `options.from` on to `receive`, in order. `progress` is told bytes read
/// and in all, at most every few megabytes.
///
/// # Errors
///
/// Everything in [`JournalError`] but `Locked`, `TooLarge` and `Failed`.
pub(crate) fn read(
    options: &JournalOptions,
    receive: Records<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<FoundJournal, JournalError> {
    let mut on_damage = |error| {
        // What a receiver may go on without, it takes itself.
        let is_refused = matches!(error, JournalError::Replay { .. });
        if !options.force_recovery || is_refused {
            return Err(error);
        }
        log::error!("recovery is forced: {error}");
        Ok(())
    };
    read_with(options, receive, &mut on_damage, &mut |_| (), progress)
}

/// The same, with every damage told to `on_damage`, and every file that was read to `on_file`.
///
/// # Errors
///
/// What `on_damage` returns, `NewerVersion`, `OlderVersion` and `Io`.
pub(crate) fn read_with(
    options: &JournalOptions,
    receive: Records<'_>,
    on_damage: OnDamage<'_>,
    on_file: &mut dyn FnMut(FileReport),
    progress: &mut dyn FnMut(u64, u64),
) -> Result<FoundJournal, JournalError> {
    let directory = &options.dir;
    let mut segments = list(directory).map_err(|error| fault("read", directory, error))?;
    let later = segments.partition_point(|segment| segment.first <= options.from);
    let (start, expected) = match later.checked_sub(1) {
        Some(start) => (start, segments[start].first),
        None => (0, options.from),
    };
    let count = segments.len();
    let mut replay = Replay {
        receive,
        progress,
        on_damage,
        from: options.from,
        is_damaged: false,
        is_lost: false,
        count: 0,
        hashed: 0,
        done: 0,
        total: segments[start..].iter().map(|segment| segment.size).sum(),
        expected,
    };
    let (mut salt, mut torn) = (0, None);
    for (at, segment) in segments.iter_mut().enumerate().skip(start) {
        let path = format::file_name(directory, segment.first);
        let before = replay.count;
        let good;
        (good, salt) = replay.file(&path, segment.first, at + 1 == count)?;
        torn = (good < segment.size).then_some(good);
        on_file(FileReport {
            path,
            size: segment.size,
            good,
            records: replay.count - before,
            next: replay.expected,
        });
    }
    let last_sequence = replay.expected - 1;
    check_end(options, &segments, last_sequence, &mut replay)?;
    Ok(FoundJournal {
        last_sequence,
        salt,
        torn,
        is_damaged: replay.is_damaged,
        hashed: replay.hashed,
        segments,
    })
}

/// Checks that the journal goes as far as is known of it.
fn check_end(
    options: &JournalOptions,
    segments: &[Segment],
    last_sequence: u64,
    replay: &mut Replay<'_>,
) -> Result<(), JournalError> {
    let directory = &options.dir;
    let needed = options.required_until.max(options.from - 1);
    let begun = match mark::read(directory) {
        Ok(begun) => begun,
        Err(error) => {
            replay.unless_forced(fault("read", &mark::path(directory), error))?;
            None
        }
    };
    let newest = segments.last().map(|last| last.first);
    let is_any = newest.is_some() || needed > 0;
    if let Some(first) = begun.filter(|first| is_any && newest < Some(*first)) {
        return replay.unless_forced(JournalError::Missing {
            file: format::file_name(directory, first),
            mark: mark::path(directory),
        });
    }
    if last_sequence < needed || (newest.is_none() && needed > 0) {
        let file = newest.map(|first| format::file_name(directory, first));
        return replay.unless_forced(JournalError::Short {
            file: file.unwrap_or_else(|| directory.clone()),
            last: last_sequence,
            needed,
        });
    }
    Ok(())
}

/// Checks the files that [`read_with`] passes over: those that only have records before this one.
///
/// # Errors
///
/// Those of [`read_with`].
pub(crate) fn check_before(
    directory: &Path,
    from: u64,
    on_damage: OnDamage<'_>,
    on_file: &mut dyn FnMut(FileReport),
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), JournalError> {
    let segments = list(directory).map_err(|error| fault("read", directory, error))?;
    let later = segments.partition_point(|segment| segment.first <= from);
    let Some((needed, older)) = segments[..later].split_last() else {
        return Ok(());
    };
    let mut replay = Replay {
        receive: &mut |_, _| Ok(()),
        progress,
        on_damage,
        from: u64::MAX,
        is_damaged: false,
        is_lost: false,
        count: 0,
        hashed: 0,
        done: 0,
        total: older.iter().map(|segment| segment.size).sum(),
        expected: older.first().map_or(needed.first, |oldest| oldest.first),
    };
    for segment in older {
        let path = format::file_name(directory, segment.first);
        let before = replay.count;
        let (good, _) = replay.file(&path, segment.first, false)?;
        on_file(FileReport {
            path,
            size: segment.size,
            good,
            records: replay.count - before,
            next: replay.expected,
        });
    }
    if replay.expected != needed.first {
        let path = format::file_name(directory, needed.first);
        replay.gap(&path, 0, needed.first)?;
    }
    Ok(())
}

/// Sizes of the files that have records from this one on, together.
pub(crate) fn size_from(directory: &Path, from: u64) -> u64 {
    let segments = list(directory).unwrap_or_default();
    let later = segments.partition_point(|segment| segment.first <= from);
    let needed = &segments[later.saturating_sub(1)..];
    needed.iter().map(|segment| segment.size).sum()
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
