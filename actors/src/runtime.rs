//! Putting the actors together on an actix System that is already there, and stopping them.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix::{Actor, Context};
use actix_rt::Arbiter;
use tokio::sync::watch;

use crate::acceptor::{Acceptor, bind};
use crate::config::Config;
use crate::engine::{Engine, Fault};
use crate::limits::LANE_REQUESTS_MAX;
use crate::procedures::Procedures;
use crate::serving::{Role, Serving, ServingCell, Situation, State};
use crate::session::{Lane, LaneHandle};
use crate::shared::Shared;
use crate::supervisor::{
    BeginDrain, SpawnTx, StopReport, Supervisor, SupervisorHandle, TransitionRecord,
};
use crate::tx::claim::Claims;
use crate::tx::{EngineFactory, Parts, Port, Tx, TxHandle};

/// Starts a runtime: listeners, session arbiters, Supervisor and Tx.
///
/// Call it on a running actix System. The engine is made and recovered on Tx's own thread, so this
/// returns at once, in state `Loading`, with the door already open. The System itself is never touched.
///
/// # Errors
///
/// A listener that cannot be opened.
pub fn start<E: Engine>(
    config: Config,
    engine: impl Fn() -> Result<E, Fault> + Send + Sync + 'static,
    procedures: Procedures<E>,
) -> io::Result<RuntimeHandle> {
    let listeners: Vec<_> = config
        .listen
        .iter()
        .map(|own| bind_named(*own))
        .collect::<Result<_, _>>()?;
    let addresses: Vec<_> = listeners
        .iter()
        .map(std::net::TcpListener::local_addr)
        .collect::<Result<_, _>>()?;
    let cell = ServingCell::new(config.role, Instant::now());
    let lanes = config.session_thread_count();
    let claims = (0..lanes)
        .map(|_| Arc::new(Claims::new(LANE_REQUESTS_MAX)))
        .collect();
    let shared = Arc::new(Shared::new(config, cell, claims));
    watch_the_cell(&shared);

    let arbiters: Vec<_> = (0..lanes).map(|_| Arbiter::new()).collect();
    let start_lane = |(index, arbiter): (usize, &Arbiter)| {
        let shared = shared.clone();
        let start = move |_: &mut Context<Lane>| Lane::new(index, shared);
        LaneHandle::new(Lane::start_in_arbiter(&arbiter.handle(), start))
    };
    let handles: Vec<_> = arbiters.iter().enumerate().map(start_lane).collect();
    // Set once, here: nobody else sees the cells before they are.
    let _ = shared.lanes.set(handles);

    let spawn_tx = spawner(shared.clone(), Arc::new(engine), Arc::new(procedures));
    let (told, stopped) = watch::channel(None);
    let mut supervisor = Supervisor::new(shared.clone(), arbiters, spawn_tx, told);
    supervisor.set_acceptor(Acceptor::launch(shared.clone(), listeners)?);
    let supervisor = SupervisorHandle::new(supervisor.start());
    let _ = shared.supervisor.set(supervisor.clone());
    Ok(RuntimeHandle {
        shared,
        supervisor,
        addresses,
        stopped,
    })
}

fn bind_named(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    bind(address).map_err(|fault| {
        io::Error::new(fault.kind(), format!("cannot listen on {address}: {fault}"))
    })
}

/// After every change of state: first the record and the events' values, then the nudge that has them
/// looked at.
fn watch_the_cell(shared: &Arc<Shared>) {
    let first = shared.cell.load();
    shared.events.set_serving(first);
    let weak = Arc::downgrade(shared);
    let told = Mutex::new(first);
    shared.cell.on_change(move || {
        let Some(shared) = weak.upgrade() else { return };
        {
            // Loaded inside the lock: of two changes at once, the later one is told last.
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            let now = shared.cell.load();
            let before = std::mem::replace(&mut *told, now);
            if before != now {
                record(&shared, before, now);
                shared.events.set_serving(now);
            }
        }
        shared.nudge();
    });
}

