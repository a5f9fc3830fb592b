//! The actix shell of a session, and its one long-lived task.

use std::cell::{Cell, RefCell};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context as TaskContext, Poll};

use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Running};
use vestibule_wire::ErrorCode;
use vestibule_wire::greeting::{self, SALT_SIZE};

use super::io::{flush, read, take_inbox};
use crate::cells::traffic::{Counter, RequestPath};
use crate::config::SoloPolicy;
use crate::connection::cell::ConnectionCell;
use crate::connection::identity::Identity;
use crate::connection::intake::Closing;
use crate::connection::login::Checked;
use crate::connection::state::ConnectionState;
use crate::connection::transport::Transport;
use crate::engine::catalog::GUEST;
use crate::exposure::refuses;
use crate::hooks::{CloseReason, ConnectionClosed};
use crate::incoming::Origin;
use crate::limits::LOGIN_WORK;
use crate::memory::ConnectionCharge;
use crate::messages::SessionId;
use crate::resources::in_flight::InFlightRequest;
use crate::resources::transactions::OpenTransactions;
use crate::resources::{WorkerCell, WorkerState};
use crate::serving::Serving;
use crate::session::dispatch::Dispatcher;
use crate::session::dispatch::authenticate::answer_login;
use crate::session::dispatch::awaited::answer_awaited;
use crate::slots::ConnectionSlot;

/// The actor of one connection. Replies do not go through its mailbox: the worker that it lives in
/// shares its cell and writes them there, and its task does the reading and writing. All else that
/// it is told are [messages](super::messages).
pub(crate) struct Session {
    worker: Rc<WorkerCell>,
    cell: Rc<ConnectionCell>,
}

/// How a worker knows a session that it started.
pub(crate) type Started = (Weak<ConnectionCell>, Addr<Session>);

impl Session {
    /// Greets a connection and starts its actor on this thread.
    // The parameters in this order: the slot is given back after the socket is closed.
    pub(crate) fn serve(
        worker: &Rc<WorkerCell>,
        index: u32,
        slot: ConnectionSlot,
        origin: Origin,
        stream: Box<dyn Transport>,
    ) -> io::Result<Started> {
        let mut salt = [0; SALT_SIZE];
        getrandom::fill(&mut salt).map_err(|fault| io::Error::other(fault.to_string()))?;
        let cell = new_cell(worker, index, slot, origin, stream, salt);
        let uuid = &worker.shared.config.instance_uuid;
        let greeting = match &worker.shared.gateway {
            None => greeting::encode(uuid, &salt),
            Some(gateway) => greeting::encode_version(gateway.version(), uuid, &salt),
        };
        cell.state
            .borrow_mut()
            .output()
            .extend_from_slice(&greeting);
        let (hooks, id) = (&worker.shared.additions.hooks, cell.id.connection);
        hooks.tell_opened(id, origin.peer, cell.since);
        refuse_at_the_door(worker, &cell);
        let connection = Rc::downgrade(&cell);
        let session = Self {
            worker: worker.clone(),
            cell,
        };
        Ok((connection, session.start()))
    }

    /// The number of its connection.
    pub(super) fn connection(&self) -> u64 {
        self.cell.id.connection
    }

    /// Does what it was told. A panic ends this session alone.
    pub(super) fn act(&self, work: impl FnOnce(&mut Dispatcher<'_>)) {
        let (worker, cell) = (&self.worker, &self.cell);
        let mut state = worker.state.borrow_mut();
        let mut own = cell.state.borrow_mut();
        let now = worker.shared.clock.now();
        state.turns.begin();
        let done = guarded(cell, || {
            work(&mut Dispatcher::new(
                worker, cell, &mut state, &mut own, now,
            ));
        });
        if done.is_none() {
            forget(worker, cell, &mut state);
            own.close(Closing::Now, CloseReason::Panicked);
        }
        count_answered(&mut state, &own);
        worker.publish_counts(&state);
    }
}

/// The cell of a new connection.
pub(super) fn new_cell(
    worker: &WorkerCell,
    index: u32,
    slot: ConnectionSlot,
    origin: Origin,
    stream: Box<dyn Transport>,
    salt: [u8; SALT_SIZE],
) -> Rc<ConnectionCell> {
    let shared = &worker.shared;
    let Origin {
        peer,
        bounds,
        is_for_reads,
    } = origin;
    let connection = shared.next_connection();
    let is_administrator = shared.settings.load().administrators.includes(GUEST, peer);
    let mut identity = Identity::guest(connection, peer, salt, is_administrator);
    if refuses(shared.config.exposed_guest, peer.ip()) {
        identity.watch_guest();
    }
    let now = worker.shared.clock.now();
    let mut state = ConnectionState::new(
        stream,
        identity,
        bounds,
        ConnectionCharge::new(shared.memory.clone()),
        OpenTransactions::new(worker.state.borrow().writer_count()),
        shared.counters[worker.index].traffic.clone(),
        now,
    );
    if let Some(gateway) = &shared.gateway
        && !is_for_reads
    {
        state.begin_reads(gateway.config.read_from);
    }
    if slot.is_administrators() {
        state.on_operated();
    }
    if shared.serving.load().is_stopping() {
        state.on_known_stop();
    }
    Rc::new(ConnectionCell {
        id: SessionId { index, connection },
        peer,
        bounds,
        since: now,
        epoch: shared.serving.load().epoch,
        state: RefCell::new(state),
        waker: RefCell::default(),
        is_dirty: Cell::new(false),
        slot,
    })
}

/// New connections that the state or the policy turns away are greeted and told why.
fn refuse_at_the_door(worker: &WorkerCell, cell: &ConnectionCell) {
    let shared = &worker.shared;
    let code = |serving: Serving| {
        let is_alone = serving.state.traits().answers_alone;
        if serving.is_ending() && !(serving.is_stopping() && cell.slot.is_administrators()) {
            Some(ErrorCode::SHUTDOWN)
        } else if is_alone && cell.solo_policy(shared, &shared.settings.load()) == SoloPolicy::Close
        {
            Some(ErrorCode::LOADING)
        } else {
            None
        }
    };
    if code(shared.serving.load()).is_none() {
        return;
    }
    // It is decided by the state that is told, in case that it has changed meanwhile.
    let status = shared.serving.status(cell.since);
    let Some(code) = code(status.serving) else {
        return;
    };
    let error = status.error(code);
    let mut state = cell.state.borrow_mut();
    state.reply_error(shared, 0, &error);
    state.close(
        Closing::AfterFlush,
        match code {
            ErrorCode::SHUTDOWN => CloseReason::Stopped,
            _ => CloseReason::Solo,
        },
    );
}

impl Actor for Session {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(Traffic);
    }

