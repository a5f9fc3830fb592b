//! Transactions that only read: whatever is committed meanwhile, they go on with what they saw.

use vestibule_actors::engine::Engine;

use super::{CONFLICT, EQ, GE, ONE, TWO, rig};
use crate::limits::VERSIONS_KEPT_BYTES_MAX;
use crate::tests::{NONE, Rig};

fn get(rig: &mut Rig, id: vestibule_actors::engine::TransactionId, key: u64) -> String {
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
