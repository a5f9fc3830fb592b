//! The actix shell of a session arbiter: takes connections in, sends batches out, delivers replies.

use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task;

use actix::fut::ActorFuture;
use actix::{Actor, AsyncContext, Context, Handler};
use actix_rt::time::{Sleep, sleep_until};
use vestibule_wire::ErrorCode;
use vestibule_wire::keys::RequestType;

use super::state::Worker;
use crate::connection::transport::{Transport, from_socket};
use crate::limits::WORKER_TICK_PERIOD;
use crate::messages::worker::{Accepted, IncomingConnection, StateChanged, TxLost, TxReady};
use crate::resources::in_flight::{Effect, InFlightRequest};
use crate::serving::Revocation;
use crate::session::actor::Session;
use crate::slots::ConnectionSlot;
use crate::tx::messages::Replies;

impl Worker {
    fn accept(&mut self, incoming: IncomingConnection) {
        let IncomingConnection { stream, peer, slot } = incoming;
        // In this order: the slot is given back after the socket is closed.
        let served = from_socket(stream).and_then(|stream| self.serve(slot, peer, stream));
        // A stream that cannot be registered is a connection that is closed.
        if let Err(error) = served {
            log::warn!("a connection from {peer} could not be taken: {error}");
        }
    }

    /// Starts the session of a connection.
    pub(crate) fn serve(
        &mut self,
        slot: ConnectionSlot,
        peer: SocketAddr,
        stream: Box<dyn Transport>,
    ) -> io::Result<()> {
        let cell = &self.cell;
        let start = |index| Session::serve(cell, index, slot, peer, stream);
        let connection = self.sessions.start(start)?;
        self.watch_provisional(&connection);
        Ok(())
    }

    /// Forgets the sessions that have ended since it was done last.
    fn forget_ended(&mut self) {
        let mut ended = std::mem::take(&mut self.cell.state.borrow_mut().ended);
        if !ended.is_empty() {
            ended
                .drain(..)
                .for_each(|index| self.sessions.remove(index));
            self.tell_if_quiet();
        }
        self.cell.state.borrow_mut().ended = ended;
    }
}

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(FlushLoop);
        ctx.spawn(TimerLoop::default());
        ctx.run_interval(WORKER_TICK_PERIOD, |worker, _| {
            worker.tick(crate::clock::now())
        });
    }
}

/// Sends what this tick's sessions gathered. Woken by the first of them, it runs after those that were
/// already ready: the local queue is first come, first served.
struct FlushLoop;

impl ActorFuture<Worker> for FlushLoop {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        worker: &mut Worker,
        _ctx: &mut Context<Worker>,
        cx: &mut task::Context<'_>,
    ) -> task::Poll<()> {
        worker.forget_ended();
        // What a session did not need of its grant, others may wait for.
        worker.resume_stalled();
        let mut state = worker.cell.state.borrow_mut();
        state.set_flush(cx.waker());
        state.send_outgoing(worker.cell.index);
        worker.cell.publish_counts(&state);
        task::Poll::Pending
    }
}

/// Cancels requests whose time is over, at that time. Polled with the arbiter's other tasks, so a
/// new deadline that is earlier is seen when its request leaves.
#[derive(Default)]
struct TimerLoop {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl ActorFuture<Worker> for TimerLoop {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        worker: &mut Worker,
        _ctx: &mut Context<Worker>,
        cx: &mut task::Context<'_>,
    ) -> task::Poll<()> {
        loop {
            let Some(next) = worker.cell.state.borrow().in_flight.next_look() else {
                return task::Poll::Pending;
            };
            let next = next.into();
            let sleep = self
                .sleep
                .get_or_insert_with(|| Box::pin(sleep_until(next)));
            // One that is set to an earlier time is left: it costs less to wake in vain now and then.
            if sleep.deadline() > next || sleep.is_elapsed() {
                sleep.as_mut().reset(next);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return task::Poll::Pending;
            }
            worker.expire(crate::clock::now());
        }
    }
}

impl Handler<Accepted> for Worker {
    type Result = ();

    fn handle(&mut self, accepted: Accepted, _ctx: &mut Self::Context) {
        for incoming in accepted.0 {
            self.accept(incoming);
        }
    }
}

impl Handler<Replies> for Worker {
    type Result = ();

    fn handle(&mut self, replies: Replies, _ctx: &mut Self::Context) {
        self.deliver(replies);
    }
}

impl Handler<StateChanged> for Worker {
    type Result = ();

    fn handle(&mut self, changed: StateChanged, _ctx: &mut Self::Context) {
        let serving = self.cell.shared.cell.load();
        let has_changed = self.cell.state.borrow_mut().seen.replace(serving) != Some(serving);
        if has_changed {
            match serving.state.traits().revokes {
                Revocation::Nothing => {}
                Revocation::ByPolicy => self.revoke_in_solo(crate::clock::now()),
                Revocation::With(code) => drop(self.revoke_queued(code)),
            }
            if !serving.state.traits().answers_alone && self.cell.state.borrow().holding > 0 {
                self.wake_holding();
            }
        }
        self.send_events();
        self.close_idle_if_stopping();
        if has_changed {
            let counters = &self.cell.shared.counters[self.cell.index];
            counters.reached(
                serving.epoch,
                crate::clock::now().saturating_duration_since(changed.0),
            );
        }
    }
}

impl Handler<TxReady> for Worker {
    type Result = ();

    fn handle(&mut self, ready: TxReady, _ctx: &mut Self::Context) {
        self.cell.state.borrow_mut().tx = Some(ready.0);
    }
}

impl Handler<TxLost> for Worker {
    type Result = ();

    fn handle(&mut self, lost: TxLost, _ctx: &mut Self::Context) {
        {
            let mut state = self.cell.state.borrow_mut();
            state.tx = None;
            state.outgoing.clear();
        }
        self.revoke_queued(ErrorCode::LOADING);
        let mut state = self.cell.state.borrow_mut();
        let started = state.in_flight.cancel_started(|_| true);
        drop(state);
        let started: Vec<InFlightRequest> = started.into_iter().map(|own| own.request).collect();
        let error = self.outcome_unknown(ErrorCode::SYSTEM, &lost.reason);
        let is_commit = |own: &&InFlightRequest| {
            own.request_type == RequestType::Commit && matches!(own.effect, Effect::Closed(_))
        };
        for commit in started.iter().filter(is_commit) {
            if let Some(session) = self.owner(commit) {
                let mut own = session.state.borrow_mut();
                own.orphan_commit(commit.stream, error.clone());
            }
        }
        self.answer_unknown(started, &error);
        // Transactions died with the engine.
        for session in self.sessions.iter() {
            session.state.borrow_mut().orphan_transactions();
        }
        self.tell_if_quiet();
    }
}