/// Remembers a change that is over at once. A stop is recorded by the Supervisor, with its times.
fn record(shared: &Shared, before: Serving, now: Serving) {
    if matches!(now.state, State::Draining | State::Stopped) {
        return;
    }
    let reason = shared.cell.situation(Instant::now()).reason;
    let because = if reason.is_empty() { "" } else { ": " };
    log::info!("{}, {}{because}{reason}", now.state.name(), now.role.name());
    let waiting = shared.in_flight_count();
    let (from, to) = (before.state.name(), now.state.name());
    shared
        .transitions
        .push(TransitionRecord::now(from, to, reason, "", waiting));
}

fn spawner<E: Engine>(
    shared: Arc<Shared>,
    factory: EngineFactory<E>,
    procedures: Arc<Procedures<E>>,
) -> SpawnTx {
    Box::new(move |arbiter, generation, supervisor| {
        let (shared, factory) = (shared.clone(), factory.clone());
        let (procedures, supervisor) = (procedures.clone(), supervisor.clone());
        let start = move |_: &mut Context<Tx<E>>| {
            let lanes = shared.lanes.get().into_iter().flatten();
            let ports = lanes
                .zip(&shared.counters)
                .map(|(lane, counters)| Port::new(counters.claims.clone(), lane.replies()))
                .collect();
            Tx::new(
                Parts {
                    factory,
                    procedures,
                    ports,
                    shared,
                },
                supervisor,
                generation,
            )
        };
        let address = Tx::start_in_arbiter(&arbiter.handle(), start);
        TxHandle::new(
            address.clone().recipient(),
            address.clone().recipient(),
            address.clone().recipient(),
            address.recipient(),
            generation,
        )
    })
}

/// A running runtime. Dropping it changes nothing: the actors go on until they are stopped.
#[derive(Clone)]
pub struct RuntimeHandle {
    shared: Arc<Shared>,
    supervisor: SupervisorHandle,
    addresses: Vec<SocketAddr>,
    stopped: watch::Receiver<Option<StopReport>>,
}

impl fmt::Debug for RuntimeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeHandle")
            .field("addresses", &self.addresses)
            .field("serving", &self.serving())
            .finish_non_exhaustive()
    }
}

impl RuntimeHandle {
    /// Where it listens, with the ports that the system picked.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// State, role and epoch, by one atomic load.
    #[must_use]
    pub fn serving(&self) -> Serving {
        self.shared.cell.load()
    }

    /// The state with its reason and progress.
    #[must_use]
    pub fn situation(&self) -> Situation {
        self.shared.cell.situation(Instant::now())
    }

    /// The shared cell, to declare solo or take it back as an operator.
    #[must_use]
    pub fn cell(&self) -> &Arc<ServingCell> {
        &self.shared.cell
    }

    /// Connections that are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connection_count()
    }

    /// Requests that were forwarded to Tx and are not answered.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight_count()
    }

    /// Sets the role at once. What Tx has begun is not waited for.
    pub fn set_role(&self, role: Role) {
        self.shared.cell.set_role(role, Instant::now());
    }

    /// Hands over a connection that was accepted elsewhere.
    pub fn adopt(&self, stream: TcpStream, peer: SocketAddr) {
        let load = |lane: &usize| {
            let counters = &self.shared.counters[*lane];
            counters.connections.load(Ordering::Relaxed)
        };
        let least = (0..self.shared.counters.len())
            .min_by_key(load)
            .unwrap_or(0);
        if let Some(lanes) = self.shared.lanes.get() {
            lanes[least].accepted(vec![(stream, peer)]);
        }
    }

    /// Begins a stop, if none is under way: new work is refused, what runs may finish until `grace` is
    /// over. `None` takes the configured period. `requested_by` is told in the log and in
    /// `vestibule.show('transitions')`.
    pub fn begin_drain(&self, grace: Option<Duration>, requested_by: &str) {
        self.supervisor.begin_drain(BeginDrain {
            from: self.serving().state,
            grace,
            reason: "drain".to_owned(),
            requested_by: requested_by.to_owned(),
        });
    }

    /// Waits until the runtime has stopped, whoever asked for it.
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
