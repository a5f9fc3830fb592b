//! Sessions: one actor per connection, many on each session arbiter.
//!
//! ```text
//!   socket ─▶ read ─▶ frames ─▶ desk ─┬▶ answered here ──────────────┐
//!                                     └▶ lane's batch ─▶ Tx ─▶ lane ─┴▶ output ─▶ socket
//! ```
//!
//! | file | what |
//! |---|---|
//! | `actor` | the actix shell and its task |
//! | `traffic` | reads, cuts frames, writes |
//! | `desk` | a request's way: decode, class, admit, then answer, refuse, hold or forward |
//! | `hold`, `view` | what happens to requests in solo, and to SELECTs |
//! | `lost` | what happens to those of a transaction that died with its Tx |
//! | `local`, `control`, `arguments`, `rows` | what is answered without Tx |
//! | `login`, `watch`, `registry`, `output`, `patience`, `credit`, `memory` | pure parts of it |
//! | `lane` | what the sessions of one arbiter share |

mod actor;
mod arguments;
mod control;
mod credit;
mod desk;
mod hold;
pub(crate) mod lane;
mod local;
mod login;
mod lost;
pub(crate) mod memory;
mod output;
mod patience;
mod registry;
mod rows;
mod state;
mod traffic;
mod transactions;
mod transitions;
pub(crate) mod transport;
mod view;
mod watch;

pub(crate) use lane::messages::Origin;
pub(crate) use lane::{Lane, LaneHandle, Newcomer};
