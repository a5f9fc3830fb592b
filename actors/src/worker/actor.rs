//! The actix shell of a worker: takes connections in, sends batches out, delivers replies.

use std::cell::{Cell, RefCell};
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task;
use std::time::{Duration, Instant};

use actix::fut::ActorFuture;
use actix::{Actor, AsyncContext, Context, Handler, Message};
use actix_rt::time::{Sleep, sleep_until};
use vestibule_wire::keys::RequestType;
use vestibule_wire::{Error, ErrorCode};

#[cfg(feature = "tls")]
use super::handshakes::Handshakes;
use super::progress::{InTransition, Lap};
use super::rates::Rates;
use super::sessions::Sessions;
use crate::connection::state::ConnectionState;
use crate::connection::transport::{Transport, from_incoming};
use crate::incoming::Origin;
use crate::limits::WORKER_TICK_PERIOD;
use crate::links::Links;
use crate::messages::tx::{Push, Replies};
use crate::messages::worker::{
    Accepted, AdminSlotWanted, Changed, IncomingConnection, TxLost, TxReady,
};
use crate::messages::{SessionId, TxEvent, WorkerReport};
use crate::peers::Peers;
use crate::reactor::go_on_behind_reactor;
use crate::resources::in_flight::{Effect, InFlightRequest, InFlightTable};
use crate::resources::outgoing::Back;
use crate::resources::{WorkerCell, WorkerState};
use crate::serving::{Revocation, Serving, State};
use crate::session::actor::Session;
use crate::session::messages::{CommitLost, TransactionsLost};
use crate::shared::Shared;
use crate::slots::ConnectionSlot;

/// The actor of one session thread.
pub(crate) struct Worker {
    /// What its sessions share.
    pub(super) cell: Rc<WorkerCell>,
    /// Connections that are not agreed on yet.
    #[cfg(feature = "tls")]
    handshakes: Handshakes,
    pub(super) sessions: Sessions,
    /// Sessions with replies to flush.
    pub(super) dirty: RefCell<Vec<u32>>,
    /// Sessions that have an administrator's slot provisionally.
    pub(super) provisional: RefCell<Vec<SessionId>>,
    /// How far it has come in telling sessions of a change.
    pub(super) lap: Cell<Lap>,
    /// The serving state of which it heard last.
    seen: Cell<Option<Serving>>,
    /// The settings of which it knows what follows from them, by their version.
    pub(super) settings_seen: Cell<u64>,
    /// When the connections' time limits are looked at again.
    pub(super) next_look: Cell<Option<Instant>>,
    /// The shortest idle time that a connection ever had as a bound of its own.
    pub(super) idle_min: Cell<Option<Duration>>,
    /// When the next request that is kept in Tx's queue has waited for as long as it may, in solo.
    pub(super) kept_until: Cell<Option<Instant>>,
    /// When connections were last looked at because memory or credits are short, if they are.
    pub(super) shortage: Cell<Option<Instant>>,
    /// For how much there was per second in the last few.
    pub(super) rates: RefCell<Rates>,
    /// Of a gateway.
    pub(super) links: Option<Rc<Links>>,
    /// The transition under way, as far as it is this worker's matter.
    pub(super) transition: Cell<Option<InTransition>>,
}

impl Worker {
    pub(crate) fn new(index: usize, shared: Arc<Shared>, peers: Arc<Peers>) -> Self {
        let in_flight =
            InFlightTable::new(shared.counters[index].claims.clone(), shared.clock.now());
        #[cfg(feature = "tls")]
        let handshakes = Handshakes::new(shared.clock);
        let mut state = WorkerState::new(
            shared.settings.follow(),
            in_flight,
            shared.memory.clone(),
            shared.clock,
        );
        state.reads = shared.gateway.as_ref().map(|own| own.reads.follow());
        let cell = Rc::new(WorkerCell::new(index, shared, peers, state));
        let gateway = cell.shared.gateway.clone();
        let links = gateway.map(|own| Links::new(&cell, own));
        if let Some(links) = links.clone() {
            cell.state.borrow_mut().outgoing.attach(Back::Links(links));
        }
        Self {
            cell,
            sessions: Sessions::default(),
            #[cfg(feature = "tls")]
            handshakes,
            dirty: RefCell::default(),
            provisional: RefCell::default(),
            lap: Cell::default(),
            seen: Cell::default(),
            settings_seen: Cell::default(),
            next_look: Cell::default(),
            idle_min: Cell::default(),
            kept_until: Cell::default(),
            shortage: Cell::default(),
            rates: RefCell::default(),
            links,
            transition: Cell::new(None),
        }
    }

