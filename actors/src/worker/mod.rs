//! A worker: what the sessions of one arbiter do together.
//!
//! ```text
//!   sessions ──Rc──▶ outgoing batch ── once per tick ──▶ Tx
//!      ▲                                                  │
//!      └──────── output buffers ◀── Replies, one message ─┘
//! ```
//!
//! | file | what |
//! |---|---|
//! | `actor` | the actix shell: batches out, replies in, the timer |
//! | `deliver` | replies and events to sessions, sessions going again |
//! | `give_up` | requests over their time, or killed |
//! | `survey` | what every arbiter answers a part of |
//!
//! Inside an arbiter everything is shared by `Rc`; between arbiters it travels as one message.

mod actor;
mod deliver;
mod give_up;
pub(crate) mod messages;
mod state;
mod survey;
mod sweep;
mod transition;

pub(crate) use actor::Worker;
pub(crate) use messages::{Newcomer, WorkerHandle};
pub(crate) use state::{WorkerCell, WorkerState};
