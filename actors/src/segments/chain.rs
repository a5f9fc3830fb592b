//! Bytes in a chain of segments.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use super::pool::{Segment, Segments};
use crate::limits::SEGMENT_SIZE;

/// Bytes that are added at the end and taken from the front, whole segments of them at a time.
///
/// Invariant: no segment is empty, and of the first less than all is taken.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    segments: VecDeque<Segment>,
    /// Bytes that are not taken.
    len: usize,
    /// Bytes of the first segment that are taken.
    taken: usize,
}

impl Chain {
    /// Bytes that are not taken.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Memory that it takes, in bytes.
    #[inline]
    pub(crate) fn allocated(&self) -> usize {
        self.segments.len() * SEGMENT_SIZE
    }

    /// Adds bytes, in segments of this pool.
    pub(crate) fn push(&mut self, pool: &Arc<Segments>, mut bytes: &[u8]) {
        self.len += bytes.len();
        if let Some(last) = self.segments.back_mut() {
            bytes = &bytes[last.fill(bytes)..];
        }
        while !bytes.is_empty() {
            let mut segment = pool.take();
            bytes = &bytes[segment.fill(bytes)..];
            self.segments.push_back(segment);
        }
    }

    /// Adds another chain, whose segments become those of this one.
    pub(crate) fn append(&mut self, mut other: Self) {
        debug_assert_eq!(other.taken, 0, "nothing was taken from its front");
        self.len += other.len;
        self.segments.append(&mut other.segments);
    }

    /// Overwrites bytes near the front, of which nothing was taken: they lie in the first segment.
    pub(crate) fn patch(&mut self, at: usize, bytes: &[u8]) {
        if let Some(first) = self.segments.front_mut() {
            first.bytes_mut()[at..at + bytes.len()].copy_from_slice(bytes);
        }
    }

    /// Drops all but the first `len` bytes, which lie in the first segment, and of which nothing
    /// was taken.
    pub(crate) fn cut_to_head(&mut self, len: usize, pool: &Arc<Segments>) {
        let head = self.segments.front().map_or(Vec::new(), |first| {
            let bytes = first.bytes();
            bytes[..len.min(bytes.len())].to_vec()
        });
        *self = Self::default();
        self.push(pool, &head);
    }

    /// A copy of all.
    #[cfg(test)]
    pub(crate) fn content(&self) -> Vec<u8> {
        let all: Vec<u8> = self
            .segments
            .iter()
            .flat_map(|own| own.bytes().to_vec())
            .collect();
        let content = all[self.taken..].to_vec();
        assert_eq!(content.len(), self.len);
        content
    }

    /// Fills `slices` with what comes first; returns how many of them.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut skipped = self.taken;
        let mut count = 0;
        for (slice, segment) in slices.iter_mut().zip(&self.segments) {
            *slice = IoSlice::new(&segment.bytes()[skipped..]);
            skipped = 0;
            count += 1;
        }
        count
    }

    /// Takes this number of bytes from the front; returns how many of them were not here.
    pub(crate) fn advance(&mut self, mut bytes: usize) -> usize {
        while bytes > 0 {
            let Some(first) = self.segments.front() else {
                break;
            };
            let left = first.bytes().len() - self.taken;
            if bytes < left {
                self.taken += bytes;
                self.len -= bytes;
                return 0;
            }
            bytes -= left;
            self.len -= left;
            self.taken = 0;
            self.segments.pop_front();
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(chain: &Chain) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 64];
        let count = chain.slices(&mut slices);
        let bytes: Vec<u8> = slices[..count]
            .iter()
            .flat_map(|own| own.to_vec())
            .collect();
        assert!(bytes == chain.content());
        bytes
    }

    #[test]
    fn bytes_come_out_as_they_went_in_however_they_are_cut() {
        let pool = Arc::new(Segments::default());
        let bytes: Vec<u8> = (0..=250).cycle().take(5 * SEGMENT_SIZE + 17).collect();
        for (add, take) in [
            (1000, 77_777),
            (SEGMENT_SIZE, SEGMENT_SIZE),
            (100_001, 13_000),
        ] {
            let mut chain = Chain::default();
            bytes.chunks(add).for_each(|piece| chain.push(&pool, piece));
            assert_eq!(chain.allocated(), 6 * SEGMENT_SIZE);
            assert_eq!(pool.used(), chain.allocated());
            let mut at = 0;
            while !chain.is_empty() {
                assert_eq!(content(&chain), bytes[at..]);
                let taken = take.min(chain.len());
                assert_eq!(chain.advance(taken), 0);
                at += taken;
            }
            assert_eq!((at, chain.allocated(), pool.used()), (bytes.len(), 0, 0));
            assert_eq!(chain.advance(3), 3, "they are somebody else's");
        }
    }

    #[test]
    fn a_chain_is_appended_without_a_copy_and_what_follows_fills_its_last_segment() {
        let pool = Arc::new(Segments::default());
        let (mut chain, mut other) = (Chain::default(), Chain::default());
        chain.push(&pool, b"before");
        other.push(&pool, b"large");
        other.patch(1, b"AR");
        chain.append(other);
        chain.push(&pool, b"after");
        assert_eq!(content(&chain), b"beforelARgeafter");
        assert_eq!(chain.allocated(), 2 * SEGMENT_SIZE);
    }

    #[test]
    fn a_chain_that_begins_again_keeps_its_head_alone() {
        let pool = Arc::new(Segments::default());
        let mut chain = Chain::default();
        chain.push(&pool, b"head");
        chain.push(&pool, &vec![1; 3 * SEGMENT_SIZE]);
        chain.cut_to_head(4, &pool);
        chain.push(&pool, b"!");
        assert_eq!(content(&chain), b"head!");
        assert_eq!(pool.used(), SEGMENT_SIZE);
    }
}
