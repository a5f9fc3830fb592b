//! The heartbeat: Tx advances it, the watchdog looks whether it has advanced.

use std::sync::atomic::{AtomicU64, Ordering};

/// Alone on its cache line, or every request would take the line from sessions that read what is
/// beside it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Heartbeat(AtomicU64);

impl Heartbeat {
    /// Tx goes on. Only Tx's thread may call it: a load and a store, so that it costs next to
    /// nothing per request.
    #[inline]
    pub(crate) fn advance(&self) {
        let next = self.0.load(Ordering::Relaxed).wrapping_add(1);
        self.0.store(next, Ordering::Relaxed);
    }

    /// Where it stands.
    pub(crate) fn load(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
