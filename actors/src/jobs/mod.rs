//! Jobs: work on the engine that the embedder asks for, from any thread, beside the clients.
//!
//! ```text
//!   RuntimeHandle::read, write ─▶ credit ─▶ admitted? ─▶ JobTable ─▶ Tx: a turn, its commit
//!                                  │          └ refused     │              └ told: the value
//!                                  └ waits, or is refused   └ told: refused, outcome unknown
//! ```
//!
//! To the Supervisor the table is one more worker: a transition waits for its jobs, and cuts off
//! what is left of them.
//!
//! | file | what |
//! |---|---|
//! | `error` | what becomes of a job that has no result |
//! | `table` | the jobs that are under way, and the transition that they are in |
//! | `job` | one job on its way to Tx |
//! | `wait` | who waits for it |

mod error;
mod job;
mod table;
mod wait;

pub use error::EngineError;
pub(crate) use job::{Job, JobQueue};
pub(crate) use table::JobTable;