    fn stopping(&mut self, _ctx: &mut Self::Context) -> Running {
        let worker = &self.worker;
        let mut state = worker.state.borrow_mut();
        let mut own = self.cell.state.borrow_mut();
        state.on_ended(self.cell.id.index);
        // What it does not need of its grant, others may wait for.
        let _ = own.give_back_grants(&mut state.credit_queues);
        let look = own.set_look(None);
        state.looks.set(self.cell.id, look, None);
        if own.is_known_to_tx() {
            state.outgoing.disconnect(self.cell.id);
        }
        for (id, _) in own.take_awaited(|_| true) {
            worker.peers.supervisor.withdraw(self.cell.id, id);
        }
        // Its open transactions end with it.
        own.drop_transactions();
        own.refuse_login_check(&worker.shared, "its client is gone");
        own.close_output();
        tell_closed(worker, &self.cell, &own);
        worker.publish_counts(&state);
        state.outgoing.wake_flush();
        Running::Stop
    }
}

/// Tells the embedder of a connection that ends.
fn tell_closed(worker: &WorkerCell, cell: &ConnectionCell, own: &ConnectionState) {
    let now = worker.shared.clock.now();
    let closed = || ConnectionClosed {
        connection: cell.id.connection,
        peer: cell.peer,
        user: own.caller().user.to_string(),
        reason: own.close_reason(),
        lasted: now.saturating_duration_since(cell.since),
    };
    let traffic = own.traffic();
    traffic.count(Counter::closed(own.close_reason() as usize));
    traffic.add(Counter::RELEASED, own.held_count() as u64);
    worker.shared.additions.hooks.tell_closed(closed, now);
}

/// The session's task.
struct Traffic;

impl ActorFuture<Session> for Traffic {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        session: &mut Session,
        ctx: &mut Context<Session>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let (worker, cell) = (&session.worker, &session.cell);
        cell.set_waker(cx.waker());
        let mut state = worker.state.borrow_mut();
        let mut own = cell.state.borrow_mut();
        let poll = guarded(cell, || turn(worker, cell, &mut state, &mut own, cx));
        let poll = poll.unwrap_or_else(|| {
            forget(worker, cell, &mut state);
            own.on_end(CloseReason::Panicked);
            Poll::Ready(())
        });
        count_answered(&mut state, &own);
        if poll.is_ready() {
            ctx.stop();
        }
        poll
    }
}

/// Does a session's work so that a panic in it is that session's alone; `None` if there was one.
///
/// What a session shares with others is whole after a panic: a list holds an item or does not, and
/// [`forget`] sees to the rest. Its own state may be anything, and is only dropped.
pub(crate) fn guarded<T>(cell: &ConnectionCell, work: impl FnOnce() -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(work));
    if done.is_err() {
        log::error!(
            "a session panicked, its connection from {} is closed",
            cell.peer
        );
    }
    done.ok()
}

/// After a panic: what Tx has not begun for this session is taken back, and nobody waits for the
/// rest.
fn forget(worker: &WorkerCell, cell: &ConnectionCell, state: &mut WorkerState) {
    let is_own = |request: &InFlightRequest| request.session == cell.id;
    state.in_flight.revoke_queued(is_own);
    state.buffers.restore_scratch();
    worker.publish_counts(state);
    state.outgoing.wake_flush();
}

