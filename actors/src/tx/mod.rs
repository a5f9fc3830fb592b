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
//! | `core` | what lives on Tx's thread |
//! | `turn`, `budget` | a turn, from the batches to the replies; how long it goes on |
//! | `request`, `request_context` | the way of one request; what it may use of the runtime |
//! | `atomic` | procedures with a transaction of their own; COMMIT |
//! | `commit`, `discard` | the end of a turn |
//! | `cancel` | ending what was begun: cancels of sessions, timeouts, transitions |
//! | `given_up` | what was ended before it was begun |
//! | `unbegun` | what is behind a BEGIN that is not done |
//! | `queue` | what waits for the next turn |
//! | `callers` | who calls |
//! | `streams` | transactions, and what waits in its stream |
//! | `backlog`, `room` | what waits, because of replies or for its turn; when there is room |
//! | `reply_account` | the bytes of the replies of a connection |
//! | `fair`, `line_up` | Tx is behind: whose turn it is; how what comes joins those that wait |
//! | `waits` | entering a wait, and going on after it |
//! | `holdings` | what connections hold outside of transactions |
//! | `output`, `replies` | what a turn says |
//! | `pushes` | what a client is told before its reply |
//! | `transaction_calls` | `box.begin` and the like in a stream |
//! | `turn_writes` | what a turn has written and may still write |
//! | `deferred`, `tasks`, `steps` | requests that are answered later; async procedures |
//! | `jobs`, `ticks` | work that the embedder asks for, once and every so often |
//! | `calls` | procedures that the embedder calls |
//! | `deadlines` | what has to end in time |
//!
//! Nobody waits for Tx but by what it has not answered. A panic in the engine ends this Tx; the
//! Supervisor starts another, whose engine recovers from its journal.

mod actor;
mod atomic;
mod backlog;
mod budget;
mod callers;
mod calls;
mod cancel;
mod commit;
mod core;
mod deadlines;
mod deferred;
mod discard;
mod fair;
mod given_up;
mod holdings;
mod jobs;
mod line_up;
mod output;
mod pushes;
mod queue;
mod replies;
mod reply_account;
mod request;
mod request_context;
mod room;
mod steps;
mod streams;
mod tasks;
#[cfg(test)]
pub(crate) mod test_fixture;
mod ticks;
mod transaction_calls;
mod turn;
mod turn_writes;
mod unbegun;
mod waits;

pub(crate) use actor::{Parts, Tx};
pub(crate) use holdings::with_locks;
