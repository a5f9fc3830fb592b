//! A runtime on a thread of its own, with any engine, or before upstreams.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::engine::PATIENCE;
use super::peer::Peer;
use crate::clock::Clock;
use crate::engine::procedures::Procedures;
use crate::engine::{Engine, EngineFactory};
use crate::runtime::{GatewayBuilder, RuntimeBuilder, Timing};
use crate::serving::State;
use crate::{Config, Gateway, RuntimeHandle, StartError, StopReport, TransitionOutcome, Upstreams};

/// How long session threads may take after the deadline of a change of the role: the tests look at
/// what was cut off, and a busy machine may keep a thread from running for longer than operators
/// are promised.
const ROLE_SLACK: Duration = Duration::from_secs(10);

/// A running runtime with an engine and procedures of the test's choice, on a System and a thread
/// of its own: a test may wait on its thread without keeping the server from going on, be it a
/// plain test or one of an async runtime. No session thread is left behind in a change of the role.
/// Dropped, it stops without grace.
///
/// ```
/// use vestibule_actors::Procedures;
/// use vestibule_actors::testing::{Script, TestServer};
///
/// // Any engine will do: here the scripted one.
/// let script = Script::default();
/// let make = script.clone();
/// let procedures = Procedures::default().function("sum", |(a, b): (i64, i64)| Ok(a + b));
/// let server = TestServer::of(move || Ok(make.engine()), procedures);
/// let sum: i64 = server.connect().call_with("sum", &(2, 3)).value();
/// assert_eq!(sum, 5);
/// ```
#[derive(Debug)]
pub struct TestServer<E: 'static> {
    pub(super) handle: RuntimeHandle<E>,
    pub(super) clock: Clock,
    thread: Option<JoinHandle<StopReport>>,
}

impl<E: Engine> TestServer<E> {
    /// Starts with [`config`](super::config), and waits until it serves.
    ///
    /// # Panics
    ///
    /// If it cannot start, or does not serve in time: the engine does not recover.
    #[must_use]
    pub fn of(engine: impl EngineFactory<E>, procedures: Procedures<E>) -> Self {
        Self::with_config(super::config(), engine, procedures)
    }

    /// The same with a configuration.
    ///
    /// # Panics
    ///
    /// As [`of`](Self::of).
    #[must_use]
    pub fn with_config(
        config: Config,
        engine: impl EngineFactory<E>,
        procedures: Procedures<E>,
    ) -> Self {
        Self::start(RuntimeBuilder::new(config, engine, procedures))
    }

    /// The same with everything that a runtime can be given.
    ///
    /// # Panics
    ///
    /// As [`of`](Self::of).
    #[must_use]
    pub fn start(builder: RuntimeBuilder<E>) -> Self {
        let server = Self::launch(builder);
        server.wait_for(State::Assist);
        server
    }

    /// Starts and does not wait for the engine.
    ///
    /// # Panics
    ///
    /// If it cannot start.
    #[must_use]
    pub fn start_loading(
        config: Config,
        engine: impl EngineFactory<E>,
        procedures: Procedures<E>,
    ) -> Self {
        Self::launch(RuntimeBuilder::new(config, engine, procedures))
    }

    fn launch(builder: RuntimeBuilder<E>) -> Self {
        Self::launch_with(move |timing| builder.start_with_timing(timing))
    }
}

impl TestServer<Gateway> {
    /// Starts a gateway with [`config`](super::config), and does not wait for its upstreams.
    ///
    /// # Panics
    ///
    /// If it cannot start.
    #[must_use]
    pub fn before(upstreams: Upstreams) -> Self {
        Self::before_with(super::config(), upstreams)
    }

    /// The same with a configuration.
    ///
    /// # Panics
    ///
    /// As [`before`](Self::before).
    #[must_use]
    pub fn before_with(config: Config, upstreams: Upstreams) -> Self {
        Self::of_gateway(GatewayBuilder::new(config, upstreams))
    }

    /// The same with what else a gateway may be made of.
    ///
    /// # Panics
    ///
    /// As [`before`](Self::before).
    #[must_use]
    pub fn of_gateway(builder: GatewayBuilder) -> Self {
        Self::launch_with(move |timing| builder.start_with_timing(timing))
    }
}

impl<E: 'static> TestServer<E> {
    fn launch_with(
        start: impl FnOnce(Timing) -> Result<RuntimeHandle<E>, StartError> + Send + 'static,
    ) -> Self {
        let (told, handle) = mpsc::channel();
        let clock = Clock::hand_wound();
        let thread = thread::spawn(move || {
            actix_rt::System::new().block_on(async move {
                let timing = Timing {
                    clock,
                    role_slack: ROLE_SLACK,
                };
                let runtime = start(timing);
                let runtime = runtime.unwrap_or_else(|error| panic!("it cannot start: {error}"));
                told.send(runtime.clone()).expect("the test waits for it");
                runtime.stopped().await
            })
        });
        let handle = handle.recv_timeout(PATIENCE).expect("the runtime starts");
        Self {
            handle,
            clock,
            thread: Some(thread),
        }
    }

    /// The runtime's handle.
    #[must_use]
    pub fn handle(&self) -> &RuntimeHandle<E> {
        &self.handle
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

    /// Waits for a state, and until all sessions have heard of it.
    ///
    /// # Panics
    ///
    /// If it does not come in time.
    pub fn wait_for(&self, state: State) {
        self.wait_until(&format!("state {state}"), || {
            // At the end there are no sessions that hear of it.
            let is_known = state == State::Stopped || self.handle.is_known_to_sessions();
            self.handle.serving().state == state && is_known
        });
    }

    /// Waits for what no message tells.
    ///
    /// # Panics
    ///
    /// If it does not come in time.
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
        block_on(self.handle.demote(Some(grace), "test"))
    }

    /// Makes it a primary, and waits until that is done.
    pub fn promote(&self) -> TransitionOutcome {
        block_on(self.handle.promote("test"))
    }

    /// Stops and returns the report.
    #[must_use]
    pub fn stop(mut self, grace: Duration) -> StopReport {
        self.handle.begin_drain(Some(grace), "test");
        self.join()
    }

    /// Waits for a stop that something else began.
    ///
    /// # Panics
    ///
    /// If it was waited for already, or the runtime's thread has panicked.
    #[must_use]
    pub fn join(&mut self) -> StopReport {
        let thread = self.thread.take().expect("joined once");
        thread.join().expect("the runtime's thread does not panic")
    }
}

/// Waits on this thread for what a handle of a [`TestServer`] is asked, in a plain test or in one
/// of an async runtime: the server has a thread of its own.
///
/// ```
/// use vestibule_actors::testing::{Harness, block_on};
///
/// let harness = Harness::start();
/// let stored = block_on(harness.handle().write(|engine| {
///     engine.put(7);
///     Ok(engine.count())
/// }));
/// assert_eq!(stored, Ok(1));
/// ```
///
/// # Panics
///
/// If the future does.
pub fn block_on<T: Send>(future: impl Future<Output = T> + Send) -> T {
    // On a thread of its own, since no async runtime lets one of its threads run another.
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime can be made").block_on(future)
        });
        match waiting.join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

impl<E: 'static> Drop for TestServer<E> {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.handle
                .begin_drain(Some(Duration::ZERO), "the test is over");
            // A panic there is told by the test that waited for something else.
            let _ = thread.join();
        }
    }
}
