//! Putting the actors of a runtime together.

use std::io;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::dev::channel::{AddressReceiver, channel};
use actix::{Actor, Addr, Context};
use actix_rt::{Arbiter, System};
use tokio::sync::watch;
use vestibule_wire::Uuid;

#[cfg(feature = "tls")]
use super::certificates;
use super::gateway::Gateway;
use super::handle::RuntimeHandle;
use super::start_error::StartError;
use crate::acceptor::{Acceptor, bind};
use crate::admin;
use crate::authenticator::UpstreamLogins;
use crate::cells::claims::Claims;
use crate::clock::Clock;
use crate::config::Config;
use crate::endpoints::{BoundListener, ListenAddress};
use crate::engine::procedures::Procedures;
use crate::engine::{Engine, EngineFactory};
use crate::exposure::refuses;
use crate::incoming::Listener;
use crate::jobs::{JobQueue, JobTable};
use crate::limits::{
    LINKS_PER_UPSTREAM_MAX, MAILBOX_SLOTS, SCHEMA_VERSION_MIN, WAITS_MAX, WORKER_ADMIN_RESERVE,
    WORKER_CALLS_MAX, WORKER_REQUESTS_MAX, WORKER_RESERVE,
};
use crate::messages::tx::{TxHandle, WorkerLink};
use crate::messages::{SupervisorHandle, WorkerHandle};
use crate::peers::Peers;
use crate::scouts::Scouts;
use crate::serving::{Serving, ServingCell};
use crate::shared::{Additions, Shared};
use crate::slots::{ConnectionSlots, ListenerKind};
use crate::supervisor::{DrainUpstream, SpawnTx, Supervisor};
use crate::tls::{TlsIdentity, UpstreamTls};
use crate::transitions::TransitionRecord;
use crate::tx::{Parts, Tx};
use crate::upstream::{GatewayCell, Upstreams};
use crate::worker::Worker;

/// What a runtime goes by as to time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    pub(crate) clock: Clock,
    /// In changes of the role, how long after their deadline session threads may take to answer
    /// their clients, before they are left behind. What operators are promised is
    /// [`TRANSITION_SLACK`](crate::limits::TRANSITION_SLACK).
    pub(crate) role_slack: Duration,
}

/// Starts a runtime of these parts.
pub(super) fn assemble<E: Engine>(
    config: Config,
    timing: Timing,
    engine: Arc<dyn EngineFactory<E>>,
    procedures: Procedures<E>,
    additions: Additions,
) -> Result<RuntimeHandle<E>, StartError> {
    engine.check().map_err(StartError::Engine)?;
    check_guest(&config, &additions, &*engine)?;
    assemble_around(config, timing, additions, None, |shared, peers, queue| {
        Behind::Tx(spawner(shared, peers, queue, engine, procedures))
    })
}

/// Starts a gateway.
pub(super) fn assemble_gateway(
    config: Config,
    timing: Timing,
    (upstreams, tls): (Upstreams, Option<UpstreamTls>),
    additions: Additions,
) -> Result<RuntimeHandle<Gateway>, StartError> {
    let threads = config.session_thread_count();
    let now = timing.clock.now();
    let gateway = GatewayCell::new(upstreams, threads, SCHEMA_VERSION_MIN, now);
    let gateway = Arc::new(gateway.with_tls(tls));
    let additions = Additions {
        authenticator: Some(Arc::new(UpstreamLogins::new(gateway.clone(), timing.clock))),
        ..additions
    };
    let mut config = config;
    let links = LINKS_PER_UPSTREAM_MAX * threads;
    // Each has a scout's besides.
    config.descriptors.reserved += (links + 1) * gateway.config.upstreams.len();
    config.descriptors.reserved += gateway.config.listen_reads.len();
    config.descriptors.reserved += gateway.config.tls_listen_reads.len();
    let own = Some(gateway.clone());
    let mut scouts = None;
    let runtime = assemble_around(config, timing, additions, own, |shared, _, _| {
        let scouts = scouts.insert(Scouts::new(shared, gateway));
        Behind::Upstreams(Box::new(scouts.draining()))
    })?;
    scouts.into_iter().for_each(Scouts::launch);
    #[cfg(feature = "tls")]
    certificates::follow(&runtime);
    Ok(runtime)
}

/// What is behind the sessions.
enum Behind {
    /// A Tx, which this starts.
    Tx(SpawnTx),
    /// Upstreams, which this drains.
    Upstreams(DrainUpstream),
}

