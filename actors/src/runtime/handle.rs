//! What an embedder does with a running runtime.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::transition::Transition;
use crate::acceptor::{AcceptorHandle, reject};
use crate::config::Grace;
use crate::endpoints::{BoundListener, ListenAddress};
use crate::exposure::refuses;
use crate::incoming::{AdoptError, Connection, ListenError, Listener, Origin};
use crate::jobs::{JobQueue, JobTable};
use crate::messages::IncomingConnection;
use crate::peers::Peers;
use crate::serving::{Events, Serving, State};
use crate::shared::Shared;
use crate::transitions::{StopReport, TransitionOutcome};

/// A running runtime, with the type of its engine. Cheap to clone, and at home on any thread.
/// Dropping it changes nothing: the actors go on until they are stopped.
pub struct RuntimeHandle<E: 'static> {
    pub(super) shared: Arc<Shared>,
    pub(super) peers: Arc<Peers>,
    pub(super) jobs: Arc<JobTable>,
    pub(super) queue: Arc<JobQueue<E>>,
    pub(super) acceptor: AcceptorHandle,
    pub(super) listeners: Arc<[BoundListener]>,
    pub(super) stopped: watch::Receiver<Option<StopReport>>,
}

// Not derived: the engine need not be `Clone`.
impl<E> Clone for RuntimeHandle<E> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            peers: self.peers.clone(),
            jobs: self.jobs.clone(),
            queue: self.queue.clone(),
            acceptor: self.acceptor.clone(),
            listeners: self.listeners.clone(),
            stopped: self.stopped.clone(),
        }
    }
}

impl<E> fmt::Debug for RuntimeHandle<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeHandle")
            .field("listeners", &self.listeners)
            .field("serving", &self.serving())
            .finish_non_exhaustive()
    }
}

