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

use crate::connection::cell::ConnectionCell;
use crate::connection::intake::Closing;
use crate::connection::output::Flushed;
use crate::connection::state::ConnectionState;
use crate::limits::READS_PER_POLL_MAX;
use crate::resources::{WorkerCell, WorkerState};
use crate::session::dispatch::Dispatcher;

/// Reads and takes frames while there are some; ready when the peer is gone.
pub(crate) fn read(
    worker: &WorkerCell,
    cell: &ConnectionCell,
    state: &mut WorkerState,
    own: &mut ConnectionState,
    cx: &mut TaskContext<'_>,
) -> Poll<()> {
    for round in 0.. {
        if round == READS_PER_POLL_MAX {
            // The neighbours first.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if !may_read(worker, cell, state, own) {
            if own.on_unread() {
                state.read_paused.push((cell.index, cell.connection));
            }
            return Poll::Pending;
        }
        let mut scratch = std::mem::take(&mut state.scratch);
        let mut buffer = ReadBuf::new(&mut scratch);
        // `poll_read` knows that a short read emptied the socket and saves a second system call.
        let poll = own.poll_read(cx, &mut buffer);
        let filled = buffer.filled().len();
        if poll.is_ready() && filled > 0 {
            let mut dispatcher =
                Dispatcher::new(worker, cell, state, own, worker.shared.clock.now());
            take_bytes(&mut dispatcher, &scratch[..filled]);
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

/// Whether this session is read now.
fn may_read(
    worker: &WorkerCell,
    cell: &ConnectionCell,
    state: &WorkerState,
    own: &mut ConnectionState,
) -> bool {
    let is_exempt = state.progress_exemption == Some((cell.index, cell.connection));
    own.prepare_read(is_exempt, || worker.shared.slots.count())
}

/// Takes every whole frame of what was read; keeps the rest.
fn take_bytes(dispatcher: &mut Dispatcher<'_>, bytes: &[u8]) {
    let session = &mut *dispatcher.session;
    session.on_read();
    session.lend_output(|| dispatcher.worker.spare_buffer());
    if session.has_inbox() {
        let mut inbox = session.take_inbox();
        extend_inbox(&mut inbox, bytes, dispatcher.shared.config.packet_size_max);
        take_from(dispatcher, inbox);
    } else {
        let taken = take_frames(dispatcher, bytes);
        if taken < bytes.len() && dispatcher.session.closing().is_none() {
            let mut inbox = dispatcher.worker.spare_buffer();
            inbox.extend_from_slice(&bytes[taken..]);
            dispatcher.session.put_inbox(inbox);
        }
    }
}

/// Adds to what was kept. Memory grows with what has arrived, whatever size was declared, but not beyond
/// the frame.
fn extend_inbox(inbox: &mut Vec<u8>, bytes: &[u8], packet_size_max: u64) {
    let size = inbox.len() + bytes.len();
    if size > inbox.capacity()
        && let Ok(Some(prefix)) = read_prefix(inbox, packet_size_max)
    {
        let wanted = (inbox.capacity() * 2).min(prefix.frame_size()).max(size);
        inbox.reserve_exact(wanted - inbox.len());
    }
    inbox.extend_from_slice(bytes);
}

/// Takes every whole frame of what was kept.
pub(crate) fn take_inbox(dispatcher: &mut Dispatcher<'_>) {
    let inbox = dispatcher.session.take_inbox();
    take_from(dispatcher, inbox);
}

fn take_from(dispatcher: &mut Dispatcher<'_>, mut inbox: Vec<u8>) {
    let taken = take_frames(dispatcher, &inbox);
    if taken == inbox.len() || dispatcher.session.closing().is_some() {
        dispatcher.worker.give_back(inbox);
    } else {
        inbox.drain(..taken);
        dispatcher.session.put_inbox(inbox);
    }
}

/// Takes frames while they may be taken; returns how many bytes they were.
fn take_frames(dispatcher: &mut Dispatcher<'_>, bytes: &[u8]) -> usize {
    let mut at = 0;
    while at < bytes.len() && dispatcher.session.may_take_frame() {
        match read_prefix(&bytes[at..], dispatcher.shared.config.packet_size_max) {
            Ok(Some(prefix)) if bytes.len() - at >= prefix.frame_size() => {
                dispatcher.dispatch(&bytes[at + prefix.size..at + prefix.frame_size()]);
                if dispatcher.session.waits_for_credit() {
                    // Not taken: it comes again when there is a credit for it.
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
    dispatcher.session.close(Closing::AfterFlush);
}

/// Writes what waits; ready when the peer is gone or has not read for too long.
pub(crate) fn flush(
    worker: &WorkerCell,
    state: &mut WorkerState,
    own: &mut ConnectionState,
    cx: &mut TaskContext<'_>,
) -> Poll<()> {
    let connections = || worker.shared.slots.count();
    loop {
        let give_back = |buffer| state.give_back(buffer);
        match own.flush(give_back) {
            Ok(Flushed::All) => {
                if own.on_output_empty() {
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
            Ok(Flushed::Blocked) if own.has_too_much_output(connections) => {
                return Poll::Ready(());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_follows_what_has_arrived_and_ends_with_the_frame() {
        let size = 1_000_000u32;
        let mut frame = vec![0xce];
        frame.extend_from_slice(&size.to_be_bytes());
        frame.resize(frame.len() + size as usize, 0);
        let mut inbox = frame[..10].to_vec();
        for chunk in frame[10..].chunks(10_000) {
            extend_inbox(&mut inbox, chunk, u64::from(size));
            assert!(inbox.capacity() <= 2 * inbox.len(), "no more than twice");
            assert!(inbox.capacity() <= frame.len());
        }
        assert_eq!(inbox, frame);
    }
}
