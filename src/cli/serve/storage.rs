//! Where data is, and when it reaches the disk.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, value_parser};
use vestibule_actors::Config;
use vestibule_actors::serving::Role;
use vestibule_engine::limits::{
    CHECKPOINT_COUNT_DEFAULT, CHECKPOINT_INTERVAL_DEFAULT, CHECKPOINT_JOURNAL_SIZE_DEFAULT,
    JOURNAL_SYNC_PERIOD_DEFAULT, TUPLE_SIZE_MAX_DEFAULT,
};
use vestibule_engine::{CheckpointOptions, EngineOptions, JournalSync};

use crate::cli::choices::{described_journal_sync, one_of};
use crate::cli::data::DATA_DIR_DEFAULT;
use crate::cli::switch::Switch as _;
use crate::cli::values::{Size, duration, size, size_text, time_text};

/// Where data is, and when it reaches the disk.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Data")]
pub(crate) struct StorageArgs {
    /// Directory of journal and checkpoints; made if it is not there.
    #[arg(long, env = "VESTIBULE_DATA", value_name = "DIR", default_value = DATA_DIR_DEFAULT)]
    pub(crate) data: PathBuf,
    /// Start as a replica: reads only.
    #[arg(long, env = "VESTIBULE_READ_ONLY", switch = false)]
    pub(crate) read_only: bool,
    /// Start although files are damaged, leaving out what cannot be read, and make a checkpoint
    /// then. A damaged checkpoint is set aside, and the one before it taken.
    #[arg(long, env = "VESTIBULE_FORCE_RECOVERY", switch = false)]
    pub(crate) force_recovery: bool,
    /// Most memory for data; 0 for no bound: tuples, keys and nodes of all indexes, and what is not
    /// committed yet. Beyond it, what would grow the data gets error 2; reads, deletes and updates
    /// that do not grow go on. Tarantool's counterpart is `memtx_memory`.
    #[arg(
        long,
        env = "VESTIBULE_MEMORY_MAX",
        value_name = "SIZE",
        default_value = "0",
        value_parser = size,
    )]
    pub(crate) memory_max: Size,
    /// Largest tuple.
    #[arg(
        long,
        env = "VESTIBULE_TUPLE_SIZE_MAX",
        value_name = "SIZE",
        default_value = size_text(TUPLE_SIZE_MAX_DEFAULT as u64),
        value_parser = size,
    )]
    pub(crate) tuple_size_max: Size,
    /// When the journal reaches the disk.
    #[arg(
        long,
        env = "VESTIBULE_JOURNAL_SYNC",
        value_name = "WHEN",
        default_value = JournalSync::default().name(),
        value_parser = one_of(JournalSync::ALL, described_journal_sync),
    )]
    pub(crate) journal_sync: JournalSync,
    /// Time between two syncs of `--journal-sync interval`.
    #[arg(
        long,
        env = "VESTIBULE_JOURNAL_SYNC_PERIOD",
        value_name = "TIME",
        default_value = time_text(JOURNAL_SYNC_PERIOD_DEFAULT),
        value_parser = duration,
    )]
    pub(crate) journal_sync_period: Duration,
    /// Size of the journal since the last checkpoint that makes another one due; 0 never.
    #[arg(
        long,
        env = "VESTIBULE_CHECKPOINT_JOURNAL_SIZE",
        value_name = "SIZE",
        default_value = size_text(CHECKPOINT_JOURNAL_SIZE_DEFAULT),
        value_parser = size,
    )]
    pub(crate) checkpoint_journal_size: Size,
    /// Age of the last checkpoint that makes another one due, if anything changed since; 0 never.
    #[arg(
        long,
        env = "VESTIBULE_CHECKPOINT_INTERVAL",
        value_name = "TIME",
        default_value = time_text(CHECKPOINT_INTERVAL_DEFAULT),
        value_parser = duration,
    )]
    pub(crate) checkpoint_interval: Duration,
    /// Checkpoints to keep, with the journal from the oldest of them on.
    #[arg(
        long,
        env = "VESTIBULE_CHECKPOINT_COUNT",
        value_name = "N",
        default_value_t = CHECKPOINT_COUNT_DEFAULT,
        value_parser = value_parser!(u16).range(1..),
    )]
    pub(crate) checkpoint_count: u16,
}

impl StorageArgs {
    pub(super) fn add_to(&self, config: Config) -> Config {
        config.role(if self.read_only {
            Role::Replica
        } else {
            Role::Primary
        })
    }

    /// The options of the engine.
    pub(super) fn engine_options(&self) -> EngineOptions {
        EngineOptions::new(&self.data)
            .journal_sync(match self.journal_sync {
                JournalSync::Interval(_) => JournalSync::Interval(self.journal_sync_period),
                other => other,
            })
            .force_recovery(self.force_recovery)
            .checkpoints(
                CheckpointOptions::default()
                    .journal_size_bytes(Some(self.checkpoint_journal_size.bytes()))
                    .interval(Some(self.checkpoint_interval))
                    .count(usize::from(self.checkpoint_count)),
            )
            .tuple_size_max(self.tuple_size_max.in_memory())
            .memory_max(self.memory_max.in_memory())
    }
}
