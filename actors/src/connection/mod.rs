//! What is known of one connection. Nothing here knows of the session that works on it, nor of the
//! worker that it lives in.
//!
//! | file | what |
//! |---|---|
//! | `state` | the cell that a session shares with its worker, and everything in it that changes |
//! | `output` | bytes on their way to the client |
//! | `timeouts` | how long a connection may take |
//! | `orphaned` | streams whose transaction died with its Tx |

pub(crate) mod orphaned;
pub(crate) mod output;
pub(crate) mod state;
pub(crate) mod timeouts;
