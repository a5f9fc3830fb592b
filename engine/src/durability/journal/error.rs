//! What can go wrong with the journal, with file and offset named.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;

use vestibule_actors::engine::Fault;

/// Why the journal could not do what it was asked for.
#[derive(Debug)]
pub enum JournalError {
    /// The operating system refused.
    Io {
        /// What was tried, as in "cannot {action}".
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// At which byte, where that says something.
        offset: Option<u64>,
        /// Its reason.
        source: io::Error,
    },
    /// Another process, or another journal of this one, has the directory.
    Locked {
        /// The directory.
        directory: PathBuf,
    },
    /// The file was written by a later version of this program.
    NewerVersion {
        /// The file.
        file: PathBuf,
        /// Its format version.
        version: u32,
    },
    /// The file was written by a development version of this program.
    OlderVersion {
        /// The file.
        file: PathBuf,
        /// Its format version.
        version: u32,
    },
    /// Bytes that are no record, with records behind them that would be lost.
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where the record starts that cannot be read.
        offset: u64,
        /// The sequence number that it should have.
        sequence: u64,
    },
    /// Records are missing, or stand where they do not belong.
    Gap {
        /// The file.
        file: PathBuf,
        /// Where the record starts that should be another.
        offset: u64,
        /// The sequence number that comes next.
        expected: u64,
        /// The sequence number that was found.
        found: u64,
    },
    /// Records at the end are missing that a checkpoint relies on.
    Short {
        /// The last file, or the directory if there is none.
        file: PathBuf,
        /// The number of the last record that is there.
        last: u64,
        /// The number of the last record that should be.
        needed: u64,
    },
    /// The receiver of the records refused one.
    Replay {
        /// The file.
        file: PathBuf,
        /// Where the record starts.
        offset: u64,
        /// Its sequence number.
        sequence: u64,
        /// The receiver's reason.
        source: Fault,
    },
    /// A record larger than [`RECORD_SIZE_MAX`](super::RECORD_SIZE_MAX); nothing was written.
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// The journal failed before and takes nothing until [`resume`](super::Journal::resume).
    Failed {
        /// Why it failed.
        reason: String,
    },
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io {
                action,
                path,
                offset: Some(offset),
                source,
            } => {
                write!(
                    f,
                    "cannot {action} {} at offset {offset}: {source}",
                    path.display()
                )
            }
            Self::Io {
                action,
                path,
                offset: None,
                source,
            } => {
                write!(f, "cannot {action} {}: {source}", path.display())
            }
            Self::Locked { directory } => {
                write!(
                    f,
                    "journal directory {} is in use by another process",
                    directory.display()
                )
            }
            Self::NewerVersion { file, version } => write!(
                f,
                "journal file {} has format version {version}, newer than this program knows",
                file.display()
            ),
            Self::OlderVersion { file, version } => write!(
                f,
                "journal file {} has format version {version}, of a development version that this \
                 program does not read",
                file.display()
            ),
            Self::Short { file, last, needed } => write!(
                f,
                "journal {} ends with record {last}, but the checkpoint needs the records up to \
                 {needed}; forced recovery goes on without what is missing",
                file.display()
            ),
            Self::Damaged {
                file,
                offset,
                sequence,
            } => write!(
                f,
                "journal file {} is damaged at offset {offset}, where record {sequence} should be; \
                 forced recovery skips what cannot be read",
                file.display()
            ),
            Self::Gap {
                file,
                offset,
                expected,
                found,
            } => write!(
                f,
                "journal file {} has record {found} at offset {offset}, where record {expected} \
                 should be; forced recovery goes on without what is missing",
                file.display()
            ),
            Self::Replay {
                file,
                offset,
                sequence,
                source,
            } => write!(
                f,
                "record {sequence} of journal file {} at offset {offset} cannot be applied: \
                 {source}",
                file.display()
            ),
            Self::TooLarge { size } => {
                write!(f, "a journal record of {size} bytes is larger than allowed")
            }
            Self::Failed { reason } => write!(f, "the journal has failed: {reason}"),
        }
    }
}

impl StdError for JournalError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Replay { source, .. } => Some(source.as_ref()),
            _ => None,
        }
    }
}
