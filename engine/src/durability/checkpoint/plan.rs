//! When checkpoints are made, for all engines of a factory: replaced while one of them serves.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::thread::{CheckpointWatch, Checkpointer};
use crate::options::CheckpointOptions;

/// What threads that make checkpoints go by.
#[derive(Debug)]
pub(crate) struct CheckpointPlan {
    planned: Mutex<Planned>,
}

#[derive(Debug)]
struct Planned {
    options: CheckpointOptions,
    /// The thread that was started last. It may have ended.
    thread: Option<CheckpointWatch>,
}

impl CheckpointPlan {
    pub(crate) fn new(options: CheckpointOptions) -> Self {
        let planned = Planned {
            options,
            thread: None,
        };
        Self {
            planned: Mutex::new(planned),
        }
    }

    fn planned(&self) -> MutexGuard<'_, Planned> {
        // Each of its fields is replaced whole.
        self.planned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn options(&self) -> CheckpointOptions {
        self.planned().options
    }

    /// Checkpoints are made by these options from now on.
    pub(crate) fn set_options(&self, options: CheckpointOptions) {
        let mut planned = self.planned();
        planned.options = options;
        if let Some(thread) = &planned.thread {
            thread.set_options(options);
        }
    }

    /// Starts a thread that goes by the plan.
    ///
    /// # Errors
    ///
    /// Those of `start`.
    pub(crate) fn start(
        &self,
        start: impl FnOnce(CheckpointOptions) -> io::Result<Checkpointer>,
    ) -> io::Result<Checkpointer> {
        let mut planned = self.planned();
        let started = start(planned.options)?;
        planned.thread = Some(started.watch());
        Ok(started)
    }
}
