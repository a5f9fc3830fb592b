//! What a transaction has seen: keys, and ranges of keys with what was not there.
//!
//! ```text
//!   index ─┬ points   keys that were looked up or written
//!          ├ ranges   what scans walked over, up to where they stopped
//!          └ whole    instead of both, once there are too many of them
//! ```
//!
//! The whole is a coarser truth, never a wrong one: it can only find more conflicts. While a
//! statement is executed, what it sees is noted here; when it is over, the readers of all
//! transactions hear of it.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::edge::{Edge, Edges, IntervalId};
use crate::model::key::Key;

/// Two bounds.
pub(crate) type KeyBounds = (Bound<Key>, Bound<Key>);

/// Everything that a transaction has seen.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// The transaction, by a number that no other ever has.
    pub(super) owner: u64,
    /// By space and index.
    pub(super) indexes: BTreeMap<(u32, u32), Seen>,
    /// What the statement at hand sees.
    pub(super) fresh: Vec<Look>,
    /// Points of all indexes.
    pub(super) points: usize,
    /// What all of it takes, about.
    pub(super) bytes: usize,
    has_catalog: bool,
}

/// What was seen of one index, as the readers of all transactions have it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) points: Vec<Key>,
    /// In order; none overlaps or touches another.
    pub(super) ranges: Vec<IntervalId>,
    pub(super) is_whole: bool,
}

/// Something that a statement saw, of one index.
#[derive(Debug)]
pub(super) enum Look {
    Point((u32, u32), Key),
    Range((u32, u32), Edges),
    Whole((u32, u32)),
}

impl Seen {
    pub(super) fn len(&self) -> usize {
        self.points.len() + self.ranges.len()
    }
}

impl Reads {
    pub(super) fn of(owner: u64) -> Self {
        Self {
            owner,
            ..Self::default()
        }
    }

    /// One key was looked up, whether it was there or not.
    pub(crate) fn add_point(&mut self, space: u32, index: u32, key: &Key) {
        self.fresh.push(Look::Point((space, index), key.clone()));
    }

    /// A range was walked over.
    pub(crate) fn add_range(&mut self, space: u32, index: u32, (lower, upper): KeyBounds) {
        let index = (space, index);
        self.fresh.push(match (&lower, &upper) {
            (Bound::Unbounded, Bound::Unbounded) => Look::Whole(index),
            _ => Look::Range(index, (Edge::lower(lower), Edge::upper(upper))),
        });
    }

    /// What all of it takes, in bytes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The catalog was read: any change of definitions changes it.
    pub(crate) fn add_catalog(&mut self) {
        self.has_catalog = true;
    }

    pub(crate) fn has_catalog(&self) -> bool {
        self.has_catalog
    }

    /// Whether anything of the space was seen.
    pub(crate) fn touches(&self, space: u32) -> bool {
        let mut indexes = self.indexes.range((space, 0)..=(space, u32::MAX));
        indexes.next().is_some()
    }
}
