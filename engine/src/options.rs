//! How an engine is set up.

use std::path::PathBuf;

use crate::access::GuestRights;
use crate::durability::checkpoint::CheckpointOptions;
use crate::durability::journal::JournalSync;
use crate::limits;

/// How the engine keeps its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineOptions {
    /// Directory of journal and checkpoints; made if it does not exist.
    pub data_dir: PathBuf,
    /// When a turn counts as written.
    pub journal_sync: JournalSync,
    /// Whether to start from damaged files without what cannot be read of them.
    pub force_recovery: bool,
    /// When checkpoints are made.
    pub checkpoints: CheckpointOptions,
    /// Largest tuple, in bytes.
    pub tuple_size_max: usize,
    /// What connections that have not logged in may do.
    pub guest: GuestRights,
    /// Other machines reach the server: refuse to recover if guest may do everything, by whatever
    /// was granted.
    pub is_exposed: bool,
}

impl EngineOptions {
    /// The defaults, with data in this directory.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            journal_sync: JournalSync::default(),
            force_recovery: false,
            checkpoints: CheckpointOptions::default(),
            tuple_size_max: limits::TUPLE_SIZE_MAX_DEFAULT,
            guest: GuestRights::default(),
            is_exposed: false,
        }
    }
}
