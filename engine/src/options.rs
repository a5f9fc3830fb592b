//! How an engine is set up.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use vestibule_actors::internal::settable;
use vestibule_wire::auth::PasswordHash;

use crate::limits::{
    CHECKPOINT_COUNT_DEFAULT, CHECKPOINT_INTERVAL_DEFAULT, CHECKPOINT_JOURNAL_SIZE_DEFAULT,
    JOURNAL_SYNC_PERIOD_DEFAULT, TUPLE_SIZE_MAX_DEFAULT,
};

settable! {
    /// How the engine keeps its data: what is fixed as long as there are engines of one factory,
    /// and [`settings`](Self::settings), which may be replaced meanwhile.
    ///
    /// ```
    /// use vestibule_engine::{CheckpointOptions, EngineOptions, GuestRights, JournalSync};
    ///
    /// let options = EngineOptions::new("/var/lib/visits")
    ///     .guest(GuestRights::Granted)
    ///     .journal_sync(JournalSync::Never)
    ///     .checkpoints(CheckpointOptions::default().count(2));
    /// assert_eq!(options.check(), Ok(()));
    /// ```
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct EngineOptions {
        /// Directory of journal and checkpoints; made if it does not exist.
        pub data_dir: PathBuf,
        /// When a turn counts as written.
        pub journal_sync: JournalSync,
        /// Whether to start from damaged files without what cannot be read of them.
        pub force_recovery: bool,
        /// Largest tuple, in bytes.
        pub tuple_size_max: usize,
        /// What connections that have not logged in may do.
        pub guest: GuestRights,
        /// What the user `admin` logs in with; `None` leaves that as it is.
        pub admin_password: Option<AdminPassword>,
        /// What may be replaced while engines serve.
        pub settings: EngineSettings,
    }
}

settable! {
    /// The part of [`EngineOptions`] that may be replaced while engines serve, by
    /// [`EmbeddedFactory::reconfigure`](crate::EmbeddedFactory::reconfigure).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct EngineSettings {
        /// When checkpoints are made.
        pub checkpoints: CheckpointOptions,
        /// What data may take in memory, in bytes: tuples, keys, nodes of all indexes, and what is
        /// not committed yet. 0: no bound.
        pub memory_max: usize,
    }
}

impl EngineSettings {
    /// Whether an engine can go by them.
    ///
    /// # Errors
    ///
    /// The first one that cannot be what it is.
    pub fn check(&self) -> Result<(), OptionsError> {
        match self.checkpoints.count {
            0 => Err(OptionsError::NoCheckpoint),
            _ => Ok(()),
        }
    }
}

impl EngineOptions {
    /// The defaults, with data in this directory.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            journal_sync: JournalSync::default(),
            force_recovery: false,
            tuple_size_max: TUPLE_SIZE_MAX_DEFAULT,
            guest: GuestRights::default(),
            admin_password: None,
            settings: EngineSettings::default(),
        }
    }

    /// Sets [`checkpoints`](EngineSettings#structfield.checkpoints) of the
    /// [`settings`](Self#structfield.settings).
    #[must_use]
    pub fn checkpoints(mut self, checkpoints: CheckpointOptions) -> Self {
        self.settings.checkpoints = checkpoints;
        self
    }

    /// Sets [`memory_max`](EngineSettings#structfield.memory_max) of the
    /// [`settings`](Self#structfield.settings).
    #[must_use]
    pub fn memory_max(mut self, memory_max: usize) -> Self {
        self.settings.memory_max = memory_max;
        self
    }
}

/// The password of the user `admin`, which has none in data that are new.
///
/// It is set by the first engine that recovers with these options or a clone of them, unless it is
/// the one that `admin` has already, before anybody is served; also by a replica, since it is the
/// operator's. An engine that takes a dead one's place leaves alone what was changed meanwhile.
#[derive(Clone)]
pub struct AdminPassword {
    hash: PasswordHash,
    is_set: Arc<AtomicBool>,
}

impl AdminPassword {
    /// The password in plain. Only its hash is kept.
    #[must_use]
    pub fn new(password: &str) -> Self {
        Self {
            hash: PasswordHash::of(password),
            is_set: Arc::default(),
        }
    }

