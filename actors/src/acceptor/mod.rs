//! The Acceptor: takes connections from the listeners and hands them to the session arbiters.
//!
//! ```text
//!   listeners ──readable──▶ accept until empty, at most a batch
//!                             ├ a place is free: the thread with the fewest, one message a batch
//!                             ├ no place: greeted, told why, closed; so many a second
//!                             ├ the peer is gone already: next
//!                             └ no descriptors or memory: one log line, a pause that grows, no spin
//! ```
//!
//! | file | what |
//! |---|---|
//! | `actor` | the actix shell |
//! | `budget` | how the process's descriptors are shared out |
//! | `gate` | who gets a place, and the pace of what is refused |
//! | `places` | the places that are taken, counted |
//! | `turn_away`, `listen` | the refusal; opening a listener |

mod actor;
mod budget;
mod gate;
mod listen;
mod places;
mod turn_away;

pub(crate) use actor::{Acceptor, AcceptorHandle};
pub(crate) use budget::Shares;
pub(crate) use gate::Door;
pub(crate) use listen::bind;
pub(crate) use places::{Place, Places};
pub(crate) use turn_away::{no_place, turn_away};
