//! What the buffers of all connections may take together.
//!
//! ```text
//!   each connection ── charges what it holds ──▶ one counter ── over the bound? ──┐
//!        ▲                                                                           │
//!        └── one that holds more than its share is not read while that is so ◀───────┘
//! ```
//!
//! Buffers of less than [`MEMORY_SMALL`] are not charged: they cost no atomic operation, and their
//! sum is bounded by the number of connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::MEMORY_SMALL;

/// The counter of a runtime.
#[derive(Debug)]
pub(crate) struct Memory {
    used: AtomicUsize,
    max: usize,
}

impl Memory {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            used: AtomicUsize::new(0),
            max,
        }
    }

    /// Bytes that are charged.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether connections that hold more than their share are not read.
    fn is_over(&self) -> bool {
        self.used() > self.max
    }

    /// Whether there is room enough again that they are.
    pub(crate) fn has_room(&self) -> bool {
        self.used() <= self.max - self.max / 8
    }

    /// Whether stopping to read was not enough: replies grew it to twice the bound.
    fn is_far_over(&self) -> bool {
        self.used() / 2 > self.max
    }

    /// What each connection may hold when the bound is reached, by their number.
    fn share(&self, connections: usize) -> usize {
        (self.max / connections.max(1)).max(MEMORY_SMALL)
    }
}

/// What one connection is charged; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct MemoryCharge {
    memory: Arc<Memory>,
    bytes: usize,
}

impl MemoryCharge {
    pub(crate) fn new(memory: Arc<Memory>) -> Self {
        Self { memory, bytes: 0 }
    }

    /// The connection's buffers take this many bytes now.
    #[inline]
    pub(crate) fn set(&mut self, bytes: usize) {
        let bytes = if bytes < MEMORY_SMALL { 0 } else { bytes };
        if bytes != self.bytes {
            let used = &self.memory.used;
            if bytes > self.bytes {
                used.fetch_add(bytes - self.bytes, Ordering::Relaxed);
            } else {
                used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
            }
            self.bytes = bytes;
        }
    }

    /// Whether the connection should not be read now. `connections` counts all of them.
    #[inline]
    pub(crate) fn is_over_share(&self, connections: impl FnOnce() -> usize) -> bool {
        self.bytes > 0 && self.memory.is_over() && self.bytes > self.memory.share(connections())
    }

    /// Whether the connection has to be closed. `connections` counts all of them.
    pub(crate) fn is_far_over_share(&self, connections: impl FnOnce() -> usize) -> bool {
        self.bytes > 0 && self.memory.is_far_over() && self.bytes > self.memory.share(connections())
    }
}

impl Drop for MemoryCharge {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn who_holds_more_than_a_share_is_over_it_when_the_bound_is_reached_and_not_before() {
        let memory = Arc::new(Memory::new(8 * MIB));
        let mut light = MemoryCharge::new(memory.clone());
        let mut heavy = MemoryCharge::new(memory.clone());
        light.set(MIB);
        heavy.set(7 * MIB);
        assert!(!heavy.is_over_share(|| 4));
        heavy.set(8 * MIB);
        assert!(heavy.is_over_share(|| 4));
        assert!(!light.is_over_share(|| 4));
        assert!(!heavy.is_far_over_share(|| 4));
        heavy.set(17 * MIB);
        assert!(heavy.is_far_over_share(|| 4));
        assert!(!light.is_far_over_share(|| 4));
        assert!(!memory.has_room());
        drop(heavy);
        assert_eq!(memory.used(), MIB);
        assert!(memory.has_room());
    }

    #[test]
    fn small_buffers_are_nobodys_business() {
        let memory = Arc::new(Memory::new(0));
        let mut small = MemoryCharge::new(memory.clone());
        small.set(MEMORY_SMALL - 1);
        assert!(!small.is_over_share(|| 1));
        small.set(MEMORY_SMALL);
        assert_eq!(memory.used(), MEMORY_SMALL);
        small.set(1);
        assert_eq!(memory.used(), 0);
    }
}
