//! Who the server is by TLS: certificate and key, and whom it takes for a client.
//!
//! ```text
//!   files ─▶ read, checked against each other ─▶ identity ◀─ every handshake takes what is there
//!     ▲                                            │
//!     └── looked at once a minute, and when asked ─┘ what does not fit changes nothing
//! ```
//!
//! No type of the library is seen outside of this package. Without the feature `tls` there is no
//! identity, and so no listener that needs one.
//!
//! | file | what |
//! |---|---|
//! | `files` | reading and checking |
//! | `identity` | what is in use, and what it has come to |
//! | `validity` | until when a certificate is valid |

#[cfg(feature = "tls")]
mod files;
#[cfg(feature = "tls")]
mod identity;
#[cfg(feature = "tls")]
mod validity;

#[cfg(feature = "tls")]
pub use files::{TlsError, TlsFile, TlsFiles};
#[cfg(feature = "tls")]
pub(crate) use identity::HandshakeResult;
#[cfg(feature = "tls")]
pub use identity::TlsIdentity;

/// Who has no identity, without the feature: nothing of this type exists.
#[cfg(not(feature = "tls"))]
#[derive(Debug, Clone)]
pub(crate) enum Nobody {}

#[cfg(not(feature = "tls"))]
pub(crate) use Nobody as TlsIdentity;
