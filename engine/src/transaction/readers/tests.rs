use std::ops::{Bound, RangeBounds};

use proptest::prelude::*;

use super::Readers;
use crate::limits::{TRANSACTION_POINTS_MAX, TRANSACTION_RANGES_MAX, TRANSACTION_SEEN_BYTES_MAX};
use crate::model::key::Key;
use crate::transaction::reads::{KeyBounds, Reads};

fn key(number: u64) -> Key {
    Key::from_bytes(&number.to_be_bytes())
}

impl Readers {
    /// Everybody who has seen a key, once.
    fn owners(&self, index: (u32, u32), key: &Key) -> Vec<u64> {
        let mut found = Vec::new();
        self.find(index, key, &mut found);
        let mut owners: Vec<_> = found.iter().map(|reader| reader.owner).collect();
        owners.sort_unstable();
        owners.dedup();
        owners
    }

    fn has_seen(&self, space: u32, index: u32, number: u64) -> bool {
        !self.owners((space, index), &key(number)).is_empty()
    }

    fn look(&mut self, reads: &mut Reads, look: impl FnOnce(&mut Reads)) {
        look(reads);
        self.register(reads);
    }
}

#[test]
fn points_and_ranges_are_told_from_what_is_beside_them() {
    let (mut readers, mut reads) = (Readers::default(), Reads::of(1));
    readers.look(&mut reads, |reads| {
        reads.add_point(512, 0, &key(5));
        reads.add_range(512, 1, (Bound::Included(key(2)), Bound::Excluded(key(4))));
    });
    assert!(readers.has_seen(512, 0, 5));
    assert!(!readers.has_seen(512, 0, 6) && !readers.has_seen(513, 0, 5));
    assert!(readers.has_seen(512, 1, 2) && readers.has_seen(512, 1, 3));
    assert!(!readers.has_seen(512, 1, 4) && !readers.has_seen(512, 0, 2));
    assert!(reads.touches(512) && !reads.touches(511) && !reads.touches(513));
    assert_eq!(readers.take_out(&mut reads, 1), (1, false));
    assert_eq!(readers.take_out(&mut reads, 9), (1, true));
    assert!(readers.is_empty() && reads.bytes() == 0);
}

#[test]
fn too_many_points_or_ranges_become_the_whole_index() {
    let (mut readers, mut reads) = (Readers::default(), Reads::of(1));
    for number in 0..=TRANSACTION_POINTS_MAX as u64 {
        assert!(!readers.has_seen(512, 0, u64::MAX));
        readers.look(&mut reads, |reads| reads.add_point(512, 0, &key(number)));
    }
    assert!(readers.has_seen(512, 0, u64::MAX) && reads.points == 0);
    readers.look(&mut reads, |reads| reads.add_point(512, 1, &key(1)));
    for number in 0..=TRANSACTION_RANGES_MAX as u64 {
        assert!(!readers.has_seen(512, 1, u64::MAX));
        // Apart from each other, or they would be joined.
        let bound = Bound::Included(key(2 * number));
        readers.look(&mut reads, |reads| {
            reads.add_range(512, 1, (bound.clone(), bound));
        });
    }
    assert!(readers.has_seen(512, 1, u64::MAX));
    assert!(reads.points == 0 && reads.bytes() == 0);
    assert_eq!(readers.len(), 2);
}

#[test]
fn long_keys_become_the_whole_index_earlier() {
    let (mut readers, mut reads) = (Readers::default(), Reads::of(1));
    let long = |number: u64| {
        let bytes = [&[b'x'; 1 << 16], &number.to_be_bytes()[..]].concat();
        Key::from_bytes(&bytes)
    };
    let whole = (0..).find(|number| {
        readers.look(&mut reads, |reads| reads.add_point(512, 0, &long(*number)));
        assert!(reads.bytes() <= TRANSACTION_SEEN_BYTES_MAX);
        reads.bytes() == 0
    });
    assert!(whole.is_some_and(|number| number > 50));
    assert_eq!(readers.owners((512, 0), &long(u64::MAX)), [1]);
}

#[test]
fn without_room_all_that_was_looked_into_is_whole() {
    let (mut readers, mut reads) = (Readers::default(), Reads::of(1));
    readers.look(&mut reads, |reads| {
        reads.add_point(512, 0, &key(1));
        reads.add_point(513, 1, &key(1));
    });
    readers.widen_all(&mut reads);
    assert!(readers.has_seen(512, 0, 2) && readers.has_seen(513, 1, 2));
    assert!(!readers.has_seen(512, 1, 2) && reads.bytes() == 0);
}

