//! What an embedder does with a running runtime.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::acceptor::{AcceptorHandle, reject};
use crate::exposure::refuses;
use crate::incoming::{AdoptError, Connection, ListenError, Listener};
use crate::jobs::{JobQueue, JobTable};
use crate::limits::TRANSITION_WAIT_DEFAULT;
use crate::messages::{IncomingConnection, Requester};
use crate::peers::Peers;
use crate::serving::{Events, Role, Serving, ServingCell, State, Status};
use crate::shared::Shared;
use crate::transitions::{
    AskedTimes, StopReport, TransitionOutcome, TransitionRequest, TransitionResult,
    TransitionTarget,
};

/// A running runtime, with the type of its engine. Cheap to clone, and at home on any thread.
/// Dropping it changes nothing: the actors go on until they are stopped.
pub struct RuntimeHandle<E: 'static> {
    pub(super) shared: Arc<Shared>,
    pub(super) peers: Arc<Peers>,
    pub(super) jobs: Arc<JobTable>,
    pub(super) queue: Arc<JobQueue<E>>,
    pub(super) acceptor: AcceptorHandle,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) admin_addresses: Vec<SocketAddr>,
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
            addresses: self.addresses.clone(),
            admin_addresses: self.admin_addresses.clone(),
            stopped: self.stopped.clone(),
        }
    }
}

impl<E> fmt::Debug for RuntimeHandle<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeHandle")
            .field("addresses", &self.addresses)
            .field("serving", &self.serving())
            .finish_non_exhaustive()
    }
}

