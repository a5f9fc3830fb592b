//! The pool of segments, and the counter of what is charged.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use memmap2::{MmapMut, MmapOptions};

use crate::limits::{
    SEGMENT_SIZE, SEGMENTS_KEPT_MAX, SEGMENTS_MAPPED_MAX, SEGMENTS_TRIM_PERIOD,
    SEGMENTS_TRIMMED_MAX,
};

/// What segments, and all else that is charged, take; and the segments that nobody uses.
#[derive(Default)]
pub(crate) struct Segments {
    used: AtomicUsize,
    /// Mappings that there are, used or spare.
    mapped: AtomicUsize,
    spare: Mutex<Spare>,
}

#[derive(Default)]
struct Spare {
    storages: Vec<Storage>,
    /// The fewest there were since they were last trimmed: these were not needed.
    fewest: usize,
    /// When they are trimmed next.
    next_trim: Option<Instant>,
}

enum Storage {
    Mapped(MmapMut),
    /// Where the system gives no mapping.
    Allocated(Box<[u8]>),
}

impl Deref for Storage {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(own) => own,
            Self::Allocated(own) => own,
        }
    }
}

impl DerefMut for Storage {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Mapped(own) => own,
            Self::Allocated(own) => own,
        }
    }
}

impl fmt::Debug for Segments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segments")
            .field("used", &self.used())
            .finish_non_exhaustive()
    }
}

