//! The newest file of the journal, by name, in a file of its own: so that its loss is seen.
//!
//! ```text
//!   journal-…300.log is made, and on the disk ─▶ journal.begun: 300
//!   start: the last file that is there begins with 101 ─▶ one is missing
//! ```
//!
//! A directory without the mark, of an earlier version or a copy, is as good as any; so is one
//! where it is old, and a file begins later. One without journal and checkpoint was emptied.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::durability::storage::{Storage, append_all, open_to_read};

/// The name of the mark's file.
pub const MARK: &str = "journal.begun";

/// Held while a mark is written: the file that becomes it has one name, and both Tx and the
/// checkpoint write marks.
static WRITING: Mutex<()> = Mutex::new(());

/// Digits of a number of 64 bits, and a line's end: no mark is longer.
const SIZE_MAX: u64 = 21;

/// The mark's file in a directory.
pub(super) fn path(directory: &Path) -> PathBuf {
    directory.join(MARK)
}

/// Remembers the first record of the newest file, which is on the disk. A mark that cannot be
/// written is told: nothing relies on it until a file is lost.
pub(crate) fn write(storage: &dyn Storage, directory: &Path, first: u64) {
    if let Err(error) = try_write(storage, directory, first) {
        log::warn!(
            "{} could not be written: {error}",
            path(directory).display()
        );
    }
}

pub(super) fn try_write(storage: &dyn Storage, directory: &Path, first: u64) -> io::Result<()> {
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let unfinished = unfinished(directory);
    remove_unfinished(storage, directory);
    let file = storage.create(&unfinished)?;
    append_all(file.as_ref(), format!("{first}\n").as_bytes())?;
    file.sync()?;
    storage.rename(&unfinished, &path(directory))
}

/// Removes what a write that did not end may have left; if that fails, so will the next write.
pub(super) fn remove_unfinished(storage: &dyn Storage, directory: &Path) {
    let _ = storage.remove(&unfinished(directory));
}

fn unfinished(directory: &Path) -> PathBuf {
    directory.join(format!("{MARK}.tmp"))
}

/// The first record of the newest file that there was; `None` without a mark.
pub(super) fn read(directory: &Path) -> io::Result<Option<u64>> {
    let path = path(directory);
    let file = match open_to_read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut text = String::new();
    file.take(SIZE_MAX).read_to_string(&mut text)?;
    let first = text.trim_ascii_end().parse().ok();
    let first = first.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a number"))?;
    Ok(Some(first))
}
