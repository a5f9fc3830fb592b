//! Trees from keys that come in order: node by node from the left, each of them full.
//!
//! ```text
//!   levels   [inner 2]            full ones go up, to where their parent is
//!            [inner 1]
//!   leaf     [k, k, k, …]   ◀── push
//! ```

use std::sync::Arc;

use super::Tree;
use super::node::{INNER, Inner, LEAF, Leaf, Node};
use super::tally::Tally;
use crate::model::key::Key;
use crate::model::tuple::Tuple;

/// A tree that grows at its right edge.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    leaf: Leaf,
    /// The first key of the leaf, which parts it from what is to its left.
    first: Option<Key>,
    /// The rightmost inner nodes from the bottom up, each with the key before it.
    levels: Vec<(Key, Inner)>,
    last: Option<Key>,
    len: usize,
    tally: Tally,
}

/// A key that is not beyond the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutOfOrder;

impl Builder {
    /// Adds a tuple to the right of all others.
    ///
    /// # Errors
    ///
    /// [`OutOfOrder`]; nothing is added then.
    pub(crate) fn push(&mut self, key: Key, tuple: Tuple) -> Result<(), OutOfOrder> {
        if self.last.as_ref().is_some_and(|last| *last >= key) {
            return Err(OutOfOrder);
        }
        if self.leaf.is_full() {
            let full = self.take_leaf();
            let first = self.first.replace(key.clone());
            self.add(0, first.unwrap_or_else(|| key.clone()), full);
        } else if self.first.is_none() {
            self.first = Some(key.clone());
        }
        self.last = Some(key.clone());
        self.leaf.push(key, tuple, &mut self.tally);
        self.len += 1;
        Ok(())
    }

    fn take_leaf(&mut self) -> Node {
        self.tally.nodes += LEAF;
        Node::Leaf(Arc::new(std::mem::take(&mut self.leaf)))
    }

    /// Adds a node, before which this key stands, to the inner node of a level.
    fn add(&mut self, level: usize, before: Key, node: Node) {
        let Some((first, inner)) = self.levels.get_mut(level) else {
            self.tally.nodes += INNER;
            self.levels.push((before, Inner::of(node)));
            return;
        };
        if !inner.is_full() {
            inner.push(before, node, &mut self.tally);
            return;
        }
        self.tally.nodes += INNER;
        let full = std::mem::replace(inner, Inner::of(node));
        let first = std::mem::replace(first, before);
        self.add(level + 1, first, Node::Inner(Arc::new(full)));
    }

    /// The tree.
    pub(crate) fn finish(mut self) -> Tree {
        let mut root = self.take_leaf();
        let mut before = self.first.take();
        let mut level = 0;
        while level < self.levels.len() {
            if let Some(before) = before.take() {
                self.add(level, before, root);
            }
            let (first, inner) = &mut self.levels[level];
            before = Some(first.clone());
            root = Node::Inner(Arc::new(inner.clone()));
            level += 1;
        }
        Tree {
            root,
            len: self.len,
            tally: self.tally,
        }
    }
}
