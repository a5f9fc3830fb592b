//! Answering later: the handle that an engine or procedure keeps for a deferred request.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use vestibule_wire::reply;
use vestibule_wire::{Error, ErrorCode};

use super::request::Ticket;

/// Where answers to deferred requests go: Tx, from any thread.
pub(crate) trait Completions: fmt::Debug + Send + Sync {
    /// Hands over the reply's body, or the error.
    fn complete(&self, ticket: Ticket, result: Result<Vec<u8>, Error>);
}

/// What knows whether requests are still waited for.
pub(crate) trait Cancellation: fmt::Debug + Send + Sync {
    /// Whether the request of this key was cancelled. It stays so.
    fn is_cancelled(&self, key: u64) -> bool;
}

/// Tells the work on a request that nobody waits for it any more: its time was over, it was killed,
/// or everything was. One atomic load, from any thread, also from one that Tx waits for.
#[derive(Debug, Clone)]
pub struct CancelToken {
    requests: Arc<dyn Cancellation>,
    key: u64,
}

impl CancelToken {
    pub(crate) fn new(requests: Arc<dyn Cancellation>, key: u64) -> Self {
        Self { requests, key }
    }

    /// Whether the request was cancelled. It stays so.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.requests.is_cancelled(self.key)
    }
}

/// Answers one deferred request, from any thread, once. Dropped unused, it answers with an error:
/// no request is left without an answer.
#[derive(Debug)]
pub struct Completion {
    ticket: Ticket,
    token: CancelToken,
    /// `None` once it has answered.
    tx: Option<Arc<dyn Completions>>,
}

impl Completion {
    pub(crate) fn new(ticket: Ticket, token: CancelToken, tx: Arc<dyn Completions>) -> Self {
        Self {
            ticket,
            token,
            tx: Some(tx),
        }
    }

    /// The handle by which the engine may be asked to cancel.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Whether nobody waits for the answer any more: what is left of the work may be left out.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Answers with one value, or with an error.
    pub fn complete<T: Serialize>(self, result: Result<T, Error>) {
        let body = result.and_then(|value| {
            let mut body = Vec::new();
            reply::write_value(&mut body, &value).map(|()| body)
        });
        self.complete_raw(body);
    }

    /// Answers with a body's bytes (a MessagePack map), or with an error.
    pub fn complete_raw(mut self, result: Result<Vec<u8>, Error>) {
        self.send(result);
    }

    fn send(&mut self, result: Result<Vec<u8>, Error>) {
        if let Some(tx) = self.tx.take() {
            tx.complete(self.ticket, result);
        }
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        self.send(Err(unanswered()));
    }
}

/// The answer to a request that has none: its completion was dropped, or its procedure panicked.
pub(crate) fn unanswered() -> Error {
    let text = "The request was given up by the engine";
    Error::new(ErrorCode::SYSTEM, text)
}
