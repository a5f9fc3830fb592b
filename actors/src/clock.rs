//! What time it is, for everything of the runtime that decides by the time. Pure parts are told
//! (`now`).

use std::time::Instant;

/// A monotonic clock: the system's, unless the runtime is put together with another. It is copied,
/// and read by a plain call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(pub(crate) fn() -> Instant);

impl Clock {
    /// The system's.
    pub(crate) const SYSTEM: Self = Self(Instant::now);

    /// Now.
    #[inline]
    pub(crate) fn now(self) -> Instant {
        (self.0)()
    }
}
