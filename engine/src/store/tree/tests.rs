use std::collections::BTreeMap;
use std::ops::Bound;

use proptest::prelude::*;

use super::{Together, Tree};
use crate::limits::LOOK_UPS_TOGETHER_MAX;
use crate::model::key::Key;
use crate::model::tuple::Tuple;

type Model = BTreeMap<Key, Tuple>;

fn key() -> impl Strategy<Value = Key> + Clone {
    prop_oneof![
        4 => (0u64..2000).prop_map(|number| Key::from_bytes(&number.to_be_bytes())),
        1 => prop::collection::vec(0u8..3, 0..12).prop_map(|bytes| Key::from_bytes(&bytes)),
        1 => (0u64..20, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(number, mut rest)| {
            rest.splice(0..0, number.to_be_bytes());
            Key::from_bytes(&rest)
        }),
    ]
}

/// Keys of one size but for few: two numbers, mostly, and several keys of the same first number.
fn even_key() -> impl Strategy<Value = Key> + Clone {
    let even = |(first, second): (u64, u64)| pair_key(first, second);
    prop_oneof![
        40 => (0u64..40, 0u64..50).prop_map(even),
        1 => key(),
        1 => (0u64..40).prop_map(|first| Key::from_bytes(&first.to_be_bytes())),
    ]
}

fn pair_key(first: u64, second: u64) -> Key {
    Key::from_bytes(&[first.to_be_bytes(), second.to_be_bytes()].concat())
}

fn bound(key: impl Strategy<Value = Key> + Clone) -> impl Strategy<Value = Bound<Key>> {
    prop_oneof![
        Just(Bound::Unbounded),
        key.clone().prop_map(Bound::Included),
        key.prop_map(Bound::Excluded),
    ]
}

fn check_range(tree: &Tree, model: &Model, lower: &Bound<Key>, upper: &Bound<Key>) {
    use std::ops::RangeBounds;
    let bounds = (lower.as_ref(), upper.as_ref());
    let expected: Vec<_> = model
        .iter()
        .filter(|(key, _)| bounds.contains(*key))
        .collect();
    let found = |is_reverse| -> Vec<_> {
        tree.range(bounds, is_reverse)
            .map(|(key, tuple)| (key.to_key(), tuple.clone()))
            .collect()
    };
    let mut expected: Vec<_> = expected
        .into_iter()
        .map(|(key, tuple)| (key.clone(), tuple.clone()))
        .collect();
    assert_eq!(found(false), expected);
    expected.reverse();
    assert_eq!(found(true), expected);
}

#[derive(Debug, Clone)]
enum Step {
    Insert(Key),
    Remove(Key),
    InsertMany(u64, u64),
    RemoveMany(u64, u64),
    Range(Bound<Key>, Bound<Key>),
    /// A version of the tree is kept from here on.
    Keep,
    /// One of those that are kept is let go.
    Forget(usize),
}

fn step(key: impl Strategy<Value = Key> + Clone) -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => key.clone().prop_map(Step::Insert),
        6 => key.clone().prop_map(Step::Remove),
        1 => (0u64..2000, 0u64..700).prop_map(|(from, count)| Step::InsertMany(from, count)),
        1 => (0u64..2000, 0u64..700).prop_map(|(from, count)| Step::RemoveMany(from, count)),
        2 => (bound(key.clone()), bound(key)).prop_map(|(lower, upper)| Step::Range(lower, upper)),
        2 => Just(Step::Keep),
        1 => any::<usize>().prop_map(Step::Forget),
    ]
}

#[derive(Default)]
struct Pair {
    tree: Tree,
    model: Model,
    count: u64,
}

impl Pair {
    fn insert(&mut self, key: Key) {
        self.count += 1;
        // Every third one stands beside the node.
        let size = if self.count.is_multiple_of(3) { 40 } else { 8 };
        let tuple = Tuple::from(&self.count.to_be_bytes().repeat(size / 8)[..]);
        assert_eq!(
            self.tree.insert(key.clone(), tuple.clone()),
            self.model.insert(key, tuple)
        );
    }

    fn remove(&mut self, key: &Key) {
        assert_eq!(self.tree.remove(key), self.model.remove(key));
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Insert(key) => self.insert(key),
            Step::Remove(key) => self.remove(&key),
            Step::InsertMany(from, count) => {
                (from..from + count).for_each(|key| self.insert(number(key)));
            }
            Step::RemoveMany(from, count) => {
                (from..from + count).for_each(|key| self.remove(&number(key)));
            }
            Step::Range(lower, upper) => {
                // An empty range is the caller's to avoid; here it must only be empty.
                check_range(&self.tree, &self.model, &lower, &upper);
            }
            Step::Keep | Step::Forget(_) => {}
        }
        assert_eq!(self.tree.len(), self.model.len());
    }

    fn check(&self) {
        check_range(
            &self.tree,
            &self.model,
            &Bound::Unbounded,
            &Bound::Unbounded,
        );
        for (key, tuple) in &self.model {
            assert_eq!(self.tree.get(key), Some(tuple));
        }
        let (counted, told) = (self.tree.root.count(), *self.tree.tally());
        let left_behind = told.left_behind;
        assert_eq!(
            told,
            super::Tally {
                left_behind,
                ..counted
            }
        );
    }
}

