//! Ranges of keys by where they begin, and by how far they reach.
//!
//! ```text
//!   order      ├──a──┤  ├─b─┤ ├────c────┤        a treap: by lower edge, and a heap by chance
//!   reach      the farthest upper edge of a node and all below it
//!
//!   who has seen k?  nobody below a node whose reach is before k, and nobody right of k
//! ```
//!
//! So a look-up that finds nothing passes one path, and one that finds some a path for each.

use std::hash::{BuildHasher, Hasher};

use crate::model::key::Key;
use crate::transaction::edge::{Edge, Edges, IntervalId};

const NONE: IntervalId = IntervalId::MAX;

/// Ranges that transactions have seen of one index.
#[derive(Debug)]
pub(super) struct Intervals {
    nodes: Vec<Interval>,
    free: Vec<IntervalId>,
    root: IntervalId,
    /// Of the next priority.
    seed: u64,
    #[cfg(test)]
    pub(super) steps: std::cell::Cell<u64>,
}

#[derive(Debug)]
pub(super) struct Interval {
    pub(super) lower: Edge,
    pub(super) upper: Edge,
    pub(super) owner: u64,
    /// Above those with a lower one.
    priority: u32,
    left: IntervalId,
    right: IntervalId,
    /// Who reaches farthest, of itself and all below it.
    reach: IntervalId,
}

impl Default for Intervals {
    fn default() -> Self {
        let chance = std::collections::hash_map::RandomState::new();
        Self {
            nodes: Vec::new(),
            free: Vec::new(),
            root: NONE,
            seed: chance.build_hasher().finish() | 1,
            #[cfg(test)]
            steps: std::cell::Cell::default(),
        }
    }
}

impl Intervals {
    pub(super) fn is_empty(&self) -> bool {
        self.root == NONE
    }

    /// An interval that was not removed.
    pub(super) fn get(&self, id: IntervalId) -> &Interval {
        &self.nodes[id as usize]
    }

    /// Adds one; those of one owner do not overlap.
    pub(super) fn insert(&mut self, (lower, upper): Edges, owner: u64) -> IntervalId {
        let interval = Interval {
            lower,
            upper,
            owner,
            priority: self.chance(),
            left: NONE,
            right: NONE,
            reach: NONE,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.nodes[id as usize] = interval;
                id
            }
            None => {
                self.nodes.push(interval);
                (self.nodes.len() - 1) as IntervalId
            }
        };
        self.nodes[id as usize].reach = id;
        self.root = self.insert_below(self.root, id);
        id
    }

    /// Removes one, if it is there and this owner's still. Returns what its keys took, in bytes.
    pub(super) fn remove(&mut self, id: IntervalId, owner: u64) -> Option<usize> {
        let own = self.nodes.get(id as usize);
        let own = own.filter(|own| own.owner == owner && own.reach != NONE)?;
        let bytes = own.lower.heap_bytes() + own.upper.heap_bytes();
        self.root = self.remove_below(self.root, id);
        let own = &mut self.nodes[id as usize];
        // The keys are not needed any more; no reach says that it is free.
        (own.lower, own.upper, own.reach) = (Edge::End, Edge::End, NONE);
        self.free.push(id);
        if self.is_empty() {
            (self.nodes, self.free) = (Vec::new(), Vec::new());
        }
        Some(bytes)
    }

    /// Tells every interval that a key is in.
    pub(super) fn find(&self, key: &Key, found: &mut impl FnMut(IntervalId, u64)) {
        self.find_below(self.root, key, found);
    }

    fn find_below(&self, at: IntervalId, key: &Key, found: &mut impl FnMut(IntervalId, u64)) {
        if at == NONE {
            return;
        }
        #[cfg(test)]
        self.steps.set(self.steps.get() + 1);
        let own = self.get(at);
        if !self.get(own.reach).upper.is_beyond(key) {
            return;
        }
        self.find_below(own.left, key, found);
        if own.lower.is_beyond(key) {
            return;
        }
        if own.upper.is_beyond(key) {
            found(at, own.owner);
        }
        self.find_below(own.right, key, found);
    }

    fn is_before(&self, one: IntervalId, other: IntervalId) -> bool {
        let (one, other) = (self.get(one), self.get(other));
        (&one.lower, one.owner) < (&other.lower, other.owner)
    }

    fn insert_below(&mut self, at: IntervalId, id: IntervalId) -> IntervalId {
        if at == NONE {
            return id;
        }
        if self.get(id).priority > self.get(at).priority {
            let (left, right) = self.split(at, id);
            let own = &mut self.nodes[id as usize];
            (own.left, own.right) = (left, right);
            self.renew(id);
            return id;
        }
        if self.is_before(id, at) {
            self.nodes[at as usize].left = self.insert_below(self.get(at).left, id);
        } else {
            self.nodes[at as usize].right = self.insert_below(self.get(at).right, id);
        }
        self.renew(at);
        at
    }

    /// Parts what is below a node into what is before an interval, and what is after it.
    fn split(&mut self, at: IntervalId, by: IntervalId) -> (IntervalId, IntervalId) {
        if at == NONE {
            return (NONE, NONE);
        }
        if self.is_before(at, by) {
            let (left, right) = self.split(self.get(at).right, by);
            self.nodes[at as usize].right = left;
            self.renew(at);
            (at, right)
        } else {
            let (left, right) = self.split(self.get(at).left, by);
            self.nodes[at as usize].left = right;
            self.renew(at);
            (left, at)
        }
    }

    fn remove_below(&mut self, at: IntervalId, id: IntervalId) -> IntervalId {
        if at == NONE {
            return NONE;
        }
        if at == id {
            return self.join(self.get(at).left, self.get(at).right);
        }
        if self.is_before(id, at) {
            self.nodes[at as usize].left = self.remove_below(self.get(at).left, id);
        } else {
            self.nodes[at as usize].right = self.remove_below(self.get(at).right, id);
        }
        self.renew(at);
        at
    }

    /// Joins two parts, the first of them before the second.
    fn join(&mut self, left: IntervalId, right: IntervalId) -> IntervalId {
        if left == NONE || right == NONE {
            return if left == NONE { right } else { left };
        }
        if self.get(left).priority > self.get(right).priority {
            self.nodes[left as usize].right = self.join(self.get(left).right, right);
            self.renew(left);
            left
        } else {
            self.nodes[right as usize].left = self.join(left, self.get(right).left);
            self.renew(right);
            right
        }
    }

    /// Finds out how far a node reaches, after what is below it has changed.
    fn renew(&mut self, at: IntervalId) {
        let own = self.get(at);
        let mut reach = at;
        for below in [own.left, own.right] {
            if below != NONE {
                let far = self.get(below).reach;
                if self.get(far).upper > self.get(reach).upper {
                    reach = far;
                }
            }
        }
        self.nodes[at as usize].reach = reach;
    }

    /// Numbers that nobody can guess, so that nobody makes the tree deep.
    fn chance(&mut self) -> u32 {
        // Xorshift.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 32) as u32
    }
}

