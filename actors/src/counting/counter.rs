//! A number that one thread counts up, and others read.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter that only one thread adds to, so that an addition is a plain one: a load and a store,
/// and no word that two processors write.
#[derive(Debug, Default)]
pub(crate) struct OwnCounter(AtomicU64);

impl OwnCounter {
    /// Adds to it. For its thread alone.
    #[inline]
    pub(crate) fn add(&self, more: u64) {
        self.set(self.get().wrapping_add(more));
    }

    /// Replaces it. For its thread alone.
    #[inline]
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Where it stands.
    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
