//! Requests as a scripted server received them, and what it answers.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use vestibule_wire::ErrorCode;
use vestibule_wire::keys::RequestType;
use vestibule_wire::request::{Body, decode};

use crate::error::ServerError;

/// A request as the scripted server received it. Greetings, ID, AUTH and watches are not told.
#[derive(Debug, Clone)]
pub struct Received {
    /// What it asks for.
    pub request_type: RequestType,
    /// The stream that it is in, 0 for none.
    pub stream_id: u64,
    /// The number of its connection, from 0 on.
    pub connection: usize,
    /// Whether it came in chunks.
    pub is_in_chunks: bool,
    pub(super) body: Vec<u8>,
}

impl Received {
    fn body(&self) -> Option<Body<'_>> {
        decode(self.request_type, &self.body).ok()
    }

    /// The procedure that it calls.
    #[must_use]
    pub fn procedure(&self) -> Option<&str> {
        match self.body()? {
            Body::Call(call) => Some(call.name),
            _ => None,
        }
    }

    /// The arguments of a CALL or EVAL; `None` if they are of another type.
    #[must_use]
    pub fn arguments<T: DeserializeOwned>(&self) -> Option<T> {
        match self.body()? {
            Body::Call(call) => rmp_serde::from_slice(call.args).ok(),
            Body::Eval(eval) => rmp_serde::from_slice(eval.args).ok(),
            _ => None,
        }
    }

    /// The tuple of an INSERT, REPLACE or UPSERT; `None` if it is of another type.
    #[must_use]
    pub fn tuple<T: DeserializeOwned>(&self) -> Option<T> {
        match self.body()? {
            Body::Insert(store) | Body::Replace(store) => rmp_serde::from_slice(store.tuple).ok(),
            Body::Upsert(upsert) => rmp_serde::from_slice(upsert.tuple).ok(),
            _ => None,
        }
    }

    /// The key of a SELECT, UPDATE or DELETE, as an array; `None` if it is of another type.
    #[must_use]
    pub fn key<T: DeserializeOwned>(&self) -> Option<T> {
        let key = match self.body()? {
            Body::Select(select) => select.key,
            Body::Update(update) => update.key,
            Body::Delete(delete) => delete.key,
            _ => return None,
        };
        rmp_serde::from_slice(key).ok()
    }
}

/// What the scripted server does with a request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Answer {
    /// An empty result; of a CALL or EVAL, that there is no such procedure.
    Usual,
    /// A result: an array as MessagePack.
    Data(Vec<u8>),
    /// An error.
    Error(ServerError),
    /// Some pushes, each a value as MessagePack, and then this.
    Pushes(Vec<Vec<u8>>, Box<Answer>),
    /// This after a time, while other requests are answered.
    Later(Duration, Box<Answer>),
    /// Nothing at all.
    Silence,
    /// The end of the connection.
    Close,
}

impl Answer {
    /// One value: what a procedure returns, or the tuple that was written.
    ///
    /// # Panics
    ///
    /// If MessagePack cannot hold it.
    pub fn value(value: impl Serialize) -> Self {
        Self::values((value,))
    }

    /// All values that a procedure returns, or the tuples that a SELECT finds: a list.
    ///
    /// # Panics
    ///
    /// If MessagePack cannot hold it.
    pub fn values(values: impl Serialize) -> Self {
        Self::Data(packed(&values))
    }

    /// An error with this number and text.
    pub fn error(code: ErrorCode, text: impl Into<String>) -> Self {
        Self::Error(ServerError::new(code, text.into()))
    }

    /// Sends a value before this.
    ///
    /// # Panics
    ///
    /// If MessagePack cannot hold it.
    #[must_use]
    pub fn after_push(self, push: impl Serialize) -> Self {
        match self {
            Self::Pushes(mut pushes, last) => {
                pushes.insert(0, packed(&push));
                Self::Pushes(pushes, last)
            }
            last => Self::Pushes(vec![packed(&push)], Box::new(last)),
        }
    }
}

fn packed(value: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec(value).expect("the test's own value")
}
