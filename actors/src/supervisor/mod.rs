//! The Supervisor: starts and replaces Tx, drives transitions, remembers what happened.
//!
//! ```text
//!   Tx's mark ──watchdog──────────────▶ serving cell: stalled
//!   Tx ──ready, died, failed──▶ Supervisor ──▶ serving cell, fence ──notice──▶ session arbiters
//!                                  ▲   │                                        │
//!   operators, embedder ──ask──────┘   └ machine: announce ─▶ quiesce ─▶ … ◀────┘ quiet, killed
//! ```
//!
//! It lives on the System arbiter, which never blocks, and waits for nobody without a deadline.

mod actor;
mod counts;
mod drive;
mod log;
mod messages;
mod outcome;
pub(crate) mod transition;
mod watchdog;

pub(crate) use actor::{SpawnTx, Supervisor};
pub use counts::Counts;
pub(crate) use log::TransitionLog;
pub use log::{Phases, StopReport, TransitionRecord};
pub(crate) use messages::{Ask, Asker, News, SupervisorHandle, TxEvent};
pub use outcome::{TransitionOutcome, TransitionResult};
pub(crate) use transition::Target;