/// A turn is at its end, however it came to that: counts how long the requests took that were
/// answered in it, if it is timed.
#[inline]
fn count_answered(state: &mut WorkerState, own: &ConnectionState) {
    if let Some((took, answered)) = state.turns.take_answered() {
        for (path, count) in RequestPath::ALL.into_iter().zip(answered) {
            own.traffic().durations(path).add_many(took, count.into());
        }
    }
}

/// Charges a connection's buffers, and has Tx told of room for which it waits.
pub(crate) fn charge(cell: &ConnectionCell, state: &mut WorkerState, own: &mut ConnectionState) {
    own.charge_buffers();
    if own.take_room() {
        state.outgoing.tell_room(cell.id.connection);
    }
}

/// Goes on with a login that somebody else decides. A stop does not wait for it.
fn check_login(
    worker: &WorkerCell,
    state: &mut WorkerState,
    own: &mut ConnectionState,
    cx: &mut TaskContext<'_>,
) {
    let serving = worker.shared.serving.load();
    if own.is_stopped_by(serving) {
        own.end_login_check(Checked::Stopping);
    } else {
        state.turns.spend(LOGIN_WORK);
        own.poll_login_check(cx);
    }
}

/// Reads before the next steps of a SELECT, which take the whole turn: what goes
/// [ahead](super::ahead) does not wait for all of them. Ready when the peer is gone.
fn read_beside_scans(
    worker: &WorkerCell,
    cell: &ConnectionCell,
    state: &mut WorkerState,
    own: &mut ConnectionState,
    cx: &mut TaskContext<'_>,
) -> Poll<()> {
    if own.has_inbox() {
        let now = worker.shared.clock.now();
        take_inbox(&mut Dispatcher::new(worker, cell, state, own, now));
    }
    read(worker, cell, state, own, cx)
}

/// Does what there is to do, for as long as a turn may take; ready when the peer is gone.
fn work(
    worker: &WorkerCell,
    cell: &ConnectionCell,
    state: &mut WorkerState,
    own: &mut ConnectionState,
    cx: &mut TaskContext<'_>,
) -> Poll<()> {
    state.turns.begin();
    if own.has_login_check() {
        check_login(worker, state, own, cx);
    }
    if own.has_login_wait() && worker.shared.serving.load().is_stopping() {
        // A stop waits for nobody's.
        own.end_login_wait(None);
    }
    if own.has_scans() && read_beside_scans(worker, cell, state, own, cx).is_ready() {
        return Poll::Ready(());
    }
    // Most turns have nothing left from the one before, and need no clock for it.
    if own.has_held() || own.has_scans() || own.has_inbox() || own.may_send_events() {
        let mut dispatcher = Dispatcher::new(worker, cell, state, own, worker.shared.clock.now());
        if dispatcher.session.may_send_events() {
            dispatcher.send_events();
        }
        dispatcher.resume_scan();
        dispatcher.release_held();
        take_inbox(&mut dispatcher);
    }
    let read = read(worker, cell, state, own, cx);
    let is_late = !state.turns.has_time();
    own.set_late(is_late);
    if is_late && read.is_pending() {
        state.turns.wait(cell.id, cx.waker().clone());
    }
    read
}

/// One turn of a session: ready when the connection is over.
fn turn(
    worker: &WorkerCell,
    cell: &ConnectionCell,
    state: &mut WorkerState,
    own: &mut ConnectionState,
    cx: &mut TaskContext<'_>,
) -> Poll<()> {
    let is_granted = state.turns.take_grant(cell.id);
    let read = if is_granted || !own.is_late() && !own.is_resting(worker.shared.clock) {
        work(worker, cell, state, own, cx)
    } else {
        // It has had its turn, and has to wait for the next one.
        if !own.is_late() {
            own.set_late(true);
            state.turns.wait(cell.id, cx.waker().clone());
        }
        Poll::Pending
    };
    let serving = worker.shared.serving.load();
    // What it has not come to yet is taken first.
    let has_caught_up = serving.is_stopping() && own.catch_up(worker.shared.config.packet_size_max);
    if (has_caught_up || !serving.state.traits().serves)
        && !own.is_late()
        && own.is_closed_by_stop(serving)
    {
        answer_awaited(&worker.shared, own);
        answer_login(&worker.shared, own);
        own.close(Closing::AfterFlush, CloseReason::Stopped);
    }
    // Before it is flushed, which is the end of it if there is no credit for what is left.
    if own.is_answered_to_the_end(worker.shared.config.packet_size_max) {
        own.close(Closing::AfterFlush, CloseReason::Client);
    }
    let flushed = flush(cell.id, state, own, cx);
    if serving.is_stopping() && own.is_idle_operator() {
        // The worker waits for everybody else.
        state.outgoing.wake_flush();
    }
    own.rest_until(state.turns.rest());
    charge(cell, state, own);
    if own.give_back_grants(&mut state.credit_queues) {
        state.outgoing.wake_flush();
    }
    if read.is_ready() || flushed.is_ready() || own.closing() == Some(Closing::Now) {
        return Poll::Ready(());
    }
    if own.closing() == Some(Closing::AfterFlush) && own.is_flushed() {
        return Poll::Ready(());
    }
    Poll::Pending
}
