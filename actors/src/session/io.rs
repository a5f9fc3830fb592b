//! Bytes between a socket and its session: read, cut into frames, written.
//!
//! ```text
//!   socket ─▶ scratch ─▶ whole frames ─▶ dispatcher
//!      └ the rest of a large frame, or of a large piece: straight to where it is gathered
//!                └▶ the rest: inbox, until there is more of it, or a credit, or memory
//!                                 └ a large frame ─▶ dispatcher, with its buffer
//!   socket ◀─ output ◀─ replies
//! ```

use std::io;
use std::task::{Context as TaskContext, Poll};

use tokio::io::ReadBuf;
use vestibule_wire::Error;
use vestibule_wire::frame::{Prefix, read_prefix};
use vestibule_wire::groups::Group;
use vestibule_wire::groups::chunk::{Chunk, PieceBegun};

use crate::connection::cell::ConnectionCell;
use crate::connection::inbox::Inbox;
use crate::connection::incoming::damage;
use crate::connection::intake::Closing;
use crate::connection::output::Flushed;
use crate::connection::state::ConnectionState;
use crate::hooks::CloseReason;
use crate::limits::{
    HEAD_READ_SIZE, READ_PER_POLL_MAX, READ_SIZE, STRAIGHT_READ_MAX, STRAIGHT_READ_MIN,
};
use crate::messages::SessionId;
use crate::reactor::go_on_behind_reactor;
use crate::resources::{WorkerCell, WorkerState};
use crate::session::ahead::take_all_ahead;
use crate::session::dispatch::Dispatcher;
use crate::session::foreseen::foresee;

/// Reads and takes frames while there are some; ready when the peer is gone. The end of its input
/// is not: what came before it is answered first.
pub(crate) fn read(
    worker: &WorkerCell,
    cell: &ConnectionCell,
    state: &mut WorkerState,
    own: &mut ConnectionState,
    cx: &mut TaskContext<'_>,
) -> Poll<()> {
    let (mut total, mut bytes) = (0, 0);
    loop {
        if !state.turns.has_time() {
            // The other sessions first.
            return Poll::Pending;
        }
        if total >= READ_PER_POLL_MAX {
            // What is small was done with soon, and its batch is larger when it goes on at once.
            match bytes >= READ_PER_POLL_MAX {
                true => go_on_behind_reactor(cx),
                false => cx.waker().wake_by_ref(),
            }
            return Poll::Pending;
        }
        if !may_read(worker, cell, state, own) {
            if own.on_unread() {
                state.paused.push(cell.id);
            }
            return Poll::Pending;
        }
        let (poll, least) = match read_straight(worker, cell, state, own, cx) {
            Some(poll) => (poll, READ_SIZE),
            None => read_some(worker, cell, state, own, cx),
        };
        match poll {
            Poll::Pending => return Poll::Pending,
            // It may be the end that keeps it from being read: the worker's list is for that too.
            Poll::Ready(Ok(0)) => own.on_end_of_input(),
            Poll::Ready(Ok(filled)) => {
                total += filled.max(least);
                bytes += filled;
            }
            Poll::Ready(Err(_)) => return Poll::Ready(()),
        }
    }
}

/// Reads what there is, and takes it; how many bytes, and as how many they count at least.
fn read_some(
    worker: &WorkerCell,
    cell: &ConnectionCell,
    state: &mut WorkerState,
    own: &mut ConnectionState,
    cx: &mut TaskContext<'_>,
) -> (Poll<io::Result<usize>>, usize) {
    let mut scratch = state.buffers.take_scratch();
    let is_head = own.incoming().is_some_and(|own| own.awaits_head());
    let most = if is_head { HEAD_READ_SIZE } else { READ_SIZE };
    let mut buffer = ReadBuf::new(&mut scratch[..most]);
    // `poll_read` knows that a short read emptied the socket and saves a second system call.
    let poll = own.poll_read(cx, &mut buffer);
    let filled = buffer.filled().len();
    if is_head
        && filled > 0
        && let Some(incoming) = own.incoming()
    {
        incoming.on_head();
    }
    if poll.is_ready() && filled > 0 {
        let mut dispatcher = Dispatcher::new(worker, cell, state, own, worker.shared.clock.now());
        take_bytes(&mut dispatcher, &scratch[..filled]);
    }
    state.buffers.put_scratch(scratch);
    (
        poll.map_ok(|()| filled),
        if is_head { 0 } else { READ_SIZE },
    )
}

