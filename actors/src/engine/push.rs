//! Pushes: what the client of a request is told before its reply.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde::Serialize;
use vestibule_wire::Error;
use vestibule_wire::reply::write_value;

/// Where the pushes of one request go: its connection, from any thread.
pub(crate) trait Pushes: fmt::Debug + Send + Sync {
    /// Sends a message's body, or hands it back if there is no room for it.
    fn try_push(&self, body: Vec<u8>) -> Result<Option<Vec<u8>>, Error>;
    /// What is told if there was none.
    fn no_room(&self) -> Error;
    /// Sends a message's body when there is room.
    fn push<'a>(&'a self, body: Vec<u8>) -> BoxFuture<'a, Result<(), Error>>;
}

/// Tells the client of one request something before its reply, from any thread: messages of the
/// type CHUNK (128) with the request's sync and one value, in the order in which they are pushed.
/// Connectors hand them to a callback (`on_push`).
///
/// A push leaves at once, whether or not the request is committed later. What is pushed after the
/// reply goes nowhere.
#[derive(Debug, Clone)]
pub struct Pusher {
    /// `None` if nobody hears it.
    sink: Option<Arc<dyn Pushes>>,
}

impl Pusher {
    pub(crate) fn new(sink: Arc<dyn Pushes>) -> Self {
        Self { sink: Some(sink) }
    }

    pub(crate) fn unheard() -> Self {
        Self { sink: None }
    }

    /// Pushes a value, without waiting.
    ///
    /// # Errors
    ///
    /// * [`ErrorCode::MEMORY_ISSUE`](vestibule_wire::ErrorCode::MEMORY_ISSUE) if the client reads
    ///   too slowly: [`CONNECTION_REPLY_BYTES_MAX`](crate::limits::CONNECTION_REPLY_BYTES_MAX) wait
    ///   for it already, or memory is scarce; nothing was pushed,
    /// * [`ErrorCode::ILLEGAL_PARAMS`](vestibule_wire::ErrorCode::ILLEGAL_PARAMS) for more than
    ///   [`PUSH_SIZE_MAX`](crate::limits::PUSH_SIZE_MAX) bytes,
    /// * [`ErrorCode::PROC`](vestibule_wire::ErrorCode::PROC) for a value that MessagePack cannot
    ///   hold,
    /// * the error of a cancelled request, if nobody waits for this one any more.
    pub fn push<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), Error> {
        let Some(sink) = &self.sink else {
            return Ok(());
        };
        match sink.try_push(body(value)?)? {
            None => Ok(()),
            Some(_) => Err(sink.no_room()),
        }
    }

    /// Pushes a value as soon as the client has read enough of what waits for it.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push), but for the first.
    pub async fn push_when_read<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), Error> {
        let body = body(value)?;
        match &self.sink {
            Some(sink) => sink.push(body).await,
            None => Ok(()),
        }
    }
}

fn body<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    write_value(&mut body, value).map(|()| body)
}
