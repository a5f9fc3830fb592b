//! Bytes between a socket and its session: read, cut into frames, written.
//!
//! ```text
//!   socket ─▶ scratch ─▶ whole frames ─▶ dispatcher
//!                └▶ the rest: inbox, until there is more of it, or a credit, or memory
//!   socket ◀─ output ◀─ replies
//! ```

use std::task::{Context as TaskContext, Poll};

use tokio::io::ReadBuf;
use vestibule_wire::Error;
use vestibule_wire::frame::read_prefix;
use vestibule_wire::groups::chunk::Chunk;
use vestibule_wire::header::read_header;
use vestibule_wire::keys::RequestType;

use crate::connection::cell::ConnectionCell;
use crate::connection::inbox::Inbox;
use crate::connection::intake::Closing;
use crate::connection::output::Flushed;
use crate::connection::state::ConnectionState;
use crate::hooks::CloseReason;
use crate::limits::READS_PER_POLL_MAX;
use crate::messages::SessionId;
use crate::resources::{WorkerCell, WorkerState};
use crate::session::dispatch::Dispatcher;

/// Reads and takes frames while there are some; ready when the peer is gone. The end of its input
/// is not: what came before it is answered first.
pub(crate) fn read(
    worker: &WorkerCell,
    cell: &ConnectionCell,
    state: &mut WorkerState,
    own: &mut ConnectionState,
    cx: &mut TaskContext<'_>,
) -> Poll<()> {
    for round in 0.. {
        if !state.turns.has_time() {
            // The other sessions first.
            return Poll::Pending;
        }
        if round == READS_PER_POLL_MAX {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if !may_read(worker, cell, state, own) {
            if own.on_unread() {
                state.paused.push(cell.id);
            }
            return Poll::Pending;
        }
        let mut scratch = state.buffers.take_scratch();
        let mut buffer = ReadBuf::new(&mut scratch);
        // `poll_read` knows that a short read emptied the socket and saves a second system call.
        let poll = own.poll_read(cx, &mut buffer);
        let filled = buffer.filled().len();
        if poll.is_ready() && filled > 0 {
            let mut dispatcher =
                Dispatcher::new(worker, cell, state, own, worker.shared.clock.now());
            take_bytes(&mut dispatcher, &scratch[..filled]);
        }
        state.buffers.put_scratch(scratch);
        match poll {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) if filled > 0 => {}
            // It may be the end that keeps it from being read: the worker's list is for that too.
            Poll::Ready(Ok(())) => own.on_end_of_input(),
            Poll::Ready(Err(_)) => return Poll::Ready(()),
        }
    }
    Poll::Pending
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
fn take_bytes(dispatcher: &mut Dispatcher<'_>, bytes: &[u8]) {
    let session = &mut *dispatcher.session;
    session.on_read(bytes.len());
    session.lend_output(|| dispatcher.worker.buffers.spare());
    if let Some(mut inbox) = session.take_inbox() {
        inbox.extend(bytes, dispatcher.shared.config.packet_size_max);
        take_from(dispatcher, inbox);
    } else {
        let taken = take_frames(dispatcher, bytes);
        if taken < bytes.len() && dispatcher.session.closing().is_none() {
            let mut inbox = Inbox::in_buffer(dispatcher.worker.buffers.spare_small());
            inbox.extend(&bytes[taken..], dispatcher.shared.config.packet_size_max);
            put_inbox(dispatcher, inbox);
        }
    }
}

/// Takes every whole frame of what was kept.
pub(crate) fn take_inbox(dispatcher: &mut Dispatcher<'_>) {
    if let Some(inbox) = dispatcher.session.take_inbox() {
        take_from(dispatcher, inbox);
    }
}

fn take_from(dispatcher: &mut Dispatcher<'_>, mut inbox: Inbox) {
    let taken = take_frames(dispatcher, &inbox);
    if taken == inbox.len() || dispatcher.session.closing().is_some() {
        dispatcher.worker.buffers.give_back(inbox.into_buffer());
    } else {
        inbox.advance(taken);
        put_inbox(dispatcher, inbox);
    }
}

/// Keeps what is not taken. Of a client with chunks some frames are taken all the same, which wait
/// for nobody's turn: what it says of the chunks that it is sent, for what these stand behind may
/// wait for just that, and pings, as long as few answers wait.
fn put_inbox(dispatcher: &mut Dispatcher<'_>, mut inbox: Inbox) {
    if dispatcher.session.incoming().is_some() {
        let packet_size_max = dispatcher.shared.config.packet_size_max;
        loop {
            let takes_pings = dispatcher.session.takes_pings_beside_output();
            let is_wanted =
                |content: &[u8]| Chunk::is_answer(content) || takes_pings && is_ping(content);
            let Some(content) = inbox.take_out(packet_size_max, is_wanted) else {
                break;
            };
            dispatcher.worker.turns.spend(1);
            if !Chunk::is_one(&content) {
                dispatcher.dispatch_frame(&content);
                continue;
            }
            if let Err(error) = dispatcher.take_chunk(&content) {
                end_by_framing(dispatcher, &error);
                break;
            }
        }
    }
    dispatcher.session.put_inbox(inbox);
}

/// Whether a frame's content is a PING, which belongs to no stream.
fn is_ping(content: &[u8]) -> bool {
    read_header(content).is_ok_and(|(header, _)| {
        header.request_type == RequestType::Ping as u64 && header.stream_id == 0
    })
}

/// Takes frames while they may be taken; returns how many bytes they were.
fn take_frames(dispatcher: &mut Dispatcher<'_>, bytes: &[u8]) -> usize {
    let mut at = 0;
    while at < bytes.len()
        && dispatcher.session.may_take_frame()
        && dispatcher.worker.turns.has_time()
    {
        match read_prefix(&bytes[at..], dispatcher.shared.config.packet_size_max) {
            Ok(Some(prefix)) if bytes.len() - at >= prefix.frame_size() => {
                dispatcher.worker.turns.spend(1);
                let content = &bytes[at + prefix.size..at + prefix.frame_size()];
                if Chunk::is_one(content) && dispatcher.session.incoming().is_some() {
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
            Ok(_) => break,
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

/// Nothing after a framing error can be trusted: it is told with sync 0, and the connection ends.
fn end_by_framing(dispatcher: &mut Dispatcher<'_>, error: &Error) {
    dispatcher.refuse(0, error);
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
