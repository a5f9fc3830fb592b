//! The image between threads: Tx writes it; sessions, checkpoints and Tx read it.
//!
//! ```text
//!   Tx ──── write lock ─▶ changes what no version holds in place, and copies what one holds
//!   others ─ read lock ─▶ one look-up, or a clone of the image ─▶ they walk over it without a lock
//! ```
//!
//! A turn of very many changes is applied to a clone, which then takes the image's place: nobody
//! waits for the lock while it is.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::limits::{APPLIED_IN_PLACE_MAX, VERSION_DROPPED_INLINE_MAX};
use crate::store::garbage::discard_elsewhere;
use crate::store::image::Image;
use crate::store::versions::{Version, Versions};

/// The image, shared by the threads that look at it.
#[derive(Debug, Clone)]
pub(crate) struct SharedImage {
    image: Arc<RwLock<Image>>,
    versions: Arc<Versions>,
}

/// Tx died while it applied a turn: half of the turn may be visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HalfApplied;

impl SharedImage {
    pub(crate) fn new(image: Image) -> Self {
        Self {
            image: Arc::new(RwLock::new(image)),
            versions: Arc::default(),
        }
    }

    /// The image, for Tx: only Tx writes, and Tx does not outlive a panic while it does.
    #[inline]
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Image> {
        self.image.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The image, for other threads than Tx's.
    ///
    /// # Errors
    ///
    /// [`HalfApplied`] if Tx died while it wrote.
    #[inline]
    pub(crate) fn read_whole(&self) -> Result<RwLockReadGuard<'_, Image>, HalfApplied> {
        self.image.read().map_err(|_| HalfApplied)
    }

    /// The image, for Tx to change it.
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Image> {
        self.image.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies about this many changes, and takes back versions that keep too much for it.
    pub(crate) fn change<T>(&self, changes: usize, apply: impl FnOnce(&mut Image) -> T) -> T {
        let (result, left_behind);
        if changes <= APPLIED_IN_PLACE_MAX {
            let mut image = self.write();
            result = apply(&mut image);
            left_behind = image.left_behind();
        } else {
            let mut next = self.read().clone();
            result = apply(&mut next);
            left_behind = next.left_behind();
            let old = std::mem::replace(&mut *self.write(), next);
            if left_behind - old.left_behind() > VERSION_DROPPED_INLINE_MAX {
                discard_elsewhere(old);
            }
        }
        self.versions.note(left_behind);
        result
    }

    /// Keeps a clone of the image for longer than a step.
    pub(crate) fn keep(&self, image: Image) -> Version {
        Versions::keep(&self.versions, image)
    }
}

#[cfg(test)]
impl SharedImage {
    pub(crate) fn versions_kept(&self) -> usize {
        self.versions.count()
    }
}
