//! From a directory to an engine: the newest checkpoint, the journal after it, secondary indexes.
//!
//! ```text
//!   lock ─▶ checkpoint ─▶ journal from there on ─▶ secondary indexes
//!             └ damaged: refused; forced: the one before it, at last none
//! ```

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use vestibule_actors::engine::{Fault, Progress};

use crate::EngineOptions;
use crate::durability::checkpoint::{self, CheckpointError};
use crate::durability::journal::{self, FoundJournal, Journal, JournalOptions};
use crate::durability::record;
use crate::durability::storage::Storage;
use crate::limits::RECOVERY_TOLD_EVERY;
use crate::store::image::Image;

/// What recovery comes to.
pub(crate) struct Recovered {
    pub(crate) image: Image,
    pub(crate) journal: Journal,
    /// The checkpoint that it began with.
    pub(crate) checkpoint: Option<u64>,
    /// Bytes of the journal since then.
    pub(crate) journal_bytes: u64,
}

/// Recovers what a directory holds, and opens its journal.
///
/// # Errors
///
/// What is wrong with which file.
pub(crate) fn recover(
    storage: Arc<dyn Storage>,
    options: &EngineOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Recovered, Fault> {
    let directory = &options.data_dir;
    let lock = journal::lock(storage.as_ref(), directory)?;
    checkpoint::remove_unfinished(storage.as_ref(), directory)?;
    let rows = Cell::new(0);
    let mut progress = RecoveryProgress::new(&rows, progress);
    let mut journal_options = JournalOptions {
        dir: directory.clone(),
        sync: options.journal_sync,
        force_recovery: options.force_recovery,
        from: 1,
        required_until: 0,
    };
    let mut read = read_with(&mut journal_options, &mut progress)?;
    for from in &read.damaged {
        set_aside(storage.as_ref(), directory, *from)?;
    }
    let journal = Journal::open_found(storage, lock, &journal_options, read.journal)?;
    let image = &mut read.image;
    image.sequence = journal.last_sequence();
    image.build_secondaries(options.force_recovery, &mut |done, total| {
        progress.indexes(Progress::of(done, total))
    })?;
    progress.finish();
    Ok(Recovered {
        image: read.image,
        checkpoint: read.checkpoint,
        journal_bytes: journal.size_bytes_from(journal_options.from),
        journal,
    })
}

/// What a directory holds.
pub(crate) struct ReadImage {
    /// All rows by their primary keys; secondary indexes are empty.
    pub(crate) image: Image,
    /// The checkpoint that it began with.
    pub(crate) checkpoint: Option<u64>,
    /// Newer checkpoints that could not be read.
    pub(crate) damaged: Vec<u64>,
    /// The journal, all of it checked that was needed.
    pub(crate) journal: FoundJournal,
}

/// Reads what the directory of `options` holds, and changes nothing in it. Nobody else may write to
/// it meanwhile. Sets from where and how far the journal was needed.
fn read_with(
    options: &mut JournalOptions,
    progress: &mut RecoveryProgress<'_>,
) -> Result<ReadImage, Fault> {
    let start = begin(&options.dir, options.force_recovery, progress)?;
    (options.from, options.required_until) = (start.from, start.required_until);
    let (mut image, rows, force) = (start.image, progress.rows, options.force_recovery);
    let mut receive = |sequence: u64, payload: &[u8]| {
        rows.set(rows.get() + replay(&mut image, sequence, payload, force)?);
        Ok(())
    };
    let mut tell = |done, _| progress.journal(done);
    let journal = journal::read(options, &mut receive, &mut tell)?;
    Ok(ReadImage {
        image,
        checkpoint: start.is_loaded.then_some(start.from),
        damaged: start.damaged,
        journal,
    })
}

/// What the journal is applied to.
struct Start {
    image: Image,
    from: u64,
    required_until: u64,
    is_loaded: bool,
    /// Newer checkpoints that could not be read.
    damaged: Vec<u64>,
}

/// Loads the newest checkpoint; if that is damaged and recovery is forced, the newest that is not.
fn begin(
    directory: &Path,
    force: bool,
    progress: &mut RecoveryProgress<'_>,
) -> Result<Start, CheckpointError> {
    let mut damaged = Vec::new();
    for from in checkpoint::list(directory)?.into_iter().rev() {
        progress.files(directory, from);
        match checkpoint::load(directory, from, &mut |bytes, rows| {
            progress.checkpoint(bytes, rows)
        }) {
            Ok(loaded) => {
                return Ok(Start {
                    image: loaded.image,
                    from,
                    required_until: loaded.required_until,
                    is_loaded: true,
                    damaged,
                });
            }
            Err(error) if force && error.is_damage() => {
                log::error!("recovery is forced: {error}");
                damaged.push(from);
            }
            Err(error) => return Err(error),
        }
    }
    progress.files(directory, 1);
    Ok(Start {
        image: Image::new(),
        from: 1,
        required_until: 0,
        is_loaded: false,
        damaged,
    })
}

/// Gives a damaged checkpoint another name, so that it neither counts nor is lost.
fn set_aside(storage: &dyn Storage, directory: &Path, from: u64) -> Result<(), CheckpointError> {
    let path = checkpoint::path(directory, from);
    let mut aside = path.clone().into_os_string();
    aside.push(".damaged");
    let renamed = storage.rename(&path, Path::new(&aside));
    renamed.map_err(|source| CheckpointError::Io {
        action: "rename",
        path,
        source,
    })
}

/// Applies one record and returns how many rows it changed.
fn replay(image: &mut Image, sequence: u64, payload: &[u8], force: bool) -> Result<u64, Fault> {
    let decoded = record::decode(payload);
    let rows = decoded.as_ref().map_or(0, Vec::len) as u64;
    match decoded.and_then(|turn| image.replay(sequence, turn.into_iter())) {
        Err(error) if force && !error.is_of_another_build() => {
            log::error!("record {sequence} is skipped: {error}")
        }
        replayed => replayed?,
    }
    Ok(rows)
}

/// Tells how far recovery is: to clients all the time, to the log about once a second.
///
/// ```text
///   bytes of the checkpoint │ bytes of the journal │ rows of secondary indexes
///   └──────────────────── 3 of 4 ──────────────────┴───────── 1 of 4 ────────┘
/// ```
struct RecoveryProgress<'a> {
    /// Rows so far.
    rows: &'a Cell<u64>,
    report: &'a mut dyn FnMut(Progress),
    begin: Instant,
    told: Instant,
    checkpoint_bytes: u64,
    /// Bytes of all files.
    bytes: u64,
}

