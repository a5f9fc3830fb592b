//! What goes wrong, and whether the request may have run all the same.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use vestibule_wire::error::{ErrorCode, Field};

/// An error that a server answered with: its number, text, fields and causes.
pub use vestibule_wire::Error as ServerError;

/// The name of the field by which vestibule says that a request was cut off when it had begun.
const OUTCOME_FIELD: &str = "outcome";

/// Whether the request of an error has run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The request was not sent, or not whole: it did not run.
    NotSent,
    /// The server answered with an error and has changed nothing.
    Refused,
    /// The request was sent and may have run: no answer came, or one that does not say. Of
    /// [`ErrorKind::Decode`] it surely ran.
    ///
    /// An error that a procedure (CALL, EVAL) ends with is of this kind: what the procedure did
    /// before stays done, unless it undid it.
    Unknown,
}

/// What went wrong, roughly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server answered with an error: see [`Error::server`].
    Server,
    /// The time limit of the request is over.
    Timeout,
    /// The connection was lost, or could not be made.
    Connection,
    /// TLS was not agreed on: one side does not trust the other, the server's certificate has
    /// another name, or what answers is no TLS. Also of options of TLS that are of no use. There
    /// with the feature `tls`.
    Tls,
    /// The client, or the stream or transaction, was closed.
    Closed,
    /// The server lacks what the request needs.
    Unsupported,
    /// Arguments cannot be sent: what they are made of is no MessagePack, or no tuple.
    Encode,
    /// The reply is not of the type that was asked for.
    Decode,
    /// A bound of this client is reached: watched keys, pushes that nobody takes, the length of a
    /// reply in chunks.
    Limit,
    /// No instance of a pool has the role that was asked for.
    NoInstance,
}

/// Why a request, or a connection, failed.
#[derive(Debug, Clone)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    kind: ErrorKind,
    outcome: Outcome,
    text: String,
    server: Option<ServerError>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, outcome: Outcome, text: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            outcome,
            text: text.into(),
            server: None,
            source: None,
        }))
    }

    /// An error that keeps a request from being sent.
    pub(crate) fn not_sent(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self::new(kind, Outcome::NotSent, text)
    }

    pub(crate) fn from_server(server: ServerError, outcome: Outcome) -> Self {
        let mut error = Self::new(ErrorKind::Server, outcome, server.to_string());
        error.0.server = Some(server);
        error
    }

    pub(crate) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    pub(crate) fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.0.outcome = outcome;
        self
    }

    /// Whether the request has run.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// What went wrong, roughly.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What the server answered, if it did: of a request that ran out of time while it was
    /// repeated, the last refusal.
    #[must_use]
    pub fn server(&self) -> Option<&ServerError> {
        self.0.server.as_ref().or_else(|| {
            let source = self.0.source.as_deref()?;
            source.downcast_ref::<Self>()?.server()
        })
    }

    /// The number of the server's error.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        self.server().map(ServerError::code)
    }

    /// A field of the server's error.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.server().and_then(|error| field(error, name))
    }

    /// Whether the server is busy or loading ([`ErrorCode::LOADING`]): it will serve later.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.code() == Some(ErrorCode::LOADING)
    }

    /// Whether a tuple with this key is there already.
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        self.code() == Some(ErrorCode::TUPLE_FOUND)
    }

    /// Whether the server takes no changes, because it is a replica.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.code() == Some(ErrorCode::READONLY)
    }

    /// Whether another transaction committed first.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(ErrorCode::TRANSACTION_CONFLICT)
    }

    /// Whether the time limit of the request is over.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.0.kind == ErrorKind::Timeout
    }

    /// Why a vestibule server is busy, in its own words.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self.field("reason")? {
            Field::Str(text) => Some(text),
            _ => None,
        }
    }

    /// Which share of its work a busy vestibule server has done: from 0 to 1.
    #[must_use]
    pub fn progress(&self) -> Option<f64> {
        self.number("progress")
    }

    /// When the server wants to be asked again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.server().and_then(retry_after)
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.server().and_then(|error| number(error, name))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match (&self.0.source, &self.0.server) {
            (Some(source), _) => Some(source.as_ref()),
            (None, Some(server)) => server.source(),
            (None, None) => None,
        }
    }
}

