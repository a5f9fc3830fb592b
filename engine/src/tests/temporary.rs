//! Temporary spaces: defined for good, and empty after each start.

use std::collections::BTreeMap;

use serde_json::json;
use vestibule_actors::engine::{Engine, TransactionId};
use vestibule_wire::request::{Begin, Body, IdOrName, Select, Store};

use super::{NONE, Rig, by, pack};

/// The number of the temporary space `t`.
const TEMPORARY: u32 = 513;
const READ_ONLY: &str = "7: Can't modify data on a read-only instance - box.cfg.read_only is true";

impl Rig {
    /// Stores into `t`.
    fn keep(&mut self, tuple: &impl serde::Serialize) -> String {
        self.run(Body::Replace(Store {
            space: IdOrName::Id(TEMPORARY),
            tuple: &pack(tuple),
        }))
    }

    fn kept(&mut self) -> String {
        self.run(Body::Select(Select {
            space: IdOrName::Id(TEMPORARY),
            ..by(&[0x90])
        }))
    }

    fn in_transaction(&mut self, id: u64, work: impl FnOnce(&mut Self)) -> TransactionId {
        let options = Begin {
            timeout: None,
            isolation: 0,
        };
        let id = TransactionId(id);
        self.engine.begin(id, &options, &self.caller).unwrap();
        self.inside = Some(id);
        work(self);
        self.inside = None;
        id
    }
}

/// The spaces `s`, and `t`, which is temporary.
fn rig() -> Rig {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    let options = BTreeMap::from([("temporary", true)]);
    assert_eq!(
        rig.call("box.schema.space.create", &("t", options)),
        r#"[{"id": 513, "name": "t"}]"#
    );
    for (name, options) in [
        ("pk", json!({"parts": [[1, "unsigned"]]})),
        ("second", json!({"parts": [[2, "string"]], "unique": false})),
    ] {
        let made = rig.call("box.space.t:create_index", &(name, options));
        assert!(made.starts_with("[{"), "{made}");
    }
    rig
}

