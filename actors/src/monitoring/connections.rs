//! Connections and requests, as each session thread tells its own.

use std::time::Duration;

use serde::Serialize;
use vestibule_wire::keys::RequestType;

use crate::endpoints::PeerAddress;
use crate::serialized::{as_text, in_seconds, in_seconds_or_nil};
use crate::slots::SlotKind;

/// A connection, as `vestibule.show('connections')` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// The connection's number, never given twice.
    pub connection: u64,
    /// The address of the client. Serialized as text.
    #[serde(serialize_with = "as_text")]
    pub peer: PeerAddress,
    /// As whom it has logged in.
    pub user: String,
    /// The session thread that it lives on.
    pub thread: usize,
    /// Requests that were forwarded and are not answered.
    pub in_flight: usize,
    /// Open transactions.
    pub transactions: usize,
    /// Requests that wait for the end of solo.
    pub held: usize,
    /// Bytes that its client has not taken.
    pub output_bytes: usize,
    /// What all its buffers take, in bytes.
    pub memory_bytes: usize,
    /// Whose slot it has.
    pub place: ConnectionPlace,
    /// How long ago it was accepted. Serialized in seconds.
    #[serde(serialize_with = "in_seconds")]
    pub age: Duration,
    /// How many requests it may have in flight.
    pub requests_max: usize,
    /// How many bytes its client may leave before it is closed.
    pub output_max_bytes: usize,
    /// After how long it is closed when it is idle, `None` never. Serialized in seconds.
    #[serde(serialize_with = "in_seconds_or_nil")]
    pub idle_timeout: Option<Duration>,
}

/// Whose slot a connection has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ConnectionPlace {
    /// One of the clients'.
    Client,
    /// One of the administrators'.
    Administrator,
    /// One of the administrators', for the time in which it has to show that it is one.
    Provisional,
}

impl From<SlotKind> for ConnectionPlace {
    fn from(kind: SlotKind) -> Self {
        match kind {
            SlotKind::Client => Self::Client,
            SlotKind::Administrator | SlotKind::AnonymousAdmin => Self::Administrator,
            SlotKind::ProvisionalAdmin => Self::Provisional,
        }
    }
}

/// A request that somebody waits for, as `vestibule.show('requests')` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RequestInfo {
    /// The number of its connection.
    pub connection: u64,
    /// The number that its client gave it; `None` for replies that wait.
    pub sync: Option<u64>,
    /// As whom its connection has logged in.
    pub user: String,
    /// The stream, 0 for none.
    pub stream: u64,
    /// The type; `None` for replies that wait. Serialized as `type`, by name.
    #[serde(rename = "type", serialize_with = "by_name")]
    pub request_type: Option<RequestType>,
    /// The name of the procedure that a CALL calls.
    pub procedure: Option<String>,
    /// How far it has come.
    pub state: RequestState,
    /// How long ago it arrived, or how long the replies have waited. Serialized in seconds.
    #[serde(serialize_with = "in_seconds_or_nil")]
    pub age: Option<Duration>,
}

/// How far a request has come that somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RequestState {
    /// Tx has not begun it.
    Queued,
    /// Tx executes it, or its turn is not committed.
    Started,
    /// Tx has begun it, and it waits for something else than Tx.
    Deferred,
    /// Held until solo ends.
    Held,
    /// A read from the view is under way.
    Reading,
    /// A transition is waited for.
    Waiting,
    /// Replies of the connection wait for its client to read them.
    Flushing,
}

/// What a kill has come to, as `vestibule.kill` returns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Killed {
    /// Connections that were closed.
    pub connections: usize,
    /// Requests that were answered before their time.
    pub requests: usize,
}

fn by_name<S: serde::Serializer>(
    request_type: &Option<RequestType>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    request_type.map(RequestType::name).serialize(serializer)
}
