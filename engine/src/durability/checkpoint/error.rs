//! What can go wrong with a checkpoint, with the file named.

use std::io;
use std::path::{Path, PathBuf};

use crate::durability::journal::JournalError;

/// Why a checkpoint could not be written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckpointError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried, as in "cannot {action}".
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The reason why that failed.
        source: io::Error,
    },
    /// The file was written by a later version of this program.
    #[error(
        "checkpoint {} has format version {version}, newer than this program knows",
        .file.display()
    )]
    NewerVersion {
        /// The file.
        file: PathBuf,
        /// Format version of the file.
        version: u32,
    },
    /// Bytes that no checkpoint has there.
    #[error(
        "checkpoint {} is damaged at offset {offset}; forced recovery does without it: it starts \
         from the one before it, if there is one, or with what the journal has",
        .file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where what cannot be read begins.
        offset: u64,
    },
    /// Rows that are whole, but do not fit what the checkpoint says before them.
    #[error(
        "checkpoint {} contradicts itself: {reason}; forced recovery does without it: it starts \
         from the one before it, if there is one, or with what the journal has",
        .file.display()
    )]
    Inconsistent {
        /// The file.
        file: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// Definitions that only another build of this program can hold.
    #[error("checkpoint {}: {reason}", .file.display())]
    OtherBuild {
        /// The file.
        file: PathBuf,
        /// What this build cannot hold.
        reason: String,
    },
    /// The journal could not do its part.
    #[error("the journal cannot support it: {0}")]
    Journal(String),
    /// Primary keys were redefined while rows were collected by the old ones.
    #[error("primary keys are being redefined")]
    Redefined,
    /// The engine is going away.
    #[error("the engine stops")]
    Stopped,
    /// A fault of this program; standard error has more.
    #[error("the thread that made it has panicked")]
    Panicked,
}

impl CheckpointError {
    pub(super) fn io<'p>(
        action: &'static str,
        path: &'p Path,
    ) -> impl FnOnce(io::Error) -> Self + use<'p> {
        move |source| Self::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    }

    /// Whether the file holds something else than was written, so that an older one may do better.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Inconsistent { .. })
    }
}

impl From<JournalError> for CheckpointError {
    fn from(error: JournalError) -> Self {
        Self::Journal(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_names_its_file() {
        let file = PathBuf::from("/d/f");
        let journal = JournalError::TooLarge { size: 8 };
        let told = [
            (
                CheckpointError::io("rename", &file)(io::Error::other("no")),
                "cannot rename /d/f: no",
            ),
            (
                CheckpointError::NewerVersion {
                    file: file.clone(),
                    version: 9,
                },
                "checkpoint /d/f has format version 9, newer than this program knows",
            ),
            (
                CheckpointError::Damaged {
                    file: file.clone(),
                    offset: 7,
                },
                "checkpoint /d/f is damaged at offset 7; forced recovery does without it: it \
                 starts from the one before it, if there is one, or with what the journal has",
            ),
            (
                CheckpointError::Inconsistent {
                    file,
                    reason: "so".into(),
                },
                "checkpoint /d/f contradicts itself: so; forced recovery does without it: it \
                 starts from the one before it, if there is one, or with what the journal has",
            ),
            (
                CheckpointError::OtherBuild {
                    file: PathBuf::from("/d/f"),
                    reason: "so".into(),
                },
                "checkpoint /d/f: so",
            ),
            (
                journal.into(),
                "the journal cannot support it: a journal record of 8 bytes is larger than allowed",
            ),
            (
                CheckpointError::Redefined,
                "primary keys are being redefined",
            ),
            (CheckpointError::Stopped, "the engine stops"),
            (
                CheckpointError::Panicked,
                "the thread that made it has panicked",
            ),
        ];
        for (error, text) in told {
            assert_eq!(error.to_string(), text);
        }
    }
}
