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

use crate::connection::inbox::Look;
use crate::session::dispatch::Dispatcher;

/// Takes a frame that need not wait for others, if it is such, and the turn has time for it and the
/// output has room for its answer. What is only looked at costs as much as it does to be read.
pub(super) fn take_ahead(dispatcher: &mut Dispatcher<'_>, content: &[u8]) -> Result<Look, Error> {
    let takes_chunks = dispatcher.session.incoming().is_some();
    let is_answer = takes_chunks && Chunk::is_answer(content);
    let takes_pings = takes_chunks && dispatcher.session.takes_pings_ahead();
    if !(is_answer || takes_pings && is_ping(content)) {
        return Ok(pass_scans(dispatcher, content, takes_chunks));
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
fn pass_scans(dispatcher: &mut Dispatcher<'_>, content: &[u8], takes_chunks: bool) -> Look {
    let stream = stream_of(content, takes_chunks);
    if !dispatcher.session.passes_scans(stream) {
        return Look::Waits;
    }
    if !dispatcher.worker.turns.has_time() {
        return Look::Later;
    }
    dispatcher.worker.turns.spend(1);
    if !dispatcher.dispatch_frame(content) {
        // There is no credit for it or no memory, or it takes many steps itself and has no place.
        dispatcher.session.on_scan_waiter(stream);
        return Look::Waits;
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
