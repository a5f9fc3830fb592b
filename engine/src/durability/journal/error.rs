//! What can go wrong with the journal, with file and offset named.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why the receiver of a record cannot go on.
pub(crate) type ReceiverError = Box<dyn StdError + Send + Sync>;

/// Why the journal could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The operating system refused.
    #[error("cannot {action} {}{}: {source}", .path.display(), At(*offset))]
    Io {
        /// What was tried, as in "cannot {action}".
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// At which byte, where that says something.
        offset: Option<u64>,
        /// The reason why that failed.
        source: io::Error,
    },
    /// Another process, or another engine of this one, has the directory.
    #[error(
        "journal directory {} is in use by another {}",
        .directory.display(),
        if *.by_this_process { "engine of this process" } else { "process" }
    )]
    Locked {
        /// The directory.
        directory: PathBuf,
        /// Whether it is this process that has it.
        by_this_process: bool,
    },
    /// The file was written by a later version of this program.
    #[error(
        "journal file {} has format version {version}, newer than this program knows",
        .file.display()
    )]
    NewerVersion {
        /// The file.
        file: PathBuf,
        /// Format version of the file.
        version: u32,
    },
    /// The file was written by a development version of this program.
    #[error(
        "journal file {} has format version {version}, of a development version that this \
         program does not read",
        .file.display()
    )]
    OlderVersion {
        /// The file.
        file: PathBuf,
        /// Format version of the file.
        version: u32,
    },
    /// Bytes that are no record, with records behind them that would be lost.
    #[error(
        "journal file {} is damaged at offset {offset}, where record {sequence} should be; \
         forced recovery skips what cannot be read",
        .file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where the record starts that cannot be read.
        offset: u64,
        /// The sequence number that it should have.
        sequence: u64,
    },
    /// Records are missing, or stand where they do not belong.
    #[error(
        "journal file {} has record {found} at offset {offset}, where record {expected} \
         should be; forced recovery goes on without what is missing",
        .file.display()
    )]
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
    #[error(
        "journal {} ends with record {last}, but the checkpoint needs the records up to \
         {needed}; forced recovery goes on without what is missing",
        .file.display()
    )]
    Short {
        /// The last file, or the directory if there is none.
        file: PathBuf,
        /// The number of the last record that is there.
        last: u64,
        /// The number of the last record that should be.
        needed: u64,
    },
    /// The newest file is missing, and with it all its records.
    #[error(
        "journal file {} is missing, which {} tells of: was an older copy restored? Forced \
         recovery goes on without it",
        .file.display(),
        .mark.display()
    )]
    Missing {
        /// The file.
        file: PathBuf,
        /// The file that tells of it.
        mark: PathBuf,
    },
    /// The receiver of the records refused one.
    #[error(
        "record {sequence} of journal file {} at offset {offset} cannot be applied: {source}",
        .file.display()
    )]
    Replay {
        /// The file.
        file: PathBuf,
        /// Where the record starts.
        offset: u64,
        /// Sequence number of the record.
        sequence: u64,
        /// The receiver's reason.
        source: ReceiverError,
    },
    /// A record larger than 1 GiB; nothing was written.
    #[error("a journal record of {size} bytes is larger than allowed")]
    TooLarge {
        /// Size of the record, in bytes.
        size: usize,
    },
    /// The journal failed before and takes nothing until it is resumed.
    #[error("the journal has failed: {reason}")]
    Failed {
        /// Why it failed.
        reason: String,
    },
}

/// The operating system refused something that is not about a place in the file.
pub(super) fn fault(action: &'static str, path: &Path, source: io::Error) -> JournalError {
    JournalError::Io {
        action,
        path: path.to_path_buf(),
        offset: None,
        source,
    }
}

/// The place in a file, where that says something.
struct At(Option<u64>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(offset) => write!(f, " at offset {offset}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn every_error_names_file_and_place() {
        let file = PathBuf::from("/d/f");
        let io = |offset| JournalError::Io {
            action: "write to",
            path: "/d/f".into(),
            offset,
            source: io::Error::other("no"),
        };
        assert!(io(None).source().is_some());
        let told = [
            (io(Some(7)), "cannot write to /d/f at offset 7: no"),
            (io(None), "cannot write to /d/f: no"),
            (
                JournalError::Locked {
                    directory: "/d".into(),
                    by_this_process: false,
                },
                "journal directory /d is in use by another process",
            ),
            (
                JournalError::Locked {
                    directory: "/d".into(),
                    by_this_process: true,
                },
                "journal directory /d is in use by another engine of this process",
            ),
            (
                JournalError::NewerVersion {
                    file: file.clone(),
                    version: 9,
                },
                "journal file /d/f has format version 9, newer than this program knows",
            ),
            (
                JournalError::OlderVersion { file, version: 0 },
                "journal file /d/f has format version 0, of a development version that this \
                 program does not read",
            ),
            (
                JournalError::TooLarge { size: 8 },
                "a journal record of 8 bytes is larger than allowed",
            ),
            (
                JournalError::Failed {
                    reason: "no".into(),
                },
                "the journal has failed: no",
            ),
        ];
        assert_texts(&told);
    }

    #[test]
    fn damage_is_told_with_its_place() {
        let (file, offset, sequence) = (PathBuf::from("/d/f"), 7, 3);
        let told = [
            (
                JournalError::Damaged {
                    file: file.clone(),
                    offset,
                    sequence,
                },
                "journal file /d/f is damaged at offset 7, where record 3 should be; forced \
                 recovery skips what cannot be read",
            ),
            (
                JournalError::Gap {
                    file: file.clone(),
                    offset,
                    expected: 3,
                    found: 5,
                },
                "journal file /d/f has record 5 at offset 7, where record 3 should be; forced \
                 recovery goes on without what is missing",
            ),
            (
                JournalError::Short {
                    file: file.clone(),
                    last: 3,
                    needed: 5,
                },
                "journal /d/f ends with record 3, but the checkpoint needs the records up to 5; \
                 forced recovery goes on without what is missing",
            ),
            (
                JournalError::Missing {
                    file: file.clone(),
                    mark: "/d/m".into(),
                },
                "journal file /d/f is missing, which /d/m tells of: was an older copy restored? \
                 Forced recovery goes on without it",
            ),
            (
                JournalError::Replay {
                    file,
                    offset,
                    sequence,
                    source: "no".into(),
                },
                "record 3 of journal file /d/f at offset 7 cannot be applied: no",
            ),
        ];
        assert_texts(&told);
    }

    fn assert_texts(told: &[(JournalError, &str)]) {
        for (error, text) in told {
            assert_eq!(error.to_string(), *text);
        }
    }
}
