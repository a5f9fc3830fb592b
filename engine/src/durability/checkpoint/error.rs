//! What can go wrong with a checkpoint, with the file named.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::durability::journal::JournalError;

/// Why a checkpoint could not be written or read.
#[derive(Debug)]
pub(crate) enum CheckpointError {
    /// The operating system refused.
    Io {
        /// What was tried, as in "cannot {action}".
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
    /// The file was written by a later version of this program.
    NewerVersion {
        /// The file.
        file: PathBuf,
        /// Its format version.
        version: u32,
    },
    /// Bytes that no checkpoint has there.
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where what cannot be read begins.
        offset: u64,
    },
    /// Rows that are whole, but do not fit what the checkpoint says before them.
    Inconsistent {
        /// The file.
        file: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The journal could not do its part.
    Journal(String),
    /// Primary keys were redefined while rows were collected by the old ones.
    Redefined,
    /// The engine is going away.
    Stopped,
    /// A fault of this program; standard error has more.
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

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io {
                action,
                path,
                source,
            } => write!(f, "cannot {action} {}: {source}", path.display()),
            Self::NewerVersion { file, version } => write!(
                f,
                "checkpoint {} has format version {version}, newer than this program knows",
                file.display()
            ),
            Self::Damaged { file, offset } => write!(
                f,
                "checkpoint {} is damaged at offset {offset}; forced recovery starts from the \
                 checkpoint before it",
                file.display()
            ),
            Self::Inconsistent { file, reason } => write!(
                f,
                "checkpoint {} contradicts itself: {reason}; forced recovery starts from the \
                 checkpoint before it",
                file.display()
            ),
            Self::Journal(reason) => write!(f, "the journal cannot support it: {reason}"),
            Self::Redefined => f.write_str("primary keys are being redefined"),
            Self::Stopped => f.write_str("the engine stops"),
            Self::Panicked => f.write_str("the thread that made it has panicked"),
        }
    }
}

impl StdError for CheckpointError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
