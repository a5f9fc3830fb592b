//! Sessions: one actor per connection, many on each session arbiter.
//!
//! ```text
//!   socket ─▶ read ─▶ frames ─▶ desk ─┬▶ answered here ──────────────┐
//!                                     └▶ lane's batch ─▶ Tx ─▶ lane ─┴▶ output ─▶ socket
//! ```
//!
//! | file | what |
//! |---|---|
//! | `actor` | the actix shell: the task that reads, takes frames and writes |
//! | `desk` | a request's way: decode, class, admit, then answer, refuse, hold or forward |
//! | `hold`, `view` | what happens to requests in solo, and to SELECTs |
//! | `local`, `control`, `arguments` | what is answered without Tx |
//! | `login`, `watch`, `registry`, `output`, `patience` | pure parts of it |
//! | `lane` | what the sessions of one arbiter share |

mod actor;
mod arguments;
mod control;
mod desk;
mod hold;
pub(crate) mod lane;
mod local;
mod login;
mod output;
mod patience;
mod registry;
mod state;
mod view;
mod watch;

pub(crate) use lane::{Lane, LaneHandle};
