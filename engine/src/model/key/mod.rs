//! Keys as bytes whose order is the order of the values.
//!
//! ```text
//!   [17, "ab"]  ──encode──▶  00 00 00 00 00 00 00 11 │ 61 62 00 00
//!                            └── head: compared as ──┘ └─ tail: compared as bytes,
//!                                one integer              inline up to 22
//! ```
//!
//! Every part ends by itself, so a key of fewer parts is a prefix of all the keys it matches: a
//! partial key is a range, and a position is a key. All bytes of a descending part are flipped.
//!
//! | module | what |
//! |---|---|
//! | `number` | numbers of all kinds in one order |
//! | `encode` | one part of a key, from MessagePack |

mod encode;
mod number;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use vestibule_wire::msgpack::DecodeError;

use crate::model::memory::allocated;
pub(crate) use encode::{encode_collated, encode_part};

/// Bytes of the head.
const HEAD: usize = 8;
/// Bytes of the tail that need no allocation. A key takes 32 bytes with them.
const TAIL_INLINE: usize = 22;
/// Bytes of a key that needs no allocation.
const INLINE: usize = HEAD + TAIL_INLINE;
/// What ends a string.
const TEXT_END: [u8; 2] = [0, 0];

/// The value has another type than the part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mismatch;

impl From<DecodeError> for Mismatch {
    fn from(_: DecodeError) -> Self {
        Self
    }
}

/// An encoded key: whole, partial, or the end of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// The first bytes, big-endian, filled up with zeros.
    head: u64,
    tail: Tail,
}

const _: () = assert!(size_of::<Key>() == 32);

/// What follows the head, and the size of the whole key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tail {
    /// `size` is that of the whole key.
    Inline { size: u8, bytes: [u8; TAIL_INLINE] },
    /// Of a key longer than [`INLINE`].
    Heap(Box<[u8]>),
}

impl Default for Tail {
    /// The tail of a key that is just a head.
    fn default() -> Self {
        Self::Inline {
            size: HEAD as u8,
            bytes: [0; TAIL_INLINE],
        }
    }
}

impl Tail {
    /// The tail of a key of this size; what is beyond its head, if anything is, are these bytes.
    #[inline]
    fn new(size: usize, beyond_head: &[u8]) -> Self {
        let mut bytes = [0; TAIL_INLINE];
        match bytes.get_mut(..beyond_head.len()) {
            Some(room) => {
                room.copy_from_slice(beyond_head);
                Self::Inline {
                    size: size as u8,
                    bytes,
                }
            }
            None => Self::Heap(beyond_head.into()),
        }
    }

    /// The tail of a key that goes on beyond its head with these bytes, if with any.
    #[inline]
    pub(crate) fn of_bytes(beyond_head: &[u8]) -> Self {
        Self::new(HEAD + beyond_head.len(), beyond_head)
    }

    /// Whether the key is just a head: one unsigned number, by far the most common key.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Inline { size, .. } if usize::from(*size) == HEAD)
    }

    /// Whether the key is longer than its head.
    #[inline]
    pub(crate) fn is_beyond_head(&self) -> bool {
        self.key_size() > HEAD
    }

    #[inline]
    fn key_size(&self) -> usize {
        match self {
            Self::Inline { size, .. } => usize::from(*size),
            Self::Heap(tail) => HEAD + tail.len(),
        }
    }

    /// What it takes beside its 24 bytes, in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Inline { .. } => 0,
            Self::Heap(tail) => allocated(tail.len()),
        }
    }

    /// What is beyond the head.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Inline { size, bytes } => &bytes[..usize::from(*size).saturating_sub(HEAD)],
            Self::Heap(tail) => tail,
        }
    }
}

impl Key {
    /// The key of these bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let mut builder = KeyBuilder::default();
        builder.push(bytes);
        builder.finish()
    }

    pub(crate) fn from_parts(head: u64, tail: Tail) -> Self {
        Self { head, tail }
    }

    pub(crate) fn into_parts(self) -> (u64, Tail) {
        (self.head, self.tail)
    }

    #[inline]
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// Whether it is just a head.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.tail.is_plain()
    }

    /// The key, borrowed.
    #[inline]
    pub(crate) fn view(&self) -> KeyView<'_> {
        KeyView::new(self.head, &self.tail)
    }

    /// Appends the key's bytes.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        self.view().write(out);
    }

    /// Whether this key, possibly partial, matches the whole key `other`.
    pub(crate) fn is_prefix_of(&self, other: KeyView<'_>) -> bool {
        let (size, other_size) = (self.tail.key_size(), other.size());
        if size < HEAD {
            let unused = (HEAD - size) * 8;
            return size == 0 || (size <= other_size && (self.head ^ other.head) >> unused == 0);
        }
        let begins = other.tail.starts_with(self.tail.bytes());
        self.head == other.head && other_size >= HEAD && begins
    }

    /// The first key beyond all those that begin with this one; `None` if there is no such key.
    pub(crate) fn after_prefix(&self) -> Option<Self> {
        // A number is followed by the next one.
        if self.tail.is_plain() && self.head as u8 != u8::MAX {
            return Some(Self::from_parts(self.head + 1, Tail::default()));
        }
        let mut builder = KeyBuilder::default();
        builder.push(&self.head.to_be_bytes()[..self.tail.key_size().min(HEAD)]);
        builder.push(self.tail.bytes());
        let bytes = builder.bytes_mut();
        let last = bytes.iter().rposition(|byte| *byte < u8::MAX)?;
        bytes[last] += 1;
        Some(Self::from_bytes(&bytes[..=last]))
    }

    /// The key whose last part, a string, goes on in any way.
    pub(crate) fn without_end(&self) -> Self {
        let mut bytes = Vec::with_capacity(self.tail.key_size());
        self.write(&mut bytes);
        bytes.truncate(bytes.len().saturating_sub(TEXT_END.len()));
        Self::from_bytes(&bytes)
    }

    /// The first part, of a key that begins with an unsigned number.
    pub(crate) fn first_number(&self) -> u64 {
        self.head
    }

    /// Whether it holds nothing: a prefix of every key.
    pub(crate) fn is_empty(&self) -> bool {
        self.size() == 0
    }

    /// In bytes.
    pub(crate) fn size(&self) -> usize {
        self.tail.key_size()
    }

    /// What it takes beside its 32 bytes, in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.tail.heap_bytes()
    }
}

