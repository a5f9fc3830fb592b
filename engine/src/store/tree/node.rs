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

use crate::model::key::{Key, KeyView, Tail};
use crate::model::tuple::Tuple;

/// Keys of a leaf, children of an inner node.
pub(super) const WIDTH: usize = 32;
/// Heads of a cache line.
const LINE: usize = 8;
/// A node with fewer looks for a neighbor to join.
const SMALL: usize = WIDTH / 4;
/// Two neighbors with no more than this together are joined.
const JOINED_MAX: usize = WIDTH * 3 / 4;

/// Not below any head.
const UNUSED: u64 = u64::MAX;

/// The keys of a node, in order.
#[derive(Debug)]
pub(super) struct Keys {
    len: usize,
    /// Heads beyond `len` are [`UNUSED`].
    heads: [u64; WIDTH],
    /// Empty as long as every key is just a head.
    tails: Vec<Tail>,
}

/// The tuples with their keys.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) keys: Keys,
    /// As many as there are keys.
    tuples: [Option<Tuple>; WIDTH],
}

/// Nodes with the keys that part them.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) keys: Keys,
    /// One more than keys.
    pub(super) children: Vec<Node>,
}

#[derive(Debug)]
pub(super) enum Node {
    Leaf(Box<Leaf>),
    Inner(Box<Inner>),
}

/// What became of an insertion.
pub(super) enum Added {
    Replaced(Tuple),
    Fitted,
    /// The node was full: this one stands to its right, and all its keys are at or beyond the key.
    Split(Key, Node),
}

impl Keys {
    fn new() -> Self {
        Self {
            len: 0,
            heads: [UNUSED; WIDTH],
            tails: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn get(&self, at: usize) -> KeyView<'_> {
        KeyView::new(self.heads[at], self.tails.get(at))
    }

    /// How many keys are below this one, and whether the next one is it.
    #[inline]
    pub(super) fn find(&self, key: KeyView<'_>) -> (usize, bool) {
        let below = self.count_below(key.head());
        if below == self.len || self.heads[below] != key.head() {
            return (below, false);
        }
        // By far the most common: one key with this head, which is all of it.
        if self.tails.is_empty() && key.is_plain() {
            return (below, true);
        }
        self.find_among_equal_heads(below, key)
    }

    /// How many heads are smaller. Looks at one head of every cache line first, none of which waits
    /// for another, where a binary search would wait for one line after the other.
    #[inline]
    fn count_below(&self, head: u64) -> usize {
        let lines = self.heads.chunks_exact(LINE);
        let whole = lines.filter(|line| line[LINE - 1] < head).count();
        let start = whole * LINE;
        let Some(line) = self.heads.get(start..start + LINE) else {
            return WIDTH;
        };
        start + line.iter().filter(|own| **own < head).count()
    }

    fn find_among_equal_heads(&self, first: usize, key: KeyView<'_>) -> (usize, bool) {
        let same = self.heads[first..self.len].partition_point(|head| *head == key.head());
        let (mut low, mut high) = (first, first + same);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.get(middle) < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        (low, low < first + same && self.get(low) == key)
    }

    fn insert(&mut self, at: usize, key: Key) {
        let (head, tail) = key.into_parts();
        if !self.tails.is_empty() || !tail.is_plain() {
            // The first key that is more than its head: from now on all tails are kept.
            self.tails.resize_with(self.len, Tail::default);
            self.tails.insert(at, tail);
        }
        self.heads.copy_within(at..self.len, at + 1);
        self.heads[at] = head;
        self.len += 1;
    }

    fn remove(&mut self, at: usize) -> Key {
        let tail = if self.tails.is_empty() {
            Tail::default()
        } else {
            self.tails.remove(at)
        };
        let key = Key::from_parts(self.heads[at], tail);
        self.heads.copy_within(at + 1..self.len, at);
        self.len -= 1;
        self.heads[self.len] = UNUSED;
        key
    }

    fn split_off(&mut self, at: usize) -> Self {
        let mut right = Self::new();
        right.len = self.len - at;
        right.heads[..right.len].copy_from_slice(&self.heads[at..self.len]);
        if !self.tails.is_empty() {
            right.tails = self.tails.split_off(at);
        }
        self.heads[at..].fill(UNUSED);
        self.len = at;
        right
    }

    fn append(&mut self, mut right: Self) {
        if !self.tails.is_empty() || !right.tails.is_empty() {
            self.tails.resize_with(self.len, Tail::default);
            right.tails.resize_with(right.len, Tail::default);
            self.tails.append(&mut right.tails);
        }
        self.heads[self.len..self.len + right.len].copy_from_slice(&right.heads[..right.len]);
        self.len += right.len;
    }
}

/// Where a full node is split for a key that goes to `at`.
fn split_point(at: usize, len: usize) -> usize {
    if at == len { len - 1 } else { len / 2 }
}

impl Default for Leaf {
    fn default() -> Self {
        Self::new(Keys::new())
    }
}

impl Leaf {
    pub(super) fn is_full(&self) -> bool {
        self.keys.len == WIDTH
    }

