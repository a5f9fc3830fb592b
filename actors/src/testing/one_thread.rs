//! A runtime on the thread of its test: the same bytes, the same instructions.
//!
//! ```text
//!   PipePeer ═ pipe ═ session, worker ──▶ Tx ──▶ engine      one thread, no socket
//! ```
//!
//! Its clock is the runtime's. Where that is paused, next to nothing differs between two runs, so
//! that callgrind can tell what a request costs by the difference of a short run and a long one.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use actix::dev::channel::AddressReceiver;
use actix::{Addr, Context};
use actix_rt::Arbiter;
use tokio::sync::watch;
use vestibule_wire::frame::read_prefix;

use super::connect::Connect;
use super::pipe::{ClientEnd, pipe};
use crate::Procedures;
use crate::cells::claims::Claims;
use crate::clock::Clock;
use crate::config::Config;
use crate::endpoints::PeerAddress;
use crate::engine::{Engine, EngineFactory};
use crate::jobs::JobTable;
use crate::limits::{TRANSITION_SLACK, WORKER_REQUESTS_MAX, WORKER_RESERVE};
use crate::peers::Peers;
use crate::runtime::{Mailboxes, follow_cell, spawner};
use crate::serving::{ServingCell, State};
use crate::shared::Shared;
use crate::slots::{ConnectionSlots, ListenerKind};
use crate::supervisor::{SpawnTx, Supervisor};
use crate::tx::with_locks;
use crate::worker::Worker;

/// Bytes that the server may write ahead of its client.
const ROOM: usize = 64 << 20;

/// A worker on the thread that made it, with nobody behind it yet.
pub(crate) struct OneWorker {
    worker: Addr<Worker>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) peers: Arc<Peers>,
}

impl OneWorker {
    /// On a running System, with what a Supervisor of it would get. It is the only worker, whatever
    /// the configuration says.
    pub(crate) fn start(clock: Clock, config: Config) -> (Self, AddressReceiver<Supervisor>) {
        Self::start_with(clock, config, |shared| shared)
    }

    /// The same with something that all share beside the configuration.
    pub(crate) fn start_with(
        clock: Clock,
        config: Config,
        add: impl FnOnce(Shared) -> Shared,
    ) -> (Self, AddressReceiver<Supervisor>) {
        let config = Config {
            session_threads: 1,
            ..config
        };
        let serving = ServingCell::new(config.role, clock);
        let claims = Arc::new(Claims::new(WORKER_REQUESTS_MAX + WORKER_RESERVE));
        let slots = ConnectionSlots::new(&config, &[]).expect("the limits fit");
        let shared = Arc::new(add(Shared::new(config, serving, slots, vec![claims])));
        let (mailboxes, peers) = Mailboxes::new(1);
        follow_cell(&shared, &peers);
        let mailbox = mailboxes.workers.into_iter().next().expect("there is one");
        let worker = Worker::new(0, shared.clone(), peers.clone());
        let own = Self {
            worker: Context::with_receiver(mailbox).run(worker),
            shared,
            peers,
        };
        (own, mailboxes.supervisor)
    }

    /// Begins its Supervisor, which begins Tx as `spawn` does, if there is to be one.
    pub(super) fn supervise(
        &self,
        supervisor: AddressReceiver<Supervisor>,
        spawn: Option<SpawnTx>,
    ) {
        let (shared, peers) = (&self.shared, &self.peers);
        Context::with_receiver(supervisor).run(Supervisor::new(
            shared.clone(),
            peers.clone(),
            JobTable::new(shared.clone(), peers.supervisor.clone()),
            Vec::new(),
            TRANSITION_SLACK,
            spawn,
            watch::channel(None).0,
        ));
    }

    /// A new connection, greeted.
    pub(crate) async fn connect(&self) -> ClientEnd {
        let kind = self.shared.slots.find(ListenerKind::Clients, true);
        let slot = self.shared.slots.take(kind.expect("there is a slot"));
        let (end, transport) = pipe(ROOM);
        let peer = PeerAddress::from(SocketAddr::from(([127, 0, 0, 1], 1024)));
        self.worker.do_send(Connect {
            transport,
            origin: peer.into(),
            slot,
        });
        while end.receive().is_empty() {
            actix_rt::task::yield_now().await;
        }
        end
    }
}

/// A worker, Tx and an engine on the thread that made it, serving.
pub struct OneThread(OneWorker);

impl fmt::Debug for OneThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneThread").finish_non_exhaustive()
    }
}

impl OneThread {
    /// On a running [`System`](actix::System), until that ends; returns when the engine serves. It
    /// has one worker, whatever the configuration says, and listens nowhere.
    ///
    /// # Panics
    ///
    /// If the configuration does not hold, or the engine cannot be made.
    pub async fn start<E: Engine>(
        config: Config,
        engine: impl EngineFactory<E>,
        procedures: Procedures<E>,
    ) -> Self {
        Self::start_by(Clock::RUNTIME, config, engine, procedures).await
    }

    /// The same by another clock.
    pub(crate) async fn start_by<E: Engine>(
        clock: Clock,
        config: Config,
        engine: impl EngineFactory<E>,
        procedures: Procedures<E>,
    ) -> Self {
        let (own, supervisor) = OneWorker::start(clock, config);
        let (shared, peers) = (&own.shared, &own.peers);
        let spawn = spawner(
            shared.clone(),
            peers.clone(),
            Arc::default(),
            Arc::new(engine),
            with_locks(procedures),
        );
        let this = Arbiter::current();
        own.supervise(
            supervisor,
            Some(Box::new(move |_, generation| spawn(&this, generation))),
        );
        while shared.serving.load().state == State::Loading {
            actix_rt::task::yield_now().await;
        }
        Self(own)
    }

    /// A new connection, greeted.
    ///
    /// # Panics
    ///
    /// If there is no slot for it.
    pub async fn connect(&self) -> PipePeer {
        PipePeer::new(self.0.connect().await, || {})
    }
}

/// A client whose connection is in memory.
#[derive(Debug)]
pub struct PipePeer {
    end: ClientEnd,
    /// What others do while it waits.
    meanwhile: fn(),
}

impl PipePeer {
    pub(super) fn new(end: ClientEnd, meanwhile: fn()) -> Self {
        Self { end, meanwhile }
    }

    /// Sends bytes as they are.
    pub fn send(&self, bytes: &[u8]) {
        self.end.send(bytes);
    }

    /// Waits for this many whole frames, which take the place of what `received` held. Who uses it
    /// again has them without an allocation.
    pub async fn receive(&self, frames: usize, received: &mut Vec<u8>) {
        received.clear();
        while count_frames(received) < frames {
            actix_rt::task::yield_now().await;
            (self.meanwhile)();
            self.end.receive_into(received);
        }
    }

    /// Waits for bytes, and returns what has come, which may end within a frame.
    pub async fn receive_some(&self) -> Vec<u8> {
        loop {
            actix_rt::task::yield_now().await;
            (self.meanwhile)();
            let received = self.end.receive();
            if !received.is_empty() {
                return received;
            }
        }
    }
}

/// How many whole frames these bytes are.
pub(crate) fn count_frames(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Ok(Some(prefix)) = read_prefix(bytes, u64::MAX) {
        if bytes.len() < prefix.frame_size() {
            break;
        }
        bytes = &bytes[prefix.frame_size()..];
        count += 1;
    }
    count
}
