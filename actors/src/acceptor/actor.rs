//! The actix shell of the Acceptor.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{self, Poll};
use std::time::Instant;

use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message};
use actix_rt::time::{Sleep, sleep};
use tokio::net::TcpListener;

use super::listen::{AfterError, after_error};
use crate::limits::{ACCEPT_BATCH_MAX, ACCEPT_PAUSE, ACCEPT_WARNING_PERIOD};
use crate::shared::Shared;

/// Closes the listeners.
#[derive(Debug)]
struct StopAccepting;

impl Message for StopAccepting {
    type Result = ();
}

/// How others reach the Acceptor.
#[derive(Debug, Clone)]
pub(crate) struct AcceptorHandle(Addr<Acceptor>);

impl AcceptorHandle {
    /// Closes the listeners: new connections are refused by the kernel.
    pub(crate) fn stop(&self) {
        self.0.do_send(StopAccepting);
    }
}

/// The actor that owns the listeners, on the System arbiter.
pub(crate) struct Acceptor {
    shared: Arc<Shared>,
    listeners: Vec<TcpListener>,
    /// Connections handed out in this round that the arbiters' own counts do not show yet.
    handed: Vec<usize>,
    /// The listener that is asked first: each in its turn, so that none starves the others.
    first: usize,
    pause: Option<Pin<Box<Sleep>>>,
    warned: Option<Instant>,
}

impl Acceptor {
    /// Starts on the current arbiter.
    pub(crate) fn launch(
        shared: Arc<Shared>,
        listeners: Vec<StdTcpListener>,
    ) -> io::Result<AcceptorHandle> {
        let listeners: io::Result<_> = listeners.into_iter().map(TcpListener::from_std).collect();
        let handed = vec![0; shared.counters.len()];
        let acceptor = Self {
            shared,
            listeners: listeners?,
            handed,
            first: 0,
            pause: None,
            warned: None,
        };
        Ok(AcceptorHandle(acceptor.start()))
    }

    fn least_loaded(&self) -> usize {
        let load = |lane: &usize| {
            self.shared.counters[*lane]
                .connections
                .load(Ordering::Relaxed)
                + self.handed[*lane]
        };
        (0..self.handed.len()).min_by_key(load).unwrap_or(0)
    }

    /// Accepts what there is, at most a batch; true if there may be more.
    fn accept_batch(&mut self, cx: &mut task::Context<'_>) -> bool {
        let mut batches: Vec<Vec<(TcpStream, SocketAddr)>> = Vec::new();
        batches.resize_with(self.handed.len(), Vec::new);
        self.handed.fill(0);
        let mut accepted = 0;
        let count = self.listeners.len();
        self.first = (self.first + 1) % count.max(1);
        for index in (self.first..self.first + count).map(|index| index % count) {
            while accepted < ACCEPT_BATCH_MAX && self.pause.is_none() {
                let Some(connection) = self.accept_one(index, cx) else {
                    break;
                };
                let lane = self.least_loaded();
                self.handed[lane] += 1;
                batches[lane].push(connection);
                accepted += 1;
            }
        }
        for (lane, batch) in batches
            .into_iter()
            .enumerate()
            .filter(|(_, batch)| !batch.is_empty())
        {
            if let Some(lanes) = self.shared.lanes.get() {
                lanes[lane].accepted(batch);
            }
        }
        accepted == ACCEPT_BATCH_MAX
    }

    /// One line per interval, however often it happens.
    fn warn(&mut self, error: &io::Error) {
        let now = Instant::now();
        let is_due = |last: Instant| now.duration_since(last) >= ACCEPT_WARNING_PERIOD;
        if self.warned.is_none_or(is_due) {
            self.warned = Some(now);
            log::warn!("connections wait, none can be accepted: {error}");
        }
    }

    /// One connection; none if the listener has none, or accepting has to pause.
    fn accept_one(
        &mut self,
        index: usize,
        cx: &mut task::Context<'_>,
    ) -> Option<(TcpStream, SocketAddr)> {
        loop {
            let Poll::Ready(accepted) = self.listeners[index].poll_accept(cx) else {
                return None;
            };
            // Out of this arbiter's reactor: the stream belongs to the one that will serve it.
            match accepted.and_then(|(stream, peer)| Ok((stream.into_std()?, peer))) {
                Ok(connection) => return Some(connection),
                Err(error) if after_error(&error) == AfterError::Next => {}
                Err(error) => {
                    self.warn(&error);
                    self.pause = Some(Box::pin(sleep(ACCEPT_PAUSE)));
                    return None;
                }
            }
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

    fn handle(&mut self, _stop: StopAccepting, ctx: &mut Self::Context) {
        self.listeners.clear();
        ctx.stop();
    }
}

/// Accepts whenever a listener is readable and no pause is on.
struct AcceptLoop;

impl ActorFuture<Acceptor> for AcceptLoop {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        acceptor: &mut Acceptor,
        _ctx: &mut Context<Acceptor>,
        cx: &mut task::Context<'_>,
    ) -> Poll<()> {
        if let Some(pause) = &mut acceptor.pause {
            if pause.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            acceptor.pause = None;
        }
        let has_more = acceptor.accept_batch(cx);
        // A new pause is polled once so that it wakes this loop.
        let is_paused = acceptor
            .pause
            .as_mut()
            .is_some_and(|pause| pause.as_mut().poll(cx).is_pending());
        if !is_paused && (has_more || acceptor.pause.is_some()) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
