//! The keys of a node: their heads in a row, and their tails beside them if any has one.

use super::tally::{TAILS, Tally};
use crate::model::key::{Key, KeyView, Tail};

/// Keys of a leaf, children of an inner node.
pub(super) const WIDTH: usize = 32;
/// Heads of a cache line.
const LINE: usize = 8;

/// Not below any head.
const UNUSED: u64 = u64::MAX;

/// The keys of a node, in order.
#[derive(Debug)]
pub(super) struct Keys {
    len: usize,
    /// Heads beyond `len` are [`UNUSED`].
    heads: [u64; WIDTH],
    /// Empty as long as every key is just a head; with room for all of them from then on.
    tails: Vec<Tail>,
    /// Tails are kept, and a key may be no longer than a head.
    has_short: bool,
}

impl Clone for Keys {
    fn clone(&self) -> Self {
        let mut tails = Vec::new();
        if self.has_room_for_tails() {
            tails.reserve_exact(WIDTH);
            tails.extend_from_slice(&self.tails);
        }
        Self {
            len: self.len,
            heads: self.heads,
            tails,
            has_short: self.has_short,
        }
    }
}

impl Keys {
    pub(super) fn new() -> Self {
        Self {
            len: 0,
            heads: [UNUSED; WIDTH],
            tails: Vec::new(),
            has_short: false,
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
        if key.is_plain() {
            // By far the most common: one key with this head, which is all of it.
            if self.tails.is_empty() {
                return (below, true);
            }
            // It is what longer keys begin with, as those of an index that is not unique: no look
            // at their tails, which stand elsewhere.
            if !self.has_short {
                return (below, false);
            }
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

    pub(super) fn insert(&mut self, at: usize, key: Key, tally: &mut Tally) {
        let (head, tail) = key.into_parts();
        if !self.tails.is_empty() || !tail.is_plain() {
            tally.nodes += tail.heap_bytes();
            self.keep_tails(tally);
            self.has_short |= !tail.is_beyond_head();
            self.tails.insert(at, tail);
        }
        self.heads.copy_within(at..self.len, at + 1);
        self.heads[at] = head;
        self.len += 1;
    }

    pub(super) fn remove(&mut self, at: usize, tally: &mut Tally) -> Key {
        let tail = if self.tails.is_empty() {
            Tail::default()
        } else {
            self.tails.remove(at)
        };
        tally.nodes -= tail.heap_bytes();
        let key = Key::from_parts(self.heads[at], tail);
        self.heads.copy_within(at + 1..self.len, at);
        self.len -= 1;
        self.heads[self.len] = UNUSED;
        key
    }

    pub(super) fn split_off(&mut self, at: usize, tally: &mut Tally) -> Self {
        let mut right = Self::new();
        if !self.tails.is_empty() {
            right.keep_tails(tally);
            right.tails.extend(self.tails.drain(at..));
            right.has_short = self.has_short;
        }
        right.len = self.len - at;
        right.heads[..right.len].copy_from_slice(&self.heads[at..self.len]);
        self.heads[at..].fill(UNUSED);
        self.len = at;
        right
    }

    pub(super) fn append(&mut self, mut right: Self, tally: &mut Tally) {
        if !self.tails.is_empty() || !right.tails.is_empty() {
            self.keep_tails(tally);
            right.keep_tails(tally);
            self.tails.append(&mut right.tails);
            self.has_short |= right.has_short;
        }
        tally.nodes -= right.room_for_tails();
        self.heads[self.len..self.len + right.len].copy_from_slice(&right.heads[..right.len]);
        self.len += right.len;
    }

    /// From now on all tails are kept: a key that is more than its head comes.
    fn keep_tails(&mut self, tally: &mut Tally) {
        if !self.has_room_for_tails() {
            tally.nodes += TAILS;
            self.tails.reserve_exact(WIDTH);
        }
        self.has_short |= self.tails.len() < self.len;
        self.tails.resize_with(self.len, Tail::default);
    }

    fn has_room_for_tails(&self) -> bool {
        self.tails.capacity() > 0
    }

    /// What it takes beside the node, but for long keys.
    pub(super) fn room_for_tails(&self) -> usize {
        if self.has_room_for_tails() { TAILS } else { 0 }
    }

    /// What it takes beside the node.
    pub(super) fn heap_bytes(&self) -> usize {
        let long = self.tails.iter().map(Tail::heap_bytes);
        self.room_for_tails() + long.sum::<usize>()
    }
}
