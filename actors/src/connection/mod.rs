//! What is known of one connection. Nothing here knows of the session that works on it, nor of the
//! worker that it lives in.
//!
//! | file | what |
//! |---|---|
//! | `cell` | the cell that a session shares with its worker |
//! | `state` | everything in it that changes, by what happens to it |
//! | `intake` | whether the next frame is taken, and whether bytes are read |
//! | `inbox` | bytes that were read and not taken |
//! | `passing` | which of them may pass a SELECT that takes several steps |
//! | `backlog` | replies that wait for the socket, by groups |
//! | `incoming` | requests that come in chunks |
//! | `output` | bytes on their way to the client |
//! | `counts` | requests in flight, counted |
//! | `held` | requests that wait for the end of solo |
//! | `awaited` | calls that wait for transitions |
//! | `login` | a login that is being checked |
//! | `scan` | a SELECT that takes several steps |
//! | `identity` | who calls, and whether Tx knows |
//! | `watches` | which events are watched, and what is owed |
//! | `orphaned` | streams whose transaction died with its Tx |
//! | `timeouts` | how long a connection may take |
//! | `adopted` | a stream that is no socket |
//! | `tls` | TLS over another transport |
//! | `transport` | what carries its bytes |

mod adopted;
pub(crate) mod awaited;
pub(crate) mod backlog;
pub(crate) mod cell;
pub(crate) mod counts;
pub(crate) mod held;
pub(crate) mod identity;
pub(crate) mod inbox;
pub(crate) mod incoming;
pub(crate) mod intake;
pub(crate) mod login;
pub(crate) mod orphaned;
pub(crate) mod output;
pub(crate) mod passing;
pub(crate) mod scan;
pub(crate) mod state;
pub(crate) mod timeouts;
#[cfg(feature = "tls")]
pub(crate) mod tls;
pub(crate) mod transport;
pub(crate) mod watches;