/// Starts what every runtime has, around what is behind it.
fn assemble_around<E: 'static>(
    mut config: Config,
    timing: Timing,
    mut additions: Additions,
    gateway: Option<Arc<GatewayCell>>,
    behind: impl FnOnce(Arc<Shared>, Arc<Peers>, Arc<JobQueue<E>>) -> Behind,
) -> Result<RuntimeHandle<E>, StartError> {
    // Its listeners, and one who is told over TLS that there is no slot.
    let of_tls = additions
        .tls
        .as_ref()
        .map_or(0, |(_, listen)| listen.len() + 1);
    config.descriptors.reserved += of_tls;
    if config.instance_uuid == Uuid::NIL {
        config.instance_uuid = random_uuid()?;
    }
    let inherited = mem::take(&mut additions.listeners);
    let slots = slots(&config, &inherited)?;
    let upstreams = gateway.as_deref().map(|own| &own.config);
    let (listeners, bound) = open_listeners(&config, &additions, upstreams, inherited)?;
    let shared = shared(config, timing.clock, slots, additions, gateway);
    let addressed = bound.iter().filter_map(|own| own.address.network());
    addressed.for_each(|address| shared.exposure.note_listener(address));
    let (mailboxes, peers) = Mailboxes::new(shared.counters.len());
    follow_cell(&shared, &peers);
    let arbiters = start_workers(mailboxes.workers, &shared, &peers);
    let jobs = JobTable::new(shared.clone(), peers.supervisor.clone());
    let queue = Arc::new(JobQueue::default());
    let behind = behind(shared.clone(), peers.clone(), queue.clone());
    let (spawn_tx, drain_upstream) = match behind {
        Behind::Tx(spawn) => (Some(spawn), None),
        Behind::Upstreams(drain) => (None, Some(drain)),
    };
    let (told, stopped) = watch::channel(None);
    let mut supervisor = Supervisor::new(
        shared.clone(),
        peers.clone(),
        jobs.clone(),
        arbiters,
        timing.role_slack,
        spawn_tx,
        told,
    );
    let acceptor = Acceptor::launch(shared.clone(), peers.clone(), listeners);
    let acceptor = acceptor.map_err(StartError::Acceptor)?;
    supervisor.set_acceptor(acceptor.clone());
    if let Some(drain) = drain_upstream {
        supervisor.set_upstreams(drain);
    }
    Context::with_receiver(mailboxes.supervisor).run(supervisor);
    Ok(RuntimeHandle {
        shared,
        peers,
        jobs,
        queue,
        acceptor,
        listeners: bound.into(),
        stopped,
    })
}

/// Starts each worker on an arbiter of its own.
fn start_workers(
    mailboxes: Vec<AddressReceiver<Worker>>,
    shared: &Arc<Shared>,
    peers: &Arc<Peers>,
) -> Vec<Arbiter> {
    let start = |(index, mailbox): (usize, AddressReceiver<Worker>)| {
        let (shared, peers) = (shared.clone(), peers.clone());
        let arbiter = Arbiter::new();
        arbiter.spawn_fn(move || {
            Context::with_receiver(mailbox).run(Worker::new(index, shared, peers));
        });
        arbiter
    };
    mailboxes.into_iter().enumerate().map(start).collect()
}

/// Where messages wait for the actors that live as long as the runtime, until each is started on
/// its own.
pub(crate) struct Mailboxes {
    pub(crate) workers: Vec<AddressReceiver<Worker>>,
    pub(crate) supervisor: AddressReceiver<Supervisor>,
}

impl Mailboxes {
    /// Mailboxes of this many workers and of the Supervisor, with the handles that reach them.
    pub(crate) fn new(workers: usize) -> (Self, Arc<Peers>) {
        let (supervisor, supervisor_mailbox) = mailbox::<Supervisor>();
        let (handles, workers) = (0..workers)
            .map(|_| mailbox())
            .map(|(address, mailbox)| (WorkerHandle::new(address), mailbox))
            .unzip();
        let peers = Peers {
            supervisor: SupervisorHandle::new(supervisor),
            workers: handles,
        };
        let own = Self {
            workers,
            supervisor: supervisor_mailbox,
        };
        (own, Arc::new(peers))
    }
}

fn mailbox<A: Actor>() -> (Addr<A>, AddressReceiver<A>) {
    let (sender, receiver) = channel(MAILBOX_SLOTS);
    (Addr::new(sender), receiver)
}

/// What can be told of any runtime before anything is opened.
pub(super) fn check_config(config: &Config) -> Result<(), StartError> {
    if System::try_current().is_none() {
        return Err(StartError::NoSystem);
    }
    Ok(config.check()?)
}

