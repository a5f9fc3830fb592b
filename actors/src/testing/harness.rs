//! A server with a scripted engine.

use std::net::SocketAddr;
use std::time::Duration;

use super::engine::{Script, ScriptedEngine};
use super::peer::Peer;
use super::request::RequestBuilder;
use super::server::TestServer;
use crate::serving::State;
use crate::{Config, RuntimeHandle, StopReport, TransitionOutcome};

/// A [`TestServer`] with a scripted engine. Dropped, it lets the engine go on and stops without
/// grace.
#[derive(Debug)]
pub struct Harness {
    script: Script,
    server: TestServer<ScriptedEngine>,
}

impl Harness {
    /// Starts with [`config`](super::config) and waits until it serves.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(super::config(), Script::default())
    }

    /// Starts with a configuration and waits until it serves.
    #[must_use]
    pub fn start_with(config: Config, script: Script) -> Self {
        let harness = Self::start_loading(config, script);
        harness.wait_for(State::Assist);
        harness
    }

    /// Starts and does not wait for the engine.
    #[must_use]
    pub fn start_loading(config: Config, script: Script) -> Self {
        let own_script = script.clone();
        let engine = move || Ok(own_script.engine());
        let server = TestServer::start_loading(config, engine, Script::procedures());
        Self { script, server }
    }

    /// The runtime's handle.
    #[must_use]
    pub fn handle(&self) -> &RuntimeHandle<ScriptedEngine> {
        self.server.handle()
    }

    /// What the engine does.
    #[must_use]
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// Winds the runtime's clock on: see [`TestServer::wind`]. A Tx that the [script](Self::script)
    /// has stand still is left alone.
    pub fn wind(&self, time: Duration) {
        match self.script.stands_still() {
            true => self.server.wind_around_tx(time),
            false => self.server.wind(time),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// A new connection, greeted.
    #[must_use]
    pub fn connect(&self) -> Peer {
        self.server.connect()
    }

    /// A new connection whose call of `block` Tx executes, and stands still in it until
    /// [`Script::release`].
    #[must_use]
    pub fn block(&self) -> Peer {
        self.script.hold_tx();
        let mut peer = self.connect();
        peer.send(&RequestBuilder::call(1, "block", &[0x90]));
        self.script.wait_until_blocked();
        peer
    }

    /// Waits for a state.
    pub fn wait_for(&self, state: State) {
        self.server.wait_for(state);
    }

    /// Waits for what no message tells.
    pub fn wait_until(&self, what: &str, until: impl Fn() -> bool) {
        self.server.wait_until(what, until);
    }

    /// Makes it a replica, and waits until that is done.
    #[must_use]
    pub fn demote(&self, grace: Duration) -> TransitionOutcome {
        self.server.demote(grace)
    }

    /// Makes it a primary, and waits until that is done.
    pub fn promote(&self) -> TransitionOutcome {
        self.server.promote()
    }

    /// Stops and returns the report.
    #[must_use]
    pub fn stop(mut self, grace: Duration) -> StopReport {
        self.handle().begin_drain(Some(grace), "test");
        self.join()
    }

    /// Waits for a stop that something else began.
    #[must_use]
    pub fn join(&mut self) -> StopReport {
        self.server.join()
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        self.script.release();
        self.script.hold_recovery(false);
    }
}
