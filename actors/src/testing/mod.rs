//! What integration tests drive: a server with any engine on a thread of its own, peers that speak
//! raw frames, a clock that is wound by hand, a scripted engine, and the contract of engines as a
//! test.
//!
//! A test without a sleep, of what a client sees while Tx is busy and of a time limit:
//!
//! ```
//! use std::time::Duration;
//!
//! use vestibule_actors::testing::{Harness, RequestBuilder, Script, config};
//!
//! let config = config().request_timeout(Duration::from_secs(60));
//! let harness = Harness::start_with(config, Script::default());
//!
//! // Tx stands still from here on, and pings are answered all the same.
//! let (mut first, mut second) = (harness.block(), harness.connect());
//! second.ping();
//!
//! // A minute later the request behind it is over, without a minute's wait.
//! second.send(&RequestBuilder::replace(7, 1));
//! harness.wait_until("it is forwarded", || harness.handle().in_flight() == 2);
//! harness.wind(Duration::from_secs(60));
//! assert_eq!(first.receive().error_code(), Some(78));
//! let told = second.receive();
//! assert_eq!((told.sync, told.error_code()), (7, Some(78)));
//! ```
//!
//! [`TestServer::of`] does the same for an engine of your own, and `vestibule_engine::testing` for
//! the embedded one, with a disk that fails. In tests of an async runtime [`AsyncPeer`] waits
//! without keeping its thread. [`check_engine()`] says whether an engine keeps its contract.
//!
//! ```text
//!   test ──▶ TestServer, Harness ── thread: System, runtime, engine ◀── Script (block, fail)
//!     └────▶ Peer, AsyncPeer ── real socket ──▲
//! ```
//!
//! | module | what |
//! |---|---|
//! | `check_engine` | the contract of engines, as a test that each has to pass |
//! | `engine` | the scripted engine: it blocks, fails and panics as the test says |
//! | `server` | the runtime on a thread of its own, with any engine |
//! | `wind` | its clock, wound by hand |
//! | `harness` | the same with the scripted engine |
//! | `peer`, `async_peer` | a client that sends and reads raw frames; the same for async tests |
//! | `one_thread` | a worker, Tx and any engine on the thread of the test: what requests cost |
//! | `one_gateway` | a worker of a gateway and its upstream on the thread of the test |
//! | `pipe`, `connect` | its connections: in memory, without an Acceptor |
//! | `request` | the requests that it sends |
//! | `rows` | what an upstream answers of its system spaces |
//!
//! Nothing here sleeps: a test waits for replies, for the script's log, or for the runtime's state.

mod async_peer;
mod check_engine;
pub(crate) mod connect;
mod engine;
mod harness;
mod one_gateway;
mod one_thread;
mod peer;
pub(crate) mod pipe;
mod request;
mod rows;
mod server;
mod wind;

use std::time::Duration;

use crate::Config;

pub use async_peer::AsyncPeer;
pub use check_engine::{EngineCheck, check_engine};
pub use engine::{Script, ScriptedEngine};
pub use harness::Harness;
pub use one_gateway::OneGateway;
pub use one_thread::{OneThread, PipePeer};
#[cfg(test)]
pub(crate) use one_thread::{OneWorker, count_frames};
pub use peer::{Frame, Peer};
pub use request::RequestBuilder;
pub use rows::user_reply;
pub use server::{TestServer, block_on};

/// The default configuration without the watchdog: a test that has Tx stand still says itself what
/// the state is, however slow the machine.
#[must_use]
pub fn config() -> Config {
    Config::default().tx_stall_after(Duration::ZERO)
}
