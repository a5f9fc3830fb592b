//! The Supervisor: starts and replaces Tx, drives the stop, remembers what happened.
//!
//! ```text
//!   Tx ──ready, died, failed──▶ Supervisor ──▶ serving cell ──nudge──▶ session arbiters
//!                                  ▲   │
//!   operators, embedder ──drain────┘   └──▶ stop: accept no more ─▶ grace ─▶ close all ─▶ Tx ─▶ done
//! ```
//!
//! It lives on the System arbiter, which never blocks, and waits for nobody without a deadline.

mod actor;
mod log;
mod messages;
mod stop;

pub(crate) use actor::{SpawnTx, Supervisor};
pub(crate) use log::TransitionLog;
pub use log::{StopReport, TransitionRecord};
pub(crate) use messages::{BeginDrain, SupervisorHandle, TxEvent};
