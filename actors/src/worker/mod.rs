//! A worker: what the sessions of one thread do together.
//!
//! ```text
//!   sessions ──Rc──▶ outgoing batch ── once per tick ──▶ Tx
//!      ▲                                                  │
//!      └──────── output buffers ◀── Replies, one message ─┘
//! ```
//!
//! | file | what |
//! |---|---|
//! | `messages` | what a worker is told, and the handle that others hold |
//! | `state` | its sessions, and what it knows about all of them |
//! | `actor` | the actix shell: batches out, replies in, the timer |
//! | `deliver` | replies and events to sessions, sessions going again |
//! | `cancel` | requests over their time, or killed |
//! | `drain` | its part in transitions |
//! | `tick` | what nothing else would wake it for |
//! | `gather` | what is asked of every worker, and its answer |
//! | `contribute` | the part of the answer that is the worker's |
//! | `reply_to` | where the reply of such a question goes |
//!
//! Inside a thread everything is shared by `Rc`; between threads it travels as one message.

mod actor;
mod cancel;
mod contribute;
mod deliver;
mod drain;
mod gather;
mod messages;
mod reply_to;
mod state;
mod tick;

pub(crate) use actor::Worker;
pub(crate) use gather::{FanOut, Gather, KillTarget};
pub(crate) use messages::{IncomingConnection, WorkerHandle};
pub(crate) use reply_to::ReplyTo;
pub(crate) use state::WorkerCell;
