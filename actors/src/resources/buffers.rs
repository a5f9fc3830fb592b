//! Memory that the sessions of one worker lend each other.

use std::sync::Arc;
use std::time::Instant;

use super::large_buffers::LargeBuffers;
use crate::limits::{
    BUFFER_KEEP_MAX, BUFFERS_KEPT_MAX, LARGE_BEGUN_PART, LARGE_MOVED_MAX, MEMORY_SMALL, READ_SIZE,
};
use crate::memory::Memory;

/// Empty buffers for what sessions keep, and the one that all of them read into.
pub(crate) struct Buffers {
    /// Empty while it is taken.
    scratch: Box<[u8]>,
    spare: Vec<Vec<u8>>,
    large: LargeBuffers,
}

impl Buffers {
    pub(crate) fn new(memory: Arc<Memory>) -> Self {
        Self {
            scratch: new_scratch(),
            spare: Vec::new(),
            large: LargeBuffers::new(memory),
        }
    }

    /// Takes what is read into, [`READ_SIZE`] bytes, until it is put back.
    #[inline]
    pub(crate) fn take_scratch(&mut self) -> Box<[u8]> {
        std::mem::take(&mut self.scratch)
    }

    #[inline]
    pub(crate) fn put_scratch(&mut self, scratch: Box<[u8]>) {
        self.scratch = scratch;
    }

    /// Replaces what a session that panicked has not put back.
    pub(crate) fn restore_scratch(&mut self) {
        if self.scratch.is_empty() {
            self.scratch = new_scratch();
        }
    }

    /// An empty buffer, used or new.
    pub(crate) fn spare(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// An empty buffer for what may wait for long: of no more room than costs a connection nothing.
    pub(crate) fn spare_small(&mut self) -> Vec<u8> {
        let is_small = |own: &mut Vec<u8>| own.capacity() < MEMORY_SMALL;
        self.spare.pop_if(is_small).unwrap_or_default()
    }

    /// An empty buffer that was used for a large request, and has room for one of `size` bytes and
    /// little more; for one of which `arrived` bytes have come. `None` if there is none, or if it
    /// is too early, for what has hardly begun does not take much, or too late.
    pub(crate) fn spare_large(&mut self, size: usize, arrived: usize) -> Option<Vec<u8>> {
        let is_begun = arrived >= BUFFER_KEEP_MAX.min(size / LARGE_BEGUN_PART);
        let is_moved_soon = arrived <= LARGE_MOVED_MAX;
        (is_begun && is_moved_soon).then(|| self.large.take(size))?
    }

    /// Keeps a buffer for the next that needs one.
    pub(crate) fn give_back(&mut self, mut buffer: Vec<u8>) {
        let is_small = buffer.capacity() <= BUFFER_KEEP_MAX;
        if !is_small {
            self.large.keep(buffer);
        } else if buffer.capacity() > 0 && self.spare.len() < BUFFERS_KEPT_MAX {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    /// Gives the system back a part of what large requests have left and nobody has needed since.
    pub(crate) fn trim(&mut self, now: Instant) {
        self.large.trim(now);
    }
}

fn new_scratch() -> Box<[u8]> {
    vec![0; READ_SIZE].into_boxed_slice()
}
