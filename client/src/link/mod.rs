//! One connection to one server, over all its deaths and returns.
//!
//! ```text
//!   any task ──ask──▶ queue ──▶ drive: writes, reads, pings ◀──▶ socket
//!      ▲                              │
//!      └────── reply ◀── deliver ◀────┘      keeper: connect, greet, log in, drive, wait, again
//! ```
//!
//! A task of its own, the keeper, owns the socket. Tasks that ask put their request into the queue
//! under a short lock and wait for the reply alone. Who asks while nothing else is under way writes
//! a small request there and then, as far as a plain socket takes it.
//!
//! | module | what |
//! |---|---|
//! | `shared` | what the tasks and the keeper share: the state and its lock |
//! | `watches` | the keys that are watched, and their last values |
//! | `ask` | one attempt of a request: sent, answered, taken back |
//! | `uses` | what streams and watchers need beyond requests |
//! | `resolve` | names of spaces and indexes, for servers that take numbers |
//! | `deliver` | replies, pushes and events to those who wait for them |
//! | `transport` | sockets |
//! | `handshake` | greeting, features, login |
//! | `drive` | a connection's life: reading, writing, pings, leaving |
//! | `keeper` | the task that connects again and again |

mod ask;
mod deliver;
mod drive;
mod handshake;
mod keeper;
mod resolve;
mod shared;
mod transport;
mod uses;
mod watches;

pub(crate) use ask::{Asked, Pin, Tracker, Turns, lacks};
pub(crate) use keeper::{Holder, open};
pub(crate) use shared::{Link, Phase, Session, closed};
pub(crate) use watches::Observed;
