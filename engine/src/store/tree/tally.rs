//! What a tree takes, counted while it changes.

use crate::model::tuple::Tuple;

/// Sums over a tree, in bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Nodes with the keys in them, as allocated.
    pub(crate) nodes: usize,
    /// Tuples beside the nodes, as allocated. The indexes of a space share them.
    pub(crate) tuples: usize,
    /// The tuples themselves.
    pub(crate) contents: usize,
    /// Nodes that older versions of the tree were left with, from the beginning.
    pub(crate) left_behind: u64,
}

impl Tally {
    #[inline]
    pub(super) fn add(&mut self, tuple: &Tuple) {
        self.tuples += tuple.heap_bytes();
        self.contents += tuple.len();
    }

    #[inline]
    pub(super) fn subtract(&mut self, tuple: &Tuple) {
        self.tuples -= tuple.heap_bytes();
        self.contents -= tuple.len();
    }

    pub(super) fn leave_behind(&mut self, bytes: usize) {
        self.left_behind += bytes as u64;
    }
}
