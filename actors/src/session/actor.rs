//! The actix shell of a session, and its one long-lived task.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Instant;

use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, AsyncContext, Context, Running};
use tokio::net::TcpStream;
use vestibule_wire::greeting::{self, SALT_SIZE};
use vestibule_wire::{ErrorCode, reply::ReplyHeader};

use super::io::{flush, read, take_inbox};
use super::transport::{self, Transport};
use crate::config::{Administrators, SoloPolicy};
use crate::connection::orphaned::OrphanedTransactions;
use crate::connection::output::Output;
use crate::connection::state::{Closing, ConnectionCell, ConnectionState, InFlight};
use crate::connection::timeouts::ConnectionTimeouts;
use crate::engine::Caller;
use crate::engine::catalog::GUEST;
use crate::limits::READ_SIZE;
use crate::memory::{Memory, MemoryCharge};
use crate::messages::IncomingConnection;
use crate::resources::WorkerState;
use crate::resources::credits::Grant;
use crate::resources::in_flight::InFlightRequest;
use crate::resources::transactions::OpenTransactions;
use crate::serving::State;
use crate::session::dispatch::Dispatcher;
use crate::slots::ConnectionSlot;
use crate::worker::WorkerCell;

/// The actor of one connection. Its data do not go through its mailbox: the worker it lives in shares
/// its cell, and its task does the reading and writing.
pub(crate) struct Session {
    worker: Rc<WorkerCell>,
    cell: Rc<ConnectionCell>,
}

impl Session {
    /// Greets a connection and starts its actor on this arbiter.
    pub(crate) fn open(worker: &Rc<WorkerCell>, incoming: IncomingConnection) -> io::Result<()> {
        // In this order: the slot is given back after the socket is closed.
        let IncomingConnection { slot, peer, stream } = incoming;
        stream.set_nonblocking(true)?;
        // Replies are written in as few segments as there are turns; waiting for more helps nobody.
        stream.set_nodelay(true)?;
        let stream = transport::from_socket(TcpStream::from_std(stream)?);
        Self::serve(worker, slot, peer, stream)
    }

    /// The same with whatever carries its bytes.
    // The parameters in this order: the slot is given back after the socket is closed.
    pub(crate) fn serve(
        worker: &Rc<WorkerCell>,
        slot: ConnectionSlot,
        peer: SocketAddr,
        stream: Transport,
    ) -> io::Result<()> {
        let mut salt = [0; SALT_SIZE];
        getrandom::fill(&mut salt).map_err(|fault| io::Error::other(fault.to_string()))?;
        let greeting = greeting::encode(&worker.shared.config.instance_uuid, &salt);
        let mut output = Output::default();
        output.buffer().extend_from_slice(&greeting);
        let connection = worker.shared.next_connection();
        let is_administrator = match &worker.shared.config.administrators {
            Administrators::LocalConnections => peer.ip().is_loopback(),
            Administrators::Users(names) => names.iter().any(|name| name == GUEST),
        };
        let caller = Caller {
            connection,
            stream: 0,
            user: GUEST.into(),
            is_administrator,
        };
        let now = crate::clock::now();
        let writers = worker.state.borrow().open_writers.clone();
        let mut sessions = worker.sessions.borrow_mut();
        let entry = sessions.vacant_entry();
        let cell = Rc::new(ConnectionCell {
            index: entry.key() as u32,
            connection,
            peer,
            since: now,
            epoch: worker.shared.cell.load().epoch,
            state: RefCell::new(new_state(
                stream,
                output,
                salt,
                caller,
                writers,
                now,
                &worker.shared.memory,
            )),
            waker: RefCell::default(),
            is_dirty: Cell::new(false),
            slot,
        });
        entry.insert(cell.clone());
        drop(sessions);
        if cell.slot.is_provisional() {
            worker
                .provisional
                .borrow_mut()
                .push((cell.index, connection));
        }
        refuse_at_the_door(worker, &cell);
        Self {
            worker: worker.clone(),
            cell,
        }
        .start();
        Ok(())
    }
}

