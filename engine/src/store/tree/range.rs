//! Walking over a tree between two bounds, leaf by leaf: where the range ends is looked for once in
//! each leaf, and not at each of its keys.

use std::ops::{self, Bound};

use smallvec::SmallVec;

use super::keys::Keys;
use super::node::{Inner, Leaf, Node};
use crate::model::key::{Key, KeyView};
use crate::model::tuple::Tuple;

/// Levels of inner nodes that a range keeps without an allocation: with nodes a quarter full, those
/// of a tree of two million tuples.
const LEVELS_INLINE: usize = 6;

/// Where a tuple stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TuplePlace<'a> {
    keys: &'a Keys,
    at: usize,
    pub(crate) tuple: &'a Tuple,
}

impl<'a> TuplePlace<'a> {
    /// The key that it stands under.
    pub(crate) fn key(&self) -> KeyView<'a> {
        self.keys.get(self.at)
    }
}

/// Tuples with their keys, in one direction.
#[derive(Debug)]
pub(crate) struct Range<'a> {
    /// From the root down to the leaf's parent, each with the number of the child below.
    path: SmallVec<[(&'a Inner, usize); LEVELS_INLINE]>,
    leaf: Option<&'a Leaf>,
    /// What of the leaf is inside the range and was not taken yet.
    places: ops::Range<usize>,
    /// The range ends in this leaf.
    is_last: bool,
    end: Bound<Key>,
    is_reverse: bool,
}

impl<'a> Range<'a> {
    pub(super) fn new(
        root: &'a Node,
        (lower, upper): (Bound<&Key>, Bound<&Key>),
        is_reverse: bool,
    ) -> Self {
        let (start, end) = if is_reverse {
            (upper, lower)
        } else {
            (lower, upper)
        };
        let end = end.cloned();
        let mut range = Self {
            path: SmallVec::new(),
            leaf: None,
            places: 0..0,
            is_last: false,
            end,
            is_reverse,
        };
        match start {
            Bound::Unbounded => range.descend(root),
            Bound::Included(key) => range.seek(root, key, !is_reverse),
            Bound::Excluded(key) => range.seek(root, key, is_reverse),
        }
        range
    }

    /// Goes to a key; `before` tells on which side of it to stand.
    fn seek(&mut self, mut node: &'a Node, key: &Key, before: bool) {
        loop {
            match node {
                Node::Inner(inner) => {
                    let child = inner.child_for(key);
                    self.path.push((inner, child));
                    node = inner.child(child);
                }
                Node::Leaf(leaf) => {
                    let (below, is_there) = leaf.keys.find(key);
                    return self.enter(leaf, below + usize::from(is_there && !before));
                }
            }
        }
    }

    /// Goes to the first leaf of a node, or to its last one.
    fn descend(&mut self, mut node: &'a Node) {
        loop {
            match node {
                Node::Inner(inner) => {
                    let child = if self.is_reverse { inner.len() - 1 } else { 0 };
                    self.path.push((inner, child));
                    node = inner.child(child);
                }
                Node::Leaf(leaf) => {
                    let at = if self.is_reverse { leaf.keys.len() } else { 0 };
                    return self.enter(leaf, at);
                }
            }
        }
    }

    /// Takes what of a leaf is inside the range, from this place on: going down, those before it.
    #[inline]
    fn enter(&mut self, leaf: &'a Leaf, at: usize) {
        let keys = &leaf.keys;
        let farthest = if self.is_reverse {
            0
        } else {
            keys.len().saturating_sub(1)
        };
        self.is_last = keys.len() > 0 && self.is_beyond_end(keys, farthest);
        let stop = match &self.end {
            Bound::Included(end) | Bound::Excluded(end) if self.is_last => {
                let (below, is_there) = keys.find(end);
                let takes_end = matches!(self.end, Bound::Included(_));
                below + usize::from(is_there && takes_end != self.is_reverse)
            }
            _ if self.is_reverse => 0,
            _ => keys.len(),
        };
        self.places = if self.is_reverse { stop..at } else { at..stop };
        self.leaf = Some(leaf);
    }

    /// Goes to the next leaf.
    fn go_on(&mut self) -> Option<()> {
        if self.is_last {
            return None;
        }
        self.leaf = None;
        loop {
            let (inner, child) = self.path.pop()?;
            let next = if self.is_reverse {
                child.checked_sub(1)
            } else {
                Some(child + 1)
            };
            if let Some(next) = next.filter(|next| *next < inner.len()) {
                self.path.push((inner, next));
                self.descend(inner.child(next));
                return Some(());
            }
        }
    }

    #[inline]
    fn is_beyond_end(&self, keys: &Keys, at: usize) -> bool {
        match (&self.end, self.is_reverse) {
            (Bound::Unbounded, _) => false,
            (Bound::Included(end), false) => keys.compare(at, end).is_gt(),
            (Bound::Excluded(end), false) => keys.compare(at, end).is_ge(),
            (Bound::Included(end), true) => keys.compare(at, end).is_lt(),
            (Bound::Excluded(end), true) => keys.compare(at, end).is_le(),
        }
    }
}

impl<'a> Range<'a> {
    /// Where the next tuple stands.
    #[inline]
    pub(crate) fn next_place(&mut self) -> Option<TuplePlace<'a>> {
        loop {
            let leaf = self.leaf?;
            let at = if self.is_reverse {
                self.places.next_back()
            } else {
                self.places.next()
            };
            if let Some(at) = at {
                let keys = &leaf.keys;
                return leaf.tuple(at).map(|tuple| TuplePlace { keys, at, tuple });
            }
            self.go_on()?;
        }
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = (KeyView<'a>, &'a Tuple);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let place = self.next_place()?;
        Some((place.key(), place.tuple))
    }
}
