//! The harness that integration tests drive: a runtime on a thread of its own, a scripted engine,
//! and a peer that speaks raw frames.
//!
//! ```text
//!   test ──▶ Harness ── thread: System + runtime + ScriptedEngine ◀── Script (block, fail, log)
//!     └────▶ Peer ── real socket ──────────▲
//! ```
//!
//! | module | what |
//! |---|---|
//! | `engine` | the scripted engine: it blocks, fails and panics as the test says |
//! | `server` | the runtime on a thread of its own, with any engine |
//! | `harness` | the same with the scripted engine |
//! | `peer` | a client that sends and reads raw frames |
//!
//! Nothing here sleeps: a test waits for replies, for the script's log, or for the runtime's state.

mod engine;
mod harness;
mod peer;
mod server;

use std::time::Duration;

use crate::Config;

pub use engine::{Script, ScriptedEngine};
pub use harness::Harness;
pub use peer::{Frame, Peer, RequestBuilder};
pub use server::TestServer;

/// The default configuration without the watchdog: a test that has Tx stand still says itself what
/// the state is, however slow the machine.
#[must_use]
pub fn config() -> Config {
    Config {
        tx_stall_after: Duration::ZERO,
        ..Config::default()
    }
}
