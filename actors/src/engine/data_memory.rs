//! What an engine's data take in memory, for those who look from other threads.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory of an engine's data: what is used, told by the engine, of what there may be.
#[derive(Debug)]
pub struct DataMemory {
    used: AtomicUsize,
    max: AtomicUsize,
}

impl DataMemory {
    /// Of which at most this many bytes may be used; 0 for no bound.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            used: AtomicUsize::new(0),
            max: AtomicUsize::new(max),
        }
    }

    /// Bytes that are used.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes that may be used; 0 for no bound.
    #[must_use]
    #[inline]
    pub fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }

    /// This many bytes may be used from now on; 0 for no bound.
    pub fn set_max(&self, bytes: usize) {
        self.max.store(bytes, Ordering::Relaxed);
    }

    /// This many bytes are used now.
    #[inline]
    pub fn set_used(&self, bytes: usize) {
        self.used.store(bytes, Ordering::Relaxed);
    }
}
