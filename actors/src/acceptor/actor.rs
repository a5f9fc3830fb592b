//! The actix shell of the Acceptor.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::{Duration, Instant};

use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message};
use actix_rt::time::{Sleep, sleep};
use tokio::net::{TcpListener, UnixListener};

use super::listen::{AfterError, after_error};
use super::pacing::RejectRateLimiter;
use super::reject::{reject, reject_over_tls};
use crate::backoff::Backoff;
use crate::cells::live::Follower;
use crate::config::Settings;
use crate::endpoints::{PeerAddress, UnixPeer, UnixSocketFile};
use crate::incoming::{IncomingStream, Listener, ListenerSocket, Origin};
use crate::limits::{ACCEPT_BATCH_MAX, ACCEPT_PAUSE_MAX, ACCEPT_PAUSE_MIN, ADMIN_SLOT_WAIT};
use crate::messages::post::Post as _;
use crate::messages::{IncomingConnection, WorkerHandle};
use crate::peers::Peers;
use crate::reactor::go_on_behind_reactor;
use crate::shared::Shared;
use crate::slots::{ListenerKind, NoSlot};
use crate::throttle::Throttle;
use crate::tls::TlsIdentity;

/// Closes the listeners: all of them, or those for clients.
#[derive(Debug)]
struct StopAccepting {
    is_for_all: bool,
}

impl Message for StopAccepting {
    type Result = ();
}

/// Another listener.
#[derive(Debug)]
struct Listen(Listener);

impl Message for Listen {
    type Result = ();
}

/// How others reach the Acceptor.
#[derive(Debug, Clone)]
pub(crate) struct AcceptorHandle(Addr<Acceptor>);

impl AcceptorHandle {
    /// Closes the listeners for clients: new connections there are refused by the kernel.
    /// Administrators can come in still, if they have a listener of their own.
    pub(crate) fn stop(&self) {
        self.0.post(StopAccepting { is_for_all: false });
    }

    /// Accepts from this one as well.
    pub(crate) fn listen(&self, listener: Listener) {
        self.0.post(Listen(listener));
    }

    /// Closes all listeners.
    pub(crate) fn close(&self) {
        self.0.post(StopAccepting { is_for_all: true });
    }
}

/// A listener's socket, on the reactor of this thread.
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Socket {
    /// With the file that is to be removed when it is closed.
    fn new(socket: ListenerSocket) -> io::Result<(Self, Option<UnixSocketFile>)> {
        Ok(match socket {
            ListenerSocket::Tcp(socket) => (Self::Tcp(TcpListener::from_std(socket)?), None),
            ListenerSocket::Unix(socket, file) => {
                (Self::Unix(UnixListener::from_std(socket)?), file)
            }
        })
    }

    /// Takes a connection, out of this reactor: it belongs to the one that will serve it.
    fn poll_accept(
        &self,
        cx: &mut task::Context<'_>,
    ) -> Poll<io::Result<(IncomingStream, PeerAddress)>> {
        match self {
            Self::Tcp(socket) => socket.poll_accept(cx).map(|accepted| {
                let (stream, peer) = accepted?;
                Ok((IncomingStream::Tcp(stream.into_std()?), peer.into()))
            }),
            Self::Unix(socket) => socket.poll_accept(cx).map(|accepted| {
                let (stream, _) = accepted?;
                let peer = PeerAddress::Unix(UnixPeer::of(&stream));
                Ok((IncomingStream::Unix(stream.into_std()?), peer))
            }),
        }
    }
}

/// One listener, with what it waits for before it goes on. The others go on meanwhile.
struct OpenListener {
    // First: nobody finds the file of a socket that is closed.
    _file: Option<UnixSocketFile>,
    socket: Socket,
    kind: ListenerKind,
    tls: Option<TlsIdentity>,
    is_for_reads: bool,
    rate: RejectRateLimiter,
    /// While the system is out of something.
    backoff: Backoff,
    pause: Option<Pin<Box<Sleep>>>,
    /// Waits for a slot that is made free for it, on the spare descriptor.
    waiting: Option<(IncomingStream, PeerAddress)>,
}

