//! Walking over a tree between two bounds.

use std::ops::Bound;

use super::node::{Inner, Leaf, Node};
use crate::model::key::{Key, KeyView};
use crate::model::tuple::Tuple;

/// Tuples with their keys, in one direction.
#[derive(Debug)]
pub(crate) struct Range<'a> {
    /// From the root down to the leaf's parent, each with the number of the child below.
    path: Vec<(&'a Inner, usize)>,
    leaf: Option<&'a Leaf>,
    /// Going up: the next key. Going down: one more than the next key.
    at: usize,
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
            path: Vec::new(),
            leaf: None,
            at: 0,
            end,
            is_reverse,
        };
        match start {
            Bound::Unbounded => range.descend(root),
            Bound::Included(key) => range.seek(root, key.view(), !is_reverse),
            Bound::Excluded(key) => range.seek(root, key.view(), is_reverse),
        }
        range
    }

    /// Goes to a key; `before` tells on which side of it to stand.
    fn seek(&mut self, mut node: &'a Node, key: KeyView<'_>, before: bool) {
        loop {
            match node {
                Node::Inner(inner) => {
                    let child = inner.child_for(key);
                    self.path.push((inner, child));
                    node = inner.child(child);
                }
                Node::Leaf(leaf) => {
                    let (below, is_there) = leaf.keys.find(key);
                    self.at = below + usize::from(is_there && !before);
                    self.leaf = Some(leaf);
                    return;
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
                    self.at = if self.is_reverse { leaf.keys.len() } else { 0 };
                    self.leaf = Some(leaf);
                    return;
                }
            }
        }
    }

    /// Goes to the next leaf.
    fn go_on(&mut self) -> Option<()> {
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
    fn is_beyond_end(&self, key: KeyView<'_>) -> bool {
        match (&self.end, self.is_reverse) {
            (Bound::Unbounded, _) => false,
            (Bound::Included(end), false) => key > end.view(),
            (Bound::Excluded(end), false) => key >= end.view(),
            (Bound::Included(end), true) => key < end.view(),
            (Bound::Excluded(end), true) => key <= end.view(),
        }
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = (KeyView<'a>, &'a Tuple);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let leaf = self.leaf?;
            let at = if self.is_reverse {
                self.at.checked_sub(1)
            } else {
                Some(self.at).filter(|at| *at < leaf.keys.len())
            };
            let Some(at) = at else {
                self.go_on()?;
                continue;
            };
            let key = leaf.keys.get(at);
            if self.is_beyond_end(key) {
                self.leaf = None;
                return None;
            }
            self.at = if self.is_reverse { at } else { at + 1 };
            return leaf.tuple(at).map(|tuple| (key, tuple));
        }
    }
}
