//! A value that is replaced as a whole while others use it.
//!
//! ```text
//!   Live: the value, and how often it was replaced ──▶ Follower: a thread's own copy, which is
//!                                                      brought up to date when the number differs
//! ```
//!
//! Who follows pays for one load while nothing changes.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The value as it is now.
#[derive(Debug)]
pub(crate) struct Live<T> {
    current: Mutex<Arc<T>>,
    /// Raised under the lock, after the value.
    version: AtomicU64,
}

impl<T> Live<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            current: Mutex::new(Arc::new(value)),
            version: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Arc<T>> {
        // It is replaced whole, so a panic cannot leave it half changed.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value. For those who seldom ask: the others follow it.
    pub(crate) fn load(&self) -> Arc<T> {
        self.lock().clone()
    }

    /// Replaces it, after `also`, which does what goes with it: of replacements at the same time
    /// one is last, in both.
    pub(crate) fn replace(&self, value: T, also: impl FnOnce(&T)) {
        let mut current = self.lock();
        also(&value);
        *current = Arc::new(value);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// A copy for a thread of one's own.
    pub(crate) fn follow(&self) -> Follower<T> {
        let current = self.lock();
        Follower {
            version: self.version.load(Ordering::Relaxed),
            own: current.clone(),
        }
    }
}

/// The value as of the last look.
#[derive(Debug)]
pub(crate) struct Follower<T> {
    version: u64,
    own: Arc<T>,
}

impl<T> Follower<T> {
    /// Looks again. True if it was replaced.
    #[inline]
    pub(crate) fn refresh(&mut self, live: &Live<T>) -> bool {
        let is_old = self.version != live.version.load(Ordering::Acquire);
        if is_old {
            *self = live.follow();
        }
        is_old
    }

    /// How often it had been replaced.
    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version
    }
}

impl<T> Deref for Follower<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_follows_sees_the_last_value_once_it_looks() {
        let live = Live::new(1);
        let mut own = live.follow();
        assert!(!own.refresh(&live));
        live.replace(2, |_| ());
        live.replace(3, |_| ());
        assert_eq!((*own, *live.load()), (1, 3));
        assert!(own.refresh(&live));
        assert_eq!((*own, own.version()), (3, 2));
        assert!(!own.refresh(&live));
    }

    #[test]
    fn nobody_replaces_it_between_a_value_and_what_goes_with_it() {
        let live = Live::new(1);
        let mut is_held = false;
        live.replace(2, |_| is_held = live.current.try_lock().is_err());
        assert!(is_held);
        assert!(live.current.try_lock().is_ok());
    }
}
