//! What an async procedure may use: the engine, one step at a time.

use std::fmt;
use std::rc::Rc;

use futures::channel::oneshot;
use vestibule_wire::{Error, ErrorCode};

use super::jobs::Jobs;
use crate::engine::Caller;

/// Given to an async procedure. It lives on Tx's arbiter and cannot leave it.
pub struct AsyncContext<E> {
    caller: Caller,
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
    pub(crate) fn new(caller: Caller, jobs: Rc<Jobs<E>>) -> Self {
        Self { caller, jobs }
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
    /// The step's own error, or the commit's.
    pub async fn engine<R: 'static>(
        &self,
        step: impl FnOnce(&mut E) -> Result<R, Error> + 'static,
    ) -> Result<R, Error> {
        let (told, outcome) = oneshot::channel();
        self.jobs.push(Box::new(move |engine| {
            let result = step(engine);
            Box::new(move |committed| {
                let _ = told.send(result.and_then(|value| committed.map(|()| value)));
            })
        }));
        outcome
            .await
            .unwrap_or_else(|_| Err(Error::new(ErrorCode::SYSTEM, "Tx is gone")))
    }
}
