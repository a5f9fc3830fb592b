//! The harness that integration tests drive: a runtime on a thread of its own, a scripted engine, and a
//! peer that speaks raw frames.
//!
//! ```text
//!   test ──▶ Harness ── thread: System + runtime + ScriptedEngine ◀── Script (block, fail, log)
//!     └────▶ Peer ── real socket ──────────▲
//! ```
//!
//! Nothing here sleeps: a test waits for replies, for the script's log, or for the runtime's state.

mod engine;
mod harness;
mod peer;

pub use engine::{Script, ScriptedEngine};
pub use harness::Harness;
pub use peer::{Frame, Peer, RequestBuilder};