    /// Calls `set` with its hash, unless that was done before.
    ///
    /// # Errors
    ///
    /// Those of `set`: then it is to be done still.
    pub(crate) fn take_once<E>(
        &self,
        set: impl FnOnce(PasswordHash) -> Result<(), E>,
    ) -> Result<(), E> {
        // Engines of one directory come one after the other: nobody sets it meanwhile.
        if !self.is_set.load(Ordering::Acquire) {
            set(self.hash)?;
            self.is_set.store(true, Ordering::Release);
        }
        Ok(())
    }
}

/// Without its hash: who has that can guess passwords.
impl fmt::Debug for AdminPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminPassword")
    }
}

impl PartialEq for AdminPassword {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for AdminPassword {}

/// An option has a value that it cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// There is no directory for the data.
    #[error("data_dir is empty")]
    NoDirectory,
    /// Not even an empty tuple would fit.
    #[error("tuple_size_max is 0")]
    NoTuples,
    /// No checkpoint would be kept.
    #[error("checkpoints.count is 0, and one is kept at least")]
    NoCheckpoint,
    /// A sync by interval is to be done once in no time.
    #[error("journal_sync is by interval, and the interval is zero: take JournalSync::Turn")]
    NoInterval,
}

impl EngineOptions {
    /// Whether an engine can be made with them. [`start`](vestibule_actors::start) asks by itself,
    /// before anything is opened.
    ///
    /// # Errors
    ///
    /// The first option that cannot be what it is.
    pub fn check(&self) -> Result<(), OptionsError> {
        let faults = [
            (
                self.data_dir.as_os_str().is_empty(),
                OptionsError::NoDirectory,
            ),
            (self.tuple_size_max == 0, OptionsError::NoTuples),
            (
                self.journal_sync == JournalSync::Interval(Duration::ZERO),
                OptionsError::NoInterval,
            ),
        ];
        match faults.into_iter().find(|(is_so, _)| *is_so) {
            Some((_, fault)) => Err(fault),
            None => self.settings.check(),
        }
    }
}

/// When a record has to be on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JournalSync {
    /// Before the append returns: acknowledged means on disk.
    #[default]
    Turn,
    /// Soon: a thread syncs once in this time. What a power failure loses is no older than that.
    Interval(Duration),
    /// Left to the operating system, and for a checkpoint. A crash of this process loses nothing.
    Never,
}

impl JournalSync {
    /// All of them, the one by interval with the period that it has unless another is given.
    pub const ALL: [Self; 3] = [
        Self::Turn,
        Self::Interval(JOURNAL_SYNC_PERIOD_DEFAULT),
        Self::Never,
    ];

    /// The name that operators give it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Turn => "turn",
            Self::Interval(_) => "interval",
            Self::Never => "never",
        }
    }
}

settable! {
    /// When checkpoints are made, and how many are kept.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct CheckpointOptions {
        /// Bytes of the journal since the last checkpoint that make another one due; `None` or 0:
        /// size does not matter.
        pub journal_size_bytes: Option<u64>,
        /// Age of the last checkpoint that makes another one due, if anything changed; `None` or 0:
        /// age does not matter.
        pub interval: Option<Duration>,
        /// Checkpoints that are kept, with the journal from the oldest of them on. At least 1.
        pub count: usize,
    }
}

impl Default for CheckpointOptions {
    fn default() -> Self {
        Self {
            journal_size_bytes: Some(CHECKPOINT_JOURNAL_SIZE_DEFAULT),
            interval: Some(CHECKPOINT_INTERVAL_DEFAULT),
            count: usize::from(CHECKPOINT_COUNT_DEFAULT),
        }
    }
}

/// What connections that have not logged in may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GuestRights {
    /// Everything, as `admin` may. For servers that nobody else can reach.
    #[default]
    Super,
    /// What was granted to the user `guest`: nothing on data, unless somebody granted it.
    Granted,
}

impl GuestRights {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Super, Self::Granted];

    /// The name that operators give them by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Super => "super",
            Self::Granted => "none",
        }
    }
}