/// Reads more of a large request straight to where it is gathered, if that is what comes next and
/// there is room for much of it; how many bytes.
fn read_straight(
    worker: &WorkerCell,
    cell: &ConnectionCell,
    state: &mut WorkerState,
    own: &mut ConnectionState,
    cx: &mut TaskContext<'_>,
) -> Option<Poll<io::Result<usize>>> {
    let packet_size_max = worker.shared.config.packet_size_max;
    if own.half_piece().is_some() {
        return Some(read_piece(state, own, cx, packet_size_max));
    }
    let lacks = own.lacks_of_frame(packet_size_max)?;
    if lacks < STRAIGHT_READ_MIN {
        return None;
    }
    let mut inbox = own.take_inbox()?;
    inbox.use_spare(packet_size_max, &mut state.buffers);
    // A buffer grows when bytes have come, not for those that may come.
    let most = lacks.min(inbox.room()).min(STRAIGHT_READ_MAX);
    if most < STRAIGHT_READ_MIN {
        own.put_inbox(inbox);
        return None;
    }
    let poll = own.poll_read_into(cx, &mut inbox, most, packet_size_max);
    if let Poll::Ready(Ok(filled)) = poll
        && filled > 0
    {
        let mut dispatcher = Dispatcher::new(worker, cell, state, own, worker.shared.clock.now());
        begin_taking(&mut dispatcher, filled);
        match inbox.large_prefix(packet_size_max) {
            Some(large) if filled == lacks => take_large(&mut dispatcher, inbox, large, &[]),
            _ => keep_inbox(&mut dispatcher, inbox),
        }
    } else {
        own.put_inbox(inbox);
    }
    Some(poll)
}

/// Reads more of a piece straight to its request; how many bytes.
fn read_piece(
    state: &mut WorkerState,
    own: &mut ConnectionState,
    cx: &mut TaskContext<'_>,
    packet_size_max: u64,
) -> Poll<io::Result<usize>> {
    own.poll_read_piece(cx).map_ok(|filled| {
        if filled.bytes > 0 {
            own.on_read(filled.bytes);
        }
        match filled.last {
            Some(last) => {
                let mut inbox = Inbox::in_buffer(state.buffers.spare_small());
                inbox.extend(last.as_bytes(), packet_size_max);
                own.put_inbox(inbox);
            }
            None if filled.is_end => own.on_frames_taken(),
            None => {}
        }
        if let Some(credit) = filled.credit {
            own.lend_output(|| state.buffers.spare());
            own.append_copy(credit.as_bytes(), Group::Control);
        }
        filled.bytes
    })
}

/// Bytes were read: this number.
fn begin_taking(dispatcher: &mut Dispatcher<'_>, bytes: usize) {
    let session = &mut *dispatcher.session;
    session.on_read(bytes);
    session.lend_output(|| dispatcher.worker.buffers.spare());
}

/// Whether this session is read now.
fn may_read(
    worker: &WorkerCell,
    cell: &ConnectionCell,
    state: &WorkerState,
    own: &mut ConnectionState,
) -> bool {
    let is_exempt = state.paused.read.is_for(cell.id);
    own.prepare_read(is_exempt, || worker.shared.slots.count())
}

/// Takes every whole frame of what was read; keeps the rest.
pub(super) fn take_bytes(dispatcher: &mut Dispatcher<'_>, bytes: &[u8]) {
    begin_taking(dispatcher, bytes.len());
    let packet_size_max = dispatcher.shared.config.packet_size_max;
    let Some(mut inbox) = dispatcher.session.take_inbox() else {
        return take_fresh(dispatcher, bytes);
    };
    // A large frame has its buffer for itself, which grows no larger than it.
    let Some(large) = inbox.large_prefix(packet_size_max) else {
        inbox.extend(bytes, packet_size_max);
        return take_from(dispatcher, inbox);
    };
    let lacks = large.frame_size().saturating_sub(inbox.len());
    let (own, rest) = bytes.split_at(lacks.min(bytes.len()));
    inbox.extend(own, packet_size_max);
    if lacks > 0 && own.len() == lacks {
        take_large(dispatcher, inbox, large, rest);
    } else {
        inbox.extend(rest, packet_size_max);
        take_from(dispatcher, inbox);
    }
}

