//! The Acceptor: takes connections from the listeners and hands them to the session arbiters.
//!
//! ```text
//!   listeners ──readable──▶ accept until empty, at most a batch ──▶ least loaded arbiter, one message
//!                               │
//!                               ├ the peer is gone already: next
//!                               └ no descriptors or memory: one log line, a pause, never a spin
//! ```

mod actor;
mod listen;

pub(crate) use actor::{Acceptor, AcceptorHandle};
pub(crate) use listen::bind;
