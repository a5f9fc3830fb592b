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
//! | `core`, `request`, `execution`, `commit` | a turn, from the batch to the replies |
//! | `stream`, `deferred`, `jobs`, `context`, `completion` | what outlives a turn |
//! | `abort`, `deadlines` | ending it: cancels of sessions, timeouts, transitions |
//! | `reservation` | what connections hold outside of transactions; locks |
//! | `claim`, `mark`, `messages`, `port` | what is shared with other threads |
//!
//! Nobody waits for Tx but by what it has not answered. A panic in the engine ends this Tx; the
//! Supervisor starts another, whose engine recovers from its journal.

mod abort;
mod actor;
pub mod claim;
mod commit;
mod completion;
mod context;
mod core;
mod deadlines;
mod deferred;
mod execution;
pub(crate) mod fence;
mod fencing;
mod jobs;
pub(crate) mod mark;
pub mod messages;
mod port;
pub(crate) mod recent;
mod request;
pub(crate) mod reservation;
#[cfg(test)]
pub(crate) mod rig;
mod stream;

pub use actor::EngineFactory;
pub(crate) use actor::{Parts, Tx};
pub use claim::CancelToken;
pub use completion::Completion;
pub use context::AsyncContext;
pub(crate) use core::may_restart;
pub use messages::TxHandle;
pub(crate) use port::Port;
pub use reservation::ReservationId;