/// The same of one with an engine.
pub(super) fn check<E: 'static>(
    config: &Config,
    procedures: &Procedures<E>,
) -> Result<(), StartError> {
    check_config(config)?;
    let is_control = |name: &str| admin::find(name).is_some();
    if let Some(name) = procedures.names().into_iter().find(|name| is_control(name)) {
        return Err(StartError::ControlProcedure(name));
    }
    match procedures.registered_twice() {
        Some(name) => Err(StartError::ProcedureTwice(name.to_owned())),
        None => Ok(()),
    }
}

/// What all actors of this configuration share.
pub(super) fn shared(
    config: Config,
    clock: Clock,
    slots: ConnectionSlots,
    additions: Additions,
    gateway: Option<Arc<GatewayCell>>,
) -> Arc<Shared> {
    let serving = ServingCell::new(config.role, clock);
    let capacity = WORKER_REQUESTS_MAX + WORKER_RESERVE + WORKER_ADMIN_RESERVE;
    let more = match gateway {
        Some(_) => WORKER_CALLS_MAX + WORKER_RESERVE,
        None => config.quotas.waits_max.min(WAITS_MAX),
    };
    let capacity = capacity + more;
    let claims = (0..config.session_thread_count())
        .map(|_| Arc::new(Claims::new(capacity)))
        .collect();
    let shared = Shared::new(config, serving, slots, claims).with_additions(additions);
    Arc::new(match gateway {
        Some(gateway) => shared.with_gateway(gateway),
        None => shared,
    })
}

/// Refuses what is known to be open to other machines before there is an engine.
fn check_guest<E: Engine>(
    config: &Config,
    additions: &Additions,
    factory: &dyn EngineFactory<E>,
) -> Result<(), StartError> {
    let listeners = config.listen.iter().chain(&config.admin_listen);
    let over_tls = additions.tls.iter().flat_map(|(_, listen)| listen);
    let plain = listeners.filter_map(ListenAddress::network);
    let inherited = additions.listeners.iter().filter_map(Listener::network);
    let mut addresses = plain.chain(over_tls.copied()).chain(inherited);
    let exposed = addresses.find(|own| refuses(config.exposed_guest, own.ip()));
    match (exposed, factory.guest_power()) {
        (Some(address), Some(power)) => Err(StartError::ExposedGuest { address, power }),
        _ => Ok(()),
    }
}

fn random_uuid() -> Result<Uuid, StartError> {
    let mut bytes = [0; Uuid::SIZE];
    getrandom::fill(&mut bytes).map_err(|fault| StartError::Random(fault.to_string()))?;
    Ok(Uuid::from_random_bytes(bytes))
}

/// Divides the descriptors, and tells how.
pub(super) fn slots(
    config: &Config,
    inherited: &[Listener],
) -> Result<ConnectionSlots, StartError> {
    let inherited: Vec<_> = inherited.iter().map(|own| own.kind).collect();
    let slots = ConnectionSlots::new(config, &inherited)
        .map_err(|fault| StartError::Descriptors(fault.to_string()))?;
    log::info!("{}", slots.budget());
    slots.warn_of_shortage();
    Ok(slots)
}

type OpenListeners = (Vec<Listener>, Vec<BoundListener>);

/// Listens on every address; tells those that the system picked. What is bound already comes
/// after them.
fn open_listeners(
    config: &Config,
    additions: &Additions,
    upstreams: Option<&Upstreams>,
    inherited: Vec<Listener>,
) -> Result<OpenListeners, StartError> {
    let mode = config.unix_socket_mode;
    let clients = made_as(&config.listen, |own| own);
    let administrators = made_as(&config.admin_listen, Listener::for_administrators);
    let of_reads = upstreams.map(|own| made_as(&own.listen_reads, Listener::for_reads));
    let of_reads = of_reads.into_iter().flatten();
    let over_tls = additions.tls.iter().flat_map(|(identity, listen)| {
        let clients = listen.iter().map(|own| (*own, (|own| own) as ListenerMade));
        let of_reads = upstreams.into_iter().flat_map(|own| &own.tls_listen_reads);
        let of_reads = of_reads.map(|own| (*own, Listener::for_reads as ListenerMade));
        let all = clients.chain(of_reads);
        all.map(move |(own, made)| (own.into(), made, Some(identity)))
    });
    let mut open = OpenListeners::default();
    let all = clients
        .chain(administrators)
        .chain(of_reads)
        .chain(over_tls);
    for (address, made, tls) in all {
        let opened = open_listener(&address, mode);
        let (listener, address) =
            opened.map_err(|source| StartError::Listen { address, source })?;
        let mut listener = made(listener);
        listener.tls = tls.cloned();
        open.1.push(bound_at(&listener, address));
        open.0.push(listener);
    }
    for listener in inherited {
        // One whose address nobody is told is not listed.
        let address = listener.address().map_err(StartError::Acceptor)?;
        open.1.extend(address.map(|own| bound_at(&listener, own)));
        open.0.push(listener);
    }
    #[cfg(feature = "testing")]
    super::accepting::accept_here(open.1.iter().filter_map(|own| own.address.network()));
    Ok(open)
}

