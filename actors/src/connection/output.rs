//! Bytes on their way to a client: a chain of segments, the last of which is written to.
//!
//! ```text
//!   socket ◀─ sealed: [ what was open ][ a large reply ] ◀─ open: small replies, encoded in place
//! ```
//!
//! A large reply that has a buffer of its own is chained, not copied, and one that has none gets
//! one of its size: the open segment does not grow by doubling beyond what is kept for reuse. Most
//! outputs are the open segment alone, whose memory is given back when it is empty.

use std::collections::VecDeque;
use std::io;

use bytes::{Buf, Bytes};

use super::transport::Transport;
use crate::limits::{BUFFER_KEEP_MAX, MEMORY_SMALL, OUTPUT_CHAIN_MIN, OUTPUT_COPY_MAX, OUTPUT_MAX};

/// The output of one connection.
///
/// Invariant: `sent <= open.len()`, and no sealed segment is empty; nothing of `open` is sent while
/// there is a sealed one. The sums are those of the sealed segments.
#[derive(Debug, Default)]
pub(crate) struct Output {
    sealed: VecDeque<Segment>,
    sealed_size: usize,
    sealed_allocated: usize,
    open: Vec<u8>,
    sent: usize,
    has_written: bool,
    /// Bytes that were ever sent.
    sent_total: u64,
}

/// Bytes that are not added to any more.
#[derive(Debug)]
struct Segment {
    bytes: Bytes,
    /// What its buffer takes.
    allocated: usize,
}

impl Segment {
    /// A buffer without its first bytes.
    fn new(buffer: Vec<u8>, sent: usize) -> Self {
        let allocated = buffer.capacity();
        let mut bytes = Bytes::from(buffer);
        bytes.advance(sent);
        Self { bytes, allocated }
    }
}

/// What a flush came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Everything is in the kernel's hands.
    All,
    /// The kernel's buffer is full.
    Blocked,
}

