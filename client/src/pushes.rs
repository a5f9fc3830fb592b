//! What a procedure sends before it returns.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::error::Error;
use crate::incoming::Reply;
use crate::limits::PUSHES_MAX;
use crate::pack;
use crate::request::{BoxFuture, Decode, Request};

/// A request that is under way, and what it sends before its result: `box.session.push` of
/// Tarantool. It goes on only while it is awaited.
pub struct Pushes<P, R> {
    pushes: mpsc::Receiver<Bytes>,
    reply: Option<BoxFuture<'static, Result<Reply, Error>>>,
    result: Option<Result<Reply, Error>>,
    decode: Decode<R>,
    push: PhantomData<fn() -> P>,
}

impl<P, R> fmt::Debug for Pushes<P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pushes")
            .field("result", &self.result)
            .finish_non_exhaustive()
    }
}

impl<R: Send + 'static> Request<R> {
    /// Takes what the request sends before its result. At most
    /// [`PUSHES_MAX`] of them may wait to be taken.
    pub fn pushes<P: DeserializeOwned>(self) -> Pushes<P, R> {
        let (sender, pushes) = mpsc::channel(PUSHES_MAX);
        let decode = self.decode();
        let reply = async move { self.reply(Some(&sender)).await };
        Pushes {
            pushes,
            reply: Some(Box::pin(reply)),
            result: None,
            decode,
            push: PhantomData,
        }
    }
}

impl<P: DeserializeOwned, R> Pushes<P, R> {
    /// The next push; `None` when the request is answered.
    ///
    /// # Errors
    ///
    /// The push is of another type. What becomes of the request is told by
    /// [`result`](Self::result).
    pub async fn next(&mut self) -> Result<Option<P>, Error> {
        if let Some(reply) = &mut self.reply {
            let result = tokio::select! {
                biased;
                Some(push) = self.pushes.recv() => return pack::read_first(&push).map(Some),
                result = reply => result,
            };
            self.result = Some(result);
            self.reply = None;
        }
        // Those that came together with the reply.
        match self.pushes.try_recv() {
            Ok(push) => pack::read_first(&push).map(Some),
            Err(_) => Ok(None),
        }
    }

    /// The result of the request. Pushes that were not taken are left out.
    ///
    /// # Errors
    ///
    /// As those of the request.
    pub async fn result(mut self) -> Result<R, Error> {
        let reply = match (self.result.take(), self.reply.take()) {
            (Some(result), _) => result?,
            (None, Some(mut reply)) => loop {
                tokio::select! {
                    biased;
                    Some(_) = self.pushes.recv() => {}
                    result = &mut reply => break result?,
                }
            },
            (None, None) => return Err(crate::link::closed()),
        };
        (self.decode)(&reply)
    }
}
