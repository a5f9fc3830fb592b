//! Tx: the one thread that owns the engine, and may be busy.
//!
//! ```text
//!   session arbiters ──Batch──▶ mailbox ─▶ turn: claim, execute, commit ──Replies──▶ session arbiters
//!                                            │        ▲
//!                                            └ async ─┘  procedures, deferred completions
//! ```
//!
//! | file | what |
//! |---|---|
//! | `actor` | the actix shell: mailbox, turns, the timer, panics |
//! | `core`, `request`, `request_context`, `execution`, `commit` | a turn, from the batch to the replies |
//! | `stream`, `deferred`, `steps` | what outlives a turn |
//! | `abort`, `deadlines` | ending it: cancels of sessions, timeouts, transitions |
//! | `reservation` | what connections hold outside of transactions; locks |
//! | `claim`, `mark`, `messages`, `port` | what is shared with other threads |
//!
//! Nobody waits for Tx but by what it has not answered. A panic in the engine ends this Tx; the
//! Supervisor starts another, whose engine recovers from its journal.

mod abort;
mod actor;
pub(crate) mod claim;
mod commit;
mod core;
mod deadlines;
mod deferred;
mod execution;
pub(crate) mod fence;
mod fencing;
pub(crate) mod mark;
pub(crate) mod messages;
mod port;
pub(crate) mod recent;
mod request;
mod request_context;
pub(crate) mod reservation;
#[cfg(test)]
pub(crate) mod rig;
mod steps;
mod stream;

pub use actor::EngineFactory;
pub(crate) use actor::{Parts, Tx};
pub(crate) use core::may_restart;
pub(crate) use messages::TxHandle;
pub(crate) use port::Port;
