//! The actix shell of a session, and its one long-lived task: read, take frames, write.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{SocketAddr, TcpStream as StdTcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};
use std::time::Instant;

use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, AsyncContext, Context, Running};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use vestibule_wire::frame::read_prefix;
use vestibule_wire::greeting::{self, SALT_SIZE};
use vestibule_wire::{Error, ErrorCode, reply::ReplyHeader};

use super::desk::Desk;
use super::lane::{LaneCell, LaneState};
use super::output::{Flushed, Output};
use super::patience::Patience;
use super::state::{Closing, InFlight, SessionCell, SessionState};
use crate::catalogue::GUEST;
use crate::config::{Administrators, SoloPolicy};
use crate::engine::Caller;
use crate::limits::{INBOX_WAITING_MAX, READS_PER_POLL_MAX};
use crate::serving::State;

/// The actor of one connection. Its data do not go through its mailbox: the lane it lives in shares
/// its cell, and its task does the reading and writing.
pub(crate) struct Session {
    lane: Rc<LaneCell>,
    cell: Rc<SessionCell>,
}

impl Session {
    /// Greets a connection and starts its actor on this arbiter.
    pub(crate) fn open(
        lane: &Rc<LaneCell>,
        stream: StdTcpStream,
        peer: SocketAddr,
    ) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        // Replies are written in as few segments as there are turns; waiting for more helps nobody.
        stream.set_nodelay(true)?;
        let stream = TcpStream::from_std(stream)?;
        let mut salt = [0; SALT_SIZE];
        getrandom::fill(&mut salt).map_err(|fault| io::Error::other(fault.to_string()))?;
        let greeting = greeting::encode(&lane.shared.config.instance_uuid, &salt);
        let mut output = Output::default();
        output.buffer().extend_from_slice(&greeting);
        let connection = lane.shared.next_connection();
        let is_administrator = match &lane.shared.config.administrators {
            Administrators::LocalConnections => peer.ip().is_loopback(),
            Administrators::Users(names) => names.iter().any(|name| name == GUEST),
        };
        let caller = Caller {
            connection,
            stream: 0,
            user: GUEST.into(),
            is_administrator,
        };
        let now = Instant::now();
        let mut sessions = lane.sessions.borrow_mut();
        let entry = sessions.vacant_entry();
        let cell = Rc::new(SessionCell {
            index: entry.key() as u32,
            connection,
            peer,
            since: now,
            epoch: lane.shared.cell.load().epoch,
            state: RefCell::new(new_state(stream, output, salt, caller, now)),
            waker: RefCell::default(),
            is_dirty: Cell::new(false),
        });
        entry.insert(cell.clone());
        drop(sessions);
        refuse_at_the_door(lane, &cell);
        Self {
            lane: lane.clone(),
            cell,
        }
        .start();
        Ok(())
    }
}

fn new_state(
    stream: TcpStream,
    output: Output,
    salt: [u8; SALT_SIZE],
    caller: Caller,
    now: Instant,
) -> SessionState {
    SessionState {
        stream,
        inbox: Vec::new(),
        output,
        closing: Closing::No,
        is_stalled: false,
        is_surveying: false,
        is_waiting_for_reader: false,
        scan: None,
        held: None,
        salt,
        caller,
        watches: None,
        events_seen: 0,
        transactions: Vec::new(),
        request_timeout: None,
        counts: InFlight::default(),
        patience: Patience::new(now),
        introduced_to: 0,
        must_introduce: true,
    }
}

/// New connections that the state or the policy turns away are greeted and told why.
fn refuse_at_the_door(lane: &LaneCell, cell: &SessionCell) {
    let shared = &lane.shared;
    let code = match shared.cell.load().state {
        State::Solo if shared.config.solo_policy_new == SoloPolicy::Close => ErrorCode::LOADING,
        State::Draining | State::Stopped => ErrorCode::SHUTDOWN,
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
        let lane = &self.lane;
        lane.sessions
            .borrow_mut()
            .try_remove(self.cell.index as usize);
        let mut state = lane.state.borrow_mut();
        let own = self.cell.state.borrow();
        if own.held.is_some() {
            state.holding -= 1;
        }
        if own.introduced_to != 0 {
            state
                .outgoing
                .departures
                .push((self.cell.index, self.cell.connection));
            state.wake_flush();
        }
        lane.publish_counts(&state);
        drop((state, own));
        lane.tell_if_drained();
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
        let (lane, cell) = (&session.lane, &session.cell);
        cell.set_waker(cx.waker());
        let mut state = lane.state.borrow_mut();
        let mut own = cell.state.borrow_mut();
        let poll = turn(lane, cell, &mut state, &mut own, cx);
        if poll.is_ready() {
            ctx.stop();
        }
        poll
    }
}

/// The desk at which this session's requests are taken.
pub(crate) fn desk<'a>(
    lane: &'a LaneCell,
    cell: &'a SessionCell,
    state: &'a mut LaneState,
    session: &'a mut SessionState,
    now: Instant,
) -> Desk<'a> {
    Desk {
        shared: &lane.shared,
        lane: state,
        lane_index: lane.index,
        cell,
        session,
        now,
        arrived: now,
        is_releasing: false,
        is_put_back: false,
    }
}

