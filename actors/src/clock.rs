//! What time it is, for everything of the runtime that decides by the time. Pure parts are told
//! (`now`).

#[cfg(feature = "testing")]
use std::collections::BTreeSet;
#[cfg(feature = "testing")]
use std::pin::pin;
#[cfg(feature = "testing")]
use std::sync::atomic::{AtomicU64, Ordering};
#[cfg(feature = "testing")]
use std::sync::{Mutex, MutexGuard, PoisonError};
#[cfg(feature = "testing")]
use std::time::Duration;
use std::time::Instant;

use actix_rt::time::sleep_until;
#[cfg(feature = "testing")]
use futures::future::select;
#[cfg(feature = "testing")]
use tokio::sync::Notify;

/// A monotonic clock: the system's, unless the runtime is put together with another. It is copied,
/// and read by a plain call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    read: fn() -> Instant,
    #[cfg(feature = "testing")]
    wound: Option<&'static Wound>,
}

/// A clock that can be wound on.
#[cfg(feature = "testing")]
#[derive(Debug, Default)]
struct Wound {
    /// By how many nanoseconds it was.
    ahead: AtomicU64,
    /// Wakes those who sleep by it.
    is_wound: Notify,
    /// Until when they sleep, each under a number of its own.
    sleepers: Mutex<BTreeSet<(Instant, u64)>>,
    last_sleeper: AtomicU64,
}

/// Somebody who sleeps by a clock that can be wound on.
#[cfg(feature = "testing")]
struct Sleeper {
    wound: &'static Wound,
    place: (Instant, u64),
}

#[cfg(feature = "testing")]
impl Drop for Sleeper {
    fn drop(&mut self) {
        self.wound.sleepers().remove(&self.place);
    }
}

#[cfg(feature = "testing")]
impl Wound {
    fn sleepers(&self) -> MutexGuard<'_, BTreeSet<(Instant, u64)>> {
        // Nothing panics between two changes of it.
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sleeper(&'static self, until: Instant) -> Sleeper {
        let number = self.last_sleeper.fetch_add(1, Ordering::Relaxed);
        let place = (until, number);
        self.sleepers().insert(place);
        Sleeper { wound: self, place }
    }

    fn ahead(&self) -> Duration {
        Duration::from_nanos(self.ahead.load(Ordering::SeqCst))
    }
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
            return (self.read)() + wound.ahead();
        }
        (self.read)()
    }

    /// When a timer of the system has to go off for what is due at this time.
    #[inline]
    pub(crate) fn timer(self, time: Instant) -> Instant {
        #[cfg(feature = "testing")]
        if let Some(wound) = self.wound {
            return time.checked_sub(wound.ahead()).unwrap_or(time);
        }
        time
    }

    /// Ends when it is this time.
    pub(crate) async fn sleep_until(self, time: Instant) {
        while self.now() < time {
            self.sleep(time).await;
        }
    }

    #[cfg(not(feature = "testing"))]
    async fn sleep(self, time: Instant) {
        sleep_until(time.into()).await;
    }

    /// Until this time, or until it is wound.
    #[cfg(feature = "testing")]
    async fn sleep(self, time: Instant) {
        let Some(wound) = self.wound else {
            return sleep_until(time.into()).await;
        };
        let _sleeper = wound.sleeper(time);
        let mut is_wound = pin!(wound.is_wound.notified());
        // It listens before it looks what time it is.
        is_wound.as_mut().enable();
        if self.now() < time {
            select(pin!(sleep_until(self.timer(time).into())), is_wound).await;
        }
    }
}

#[cfg(feature = "testing")]
impl Clock {
    /// The clock of tokio's runtime, which stands still where that is paused: a slow machine takes
    /// no more turns by it than a fast one.
    pub(crate) const RUNTIME: Self = Self::of(|| tokio::time::Instant::now().into_std());

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
            wound.ahead.fetch_add(time, Ordering::SeqCst);
            wound.is_wound.notify_waiters();
        }
    }

    /// When the first of those who sleep by it wants to be woken.
    pub(crate) fn next_sleeper(self) -> Option<Instant> {
        let wound = self.wound?;
        wound.sleepers().first().map(|(until, _)| *until)
    }
}
