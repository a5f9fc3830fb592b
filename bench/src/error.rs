//! Why a measurement could not be made.

use std::{error, fmt, io};

/// Why a measurement could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum BenchError {
    /// The arguments make no sense together.
    Usage(String),
    /// The operating system refused something.
    Io {
        /// What was being done, as "connecting to ...".
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// The server closed a connection that was in use.
    Closed {
        /// What was being done.
        doing: String,
    },
    /// The server sent what is no IPROTO, or an answer to nothing.
    Protocol(String),
    /// The server refused a request that the preparation cannot do without.
    Refused {
        /// What was being done.
        doing: String,
        /// The code of the error.
        code: u32,
        /// The text of the error.
        text: String,
    },
}

impl BenchError {
    /// For `map_err`: says what was being done, and tells a closed connection from the rest.
    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> BenchError {
        let doing = doing.into();
        move |source| match source.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => BenchError::Closed { doing },
            _ => BenchError::Io { doing, source },
        }
    }
}

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BenchError::Usage(text) => f.write_str(text),
            BenchError::Io { doing, source } => match source.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    write!(f, "{doing}: the server did not answer in time")
                }
                _ => write!(f, "{doing}: {source}"),
            },
            BenchError::Closed { doing } => write!(f, "{doing}: the server closed the connection"),
            BenchError::Protocol(text) => write!(f, "the server broke the protocol: {text}"),
            BenchError::Refused { doing, code, text } => {
                write!(f, "{doing}: the server refused with error {code}: {text}")
            }
        }
    }
}

impl error::Error for BenchError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            BenchError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
