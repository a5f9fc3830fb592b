//! Who has seen what: the reads of all transactions by index and key.
//!
//! ```text
//!   (space, index) ─┬ points   key ─▶ transactions
//!                   ├ ranges   intervals, found by a key that is in them
//!                   └ whole    transactions that have seen too much of it to say what
//! ```
//!
//! A change is looked up here once, whatever number of transactions is open: it costs what it
//! finds. What a transaction had seen that is over is taken out bit by bit, and found to be
//! nobody's until then.
//!
//! | module | what |
//! |---|---|
//! | `intervals` | ranges of keys, found by a key that is in them |

mod intervals;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

use super::edge::{Edge, Edges, IntervalId};
use super::reads::{Look, Reads, Seen};
use crate::limits::{
    TRANSACTION_POINT_BYTES, TRANSACTION_POINTS_MAX, TRANSACTION_RANGE_BYTES,
    TRANSACTION_RANGES_MAX, TRANSACTION_SEEN_BYTES_MAX,
};
use crate::model::key::Key;
use intervals::Intervals;

/// The reads of all transactions.
#[derive(Debug, Default)]
pub(super) struct Readers {
    /// By space and index.
    indexes: HashMap<(u32, u32), IndexReaders>,
}

#[derive(Debug, Default)]
struct IndexReaders {
    points: BTreeSet<(Key, u64)>,
    ranges: Intervals,
    whole: BTreeSet<u64>,
}

/// Where a reader was found.
#[derive(Debug, Clone, Copy)]
enum FoundIn {
    Point,
    Range(IntervalId),
    Whole,
}

/// A transaction, by its number, that has seen a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct SeenBy {
    pub(super) owner: u64,
    place: FoundIn,
}

impl Readers {
    /// Enters what a transaction has seen since the last time.
    pub(super) fn register(&mut self, reads: &mut Reads) {
        for look in std::mem::take(&mut reads.fresh) {
            match look {
                Look::Point(index, key) => self.add_point(reads, index, key),
                Look::Range(index, edges) => self.add_range(reads, index, edges),
                Look::Whole(index) => self.widen(reads, index),
            }
        }
    }

    fn add_point(&mut self, reads: &mut Reads, index: (u32, u32), key: Key) {
        let seen = reads.indexes.entry(index).or_default();
        let bytes = point_bytes(&key);
        let is_full = reads.bytes + bytes > TRANSACTION_SEEN_BYTES_MAX
            || reads.points >= TRANSACTION_POINTS_MAX;
        let readers = self.indexes.entry(index).or_default();
        if seen.is_whole || readers.points.contains(&(key.clone(), reads.owner)) {
            return;
        }
        if is_full {
            return self.widen(reads, index);
        }
        readers.points.insert((key.clone(), reads.owner));
        seen.points.push(key);
        reads.points += 1;
        reads.bytes += bytes;
    }

    /// Adds a range, joined with those of the same transaction that it overlaps or touches: so a
    /// key is in one of them at most.
    fn add_range(&mut self, reads: &mut Reads, index: (u32, u32), (lower, upper): Edges) {
        let seen = reads.indexes.entry(index).or_default();
        if seen.is_whole || lower >= upper {
            return;
        }
        let ranges = &mut self.indexes.entry(index).or_default().ranges;
        let own = &seen.ranges;
        let first = own.partition_point(|id| ranges.get(*id).upper < lower);
        let end = own.partition_point(|id| ranges.get(*id).lower <= upper);
        let (mut lower, mut upper) = (lower, upper);
        if let Some((first, last)) = own[first..end].first().zip(own[first..end].last()) {
            let (first, last) = (ranges.get(*first), ranges.get(*last));
            if first.lower <= lower && upper <= first.upper {
                return;
            }
            lower = lower.min(first.lower.clone());
            upper = upper.max(last.upper.clone());
        }
        for id in seen.ranges.drain(first..end) {
            reads.bytes -= range_bytes(&ranges.get(id).lower, &ranges.get(id).upper);
            ranges.remove(id, reads.owner);
        }
        let bytes = range_bytes(&lower, &upper);
        let is_full = reads.bytes + bytes > TRANSACTION_SEEN_BYTES_MAX;
        if is_full || seen.ranges.len() >= TRANSACTION_RANGES_MAX {
            return self.widen(reads, index);
        }
        let id = ranges.insert((lower, upper), reads.owner);
        seen.ranges.insert(first, id);
        reads.bytes += bytes;
    }

