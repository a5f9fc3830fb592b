//! Versions of the image that somebody keeps for longer than a step, and what all of them cost.
//!
//! ```text
//!   left behind   ├──────┬──────────┬──────────────▶ grows with what is copied, replaced, dropped
//!                 │      │          └ the newest version keeps at most what came after it,
//!                 │      └ the one before what came after that one, …
//!                 └ the oldest keeps at most all of it: too much ─▶ taken back, the oldest first
//! ```
//!
//! What was left behind since the oldest version began is the most that all of them keep together:
//! one number to watch, and nothing has to be counted version by version. A version that was taken
//! back is found to be gone at the next step.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::{VERSION_DROPPED_INLINE_MAX, VERSIONS_KEPT_BYTES_MAX};
use crate::store::garbage::discard_elsewhere;
use crate::store::image::Image;

/// The versions that are kept.
#[derive(Debug, Default)]
pub(crate) struct Versions {
    kept: Mutex<Kept>,
    /// How many there are, so that Tx need not look for none.
    count: AtomicUsize,
    /// The image's own count as Tx saw it last.
    left_behind: AtomicU64,
}

#[derive(Debug, Default)]
struct Kept {
    /// By number, which is in the order of their beginnings.
    versions: BTreeMap<u64, Arc<Slot>>,
    begun: u64,
}

/// A version, until it is taken back.
#[derive(Debug)]
struct Slot {
    image: Mutex<Option<Image>>,
    /// What had been left behind when it began.
    since: u64,
}

/// A version of the image that its holder keeps.
#[derive(Debug)]
pub(crate) struct Version {
    slot: Arc<Slot>,
    number: u64,
    versions: Arc<Versions>,
}

impl Versions {
    pub(super) fn keep(versions: &Arc<Self>, image: Image) -> Version {
        let since = image.left_behind();
        let slot = Arc::new(Slot {
            image: Mutex::new(Some(image)),
            since,
        });
        let mut kept = versions.kept();
        kept.begun += 1;
        let number = kept.begun;
        kept.versions.insert(number, slot.clone());
        versions.count.store(kept.versions.len(), Ordering::Relaxed);
        drop(kept);
        Version {
            slot,
            number,
            versions: versions.clone(),
        }
    }

    /// So much was left behind by now: versions that keep too much are taken back.
    pub(super) fn note(&self, left_behind: u64) {
        self.left_behind.store(left_behind, Ordering::Relaxed);
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut kept = self.kept();
        // Numbers are given a moment after the image was cloned: the first is not always the
        // oldest, but each is looked at in turn.
        while let Some(first) = kept.versions.first_entry()
            && left_behind.saturating_sub(first.get().since) > VERSIONS_KEPT_BYTES_MAX
        {
            discard_elsewhere(first.remove().take());
        }
        self.count.store(kept.versions.len(), Ordering::Relaxed);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn image(&self) -> MutexGuard<'_, Option<Image>> {
        self.image.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Image> {
        self.image().take()
    }
}

impl Version {
    /// The image as it was, for one step; `None` once it was taken back.
    pub(crate) fn image(&self) -> Option<Image> {
        self.slot.image().clone()
    }
}

impl Drop for Version {
    fn drop(&mut self) {
        let mut kept = self.versions.kept();
        kept.versions.remove(&self.number);
        let count = kept.versions.len();
        self.versions.count.store(count, Ordering::Relaxed);
        drop(kept);
        let image = self.slot.take();
        let left_behind = self.versions.left_behind.load(Ordering::Relaxed);
        if left_behind.saturating_sub(self.slot.since) > VERSION_DROPPED_INLINE_MAX {
            discard_elsewhere(image);
        }
    }
}

#[cfg(test)]
impl Versions {
    pub(crate) fn count(&self) -> usize {
        self.kept().versions.len()
    }
}
