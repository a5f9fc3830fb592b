//! Bytes on their way to a client: a chain of segments, then one buffer that is written to.
//!
//! ```text
//!   socket ◀─ sealed: [ segment ][ segment ] … ◀─ open: small replies, encoded in place
//!                       ▲ large replies, and what the kernel had no room for
//! ```
//!
//! A large reply comes in segments of its own, which are chained, not copied. Most outputs are the
//! open buffer alone, which is lent and given back when it is empty; what waits longer, beyond what
//! costs a connection nothing, is moved into segments.

use std::io::{self, IoSlice};
use std::sync::Arc;

use vestibule_wire::reply::{self, HEADER_SIZE, ReplyHeader};

use super::transport::Transport;
use crate::engine::{LargeFrame, ReplyBody};
use crate::limits::{
    FLUSH_BYTES_MAX, MEMORY_SMALL, OUTPUT_MAX, SEGMENT_SIZE, SEGMENTS_PER_WRITE_MAX,
};
use crate::memory::Held;
use crate::segments::{Chain, Segments};

/// The output of one connection.
///
/// Invariant: `sent <= open.len()`; nothing of `open` is sent while there is something sealed.
#[derive(Debug)]
pub(crate) struct Output {
    segments: Arc<Segments>,
    sealed: Chain,
    open: Vec<u8>,
    sent: usize,
    has_written: bool,
    /// Bytes that were ever sent.
    sent_total: u64,
}

/// What a flush came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Everything is in the kernel's hands.
    All,
    /// The kernel's buffer is full.
    Blocked,
    /// The kernel has taken much: others get their turn before it takes more.
    Enough,
}

impl Output {
    pub(crate) fn new(segments: Arc<Segments>) -> Self {
        Self {
            segments,
            sealed: Chain::default(),
            open: Vec::new(),
            sent: 0,
            has_written: false,
            sent_total: 0,
        }
    }

