//! Why a command could not do its work.

use std::io;
use std::path::PathBuf;

use thiserror::Error;
use vestibule_actors::engine::Fault;

/// Why `check`, `dump` or `load` ended before its end.
#[derive(Debug, Error)]
pub(crate) enum ToolError {
    /// There is no data in the directory, or no directory.
    #[error("there is no data in {}", directory.display())]
    NoData {
        /// The directory.
        directory: PathBuf,
    },
    /// Tarantool's files, and no data of ours.
    #[error(
        "{} holds Tarantool's files ({file}), and no data of vestibule's: load them into another \
         directory, with vestibule load --data DIRECTORY --input {}",
        directory.display(),
        directory.display()
    )]
    Tarantools {
        /// The directory.
        directory: PathBuf,
        /// One of the files.
        file: String,
    },
    /// The data directory cannot be read or written, or belongs to a server.
    #[error("{0}")]
    Data(#[source] Fault),
    /// The operating system refused.
    #[error("cannot {action} {name}: {source}")]
    Io {
        /// What was tried, as in "cannot {action}".
        action: &'static str,
        /// On what.
        name: String,
        /// The reason why that failed.
        source: io::Error,
    },
    /// No space has this name or number.
    #[error("there is no space '{space}'")]
    NoSuchSpace {
        /// What was asked for.
        space: String,
    },
    /// Several inputs, not all of them Tarantool's.
    #[error("several files can be loaded at once only if they are Tarantool's (*.snap, *.xlog)")]
    Inputs,
    /// Not even the first line of a dump: most likely something before it in a pipe failed.
    #[error("{input} is empty; nothing was loaded")]
    Empty {
        /// The input.
        input: String,
    },
    /// A line of a dump that cannot be loaded. Nothing is.
    #[error("{input}:{line}: {reason}; nothing was loaded")]
    Line {
        /// The input.
        input: String,
        /// The line's number, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
}
