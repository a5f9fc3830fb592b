//! Memory that the sessions of one worker lend each other.

use crate::limits::{BUFFER_KEEP_MAX, BUFFERS_KEPT_MAX, MEMORY_SMALL, READ_SIZE};

/// Empty buffers for what sessions keep, and the one that all of them read into.
pub(crate) struct Buffers {
    /// Empty while it is taken.
    scratch: Box<[u8]>,
    spare: Vec<Vec<u8>>,
}

impl Buffers {
    pub(crate) fn new() -> Self {
        Self {
            scratch: new_scratch(),
            spare: Vec::new(),
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

    /// Keeps a buffer, of at most [`BUFFER_KEEP_MAX`] bytes, for the next that needs one.
    pub(crate) fn give_back(&mut self, mut buffer: Vec<u8>) {
        let fits = buffer.capacity() > 0 && buffer.capacity() <= BUFFER_KEEP_MAX;
        if fits && self.spare.len() < BUFFERS_KEPT_MAX {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

fn new_scratch() -> Box<[u8]> {
    vec![0; READ_SIZE].into_boxed_slice()
}
