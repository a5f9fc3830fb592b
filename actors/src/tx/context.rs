//! What an async procedure may use: the engine, one step at a time.

use std::fmt;
use std::rc::Rc;

use futures::channel::oneshot;
use vestibule_wire::{Error, ErrorCode};

use super::claim::CancelToken;
use super::fence::Admitted;
use super::jobs::{Job, Jobs, Settle};
use crate::engine::Caller;

/// Given to an async procedure. It lives on Tx's arbiter and cannot leave it.
pub struct AsyncContext<E> {
    caller: Caller,
    /// Of the call: its steps may change data if it may.
    admitted: Admitted,
    token: CancelToken,
    jobs: Rc<Jobs<E>>,
}

impl<E> fmt::Debug for AsyncContext<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncContext")
            .field("caller", &self.caller)
            .finish_non_exhaustive()
    }
}

impl<E: 'static> AsyncContext<E> {
    pub(crate) fn new(
        caller: Caller,
        admitted: Admitted,
        token: CancelToken,
        jobs: Rc<Jobs<E>>,
    ) -> Self {
        Self {
            caller,
            admitted,
            token,
            jobs,
        }
    }

    /// Whether the call was given up on. Nobody has to look: the procedure is dropped where it waits.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Who called.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Runs a step on the engine in Tx's next turn and waits until that turn is committed. Between two
    /// steps other requests run.
    ///
    /// # Errors
    ///
    /// The step's own error, or the commit's; 7 if a transition came between that the call is too old for.
    /// A call that was given up on gets no further step.
    pub async fn engine<R: 'static>(
        &self,
        step: impl FnOnce(&mut E) -> Result<R, Error> + 'static,
    ) -> Result<R, Error> {
        let (told, outcome) = oneshot::channel();
        let token = self.token.clone();
        let run = Box::new(move |engine: Result<&mut E, Error>| -> Settle {
            let result = if token.is_cancelled() {
                Err(Error::cancelled())
            } else {
                engine.and_then(step)
            };
            Box::new(move |committed| {
                let _ = told.send(result.and_then(|value| committed.map(|()| value)));
            })
        });
        self.jobs.push(Job {
            admitted: self.admitted,
            run,
        });
        outcome
            .await
            .unwrap_or_else(|_| Err(Error::new(ErrorCode::SYSTEM, "Tx is gone")))
    }
}
