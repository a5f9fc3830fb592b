//! What the keys of a node have beyond their heads.
//!
//! ```text
//!   none                              every key is just its head: one number
//!   even   │ 8 │ 8 │ 8 │ …            all go on for as many bytes: numbers, two or more
//!   any    │ 24 │ 24 │ 24 │ …         texts and what is mixed; the long ones stand elsewhere
//! ```
//!
//! A node begins with what fits its first key, and goes over to `any` with the first key that does
//! not fit.

use super::tally::Tally;
use crate::model::key::{KeyView, Tail};
use crate::model::memory::allocated;

/// Keys of a leaf, children of an inner node.
pub(super) const WIDTH: usize = 32;
/// Bytes beyond the head of keys of two numbers, by far the most common of those that go on.
const NUMBER: usize = 8;

/// What the keys of a node have beyond their heads. There are as many as there are heads, whose
/// number each call is told.
#[derive(Debug, Default)]
pub(super) enum Tails {
    #[default]
    None,
    /// With room for all keys of a node; the rest of it means nothing.
    Even(Box<[u8]>),
    Any {
        /// With room for all keys of a node.
        tails: Vec<Tail>,
        /// A key may be no longer than its head.
        has_short: bool,
    },
}

/// Whether a key that is just a head is there, if the head is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plain {
    /// All keys are just heads.
    There,
    /// All keys go on, so that it comes before those with this head.
    Before,
    /// Some keys are just heads, perhaps.
    Unknown,
}

impl Clone for Tails {
    fn clone(&self) -> Self {
        match self {
            Self::None => Self::None,
            Self::Even(bytes) => Self::Even(bytes.clone()),
            Self::Any { tails, has_short } => {
                let mut own = Vec::with_capacity(WIDTH);
                own.extend_from_slice(tails);
                Self::Any {
                    tails: own,
                    has_short: *has_short,
                }
            }
        }
    }
}

/// The bytes of each, where all have as many.
#[inline]
fn each(bytes: &[u8]) -> usize {
    bytes.len() / WIDTH
}

