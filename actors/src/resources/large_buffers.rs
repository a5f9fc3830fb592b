//! Buffers that large requests have left, for the next of their size.
//!
//! ```text
//!   a request is over ─▶ kept, and charged ─┬─▶ the next of its size
//!                                           └─▶ not needed: shrinks, step by step
//! ```
//!
//! The pages of a new buffer cost more than all else that is done with a large request: they are
//! cleared when it arrives, and given back when it is over.

use std::sync::Arc;
use std::time::Instant;

use crate::limits::{
    BUFFER_KEEP_MAX, LARGE_KEPT_MAX, LARGE_KEPT_TIME, LARGE_SLACK_PART, LARGE_TRIMMED_MAX,
};
use crate::memory::{Memory, MemoryCharge};

/// The buffers that one worker keeps.
///
/// Invariant: what is charged is the sum of their capacities, which is at most
/// [`LARGE_KEPT_MAX`].
pub(super) struct LargeBuffers {
    /// Empty ones, which was kept last at the end.
    kept: Vec<KeptBuffer>,
    size: usize,
    memory: Arc<Memory>,
    charge: MemoryCharge,
    /// When buffers were last looked at: those that are kept from now on are so since then.
    looked_at: Option<Instant>,
}

struct KeptBuffer {
    bytes: Vec<u8>,
    since: Option<Instant>,
}

impl LargeBuffers {
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        Self {
            kept: Vec::new(),
            size: 0,
            charge: MemoryCharge::new(memory.clone()),
            memory,
            looked_at: None,
        }
    }

    /// An empty buffer with room for `size` bytes and little more, which its taker is charged.
    pub(super) fn take(&mut self, size: usize) -> Option<Vec<u8>> {
        let fits = |own: &KeptBuffer| {
            (size..=size + size / LARGE_SLACK_PART).contains(&own.bytes.capacity())
        };
        let at = self.kept.iter().rposition(fits)?;
        let bytes = self.kept.remove(at).bytes;
        self.resize(self.size - bytes.capacity());
        Some(bytes)
    }

    /// Keeps a buffer, unless connections hold much, or it is too large beside those that are kept:
    /// of these the ones go that were kept first.
    pub(super) fn keep(&mut self, mut bytes: Vec<u8>) {
        if bytes.capacity() > LARGE_KEPT_MAX || !self.memory.may_keep(bytes.capacity()) {
            return;
        }
        let room = LARGE_KEPT_MAX - bytes.capacity();
        while self.size > room {
            let first = self.kept.remove(0);
            self.size -= first.bytes.capacity();
        }
        bytes.clear();
        self.size += bytes.capacity();
        let since = self.looked_at;
        self.kept.push(KeptBuffer { bytes, since });
        self.resize(self.size);
    }

    /// Shrinks what was not needed for a while, and as much as a tick may take.
    pub(super) fn trim(&mut self, now: Instant) {
        self.looked_at = Some(now);
        let Some(first) = self.kept.first_mut() else {
            return;
        };
        let since = *first.since.get_or_insert(now);
        if now.saturating_duration_since(since) < LARGE_KEPT_TIME && self.memory.may_keep(0) {
            return;
        }
        let before = first.bytes.capacity();
        let left = before.saturating_sub(LARGE_TRIMMED_MAX);
        if left > BUFFER_KEEP_MAX {
            first.bytes.shrink_to(left);
            let after = first.bytes.capacity();
            self.resize(self.size - (before - after));
        } else {
            self.kept.remove(0);
            self.resize(self.size - before);
        }
    }

    fn resize(&mut self, size: usize) {
        self.size = size;
        self.charge.set(size);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MIB: usize = 1 << 20;

    fn kept(memory_max: usize) -> (LargeBuffers, Arc<Memory>) {
        let memory = Arc::new(Memory::new(memory_max));
        (LargeBuffers::new(memory.clone()), memory)
    }

    #[test]
    fn the_next_request_of_the_size_has_the_buffer_and_is_charged_for_it() {
        let (mut large, memory) = kept(1 << 30);
        large.keep(Vec::with_capacity(16 * MIB));
        assert_eq!(memory.used(), 16 * MIB);
        assert!(large.take(16 * MIB + 1).is_none(), "too small");
        assert!(large.take(15 * MIB - MIB / 4).is_none(), "too large");
        let buffer = large.take(15 * MIB + MIB / 2).expect("it fits");
        assert_eq!((buffer.len(), buffer.capacity()), (0, 16 * MIB));
        assert_eq!(memory.used(), 0);
        assert!(large.take(16 * MIB).is_none(), "it is somebody else's");
    }

    #[test]
    fn no_more_is_kept_than_the_bound_and_nothing_while_connections_hold_much() {
        let (mut large, memory) = kept(1 << 30);
        for _ in 0..10 {
            large.keep(Vec::with_capacity(LARGE_KEPT_MAX / 4));
            assert!(memory.used() <= LARGE_KEPT_MAX);
        }
        assert_eq!(memory.used(), LARGE_KEPT_MAX);
        large.keep(Vec::with_capacity(LARGE_KEPT_MAX + 1));
        large.keep(Vec::with_capacity(LARGE_KEPT_MAX));
        assert_eq!((memory.used(), large.kept.len()), (LARGE_KEPT_MAX, 1));
        let (mut large, memory) = kept(16 * MIB);
        let mut charge = MemoryCharge::new(memory.clone());
        charge.set(3 * MIB);
        large.keep(Vec::with_capacity(2 * MIB));
        assert_eq!(memory.used(), 3 * MIB);
    }

    #[test]
    fn what_is_not_needed_goes_back_step_by_step() {
        let (mut large, memory) = kept(1 << 30);
        let mut now = Instant::now();
        large.trim(now);
        large.keep(Vec::with_capacity(10 * MIB));
        now += LARGE_KEPT_TIME - Duration::from_millis(1);
        large.trim(now);
        assert_eq!(memory.used(), 10 * MIB);
        for left in [6, 2, 0] {
            now += Duration::from_millis(100);
            large.trim(now);
            assert_eq!(memory.used(), left * MIB);
        }
        assert!(large.kept.is_empty());
    }
}