/// What a listener becomes for whom it is.
type ListenerMade = fn(Listener) -> Listener;

/// Where it is to be listened on, for whom, and without TLS.
fn made_as(
    listen: &[ListenAddress],
    made: ListenerMade,
) -> impl Iterator<Item = (ListenAddress, ListenerMade, Option<&TlsIdentity>)> {
    listen.iter().map(move |own| (own.clone(), made, None))
}

/// What is told of a listener.
fn bound_at(listener: &Listener, address: ListenAddress) -> BoundListener {
    BoundListener {
        address,
        is_for_administrators: listener.kind == ListenerKind::Administrators,
        is_over_tls: listener.tls.is_some(),
        is_for_reads: listener.is_for_reads,
    }
}

fn open_listener(address: &ListenAddress, mode: u32) -> io::Result<(Listener, ListenAddress)> {
    match address {
        ListenAddress::Tcp(address) => {
            let listener = bind(*address)?;
            let picked = listener.local_addr()?;
            Ok((Listener::tcp(listener)?, picked.into()))
        }
        ListenAddress::Unix(path) => Ok((Listener::unix_at(path, mode)?, address.clone())),
    }
}

/// After every change of state: first the record and the events' values, then the notice that has
/// them looked at.
pub(crate) fn follow_cell(shared: &Arc<Shared>, peers: &Arc<Peers>) {
    let first = shared.serving.load();
    shared.events.set_serving(first);
    let weak = Arc::downgrade(shared);
    let (watched, watchers) = (weak.clone(), peers.clone());
    shared.events.on_change(move || {
        if let Some(shared) = watched.upgrade() {
            watchers.notify_of_events(&shared.counters, shared.clock.now());
        }
    });
    let peers = peers.clone();
    let told = Mutex::new(first);
    shared.serving.on_change(move || {
        let Some(shared) = weak.upgrade() else { return };
        {
            // Loaded inside the lock: of two changes at once, the later one is told last.
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            let now = shared.serving.load();
            let before = mem::replace(&mut *told, now);
            if before != now {
                record(&shared, before, now);
                shared.events.set_serving(now);
                shared.changes.send_replace(now);
            }
        }
        peers.notify_workers(shared.clock.now());
    });
}

/// Remembers a change that is over at once. Transitions are recorded by the Supervisor, with their
/// times.
fn record(shared: &Shared, before: Serving, now: Serving) {
    let is_of_transition =
        before.state.traits().is_of_transition || now.state.traits().is_of_transition;
    let is_own = before.state != now.state && before.role == now.role;
    if !is_own || is_of_transition {
        return;
    }
    let reason = shared.serving.status(shared.clock.now()).reason;
    let because = if reason.is_empty() { "" } else { ": " };
    log::info!("{}, {}{because}{reason}", now.state.name(), now.role.name());
    let (from, to) = (before.state.into(), now.state.into());
    shared
        .transitions
        .push(TransitionRecord::at_once(from, to, reason));
}

pub(crate) fn spawner<E: Engine>(
    shared: Arc<Shared>,
    peers: Arc<Peers>,
    jobs: Arc<JobQueue<E>>,
    factory: Arc<dyn EngineFactory<E>>,
    procedures: Procedures<E>,
) -> SpawnTx {
    let procedures = Arc::new(procedures);
    Box::new(move |arbiter, generation| {
        let (shared, factory) = (shared.clone(), factory.clone());
        let (procedures, peers) = (procedures.clone(), peers.clone());
        let start = move |_: &mut Context<Tx<E>>| {
            let workers = (peers.workers.iter())
                .zip(&shared.counters)
                .map(|(worker, counters)| WorkerLink {
                    claims: counters.claims.clone(),
                    replies: worker.replies(),
                    pushes: worker.pushes(),
                })
                .collect();
            Tx::new(
                Parts {
                    factory,
                    procedures,
                    workers,
                    shared,
                },
                peers.supervisor.clone(),
                generation,
            )
        };
        let address = Tx::start_in_arbiter(arbiter, start);
        jobs.attach(address.clone().recipient());
        TxHandle::new(
            address.clone().recipient(),
            address.clone().recipient(),
            address.clone().recipient(),
            address.recipient(),
            generation,
        )
    })
}