impl Ord for Key {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        match self.head.cmp(&other.head) {
            Ordering::Equal if self.is_plain() && other.is_plain() => Ordering::Equal,
            Ordering::Equal => self.view().cmp_beyond_head(other.view()),
            unequal => unequal,
        }
    }
}

impl PartialOrd for Key {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A key whose head and tail stand in different places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyView<'a> {
    head: u64,
    /// How many bytes of the head are the key's: all, unless it ends there.
    head_size: usize,
    /// What is beyond the head.
    tail: &'a [u8],
}

impl<'a> KeyView<'a> {
    #[inline]
    pub(crate) fn new(head: u64, tail: &'a Tail) -> Self {
        Self {
            head,
            head_size: tail.key_size().min(HEAD),
            tail: tail.bytes(),
        }
    }

    /// The key of a head, all of which is the key's, and of what is beyond it.
    #[inline]
    pub(crate) fn of_bytes(head: u64, beyond_head: &'a [u8]) -> Self {
        Self {
            head,
            head_size: HEAD,
            tail: beyond_head,
        }
    }

    #[inline]
    pub(crate) fn head(self) -> u64 {
        self.head
    }

    /// What is beyond the head.
    #[inline]
    pub(crate) fn tail(self) -> &'a [u8] {
        self.tail
    }

    /// In bytes.
    #[inline]
    fn size(self) -> usize {
        self.head_size + self.tail.len()
    }

    #[inline]
    pub(crate) fn is_plain(self) -> bool {
        self.head_size == HEAD && self.tail.is_empty()
    }

    pub(crate) fn to_key(self) -> Key {
        Key {
            head: self.head,
            tail: Tail::new(self.size(), self.tail),
        }
    }

    /// Appends the key's bytes.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head.to_be_bytes()[..self.head_size]);
        out.extend_from_slice(self.tail);
    }

    // Heads are equal, and filled up with zeros: the shorter key is then the smaller one, unless
    // both go on.
    #[inline(never)]
    fn cmp_beyond_head(self, other: Self) -> Ordering {
        let heads = self.head_size.cmp(&other.head_size);
        heads.then_with(|| self.tail.cmp(other.tail))
    }
}

impl Ord for KeyView<'_> {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        match self.head.cmp(&other.head) {
            Ordering::Equal if self.is_plain() && other.is_plain() => Ordering::Equal,
            Ordering::Equal => self.cmp_beyond_head(*other),
            unequal => unequal,
        }
    }
}

impl PartialOrd for KeyView<'_> {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Collects the bytes of a key, without an allocation as long as they fit inline.
#[derive(Debug)]
pub(crate) struct KeyBuilder {
    size: usize,
    inline: [u8; INLINE],
    /// All bytes, once they do not fit inline.
    spilled: Vec<u8>,
}

impl Default for KeyBuilder {
    #[inline]
    fn default() -> Self {
        Self {
            size: 0,
            inline: [0; INLINE],
            spilled: Vec::new(),
        }
    }
}

impl KeyBuilder {
    /// Appends bytes.
    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let end = self.size + bytes.len();
        if let Some(room) = self.inline.get_mut(self.size..end) {
            room.copy_from_slice(bytes);
        } else {
            if self.spilled.is_empty() {
                self.spilled.reserve(end.next_power_of_two());
                self.spilled.extend_from_slice(&self.inline[..self.size]);
            }
            self.spilled.extend_from_slice(bytes);
        }
        self.size = end;
    }

    /// How many bytes it has.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Flips the bytes from this one on, which turns their order around: each part ends by itself,
    /// so that no two of them differ by their length alone.
    pub(crate) fn flip_from(&mut self, start: usize) {
        let flipped = self.bytes_mut()[start..].iter_mut();
        flipped.for_each(|byte| *byte = !*byte);
    }

    /// What was pushed so far.
    fn bytes_mut(&mut self) -> &mut [u8] {
        if self.size > INLINE {
            &mut self.spilled
        } else {
            &mut self.inline[..self.size]
        }
    }

    /// The key.
    #[inline]
    pub(crate) fn finish(self) -> Key {
        if self.size > INLINE {
            let head = self.spilled[..HEAD]
                .try_into()
                .expect("it is longer than the inline part");
            let tail = Tail::Heap(self.spilled[HEAD..].into());
            return Key {
                head: u64::from_be_bytes(head),
                tail,
            };
        }
        let head: [u8; HEAD] = self.inline[..HEAD]
            .try_into()
            .expect("the range is as long");
        let bytes = self.inline[HEAD..]
            .try_into()
            .expect("the two make up the inline part");
        let tail = Tail::Inline {
            size: self.size as u8,
            bytes,
        };
        Key {
            head: u64::from_be_bytes(head),
            tail,
        }
    }
}
