//! The part of a world that is the same before an engine and before upstreams: the runtime on one
//! thread, clients connected by pipes, and who asked for transitions.
//!
//! ```text
//!   clients ═ pipes ═ Sessions ─ Workers ─ Supervisor ◀── callers
//!                   all on one thread, whose clock is wound by hand
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Addr, Context};
use tokio::sync::{oneshot, watch};

use super::client::Client;
use super::random::Random;
use super::{clock, config};
use crate::cells::claims::Claims;
use crate::clock::Clock;
use crate::config::{Config, Settings};
use crate::endpoints::PeerAddress;
use crate::incoming::Origin;
use crate::limits::WORKER_REQUESTS_MAX;
use crate::messages::Requester;
use crate::peers::Peers;
use crate::runtime::{Mailboxes, follow_cell};
use crate::serving::ServingCell;
use crate::shared::Shared;
use crate::slots::{ConnectionSlots, ListenerKind};
use crate::supervisor::Supervisor;
use crate::testing::connect::Connect;
use crate::testing::pipe::pipe;
use crate::transitions::{
    AskedTimes, StopReport, TransitionOutcome, TransitionRequest, TransitionTarget,
};
use crate::worker::Worker;

/// Workers of a world.
pub(super) const WORKERS: usize = 2;

/// What the guarantee adds to a grace period.
pub(super) const MARGIN: Duration = Duration::from_millis(50);

/// Somebody who asked for a transition.
pub(super) struct TransitionCaller {
    pub(super) asked: Instant,
    pub(super) due: Instant,
    pub(super) target: TransitionTarget,
    pub(super) answer: oneshot::Receiver<TransitionOutcome>,
}

/// Where a Supervisor tells how it has stopped.
pub(super) type StopSender = watch::Sender<Option<StopReport>>;

pub(super) struct SimulatedRuntime {
    pub(super) shared: Arc<Shared>,
    pub(super) peers: Arc<Peers>,
    workers: Vec<Addr<Worker>>,
    pub(super) stopped: watch::Receiver<Option<StopReport>>,
    pub(super) clients: Vec<Client>,
    /// How many there were.
    pub(super) connections: u64,
    pub(super) callers: Vec<TransitionCaller>,
}

/// Begins the time of a world, on a System whose clock is paused.
pub(super) async fn begin_time() {
    clock::follow_tokio();
    // What has a clock of its own is started later, and must not be ahead.
    actix_rt::time::sleep(Duration::from_secs(60)).await;
}

/// What the threads of a world share.
pub(super) fn shared_by(config: Config) -> Shared {
    let serving = ServingCell::new(config.role, Clock::of(clock::now));
    let claims = (0..WORKERS).map(|_| Arc::new(Claims::new(WORKER_REQUESTS_MAX)));
    let slots = ConnectionSlots::new(&config, &[]).expect("no limit is known");
    Shared::new(config, serving, slots, claims.collect())
}

impl SimulatedRuntime {
    /// Starts workers, and the Supervisor that is made for them.
    pub(super) fn start(
        shared: Arc<Shared>,
        supervise: impl FnOnce(&Arc<Peers>, StopSender) -> Supervisor,
    ) -> Self {
        let (mailboxes, peers) = Mailboxes::new(WORKERS);
        follow_cell(&shared, &peers);
        let workers = (mailboxes.workers.into_iter().enumerate())
            .map(|(index, mailbox)| {
                let worker = Worker::new(index, shared.clone(), peers.clone());
                Context::with_receiver(mailbox).run(worker)
            })
            .collect();
        let (told, stopped) = watch::channel(None);
        let supervisor = supervise(&peers, told);
        Context::with_receiver(mailboxes.supervisor).run(supervisor);
        Self {
            shared,
            peers,
            workers,
            stopped,
            clients: Vec::new(),
            connections: 0,
            callers: Vec::new(),
        }
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        self.shared.settings.load()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.borrow().is_some()
    }

    /// One of the clients.
    pub(super) fn any_client(&self, random: &mut Random) -> Option<usize> {
        let count = self.clients.len();
        (count > 0).then(|| random.index(count))
    }

    /// Connects a client, if there is a slot for it.
    pub(super) fn connect(&mut self, is_narrow: bool) -> Option<&mut Client> {
        self.connect_to(is_narrow, false)
    }

    /// The same, perhaps where replicas answer SELECTs.
    pub(super) fn connect_to(
        &mut self,
        is_narrow: bool,
        is_for_reads: bool,
    ) -> Option<&mut Client> {
        let room = if is_narrow { 300 } else { 1 << 20 };
        let peer = PeerAddress::from(SocketAddr::from(([127, 0, 0, 1], 1024)));
        let origin = Origin {
            is_for_reads,
            ..peer.into()
        };
        let slots = &self.shared.slots;
        let slot = slots.take(slots.find(ListenerKind::Clients, true)?);
        let (end, transport) = pipe(room);
        self.connections += 1;
        let is_short = config::is_memory_short(&self.settings());
        self.workers[slot.thread()].do_send(Connect {
            transport,
            origin,
            slot,
        });
        let client = Client::new(self.connections, end, is_narrow, is_short);
        self.clients.push(client);
        self.clients.last_mut()
    }

    /// Asks for a transition as an embedder does, who waits so long for one that is under way.
    pub(super) fn ask(
        &mut self,
        target: TransitionTarget,
        lameduck: Duration,
        grace: Duration,
        wait: Duration,
    ) {
        let (told, answer) = oneshot::channel();
        let request = TransitionRequest {
            target,
            lameduck,
            grace: Some(grace),
            asked: AskedTimes {
                lameduck: true,
                grace: true,
            },
            wait,
            reason: "simulated".to_owned(),
            requested_by: "the world".to_owned(),
        };
        self.peers
            .supervisor
            .submit(request, Requester::Embedder(told));
        let asked = clock::now();
        self.callers.push(TransitionCaller {
            asked,
            due: asked + wait + lameduck + grace + MARGIN,
            target,
            answer,
        });
    }
}