    /// Adds a tuple whose key is beyond all others; there must be room.
    pub(super) fn push(&mut self, key: Key, tuple: Tuple) {
        self.tuples[self.keys.len] = Some(tuple);
        self.keys.insert(self.keys.len, key);
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

    fn insert(&mut self, key: Key, tuple: Tuple) -> Added {
        let (at, is_there) = self.keys.find(key.view());
        if is_there {
            let old = self.tuples[at].replace(tuple);
            return old.map_or(Added::Fitted, Added::Replaced);
        }
        if self.keys.len < WIDTH {
            self.put(at, key, tuple);
            return Added::Fitted;
        }
        let middle = split_point(at, WIDTH);
        let mut right = Self::new(self.keys.split_off(middle));
        for (to, from) in right.tuples.iter_mut().zip(&mut self.tuples[middle..]) {
            *to = from.take();
        }
        if at <= middle {
            self.put(at, key, tuple);
        } else {
            right.put(at - middle, key, tuple);
        }
        Added::Split(right.keys.get(0).to_key(), Node::Leaf(Box::new(right)))
    }

    fn put(&mut self, at: usize, key: Key, tuple: Tuple) {
        self.tuples[at..=self.keys.len].rotate_right(1);
        self.tuples[at] = Some(tuple);
        self.keys.insert(at, key);
    }

    fn remove(&mut self, key: KeyView<'_>) -> Option<Tuple> {
        let (at, is_there) = self.keys.find(key);
        if !is_there {
            return None;
        }
        self.keys.remove(at);
        let removed = self.tuples[at].take();
        self.tuples[at..=self.keys.len].rotate_left(1);
        removed
    }

    fn append(&mut self, mut right: Self) {
        let free = &mut self.tuples[self.keys.len..];
        for (to, from) in free.iter_mut().zip(&mut right.tuples[..right.keys.len]) {
            *to = from.take();
        }
        self.keys.append(right.keys);
    }
}

impl Inner {
    /// The parent of one node.
    pub(super) fn of(child: Node) -> Self {
        Self {
            keys: Keys::new(),
            children: vec![child],
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.children.len() == WIDTH
    }

    /// Adds a child to the right of all others; there must be room.
    pub(super) fn push(&mut self, separator: Key, child: Node) {
        self.keys.insert(self.keys.len, separator);
        self.children.push(child);
    }

    /// Takes everything out.
    pub(super) fn take(&mut self) -> Self {
        Self {
            keys: std::mem::replace(&mut self.keys, Keys::new()),
            children: std::mem::take(&mut self.children),
        }
    }

    /// The number of the child that this key is in, if it is anywhere.
    #[inline]
    pub(super) fn child_for(&self, key: KeyView<'_>) -> usize {
        let (below, is_there) = self.keys.find(key);
        below + usize::from(is_there)
    }

    fn insert(&mut self, key: Key, tuple: Tuple) -> Added {
        let at = self.child_for(key.view());
        let (separator, right) = match self.children[at].insert(key, tuple) {
            Added::Split(separator, right) => (separator, right),
            done => return done,
        };
        if self.children.len() < WIDTH {
            self.put(at, separator, right);
            return Added::Fitted;
        }
        let middle = split_point(at, self.keys.len);
        let mut other = Self {
            keys: self.keys.split_off(middle + 1),
            children: self.children.split_off(middle + 1),
        };
        let parting = self.keys.remove(middle);
        if at <= middle {
            self.put(at, separator, right);
        } else {
            other.put(at - middle - 1, separator, right);
        }
        Added::Split(parting, Node::Inner(Box::new(other)))
    }

    /// Puts a child to the right of the one at `at`.
    fn put(&mut self, at: usize, separator: Key, right: Node) {
        self.keys.insert(at, separator);
        self.children.insert(at + 1, right);
    }

    fn remove(&mut self, key: KeyView<'_>) -> Option<Tuple> {
        let at = self.child_for(key);
        let removed = self.children[at].remove(key)?;
        if self.children[at].size() < SMALL {
            self.join(at);
        }
        Some(removed)
    }

    /// Joins a small child with a neighbor, if both together leave room.
    fn join(&mut self, at: usize) {
        let fits = |left: usize| {
            let pair = self.children.get(left).zip(self.children.get(left + 1));
            pair.is_some_and(|(left, right)| {
                let (left, right) = (left.size(), right.size());
                left + right <= JOINED_MAX || left == 0 || right == 0
            })
        };
        let left = if fits(at) {
            at
        } else if at > 0 && fits(at - 1) {
            at - 1
        } else {
            return;
        };
        let right = self.children.remove(left + 1);
        let parting = self.keys.remove(left);
        self.children[left].append(parting, right);
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::Leaf(Box::default())
    }
}

impl Node {
    #[inline]
    pub(super) fn get(&self, key: KeyView<'_>) -> Option<&Tuple> {
        let mut node = self;
        loop {
            match node {
                Self::Inner(inner) => node = &inner.children[inner.child_for(key)],
                Self::Leaf(leaf) => {
                    let (at, is_there) = leaf.keys.find(key);
                    return if is_there { leaf.tuple(at) } else { None };
                }
            }
        }
    }