impl Output {
    /// Where frames are appended.
    #[inline]
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.open
    }

    /// Appends a whole frame that has a buffer of its own.
    pub(crate) fn append(&mut self, frame: Vec<u8>) {
        if frame.len() < OUTPUT_CHAIN_MIN {
            self.open.extend_from_slice(&frame);
            return;
        }
        self.seal();
        self.chain(Segment::new(frame, 0));
    }

    /// Appends a whole frame.
    #[inline]
    pub(crate) fn append_copy(&mut self, frame: &[u8]) {
        if frame.len() > OUTPUT_COPY_MAX {
            return self.append(frame.to_vec());
        }
        if self.open.len() + frame.len() > BUFFER_KEEP_MAX {
            self.seal();
        }
        self.open.extend_from_slice(frame);
    }

    /// Ends the open segment, if anything of it waits.
    fn seal(&mut self) {
        if self.sent < self.open.len() {
            let open = std::mem::take(&mut self.open);
            self.chain(Segment::new(open, self.sent));
            self.sent = 0;
        }
    }

    fn chain(&mut self, segment: Segment) {
        self.sealed_size += segment.bytes.len();
        self.sealed_allocated += segment.allocated;
        self.sealed.push_back(segment);
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

    /// Memory that it takes, in bytes.
    #[inline]
    pub(crate) fn allocated(&self) -> usize {
        self.open.capacity() + self.sealed_allocated
    }

    /// Bytes that wait.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.open.len() - self.sent + self.sealed_size
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

    /// Writes what it can; hands the open segment's buffer back through `give_back` when all is
    /// sent.
    pub(crate) fn flush(
        &mut self,
        stream: &mut dyn Transport,
        give_back: impl FnOnce(Vec<u8>),
    ) -> io::Result<Flushed> {
        self.flush_with(|bytes| stream.try_write(bytes), give_back)
    }

    fn flush_with(
        &mut self,
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
        give_back: impl FnOnce(Vec<u8>),
    ) -> io::Result<Flushed> {
        while !self.is_empty() {
            let front = self.sealed.front().map(|own| &*own.bytes);
            match write(front.unwrap_or(&self.open[self.sent..])) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.compact();
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

    /// So much of the first segment is sent.
    #[inline]
    fn advance(&mut self, written: usize) {
        self.has_written = true;
        self.sent_total += written as u64;
        match self.sealed.front_mut() {
            None => self.sent += written,
            Some(front) => {
                front.bytes.advance(written);
                self.sealed_size -= written;
                if front.bytes.is_empty() {
                    self.sealed_allocated -= front.allocated;
                    self.sealed.pop_front();
                }
            }
        }
    }

    /// Drops what is sent once it is more than half, so that a slow reader's buffer does not only
    /// grow, and gives back the room of a large buffer that little waits in.
    fn compact(&mut self) {
        if self.sent > self.open.len() / 2 {
            self.open.drain(..self.sent);
            self.sent = 0;
        }
        if self.open.capacity() >= MEMORY_SMALL && self.open.len() < self.open.capacity() / 4 {
            self.open.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flushes into `socket`, which takes `room` bytes in steps of at most `step`.
    fn flush(output: &mut Output, socket: &mut Vec<u8>, mut room: usize, step: usize) -> Flushed {
        let write = |bytes: &[u8]| {
            let size = bytes.len().min(room).min(step);
            if size == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            room -= size;
            socket.extend_from_slice(&bytes[..size]);
            Ok(size)
        };
        output.flush_with(write, drop).expect("the socket is fine")
    }

    #[test]
    fn a_large_frame_is_chained_between_what_was_written_before_and_after() {
        let large: Vec<u8> = (0..=255).cycle().take(OUTPUT_CHAIN_MIN * 3).collect();
        for room in [1, 3, 1000, usize::MAX] {
            let (mut output, mut socket) = (Output::default(), Vec::new());
            output.buffer().extend_from_slice(b"before");
            output.append(b"small".to_vec());
            output.append(large.clone());
            output.append(large.clone());
            output.buffer().extend_from_slice(b"after");
            let expected = [b"beforesmall", &large[..], &large, b"after"].concat();
            assert_eq!(output.size(), expected.len());
            assert!(output.allocated() >= expected.len());
            while flush(&mut output, &mut socket, room, 500) == Flushed::Blocked {
                assert_eq!(output.size(), expected.len() - socket.len());
                assert!(!output.is_empty());
            }
            assert_eq!(socket, expected, "{room}");
            assert!(output.is_empty() && output.take_written());
            assert_eq!((output.size(), output.allocated()), (0, 0));
        }
    }

    #[test]
    fn what_is_sent_of_the_open_segment_is_not_sent_again_when_it_is_sealed() {
        let large = vec![7; OUTPUT_CHAIN_MIN];
        let (mut output, mut socket) = (Output::default(), Vec::new());
        output.buffer().extend_from_slice(b"0123456789");
        assert_eq!(flush(&mut output, &mut socket, 4, 4), Flushed::Blocked);
        output.append(large.clone());
        assert_eq!(flush(&mut output, &mut socket, usize::MAX, 9), Flushed::All);
        assert_eq!(socket, [b"0123456789", &large[..]].concat());
    }

    #[test]
    fn a_slow_readers_buffer_does_not_only_grow() {
        let (mut output, mut socket) = (Output::default(), Vec::new());
        let mut expected = Vec::new();
        for round in 0..1000u32 {
            output.buffer().extend_from_slice(&round.to_be_bytes());
            expected.extend_from_slice(&round.to_be_bytes());
            flush(&mut output, &mut socket, 3 + round as usize % 3, 2);
        }
        assert!(output.allocated() < 4000);
        flush(&mut output, &mut socket, usize::MAX, usize::MAX);
        assert_eq!(socket, expected);
    }
}
