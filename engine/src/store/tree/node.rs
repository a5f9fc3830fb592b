//! Nodes: searching, splitting, merging.
//!
//! ```text
//!   inner   children   c0      c1      c2
//!           keys           k0      k1          k0 ≤ every key of c1 < k1
//! ```
//!
//! A full node is split in the middle, or at its end if the new key goes there: rows that arrive in
//! order leave full nodes behind. A node that has become small is joined with a neighbor if both
//! leave room.
//!
//! A node may be shared with older versions of the tree. One that is gets copied before it is
//! changed, and the versions keep it; one that is not is changed in place.

use std::sync::Arc;

use super::keys::Keys;
use super::tails::WIDTH;
use super::tally::Tally;
use crate::model::key::Key;
use crate::model::memory::{ARC_HEAD, allocated};
use crate::model::tuple::Tuple;

/// A leaf without its tails, in bytes.
pub(super) const LEAF: usize = allocated(ARC_HEAD + size_of::<Leaf>());
/// An inner node without its tails, in bytes.
pub(super) const INNER: usize = allocated(ARC_HEAD + size_of::<Inner>());
/// A node with fewer looks for a neighbor to join.
const SMALL: usize = WIDTH / 4;
/// Two neighbors with no more than this together are joined.
const JOINED_MAX: usize = WIDTH * 3 / 4;

/// The tuples with their keys.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub(super) keys: Keys,
    /// As many as there are keys.
    tuples: [Option<Tuple>; WIDTH],
}

/// Nodes with the keys that part them.
#[derive(Debug, Clone)]
pub(super) struct Inner {
    pub(super) keys: Keys,
    /// One more than keys.
    children: [Option<Node>; WIDTH],
}

/// A node, perhaps shared with older versions of the tree. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Leaf(Arc<Leaf>),
    Inner(Arc<Inner>),
}

/// A node of one kind.
trait OwnedBytes: Clone {
    /// What it takes, without the tuples beside it and its children.
    fn bytes(&self) -> usize;
}

/// The node, to be changed: in place, or else a copy of it from here on.
#[inline]
fn own<'n, T: OwnedBytes>(node: &'n mut Arc<T>, tally: &mut Tally) -> &'n mut T {
    let before = Arc::as_ptr(node);
    let own = Arc::make_mut(node);
    if !std::ptr::eq(before, own) {
        tally.leave_behind(own.bytes());
    }
    own
}

/// The node, to be taken apart.
fn take<T: OwnedBytes>(node: Arc<T>, tally: &mut Tally) -> T {
    Arc::try_unwrap(node).unwrap_or_else(|shared| {
        tally.leave_behind(shared.bytes());
        T::clone(&shared)
    })
}

/// What became of an insertion.
pub(super) enum Added {
    Replaced(Tuple),
    Fitted,
    /// The node was full: this one stands to its right, and all its keys are at or beyond the key.
    Split(Key, Node),
}

impl Default for Leaf {
    fn default() -> Self {
        Self::new(Keys::new())
    }
}

/// Where a full leaf is split for a new key at this place; `is_last` if it is the tree's last leaf.
/// Keys in order leave full leaves behind. Within the tree they leave a quarter free: keys that go
/// down from the next leaf on, or some up at a time, would come to a full one again and again, and
/// have a leaf for each, or for each two.
fn split_point(at: usize, is_last: bool) -> usize {
    match (at, is_last) {
        (WIDTH, true) => WIDTH,
        (WIDTH, false) => WIDTH - WIDTH / 4,
        _ => WIDTH / 2,
    }
}

impl Leaf {
    pub(super) fn is_full(&self) -> bool {
        self.keys.len() == WIDTH
    }

    /// Adds a tuple whose key is beyond all others; there must be room.
    pub(super) fn push(&mut self, key: Key, tuple: Tuple, tally: &mut Tally) {
        let at = self.keys.len();
        tally.add(&tuple);
        self.tuples[at] = Some(tuple);
        self.keys.insert(at, key, tally);
    }

    fn new(keys: Keys) -> Self {
        Self {
            keys,
            tuples: [const { None }; WIDTH],
        }
    }

    #[inline]
    pub(super) fn tuple(&self, at: usize) -> Option<&Tuple> {
        self.tuples[at].as_ref()
    }

    /// The tuple with this key.
    #[inline]
    pub(super) fn get(&self, key: &Key) -> Option<&Tuple> {
        let (at, is_there) = self.keys.find(key);
        if is_there { self.tuple(at) } else { None }
    }

