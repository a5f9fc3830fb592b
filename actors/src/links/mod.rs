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
//! | `hub` | the links: ended, left |
//! | `opening` | the links: found, opened |
//! | `entries` | requests of a batch, as a link takes them |
//! | `cell` | one link with its socket |
//! | `again` | what is sent again, or later than it came |
//! | `reads` | SELECTs that replicas answer |
//! | `settling` | what goes of it, as soon as it may |
//! | `bulk` | who goes over the second link of a user, and when |
//! | `moving` | how a client goes from one link to another |
//! | `refusals` | what requests are told that go over no link |
//! | `drain` | what becomes of them when their upstream is drained |
//! | `pins` | clients that have links of their own |
//! | `gone_users` | links whose user was dropped |
//! | `pause` | how long new links are left alone that did not come about |
//! | `rows` | what operators see of them |
//! | `statements` | prepared statements that are named by their numbers |
//! | `task` | the life of a link: connecting, reading, its end |
//! | `unbegun` | what becomes of transactions whose BEGIN is not sent |
//! | `told` | what is answered here |
//! | `deliveries` | replies on their way to the worker |

mod again;
mod bulk;
#[cfg(test)]
mod by_hand;
mod callers;
mod cell;
mod deliveries;
mod drain;
mod entries;
mod gone_users;
mod hub;
mod moving;
mod opening;
mod pause;
mod pins;
mod reads;
mod refusals;
mod rows;
mod settling;
mod statements;
mod taking;
mod task;
mod told;
mod unbegun;

pub(crate) use drain::AtUpstream;
pub(crate) use hub::Links;