    fn accept(&mut self, incoming: IncomingConnection) {
        let IncomingConnection {
            stream,
            tls,
            mut origin,
            slot,
        } = incoming;
        let stream = match from_incoming(stream, &mut origin.peer) {
            Ok(stream) => stream,
            Err(error) => return tell_lost(origin, &error),
        };
        match tls {
            None => self.serve_or_tell(slot, origin, stream),
            #[cfg(feature = "tls")]
            Some(identity) => self.handshakes.begin(identity, stream, origin, slot),
            #[cfg(not(feature = "tls"))]
            Some(none) => match none {},
        }
    }

    /// Starts the session of a connection, or closes it.
    pub(super) fn serve_or_tell(
        &mut self,
        slot: ConnectionSlot,
        origin: Origin,
        stream: Box<dyn Transport>,
    ) {
        // In this order: the slot is given back after the socket is closed.
        if let Err(error) = self.serve(slot, origin, stream) {
            tell_lost(origin, &error);
        }
    }

    /// Starts the session of a connection.
    pub(crate) fn serve(
        &mut self,
        slot: ConnectionSlot,
        origin: Origin,
        stream: Box<dyn Transport>,
    ) -> io::Result<()> {
        let cell = &self.cell;
        let start = |index| Session::serve(cell, index, slot, origin, stream);
        let connection = self.sessions.start(start)?;
        self.watch_provisional(&connection);
        if let Some(idle) = origin.bounds.idle {
            let shortest = self.idle_min.get().map_or(idle, |own| own.min(idle));
            self.idle_min.set(Some(shortest));
        }
        Ok(())
    }

    /// Forgets the sessions that have ended since it was done last.
    fn forget_ended(&mut self) {
        let mut state = self.cell.state.borrow_mut();
        for index in state.drain_ended() {
            self.sessions.remove(index);
        }
    }

    /// Tells those sessions something of which this is true.
    pub(super) fn tell_where<M>(
        &self,
        is_meant: impl Fn(&ConnectionState) -> bool,
        message: impl Fn() -> M,
    ) where
        M: Message<Result = ()> + Send + 'static,
        Session: Handler<M>,
    {
        for session in self.sessions.iter() {
            if is_meant(&session.state.borrow()) {
                self.sessions.tell(&session, message());
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Its arbiter ends: because the runtime has stopped, which nobody listens to any more, or
        // because somebody stopped the System under it.
        let supervisor = &self.cell.peers.supervisor;
        supervisor.report(self.cell.index, 0, WorkerReport::Gone);
    }
}

/// A stream that cannot be registered is a connection that is closed.
fn tell_lost(origin: Origin, error: &io::Error) {
    log::warn!(
        "a connection from {} could not be taken: {error}",
        origin.peer
    );
}

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(FlushLoop);
        ctx.spawn(LapLoop);
        ctx.spawn(TimerLoop::default());
        #[cfg(feature = "tls")]
        if let Some(agreed) = self.handshakes.start() {
            ctx.spawn(agreed);
        }
        actix_rt::spawn(grant_turns(Rc::downgrade(&self.cell)));
        ctx.run_interval(WORKER_TICK_PERIOD, |worker, _| {
            worker.tick(worker.cell.shared.clock.now())
        });
    }
}

/// Sends what this tick's sessions gathered. Woken by the first of them, it runs after those that
/// were already ready: the local queue is first come, first served.
struct FlushLoop;

impl ActorFuture<Worker> for FlushLoop {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        worker: &mut Worker,
        _ctx: &mut Context<Worker>,
        cx: &mut task::Context<'_>,
    ) -> task::Poll<()> {
        let mut state = worker.cell.state.borrow_mut();
        state.outgoing.set_flush(cx.waker());
        drop(state);
        worker.flush();
        task::Poll::Pending
    }
}

impl Worker {
    /// Sends what the sessions have gathered.
    pub(super) fn flush(&mut self) {
        self.forget_ended();
        // What a session did not need of its grant, others may wait for.
        self.resume_stalled();
        let mut state = self.cell.state.borrow_mut();
        state.outgoing.send(self.cell.index);
        self.cell.publish_counts(&state);
        drop(state);
        // Sessions wake the flush for the transactions that they do not have any more.
        self.tell_if_quiet();
    }
}

/// Grants turns to the sessions that wait for another one, and asks the reactor between two: what
/// came meanwhile goes first.
async fn grant_turns(worker: Weak<WorkerCell>) {
    loop {
        let granted = poll_fn(|cx| {
            let Some(worker) = worker.upgrade() else {
                return task::Poll::Ready(None);
            };
            let granted = worker.state.borrow_mut().turns.grant(cx.waker());
            granted.map_or(task::Poll::Pending, |own| task::Poll::Ready(Some(own)))
        });
        let Some(session) = granted.await else { return };
        session.wake();
        tokio::task::yield_now().await;
    }
}

