//! Why a runtime does not start.

use std::io;
use std::net::SocketAddr;

use crate::config::ConfigError;
use crate::endpoints::ListenAddress;
use crate::engine::Fault;
use crate::exposure::refusal;
use crate::upstream::UpstreamsError;

/// Why [`start`](crate::start) started nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The thread runs no actix System, on which the actors could live.
    #[error("start it on a running actix System: inside of actix_rt::System::new().block_on(…)")]
    NoSystem,
    /// A field of the configuration has a value that it cannot have.
    #[error("bad configuration: {0}")]
    Config(#[from] ConfigError),
    /// Upstreams of a gateway that cannot be.
    #[error("bad upstreams: {0}")]
    Upstreams(#[from] UpstreamsError),
    /// A procedure has the name of a control procedure, which sessions answer: it would never be
    /// called.
    #[error("the procedure '{0}' would never be called: the runtime has one of that name")]
    ControlProcedure(String),
    /// Two procedures have one name, or two families one prefix.
    #[error("the procedure '{0}' is registered twice")]
    ProcedureTwice(String),
    /// Engines cannot be made, which is known before there is one.
    #[error("{0}")]
    Engine(Fault),
    /// The operating system gives no random bytes, which the instance's UUID is made of.
    #[error("no random bytes for the instance's UUID: {0}")]
    Random(String),
    /// The descriptors of the process do not suffice for the configuration.
    #[error("{0}")]
    Descriptors(String),
    /// Other machines reach a listener, and guest, who needs no password, may do everything.
    #[error("{}", refusal(*address, power))]
    ExposedGuest {
        /// Where they reach it.
        address: SocketAddr,
        /// How guest comes to it.
        power: String,
    },
    /// An address or a unix socket that cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: ListenAddress,
        /// What the operating system says.
        source: io::Error,
    },
    /// The listeners are open, and cannot be waited for.
    #[error("cannot wait for connections: {0}")]
    Acceptor(io::Error),
}

impl From<StartError> for io::Error {
    fn from(fault: StartError) -> Self {
        let kind = match &fault {
            StartError::Listen { source, .. } | StartError::Acceptor(source) => source.kind(),
            StartError::Descriptors(_) => io::ErrorKind::Other,
            _ => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, fault)
    }
}
