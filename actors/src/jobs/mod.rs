//! Jobs: work on the engine that the embedder asks for, from any thread, beside the clients.
//!
//! ```text
//!   RuntimeHandle::read, write, call
//!        │
//!        ▼
//!      credit ─▶ admitted? ─▶ JobTable ─▶ Tx: a turn, its commit
//!        │          └ refused     │              └ told: the value
//!        └ waits, or is refused   └ told: refused, outcome unknown
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
//! | `call` | one call of a procedure |
//! | `wait` | who waits for it |

mod call;
mod error;
mod job;
mod table;
mod wait;

pub(crate) use call::{JobCall, Waiting};
pub use error::EngineError;
pub(crate) use job::{Job, JobQueue, JobWork, Work};
pub(crate) use table::{JobTable, JobTicket};
