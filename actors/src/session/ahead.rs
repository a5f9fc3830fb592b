//! What is taken ahead of requests that wait.
//!
//! ```text
//!   inbox: [ SELECT of many steps, stream 7 ][ credit ][ ping ][ stream 7 ][ stream 8 ] …
//!            is under way                       │         │       waits       │
//!                                               └─────────┴───────────────────┴──▶ dispatcher
//! ```
//!
//! Of a client with chunks, what it says of those that it is sent waits for nobody's turn, for what
//! these stand behind may wait for just that; nor do pings, while few answers wait, and else when
//! few do again.
//!
//! A SELECT of many steps is passed by requests of other streams, and if it is in one, by those
//! that are in none: by others of many steps too, which take turns with it. Each stream keeps its
//! order: behind a request of it that could not pass, nothing of it does. Behind a login, an ID, a
//! piece of a request in chunks and what is no request nothing passes at all.

use vestibule_wire::Error;
use vestibule_wire::groups::chunk::Chunk;
use vestibule_wire::header::read_header;
use vestibule_wire::keys::RequestType;

use crate::connection::inbox::{Inbox, Look};
use crate::connection::passing::Passing;
use crate::session::dispatch::Dispatcher;

/// Takes what need not wait out of what is kept.
pub(super) fn take_all_ahead(
    dispatcher: &mut Dispatcher<'_>,
    inbox: &mut Inbox,
) -> Result<(), Error> {
    let mut passing = inbox.take_passing();
    let (session, changes) = (&dispatcher.session, dispatcher.session.scan_changes());
    if passing.is_to_ask(changes, session.may_pass_scans()) {
        let streams = session.scans().map(|scan| scan.stream);
        if passing.ask_again(changes, streams) {
            inbox.look_again();
        }
    }
    let packet_size_max = dispatcher.shared.config.packet_size_max;
    let taken = inbox.take_out(packet_size_max, |content, is_again| {
        let look = take_ahead(dispatcher, &mut passing, content, is_again)?;
        let is_last = look == Look::Waits && is_again && passing.do_all_wait();
        Ok(if is_last { Look::AllWait } else { look })
    });
    if !inbox.is_looked_at_again() {
        passing.on_asked();
    }
    inbox.put_passing(passing);
    taken
}

/// Takes a frame that need not wait for others, if it is such, and the turn has time for it and the
/// output has room for its answer. What is looked at for the first time costs as much as it does to
/// be read, and each time after that as much as a ping.
fn take_ahead(
    dispatcher: &mut Dispatcher<'_>,
    passing: &mut Passing,
    content: &[u8],
    is_again: bool,
) -> Result<Look, Error> {
    if is_again {
        if !dispatcher.worker.turns.has_time() {
            return Ok(Look::Later);
        }
        dispatcher.worker.turns.spend(1);
    }
    let takes_chunks = dispatcher.session.incoming().is_some();
    let is_answer = takes_chunks && Chunk::is_answer(content);
    let takes_pings = takes_chunks && dispatcher.session.takes_pings_ahead();
    if !(is_answer || takes_pings && is_ping(content)) {
        return Ok(pass_scans(dispatcher, passing, content, takes_chunks));
    }
    let has_room = is_answer || dispatcher.session.has_room_for_control();
    // With no room, so much waits that it cannot all be written before the next turn.
    if !has_room || !dispatcher.worker.turns.has_time() {
        return Ok(Look::Later);
    }
    dispatcher.worker.turns.spend(1);
    if is_answer {
        dispatcher.take_chunk(content)?;
    } else {
        dispatcher.dispatch_frame(content);
    }
    Ok(Look::Taken)
}

/// Whether a frame's content is a PING, which belongs to no stream.
fn is_ping(content: &[u8]) -> bool {
    read_header(content).is_ok_and(|(header, _)| {
        header.request_type == RequestType::Ping as u64 && header.stream_id == 0
    })
}

/// Takes a request that may pass the SELECTs of several steps, if there are some, and the turn has
/// time for it.
fn pass_scans(
    dispatcher: &mut Dispatcher<'_>,
    passing: &mut Passing,
    content: &[u8],
    takes_chunks: bool,
) -> Look {
    let stream = stream_of(content, takes_chunks);
    let session = &dispatcher.session;
    let is_open = session.may_pass_scans();
    let is_behind = || {
        passing.has_to_wait(stream, session.scan_changes())
            || stream.is_some_and(|stream| session.has_scan_of(stream))
    };
    if !is_open || is_behind() {
        passing.on_waiter(stream, is_open);
        return Look::Waits;
    }
    if !dispatcher.worker.turns.has_time() {
        return Look::Later;
    }
    dispatcher.worker.turns.spend(1);
    if !dispatcher.dispatch_frame(content) {
        // There is no credit for it or no memory, or it takes many steps itself and has no place.
        passing.on_waiter(stream, dispatcher.session.may_pass_scans());
        return Look::Waits;
    }
    if let Some(stream) = stream.filter(|own| dispatcher.session.has_scan_of(*own)) {
        passing.on_scan(stream);
    }
    dispatcher.session.on_frames_taken();
    Look::Taken
}

/// The stream of a request, 0 if it is in none; `None` of what everything has to stand behind.
fn stream_of(content: &[u8], takes_chunks: bool) -> Option<u64> {
    let (header, _) = read_header(content).ok()?;
    let changes_the_rest = [RequestType::Auth as u64, RequestType::Id as u64];
    let is_behind_all =
        changes_the_rest.contains(&header.request_type) || takes_chunks && Chunk::is_one(content);
    (!is_behind_all).then_some(header.stream_id)
}