impl OpenListener {
    fn new(bound: Listener) -> io::Result<Self> {
        let (socket, file) = Socket::new(bound.socket)?;
        Ok(Self {
            _file: file,
            socket,
            kind: bound.kind,
            tls: bound.tls,
            is_for_reads: bound.is_for_reads,
            rate: RejectRateLimiter::default(),
            backoff: Backoff::new(ACCEPT_PAUSE_MIN, ACCEPT_PAUSE_MAX),
            pause: None,
            waiting: None,
        })
    }

    fn pause(&mut self, time: Duration) {
        self.pause = Some(Box::pin(sleep(time)));
    }

    /// Whether it waits; if it does, the end of the wait wakes the task.
    fn is_paused(&mut self, cx: &mut task::Context<'_>) -> bool {
        let is_paused = self
            .pause
            .as_mut()
            .is_some_and(|pause| pause.as_mut().poll(cx).is_pending());
        if !is_paused {
            self.pause = None;
        }
        is_paused
    }
}

/// The actor that owns the listeners, on the System arbiter.
pub(crate) struct Acceptor {
    shared: Arc<Shared>,
    settings: Follower<Settings>,
    peers: Arc<Peers>,
    listeners: Vec<OpenListener>,
    /// The listener that is asked first: each in its turn, so that none starves the others.
    first: usize,
    /// What this round accepted for each session thread.
    batches: Vec<Vec<IncomingConnection>>,
    exhausted: Throttle,
    rejected: Throttle,
    crowding: Throttle,
}

impl Acceptor {
    /// Starts on the current arbiter.
    pub(crate) fn launch(
        shared: Arc<Shared>,
        peers: Arc<Peers>,
        listeners: Vec<Listener>,
    ) -> io::Result<AcceptorHandle> {
        let listeners: io::Result<_> = listeners.into_iter().map(OpenListener::new).collect();
        let mut batches = Vec::new();
        batches.resize_with(shared.counters.len(), Vec::new);
        let acceptor = Self {
            settings: shared.settings.follow(),
            shared,
            peers,
            listeners: listeners?,
            first: 0,
            batches,
            exhausted: Throttle::default(),
            rejected: Throttle::default(),
            crowding: Throttle::default(),
        };
        Ok(AcceptorHandle(acceptor.start()))
    }

    /// Accepts what there is, at most a batch; true if there may be more.
    fn accept_batch(&mut self, cx: &mut task::Context<'_>) -> bool {
        let count = self.listeners.len();
        self.first = (self.first + 1) % count.max(1);
        let mut rounds = 0;
        for index in (self.first..self.first + count).map(|index| index % count) {
            if self.listeners[index].is_paused(cx) {
                continue;
            }
            while rounds < ACCEPT_BATCH_MAX && self.accept_one(index, cx) {
                rounds += 1;
            }
            // A new pause is looked at once so that its end wakes this task.
            self.listeners[index].is_paused(cx);
        }
        self.hand_over();
        rounds == ACCEPT_BATCH_MAX
    }

    /// One message for each session thread, whatever the number of connections.
    fn hand_over(&mut self) {
        for (worker, batch) in self.peers.workers.iter().zip(&mut self.batches) {
            if !batch.is_empty() {
                worker.accepted(std::mem::take(batch));
            }
        }
    }

    /// Takes one connection, or an error that is one connection's; false if the listener has
    /// nothing, or has to wait.
    fn accept_one(&mut self, index: usize, cx: &mut task::Context<'_>) -> bool {
        let now = self.shared.clock.now();
        if let Some((stream, peer)) = self.listeners[index].waiting.take() {
            // Its wait is over.
            self.admit(index, stream, peer, now);
            return true;
        }
        let listener = &mut self.listeners[index];
        let wait = listener.rate.wait(now);
        if !wait.is_zero() && self.shared.slots.find(listener.kind, false).is_none() {
            // Those without a slot have had their share of the time: the kernel keeps the next.
            listener.pause(wait);
            return false;
        }
        let Poll::Ready(accepted) = listener.socket.poll_accept(cx) else {
            return false;
        };
        match accepted {
            Ok((stream, peer)) => {
                listener.backoff.reset();
                if self.shared.slots.has_anonymous_in_the_way(listener.kind) {
                    listener.waiting = Some((stream, peer));
                    listener.pause(ADMIN_SLOT_WAIT);
                    self.peers
                        .workers
                        .iter()
                        .for_each(WorkerHandle::want_admin_slot);
                    return false;
                }
                self.admit(index, stream, peer, now);
                true
            }
            Err(error) if after_error(&error) == AfterError::Next => true,
            Err(error) => {
                let pause = listener.backoff.pause();
                listener.pause(pause);
                if let Some(times) = self.exhausted.note(now) {
                    log::warn!("connections wait, none can be accepted{times}: {error}");
                }
                false
            }
        }
    }

