//! The thread that syncs behind the appends: every so often, or when it is asked to.
//!
//! ```text
//!   Tx ──────── written ─┐                    ┌ synced, failure
//!                        ├─▶ journal-sync ────┤
//!   checkpoint ── flush ─┘      fsync         └ wakes who waits for a flush
//! ```

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::counts::JournalCounts;
use crate::durability::storage::LogFile;

/// Time between two looks at a file that is never synced: whether it is still there.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Syncs the current file every so often if there is something new in it, and once more when
/// dropped; or only for a [`FlushHandle`], if there is no interval.
pub(super) struct SyncThread {
    shared: Arc<SyncShared>,
    thread: Option<JoinHandle<()>>,
}

struct SyncShared {
    state: Mutex<SyncState>,
    /// There is something to do.
    wake: Condvar,
    /// Something was synced, or will not be.
    sync_done: Condvar,
    interval: Option<Duration>,
    counts: Arc<JournalCounts>,
}

struct SyncState {
    file: Arc<dyn LogFile>,
    written: u64,
    synced: u64,
    failure: Option<String>,
    is_wanted: bool,
    is_stopping: bool,
}

impl SyncState {
    fn fail(&mut self, error: &io::Error) {
        log::error!("the journal cannot be synced: {error}");
        self.failure = Some(format!("cannot sync it: {error}"));
    }
}

/// Asks for a sync at once.
pub(crate) struct FlushHandle(Arc<SyncShared>);

impl FlushHandle {
    /// Returns once everything is on the disk that was written before.
    ///
    /// # Errors
    ///
    /// Why it could not be synced, now or earlier: the journal has failed.
    pub(crate) fn flush(&self) -> Result<(), String> {
        let mut state = self.0.lock();
        let (file, target) = (Arc::clone(&state.file), state.written);
        state.is_wanted = true;
        self.0.wake.notify_one();
        // A file that is not the current one any more was synced before it was left.
        let sync_done = self.0.sync_done.wait_while(state, |state| {
            Arc::ptr_eq(&file, &state.file)
                && state.synced < target
                && state.failure.is_none()
                && !state.is_stopping
        });
        let state = sync_done.unwrap_or_else(PoisonError::into_inner);
        let is_synced = state.synced >= target || !Arc::ptr_eq(&file, &state.file);
        match &state.failure {
            Some(reason) => Err(reason.clone()),
            None if is_synced => Ok(()),
            None => Err("it is being closed".to_owned()),
        }
    }
}

impl SyncThread {
    /// Starts with a file of which `size` bytes are written and synced.
    pub(super) fn start(
        interval: Option<Duration>,
        file: Arc<dyn LogFile>,
        size: u64,
        counts: Arc<JournalCounts>,
    ) -> io::Result<Self> {
        let state = SyncState {
            file,
            written: size,
            synced: size,
            failure: None,
            is_wanted: false,
            is_stopping: false,
        };
        let shared = Arc::new(SyncShared {
            state: Mutex::new(state),
            wake: Condvar::new(),
            sync_done: Condvar::new(),
            interval: interval.map(|interval| interval.max(Duration::from_millis(1))),
            counts,
        });
        let run = Arc::clone(&shared);
        let thread = Builder::new()
            .name("journal-sync".into())
            .spawn(move || run.run())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// The means to have it sync at once.
    pub(super) fn flush_handle(&self) -> FlushHandle {
        FlushHandle(Arc::clone(&self.shared))
    }

    /// Goes on with a file of which `size` bytes are written and synced, forgetting any failure.
    pub(super) fn follow(&self, file: Arc<dyn LogFile>, size: u64) {
        let mut state = self.shared.lock();
        (state.file, state.written, state.synced, state.failure) = (file, size, size, None);
        self.shared.sync_done.notify_all();
    }

    /// The file has `size` bytes now.
    pub(super) fn written(&self, size: u64) {
        self.shared.lock().written = size;
    }

    /// How many bytes of the file are certainly on the disk.
    pub(super) fn synced(&self) -> u64 {
        self.shared.lock().synced
    }

    /// Why a sync failed, if one did.
    pub(super) fn failure(&self) -> Option<String> {
        self.shared.lock().failure.clone()
    }
}

impl Drop for SyncThread {
    fn drop(&mut self) {
        self.shared.lock().is_stopping = true;
        self.shared.wake.notify_one();
        self.shared.sync_done.notify_all();
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            log::error!("the journal's sync thread has panicked");
        }
    }
}

impl SyncShared {
    fn lock(&self) -> MutexGuard<'_, SyncState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let interval = self.interval.unwrap_or(LOOK_EVERY);
        let mut is_stopping = false;
        while !is_stopping {
            let waited = self
                .wake
                .wait_timeout_while(self.lock(), interval, |state| {
                    !state.is_stopping && !state.is_wanted
                });
            let (mut state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            is_stopping = state.is_stopping;
            let is_wanted = std::mem::take(&mut state.is_wanted);
            if is_stopping && self.interval.is_none() && !is_wanted {
                return;
            }
            if self.interval.is_none() && waited.timed_out() {
                // What is never synced is looked at all the same.
                if let (Err(error), None) = (state.file.check_linked(), &state.failure) {
                    state.fail(&error);
                }
                continue;
            }
            if state.written == state.synced || state.failure.is_some() {
                self.sync_done.notify_all();
                continue;
            }
            let (file, written) = (Arc::clone(&state.file), state.written);
            // The disk is waited for without the lock, which appends take.
            drop(state);
            let result = self.counts.sync(file.as_ref());
            let mut state = self.lock();
            match result {
                Ok(()) if Arc::ptr_eq(&file, &state.file) => state.synced = written,
                Ok(()) => {}
                Err(error) => state.fail(&error),
            }
            self.sync_done.notify_all();
        }
    }
}