impl<E: 'static> RuntimeHandle<E> {
    /// Where it listens, with the ports that the system picked.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where it listens for administrators, with the ports that the system picked.
    #[must_use]
    pub fn admin_addresses(&self) -> &[SocketAddr] {
        &self.admin_addresses
    }

    /// State, role and epoch, by one atomic load.
    #[must_use]
    pub fn serving(&self) -> Serving {
        self.shared.serving.load()
    }

    /// Waits until the state, the role or the direction is another than this, and returns it. Once
    /// the runtime has stopped it returns at once: nothing changes any more.
    pub async fn changed(&self, since: Serving) -> Serving {
        let mut changes = self.shared.changes.subscribe();
        let is_over = |now: &Serving| *now != since || now.state == State::Stopped;
        // The sender lives as long as this handle.
        let now = changes.wait_for(is_over).await;
        now.map_or(since, |now| *now)
    }

    /// The state with its reason and progress.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.serving.status(self.shared.clock.now())
    }

    /// Whether all sessions have heard of the state.
    #[cfg(feature = "testing")]
    pub(crate) fn is_known_to_sessions(&self) -> bool {
        let epoch = self.serving().epoch;
        let mut counters = self.shared.counters.iter();
        counters.all(|own| own.reach().0 >= epoch)
    }

    /// The shared cell, to declare solo or take it back as an operator.
    #[must_use]
    pub fn cell(&self) -> &Arc<ServingCell> {
        &self.shared.serving
    }

    /// The events that clients watch, to set those of one's own: from any thread, for as long as
    /// the runtime lives.
    #[must_use]
    pub fn events(&self) -> &Arc<Events> {
        &self.shared.events
    }

    /// Connections that are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connection_count()
    }

    /// Requests that were forwarded to Tx and are not answered, jobs of the embedder included.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight_count() + self.jobs.count()
    }

    /// Hands over a connection that was accepted elsewhere. It takes a slot like any other; without
    /// one the client is told so.
    ///
    /// # Errors
    ///
    /// [`AdoptError`]: there is no slot. The connection is closed.
    pub fn adopt(&self, connection: Connection) -> Result<(), AdoptError> {
        let Connection {
            mut stream,
            peer,
            kind,
        } = connection;
        let slots = &self.shared.slots;
        let may_administer = self.shared.config.administrators.may_be(peer.ip());
        let slot = match slots.admit(kind, may_administer, peer.ip()) {
            Ok(slot) => slot,
            Err(why) => {
                reject(&self.shared, &mut stream, why, self.shared.clock.now());
                return Err(AdoptError::TooManyConnections);
            }
        };
        self.peers.workers[slot.thread()].accepted(vec![IncomingConnection { stream, peer, slot }]);
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
        if let Some(address) = listener.address()? {
            let catalog = self.shared.catalog();
            let power = || catalog.and_then(|catalog| catalog.guest_power());
            if refuses(&self.shared.config, address.ip())
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
    /// `requested_by` is told in the log and in `vestibule.show('transitions')`.
    pub fn begin_drain(&self, grace: Option<Duration>, requested_by: &str) {
        let target = TransitionTarget::Stopped;
        self.submit(target, "drain", grace, requested_by, Requester::Nobody);
    }

    /// Stops without announcement and without grace: what runs is cut off now, also if a stop is
    /// under way that gives it more time.
    pub fn stop_now(&self, requested_by: &str) {
        let request = TransitionRequest {
            lameduck: Duration::ZERO,
            asked: AskedTimes {
                lameduck: true,
                grace: true,
            },
            ..self.request(
                TransitionTarget::Stopped,
                "drain",
                Some(Duration::ZERO),
                requested_by,
            )
        };
        self.peers.supervisor.submit(request, Requester::Nobody);
    }

    /// Makes it a replica: writes are refused from now on, open transactions may finish until
    /// `grace` is over, reads never stop. `None` takes the configured period. Once it is done,
    /// nothing that was admitted before is written any more, even if Tx stands still. The answer
    /// comes within the grace and 50 ms, or, if another transition is under way, within
    /// [`TRANSITION_WAIT_DEFAULT`].
    pub async fn demote(&self, grace: Option<Duration>, requested_by: &str) -> TransitionOutcome {
        self.change_role(Role::Replica, grace, requested_by).await
    }

    /// Makes it a primary, at once. Transactions that are open stay read-only.
    pub async fn promote(&self, requested_by: &str) -> TransitionOutcome {
        self.change_role(Role::Primary, None, requested_by).await
    }

    async fn change_role(
        &self,
        role: Role,
        grace: Option<Duration>,
        requested_by: &str,
    ) -> TransitionOutcome {
        let (told, outcome) = oneshot::channel();
        let reason = match role {
            Role::Replica => "demote",
            Role::Primary => "promote",
        };
        let target = TransitionTarget::Role(role);
        let requester = Requester::Embedder(told);
        self.submit(target, reason, grace, requested_by, requester);
        // Without an answer the runtime is gone.
        outcome.await.unwrap_or(TransitionOutcome {
            result: TransitionResult::Superseded,
            transition: None,
        })
    }

    fn submit(
        &self,
        target: TransitionTarget,
        reason: &str,
        grace: Option<Duration>,
        requested_by: &str,
        requester: Requester,
    ) {
        let request = self.request(target, reason, grace, requested_by);
        self.peers.supervisor.submit(request, requester);
    }

    fn request(
        &self,
        target: TransitionTarget,
        reason: &str,
        grace: Option<Duration>,
        requested_by: &str,
    ) -> TransitionRequest {
        TransitionRequest {
            target,
            lameduck: self.shared.config.lameduck,
            grace: self.shared.grace_or_default(grace),
            asked: AskedTimes {
                lameduck: false,
                grace: grace.is_some(),
            },
            wait: TRANSITION_WAIT_DEFAULT,
            reason: reason.to_owned(),
            requested_by: requested_by.to_owned(),
        }
    }

    /// The clock was wound on: everybody looks at what is due.
    #[cfg(feature = "testing")]
    pub(crate) fn on_clock_wound(&self) {
        self.peers.notify_workers(self.shared.clock.now());
        self.peers.supervisor.clock_wound();
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
    pub async fn stop(&self, grace: Option<Duration>) -> StopReport {
        self.begin_drain(grace, "the embedder");
        self.stopped().await
    }
}
