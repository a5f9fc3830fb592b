//! One job on its way to Tx.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use actix::{Message, Recipient};
use vestibule_wire::Error;

use super::call::JobCall;
use super::table::JobTicket;
use crate::messages::post::Post as _;

/// The work of a job: it gets the engine, or the reason why it may not have it.
pub(crate) type Work<E> = Box<dyn FnOnce(Result<&mut E, Error>) -> Settle + Send>;

/// Told the outcome of the turn, with the right to tell the caller.
pub(crate) type Settle = Box<dyn FnOnce(JobTicket, Result<(), Error>)>;

/// What an embedder asks for.
pub(crate) enum JobWork<E> {
    /// Work on the engine.
    Engine(Work<E>),
    /// A procedure.
    Call(JobCall),
}

/// What an embedder asks for, with the right to do it.
pub(crate) struct Job<E> {
    pub(crate) ticket: JobTicket,
    pub(crate) work: JobWork<E>,
}

impl<E> fmt::Debug for Job<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ticket.fmt(f)
    }
}

impl<E> Message for Job<E> {
    type Result = ();
}

/// Where jobs go: to whichever Tx there is.
pub(crate) struct JobQueue<E: 'static>(Mutex<Option<Recipient<Job<E>>>>);

impl<E> Default for JobQueue<E> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<E: 'static> JobQueue<E> {
    /// From now on they go to this Tx.
    pub(crate) fn attach(&self, tx: Recipient<Job<E>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(tx);
    }

    /// Hands a job over. If Tx is gone it is dropped, which its caller is told.
    pub(super) fn push(&self, job: Job<E>) {
        // Not sent inside of the lock: a job that is dropped is told of.
        let tx = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(tx) = tx {
            tx.post(job);
        }
    }
}
