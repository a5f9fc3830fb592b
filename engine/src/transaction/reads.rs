//! What a transaction has seen: keys, and ranges of keys with what was not there.
//!
//! ```text
//!   index ─┬ points   keys that were looked up or written
//!          ├ ranges   what scans walked over, up to where they stopped
//!          └ whole    instead of both, once there are too many of them
//! ```
//!
//! The whole is a coarser truth, never a wrong one: it can only find more conflicts.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, RangeBounds};

use crate::limits::{
    TRANSACTION_CHANGE_BYTES, TRANSACTION_POINTS_MAX, TRANSACTION_RANGES_MAX,
    TRANSACTION_SEEN_BYTES_MAX,
};
use crate::model::key::Key;

/// Two bounds.
pub(crate) type KeyBounds = (Bound<Key>, Bound<Key>);

/// Everything that a transaction has seen.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// By space and index.
    indexes: BTreeMap<(u32, u32), Seen>,
    /// Points of all indexes.
    points: usize,
    /// What all of it takes, about.
    bytes: usize,
    has_catalog: bool,
}

/// What was seen of one index.
#[derive(Debug, Default)]
struct Seen {
    points: BTreeSet<Key>,
    ranges: Vec<KeyBounds>,
    bytes: usize,
    is_whole: bool,
}

impl Reads {
    /// One key was looked up, whether it was there or not.
    pub(crate) fn add_point(&mut self, space: u32, index: u32, key: &Key) {
        let seen = self.indexes.entry((space, index)).or_default();
        if seen.is_whole || seen.points.contains(key) {
            return;
        }
        let bytes = TRANSACTION_CHANGE_BYTES + key.size();
        let is_full = self.bytes + bytes > TRANSACTION_SEEN_BYTES_MAX;
        if is_full || self.points >= TRANSACTION_POINTS_MAX {
            self.points -= seen.points.len();
            self.bytes -= seen.bytes;
            return seen.widen();
        }
        seen.points.insert(key.clone());
        seen.bytes += bytes;
        self.points += 1;
        self.bytes += bytes;
    }

    /// A range was walked over.
    pub(crate) fn add_range(&mut self, space: u32, index: u32, range: KeyBounds) {
        let seen = self.indexes.entry((space, index)).or_default();
        if seen.is_whole || seen.ranges.contains(&range) {
            return;
        }
        let is_everything = range == (Bound::Unbounded, Bound::Unbounded);
        let bytes = TRANSACTION_CHANGE_BYTES + size(&range.0) + size(&range.1);
        let is_full = self.bytes + bytes > TRANSACTION_SEEN_BYTES_MAX
            || seen.ranges.len() >= TRANSACTION_RANGES_MAX;
        if is_everything || is_full {
            self.points -= seen.points.len();
            self.bytes -= seen.bytes;
            return seen.widen();
        }
        seen.ranges.push(range);
        seen.bytes += bytes;
        self.bytes += bytes;
    }

    /// What all of it takes, in bytes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// There is no room: everything that was looked into is seen as a whole.
    pub(crate) fn widen(&mut self) {
        self.indexes.values_mut().for_each(Seen::widen);
        (self.points, self.bytes) = (0, 0);
    }

    /// The catalog was read: any change of definitions changes it.
    pub(crate) fn add_catalog(&mut self) {
        self.has_catalog = true;
    }

    pub(crate) fn has_catalog(&self) -> bool {
        self.has_catalog
    }

    /// Whether a change of this key would have been seen.
    pub(crate) fn contains(&self, space: u32, index: u32, key: &Key) -> bool {
        let seen = self.indexes.get(&(space, index));
        seen.is_some_and(|seen| seen.contains(key))
    }

    /// Whether anything of the space was seen.
    pub(crate) fn touches(&self, space: u32) -> bool {
        let mut indexes = self.indexes.range((space, 0)..=(space, u32::MAX));
        indexes.next().is_some()
    }
}

fn size(bound: &Bound<Key>) -> usize {
    match bound {
        Bound::Included(key) | Bound::Excluded(key) => key.size(),
        Bound::Unbounded => 0,
    }
}

impl Seen {
    fn contains(&self, key: &Key) -> bool {
        self.is_whole
            || self.points.contains(key)
            || self.ranges.iter().any(|range| range.contains(key))
    }

    fn widen(&mut self) {
        *self = Self {
            is_whole: true,
            ..Self::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> Key {
        Key::from_bytes(&number.to_be_bytes())
    }

    #[test]
    fn points_and_ranges_are_told_from_what_is_beside_them() {
        let mut reads = Reads::default();
        reads.add_point(512, 0, &key(5));
        reads.add_range(512, 1, (Bound::Included(key(2)), Bound::Excluded(key(4))));
        assert!(reads.contains(512, 0, &key(5)));
        assert!(!reads.contains(512, 0, &key(6)) && !reads.contains(513, 0, &key(5)));
        assert!(reads.contains(512, 1, &key(2)) && reads.contains(512, 1, &key(3)));
        assert!(!reads.contains(512, 1, &key(4)) && !reads.contains(512, 0, &key(2)));
        assert!(reads.touches(512) && !reads.touches(511) && !reads.touches(513));
    }

    #[test]
    fn too_many_points_or_ranges_become_the_whole_index() {
        let mut reads = Reads::default();
        for number in 0..=TRANSACTION_POINTS_MAX as u64 {
            assert!(!reads.contains(512, 0, &key(u64::MAX)));
            reads.add_point(512, 0, &key(number));
        }
        assert!(reads.contains(512, 0, &key(u64::MAX)) && reads.points == 0);
        reads.add_point(512, 1, &key(1));
        for number in 0..=TRANSACTION_RANGES_MAX as u64 {
            assert!(!reads.contains(512, 1, &key(u64::MAX)));
            let bound = Bound::Included(key(number));
            reads.add_range(512, 1, (bound.clone(), bound));
        }
        assert!(reads.contains(512, 1, &key(u64::MAX)));
        assert!(reads.points == 0 && reads.bytes() == 0);
    }

    #[test]
    fn long_keys_become_the_whole_index_earlier() {
        let mut reads = Reads::default();
        let long =
            |number: u64| Key::from_bytes(&[&[b'x'; 1 << 16], &number.to_be_bytes()[..]].concat());
        for number in 0.. {
            reads.add_point(512, 0, &long(number));
            assert!(reads.bytes() <= TRANSACTION_SEEN_BYTES_MAX);
            if reads.bytes() == 0 {
                assert!(number > 100 && reads.contains(512, 0, &long(u64::MAX)));
                break;
            }
        }
    }

    #[test]
    fn without_room_all_that_was_looked_into_is_whole() {
        let mut reads = Reads::default();
        reads.add_point(512, 0, &key(1));
        reads.add_point(513, 1, &key(1));
        reads.widen();
        assert!(reads.contains(512, 0, &key(2)) && reads.contains(513, 1, &key(2)));
        assert!(!reads.contains(512, 1, &key(2)) && reads.bytes() == 0);
    }
}
