//! What a change costs those whose transactions are open, and what they have seen when it is over.

use std::ops::Bound;

use vestibule_actors::PeerAddress;
use vestibule_actors::engine::catalog::User;

use super::*;

fn key(number: u64) -> Key {
    Key::from_bytes(&number.to_be_bytes())
}

fn caller() -> Caller {
    Caller {
        connection: 1,
        user: User::named("guest"),
        peer: PeerAddress::Local,
        is_administrator: false,
    }
}

/// Open transactions that have written something, and have seen these ranges.
fn open(count: u64, ranges: u64, range: impl Fn(u64, u64) -> (u64, u64)) -> Transactions {
    let mut all = Transactions::default();
    for number in 0..count {
        let id = TransactionId(number);
        all.open(id, &caller()).unwrap();
        let mut own = all.take(id).unwrap();
        own.layer.set(513, key(number), None);
        for at in 0..ranges {
            let (from, to) = range(number, at);
            let range = (Bound::Included(key(from)), Bound::Excluded(key(to)));
            own.reads.get_mut().add_range(512, 0, range);
        }
        all.put_back(id, own);
    }
    all
}

fn aborted(all: &Transactions) -> usize {
    all.open.values().filter(|own| own.is_aborted).count()
}

#[test]
fn a_commit_of_many_changes_costs_what_it_overlaps() {
    const CHANGES: u64 = 50_000;
    let between = |number, at| {
        let from = (at * 100 + number) * 10;
        (from + 1, from + 9)
    };
    let mut all = open(100, 200, between);
    let before = all.readers.steps();
    for number in 0..CHANGES {
        all.note(512, 0, &key(number * 10), &mut |_| None);
    }
    assert_eq!(aborted(&all), 0);
    let steps = all.readers.steps() - before;
    assert!(steps < CHANGES * 100, "{steps}");
    // Each key is in a range of every transaction: the first one aborts them all, and what is
    // left of them is found once, and not by every change.
    let mut all = open(100, 200, |_, at| (at * 1000, at * 1000 + 900));
    let before = all.readers.steps();
    for number in 0..CHANGES {
        all.note(512, 0, &key(number), &mut |_| None);
        assert_eq!(aborted(&all), 100);
    }
    let steps = all.readers.steps() - before;
    assert!(steps < 20_000 * 40, "{steps}");
    assert!(all.readers.is_empty() && all.over.is_empty() && all.bytes() == 0);
}

/// What one that ended has seen is taken out bit by bit, and counts until then.
#[test]
fn what_was_seen_is_taken_out_in_bounded_steps() {
    let mut all = open(1, 0, |_, _| (0, 0));
    let id = TransactionId(0);
    let mut own = all.take(id).unwrap();
    for number in 0..10_000 {
        own.reads.get_mut().add_point(512, 0, &key(number));
    }
    all.put_back(id, own);
    let full = all.bytes();
    all.forget(id);
    let (mut steps, mut last) = (0, all.readers.len());
    assert!(last > 9000 && all.bytes() > full / 2);
    while !all.over.is_empty() {
        all.tidy();
        assert!(last - all.readers.len() <= TRANSACTION_TAKEN_OUT_MAX);
        last = all.readers.len();
        steps += 1;
    }
    assert!(steps >= 10_000 / TRANSACTION_TAKEN_OUT_MAX);
    assert_eq!((all.bytes(), all.readers.is_empty()), (0, true));
}
