//! What time it is, for everything of the runtime that decides by the time. Pure parts are told
//! (`now`).

#[cfg(feature = "testing")]
use std::sync::atomic::{AtomicU64, Ordering};
#[cfg(feature = "testing")]
use std::time::Duration;
use std::time::Instant;

/// A monotonic clock: the system's, unless the runtime is put together with another. It is copied,
/// and read by a plain call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    read: fn() -> Instant,
    /// By how many nanoseconds it was wound on, if it can be.
    #[cfg(feature = "testing")]
    wound: Option<&'static AtomicU64>,
}

impl Clock {
    /// The system's.
    pub(crate) const SYSTEM: Self = Self::of(Instant::now);

    /// One that is read by this.
    pub(crate) const fn of(read: fn() -> Instant) -> Self {
        Self {
            read,
            #[cfg(feature = "testing")]
            wound: None,
        }
    }

    /// Now.
    #[inline]
    pub(crate) fn now(self) -> Instant {
        #[cfg(feature = "testing")]
        if let Some(wound) = self.wound {
            return (self.read)() + Duration::from_nanos(wound.load(Ordering::SeqCst));
        }
        (self.read)()
    }

    /// When a timer of the system has to go off for what is due at this time.
    #[inline]
    pub(crate) fn timer(self, time: Instant) -> Instant {
        #[cfg(feature = "testing")]
        if let Some(wound) = self.wound {
            let ahead = Duration::from_nanos(wound.load(Ordering::SeqCst));
            return time.checked_sub(ahead).unwrap_or(time);
        }
        time
    }
}

#[cfg(feature = "testing")]
impl Clock {
    /// The system's, which can be wound on. What counts that takes a few bytes for good.
    pub(crate) fn hand_wound() -> Self {
        Self {
            wound: Some(Box::leak(Box::default())),
            ..Self::SYSTEM
        }
    }

    /// Winds it on by this much.
    pub(crate) fn wind(self, time: Duration) {
        if let Some(wound) = self.wound {
            let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            wound.fetch_add(time, Ordering::SeqCst);
        }
    }
}
