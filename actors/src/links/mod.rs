//! The links of one worker: what stands in Tx's place in a gateway. Shells around
//! [`upstream::UpstreamLink`](crate::upstream::UpstreamLink).
//!
//! ```text
//!   worker ── batch, once per tick ─▶ taking ─▶ the link of each caller ─▶ socket
//!     ▲                                              │ its task reads
//!     ├──── Replies, Push ◀──── deliveries ◀─────────┘
//!     └──── LinkOver ◀───────── the link has ended
//! ```
//!
//! | file | what |
//! |---|---|
//! | `taking` | takes batches |
//! | `callers` | who calls, over which link, and what became of their streams |
//! | `hub` | the links: opened, ended, left |
//! | `cell` | one link with its socket |
//! | `task` | the life of a link: connecting, reading, its end |
//! | `deliveries` | replies on their way to the worker |

mod callers;
mod cell;
mod deliveries;
mod hub;
mod taking;
mod task;

pub(crate) use hub::Links;
