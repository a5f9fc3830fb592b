//! What had come of clients and was not taken when a stop cuts off what is left: refused, so that
//! they hear that it did not run, and counted.
//!
//! ```text
//!   a login that is checked, calls that wait ─┐
//!   a SELECT of several steps, a kept request ┼─▶ one error each, as far as there is time for that
//!   frames in the inbox, if a header is there ┘
//! ```
//!
//! Half a frame is refused if its header is there, and not counted: it is nobody's request yet.
//!
//! What a client had sent before the stop, and the kernel has still, is lost without a word: its
//! connection counts.

use std::time::Instant;

use vestibule_wire::frame::read_prefix;
use vestibule_wire::groups::chunk::Chunk;
use vestibule_wire::header::read_header;
use vestibule_wire::keys::RequestType;
use vestibule_wire::{Error, ErrorCode};

use super::dispatch::authenticate::answer_login;
use super::dispatch::awaited::answer_awaited;
use crate::admission::Class;
use crate::connection::inbox::Inbox;
use crate::connection::state::ConnectionState;
use crate::limits::{UNTAKEN_TIME_MAX, UNTAKEN_TOLD_MAX};
use crate::resources::Buffers;
use crate::shared::Shared;

/// What one thread tells its clients of what was not taken.
pub(crate) struct Untaken {
    error: Error,
    time: TimeLeft,
}

/// How many there is time for: what is told later than `TRANSITION_SLACK` is neither
/// counted nor known to have been told.
struct TimeLeft {
    left: usize,
    until: Instant,
}

impl TimeLeft {
    fn new(now: Instant) -> Self {
        Self {
            left: UNTAKEN_TOLD_MAX,
            until: now + UNTAKEN_TIME_MAX,
        }
    }

    /// Whether there is time for one more, by the clock once in [`TAKES_PER_LOOK`].
    fn take(&mut self, now: impl FnOnce() -> Instant) -> bool {
        if self.left.is_multiple_of(TAKES_PER_LOOK) && now() >= self.until {
            self.left = 0;
        }
        let has_time = self.left > 0;
        self.left = self.left.saturating_sub(1);
        has_time
    }
}

/// Times that are taken between two looks at the clock.
const TAKES_PER_LOOK: usize = 64;

impl Untaken {
    pub(crate) fn new(shared: &Shared) -> Self {
        let now = shared.clock.now();
        Self {
            error: shared.serving.status(now).error(ErrorCode::SHUTDOWN),
            time: TimeLeft::new(now),
        }
    }

    /// Answers whatever a connection waits for that is not on its way to Tx; `refused` hears of
    /// each whole request that was not taken. False if there is more that is not answered: no time
    /// for it, or not even read.
    pub(crate) fn refuse(
        &mut self,
        shared: &Shared,
        own: &mut ConnectionState,
        buffers: &mut Buffers,
        mut refused: impl FnMut(Class),
    ) -> bool {
        if own.closing().is_some() {
            return true;
        }
        answer_awaited(shared, own);
        // Its frame is the first one.
        let has_answered = answer_login(shared, own);
        while let Some(scan) = own.take_scan(true) {
            self.tell(shared, own, &scan.content, &mut refused);
        }
        let kept = own.incoming().and_then(|incoming| incoming.take_kept());
        if let Some(kept) = &kept {
            self.tell(shared, own, kept, &mut refused);
        }
        // The piece that would bring it again.
        let skipped = usize::from(has_answered || kept.is_some());
        let is_read = own.has_caught_up() || !own.has_unread();
        let Some(inbox) = own.take_inbox() else {
            return is_read;
        };
        self.frames(shared, own, buffers, (&inbox, skipped), &mut refused) && is_read
    }

    fn frames(
        &mut self,
        shared: &Shared,
        own: &mut ConnectionState,
        buffers: &mut Buffers,
        (inbox, skipped): (&Inbox, usize),
        refused: &mut impl FnMut(Class),
    ) -> bool {
        let packet_size_max = shared.config.packet_size_max;
        let mut rest: &[u8] = inbox;
        let mut at = 0;
        while let Ok(Some(prefix)) = read_prefix(rest, packet_size_max) {
            let is_whole = rest.len() >= prefix.frame_size();
            let (frame, behind) = rest.split_at(prefix.frame_size().min(rest.len()));
            rest = behind;
            at += 1;
            if at <= skipped {
                continue;
            }
            if !self.time.take(|| shared.clock.now()) {
                return false;
            }
            let content = &frame[prefix.size..];
            if !is_whole && (Chunk::is_one(content) || read_header(content).is_err()) {
                return true;
            }
            if !Chunk::is_one(content) {
                let mut refused = |class| {
                    if is_whole {
                        refused(class)
                    }
                };
                self.tell(shared, own, content, &mut refused);
            } else if let Some(whole) = last_of_chunks(own, buffers, content, packet_size_max) {
                self.tell(shared, own, &whole, refused);
            }
        }
        true
    }

    fn tell(
        &mut self,
        shared: &Shared,
        own: &mut ConnectionState,
        content: &[u8],
        refused: &mut impl FnMut(Class),
    ) {
        match read_header(content) {
            Ok((header, _)) => {
                own.reply_error(shared, header.sync, &self.error);
                if let Some(request) = RequestType::from_code(header.request_type) {
                    refused(Class::of(request));
                }
            }
            Err(fault) => own.reply_error(shared, fault.sync, &fault.error),
        }
    }
}

/// The request that a piece completes, if it does.
fn last_of_chunks(
    own: &mut ConnectionState,
    buffers: &mut Buffers,
    content: &[u8],
    packet_size_max: u64,
) -> Option<Vec<u8>> {
    let Ok(Chunk::Data {
        number,
        first,
        piece,
    }) = Chunk::read(content)
    else {
        return None;
    };
    let incoming = own.incoming()?;
    incoming
        .data(number, first, piece, packet_size_max, buffers)
        .ok()?
        .request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_an_end_to_looks_by_number_and_by_the_clock() {
        let now = Instant::now();
        let mut time = TimeLeft::new(now);
        let taken = (0..2 * UNTAKEN_TOLD_MAX).filter(|_| time.take(|| now));
        assert_eq!(taken.count(), UNTAKEN_TOLD_MAX);
        let mut time = TimeLeft::new(now);
        assert!(time.take(|| now));
        let late = now + UNTAKEN_TIME_MAX;
        let taken = (0..UNTAKEN_TOLD_MAX).filter(|_| time.take(|| late));
        assert_eq!(taken.count(), TAKES_PER_LOOK - 1);
        assert!(!time.take(|| now), "what is over does not begin again");
    }
}
