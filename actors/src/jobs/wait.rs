//! Who waits for a job: its credit, its admission, its end.

use std::pin::pin;
use std::sync::Arc;

use futures::future::{Either, select};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use vestibule_wire::{Error, ErrorCode};

use super::call::{JobCall, Waiting};
use super::error::EngineError;
use super::job::{Job, JobQueue, JobWork, Settle};
use super::table::{JobTable, JobTicket};
use crate::admission::Class;
use crate::engine::{Caller, Engine};
use crate::serving::{Revocation, Serving};

impl JobTable {
    /// Has Tx do this work in its next turn, and waits until that is committed.
    ///
    /// # Errors
    ///
    /// Those of admission, of the work, and of what comes between.
    pub(crate) async fn run<E, R>(
        self: &Arc<Self>,
        queue: &JobQueue<E>,
        class: Class,
        work: impl FnOnce(&mut E) -> Result<R, Error> + Send + 'static,
    ) -> Result<R, EngineError>
    where
        E: Engine,
        R: Send + 'static,
    {
        let (told, result) = oneshot::channel();
        let is_read_only = class == Class::Read;
        let work = move |engine: Result<&mut E, Error>| -> Settle {
            let result = match engine {
                Ok(engine) => work(engine).map_err(|error| {
                    EngineError::of_work(error, is_read_only || engine.fault().is_some())
                }),
                Err(error) => Err(EngineError::Refused(error)),
            };
            Box::new(move |ticket: JobTicket, committed: Result<(), Error>| {
                let committed = committed.map_err(EngineError::of_commit);
                let result = result.and_then(|value| committed.map(|()| value));
                if ticket.finish() {
                    // Its caller may have lost interest.
                    let _ = told.send(result);
                }
            })
        };
        let work = JobWork::Engine(Box::new(work));
        self.submit(queue, class, work, result).await
    }

    /// Has Tx call a procedure, and waits until that is committed: the results, one array.
    ///
    /// # Errors
    ///
    /// Those of admission, of the call, and of what comes between.
    pub(crate) async fn call<E: 'static>(
        self: &Arc<Self>,
        queue: &JobQueue<E>,
        caller: Arc<Caller>,
        name: String,
        args: Vec<u8>,
    ) -> Result<Vec<u8>, EngineError> {
        let (told, result) = oneshot::channel();
        let (_waits, waiting) = Waiting::new();
        let work = JobWork::Call(JobCall {
            caller,
            name,
            args,
            waiting,
            told,
        });
        self.submit(queue, Class::Call, work, result).await
    }

    async fn submit<E: 'static, R>(
        self: &Arc<Self>,
        queue: &JobQueue<E>,
        class: Class,
        work: JobWork<E>,
        result: oneshot::Receiver<Result<R, EngineError>>,
    ) -> Result<R, EngineError> {
        let mut changes = self.shared().changes.subscribe();
        let credit = self.credit(class, &mut changes).await?;
        let (refused, refusal) = oneshot::channel();
        let ticket = self.insert(class, credit, refused)?;
        let waits = Waits {
            table: self.clone(),
            number: ticket.number(),
        };
        queue.push(Job { ticket, work });
        waits.outcome(result, refusal, changes).await
    }

    /// Waits for the right to have one more job under way, for as long as jobs are admitted.
    async fn credit(
        &self,
        class: Class,
        changes: &mut watch::Receiver<Serving>,
    ) -> Result<OwnedSemaphorePermit, EngineError> {
        let mut credit = pin!(self.credits().acquire_owned());
        loop {
            changes.mark_unchanged();
            self.check(class)?;
            match select(credit.as_mut(), pin!(changes.changed())).await {
                Either::Left((Ok(credit), _)) => return Ok(credit),
                // Neither is closed as long as the table lives.
                Either::Left((Err(_), _)) => return Err(gone()),
                Either::Right(_) => {}
            }
        }
    }
}

/// Without an answer the runtime is gone.
fn gone() -> EngineError {
    EngineError::Refused(Error::new(ErrorCode::SHUTDOWN, "Server is shutting down"))
}

/// Somebody waits for a job: dropped, it is taken back if Tx has not begun it.
struct Waits {
    table: Arc<JobTable>,
    number: u64,
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.table.revoke(self.number);
    }
}

impl Waits {
    async fn outcome<R>(
        self,
        result: oneshot::Receiver<Result<R, EngineError>>,
        refusal: oneshot::Receiver<EngineError>,
        mut changes: watch::Receiver<Serving>,
    ) -> Result<R, EngineError> {
        let told = async move {
            // One of them is told, and the other dropped, in whatever order.
            match select(result, refusal).await {
                Either::Left((Ok(result), _)) => result,
                Either::Left((Err(_), refusal)) => Err(refusal.await.unwrap_or_else(|_| gone())),
                Either::Right((Ok(refusal), _)) => Err(refusal),
                Either::Right((Err(_), result)) => result.await.unwrap_or_else(|_| Err(gone())),
            }
        };
        let mut told = pin!(told);
        loop {
            let change = pin!(changes.changed());
            match select(told.as_mut(), change).await {
                Either::Left((result, _)) => return result,
                Either::Right((Ok(()), _)) => {
                    let state = self.table.shared().serving.load().state;
                    // Tx stands still or is gone: what it has not begun is nobody's to wait for.
                    let is_revoked = state.traits().revokes != Revocation::Nothing;
                    if is_revoked && self.table.revoke(self.number) {
                        return Err(self.table.refusal(ErrorCode::LOADING));
                    }
                }
                Either::Right((Err(_), _)) => return told.await,
            }
        }
    }
}
