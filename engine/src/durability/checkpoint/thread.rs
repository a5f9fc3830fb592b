//! The thread that makes checkpoints: when they are due, and when somebody asks.
//!
//! ```text
//!   Tx ── note(bytes) ──┐                       ┌ rows, files
//!   Tx ── ask(answer) ──┼─▶ schedule ─▶ task ───┤
//!   clock ──────────────┘                       └ answers, status
//! ```

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use super::CheckpointError;
use super::schedule::{Due, Schedule, Triggers};
use super::task::{Made, Task};
use crate::options::CheckpointOptions;

/// Told what became of a checkpoint, on the thread that made it.
pub(crate) type Answer = Box<dyn FnOnce(Result<(), CheckpointError>) + Send>;

/// The thread, from the engine's side. Dropped, it gives up what it is at and ends.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    shared: Arc<CheckpointerShared>,
    thread: Option<JoinHandle<()>>,
}

/// A checkpoint is being made, or asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InProgress;

/// What operators are told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Status {
    pub(crate) is_running: bool,
    /// The last one that was made since the start.
    pub(crate) made: Option<Made>,
    /// When that was, and how long it took.
    pub(crate) made_at: Option<(SystemTime, Duration)>,
    /// Why the last attempt failed, if it did.
    pub(crate) failure: Option<String>,
    /// How many attempts have failed since the start.
    pub(crate) failures: u64,
    /// Bytes in the journal since the last checkpoint.
    pub(crate) journal_bytes: u64,
}

struct CheckpointerShared {
    state: Mutex<CheckpointerState>,
    wake: Condvar,
    /// Bytes in the journal since the last checkpoint.
    journal_bytes: AtomicU64,
    /// How many of them make one due; `u64::MAX` if none do.
    journal_size: AtomicU64,
    is_stopping: AtomicBool,
}

#[derive(Default)]
struct CheckpointerState {
    options: CheckpointOptions,
    asked: Option<Answer>,
    /// Recovery was forced: what was left out is behind once there is a checkpoint.
    is_forced: bool,
    status: Status,
}

impl std::fmt::Debug for CheckpointerShared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckpointerShared")
            .field("journal_bytes", &self.journal_bytes)
            .finish_non_exhaustive()
    }
}

impl Checkpointer {
    /// Starts the thread, with `journal_bytes` in the journal already. After a forced recovery it
    /// begins with a checkpoint.
    ///
    /// # Errors
    ///
    /// There is no thread to be had.
    pub(crate) fn start(
        task: Task,
        options: CheckpointOptions,
        journal_bytes: u64,
        is_forced: bool,
    ) -> io::Result<Self> {
        let state = CheckpointerState {
            options,
            is_forced,
            ..CheckpointerState::default()
        };
        let shared = Arc::new(CheckpointerShared {
            state: Mutex::new(state),
            wake: Condvar::new(),
            journal_bytes: AtomicU64::new(journal_bytes),
            journal_size: AtomicU64::new(journal_size(&options)),
            is_stopping: AtomicBool::new(false),
        });
        let own = shared.clone();
        let thread = Builder::new()
            .name("checkpoint".into())
            .spawn(move || own.run(task))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// The journal has grown by `bytes`.
    #[inline]
    pub(crate) fn note(&self, bytes: u64) {
        let shared = &self.shared;
        let before = shared.journal_bytes.fetch_add(bytes, Ordering::Relaxed);
        let size = shared.journal_size.load(Ordering::Relaxed);
        if before < size && before + bytes >= size {
            // With the lock, so that the thread is not between its look and its wait.
            let _state = shared.lock();
            shared.wake.notify_one();
        }
    }

    /// Asks for a checkpoint now.
    ///
    /// # Errors
    ///
    /// There is one in progress.
    pub(crate) fn ask(&self, answer: Answer) -> Result<(), InProgress> {
        let mut state = self.shared.lock();
        if state.status.is_running || state.asked.is_some() {
            return Err(InProgress);
        }
        state.asked = Some(answer);
        self.shared.wake.notify_one();
        Ok(())
    }

    /// What operators are told.
    pub(crate) fn status(&self) -> Status {
        self.watch().status()
    }

    /// The means to look at it from anywhere.
    pub(crate) fn watch(&self) -> CheckpointWatch {
        CheckpointWatch(self.shared.clone())
    }
}

/// The means to look at the thread from anywhere, also when it has ended.
#[derive(Debug, Clone)]
pub(crate) struct CheckpointWatch(Arc<CheckpointerShared>);

impl CheckpointWatch {
    /// Checkpoints are made by these options from now on; the one that is being made is one of
    /// before.
    pub(super) fn set_options(&self, options: CheckpointOptions) {
        let mut state = self.0.lock();
        state.options = options;
        let size = journal_size(&options);
        self.0.journal_size.store(size, Ordering::Relaxed);
        self.0.wake.notify_one();
    }