/// 3,840 transactions of 50 ranges each: a key that is in none of them takes one path to find that
/// out, and one that is in some of them about a path for each.
#[test]
fn a_look_up_costs_what_it_finds_whatever_is_open() {
    let mut readers = Readers::default();
    for owner in 1..=3840 {
        let mut reads = Reads::of(owner);
        for number in 0..50 {
            // Of each transaction, the ranges are far from each other; of all, they interleave.
            let from = (number * 3840 + owner) * 10;
            let range = (Bound::Included(key(from)), Bound::Excluded(key(from + 5)));
            readers.look(&mut reads, |reads| reads.add_range(512, 0, range));
        }
    }
    let cost = |number: u64| {
        let before = readers.steps();
        (
            readers.owners((512, 0), &key(number)).len(),
            readers.steps() - before,
        )
    };
    for number in 0..1000u64 {
        // A treap of 192,000 is about 40 deep.
        let at = number * 77_777 % 1_900_000 / 10 * 10;
        let (found, steps) = cost(at + 7);
        assert!(found == 0 && steps < 150, "{found} {steps}");
        let (found, steps) = cost(at + 10);
        assert!(found == 1 && steps < 250, "{found} {steps}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Point(u64, u8),
    Range(u64, Bound<u8>, Bound<u8>),
    End(u64),
    /// Takes out a little of those that are over.
    TakeOut(usize),
    /// Forgets those that are over where they are found.
    Forget(u8),
}

fn bound() -> impl Strategy<Value = Bound<u8>> {
    prop_oneof![
        1 => Just(Bound::Unbounded),
        5 => (0u8..60).prop_map(Bound::Included),
        5 => (0u8..60).prop_map(Bound::Excluded),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1u64..6, 0u8..60).prop_map(|(owner, key)| Step::Point(owner, key)),
        6 => (1u64..6, bound(), bound()).prop_map(|(owner, lower, upper)| {
            Step::Range(owner, lower, upper)
        }),
        1 => (1u64..6).prop_map(Step::End),
        1 => (1usize..5).prop_map(Step::TakeOut),
        2 => (0u8..60).prop_map(Step::Forget),
    ]
}

fn bounds(lower: Bound<u8>, upper: Bound<u8>) -> KeyBounds {
    let bound = |bound: Bound<u8>| bound.map(|number| key(number.into()));
    (bound(lower), bound(upper))
}

proptest! {
    #[test]
    fn it_finds_those_who_looked(steps in prop::collection::vec(step(), 1..120)) {
        const INDEX: (u32, u32) = (512, 0);
        let mut readers = Readers::default();
        let mut open: Vec<(Reads, Vec<KeyBounds>)> =
            (1..6).map(|owner| (Reads::of(owner), Vec::new())).collect();
        let (mut over, mut begun) = (Vec::new(), 6);
        for step in steps {
            match step {
                Step::Point(owner, number) => {
                    let (reads, seen) = &mut open[owner as usize - 1];
                    let own = key(number.into());
                    readers.look(reads, |reads| reads.add_point(512, 0, &own));
                    seen.push((Bound::Included(own.clone()), Bound::Included(own)));
                }
                Step::Range(owner, lower, upper) => {
                    let (reads, seen) = &mut open[owner as usize - 1];
                    let range = bounds(lower, upper);
                    readers.look(reads, |reads| reads.add_range(512, 0, range.clone()));
                    seen.push(range);
                }
                Step::End(owner) => {
                    let fresh = (Reads::of(begun), Vec::new());
                    begun += 1;
                    over.push(std::mem::replace(&mut open[owner as usize - 1], fresh).0);
                }
                Step::TakeOut(most) => {
                    if let Some(reads) = over.last_mut()
                        && readers.take_out(reads, most).1
                    {
                        prop_assert_eq!(over.pop().map(|reads| reads.bytes()), Some(0));
                    }
                }
                Step::Forget(number) => {
                    let (own, mut found) = (key(number.into()), Vec::new());
                    readers.find(INDEX, &own, &mut found);
                    let is_over = |owner| over.iter().any(|reads: &Reads| reads.owner == owner);
                    for reader in found.into_iter().filter(|reader| is_over(reader.owner)) {
                        readers.forget(INDEX, &own, reader);
                    }
                }
            }
        }
        let is_open = |owner: &u64| open.iter().any(|(reads, _)| reads.owner == *owner);
        for number in 0..60 {
            let own = key(number);
            let mut found = readers.owners(INDEX, &own);
            found.retain(is_open);
            let saw = open.iter().filter(|(_, seen)| seen.iter().any(|range| range.contains(&own)));
            let mut expected: Vec<_> = saw.map(|(reads, _)| reads.owner).collect();
            expected.sort_unstable();
            prop_assert_eq!(found, expected);
        }
        over.extend(open.into_iter().map(|(reads, _)| reads));
        for mut reads in over {
            prop_assert!(readers.take_out(&mut reads, usize::MAX).1 && reads.bytes() == 0);
        }
        prop_assert!(readers.is_empty());
    }
}
