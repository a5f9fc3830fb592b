//! Handshakes of TLS: what a connection goes through before there is a session for it.
//!
//! ```text
//!   accepted ─▶ first bytes ─▶ a place ─▶ agreed ─▶ session
//!     10 s                   10 s ──▶ closed: no TLS, too slow, or in the way of others
//! ```
//!
//! A connection that says nothing has its slot, and costs nothing else.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{self, Poll};

use actix::Context;
use actix::fut::ActorFuture;
use actix_rt::time::timeout;
use tokio::sync::{mpsc, oneshot};

use super::actor::Worker;
use super::places::Places;
use crate::clock::Clock;
use crate::connection::tls::Tls;
use crate::connection::transport::Transport;
use crate::engine::counted;
use crate::incoming::Origin;
use crate::limits::{TLS_HANDSHAKE_TIME_MAX, TLS_HANDSHAKES_MAX, TLS_PLACE_TIME_MIN};
use crate::slots::ConnectionSlot;
use crate::tls::{HandshakeResult, TlsIdentity};

/// A connection that is agreed on.
pub(super) struct Agreed {
    stream: Box<dyn Transport>,
    origin: Origin,
    // Last: it is given back when the socket is closed.
    slot: ConnectionSlot,
}

type HandshakeTable = Rc<RefCell<Places<oneshot::Sender<()>, oneshot::Sender<HandshakePlace>>>>;

/// The handshakes of one session thread.
pub(super) struct Handshakes {
    clock: Clock,
    table: HandshakeTable,
    agreed: mpsc::UnboundedSender<Agreed>,
    taken: Option<mpsc::UnboundedReceiver<Agreed>>,
}

/// A place for a handshake, given on when it is dropped.
struct HandshakePlace {
    number: u64,
    table: HandshakeTable,
    clock: Clock,
    /// Told, or gone, when it has to be given up.
    given_up: Option<oneshot::Receiver<()>>,
}

impl Drop for HandshakePlace {
    fn drop(&mut self) {
        self.table.borrow_mut().give_back(self.number);
        give_on(&self.table, self.clock);
    }
}

/// Gives places that are free to those that wait.
fn give_on(table: &HandshakeTable, clock: Clock) {
    loop {
        let Some((address, waiter)) = table.borrow_mut().next() else {
            return;
        };
        // Nobody can leave between these two: all of it is one thread.
        if !waiter.is_closed() {
            let _ = waiter.send(take(table, address, clock));
        }
    }
}

fn take(table: &HandshakeTable, address: IpAddr, clock: Clock) -> HandshakePlace {
    let (end, given_up) = oneshot::channel();
    HandshakePlace {
        number: table.borrow_mut().take(clock.now(), address, end),
        table: table.clone(),
        clock,
        given_up: Some(given_up),
    }
}

impl Handshakes {
    pub(super) fn new(clock: Clock) -> Self {
        let (agreed, taken) = mpsc::unbounded_channel();
        Self {
            clock,
            table: Rc::new(RefCell::new(Places::new(
                TLS_HANDSHAKES_MAX,
                TLS_PLACE_TIME_MIN,
            ))),
            agreed,
            taken: Some(taken),
        }
    }

    /// What takes those that are agreed on, once.
    pub(super) fn start(&mut self) -> Option<AgreedLoop> {
        self.taken.take().map(AgreedLoop)
    }

    /// Begins one.
    pub(super) fn begin(
        &self,
        identity: TlsIdentity,
        stream: Box<dyn Transport>,
        origin: Origin,
        slot: ConnectionSlot,
    ) {
        let (table, clock, agreed) = (self.table.clone(), self.clock, self.agreed.clone());
        actix_rt::spawn(async move {
            // Beside the stream, which is dropped first.
            let slot = slot;
            let address = counted(origin.peer.ip());
            let result = match agree(&identity, stream, address, &table, clock).await {
                Ok(stream) => {
                    let connection = Agreed {
                        stream,
                        origin,
                        slot,
                    };
                    let _ = agreed.send(connection);
                    return identity.count(HandshakeResult::Ok);
                }
                Err(result) => result,
            };
            identity.count(result);
            log::debug!("TLS with {}: {}", origin.peer, result.name());
        });
    }
}

async fn agree(
    identity: &TlsIdentity,
    mut stream: Box<dyn Transport>,
    address: IpAddr,
    table: &HandshakeTable,
    clock: Clock,
) -> Result<Box<dyn Transport>, HandshakeResult> {
    let failed = |error: io::Error| {
        log::debug!("TLS: {error}");
        HandshakeResult::Failed
    };
    let begun = poll_fn(|cx| stream.poll_read_ready(cx));
    in_time(begun).await?.map_err(failed)?;
    let mut place = place(table, address, clock).await;
    let given_up = place.given_up.take();
    let mut tls = Tls::accept(stream, identity.server()).map_err(failed)?;
    let agreed = tokio::select! {
        biased;
        agreed = in_time(tls.agree()) => agreed?.map_err(failed),
        () = ended(given_up) => Err(HandshakeResult::CrowdedOut),
    };
    agreed.map(|()| -> Box<dyn Transport> { Box::new(tls) })
}

/// What has its time, in which others do not count.
async fn in_time<T>(work: impl Future<Output = T>) -> Result<T, HandshakeResult> {
    let done = timeout(TLS_HANDSHAKE_TIME_MAX, work).await;
    done.map_err(|_| HandshakeResult::Timeout)
}

async fn ended(given_up: Option<oneshot::Receiver<()>>) {
    match given_up {
        Some(given_up) => {
            let _ = given_up.await;
        }
        None => std::future::pending().await,
    }
}

/// A place, in its turn. Who waits has the others give up theirs when they have had their time.
async fn place(table: &HandshakeTable, address: IpAddr, clock: Clock) -> HandshakePlace {
    if table.borrow().is_free() {
        return take(table, address, clock);
    }
    let (told, mut turn) = oneshot::channel();
    table.borrow_mut().wait(address, told);
    loop {
        let overdue = table.borrow_mut().overdue(clock.now(), address);
        let wait = match overdue {
            Ok(end) => {
                drop(end);
                give_on(table, clock);
                TLS_PLACE_TIME_MIN
            }
            Err(left) => left,
        };
        if let Ok(Ok(place)) = timeout(wait, &mut turn).await {
            return place;
        }
    }
}

/// Starts the sessions of connections that are agreed on.
pub(super) struct AgreedLoop(mpsc::UnboundedReceiver<Agreed>);

impl ActorFuture<Worker> for AgreedLoop {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        worker: &mut Worker,
        _ctx: &mut Context<Worker>,
        cx: &mut task::Context<'_>,
    ) -> Poll<()> {
        while let Poll::Ready(agreed) = self.0.poll_recv(cx) {
            let Some(agreed) = agreed else {
                return Poll::Ready(());
            };
            let Agreed {
                stream,
                origin,
                slot,
            } = agreed;
            worker.serve_or_tell(slot, origin, stream);
        }
        Poll::Pending
    }
}
