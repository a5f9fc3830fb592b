//! The Supervisor: starts and replaces Tx, drives transitions, remembers what happened.
//!
//! ```text
//!   Tx's heartbeat ──watchdog──────────────▶ serving cell: stalled
//!   Tx ──ready, died, failed──▶ Supervisor ──▶ serving cell, fence ──notice──▶ workers
//!                                  ▲   │                                        │
//!   operators, embedder ─submit────┘   └ machine: announce ─▶ quiesce ─▶ … ◀────┘ quiet, cut off
//! ```
//!
//! It lives on the System arbiter, which never blocks, and waits for nobody without a deadline. The
//! serving state is set by it alone, but for solo and the progress of a recovery.
//!
//! | file | what |
//! |---|---|
//! | `watchdog` | notices that Tx stands still, as a pure machine |
//! | `actor` | the actix shell: Tx's life, the watchdog's looks |
//! | `drive` | applies what the machine of [`transitions`](crate::transitions) decides |
//! | `look_around` | what is due when a test has wound the clock |

mod actor;
mod drive;
#[cfg(feature = "testing")]
mod look_around;
mod watchdog;

pub(crate) use actor::{DrainUpstream, SpawnTx, Supervisor};