/// Takes every whole frame of what was read, before which nothing waits; keeps the rest.
fn take_fresh(dispatcher: &mut Dispatcher<'_>, bytes: &[u8]) {
    let taken = take_frames(dispatcher, bytes);
    if taken < bytes.len() && dispatcher.session.keeps_input() {
        let mut inbox = Inbox::in_buffer(dispatcher.worker.buffers.spare_small());
        inbox.extend(&bytes[taken..], dispatcher.shared.config.packet_size_max);
        put_inbox(dispatcher, inbox);
    }
}

/// Takes a large frame that the inbox consists of, if it may be taken, and what follows it.
fn take_large(dispatcher: &mut Dispatcher<'_>, inbox: Inbox, prefix: Prefix, rest: &[u8]) {
    let mut frame = inbox.into_buffer();
    let is_chunk = Chunk::is_one(&frame[prefix.size..]) && dispatcher.session.incoming().is_some();
    if !is_chunk && dispatcher.session.may_take_frame() && dispatcher.worker.turns.has_time() {
        dispatcher.worker.turns.spend(1);
        dispatcher.dispatch_gathered(&mut frame, prefix.size);
        if !dispatcher.session.has_left_frame() {
            dispatcher.session.on_frames_taken();
            dispatcher.worker.buffers.give_back(frame);
            return take_fresh(dispatcher, rest);
        }
    }
    let mut inbox = Inbox::in_buffer(frame);
    inbox.extend(rest, dispatcher.shared.config.packet_size_max);
    if is_chunk {
        take_small(dispatcher, inbox);
    } else {
        keep_inbox(dispatcher, inbox);
    }
}

/// Takes every whole frame of what was kept.
pub(crate) fn take_inbox(dispatcher: &mut Dispatcher<'_>) {
    if let Some(inbox) = dispatcher.session.take_inbox() {
        take_from(dispatcher, inbox);
    }
}

fn take_from(dispatcher: &mut Dispatcher<'_>, mut inbox: Inbox) {
    let large = inbox.large_prefix(dispatcher.shared.config.packet_size_max);
    match large.filter(|large| inbox.len() >= large.frame_size()) {
        Some(large) if dispatcher.session.may_take_frame() => {
            let rest = inbox.split_off(large.frame_size());
            take_large(dispatcher, inbox, large, &rest);
        }
        Some(_) => keep_inbox(dispatcher, inbox),
        None => take_small(dispatcher, inbox),
    }
}

/// Takes every whole frame of what was kept, and leaves its buffer here.
fn take_small(dispatcher: &mut Dispatcher<'_>, mut inbox: Inbox) {
    let taken = take_frames(dispatcher, &inbox);
    if taken == inbox.len() {
        dispatcher.worker.buffers.give_back(inbox.into_buffer());
    } else {
        inbox.advance(taken);
        keep_inbox(dispatcher, inbox);
    }
}

/// Keeps what is not taken, unless the connection ends.
fn keep_inbox(dispatcher: &mut Dispatcher<'_>, inbox: Inbox) {
    if dispatcher.session.keeps_input() {
        put_inbox(dispatcher, inbox);
    } else {
        dispatcher.worker.buffers.give_back(inbox.into_buffer());
    }
}

/// Keeps what is not taken, but for what goes [ahead](super::ahead) of it.
fn put_inbox(dispatcher: &mut Dispatcher<'_>, mut inbox: Inbox) {
    if dispatcher.session.incoming().is_some() || dispatcher.session.has_scans() {
        if let Err(error) = take_all_ahead(dispatcher, &mut inbox) {
            end_by_framing(dispatcher, &error);
        }
        if dispatcher.session.is_looking_for_credit() {
            inbox.drop_seen();
        }
    }
    dispatcher.session.put_inbox(inbox);
}

