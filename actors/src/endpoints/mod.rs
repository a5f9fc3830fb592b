//! The two ends of a connection: where a server listens, and who comes from where.
//!
//! | file | what |
//! |---|---|
//! | `address` | where a server listens, read from text |
//! | `peer` | where a connection comes from |
//! | `unix` | the files of unix sockets: made with their mode, removed if they are still ours |

mod address;
mod peer;
mod unix;

pub(crate) use address::is_unix_address;
pub use address::{BoundListener, ListenAddress, ListenAddressError};
pub use peer::{PeerAddress, UnixPeer};
pub use unix::UnixSocketFile;
