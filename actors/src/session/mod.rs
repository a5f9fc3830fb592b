//! Sessions: one actor per connection, many on each worker.
//!
//! ```text
//!   socket ─▶ read ─▶ frames ─▶ dispatch ─┬▶ answered here ──────────────────┐
//!                                         └▶ worker's batch ─▶ Tx ─▶ worker ─┴▶ output ─▶ socket
//! ```
//!
//! | file | what |
//! |---|---|
//! | `actor` | the actix shell and its task |
//! | `messages` | what a session is told by its worker, beside replies |
//! | `handlers` | what it does then |
//! | `cancel` | requests over their time, or killed |
//! | `io` | reads, cuts frames, writes |
//! | `ahead` | what is taken ahead of requests that wait |
//! | `foreseen` | the SELECTs of a burst, told to the view before the first is answered |
//! | `dispatch` | a request's way: decode, class, admit, then answer, refuse, hold or forward |
//! | `untaken` | what had come and was not taken at the deadline of a stop |

pub(crate) mod actor;
mod ahead;
pub(crate) mod cancel;
pub(crate) mod dispatch;
mod foreseen;
mod handlers;
mod io;
pub(crate) mod messages;
pub(crate) mod untaken;