    fn insert(&mut self, key: Key, tuple: Tuple, is_last: bool, tally: &mut Tally) -> Added {
        let (at, is_there) = self.keys.find(&key);
        if is_there {
            let old = self.tuples[at].replace(tuple);
            return old.map_or(Added::Fitted, Added::Replaced);
        }
        if self.keys.len() < WIDTH {
            self.put(at, key, tuple, tally);
            return Added::Fitted;
        }
        let middle = split_point(at, is_last);
        tally.nodes += LEAF;
        let mut right = Self::new(self.keys.split_off(middle, tally));
        for (to, from) in right.tuples.iter_mut().zip(&mut self.tuples[middle..]) {
            *to = from.take();
        }
        if at > middle || middle == WIDTH {
            right.put(at - middle, key, tuple, tally);
        } else {
            self.put(at, key, tuple, tally);
        }
        Added::Split(right.keys.get(0).to_key(), Node::Leaf(Arc::new(right)))
    }

    fn put(&mut self, at: usize, key: Key, tuple: Tuple, tally: &mut Tally) {
        self.tuples[at..=self.keys.len()].rotate_right(1);
        self.tuples[at] = Some(tuple);
        self.keys.insert(at, key, tally);
    }

    fn remove(&mut self, key: &Key, tally: &mut Tally) -> Option<Tuple> {
        let (at, is_there) = self.keys.find(key);
        if !is_there {
            return None;
        }
        self.keys.remove(at, tally);
        let removed = self.tuples[at].take();
        self.tuples[at..=self.keys.len()].rotate_left(1);
        removed
    }

    fn append(&mut self, mut right: Self, tally: &mut Tally) {
        let free = &mut self.tuples[self.keys.len()..];
        for (to, from) in free.iter_mut().zip(&mut right.tuples[..right.keys.len()]) {
            *to = from.take();
        }
        tally.nodes -= LEAF;
        self.keys.append(right.keys, tally);
    }
}

impl Inner {
    fn new(keys: Keys) -> Self {
        Self {
            keys,
            children: [const { None }; WIDTH],
        }
    }

    /// The parent of one node.
    pub(super) fn of(child: Node) -> Self {
        let mut own = Self::new(Keys::new());
        own.children[0] = Some(child);
        own
    }

    /// How many children it has.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.keys.len() + 1
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() == WIDTH
    }

    /// A child by its number, which is below `len`.
    #[inline]
    pub(super) fn child(&self, at: usize) -> &Node {
        self.children[at]
            .as_ref()
            .expect("one child more than keys")
    }

    #[inline]
    fn child_mut(&mut self, at: usize) -> &mut Node {
        self.children[at]
            .as_mut()
            .expect("one child more than keys")
    }

    /// Adds a child to the right of all others; there must be room.
    pub(super) fn push(&mut self, separator: Key, child: Node, tally: &mut Tally) {
        let at = self.keys.len();
        self.put(at, separator, child, tally);
    }

    /// The number of the child that this key is in, if it is anywhere.
    #[inline]
    pub(super) fn child_for(&self, key: &Key) -> usize {
        let (below, is_there) = self.keys.find(key);
        below + usize::from(is_there)
    }

    fn insert(&mut self, key: Key, tuple: Tuple, is_last: bool, tally: &mut Tally) -> Added {
        let at = self.child_for(&key);
        let is_last = is_last && at == self.keys.len();
        let (separator, right) = match self.child_mut(at).insert(key, tuple, is_last, tally) {
            Added::Split(separator, right) => (separator, right),
            done => return done,
        };
        if !self.is_full() {
            self.put(at, separator, right, tally);
            return Added::Fitted;
        }
        let len = self.keys.len();
        let middle = if at == len { len - 1 } else { len / 2 };
        tally.nodes += INNER;
        let mut other = Self::new(self.keys.split_off(middle + 1, tally));
        for (to, from) in other
            .children
            .iter_mut()
            .zip(&mut self.children[middle + 1..])
        {
            *to = from.take();
        }
        let parting = self.keys.remove(middle, tally);
        if at <= middle {
            self.put(at, separator, right, tally);
        } else {
            other.put(at - middle - 1, separator, right, tally);
        }
        Added::Split(parting, Node::Inner(Arc::new(other)))
    }

    /// Puts a child to the right of the one at `at`.
    fn put(&mut self, at: usize, separator: Key, right: Node, tally: &mut Tally) {
        self.keys.insert(at, separator, tally);
        self.children[at + 1..=self.keys.len()].rotate_right(1);
        self.children[at + 1] = Some(right);
    }

    fn remove(&mut self, key: &Key, tally: &mut Tally) -> Option<Tuple> {
        let at = self.child_for(key);
        let child = self.child_mut(at);
        let removed = child.remove(key, tally)?;
        if child.size() < SMALL {
            self.join(at, tally);
        }
        Some(removed)
    }

    /// Joins a small child with a neighbor, if both together leave room.
    fn join(&mut self, at: usize, tally: &mut Tally) {
        let fits = |left: usize| {
            left + 1 < self.len() && {
                let (left, right) = (self.child(left).size(), self.child(left + 1).size());
                left + right <= JOINED_MAX || left == 0 || right == 0
            }
        };
        let left = if fits(at) {
            at
        } else if at > 0 && fits(at - 1) {
            at - 1
        } else {
            return;
        };
        let right = self.children[left + 1].take();
        self.children[left + 1..self.keys.len() + 1].rotate_left(1);
        let parting = self.keys.remove(left, tally);
        if let Some(right) = right {
            self.child_mut(left).append(parting, right, tally);
        }
    }

    fn append(&mut self, parting: Key, mut right: Self, tally: &mut Tally) {
        let free = &mut self.children[self.keys.len() + 1..];
        for (to, from) in free
            .iter_mut()
            .zip(&mut right.children[..right.keys.len() + 1])
        {
            *to = from.take();
        }
        tally.nodes -= INNER;
        self.keys.insert(self.keys.len(), parting, tally);
        self.keys.append(right.keys, tally);
    }
}