    pub(super) fn insert(&mut self, key: Key, tuple: Tuple) -> Added {
        match self {
            Self::Leaf(leaf) => leaf.insert(key, tuple),
            Self::Inner(inner) => inner.insert(key, tuple),
        }
    }

    pub(super) fn remove(&mut self, key: KeyView<'_>) -> Option<Tuple> {
        match self {
            Self::Leaf(leaf) => leaf.remove(key),
            Self::Inner(inner) => inner.remove(key),
        }
    }

    /// Becomes the parent of itself and the node that it was split from.
    pub(super) fn grow(&mut self, separator: Key, right: Self) {
        let left = std::mem::take(self);
        let mut keys = Keys::new();
        keys.insert(0, separator);
        *self = Self::Inner(Box::new(Inner {
            keys,
            children: vec![left, right],
        }));
    }

    /// Gives way to its only child.
    pub(super) fn shrink(&mut self) {
        if let Self::Inner(inner) = self
            && inner.keys.len == 0
            && let Some(only) = inner.children.pop()
        {
            *self = only;
        }
    }

    /// Keys of a leaf, children of an inner node.
    fn size(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.keys.len,
            Self::Inner(inner) => inner.children.len(),
        }
    }

    /// Takes over what a neighbor of the same level holds.
    fn append(&mut self, parting: Key, right: Self) {
        match (self, right) {
            (Self::Leaf(left), Self::Leaf(right)) => left.append(*right),
            (Self::Inner(left), Self::Inner(mut right)) => {
                left.keys.insert(left.keys.len, parting);
                left.keys.append(right.keys);
                left.children.append(&mut right.children);
            }
            // All leaves are on one level.
            _ => unreachable!("neighbors are of one kind"),
        }
    }
}