/// Takes frames while they may be taken; returns how many bytes they were.
fn take_frames(dispatcher: &mut Dispatcher<'_>, bytes: &[u8]) -> usize {
    let (mut at, mut foreseen) = (0, 0);
    while at < bytes.len()
        && dispatcher.session.may_take_frame()
        && dispatcher.worker.turns.has_time()
    {
        match read_prefix(&bytes[at..], dispatcher.shared.config.packet_size_max) {
            Ok(Some(prefix)) if bytes.len() - at >= prefix.frame_size() => {
                dispatcher.worker.turns.spend(1);
                if at >= foreseen {
                    foreseen = at + foresee(dispatcher, &bytes[at..]);
                }
                let content = &bytes[at + prefix.size..at + prefix.frame_size()];
                if dispatcher.session.incoming().is_some() && Chunk::is_one(content) {
                    if let Err(error) = dispatcher.take_chunk(content) {
                        end_by_framing(dispatcher, &error);
                        break;
                    }
                } else {
                    dispatcher.dispatch_frame(content);
                }
                if dispatcher.session.has_left_frame() {
                    // Not taken: it comes again when there is a credit for it, or memory.
                    break;
                }
                at += prefix.frame_size();
            }
            Ok(Some(prefix)) => {
                if begin_piece(dispatcher, &bytes[at + prefix.size..], prefix) {
                    at = bytes.len();
                }
                break;
            }
            Ok(None) => break,
            Err(error) => {
                end_by_framing(dispatcher, &error);
                break;
            }
        }
    }
    if at > 0 {
        dispatcher.session.on_frames_taken();
    }
    at
}

/// Takes what has come of a large piece, if the rest is to be read straight to its request.
fn begin_piece(dispatcher: &mut Dispatcher<'_>, content: &[u8], prefix: Prefix) -> bool {
    let Some(incoming) = dispatcher.session.incoming() else {
        return false;
    };
    let Some(begun) = PieceBegun::read(content, prefix.frame_size() - prefix.size) else {
        return false;
    };
    let packet_size_max = dispatcher.shared.config.packet_size_max;
    let buffers = &mut dispatcher.worker.buffers;
    match incoming.begin_piece(begun, packet_size_max, buffers) {
        Ok(Some(credit)) => {
            if let Some(credit) = credit {
                let session = &mut dispatcher.session;
                session.append_copy(credit.as_bytes(), Group::Control);
            }
            true
        }
        Err(error) => {
            end_by_framing(dispatcher, &damage(error));
            false
        }
        Ok(None) => false,
    }
}

/// Nothing after a framing error can be trusted, nor read: it is told with sync 0, and the
/// connection ends.
fn end_by_framing(dispatcher: &mut Dispatcher<'_>, error: &Error) {
    dispatcher.refuse(0, error);
    dispatcher.session.on_end_of_input();
    dispatcher
        .session
        .close(Closing::AfterFlush, CloseReason::Damaged);
}

/// Writes what waits, or as much of it as a turn may; ready when the peer is gone or has not read
/// for too long.
pub(crate) fn flush(
    id: SessionId,
    state: &mut WorkerState,
    own: &mut ConnectionState,
    cx: &mut TaskContext<'_>,
) -> Poll<()> {
    loop {
        let give_back = |buffer| state.buffers.give_back(buffer);
        match own.flush(give_back) {
            Ok(Flushed::All) => {
                if own.on_output_empty() || own.is_paused_in_vain() || own.owes_events() {
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
            Ok(Flushed::Enough) => {
                if !own.is_late() {
                    own.set_late(true);
                    state.turns.wait(id, cx.waker().clone());
                }
                return Poll::Pending;
            }
            Ok(Flushed::Blocked | Flushed::Uncredited) if own.has_too_much_output() => {
                own.on_end(CloseReason::Shortage);
                return Poll::Ready(());
            }
            Ok(Flushed::Uncredited) if own.is_out_of_credit() => return Poll::Ready(()),
            Ok(Flushed::Uncredited) => {
                // The client's credit comes as a frame; other requests may be taken meanwhile.
                if own.may_go_on_beside_output() {
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
            Ok(Flushed::Blocked) => match own.poll_write_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            },
            Err(_) => return Poll::Ready(()),
        }
    }
}
