//! Why a measurement could not be made.

use std::io;

use thiserror::Error;
use vestibule_wire::ErrorCode;
use vestibule_wire::client::MalformedReply;

/// Why a measurement could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The arguments make no sense together.
    #[error("{0}")]
    Usage(String),
    /// The operating system refused something.
    #[error("{doing}: {}", what_failed(source))]
    Io {
        /// What was being done, as "connecting to ...".
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// The server closed a connection that was in use.
    #[error("{doing}: the server closed the connection")]
    Closed {
        /// What was being done.
        doing: String,
    },
    /// The server sent what is no IPROTO, or an answer to nothing.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// The server refused a request that the preparation cannot do without.
    #[error("{doing}: the server refused with error {}: {text}", code.0)]
    Refused {
        /// What was being done.
        doing: String,
        /// The code of the error.
        code: ErrorCode,
        /// The text of the error.
        text: String,
    },
}

/// A timeout is the server's doing, whatever the system calls it.
fn what_failed(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            "the server did not answer in time".to_owned()
        }
        _ => source.to_string(),
    }
}

impl BenchError {
    /// For `map_err`: says what was being done, and tells a closed connection from the rest.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> BenchError {
        let doing = doing.into();
        move |source| match source.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => BenchError::Closed { doing },
            _ => BenchError::Io { doing, source },
        }
    }
}

impl From<MalformedReply> for BenchError {
    fn from(malformed: MalformedReply) -> Self {
        BenchError::Protocol(malformed.to_string())
    }
}