fn number(number: u64) -> Key {
    Key::from_bytes(&number.to_be_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn it_does_as_the_standard_librarys_tree_does(
        steps in prop::collection::vec(step(key()), 1..200),
    ) {
        let mut pair = Pair::default();
        for step in steps {
            pair.apply(step);
        }
        pair.check();
        prop_assert_eq!(pair.tree.tally().left_behind, 0);
    }

    #[test]
    fn keys_of_one_size_and_few_others_are_found_as_well(
        steps in prop::collection::vec(step(even_key()), 1..400),
        rows in 0u64..2000,
    ) {
        let mut pair = Pair::default();
        (0..rows).for_each(|at| pair.insert(pair_key(at / 50, at % 50)));
        for step in steps {
            // Plain numbers in bulk would leave no node without them.
            if !matches!(step, Step::InsertMany(..)) {
                pair.apply(step);
            }
        }
        pair.check();
    }

    #[test]
    fn versions_stay_as_they_were(steps in prop::collection::vec(step(key()), 1..200)) {
        let (mut pair, mut kept) = (Pair::default(), Vec::new());
        for step in steps {
            match step {
                Step::Keep => kept.push((pair.tree.clone(), pair.model.clone())),
                Step::Forget(at) if !kept.is_empty() => drop(kept.swap_remove(at % kept.len())),
                step => pair.apply(step),
            }
        }
        pair.check();
        for (tree, model) in kept {
            Pair { tree, model, count: 0 }.check();
        }
    }
}

/// One version is kept while every row is replaced twice, and then all are removed.
#[test]
fn a_node_is_copied_once_for_a_version_and_not_at_all_without_one() {
    let mut pair = Pair::default();
    (0..5000).for_each(|at| pair.insert(number(at)));
    (0..5000).for_each(|at| pair.insert(number(at)));
    assert_eq!(pair.tree.tally().left_behind, 0);
    let version = Pair {
        tree: pair.tree.clone(),
        model: pair.model.clone(),
        count: 0,
    };
    let whole = pair.tree.tally().nodes as u64;
    for _ in 0..2 {
        (0..5000).for_each(|at| pair.insert(number(at)));
        assert_eq!(pair.tree.tally().left_behind, whole);
    }
    (0..5000).for_each(|at| pair.remove(&number(at)));
    assert_eq!(pair.tree.tally().left_behind, whole);
    pair.check();
    version.check();
}

/// What a version shares with the tree is freed by the last that lets go of it.
#[test]
fn what_nobody_holds_is_freed() {
    let content = Tuple::from(&[b'x'; 100][..]);
    let mut tree = Tree::default();
    (0..1000).for_each(|at| drop(tree.insert(number(at), content.clone())));
    let version = tree.clone();
    (0..1000).for_each(|at| drop(tree.remove(&number(at))));
    assert_eq!(content.sharers(), 1001);
    drop(version);
    assert_eq!(content.sharers(), 1);
}

/// What a node takes for a key beyond the eight bytes of its head.
#[test]
fn keys_that_go_on_for_as_long_take_as_many_bytes_as_they_have() {
    let rows = (super::tails::WIDTH * 100) as u64;
    let nodes = |key: &dyn Fn(u64) -> Key| {
        let mut pair = Pair::default();
        (0..rows).for_each(|at| pair.insert(key(at)));
        pair.check();
        pair.tree.tally().nodes as f64 / rows as f64
    };
    let plain = nodes(&number);
    for size in [1, 8, 9, 22] {
        let even = nodes(&|at| Key::from_bytes(&[&at.to_be_bytes()[..], &vec![7; size]].concat()));
        let taken = even - plain;
        // An allocation for each node of 32, and few nodes above those.
        let own = crate::model::memory::allocated(32 * size) as f64 / 32.0;
        assert!((own..own * 1.06).contains(&taken), "{taken} for {size}");
    }
}

/// Rows share leaves: at least nine have one together, whether they come up, down, or down to a
/// leaf that is full, one by one or some up at a time.
#[test]
fn keys_in_order_do_not_have_a_leaf_each() {
    let rows = 3200;
    let nodes = |before: &[u64], keys: &mut dyn Iterator<Item = u64>| {
        let mut pair = Pair::default();
        before.iter().for_each(|at| pair.insert(number(*at)));
        keys.for_each(|at| pair.insert(number(at)));
        pair.check();
        let all = before.len() + rows as usize;
        pair.tree.tally().nodes / all
    };
    let up = nodes(&[], &mut (0..rows));
    // Leaves that are full, and room for many keys between any two of theirs.
    let mut full: Vec<u64> = (0..320).map(|at| at * 1_000_000).collect();
    // One of them is split at its end.
    full.push(31_500_000);
    let places = [0, 15, 23, 24, 27, 30, 31, 319].map(|at| at * 1_000_000);
    for place in places {
        assert!(nodes(&full, &mut (place + 1..).take(rows as usize)) <= 2 * up);
        for some in [1, 2, 3, 8, 10] {
            let groups = (0..rows / some).rev();
            let mut keys =
                groups.flat_map(|at| (0..some).map(move |own| place + 1 + at * some + own));
            let taken = nodes(&full, &mut keys);
            assert!(
                taken <= 4 * up,
                "{taken} bytes of nodes a row, {some} at a time, {up} up"
            );
        }
    }
}

#[test]
fn many_rows_come_and_go_in_any_order() {
    let mut pair = Pair::default();
    // An odd factor reaches every number below a power of two once, in scattered order.
    let scattered = |at: u64| at.wrapping_mul(0x9e37_79b1) % (1 << 15);
    (0..1 << 15).for_each(|at| pair.insert(number(scattered(at))));
    check_range(
        &pair.tree,
        &pair.model,
        &Bound::Unbounded,
        &Bound::Unbounded,
    );
    (0..1 << 15).for_each(|at| pair.remove(&number(scattered(at * 7))));
    assert!(pair.tree.is_empty());
    (0..1 << 12).for_each(|at| pair.insert(number(at)));
    check_range(
        &pair.tree,
        &pair.model,
        &Bound::Unbounded,
        &Bound::Unbounded,
    );
}

/// Whatever is done to a tree that was built from keys in order, it is the tree it should be.
#[test]
fn a_tree_that_was_built_in_order_is_like_one_that_grew() {
    let key = |number: usize| Key::from_bytes(&(number as u64).to_be_bytes());
    let tuple = |number: usize| Tuple::from(vec![0x91, number as u8]);
    for len in (0..140).chain([1023, 1024, 1025, 1056, 1057, 32 * 32 * 32, 32 * 32 * 32 + 1]) {
        let mut builder = super::Builder::default();
        let mut model = Model::new();
        for number in 0..len {
            builder.push(key(2 * number), tuple(number)).unwrap();
            model.insert(key(2 * number), tuple(number));
        }
        if let Some(last) = len.checked_sub(1) {
            assert!(builder.push(key(2 * last), tuple(0)).is_err());
        }
        let mut tree = builder.finish();
        assert_eq!(tree.len(), len);
        assert_eq!(*tree.tally(), tree.root.count());
        check_range(&tree, &model, &Bound::Unbounded, &Bound::Unbounded);
        for number in 0..len {
            assert_eq!(tree.get(&key(2 * number)), Some(&tuple(number)));
            assert_eq!(tree.get(&key(2 * number + 1)), None);
        }
        for number in (0..len).filter(|number| number % 3 == 0) {
            tree.insert(key(2 * number + 1), tuple(7));
            model.insert(key(2 * number + 1), tuple(7));
        }
        for number in (0..len).filter(|number| number % 5 > 0) {
            assert!(tree.remove(&key(2 * number)).is_some());
            model.remove(&key(2 * number));
        }
        check_range(&tree, &model, &Bound::Unbounded, &Bound::Unbounded);
    }
}

#[test]
fn look_ups_that_go_down_together_find_what_each_finds_by_itself() {
    let of = |number: u64| Key::from_bytes(&number.to_be_bytes());
    let mut trees = [const { Vec::new() }; 3];
    for (tree, rows) in trees.iter_mut().zip([0, 20, 20_000]) {
        tree.extend((0..rows).map(|number| number * 2));
    }
    let trees = trees.map(|numbers| {
        let mut tree = Tree::default();
        for number in numbers {
            tree.insert(of(number), Tuple::from(&[7u8][..]));
        }
        tree
    });
    let mut together = Together::default();
    for number in [0, 7, 38, 100, 39_998] {
        trees.iter().for_each(|tree| together.add(tree, of(number)));
    }
    assert_eq!(together.len(), 15);
    let found = |number| {
        trees
            .iter()
            .filter(|tree| tree.get(&of(number)).is_some())
            .count()
    };
    let singly: usize = [0, 7, 38, 100, 39_998].into_iter().map(found).sum();
    assert_eq!((together.go(), singly), (6, 6));
}

#[test]
fn look_ups_beyond_the_bound_do_not_go_down() {
    let mut tree = Tree::default();
    let key = Key::from_bytes(&[1]);
    tree.insert(key.clone(), Tuple::from(&[7u8][..]));
    let mut together = Together::default();
    for _ in 0..LOOK_UPS_TOGETHER_MAX + 3 {
        together.add(&tree, key.clone());
    }
    assert_eq!(together.go(), LOOK_UPS_TOGETHER_MAX);
}
