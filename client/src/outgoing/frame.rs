//! Bytes that wait to be written, and what they are.

use bytes::{Buf as _, Bytes};
use vestibule_wire::groups::Payload;
use vestibule_wire::limits::GROUP_QUANTUM;

use crate::limits::{COPIED_PIECE_MAX, WRITE_BATCH_SIZE};

/// What bytes belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The request with this sync number.
    Request(u64),
    /// What is said of the server's chunks.
    Answer,
    /// A request that was begun and is given up.
    Reset,
}

/// A frame, or a piece of one.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) owner: Owner,
    bytes: FrameBytes,
    /// Whether nothing of the frame comes behind these.
    pub(super) is_last: bool,
}

/// Small ones need not be cut, and so cost no allocation more.
#[derive(Debug)]
enum FrameBytes {
    Whole(Vec<u8>),
    Shared(Bytes),
}

impl Frame {
    pub(super) fn new(owner: Owner, bytes: Vec<u8>) -> Self {
        let bytes = if bytes.len() > GROUP_QUANTUM {
            FrameBytes::Shared(bytes.into())
        } else {
            FrameBytes::Whole(bytes)
        };
        Self {
            owner,
            bytes,
            is_last: true,
        }
    }

    fn as_slice(&self) -> &[u8] {
        match &self.bytes {
            FrameBytes::Whole(bytes) => bytes,
            FrameBytes::Shared(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for Frame {
    /// What the sender itself makes is a reset.
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(Owner::Reset, bytes)
    }
}

impl Payload for Frame {
    fn size(&self) -> usize {
        self.as_slice().len()
    }

    fn split(&mut self, size: usize) -> Self {
        let owner = self.owner;
        if size >= self.size() {
            let bytes = std::mem::replace(&mut self.bytes, FrameBytes::Whole(Vec::new()));
            return Self {
                owner,
                bytes,
                is_last: self.is_last,
            };
        }
        let empty = FrameBytes::Whole(Vec::new());
        let mut rest = match std::mem::replace(&mut self.bytes, empty) {
            FrameBytes::Whole(bytes) => Bytes::from(bytes),
            FrameBytes::Shared(bytes) => bytes,
        };
        let piece = rest.split_to(size);
        self.bytes = FrameBytes::Shared(rest);
        Self {
            owner,
            bytes: FrameBytes::Shared(piece),
            is_last: false,
        }
    }
}

/// What is written at once: small pieces, copied together, and one large request behind them.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    small: Vec<u8>,
    /// Bytes of the small ones that are written.
    written: usize,
    large: Bytes,
}

impl Batch {
    /// Bytes of it that are not written.
    pub(crate) fn size(&self) -> usize {
        self.small.len() - self.written + self.large.len()
    }

    /// What is written next; empty once all of it is.
    pub(crate) fn rest(&self) -> &[u8] {
        match &self.small[self.written..] {
            [] => &self.large,
            small => small,
        }
    }

    /// This many bytes of the [rest](Self::rest) were written.
    pub(crate) fn skip(&mut self, count: usize) {
        if self.written < self.small.len() {
            self.written += count;
        } else {
            self.large.advance(count);
        }
    }

    #[cfg(test)]
    pub(super) fn parts(&self) -> [&[u8]; 2] {
        [&self.small[self.written..], &self.large]
    }

    pub(super) fn has_room(&self, size_max: usize) -> bool {
        self.size() < size_max && self.large.is_empty()
    }

    /// Appends a piece; nothing more is appended to a batch once one has `size_max` bytes, or is
    /// large.
    pub(super) fn append(&mut self, head: &[u8], piece: Frame, size_max: usize) {
        self.small.extend_from_slice(head);
        let large = size_max.min(COPIED_PIECE_MAX);
        match piece.bytes {
            FrameBytes::Shared(bytes) if bytes.len() >= large => self.large = bytes,
            FrameBytes::Shared(bytes) => self.small.extend_from_slice(&bytes),
            FrameBytes::Whole(bytes) => self.small.extend_from_slice(&bytes),
        }
    }

    /// Empties it. What a large request took is not kept.
    pub(super) fn clear(&mut self) {
        let size_max = 2 * WRITE_BATCH_SIZE;
        self.small.clear();
        self.small.shrink_to(size_max);
        self.written = 0;
        self.large = Bytes::new();
    }
}