fn field<'a>(error: &'a ServerError, name: &str) -> Option<&'a Field> {
    let mut fields = error.fields().iter();
    fields.find(|(own, _)| own == name).map(|(_, value)| value)
}

fn number(error: &ServerError, name: &str) -> Option<f64> {
    match field(error, name)? {
        Field::Float(number) => Some(*number),
        Field::Uint(number) => Some(*number as f64),
        Field::Str(_) | Field::Bool(_) => None,
    }
}

/// When a server wants to be asked again, if it says so.
pub(crate) fn retry_after(error: &ServerError) -> Option<Duration> {
    Duration::try_from_secs_f64(number(error, "retry_after")?).ok()
}

/// What an error reply says of its request. `procedure` is the name that was called, or an empty
/// text for an EVAL.
///
/// A vestibule server says of a request that was cut off when it had begun that its outcome is
/// unknown, and gives what it refuses because of its state the fields `state` and `epoch`. Requests
/// on data are executed whole or not at all. Procedures are not: what they raise may be any error.
pub(crate) fn outcome_of(error: &ServerError, procedure: Option<&str>) -> Outcome {
    if field(error, OUTCOME_FIELD).is_some() {
        return Outcome::Unknown;
    }
    let Some(name) = procedure else {
        return Outcome::Refused;
    };
    let is_of_the_state = field(error, "state").is_some() && field(error, "epoch").is_some();
    let is_not_there = error.code() == ErrorCode::NO_SUCH_PROC
        && !name.is_empty()
        && error.message().contains(&format!("'{name}'"));
    match is_of_the_state || is_not_there {
        true => Outcome::Refused,
        false => Outcome::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy() -> ServerError {
        ServerError::new(ErrorCode::LOADING, "busy")
            .with_field("state", Field::Str("solo".into()))
            .with_field("reason", Field::Str("sorting".into()))
            .with_field("progress", Field::Float(0.25))
            .with_field("retry_after", Field::Float(1.5))
            .with_field("epoch", Field::Uint(7))
    }

    #[test]
    fn a_busy_server_is_told_with_its_hints() {
        let error = Error::from_server(busy(), Outcome::Refused);
        assert!(error.is_busy() && !error.is_duplicate());
        assert_eq!(error.reason(), Some("sorting"));
        assert_eq!(error.progress(), Some(0.25));
        assert_eq!(error.retry_after(), Some(Duration::from_millis(1500)));
        let outer = Error::not_sent(ErrorKind::Timeout, "over").with_source(error);
        assert!(outer.is_busy() && outer.is_timeout());
    }

    #[test]
    fn hints_that_are_no_times_are_not_taken() {
        for value in [
            Field::Float(-1.0),
            Field::Float(f64::NAN),
            Field::Bool(true),
        ] {
            let error = ServerError::new(ErrorCode::LOADING, "").with_field("retry_after", value);
            assert_eq!(retry_after(&error), None);
        }
    }

    #[test]
    fn what_has_begun_is_unknown_and_what_the_state_refuses_is_refused() {
        let cut_off = busy().with_field("outcome", Field::Str("unknown".into()));
        assert_eq!(outcome_of(&cut_off, None), Outcome::Unknown);
        assert_eq!(outcome_of(&busy(), Some("f")), Outcome::Refused);
        let duplicate = ServerError::new(ErrorCode::TUPLE_FOUND, "there");
        assert_eq!(outcome_of(&duplicate, None), Outcome::Refused);
        assert_eq!(outcome_of(&duplicate, Some("f")), Outcome::Unknown);
        let loading = ServerError::new(ErrorCode::LOADING, "raised by the procedure");
        assert_eq!(outcome_of(&loading, Some("f")), Outcome::Unknown);
    }

    #[test]
    fn a_procedure_that_is_not_there_did_not_run() {
        let missing = ServerError::no_such_procedure("f");
        assert_eq!(outcome_of(&missing, Some("f")), Outcome::Refused);
        assert_eq!(outcome_of(&missing, Some("g")), Outcome::Unknown);
        assert_eq!(outcome_of(&missing, Some("")), Outcome::Unknown);
    }
}
