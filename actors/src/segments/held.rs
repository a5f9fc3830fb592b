//! What a connection holds in buffers and in segments: these are charged already.

use std::ops::Add;

/// What a connection holds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    /// Bytes of buffers.
    pub(crate) buffers: usize,
    /// Bytes of segments.
    pub(crate) segments: usize,
}

impl Held {
    /// Bytes of buffers alone.
    pub(crate) fn buffers(buffers: usize) -> Self {
        Self {
            buffers,
            segments: 0,
        }
    }

    #[inline]
    pub(crate) fn total(self) -> usize {
        self.buffers + self.segments
    }
}

impl Add for Held {
    type Output = Self;

    #[inline]
    fn add(self, other: Self) -> Self {
        Self {
            buffers: self.buffers + other.buffers,
            segments: self.segments + other.segments,
        }
    }
}
