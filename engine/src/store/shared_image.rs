//! The image between threads: Tx writes it; sessions, checkpoints and Tx read it.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::store::image::Image;

/// The image, shared by the threads that look at it.
#[derive(Debug, Clone)]
pub(crate) struct SharedImage(Arc<RwLock<Image>>);

/// Tx died while it applied a turn: half of the turn may be visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HalfApplied;

impl SharedImage {
    pub(crate) fn new(image: Image) -> Self {
        Self(Arc::new(RwLock::new(image)))
    }

    /// The image, for Tx: only Tx writes, and Tx does not outlive a panic while it does.
    #[inline]
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Image> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The image, for other threads than Tx's.
    ///
    /// # Errors
    ///
    /// [`HalfApplied`] if Tx died while it wrote.
    #[inline]
    pub(crate) fn read_whole(&self) -> Result<RwLockReadGuard<'_, Image>, HalfApplied> {
        self.0.read().map_err(|_| HalfApplied)
    }

    /// The image, for Tx to change it.
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Image> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