/// Goes on with a lap, behind those that are ready to run and what came meanwhile.
struct LapLoop;

impl ActorFuture<Worker> for LapLoop {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        worker: &mut Worker,
        _ctx: &mut Context<Worker>,
        cx: &mut task::Context<'_>,
    ) -> task::Poll<()> {
        if worker.lap.get().is_under_way() && !worker.tell_some() {
            go_on_behind_reactor(cx);
        }
        task::Poll::Pending
    }
}

/// Cancels requests whose time is over, at that time. Polled with the thread's other tasks, so a
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
            let Some(next) = worker.next_look() else {
                return task::Poll::Pending;
            };
            let next = worker.cell.shared.clock.timer(next).into();
            let sleep = self
                .sleep
                .get_or_insert_with(|| Box::pin(sleep_until(next)));
            // One that is set to an earlier time is left: it costs less to wake in vain now and
            // then.
            if sleep.deadline() > next || sleep.is_elapsed() {
                sleep.as_mut().reset(next);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return task::Poll::Pending;
            }
            let now = worker.cell.shared.clock.now();
            worker.expire(now);
            worker.look(now);
            worker.revoke_kept(now);
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

impl Handler<AdminSlotWanted> for Worker {
    type Result = ();

    fn handle(&mut self, _: AdminSlotWanted, _ctx: &mut Self::Context) {
        self.free_admin_slot(self.cell.shared.clock.now());
    }
}

impl Handler<Box<Replies>> for Worker {
    type Result = ();

    fn handle(&mut self, replies: Box<Replies>, _ctx: &mut Self::Context) {
        self.deliver(replies);
    }
}

impl Handler<Push> for Worker {
    type Result = ();

    fn handle(&mut self, push: Push, _ctx: &mut Self::Context) {
        self.deliver_push(push);
    }
}

impl Handler<Changed> for Worker {
    type Result = ();

    fn handle(&mut self, changed: Changed, _ctx: &mut Self::Context) {
        self.cell.shared.counters[self.cell.index].on_events_look();
        let serving = self.cell.shared.serving.load();
        let is_new = self.seen.replace(Some(serving)) != Some(serving);
        if is_new {
            self.revoke_for(serving.state);
        }
        self.begin_lap(is_new.then_some((serving.epoch, changed.0)));
    }
}

impl Worker {
    /// Takes back what Tx has not begun, if the new state has Tx begin nothing.
    fn revoke_for(&self, state: State) {
        match state.traits().revokes {
            Revocation::Nothing => {}
            Revocation::ByPolicy => self.revoke_in_solo(self.cell.shared.clock.now()),
            Revocation::With(code) => self.revoke_queued(code),
        }
    }
}

impl Handler<TxReady> for Worker {
    type Result = ();

    fn handle(&mut self, ready: TxReady, _ctx: &mut Self::Context) {
        let generation = ready.0.generation;
        self.cell
            .state
            .borrow_mut()
            .outgoing
            .attach(Back::Tx(ready.0));
        let attached = TxEvent::Attached { generation };
        self.cell.peers.supervisor.tx_event(attached);
    }
}

impl Handler<TxLost> for Worker {
    type Result = ();

    fn handle(&mut self, lost: TxLost, _ctx: &mut Self::Context) {
        let started = {
            let mut state = self.cell.state.borrow_mut();
            state.outgoing.detach();
            drop(state);
            self.revoke_queued(ErrorCode::LOADING);
            let mut state = self.cell.state.borrow_mut();
            state.in_flight.cancel_started(|_| true)
        };
        let started: Vec<InFlightRequest> = started.into_iter().map(|own| own.request).collect();
        let error = self
            .cell
            .shared
            .outcome_unknown(ErrorCode::SYSTEM, &lost.reason);
        self.tell_commits_lost(&started, &error);
        self.answer_unknown(&started, &error);
        // Transactions died with the engine.
        self.tell_where(|own| own.transaction_count() > 0, || TransactionsLost);
        self.tell_if_quiet();
    }
}

impl Worker {
    /// Tells the sessions whose COMMIT Tx had begun when it was lost.
    fn tell_commits_lost(&self, started: &[InFlightRequest], error: &Error) {
        let is_commit = |own: &&InFlightRequest| {
            own.request_type == RequestType::Commit && matches!(own.effect, Effect::Closed(_))
        };
        for commit in started.iter().filter(is_commit) {
            if let Some(session) = self.owner(commit) {
                let (stream, error) = (commit.stream, error.clone());
                self.sessions.tell(&session, CommitLost { stream, error });
            }
        }
    }
}