/// One turn of a session: ready when the connection is over.
fn turn(
    lane: &LaneCell,
    cell: &SessionCell,
    state: &mut LaneState,
    own: &mut SessionState,
    cx: &mut TaskContext<'_>,
) -> Poll<()> {
    // Most turns have nothing left from the one before, and need no clock for it.
    if own.held.is_some() || own.scan.is_some() || !own.inbox.is_empty() {
        let mut desk = desk(lane, cell, state, own, Instant::now());
        desk.resume_scan();
        desk.release_held();
        if !desk.session.inbox.is_empty() {
            take_inbox(&mut desk);
        }
    }
    let read = if own.closing == Closing::No {
        read(lane, cell, state, own, cx)
    } else {
        Poll::Pending
    };
    if lane.shared.cell.load().state == State::Draining && own.is_idle_for_drain() {
        own.close(Closing::AfterFlush);
    }
    let flushed = flush(state, own, cx);
    if read.is_ready() || flushed.is_ready() || own.closing == Closing::Now {
        return Poll::Ready(());
    }
    if own.closing == Closing::AfterFlush && own.output.is_empty() {
        return Poll::Ready(());
    }
    Poll::Pending
}

/// Reads and takes frames while there are some; ready when the peer is gone.
fn read(
    lane: &LaneCell,
    cell: &SessionCell,
    state: &mut LaneState,
    own: &mut SessionState,
    cx: &mut TaskContext<'_>,
) -> Poll<()> {
    for round in 0.. {
        if round == READS_PER_POLL_MAX {
            // The neighbours first.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if !may_read(own) {
            return Poll::Pending;
        }
        let mut scratch = std::mem::take(&mut state.scratch);
        let mut buffer = ReadBuf::new(&mut scratch);
        // `poll_read` knows that a short read emptied the socket and saves a second system call.
        let poll = Pin::new(&mut own.stream).poll_read(cx, &mut buffer);
        let filled = buffer.filled().len();
        if poll.is_ready() && filled > 0 {
            let mut desk = desk(lane, cell, state, own, Instant::now());
            take_bytes(&mut desk, &scratch[..filled]);
        }
        state.scratch = scratch;
        match poll {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) if filled > 0 => {}
            Poll::Ready(_) => return Poll::Ready(()),
        }
    }
    Poll::Pending
}

/// Whether this session is read now. While no frame may be taken, a little is still read: that is how
/// the end of the connection is noticed.
fn may_read(own: &mut SessionState) -> bool {
    if own.output.is_over_pause() {
        own.is_waiting_for_reader = true;
    }
    own.closing == Closing::No && (own.is_open() || own.inbox.len() < INBOX_WAITING_MAX)
}

/// Takes every whole frame of what was read; keeps the rest.
fn take_bytes(desk: &mut Desk<'_>, bytes: &[u8]) {
    desk.session.patience.has_read = true;
    desk.session.output.lend(|| desk.lane.spare_buffer());
    if desk.session.inbox.is_empty() {
        let taken = take_frames(desk, bytes);
        if taken < bytes.len() && desk.session.closing == Closing::No {
            desk.session.inbox = desk.lane.spare_buffer();
            desk.session.inbox.extend_from_slice(&bytes[taken..]);
        }
    } else {
        desk.session.inbox.extend_from_slice(bytes);
        take_inbox(desk);
    }
}

/// Takes every whole frame of what was kept.
fn take_inbox(desk: &mut Desk<'_>) {
    let mut inbox = std::mem::take(&mut desk.session.inbox);
    let taken = take_frames(desk, &inbox);
    if taken == inbox.len() || desk.session.closing != Closing::No {
        desk.lane.give_back(inbox);
    } else {
        inbox.drain(..taken);
        desk.session.inbox = inbox;
    }
}

/// Takes frames while the desk is open; returns how many bytes they were.
fn take_frames(desk: &mut Desk<'_>, bytes: &[u8]) -> usize {
    let mut at = 0;
    while at < bytes.len() && desk.session.is_open() {
        match read_prefix(&bytes[at..], desk.shared.config.packet_size_max) {
            Ok(Some(prefix)) if bytes.len() - at >= prefix.frame_size() => {
                desk.take(&bytes[at + prefix.size..at + prefix.frame_size()]);
                if desk.session.is_stalled {
                    // Not taken: it comes again when there is a credit for it.
                    break;
                }
                at += prefix.frame_size();
            }
            Ok(_) => break,
            Err(error) => {
                end_by_framing(desk, &error);
                break;
            }
        }
    }
    desk.session.patience.has_taken |= at > 0;
    at
}

/// Nothing after a framing error can be trusted: it is told with sync 0, and the connection ends.
fn end_by_framing(desk: &mut Desk<'_>, error: &Error) {
    desk.refuse(0, error);
    desk.session.close(Closing::AfterFlush);
}

/// Writes what waits; ready when the peer is gone or has not read for too long.
fn flush(state: &mut LaneState, own: &mut SessionState, cx: &mut TaskContext<'_>) -> Poll<()> {
    loop {
        let give_back = |buffer| state.give_back(buffer);
        match own.output.flush(&own.stream, give_back) {
            Ok(Flushed::All) => {
                if std::mem::take(&mut own.is_waiting_for_reader) {
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
            Ok(Flushed::Blocked) if own.output.is_over_max() => return Poll::Ready(()),
            Ok(Flushed::Blocked) => match own.stream.poll_write_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            },
            Err(_) => return Poll::Ready(()),
        }
    }
}