fn new_state(
    stream: Transport,
    output: Output,
    salt: [u8; SALT_SIZE],
    caller: Caller,
    writers: Rc<Cell<usize>>,
    now: Instant,
    memory: &Arc<Memory>,
) -> ConnectionState {
    ConnectionState {
        stream,
        inbox: Vec::new(),
        output,
        closing: Closing::No,
        is_stalled: false,
        is_on_stop_list: false,
        fits_reserve: false,
        grant: Grant::default(),
        charge: MemoryCharge::new(memory.clone()),
        is_parked: false,
        has_logged_in: false,
        is_surveying: false,
        is_waiting_for_reader: false,
        is_deaf: false,
        scan: None,
        held: None,
        salt,
        caller,
        watches: None,
        events_seen: 0,
        transactions: OpenTransactions::new(writers),
        orphaned: OrphanedTransactions::default(),
        transitions: 0,
        request_timeout: None,
        counts: InFlight::default(),
        timeouts: ConnectionTimeouts::new(now),
        introduced_to: 0,
        must_introduce: true,
    }
}

/// New connections that the state or the policy turns away are greeted and told why.
fn refuse_at_the_door(worker: &WorkerCell, cell: &ConnectionCell) {
    let shared = &worker.shared;
    let serving = shared.cell.load();
    let code = match serving.state {
        State::Solo if cell.solo_policy(shared) == SoloPolicy::Close => ErrorCode::LOADING,
        State::Stopped => ErrorCode::SHUTDOWN,
        _ if serving.is_stopping() => ErrorCode::SHUTDOWN,
        _ => return,
    };
    let error = shared.cell.situation(cell.since).error(code);
    let header = ReplyHeader {
        sync: 0,
        schema_version: shared.schema_version(),
    };
    let mut state = cell.state.borrow_mut();
    header.write_error(state.output.buffer(), &error);
    state.close(Closing::AfterFlush);
}

impl Actor for Session {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(Traffic);
    }

    fn stopping(&mut self, _ctx: &mut Self::Context) -> Running {
        let worker = &self.worker;
        worker
            .sessions
            .borrow_mut()
            .try_remove(self.cell.index as usize);
        let mut state = worker.state.borrow_mut();
        let mut own = self.cell.state.borrow_mut();
        if state.credit_queue.give_back(&mut own.grant) {
            state.wake_flush();
        }
        if own.held.is_some() {
            state.holding -= 1;
        }
        if own.introduced_to != 0 {
            state
                .outgoing
                .disconnects
                .push((self.cell.index, self.cell.connection));
            state.wake_flush();
        }
        worker.publish_counts(&state);
        drop((state, own));
        // Its open transactions end with it.
        self.cell.state.borrow_mut().transactions.clear();
        worker.tell_if_quiet();
        Running::Stop
    }
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
            Poll::Ready(())
        });
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

/// After a panic: what Tx has not begun for this session is taken back, and nobody waits for the rest.
fn forget(worker: &WorkerCell, cell: &ConnectionCell, state: &mut WorkerState) {
    let is_own = |request: &InFlightRequest| request.connection == cell.connection;
    state.in_flight.revoke_queued(is_own);
    if state.scratch.is_empty() {
        state.scratch = vec![0; READ_SIZE].into_boxed_slice();
    }
    worker.publish_counts(state);
    state.wake_flush();
}

/// One turn of a session: ready when the connection is over.
fn turn(
    worker: &WorkerCell,
    cell: &ConnectionCell,
    state: &mut WorkerState,
    own: &mut ConnectionState,
    cx: &mut TaskContext<'_>,
) -> Poll<()> {
    // Most turns have nothing left from the one before, and need no clock for it.
    if own.held.is_some() || own.scan.is_some() || !own.inbox.is_empty() {
        let mut dispatcher = Dispatcher::new(worker, cell, state, own, crate::clock::now());
        dispatcher.resume_scan();
        dispatcher.release_held();
        if !dispatcher.session.inbox.is_empty() {
            take_inbox(&mut dispatcher);
        }
    }
    let read = read(worker, cell, state, own, cx);
    if worker.shared.cell.load().is_stopping() && own.is_idle_for_drain() {
        own.close(Closing::AfterFlush);
    }
    let flushed = flush(worker, state, own, cx);
    own.charge_buffers();
    if state.credit_queue.give_back(&mut own.grant) {
        state.wake_flush();
    }
    if read.is_ready() || flushed.is_ready() || own.closing == Closing::Now {
        return Poll::Ready(());
    }
    if own.closing == Closing::AfterFlush && own.output.is_empty() {
        return Poll::Ready(());
    }
    Poll::Pending
}
