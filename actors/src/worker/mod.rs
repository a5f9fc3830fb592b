//! A worker: what the sessions of one thread do together.
//!
//! ```text
//!   sessions ──Rc──▶ outgoing batch ── once per tick ──▶ Tx
//!      ▲  ▲                                               │
//!      │  └───── output buffers ◀── Replies, one message ─┘
//!      └── what else concerns them: a message to each ◀── Supervisor, operators, the tick
//! ```
//!
//! | file | what |
//! |---|---|
//! | `progress` | how far it has come with a change, and with a transition |
//! | `handshakes` | what connections over TLS go through before there is a session |
//! | `places` | who has a place for that, and who waits for one, pure |
//! | `sessions` | its sessions, by their numbers |
//! | `actor` | the actor and its tasks: batches out, replies in, the timer |
//! | `deliver` | replies to sessions, sessions going again |
//! | `link_over` | what becomes of requests whose link to an upstream has ended |
//! | `notify` | telling sessions of a change, in bounded steps |
//! | `drain` | its part in transitions |
//! | `drain_upstream` | the same of the drain of an upstream |
//! | `tick` | what nothing else would wake it for |
//! | `rates` | how much there was per second in the last few, pure |
//! | `contribute` | its part of what all workers are asked |
//! | `look_around` | what is due when a test has wound the clock |
//!
//! Inside a thread everything is shared by `Rc`; between threads it travels as one message.

mod actor;
mod contribute;
mod deliver;
mod drain;
mod drain_upstream;
#[cfg(feature = "tls")]
mod handshakes;
mod link_over;
#[cfg(feature = "testing")]
mod look_around;
mod notify;
#[cfg(feature = "tls")]
mod places;
mod progress;
mod rates;
mod sessions;
mod tick;

pub(crate) use actor::Worker;
