//! A lane: what the sessions of one arbiter do together.
//!
//! ```text
//!   sessions ──Rc──▶ outgoing batch ── once per tick ──▶ Tx
//!      ▲                                                  │
//!      └──────── output buffers ◀── Replies, one message ─┘
//! ```
//!
//! Inside an arbiter everything is shared by `Rc`; between arbiters it travels as one message.

mod actor;
mod deliver;
pub(crate) mod messages;
mod state;
mod transition;

pub(crate) use actor::Lane;
pub(crate) use messages::LaneHandle;
pub(crate) use state::{LaneCell, LaneState};