impl Segments {
    /// Bytes that are charged.
    #[inline]
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Charges bytes that are no segment.
    #[inline]
    pub(crate) fn charge(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives back what was charged.
    #[inline]
    pub(crate) fn discharge(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// An empty segment, charged until it is dropped.
    pub(crate) fn take(self: &Arc<Self>) -> Segment {
        let spare = {
            let mut spare = self.lock();
            let storage = spare.storages.pop();
            spare.fewest = spare.fewest.min(spare.storages.len());
            storage
        };
        self.charge(SEGMENT_SIZE);
        Segment {
            storage: Some(spare.unwrap_or_else(|| self.map())),
            len: 0,
            pool: self.clone(),
        }
    }

    /// Gives the system back what was not needed since this was done last, if that is a while ago.
    pub(crate) fn trim(&self, now: Instant) {
        let unneeded = {
            let mut spare = self.lock();
            if spare.next_trim.is_some_and(|next| now < next) {
                return;
            }
            spare.next_trim = Some(now + SEGMENTS_TRIM_PERIOD);
            let unneeded = spare.fewest.min(SEGMENTS_TRIMMED_MAX);
            let kept = spare.storages.len().saturating_sub(unneeded);
            let unneeded = spare.storages.split_off(kept);
            spare.fewest = kept;
            unneeded
        };
        unneeded.into_iter().for_each(|own| self.unmap(own));
    }

    fn map(&self) -> Storage {
        if self.mapped.fetch_add(1, Ordering::Relaxed) < SEGMENTS_MAPPED_MAX {
            // All of its pages at once: they are about to be written.
            let options = MmapOptions::new().len(SEGMENT_SIZE).populate().map_anon();
            if let Ok(own) = options {
                return Storage::Mapped(own);
            }
        }
        self.mapped.fetch_sub(1, Ordering::Relaxed);
        Storage::Allocated(vec![0; SEGMENT_SIZE].into_boxed_slice())
    }

    fn unmap(&self, storage: Storage) {
        if let Storage::Mapped(own) = storage {
            drop(own);
            self.mapped.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn give_back(&self, storage: Storage) {
        self.discharge(SEGMENT_SIZE);
        let mut spare = self.lock();
        if spare.storages.len() < SEGMENTS_KEPT_MAX {
            spare.storages.push(storage);
        } else {
            drop(spare);
            self.unmap(storage);
        }
    }

    /// Nothing that is locked can be left half done.
    fn lock(&self) -> MutexGuard<'_, Spare> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room for [`SEGMENT_SIZE`] bytes, filled from the front.
pub(crate) struct Segment {
    /// `None` once it is given back.
    storage: Option<Storage>,
    len: usize,
    pool: Arc<Segments>,
}

impl Segment {
    /// Adds as much as there is room for; returns how much.
    #[inline]
    pub(super) fn fill(&mut self, bytes: &[u8]) -> usize {
        let start = self.len;
        let Some(storage) = &mut self.storage else {
            return 0;
        };
        let taken = bytes.len().min(storage.len() - start);
        storage[start..start + taken].copy_from_slice(&bytes[..taken]);
        self.len += taken;
        taken
    }

    /// What was added.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        self.storage.as_ref().map_or(&[], |own| &own[..self.len])
    }

    /// The same, to be changed.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        let len = self.len;
        self.storage.as_mut().map_or(&mut [], |own| &mut own[..len])
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment").field("len", &self.len).finish()
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if let Some(storage) = self.storage.take() {
            self.pool.give_back(storage);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_charged_while_somebody_has_it_and_used_again_afterwards() {
        let pool = Arc::new(Segments::default());
        let mut first = pool.take();
        let second = pool.take();
        assert_eq!(pool.used(), 2 * SEGMENT_SIZE);
        assert_eq!(first.fill(&vec![7; SEGMENT_SIZE + 5]), SEGMENT_SIZE);
        assert_eq!(first.fill(&[1]), 0);
        drop(first);
        assert_eq!(pool.used(), SEGMENT_SIZE);
        let again = pool.take();
        assert_eq!(again.bytes(), [0; 0], "what it held is not seen again");
        assert_eq!(pool.mapped.load(Ordering::Relaxed), 2);
        drop((second, again));
        assert_eq!(pool.used(), 0);
    }

    #[test]
    fn no_more_are_kept_than_the_bound_and_they_go_back_in_parts() {
        let pool = Arc::new(Segments::default());
        let mapped = || pool.mapped.load(Ordering::Relaxed);
        let all: Vec<Segment> = (0..SEGMENTS_KEPT_MAX + 5).map(|_| pool.take()).collect();
        drop(all);
        assert_eq!(mapped(), SEGMENTS_KEPT_MAX);
        let mut now = Instant::now();
        pool.trim(now);
        for left in (0..SEGMENTS_KEPT_MAX).rev().step_by(SEGMENTS_TRIMMED_MAX) {
            now += SEGMENTS_TRIM_PERIOD;
            pool.trim(now);
            assert_eq!(mapped(), left + 1 - SEGMENTS_TRIMMED_MAX);
        }
        assert_eq!(mapped(), 0);
    }

    #[test]
    fn what_is_not_needed_for_a_while_goes_back_to_the_system() {
        let pool = Arc::new(Segments::default());
        let mapped = || pool.mapped.load(Ordering::Relaxed);
        let all: Vec<Segment> = (0..10).map(|_| pool.take()).collect();
        drop(all);
        let mut now = Instant::now();
        let mut trim = || {
            now += SEGMENTS_TRIM_PERIOD;
            pool.trim(now);
            pool.trim(now);
        };
        trim();
        assert_eq!(mapped(), 10, "all of them were needed");
        let few: Vec<Segment> = (0..3).map(|_| pool.take()).collect();
        drop(few);
        trim();
        assert_eq!(mapped(), 3, "seven were not");
        trim();
        assert_eq!(mapped(), 0);
    }

    #[test]
    fn beyond_the_bound_on_mappings_segments_are_allocated() {
        let pool = Arc::new(Segments::default());
        pool.mapped.store(SEGMENTS_MAPPED_MAX, Ordering::Relaxed);
        let mut one = pool.take();
        assert_eq!(one.fill(&[1, 2]), 2);
        assert_eq!(one.bytes(), [1, 2]);
        assert_eq!(pool.used(), SEGMENT_SIZE);
        drop(one);
        assert_eq!(pool.mapped.load(Ordering::Relaxed), SEGMENTS_MAPPED_MAX);
        assert_eq!(pool.used(), 0);
    }
}
