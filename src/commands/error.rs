//! Why a tool could not do its work.

use std::fmt;
use std::io;
use std::path::PathBuf;

use vestibule_actors::engine::Fault;

/// Why `check`, `dump` or `load` ended before its end.
#[derive(Debug)]
pub(crate) enum ToolError {
    /// There is no data in the directory, or no directory.
    NoData {
        /// The directory.
        directory: PathBuf,
    },
    /// The data directory cannot be read or written, or belongs to a server.
    Data(Fault),
    /// The operating system refused.
    Io {
        /// What was tried, as in "cannot {action}".
        action: &'static str,
        /// On what.
        name: String,
        /// Its reason.
        source: io::Error,
    },
    /// No space has this name or number.
    NoSuchSpace {
        /// What was asked for.
        space: String,
    },
    /// A line of a dump that cannot be loaded. Nothing is.
    Line {
        /// The input.
        input: String,
        /// The line's number, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoData { directory } => {
                write!(f, "there is no data in {}", directory.display())
            }
            Self::Data(fault) => fault.fmt(f),
            Self::Io {
                action,
                name,
                source,
            } => write!(f, "cannot {action} {name}: {source}"),
            Self::NoSuchSpace { space } => write!(f, "there is no space '{space}'"),
            Self::Line {
                input,
                line,
                reason,
            } => write!(f, "{input}:{line}: {reason}; nothing was loaded"),
        }
    }
}

impl std::error::Error for ToolError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Data(fault) => Some(fault.as_ref()),
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