impl OwnedBytes for Leaf {
    fn bytes(&self) -> usize {
        LEAF + self.keys.heap_bytes()
    }
}

impl OwnedBytes for Inner {
    fn bytes(&self) -> usize {
        INNER + self.keys.heap_bytes()
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::Leaf(Arc::default())
    }
}

impl Node {
    #[inline]
    pub(super) fn get(&self, key: &Key) -> Option<&Tuple> {
        let mut node = self;
        loop {
            match node {
                Self::Inner(inner) => node = inner.child(inner.child_for(key)),
                Self::Leaf(leaf) => return leaf.get(key),
            }
        }
    }

    pub(super) fn insert(
        &mut self,
        key: Key,
        tuple: Tuple,
        is_last: bool,
        tally: &mut Tally,
    ) -> Added {
        match self {
            Self::Leaf(leaf) => own(leaf, tally).insert(key, tuple, is_last, tally),
            Self::Inner(inner) => own(inner, tally).insert(key, tuple, is_last, tally),
        }
    }

    pub(super) fn remove(&mut self, key: &Key, tally: &mut Tally) -> Option<Tuple> {
        match self {
            Self::Leaf(leaf) => own(leaf, tally).remove(key, tally),
            Self::Inner(inner) => own(inner, tally).remove(key, tally),
        }
    }

    /// Becomes the parent of itself and the node that it was split from.
    pub(super) fn grow(&mut self, separator: Key, right: Self, tally: &mut Tally) {
        let mut parent = Inner::of(std::mem::replace(self, right.clone()));
        tally.nodes += INNER;
        parent.push(separator, right, tally);
        *self = Self::Inner(Arc::new(parent));
    }

    /// Gives way to its only child.
    pub(super) fn shrink(&mut self, tally: &mut Tally) {
        if let Self::Inner(inner) = self
            && inner.len() == 1
        {
            let only = inner.child(0).clone();
            tally.nodes -= inner.bytes();
            *self = only;
        }
    }

    /// Keys of a leaf, children of an inner node.
    fn size(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.keys.len(),
            Self::Inner(inner) => inner.len(),
        }
    }

    /// Takes over what a neighbor of the same level holds.
    fn append(&mut self, parting: Key, right: Self, tally: &mut Tally) {
        match (self, right) {
            (Self::Leaf(left), Self::Leaf(right)) => {
                let right = take(right, tally);
                own(left, tally).append(right, tally);
            }
            (Self::Inner(left), Self::Inner(right)) => {
                let right = take(right, tally);
                own(left, tally).append(parting, right, tally);
            }
            // All leaves are on one level.
            _ => unreachable!("neighbors are of one kind"),
        }
    }
}

#[cfg(test)]
impl Node {
    /// What it and all below it take, counted again.
    pub(super) fn count(&self) -> Tally {
        let mut sum = Tally::default();
        match self {
            Self::Leaf(leaf) => {
                sum.nodes = leaf.bytes();
                leaf.tuples
                    .iter()
                    .flatten()
                    .for_each(|tuple| sum.add(tuple));
            }
            Self::Inner(inner) => {
                sum.nodes = inner.bytes();
                for child in inner.children.iter().flatten() {
                    let own = child.count();
                    sum.nodes += own.nodes;
                    sum.tuples += own.tuples;
                    sum.contents += own.contents;
                }
            }
        }
        sum
    }
}
