//! Transactions that only read: whatever is committed meanwhile, they go on with what they saw.

use vestibule_actors::engine::{Engine, TransactionId};

use super::{CONFLICT, EQ, GE, ONE, TWO, rig};
use crate::limits::{TURN_COPIED_BYTES_MAX, VERSIONS_KEPT_BYTES_MAX};
use crate::tests::{NONE, Rig};

fn get(rig: &mut Rig, id: TransactionId, key: u64) -> String {
    rig.on(id, |rig| rig.some(EQ, key, 1))
}

#[test]
fn a_transaction_that_only_reads_goes_on_with_what_it_saw() {
    let mut rig = rig();
    rig.call("box.schema.space.create", &("t",));
    rig.call("box.space.t:create_index", &("pk",));
    rig.call("box.space.t:replace", &((1, "old"),));
    assert_eq!(get(&mut rig, ONE, 1), "[[1, 0]]");
    rig.replace(&(2, 5));
    // Nothing that it has seen has changed: it sees the present still.
    assert_eq!(get(&mut rig, ONE, 2), "[[2, 5]]");
    rig.replace(&(1, 1));
    rig.replace(&(3, 1));
    rig.commit();
    rig.call("box.space.t:replace", &((1, "new"),));
    rig.delete(&(4,));
    rig.insert(&(10, 1));
    rig.commit();
    for _ in 0..2 {
        assert_eq!(get(&mut rig, ONE, 1), "[[1, 0]]");
        assert_eq!(get(&mut rig, ONE, 3), "[[3, 0]]");
        let all = rig.on(ONE, |rig| rig.some(GE, 2, 3));
        assert_eq!(all, "[[2, 5], [3, 0], [4, 0]]");
        let counted = rig.on(ONE, |rig| rig.call("box.space.s:len", &NONE));
        assert_eq!(counted, "[9]");
        let other = rig.on(ONE, |rig| rig.call("box.space.t:get", &(1,)));
        assert_eq!(other, r#"[[1, "old"]]"#);
    }
    assert_eq!(rig.engine.versions_kept(), 1);
    assert_eq!(rig.finish(ONE), "ok");
    assert_eq!(rig.engine.versions_kept(), 0);
    assert_eq!(rig.some(EQ, 1, 1), "[[1, 1]]");
}

/// What came before in the same turn is seen, what comes after is not.
#[test]
fn the_past_has_what_of_the_turn_came_before() {
    let mut rig = rig();
    rig.replace(&(1, 1));
    rig.replace(&(2, 1));
    assert_eq!(get(&mut rig, ONE, 1), "[[1, 1]]");
    rig.replace(&(1, 2));
    rig.replace(&(2, 2));
    assert_eq!(get(&mut rig, TWO, 1), "[[1, 2]]");
    rig.replace(&(1, 3));
    for _ in 0..2 {
        assert_eq!(get(&mut rig, ONE, 1), "[[1, 1]]");
        assert_eq!(get(&mut rig, ONE, 2), "[[2, 1]]");
        assert_eq!(get(&mut rig, TWO, 2), "[[2, 2]]");
        assert_eq!(get(&mut rig, TWO, 1), "[[1, 2]]");
        rig.commit();
    }
    assert_eq!((&*rig.finish(ONE), &*rig.finish(TWO)), ("ok", "ok"));
}

#[test]
fn nobody_sees_half_of_a_commit_or_of_a_statement() {
    let mut rig = rig();
    let options = std::collections::BTreeMap::from([("parts", [(2, "unsigned")])]);
    let made = rig.call("box.space.s:truncate", &NONE);
    assert_eq!(made, "[]");
    rig.call("box.space.s:create_index", &("by_value", options));
    rig.insert(&(1, 10));
    rig.insert(&(2, 20));
    rig.commit();
    for id in [ONE, TWO] {
        rig.engine.rollback_transaction(id);
        rig.begin(id);
    }
    let by_value = "box.space.s.index.by_value:get";
    // The secondary index is changed first.
    assert_eq!(get(&mut rig, ONE, 1), "[[1, 10]]");
    rig.replace(&(1, 11));
    let found = rig.on(ONE, |rig| rig.try_call(by_value, &super::pack(&(10,))));
    assert_eq!(crate::tests::printed(&found.unwrap()), "[[1, 10]]");
    assert_eq!(rig.finish(ONE), "ok");
    // The second key of a commit is the one that was seen.
    rig.begin(ONE);
    assert_eq!(get(&mut rig, ONE, 2), "[[2, 20]]");
    rig.on(TWO, |rig| {
        rig.replace(&(1, 12));
        rig.replace(&(2, 22));
    });
    assert_eq!(rig.finish(TWO), "ok");
    assert_eq!(get(&mut rig, ONE, 1), "[[1, 11]]");
    assert_eq!(rig.finish(ONE), "ok");
}

#[test]
fn the_past_is_not_written_to() {
    let mut rig = rig();
    get(&mut rig, ONE, 1);
    rig.replace(&(1, 1));
    rig.commit();
    assert_eq!(rig.on(ONE, |rig| rig.replace(&(5, 1))), CONFLICT);
    assert_eq!(get(&mut rig, ONE, 5), CONFLICT);
    assert_eq!(rig.finish(ONE), CONFLICT);
    assert_eq!(rig.some(EQ, 5, 1), "[[5, 0]]");
    // What it saw is as it was: it may write.
    get(&mut rig, TWO, 2);
    rig.replace(&(1, 2));
    rig.commit();
    assert_eq!(rig.on(TWO, |rig| rig.replace(&(3, 1))), "[[3, 1]]");
    assert_eq!(rig.finish(TWO), "ok");
}

#[test]
fn a_turn_that_fails_takes_its_past_along() {
    let mut rig = rig();
    get(&mut rig, ONE, 1);
    rig.replace(&(1, 1));
    get(&mut rig, TWO, 1);
    rig.replace(&(1, 2));
    // One goes on with what is durable, the other with what never was.
    rig.fail_turn();
    assert_eq!(get(&mut rig, ONE, 1), "[[1, 0]]");
    assert_eq!(get(&mut rig, TWO, 1), CONFLICT);
    assert_eq!((&*rig.finish(ONE), &*rig.finish(TWO)), ("ok", CONFLICT));
}

#[test]
fn the_past_ends_with_its_version_and_with_its_definitions() {
    let mut rig = rig();
    for id in [ONE, TWO] {
        get(&mut rig, id, 1);
    }
    rig.replace(&(1, 1));
    rig.commit();
    let image = rig.engine.shared_image();
    let most = VERSIONS_KEPT_BYTES_MAX as usize;
    image.change(1, |image| image.leave_behind(most + 1));
    assert_eq!(get(&mut rig, ONE, 2), CONFLICT);
    assert_eq!(rig.finish(ONE), CONFLICT);
    // Nothing more is asked: what it saw is true.
    assert_eq!(rig.finish(TWO), "ok");
    rig.begin(ONE);
    get(&mut rig, ONE, 1);
    rig.replace(&(1, 2));
    rig.commit();
    rig.call("box.schema.space.create", &("other",));
    assert_eq!(get(&mut rig, ONE, 2), CONFLICT);
    assert_eq!(rig.finish(ONE), CONFLICT);
}

#[test]
fn a_sequence_gives_no_number_twice_whatever_a_transaction_sees() {
    let mut rig = rig();
    rig.call("box.schema.sequence.create", &("q",));
    assert_eq!(rig.call("box.sequence.q:next", &NONE), "[1]");
    get(&mut rig, ONE, 1);
    rig.replace(&(1, 1));
    rig.commit();
    assert_eq!(rig.call("box.sequence.q:next", &NONE), "[2]");
    let next = rig.on(ONE, |rig| rig.call("box.sequence.q:next", &NONE));
    assert_eq!(next, "[3]");
    assert_eq!(rig.call("box.sequence.q:next", &NONE), "[4]");
}

/// Each reader has seen another key, and each write of a turn overtakes one of them.
#[test]
fn what_is_copied_for_readers_is_in_proportion_to_what_is_changed() {
    const READERS: u64 = 1000;
    let mut rig = rig();
    for reader in 0..READERS {
        let id = TransactionId(1000 + reader);
        rig.begin(id);
        get(&mut rig, id, 100 + reader);
    }
    let (mut copied, mut turns) = (0, 1);
    for write in 0..4096 {
        let (before, is_full) = (rig.engine.turn().copied(), rig.engine.is_turn_full());
        rig.replace(&(100 + write, write));
        let after = rig.engine.turn().copied();
        copied += after - if is_full { 0 } else { before };
        turns += usize::from(is_full);
    }
    rig.commit();
    assert!(copied < 8 << 20, "{copied}");
    assert!(turns < 40, "{turns}");
    for reader in 0..READERS {
        let id = TransactionId(1000 + reader);
        // What came before it was overtaken is seen, what came after is not.
        assert_eq!(get(&mut rig, id, 100 + reader), "[]");
        if let Some(before) = reader.checked_sub(1) {
            let row = format!("[[{}, {before}]]", 100 + before);
            assert_eq!(get(&mut rig, id, 100 + before), row);
        }
        assert_eq!(rig.finish(id), "ok");
    }
}

/// A COMMIT joins the turn, full or not.
#[test]
fn commits_that_overtake_readers_copy_no_more_than_there_may_be() {
    let mut rig = rig();
    let id = |kind: u64, number: u64| TransactionId(1000 * kind + number);
    for number in 0..200 {
        rig.begin(id(1, number));
        get(&mut rig, id(1, number), 100 + number);
        rig.begin(id(2, number));
        let value = "v".repeat(1000);
        rig.on(id(2, number), |rig| rig.replace(&(100 + number, value)));
    }
    for number in 0..200 {
        assert_eq!(rig.finish(id(2, number)), "ok");
    }
    assert!(rig.engine.turn().copied() < TURN_COPIED_BYTES_MAX + 400_000);
    rig.commit();
    let ends: Vec<_> = (0..200).map(|number| rig.finish(id(1, number))).collect();
    let kept = ends.iter().take_while(|own| *own == "ok").count();
    assert!((2..200).contains(&kept), "{kept}");
    assert!(ends[kept..].iter().all(|own| own == CONFLICT));
}