impl Tails {
    /// The key at a place, which has this head.
    #[inline]
    pub(super) fn get(&self, at: usize, head: u64) -> KeyView<'_> {
        match self {
            Self::None => KeyView::of_bytes(head, &[]),
            Self::Even(bytes) => {
                let size = each(bytes);
                KeyView::of_bytes(head, &bytes[at * size..(at + 1) * size])
            }
            Self::Any { tails, .. } => KeyView::new(head, &tails[at]),
        }
    }

    /// What becomes of a key that is just a head which is there.
    #[inline]
    pub(super) fn plain(&self) -> Plain {
        match self {
            Self::None => Plain::There,
            // It is what longer keys begin with, as those of an index that is not unique: no look
            // at their tails, which stand elsewhere.
            Self::Even(_)
            | Self::Any {
                has_short: false, ..
            } => Plain::Before,
            Self::Any { .. } => Plain::Unknown,
        }
    }

    /// How many of the keys from `first` to `end`, all of which have the head of this one, are
    /// below it, and whether the next one is it.
    pub(super) fn find(&self, first: usize, end: usize, key: KeyView<'_>) -> (usize, bool) {
        if let Self::Even(bytes) = self
            && let (own, []) = bytes.as_chunks::<NUMBER>()
            && own.len() == WIDTH
            && let Ok(wanted) = key.tail().try_into()
        {
            let wanted = u64::from_be_bytes(wanted);
            let below = |bytes: &[u8; NUMBER]| u64::from_be_bytes(*bytes) < wanted;
            let at = first + own[first..end].partition_point(below);
            return (at, at < end && u64::from_be_bytes(own[at]) == wanted);
        }
        let (mut low, mut high) = (first, end);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.get(middle, key.head()) < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        (low, low < end && self.get(low, key.head()) == key)
    }

    /// Puts a tail where `len` of them are.
    #[inline]
    pub(super) fn insert(&mut self, at: usize, tail: Tail, len: usize, tally: &mut Tally) {
        if len == 0 {
            self.begin(&tail, tally);
        }
        match self {
            Self::None if tail.is_plain() => {}
            Self::Even(bytes) if tail.is_beyond_head() && tail.bytes().len() == each(bytes) => {
                let size = each(bytes);
                bytes.copy_within(at * size..len * size, (at + 1) * size);
                bytes[at * size..][..size].copy_from_slice(tail.bytes());
            }
            _ => {
                tally.nodes += tail.heap_bytes();
                let (tails, has_short) = self.any(len, tally);
                *has_short |= !tail.is_beyond_head();
                tails.insert(at, tail);
            }
        }
    }

    /// Becomes what fits the first key.
    fn begin(&mut self, tail: &Tail, tally: &mut Tally) {
        let size = tail.bytes().len();
        if matches!(self, Self::Even(bytes) if each(bytes) == size) {
            return;
        }
        tally.nodes -= self.room();
        *self = match tail.heap_bytes() {
            0 if size > 0 => Self::Even(vec![0; WIDTH * size].into()),
            _ => Self::None,
        };
        tally.nodes += self.room();
    }

    /// Takes one out, of `len`.
    pub(super) fn remove(&mut self, at: usize, len: usize, tally: &mut Tally) -> Tail {
        match self {
            Self::None => Tail::default(),
            Self::Even(bytes) => {
                let size = each(bytes);
                let tail = Tail::of_bytes(&bytes[at * size..(at + 1) * size]);
                bytes.copy_within((at + 1) * size..len * size, at * size);
                tail
            }
            Self::Any { tails, .. } => {
                let tail = tails.remove(at);
                tally.nodes -= tail.heap_bytes();
                tail
            }
        }
    }

    /// Takes out those from `at` on, of `len`.
    pub(super) fn split_off(&mut self, at: usize, len: usize, tally: &mut Tally) -> Self {
        let right = match self {
            Self::None => Self::None,
            Self::Even(bytes) => {
                let (size, mut right) = (each(bytes), vec![0; bytes.len()]);
                right[..(len - at) * size].copy_from_slice(&bytes[at * size..len * size]);
                Self::Even(right.into())
            }
            Self::Any { tails, has_short } => {
                let mut right = Vec::with_capacity(WIDTH);
                right.extend(tails.drain(at..));
                Self::Any {
                    tails: right,
                    has_short: *has_short,
                }
            }
        };
        tally.nodes += right.room();
        right
    }

    /// Adds others, `right_len` of them, behind its own `len`.
    pub(super) fn append(
        &mut self,
        len: usize,
        mut right: Self,
        right_len: usize,
        tally: &mut Tally,
    ) {
        if len == 0 {
            std::mem::swap(self, &mut right);
        } else if right_len > 0 {
            match (&mut *self, &right) {
                (Self::None, Self::None) => {}
                (Self::Even(own), Self::Even(right)) if own.len() == right.len() => {
                    let size = each(own);
                    own[len * size..][..right_len * size]
                        .copy_from_slice(&right[..right_len * size]);
                }
                _ => {
                    let (tails, has_short) = self.any(len, tally);
                    let (right, right_has_short) = right.any(right_len, tally);
                    tails.append(right);
                    *has_short |= *right_has_short;
                }
            }
        }
        tally.nodes -= right.room();
    }

    /// From now on they may be any.
    fn any(&mut self, len: usize, tally: &mut Tally) -> (&mut Vec<Tail>, &mut bool) {
        if !matches!(self, Self::Any { .. }) {
            let mut tails = Vec::with_capacity(WIDTH);
            tails.extend((0..len).map(|at| Tail::of_bytes(self.get(at, 0).tail())));
            let has_short = len > 0 && matches!(self, Self::None);
            tally.nodes -= self.room();
            *self = Self::Any { tails, has_short };
            tally.nodes += self.room();
        }
        match self {
            Self::Any { tails, has_short } => (tails, has_short),
            _ => unreachable!("it has just become that"),
        }
    }

    /// What they take beside the node, but for long ones.
    fn room(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Even(bytes) => allocated(bytes.len()),
            Self::Any { .. } => allocated(WIDTH * size_of::<Tail>()),
        }
    }

    /// What they take beside the node.
    pub(super) fn heap_bytes(&self) -> usize {
        let long = match self {
            Self::Any { tails, .. } => tails.iter().map(Tail::heap_bytes).sum(),
            _ => 0,
        };
        self.room() + long
    }
}
