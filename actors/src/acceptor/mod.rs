//! The Acceptor: takes connections from the listeners and hands them to the workers.
//!
//! ```text
//!   listeners ──readable──▶ accept until empty, at most a batch
//!                             ├ a slot is free: the thread with the fewest, one message a batch
//!                             ├ no slot: greeted, told why, closed; at a bounded rate
//!                             ├ the peer is gone already: next
//!                             └ no descriptors, no memory: one log line, a pause that grows
//! ```
//!
//! | file | what |
//! |---|---|
//! | `actor` | the actix shell |
//! | `listen` | opening a listener, and what an error of accept means |
//! | `pacing` | how fast it rejects |
//! | `reject` | telling a connection that there is no slot for it |

mod actor;
mod listen;
mod pacing;
mod reject;

pub(crate) use actor::{Acceptor, AcceptorHandle};
pub(crate) use listen::bind;
pub(crate) use reject::reject;
