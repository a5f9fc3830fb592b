//! Look-ups that go down their trees together, so that they wait for memory at the same time.
//!
//! ```text
//!   one by one    a ──▶ wait ──▶ wait ──▶ a's tuple    b ──▶ wait ──▶ wait ──▶ b's tuple
//!   together      a ──▶ b ──▶ … wait … ──▶ a ──▶ b ──▶ … wait … ──▶ both tuples
//! ```
//!
//! Nothing comes of it but that the nodes and tuples are in the processor's caches afterwards.

use std::hint::black_box;

use super::Tree;
use super::node::Node;
use crate::limits::LOOK_UPS_TOGETHER_MAX;
use crate::model::key::Key;

/// Look-ups that are to go down together.
#[derive(Default)]
pub(crate) struct Together<'t> {
    ways: [Option<Way<'t>>; LOOK_UPS_TOGETHER_MAX],
    len: usize,
}

/// A look-up, and how far down it is.
struct Way<'t> {
    node: &'t Node,
    key: Key,
}

impl<'t> Together<'t> {
    /// One more of them; those beyond the bound do not go down.
    pub(crate) fn add(&mut self, tree: &'t Tree, key: Key) {
        if let Some(way) = self.ways.get_mut(self.len) {
            *way = Some(Way {
                node: &tree.root,
                key,
            });
            self.len += 1;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Goes down, and looks at the tuples; how many keys were there.
    pub(crate) fn go(mut self) -> usize {
        let ways = &mut self.ways[..self.len];
        let mut goes_on = true;
        while goes_on {
            goes_on = false;
            for way in ways.iter_mut().flatten() {
                if let Node::Inner(inner) = way.node {
                    way.node = inner.child(inner.child_for(&way.key));
                    goes_on = true;
                }
            }
        }
        let found = |way: &Way<'_>| match way.node {
            Node::Leaf(leaf) => leaf.get(&way.key).is_some(),
            Node::Inner(_) => false,
        };
        black_box(ways.iter().flatten().filter(|way| found(way)).count())
    }
}