    /// Gives a connection its slot, or rejects it.
    fn admit(&mut self, index: usize, mut stream: IncomingStream, peer: PeerAddress, now: Instant) {
        let listener = &mut self.listeners[index];
        self.settings.refresh(&self.shared.settings);
        let may_administer = self.settings.administrators.may_be(peer);
        let slots = &self.shared.slots;
        match slots.admit(listener.kind, may_administer, peer.ip()) {
            Ok(slot) => {
                let is_provisional = slot.is_provisional();
                self.batches[slot.thread()].push(IncomingConnection {
                    stream,
                    tls: listener.tls.clone(),
                    origin: Origin {
                        is_for_reads: listener.is_for_reads,
                        ..peer.into()
                    },
                    slot,
                });
                if is_provisional {
                    self.tell_full(now);
                }
            }
            Err(why) => {
                // Nobody waits for those of one address: beyond the pace they are not told why.
                if why == NoSlot::Listener(listener.kind) || listener.rate.wait(now).is_zero() {
                    listener.rate.count(now);
                    match &listener.tls {
                        None => reject(&self.shared, &mut stream, why, now),
                        Some(identity) => {
                            reject_over_tls(&self.shared, identity, stream, peer, why);
                        }
                    }
                } else {
                    slots.count_rejected();
                }
                match why {
                    NoSlot::Listener(_) => self.tell_full(now),
                    NoSlot::Address(_) => self.tell_crowding(peer, now),
                }
            }
        }
    }

    fn tell_full(&mut self, now: Instant) {
        let Some(times) = self.rejected.note(now) else {
            return;
        };
        let (budget, taken) = (self.shared.slots.budget(), self.shared.slots.taken());
        log::warn!(
            "connections found no slot{times}: {} of {} clients and {} of {} \
             administrators are connected (vestibule.show('connections') tells who)",
            taken.clients,
            budget.clients,
            taken.administrators,
            budget.administrators
        );
    }

    fn tell_crowding(&mut self, peer: PeerAddress, now: Instant) {
        if let Some(times) = self.crowding.note(now) {
            let (max, _) = self.shared.slots.of_one_address();
            log::warn!(
                "an address had too many connections{times}, the last {peer}: there may \
                 be {max} (--connections-per-address-max)"
            );
        }
    }
}

impl Actor for Acceptor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(AcceptLoop);
    }
}

impl Handler<StopAccepting> for Acceptor {
    type Result = ();

    fn handle(&mut self, stop: StopAccepting, ctx: &mut Self::Context) {
        self.listeners
            .retain(|own| own.kind == ListenerKind::Administrators && !stop.is_for_all);
        if self.listeners.is_empty() {
            ctx.stop();
        }
    }
}

impl Handler<Listen> for Acceptor {
    type Result = ();

    fn handle(&mut self, listen: Listen, _ctx: &mut Self::Context) {
        // The task looks at all of them when the mailbox is empty.
        match OpenListener::new(listen.0) {
            Ok(listener) => self.listeners.push(listener),
            Err(error) => log::error!("a listener cannot be waited for: {error}"),
        }
    }
}

/// Accepts whenever a listener is readable and does not wait for something.
struct AcceptLoop;

impl ActorFuture<Acceptor> for AcceptLoop {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        acceptor: &mut Acceptor,
        _ctx: &mut Context<Acceptor>,
        cx: &mut task::Context<'_>,
    ) -> Poll<()> {
        if acceptor.accept_batch(cx) {
            go_on_behind_reactor(cx);
        }
        Poll::Pending
    }
}
