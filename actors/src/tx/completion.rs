//! Answering later: the handle that an engine or procedure keeps for a deferred request.

use actix::Recipient;
use serde::Serialize;
use vestibule_wire::reply;
use vestibule_wire::{Error, ErrorCode};

use super::claim::CancelToken;
use super::messages::Completed;
use crate::engine::Ticket;

/// Answers one deferred request, from any thread, once. Dropped unused, it answers with an error: no
/// request is left without an answer.
#[derive(Debug)]
pub struct Completion {
    ticket: Ticket,
    token: CancelToken,
    tx: Option<Recipient<Completed>>,
}

impl Completion {
    pub(crate) fn new(ticket: Ticket, token: CancelToken, tx: Recipient<Completed>) -> Self {
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

    pub(crate) fn token(&self) -> &CancelToken {
        &self.token
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
            tx.do_send(Completed {
                ticket: self.ticket,
                result,
            });
        }
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        self.send(Err(Error::new(
            ErrorCode::SYSTEM,
            "The request was given up by the engine",
        )));
    }
}
