//! Tx: the one thread that owns the engine, and may be busy.
//!
//! ```text
//!   workers ──Batch──▶ mailbox ─▶ turn: claim, execute, commit ──Replies──▶ workers
//!                                            │        ▲
//!                                            └ async ─┘  procedures, deferred completions
//! ```
//!
//! | file | what |
//! |---|---|
//! | `actor` | the actix shell: mailbox, turns, the timer, panics |
//! | `core`, `request`, `request_context`, `execution`, `commit` | a turn, from the batch to the replies |
//! | `turn_writes`, `discard` | what a turn may write, and the end of one that may not |
//! | `streams`, `deferred`, `steps` | what outlives a turn |
//! | `cancel`, `deadlines` | ending it: cancels of sessions, timeouts, transitions |
//! | `reservations`, `locks` | what connections hold outside of transactions |
//! | `messages`, `replies` | what workers send, and what is sent to them |
//!
//! Nobody waits for Tx but by what it has not answered. A panic in the engine ends this Tx; the
//! Supervisor starts another, whose engine recovers from its journal.

mod actor;
mod cancel;
mod commit;
mod core;
mod deadlines;
mod deferred;
mod discard;
mod execution;
mod locks;
pub(crate) mod messages;
mod replies;
mod request;
mod request_context;
mod reservations;
mod steps;
mod streams;
#[cfg(test)]
pub(crate) mod test_fixture;
mod turn_writes;

pub use actor::EngineFactory;
pub(crate) use actor::{Parts, Tx};
pub(crate) use messages::TxHandle;
pub(crate) use replies::WorkerLink;
