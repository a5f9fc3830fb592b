//! The thread behind [`JournalSync::Interval`](super::JournalSync::Interval).

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::storage::LogFile;

/// Syncs the current file every so often if there is something new in it, and once more when
/// dropped.
pub(super) struct Syncer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    stop: Condvar,
    interval: Duration,
}

struct State {
    file: Arc<dyn LogFile>,
    written: u64,
    synced: u64,
    failure: Option<String>,
    is_stopping: bool,
}

impl Syncer {
    /// Starts with a file of which so many bytes are written and synced.
    pub(super) fn start(interval: Duration, file: Arc<dyn LogFile>, size: u64) -> io::Result<Self> {
        let state = State {
            file,
            written: size,
            synced: size,
            failure: None,
            is_stopping: false,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            stop: Condvar::new(),
            interval: interval.max(Duration::from_millis(1)),
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

    /// Goes on with a file of which so many bytes are written and synced, forgetting any failure.
    pub(super) fn follow(&self, file: Arc<dyn LogFile>, size: u64) {
        let mut state = self.shared.lock();
        (state.file, state.written, state.synced, state.failure) = (file, size, size, None);
    }

    /// So many bytes of the file are written.
    pub(super) fn written(&self, size: u64) {
        self.shared.lock().written = size;
    }

    /// So many bytes of the file are certainly on the disk.
    pub(super) fn synced(&self) -> u64 {
        self.shared.lock().synced
    }

    /// Why a sync failed, if one did.
    pub(super) fn failure(&self) -> Option<String> {
        self.shared.lock().failure.clone()
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.shared.lock().is_stopping = true;
        self.shared.stop.notify_one();
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            log::error!("the journal's sync thread has panicked");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut is_stopping = false;
        while !is_stopping {
            let waited = self
                .stop
                .wait_timeout_while(self.lock(), self.interval, |state| !state.is_stopping);
            let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            is_stopping = state.is_stopping;
            if state.written == state.synced || state.failure.is_some() {
                continue;
            }
            let (file, written) = (Arc::clone(&state.file), state.written);
            // The disk is waited for without the lock, which appends take.
            drop(state);
            let result = file.sync();
            let mut state = self.lock();
            match result {
                Ok(()) if Arc::ptr_eq(&file, &state.file) => state.synced = written,
                Ok(()) => {}
                Err(error) => {
                    log::error!("the journal cannot be synced: {error}");
                    state.failure = Some(format!("cannot sync it: {error}"));
                }
            }
        }
    }
}
