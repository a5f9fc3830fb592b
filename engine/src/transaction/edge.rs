//! Places between keys, and ranges from one to another.
//!
//! ```text
//!     before k │ k │ beyond k        [k, l) is what is between "before k" and "before l"
//! ```

use std::ops::Bound;

use crate::model::key::Key;

/// A place between keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Edge {
    /// Before a key, or beyond it.
    At(Key, bool),
    /// Beyond all keys.
    End,
}

/// The edges of a range.
pub(super) type Edges = (Edge, Edge);

/// The number of an interval, until it is removed.
pub(super) type IntervalId = u32;

impl Edge {
    pub(super) fn lower(bound: Bound<Key>) -> Self {
        match bound {
            Bound::Included(key) => Self::At(key, false),
            Bound::Excluded(key) => Self::At(key, true),
            Bound::Unbounded => Self::At(Key::from_bytes(&[]), false),
        }
    }

    pub(super) fn upper(bound: Bound<Key>) -> Self {
        match bound {
            Bound::Included(key) => Self::At(key, true),
            Bound::Excluded(key) => Self::At(key, false),
            Bound::Unbounded => Self::End,
        }
    }

    /// Whether it is beyond a key.
    pub(super) fn is_beyond(&self, key: &Key) -> bool {
        match self {
            Self::At(own, is_beyond) => own > key || (*is_beyond && own == key),
            Self::End => true,
        }
    }

    /// What it takes beside its own place, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::At(key, _) => key.heap_bytes(),
            Self::End => 0,
        }
    }
}