    /// Where small frames are appended.
    #[inline]
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.open
    }

    /// Appends a whole frame.
    #[inline]
    pub(crate) fn append_copy(&mut self, frame: &[u8]) {
        if self.sealed.is_empty() && self.open.len() + frame.len() <= SEGMENT_SIZE {
            self.open.extend_from_slice(frame);
        } else {
            self.seal();
            self.sealed.push(&self.segments, frame);
        }
    }

    /// Appends a whole frame that has segments of its own.
    pub(crate) fn append_chain(&mut self, frame: Chain) {
        self.seal();
        self.sealed.append(frame);
    }

    /// Begins a reply of any size; returns where.
    #[inline]
    pub(crate) fn begin(&mut self, header: ReplyHeader) -> usize {
        header.begin(&mut self.open)
    }

    /// The body of the reply that was begun there. `large` is for what outgrows the buffer.
    #[inline]
    pub(crate) fn body<'a>(&'a mut self, start: usize, large: &'a mut LargeFrame) -> ReplyBody<'a> {
        ReplyBody::framed(&mut self.open, start, HEADER_SIZE, large, &self.segments)
    }

    /// The reply that was begun there is complete.
    #[inline]
    pub(crate) fn finish(&mut self, start: usize, large: LargeFrame) {
        if large.bytes.is_empty() {
            reply::finish(&mut self.open, start);
        } else {
            self.finish_large(large);
        }
    }

    /// The reply is complete, and has outgrown the buffer.
    pub(crate) fn finish_large(&mut self, large: LargeFrame) {
        let mut frame = large.bytes;
        let (at, length) = reply::length_of(frame.len());
        frame.patch(at, &length);
        self.append_chain(frame);
    }

    /// The reply that was begun there is not to be.
    pub(crate) fn abandon(&mut self, start: usize) {
        self.open.truncate(start);
    }

    /// Takes out the reply that was begun there: others may go out before it.
    pub(crate) fn take_begun(&mut self, start: usize, mut large: LargeFrame) -> LargeFrame {
        if large.bytes.is_empty() {
            large.bytes.push(&self.segments, &self.open[start..]);
            self.open.truncate(start);
        }
        large
    }

    /// Moves the open buffer's content into segments.
    fn seal(&mut self) {
        if self.sent < self.open.len() {
            self.sealed.push(&self.segments, &self.open[self.sent..]);
        }
        self.sent = 0;
        self.open.clear();
    }

    /// Uses a spare buffer if it holds none of its own.
    #[inline]
    pub(crate) fn lend(&mut self, spare: impl FnOnce() -> Vec<u8>) {
        if self.open.capacity() == 0 {
            self.open = spare();
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.size() == 0
    }

    /// Memory that it takes.
    #[inline]
    pub(crate) fn held(&self) -> Held {
        Held {
            buffers: self.open.capacity(),
            segments: self.sealed.allocated(),
        }
    }

    /// Bytes that wait.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.open.len() - self.sent + self.sealed.len()
    }

    /// Whether anything was written since this was asked last.
    pub(crate) fn take_written(&mut self) -> bool {
        std::mem::take(&mut self.has_written)
    }

    /// Bytes that were ever sent.
    pub(crate) fn sent_total(&self) -> u64 {
        self.sent_total
    }

    /// Whether so much waits that its connection is to be closed.
    pub(crate) fn is_over_max(&self) -> bool {
        self.size() > OUTPUT_MAX
    }

    /// Writes what it can; hands the open buffer back through `give_back` when it is of no use.
    pub(crate) fn flush(
        &mut self,
        stream: &mut dyn Transport,
        give_back: impl FnOnce(Vec<u8>),
    ) -> io::Result<Flushed> {
        let write = |slices: &[IoSlice<'_>]| match slices {
            [single] => stream.try_write(single),
            slices => stream.try_write_vectored(slices),
        };
        self.flush_with(write, give_back)
    }

    fn flush_with(
        &mut self,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
        give_back: impl FnOnce(Vec<u8>),
    ) -> io::Result<Flushed> {
        let mut total = 0;
        while !self.is_empty() {
            if total >= FLUSH_BYTES_MAX {
                return Ok(Flushed::Enough);
            }
            match self.write(&mut write) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    total += written;
                    self.advance(written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.settle(give_back);
                    return Ok(Flushed::Blocked);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.sent = 0;
        let mut open = std::mem::take(&mut self.open);
        open.clear();
        give_back(open);
        Ok(Flushed::All)
    }

    /// One write of what comes first.
    #[inline]
    fn write(
        &self,
        write: &mut impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let open = IoSlice::new(&self.open[self.sent..]);
        if self.sealed.is_empty() {
            return write(&[open]);
        }
        let mut slices = [IoSlice::new(&[]); SEGMENTS_PER_WRITE_MAX + 1];
        let mut count = self.sealed.slices(&mut slices[..SEGMENTS_PER_WRITE_MAX]);
        if count < SEGMENTS_PER_WRITE_MAX && !open.is_empty() {
            slices[count] = open;
            count += 1;
        }
        write(&slices[..count])
    }

    /// So much of what comes first is sent.
    #[inline]
    fn advance(&mut self, written: usize) {
        self.has_written = true;
        self.sent_total += written as u64;
        self.sent += if self.sealed.is_empty() {
            written
        } else {
            self.sealed.advance(written)
        };
    }

    /// What is left waits for the client. If that is much, it does so in segments, and the buffer
    /// is given back.
    fn settle(&mut self, give_back: impl FnOnce(Vec<u8>)) {
        if self.open.len() - self.sent >= MEMORY_SMALL {
            self.seal();
        } else if self.sent > self.open.len() / 2 {
            self.open.drain(..self.sent);
            self.sent = 0;
        }
        if self.open.is_empty() {
            give_back(std::mem::take(&mut self.open));
        } else if self.open.capacity() >= MEMORY_SMALL {
            self.open.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new() -> (Output, Arc<Segments>) {
        let segments = Arc::new(Segments::default());
        (Output::new(segments.clone()), segments)
    }

    fn chain(output: &Output, bytes: &[u8]) -> Chain {
        let mut chain = Chain::default();
        chain.push(&output.segments, bytes);
        chain
    }

    /// Flushes into `socket`, which takes `room` bytes in steps of at most `step`.
    fn flush(output: &mut Output, socket: &mut Vec<u8>, mut room: usize, step: usize) -> Flushed {
        let write = |slices: &[IoSlice<'_>]| {
            let taken = room.min(step);
            let all = slices.iter().flat_map(|own| own.iter().copied());
            let bytes: Vec<u8> = all.take(taken).collect();
            if bytes.is_empty() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            room -= bytes.len();
            socket.extend_from_slice(&bytes);
            Ok(bytes.len())
        };
        output.flush_with(write, drop).expect("the socket is fine")
    }

    fn size_held(output: &Output) -> (usize, usize) {
        (output.size(), output.held().total())
    }

    #[test]
    fn a_large_frame_is_chained_between_what_was_written_before_and_after() {
        let large: Vec<u8> = (0..=255).cycle().take(SEGMENT_SIZE * 3 + 1).collect();
        for room in [1, 3, 1000, usize::MAX] {
            let ((mut output, segments), mut socket) = (new(), Vec::new());
            output.buffer().extend_from_slice(b"before");
            output.append_copy(b"small");
            output.append_chain(chain(&output, &large));
            output.append_chain(chain(&output, &large));
            output.buffer().extend_from_slice(b"in place");
            output.append_copy(b"after");
            output.buffer().extend_from_slice(b"at last");
            let [small, last] = [&b"beforesmall"[..], b"in placeafterat last"];
            let expected = [small, &large, &large, last].concat();
            assert_eq!(output.size(), expected.len());
            assert!(output.held().segments >= 2 * large.len());
            assert_eq!(output.held().segments, segments.used());
            while flush(&mut output, &mut socket, room, 5000) == Flushed::Blocked {
                assert_eq!(output.size(), expected.len() - socket.len());
                assert!(!output.is_empty());
            }
            assert!(socket == expected, "{room}");
            assert!(output.is_empty() && output.take_written());
            assert_eq!((size_held(&output), segments.used()), ((0, 0), 0));
        }
    }

    #[test]
    fn what_is_sent_of_the_open_buffer_is_not_sent_again_when_it_is_sealed() {
        let large = vec![7; SEGMENT_SIZE + 1];
        let ((mut output, _), mut socket) = (new(), Vec::new());
        output.buffer().extend_from_slice(b"0123456789");
        assert_eq!(flush(&mut output, &mut socket, 4, 4), Flushed::Blocked);
        output.append_chain(chain(&output, &large));
        assert_eq!(flush(&mut output, &mut socket, usize::MAX, 9), Flushed::All);
        assert!(socket == [b"0123456789", &large[..]].concat());
    }

    #[test]
    fn what_a_slow_client_leaves_waits_in_segments_if_it_is_much() {
        let ((mut output, segments), mut socket) = (new(), Vec::new());
        let frame = [9; 10_000];
        for _ in 0..30 {
            output.append_copy(&frame);
            assert_eq!(flush(&mut output, &mut socket, 10, 10), Flushed::Blocked);
            assert!(output.held().buffers < MEMORY_SMALL);
        }
        let left = 30 * (frame.len() - 10);
        assert_eq!(output.size(), left);
        assert!(segments.used() <= left + 2 * SEGMENT_SIZE);
        assert_eq!(
            flush(&mut output, &mut socket, usize::MAX, 99_999),
            Flushed::All
        );
        assert!(socket == [9; 300_000]);
        assert_eq!(segments.used(), 0);
    }

    #[test]
    fn a_client_that_takes_everything_at_once_is_not_written_to_without_end() {
        let ((mut output, _), mut socket) = (new(), Vec::new());
        let large = vec![7; 3 * FLUSH_BYTES_MAX / 2];
        output.append_chain(chain(&output, &large));
        let step = usize::MAX;
        assert_eq!(flush(&mut output, &mut socket, step, step), Flushed::Enough);
        assert!(output.size() > 0 && output.size() <= FLUSH_BYTES_MAX / 2);
        assert_eq!(flush(&mut output, &mut socket, step, step), Flushed::All);
        assert!(socket == large);
    }

    #[test]
    fn a_slow_readers_buffer_does_not_only_grow() {
        let ((mut output, _), mut socket) = (new(), Vec::new());
        let mut expected = Vec::new();
        for round in 0..1000u32 {
            output.buffer().extend_from_slice(&round.to_be_bytes());
            expected.extend_from_slice(&round.to_be_bytes());
            flush(&mut output, &mut socket, 3 + round as usize % 3, 2);
        }
        assert!(output.held().total() < 4000);
        flush(&mut output, &mut socket, usize::MAX, usize::MAX);
        assert_eq!(socket, expected);
    }
}
