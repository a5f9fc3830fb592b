//! The keys of a node: their heads in a row, and their tails beside them if any has one.

use std::cmp::Ordering;

use super::tails::{Plain, Tails, WIDTH};
use super::tally::Tally;
use crate::model::key::{Key, KeyView};

/// Heads of a cache line.
const LINE: usize = 8;

/// Not below any head.
const UNUSED: u64 = u64::MAX;

/// The keys of a node, in order.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    len: usize,
    /// Heads beyond `len` are [`UNUSED`].
    heads: [u64; WIDTH],
    tails: Tails,
}

impl Keys {
    pub(super) fn new() -> Self {
        Self {
            len: 0,
            heads: [UNUSED; WIDTH],
            tails: Tails::None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn get(&self, at: usize) -> KeyView<'_> {
        self.tails.get(at, self.heads[at])
    }

    /// How the key at a place compares to this one.
    #[inline]
    pub(super) fn compare(&self, at: usize, key: &Key) -> Ordering {
        match self.heads[at].cmp(&key.head()) {
            Ordering::Equal => self.get(at).cmp(&key.view()),
            unequal => unequal,
        }
    }

    /// How many keys are below this one, and whether the next one is it.
    #[inline]
    pub(super) fn find(&self, key: &Key) -> (usize, bool) {
        let below = self.count_below(key.head());
        if below == self.len || self.heads[below] != key.head() {
            return (below, false);
        }
        if key.is_plain() {
            match self.tails.plain() {
                Plain::There => return (below, true),
                Plain::Before => return (below, false),
                Plain::Unknown => {}
            }
        }
        let among = &self.heads[below..self.len];
        let same = among.partition_point(|head| *head == key.head());
        self.tails.find(below, below + same, key.view())
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

    pub(super) fn insert(&mut self, at: usize, key: Key, tally: &mut Tally) {
        let (head, tail) = key.into_parts();
        self.tails.insert(at, tail, self.len, tally);
        self.heads.copy_within(at..self.len, at + 1);
        self.heads[at] = head;
        self.len += 1;
    }

    pub(super) fn remove(&mut self, at: usize, tally: &mut Tally) -> Key {
        let tail = self.tails.remove(at, self.len, tally);
        let key = Key::from_parts(self.heads[at], tail);
        self.heads.copy_within(at + 1..self.len, at);
        self.len -= 1;
        self.heads[self.len] = UNUSED;
        key
    }

    pub(super) fn split_off(&mut self, at: usize, tally: &mut Tally) -> Self {
        let mut right = Self::new();
        right.tails = self.tails.split_off(at, self.len, tally);
        right.len = self.len - at;
        right.heads[..right.len].copy_from_slice(&self.heads[at..self.len]);
        self.heads[at..].fill(UNUSED);
        self.len = at;
        right
    }

    pub(super) fn append(&mut self, right: Self, tally: &mut Tally) {
        self.tails.append(self.len, right.tails, right.len, tally);
        self.heads[self.len..self.len + right.len].copy_from_slice(&right.heads[..right.len]);
        self.len += right.len;
    }

    /// What it takes beside the node.
    pub(super) fn heap_bytes(&self) -> usize {
        self.tails.heap_bytes()
    }
}
