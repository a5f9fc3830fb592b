//! A runtime on a thread of its own.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::engine::{PATIENCE, Script, ScriptedEngine};
use super::peer::Peer;
use crate::runtime::start_with_slack;
use crate::serving::State;
use crate::{Config, RuntimeHandle, StopReport, TransitionOutcome};

/// How long session threads may take after the deadline of a change of the role: the tests look at
/// what was cut off, and a busy machine may keep a thread from running for longer than operators
/// are promised.
const ROLE_SLACK: Duration = Duration::from_secs(10);

/// A running runtime with a scripted engine. No session thread is left behind in a change of the
/// role. Dropped, it stops without grace.
#[derive(Debug)]
pub struct Harness {
    handle: RuntimeHandle<ScriptedEngine>,
    script: Script,
    thread: Option<JoinHandle<StopReport>>,
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
        let (told, handle) = mpsc::channel();
        let own_script = script.clone();
        let thread = thread::spawn(move || {
            actix_rt::System::new().block_on(async move {
                let engine = move || Ok(own_script.engine());
                let runtime = start_with_slack(config, ROLE_SLACK, engine, Script::procedures());
                let runtime = runtime.expect("a loopback port is free");
                told.send(runtime.clone()).expect("the test waits for it");
                runtime.stopped().await
            })
        });
        let handle = handle.recv_timeout(PATIENCE).expect("the runtime starts");
        Self {
            handle,
            script,
            thread: Some(thread),
        }
    }

    /// The runtime's handle.
    #[must_use]
    pub fn handle(&self) -> &RuntimeHandle<ScriptedEngine> {
        &self.handle
    }

    /// What the engine does.
    #[must_use]
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.handle.addresses()[0]
    }

    /// A new connection, greeted.
    #[must_use]
    pub fn connect(&self) -> Peer {
        Peer::connect(self.address())
    }

    /// Waits for a state.
    pub fn wait_for(&self, state: State) {
        self.wait_until(&format!("state {state}"), || {
            self.handle.serving().state == state
        });
    }

    /// Waits for what no message tells.
    pub fn wait_until(&self, what: &str, until: impl Fn() -> bool) {
        let began = Instant::now();
        while !until() {
            assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
            thread::yield_now();
        }
    }

    /// Makes it a replica, and waits until that is done.
    #[must_use]
    pub fn demote(&self, grace: Duration) -> TransitionOutcome {
        wait_for(self.handle.demote(Some(grace), "test"))
    }

    /// Makes it a primary, and waits until that is done.
    pub fn promote(&self) -> TransitionOutcome {
        wait_for(self.handle.promote("test"))
    }

    /// Stops and returns the report.
    #[must_use]
    pub fn stop(mut self, grace: Duration) -> StopReport {
        self.handle.begin_drain(Some(grace), "test");
        self.join()
    }

    /// Waits for a stop that something else began.
    #[must_use]
    pub fn join(&mut self) -> StopReport {
        let thread = self.thread.take().expect("joined once");
        thread.join().expect("the runtime's thread does not panic")
    }
}

/// Waits on this thread: the runtime has its own.
fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime can be made").block_on(future)
}

impl Drop for Harness {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.script.release();
            self.script.hold_recovery(false);
            self.handle
                .begin_drain(Some(Duration::ZERO), "the test is over");
            // A panic there is told by the test that waited for something else.
            let _ = thread.join();
        }
    }
}