#[test]
fn a_restart_empties_a_temporary_space_and_keeps_its_definition() {
    let mut rig = rig();
    let start = rig.engine.image().sequence;
    assert_eq!(rig.keep(&(1, "a")), r#"[[1, "a"]]"#);
    rig.commit();
    assert_eq!(rig.engine.image().sequence, start, "nothing is journaled");
    rig.keep(&(2, "b"));
    rig.insert(&(7,));
    rig.commit();
    assert_eq!(rig.engine.image().sequence, start + 1);
    assert_eq!(rig.kept(), r#"[[1, "a"], [2, "b"]]"#);
    assert_eq!(rig.call("box.space.t.index.second:count", &("b",)), "[1]");
    rig.reopen();
    assert_eq!((&*rig.all(), &*rig.kept()), ("[[7]]", "[]"));
    assert_eq!(rig.call("box.space.t.index.second:len", &NONE), "[0]");
    rig.keep(&(3, "c"));
    rig.commit();
    rig.reopen();
    assert_eq!(rig.kept(), "[]", "it is temporary still");
}

#[test]
fn a_checkpoint_has_no_tuples_of_temporary_spaces() {
    let mut rig = rig();
    rig.keep(&(1, "a"));
    rig.insert(&(7,));
    rig.commit();
    rig.checkpoint();
    rig.keep(&(2, "b"));
    rig.commit();
    rig.reopen();
    assert_eq!((&*rig.all(), &*rig.kept()), ("[[7]]", "[]"));
}

#[test]
fn a_transaction_may_change_both_kinds() {
    let mut rig = rig();
    let id = rig.in_transaction(1, |rig| {
        rig.keep(&(1, "a"));
        rig.insert(&(7,));
    });
    rig.engine.rollback_transaction(id);
    assert_eq!((&*rig.all(), &*rig.kept()), ("[]", "[]"));
    let id = rig.in_transaction(2, |rig| {
        rig.keep(&(1, "a"));
        rig.insert(&(7,));
    });
    rig.engine.commit_transaction(id).unwrap();
    rig.commit();
    assert_eq!((&*rig.all(), &*rig.kept()), ("[[7]]", r#"[[1, "a"]]"#));
    // Conflicts are found there as well.
    let (one, two) = (
        rig.in_transaction(3, |rig| drop(rig.keep(&(1, "one")))),
        rig.in_transaction(4, |rig| drop(rig.keep(&(1, "two")))),
    );
    rig.engine.commit_transaction(two).unwrap();
    let told = rig.engine.commit_transaction(one).unwrap_err();
    assert_eq!(told.code().0, 97);
    rig.commit();
    assert_eq!(rig.kept(), r#"[[1, "two"]]"#);
    rig.reopen();
    assert_eq!((&*rig.all(), &*rig.kept()), ("[[7]]", "[]"));
}

#[test]
fn a_replica_changes_temporary_spaces_only() {
    let mut rig = rig();
    rig.engine.set_read_only(true);
    assert_eq!(rig.keep(&(1, "a")), r#"[[1, "a"]]"#);
    assert_eq!(rig.insert(&(7,)), READ_ONLY);
    assert_eq!(
        rig.call("box.space.t:insert", &((2, "b"),)),
        r#"[[2, "b"]]"#
    );
    let id = rig.in_transaction(1, |rig| {
        assert_eq!(rig.keep(&(3, "c")), r#"[[3, "c"]]"#);
        assert_eq!(rig.insert(&(7,)), READ_ONLY);
    });
    rig.engine.commit_transaction(id).unwrap();
    rig.commit();
    assert_eq!(rig.kept(), r#"[[1, "a"], [2, "b"], [3, "c"]]"#);
    // As Tarantool: definitions and truncations are journaled.
    assert_eq!(rig.call("box.space.t:truncate", &NONE), READ_ONLY);
    // What began before the change of role and changed both kinds is not committed by half.
    rig.engine.set_read_only(false);
    let id = rig.in_transaction(2, |rig| {
        rig.keep(&(4, "d"));
        rig.insert(&(7,));
    });
    rig.engine.set_read_only(true);
    assert_eq!(rig.engine.commit_transaction(id).unwrap_err().code().0, 7);
    rig.commit();
    assert_eq!(rig.call("box.space.t:len", &NONE), "[3]");
}

#[test]
fn a_replica_takes_no_value_of_a_sequence_for_a_temporary_space() {
    let mut rig = rig();
    let options = BTreeMap::from([("temporary", true)]);
    rig.call("box.schema.space.create", &("numbered", options));
    let made = rig.call(
        "box.space.numbered:create_index",
        &("pk", json!({"sequence": true})),
    );
    assert!(made.starts_with("[{"), "{made}");
    assert_eq!(rig.call("box.space.numbered:insert", &([()],)), "[[1]]");
    rig.engine.set_read_only(true);
    assert_eq!(rig.call("box.space.numbered:insert", &([()],)), READ_ONLY);
    rig.engine.set_read_only(false);
    rig.reopen();
    assert_eq!(
        rig.call("box.space.numbered:insert", &([()],)),
        "[[2]]",
        "the sequence is durable"
    );
}

#[test]
fn temporary_spaces_take_changes_after_the_journal_failed() {
    let mut rig = rig();
    rig.insert(&(7,));
    rig.disk.set_fails_next_append(true);
    rig.engine.commit().unwrap_err();
    assert!(rig.insert(&(8,)).starts_with("7: "));
    assert_eq!(rig.keep(&(1, "a")), r#"[[1, "a"]]"#);
    rig.commit();
    assert_eq!((&*rig.all(), &*rig.kept()), ("[]", r#"[[1, "a"]]"#));
}

#[test]
fn a_space_becomes_temporary_or_durable_while_it_is_empty() {
    let mut rig = rig();
    rig.keep(&(1, "a"));
    rig.commit();
    let mut alter = |options| rig.call("box.space.t:alter", &(options,));
    let refused = "12: Can't modify space 't': can not switch temporary flag on a non-empty space";
    assert_eq!(alter(json!({"temporary": false})), refused);
    assert_eq!(alter(json!({"type": "normal"})), refused);
    assert_eq!(alter(json!({"temporary": true, "name": "t"})), "[]");
    assert_eq!(
        alter(json!({"type": "temporary"})),
        "5: vestibule does not support the space type 'temporary'"
    );
    assert_eq!(
        alter(json!({"type": "normal", "temporary": false})),
        "1: Illegal parameters, only one of 'type' or 'temporary' may be specified"
    );
    assert_eq!(rig.call("box.space.t:truncate", &NONE), "[]");
    assert_eq!(
        rig.call("box.space.t:alter", &(json!({"type": "normal"}),)),
        "[]"
    );
    rig.keep(&(1, "a"));
    rig.commit();
    rig.reopen();
    assert_eq!(rig.kept(), r#"[[1, "a"]]"#);
    rig.call("box.space.t:truncate", &NONE);
    let made = rig.call("box.space.t:alter", &(json!({"type": "data-temporary"}),));
    assert_eq!(made, "[]");
    rig.keep(&(2, "b"));
    rig.commit();
    rig.checkpoint();
    rig.reopen();
    assert_eq!(rig.kept(), "[]");
}

#[test]
fn a_temporary_space_can_be_truncated_and_dropped() {
    let mut rig = rig();
    rig.keep(&(1, "a"));
    rig.commit();
    assert_eq!(rig.call("box.space.t:truncate", &NONE), "[]");
    assert_eq!(rig.kept(), "[]");
    rig.keep(&(2, "b"));
    rig.commit();
    let options = json!({"parts": [[2, "string"], [1, "unsigned"]]});
    let made = rig.call("box.space.t:create_index", &("third", options));
    assert!(made.starts_with("[{"), "{made}");
    assert_eq!(rig.call("box.space.t.index.third:count", &("b",)), "[1]");
    rig.reopen();
    assert_eq!(rig.call("box.space.t.index.third:len", &NONE), "[0]");
    assert_eq!(rig.call("box.space.t:drop", &NONE), "[]");
    rig.reopen();
    assert!(rig.kept().starts_with("36: "));
}
