//! Sessions: one actor per connection, many on each session arbiter.
//!
//! ```text
//!   socket ─▶ read ─▶ frames ─▶ desk ─┬▶ answered here ──────────────┐
//!                                     └▶ worker's batch ─▶ Tx ─▶ worker ─┴▶ output ─▶ socket
//! ```
//!
//! | file | what |
//! |---|---|
//! | `actor` | the actix shell and its task |
//! | `traffic` | reads, cuts frames, writes |
//! | `desk` | a request's way: decode, class, admit, then answer, refuse, hold or forward |
//! | `hold`, `view` | what happens to requests in solo, and to SELECTs |
//! | `lost` | what happens to those of a transaction that died with its Tx |
//! | `dispatch::local` | what is answered without Tx |
//! | `login`, `watch`, `output`, `patience` | pure parts of it |

pub(crate) mod actor;
pub(crate) mod desk;
mod dispatch;
mod hold;
mod login;
mod lost;
pub(crate) mod output;
pub(crate) mod patience;
pub(crate) mod state;
mod traffic;
pub(crate) mod transport;
mod view;
mod watch;
