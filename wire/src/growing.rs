//! A buffer that grows without a pause.
//!
//! ```text
//!   bytes ├────────────── come ──────────┤ room ┤
//!   next  ├── moved ──┤                                  twice as large, or as large as it gets
//!         begun when seven eighths are full; all has moved when `bytes` is, and takes its place
//! ```
//!
//! To double a large `Vec` is to copy all of it, 24 MiB for some 10 ms, and all whom the same
//! thread serves wait for that. Here each part that comes has eight times as much moved.

use std::ops::Deref;

use crate::limits::GROWS_AT_ONCE_MAX;

/// Bytes that come part by part, of which it is known how many they may become.
///
/// Its memory is at most twice what has come, and at most what that may become, but for the pages
/// that a part of it is moved to.
#[derive(Debug, Default)]
pub struct Growing {
    bytes: Vec<u8>,
    /// Begins with the same bytes; without memory where nothing moves.
    next: Vec<u8>,
}

impl Growing {
    /// Memory that it takes, in bytes: what nothing was moved to yet has no pages.
    #[inline]
    #[must_use]
    pub fn allocated(&self) -> usize {
        self.bytes.capacity() + self.next.len()
    }

    /// Bytes that have come, and may before [room is made](Self::make_room).
    #[inline]
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Bytes that may come before [room is made](Self::make_room).
    #[inline]
    #[must_use]
    pub fn room(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    /// Makes room for `size` bytes in all: for twice what has come, or for the `total` that comes.
    pub fn make_room(&mut self, size: usize, total: usize) {
        if size <= self.bytes.capacity() {
            return;
        }
        if size <= self.next.capacity() {
            return self.move_up_to(self.bytes.len());
        }
        let doubled = self.bytes.len() * 2;
        let wanted = doubled.min(total).max(size);
        let more = wanted - self.bytes.len();
        self.edit().reserve_exact(more);
    }

    /// Adds what has come of `total` bytes.
    #[inline]
    pub fn extend(&mut self, part: &[u8], total: usize) {
        self.make_room(self.bytes.len() + part.len(), total);
        self.bytes.extend_from_slice(part);
        self.go_on(total);
    }

    /// Has `add` add more of `total` bytes, no more than there is [room](Self::room) for.
    pub fn fill<T>(&mut self, total: usize, add: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let value = add(&mut self.bytes);
        self.go_on(total);
        value
    }

    /// The bytes, for any change but that more come.
    #[inline]
    pub fn edit(&mut self) -> &mut Vec<u8> {
        self.next = Vec::new();
        &mut self.bytes
    }

    /// What has come, in its buffer.
    #[inline]
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    #[inline]
    fn go_on(&mut self, total: usize) {
        let capacity = self.bytes.capacity();
        if capacity >= GROWS_AT_ONCE_MAX && capacity < total {
            self.move_some(total);
        }
    }

    /// Moves as much that all has moved when the buffer is full.
    fn move_some(&mut self, total: usize) {
        let capacity = self.bytes.capacity();
        let due = (8 * self.bytes.len()).saturating_sub(7 * capacity);
        if due > 0 {
            if self.next.capacity() == 0 {
                self.next.reserve_exact(total.min(2 * self.bytes.len()));
            }
            self.move_up_to(due);
        }
    }

    fn move_up_to(&mut self, end: usize) {
        let moved = self.next.len();
        self.next
            .extend_from_slice(&self.bytes[moved..end.max(moved)]);
        if self.next.len() == self.bytes.len() {
            self.bytes = std::mem::take(&mut self.next);
        }
    }
}

/// In a buffer that was used before.
impl From<Vec<u8>> for Growing {
    #[inline]
    fn from(bytes: Vec<u8>) -> Self {
        let next = Vec::new();
        Self { bytes, next }
    }
}

impl Deref for Growing {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn bytes(size: usize) -> Vec<u8> {
        (0..size).map(|at| (at / 7) as u8).collect()
    }

    /// How many bytes the part that came last has moved.
    fn moved(before: (usize, usize), own: &Growing) -> usize {
        match own.bytes.capacity() == before.0 {
            true => own.next.len() - before.1,
            false => own.bytes.len() - before.1,
        }
    }

    #[test]
    fn no_part_has_to_wait_until_all_that_came_before_it_is_copied() {
        let all = bytes(10 * MIB);
        for part in [1_000, 16_384, 100_000] {
            let mut own = Growing::default();
            for piece in all.chunks(part) {
                let before = (own.bytes.capacity(), own.next.len());
                own.extend(piece, all.len());
                assert!(own.allocated() <= 2 * own.len());
                assert!(own.bytes.capacity() <= all.len());
                if own.len() > GROWS_AT_ONCE_MAX + part {
                    assert!(moved(before, &own) <= 9 * part, "{} {part}", own.len());
                }
            }
            assert_eq!(own.into_bytes(), all, "{part}");
        }
    }

    #[test]
    fn what_comes_at_once_has_room_at_once() {
        let all = bytes(8 * MIB);
        let mut own = Growing::default();
        own.extend(&all[..MIB], all.len());
        own.extend(&all[MIB..7 * MIB], all.len());
        own.make_room(8 * MIB, all.len());
        own.fill(all.len(), |own| own.extend_from_slice(&all[7 * MIB..]));
        assert_eq!(own.into_bytes(), all);
    }

    #[test]
    fn what_has_moved_is_left_when_the_bytes_change() {
        let all = bytes(4 * MIB);
        let mut own = Growing::from(Vec::with_capacity(MIB));
        own.extend(&all[..MIB - 1000], all.len());
        assert!(!own.next.is_empty(), "it is about to move");
        own.edit().drain(..MIB / 2);
        for piece in all[MIB - 1000..].chunks(10_000) {
            own.extend(piece, all.len());
        }
        assert_eq!(own.into_bytes(), all[MIB / 2..]);
    }

    #[test]
    fn a_small_one_and_one_of_its_last_size_do_not_move() {
        let mut own = Growing::from(Vec::with_capacity(1000));
        own.extend(&[1; 999], 5000);
        assert_eq!(own.allocated(), 1000);
        let mut own = Growing::from(Vec::with_capacity(2 * MIB));
        own.extend(&bytes(2 * MIB - 1), 2 * MIB);
        assert_eq!(own.allocated(), 2 * MIB);
    }
}