    /// What operators are told. It waits for no disk.
    pub(crate) fn status(&self) -> Status {
        Status {
            journal_bytes: self.0.journal_bytes.load(Ordering::Relaxed),
            ..self.0.lock().status.clone()
        }
    }
}

/// Bytes of the journal that make a checkpoint due. Zero would make one due all the time.
fn journal_size(options: &CheckpointOptions) -> u64 {
    let size = options.journal_size_bytes.filter(|size| *size > 0);
    size.unwrap_or(u64::MAX)
}

/// The age of a checkpoint that makes another one due.
fn interval(options: &CheckpointOptions) -> Option<Duration> {
    options.interval.filter(|interval| !interval.is_zero())
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        {
            let _state = self.shared.lock();
            self.shared.is_stopping.store(true, Ordering::Relaxed);
            self.shared.wake.notify_one();
        }
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            log::error!("the checkpoint thread has panicked");
        }
    }
}

impl CheckpointerShared {
    fn lock(&self) -> MutexGuard<'_, CheckpointerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    fn run(&self, mut task: Task) {
        let interval = interval(&self.lock().options);
        let mut schedule = Schedule::new(interval, Instant::now());
        while let Some(answer) = self.wait(&mut schedule) {
            let begin = Instant::now();
            let before = self.journal_bytes.load(Ordering::Relaxed);
            let result = self.attempt(&mut task);
            self.record_outcome(&result, before, begin.elapsed());
            schedule.tried(result.is_ok(), Instant::now());
            match answer {
                Some(answer) => answer(result.map(drop)),
                None => drop(result),
            }
        }
    }

    /// A panic is one more way to fail: a thread that ended would leave the journal to grow for
    /// ever.
    fn attempt(&self, task: &mut Task) -> Result<Option<Made>, CheckpointError> {
        // The worst that it leaves in the task is a list of old files that lost some: the next
        // start knows them again.
        task.count = self.lock().options.count.max(1);
        let run = AssertUnwindSafe(|| task.run(&|| self.is_stopping()));
        catch_unwind(run).unwrap_or(Err(CheckpointError::Panicked))
    }

    /// Waits until a checkpoint is due and marks it as begun; returns who is to be told, if anybody
    /// is. `None` to stop.
    #[expect(
        clippy::option_option,
        reason = "whether to go on, and whom to answer, are told together"
    )]
    fn wait(&self, schedule: &mut Schedule) -> Option<Option<Answer>> {
        let mut state = self.lock();
        loop {
            if self.is_stopping() {
                return None;
            }
            let journal_bytes = self.journal_bytes.load(Ordering::Relaxed);
            schedule.set_interval(interval(&state.options));
            let triggers = Triggers {
                is_asked: state.asked.is_some(),
                is_needed: journal_bytes >= journal_size(&state.options) || state.is_forced,
                is_changed: journal_bytes > 0,
            };
            let now = Instant::now();
            let pause = match schedule.due(triggers, now) {
                Due::Now => {
                    state.status.is_running = true;
                    return Some(state.asked.take());
                }
                Due::At(None) => Duration::MAX,
                Due::At(Some(at)) => at.saturating_duration_since(now),
            };
            let waited = self.wake.wait_timeout(state, pause);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn record_outcome(
        &self,
        result: &Result<Option<Made>, CheckpointError>,
        before: u64,
        elapsed: Duration,
    ) {
        let mut state = self.lock();
        state.status.is_running = false;
        match result {
            Ok(made) => {
                self.journal_bytes.fetch_sub(before, Ordering::Relaxed);
                state.is_forced = false;
                state.status.failure = None;
                if let Some(made) = made {
                    log::info!(
                        "checkpoint {}: {} rows, {} bytes, in {elapsed:.1?}; {} old files removed",
                        made.from,
                        made.rows,
                        made.size_bytes,
                        made.removed
                    );
                    state.status.made = Some(made.clone());
                    state.status.made_at = Some((SystemTime::now(), elapsed));
                }
            }
            Err(CheckpointError::Stopped) => {}
            Err(error) => {
                log::error!("a checkpoint failed: {error}; turns go on");
                state.status.failure = Some(error.to_string());
                state.status.failures += 1;
            }
        }
    }
}