impl<E: 'static> RuntimeHandle<E> {
    /// State, role and epoch, by one atomic load.
    #[must_use]
    pub fn serving(&self) -> Serving {
        self.shared.serving.load()
    }

    /// Waits until the state, the role or the direction is another than this, and returns it. Once
    /// the runtime has stopped it returns at once: nothing changes any more.
    ///
    /// ```
    /// use vestibule_actors::RuntimeHandle;
    /// use vestibule_actors::serving::State;
    ///
    /// /// Tells a load balancer, say, whenever it is another.
    /// async fn watch<E>(runtime: &RuntimeHandle<E>, tell: impl Fn(State)) {
    ///     let mut serving = runtime.serving();
    ///     while serving.state != State::Stopped {
    ///         tell(serving.state);
    ///         serving = runtime.changed(serving).await;
    ///     }
    /// }
    /// # use vestibule_actors::{actix_rt::System, testing::Harness};
    /// # let harness = Harness::start();
    /// # System::new().block_on(async {
    /// #     harness.handle().begin_drain(None, "the docs");
    /// #     watch(harness.handle(), |_| ()).await;
    /// # });
    /// ```
    pub async fn changed(&self, since: Serving) -> Serving {
        let mut changes = self.shared.changes.subscribe();
        let is_over = |now: &Serving| *now != since || now.state == State::Stopped;
        // The sender lives as long as this handle.
        let now = changes.wait_for(is_over).await;
        now.map_or(since, |now| *now)
    }

    /// What time it is, by the clock that the runtime goes by: the system's monotonic one, which
    /// tests wind (`testing::TestServer::wind`).
    #[must_use]
    pub fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    /// The events that clients watch, to set those of one's own: from any thread, for as long as
    /// the runtime lives.
    ///
    /// ```
    /// use vestibule_actors::testing::{Harness, RequestBuilder};
    ///
    /// let harness = Harness::start();
    /// harness.handle().events().set("jobs", &3)?;
    /// let mut peer = harness.connect();
    /// let told = peer.ask(&RequestBuilder::watch_once(1, "jobs"));
    /// assert_eq!(told.value::<u64>(), 3);
    /// # Ok::<(), vestibule_actors::wire::Error>(())
    /// ```
    #[must_use]
    pub fn events(&self) -> &Arc<Events> {
        &self.shared.events
    }

    /// Hands over a connection that was accepted elsewhere. It takes a slot like any other; without
    /// one the client is told so.
    ///
    /// # Errors
    ///
    /// [`AdoptError`]: there is no slot, or its own bounds are beyond those of the runtime. The
    /// connection is closed.
    pub fn adopt(&self, connection: Connection) -> Result<(), AdoptError> {
        let Connection {
            mut stream,
            peer,
            kind,
            bounds,
        } = connection;
        let settings = self.shared.settings.load();
        bounds.check(settings.time_limits.idle)?;
        let slots = &self.shared.slots;
        let may_administer = settings.administrators.may_be(peer);
        let slot = match slots.admit(kind, may_administer, peer.ip()) {
            Ok(slot) => slot,
            Err(why) => {
                reject(&self.shared, &mut stream, why, self.shared.clock.now());
                return Err(AdoptError::TooManyConnections);
            }
        };
        self.peers.workers[slot.thread()].accepted(vec![IncomingConnection {
            stream,
            tls: None,
            origin: Origin {
                bounds,
                ..peer.into()
            },
            slot,
        }]);
        Ok(())
    }

    /// Accepts from a listener that is bound already, beside those of the configuration, until a
    /// stop begins.
    ///
    /// # Errors
    ///
    /// [`ListenError`]: a guest who may do everything, where other machines are; no address of the
    /// socket.
    pub fn listen(&self, listener: Listener) -> Result<(), ListenError> {
        let network = |own: ListenAddress| own.network();
        if let Some(address) = listener.address()?.and_then(network) {
            let catalog = self.shared.catalog();
            let power = || catalog.and_then(|catalog| catalog.guest_power());
            if refuses(self.shared.config.exposed_guest, address.ip())
                && let Some(power) = power()
            {
                return Err(ListenError::ExposedGuest { address, power });
            }
            // Without an engine yet: its recovery looks at it.
            self.shared.exposure.note_listener(address);
        }
        self.acceptor.listen(listener);
        Ok(())
    }

    /// Begins a stop: new work is refused, what runs may finish until `grace` is over. `None` takes
    /// the configured period. If a stop is under way, a `grace` that ends sooner shortens it.
    /// `requested_by` is told in the log and in the list of transitions. [`Transition::stop`] takes
    /// what else can be said.
    ///
    /// ```
    /// use std::time::Duration;
    /// use vestibule_actors::serving::State;
    /// use vestibule_actors::testing::{Harness, block_on};
    ///
    /// let harness = Harness::start();
    /// // Tx stands still in a request, which has a minute to end.
    /// let mut running = harness.block();
    /// harness.handle().begin_drain(Some(Duration::from_secs(60)), "the deployment");
    /// harness.wait_for(State::Draining);
    /// harness.script().release();
    /// assert_eq!(running.receive().value::<String>(), "released");
    /// assert_eq!(block_on(harness.handle().stopped()).killed, 0);
    /// ```
    pub fn begin_drain(&self, grace: Option<Duration>, requested_by: &str) {
        self.begin(with_grace(Transition::stop(), grace).requested_by(requested_by));
    }

    /// Stops without announcement and without grace: what runs is cut off now, also if a stop is
    /// under way that gives it more time.
    ///
    /// ```
    /// use vestibule_actors::testing::{Harness, RequestBuilder, block_on};
    ///
    /// let harness = Harness::start();
    /// let mut peer = harness.connect();
    /// peer.send(&RequestBuilder::call(1, "never", &[0x90]));
    /// harness.wait_until("it is under way", || harness.handle().in_flight() == 1);
    /// harness.handle().stop_now("the operator");
    /// // It is told, whether it had begun or not.
    /// assert_ne!(peer.receive().code, 0);
    /// assert_eq!(block_on(harness.handle().stopped()).failure, None);
    /// ```
    pub fn stop_now(&self, requested_by: &str) {
        let stop = Transition::stop().lameduck(Duration::ZERO);
        let stop = stop.grace(Grace::Limited(Duration::ZERO));
        self.begin(stop.requested_by(requested_by));
    }

    /// Makes it a replica: see [`Transition::to_replica`]. `None` takes the configured grace. The
    /// answer comes within the grace and 50 ms, or, if another transition is under way, within
    /// [`TRANSITION_WAIT_DEFAULT`](crate::limits::TRANSITION_WAIT_DEFAULT).
    ///
    /// ```
    /// use std::time::Duration;
    /// use vestibule_actors::TransitionResult;
    /// use vestibule_actors::actix_rt::System;
    /// use vestibule_actors::testing::{Harness, RequestBuilder};
    ///
    /// let harness = Harness::start();
    /// System::new().block_on(async {
    ///     let runtime = harness.handle();
    ///     let grace = Some(Duration::from_secs(5));
    ///     let demoted = runtime.demote(grace, "the failover").await;
    ///     assert_eq!(demoted.result, TransitionResult::Done);
    ///     assert_eq!(runtime.transitions().last().unwrap().requested_by, "the failover");
    /// });
    /// // What reads goes on; what writes is told to go elsewhere (error 7).
    /// let refused = harness.connect().ask(&RequestBuilder::replace(1, 1));
    /// assert_eq!(refused.error_code(), Some(7));
    /// ```
    pub async fn demote(&self, grace: Option<Duration>, requested_by: &str) -> TransitionOutcome {
        let demotion = with_grace(Transition::to_replica(), grace);
        self.change(demotion.requested_by(requested_by)).await
    }

    /// Makes it a primary, at once. Transactions that are open stay read-only.
    ///
    /// ```
    /// use vestibule_actors::testing::{Harness, RequestBuilder, block_on};
    /// use vestibule_actors::{Config, TransitionResult};
    /// use vestibule_actors::serving::Role;
    /// # use vestibule_actors::testing::Script;
    ///
    /// let config = Config::default().role(Role::Replica);
    /// let harness = Harness::start_with(config, Script::default());
    /// let mut peer = harness.connect();
    /// assert_eq!(peer.ask(&RequestBuilder::replace(1, 1)).error_code(), Some(7));
    /// let promoted = block_on(harness.handle().promote("the failover"));
    /// assert_eq!(promoted.result, TransitionResult::Done);
    /// assert_eq!(peer.ask(&RequestBuilder::replace(2, 1)).code, 0);
    /// ```
    pub async fn promote(&self, requested_by: &str) -> TransitionOutcome {
        let promotion = Transition::to_primary().requested_by(requested_by);
        self.change(promotion).await
    }

    /// Waits until the runtime has stopped, by any caller's wish.
    pub async fn stopped(&self) -> StopReport {
        let mut stopped = self.stopped.clone();
        let report = stopped
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|report| report.clone());
        // Without a report the System went down with the Supervisor.
        report.unwrap_or(StopReport {
            killed: 0,
            aborted_transactions: 0,
            tx_stopped: false,
            took: Duration::ZERO,
            failure: Some("the actix System stopped first".to_owned()),
        })
    }

    /// Stops and waits for the end: at most the grace period and a little.
    ///
    /// ```
    /// use std::time::Duration;
    /// use vestibule_actors::actix_rt::System;
    /// use vestibule_actors::testing::Harness;
    ///
    /// let harness = Harness::start();
    /// System::new().block_on(async {
    ///     let report = harness.handle().stop(Some(Duration::from_secs(3))).await;
    ///     assert_eq!((report.killed, report.tx_stopped), (0, true));
    ///     assert_eq!(report.failure, None);
    /// });
    /// ```
    pub async fn stop(&self, grace: Option<Duration>) -> StopReport {
        self.begin_drain(grace, "the embedder");
        self.stopped().await
    }
}

fn with_grace(transition: Transition, grace: Option<Duration>) -> Transition {
    match grace {
        Some(grace) => transition.grace(Grace::Limited(grace)),
        None => transition,
    }
}
