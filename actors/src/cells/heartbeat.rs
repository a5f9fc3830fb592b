//! The heartbeat: Tx advances it, the watchdog looks whether it has advanced.

use crate::counting::counter::OwnCounter;

/// Alone on its cache line, or every request would take the line from sessions that read what is
/// beside it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Heartbeat(OwnCounter);

impl Heartbeat {
    /// Tx goes on. Only Tx's thread may call it: next to nothing per request.
    #[inline]
    pub(crate) fn advance(&self) {
        self.0.add(1);
    }

    /// Where it stands.
    pub(crate) fn load(&self) -> u64 {
        self.0.get()
    }
}
