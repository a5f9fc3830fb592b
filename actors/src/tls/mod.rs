//! Who the server is by TLS: certificate and key, and whom it takes for a client; and of upstreams
//! whom it trusts.
//!
//! ```text
//!   files ─▶ read, checked against each other ─▶ in use ◀─ every handshake takes what is there
//!     ▲                                            │
//!     └── looked at once a minute, and when asked ─┘ what does not fit changes nothing
//! ```
//!
//! No type of the library is seen outside of this package. Without the feature `tls` there is no
//! identity, and so no listener that needs one; nor are upstreams connected to by TLS.
//!
//! | file | what |
//! |---|---|
//! | `pem` | one file, read |
//! | `files` | those of an identity, checked against each other |
//! | `upstream` | those by which upstreams are connected to, and what is in use of them |
//! | `followed` | what is in use, and read again |
//! | `identity` | that of the server, and what its handshakes have come to |
//! | `accepted` | connections by it that are no session's |
//! | `validity` | until when a certificate is valid |

#[cfg(feature = "tls")]
mod accepted;
#[cfg(feature = "tls")]
mod files;
#[cfg(feature = "tls")]
mod followed;
#[cfg(feature = "tls")]
mod identity;
#[cfg(feature = "tls")]
mod pem;
#[cfg(feature = "tls")]
mod upstream;
#[cfg(feature = "tls")]
mod validity;

#[cfg(feature = "tls")]
pub use accepted::AcceptedTls;
#[cfg(feature = "tls")]
pub use files::TlsFiles;
#[cfg(feature = "tls")]
pub(crate) use identity::HandshakeResult;
#[cfg(feature = "tls")]
pub use identity::TlsIdentity;
#[cfg(feature = "tls")]
pub use pem::{TlsError, TlsFile};
#[cfg(feature = "tls")]
pub use upstream::{ServerNameError, UpstreamTls, UpstreamTlsFiles};

/// Who has no identity, without the feature: nothing of this type exists.
#[cfg(not(feature = "tls"))]
#[derive(Debug, Clone)]
pub(crate) enum Nobody {}

#[cfg(not(feature = "tls"))]
pub(crate) use Nobody as TlsIdentity;
#[cfg(not(feature = "tls"))]
pub(crate) use Nobody as UpstreamTls;