    /// The whole index counts as seen from here on.
    fn widen(&mut self, reads: &mut Reads, index: (u32, u32)) {
        let readers = self.indexes.entry(index).or_default();
        readers.whole.insert(reads.owner);
        let seen = reads.indexes.entry(index).or_default();
        seen.is_whole = true;
        reads.points -= seen.points.len();
        reads.bytes -= readers.take_out(reads.owner, seen, usize::MAX);
    }

    /// All that a transaction looked into counts as seen from here on: there is no room.
    pub(super) fn widen_all(&mut self, reads: &mut Reads) {
        let all: Vec<_> = reads.indexes.keys().copied().collect();
        for index in all {
            self.widen(reads, index);
        }
    }

    /// Takes out what a transaction has seen, this many of its points and ranges at most; returns
    /// how many were taken out, and whether that is all.
    pub(super) fn take_out(&mut self, reads: &mut Reads, most: usize) -> (usize, bool) {
        let mut left = most;
        while let Some(mut entry) = reads.indexes.first_entry() {
            let (index, seen) = (*entry.key(), entry.get_mut());
            let count = seen.len();
            if let Some(readers) = self.indexes.get_mut(&index) {
                reads.bytes -= readers.take_out(reads.owner, seen, left);
                left -= count - seen.len();
                if seen.len() > 0 {
                    return (most, false);
                }
                readers.whole.remove(&reads.owner);
                if readers.is_empty() {
                    self.indexes.remove(&index);
                }
            }
            entry.remove();
        }
        // What was forgotten where it was found has no size any more.
        (reads.points, reads.bytes) = (0, 0);
        (most - left, true)
    }

    /// Adds everybody who has seen a key.
    pub(super) fn find(&self, index: (u32, u32), key: &Key, found: &mut Vec<SeenBy>) {
        let Some(readers) = self.indexes.get(&index) else {
            return;
        };
        if !readers.points.is_empty() {
            let from = readers.points.range((key.clone(), 0)..);
            let owners = from
                .take_while(|(own, _)| own == key)
                .map(|(_, owner)| *owner);
            let place = FoundIn::Point;
            found.extend(owners.map(|owner| SeenBy { owner, place }));
        }
        readers.ranges.find(key, &mut |id, owner| {
            let place = FoundIn::Range(id);
            found.push(SeenBy { owner, place });
        });
        let place = FoundIn::Whole;
        found.extend(readers.whole.iter().map(|owner| SeenBy {
            owner: *owner,
            place,
        }));
    }

    /// Whether anybody has seen anything of an index.
    pub(super) fn has(&self, index: (u32, u32)) -> bool {
        self.indexes.contains_key(&index)
    }

    /// Forgets a reader that is over, where it was found.
    pub(super) fn forget(&mut self, index: (u32, u32), key: &Key, reader: SeenBy) {
        let Some(readers) = self.indexes.get_mut(&index) else {
            return;
        };
        match reader.place {
            FoundIn::Point => drop(readers.points.remove(&(key.clone(), reader.owner))),
            FoundIn::Range(id) => drop(readers.ranges.remove(id, reader.owner)),
            FoundIn::Whole => drop(readers.whole.remove(&reader.owner)),
        }
    }
}

impl IndexReaders {
    fn is_empty(&self) -> bool {
        self.points.is_empty() && self.ranges.is_empty() && self.whole.is_empty()
    }

    /// Takes points and ranges out, this many at most, and returns what they took, in bytes.
    fn take_out(&mut self, owner: u64, seen: &mut Seen, most: usize) -> usize {
        let (mut bytes, mut left) = (0, most);
        while left > 0
            && let Some(key) = seen.points.pop()
        {
            bytes += point_bytes(&key);
            self.points.remove(&(key, owner));
            left -= 1;
        }
        while left > 0
            && let Some(id) = seen.ranges.pop()
        {
            // One that was found and forgotten already may be somebody else's by now.
            let heap = self.ranges.remove(id, owner);
            bytes += TRANSACTION_RANGE_BYTES + heap.unwrap_or(0);
            left -= 1;
        }
        bytes
    }
}

/// What a point takes: its key stands in two lists.
fn point_bytes(key: &Key) -> usize {
    TRANSACTION_POINT_BYTES + 2 * key.heap_bytes()
}

fn range_bytes(lower: &Edge, upper: &Edge) -> usize {
    TRANSACTION_RANGE_BYTES + lower.heap_bytes() + upper.heap_bytes()
}

#[cfg(test)]
impl Readers {
    /// Steps that look-ups of ranges took.
    pub(super) fn steps(&self) -> u64 {
        let all = self.indexes.values();
        all.map(|readers| readers.ranges.steps.get()).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.indexes.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        let all = self.indexes.values();
        all.map(|own| own.points.len() + own.ranges.len() + own.whole.len())
            .sum()
    }
}
