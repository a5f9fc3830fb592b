//! Why Tarantool's files cannot be read.

use std::io;
use std::path::{Path, PathBuf};

/// Why Tarantool's files cannot be read, with the file named.
#[derive(Debug, thiserror::Error)]
pub enum TarantoolError {
    /// The operating system refused.
    #[error("cannot read {}: {source}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The reason why that failed.
        source: io::Error,
    },
    /// Not a snapshot or log of a version that is known.
    #[error("{} is no file of Tarantool's that can be read: {reason}", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was found in its head.
        reason: String,
    },
    /// There are logs, or nothing, but no snapshot to begin with.
    #[error("there is no snapshot (*.snap) in {}: logs go on from one", .paths)]
    NoSnapshot {
        /// What was looked at.
        paths: String,
    },
    /// Bytes that Tarantool does not write.
    #[error("{} is damaged at offset {offset}: {reason}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where what cannot be read begins.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// A log that begins later than those before it end.
    #[error(
        "{} goes on from {needed}, but the files before it end at {found}: one is missing",
        .path.display()
    )]
    Gap {
        /// The file.
        path: PathBuf,
        /// The vector clock that it begins with.
        needed: String,
        /// The vector clock that was reached.
        found: String,
    },
    /// A whole row that cannot be applied to what is there.
    #[error("row {lsn} of {}, at or before offset {offset}, cannot be applied: {reason}",
        .path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Where the block that the row stands in ends.
        offset: u64,
        /// The row's sequence number.
        lsn: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// What this server cannot hold: all that was found.
    #[error(
        "what these files have cannot all be held here:\n  {}\nnothing was loaded",
        .0.join("\n  ")
    )]
    Unheld(Vec<String>),
}

impl TarantoolError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }
}