impl<'a> RecoveryProgress<'a> {
    fn new(rows: &'a Cell<u64>, report: &'a mut dyn FnMut(Progress)) -> Self {
        let begin = Instant::now();
        Self {
            rows,
            report,
            begin,
            told: begin,
            checkpoint_bytes: 0,
            bytes: 0,
        }
    }

    /// Takes note of the files to read: the checkpoint, if it is there, and the journal from its
    /// record on.
    fn files(&mut self, directory: &Path, from: u64) {
        let checkpoint = checkpoint::path(directory, from).metadata();
        self.checkpoint_bytes = checkpoint.map_or(0, |file| file.len());
        self.bytes = self.checkpoint_bytes + journal::size_from(directory, from);
        self.rows.set(0);
    }

    fn checkpoint(&mut self, bytes: u64, rows: u64) {
        self.rows.set(rows);
        self.tell(bytes);
    }

    fn journal(&mut self, bytes: u64) {
        self.tell(self.checkpoint_bytes + bytes);
    }

    fn indexes(&mut self, built: Progress) {
        let share = built.share().unwrap_or(1.0);
        self.tell(self.bytes + ((self.bytes / 3) as f64 * share) as u64);
    }

    fn finish(&mut self) {
        self.tell(self.total());
        let (rows, rate) = (self.rows.get(), self.rate());
        let elapsed = self.begin.elapsed();
        log::info!("recovered {rows} rows in {elapsed:.1?} ({rate:.0} rows/s)");
    }

    /// At least 1, so that nothing to do counts as done.
    fn total(&self) -> u64 {
        (self.bytes + self.bytes / 3).max(1)
    }

    fn rate(&self) -> f64 {
        self.rows.get() as f64 / self.begin.elapsed().as_secs_f64().max(1e-3)
    }

    fn tell(&mut self, done: u64) {
        let (total, rows) = (self.total(), self.rows.get());
        let progress = Progress { done, total, rows };
        (self.report)(progress);
        if self.told.elapsed() >= RECOVERY_TOLD_EVERY {
            self.told = Instant::now();
            let percent = progress.share().unwrap_or(0.0) * 100.0;
            log::info!(
                "recovering: {rows} rows, {:.0} rows/s, {percent:.0} %",
                self.rate()
            );
        }
    }
}