#[cfg(test)]
impl Intervals {
    pub(super) fn len(&self) -> usize {
        self.nodes.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Bound;

    use proptest::prelude::*;

    use super::*;

    fn key(number: u8) -> Key {
        Key::from_bytes(&[number])
    }

    fn bound() -> impl Strategy<Value = Bound<Key>> {
        prop_oneof![
            1 => Just(Bound::Unbounded),
            4 => (0u8..40).prop_map(|number| Bound::Included(key(number))),
            4 => (0u8..40).prop_map(|number| Bound::Excluded(key(number))),
        ]
    }

    proptest! {
        #[test]
        fn it_finds_what_looking_at_all_of_them_finds(
            ranges in prop::collection::vec((bound(), bound(), any::<bool>()), 0..60),
        ) {
            use std::ops::RangeBounds;
            let (mut intervals, mut all) = (Intervals::default(), Vec::new());
            for (owner, (lower, upper, is_one_removed)) in (0u64..).zip(ranges) {
                let edges = (Edge::lower(lower.clone()), Edge::upper(upper.clone()));
                let id = intervals.insert(edges, owner);
                all.push((id, owner, (lower, upper)));
                if is_one_removed {
                    let (id, owner, _) = all.swap_remove(owner as usize * 7 % all.len());
                    prop_assert!(intervals.remove(id, owner).is_some());
                    prop_assert!(intervals.remove(id, owner).is_none());
                }
            }
            for number in 0..40 {
                let mut found = Vec::new();
                intervals.find(&key(number), &mut |id, owner| found.push((id, owner)));
                let mut expected: Vec<_> = all
                    .iter()
                    .filter(|(_, _, range)| range.contains(&key(number)))
                    .map(|(id, owner, _)| (*id, *owner))
                    .collect();
                found.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(found, expected);
            }
            for (id, owner, _) in all {
                prop_assert!(intervals.remove(id, owner).is_some());
            }
            prop_assert!(intervals.is_empty());
        }
    }
}
