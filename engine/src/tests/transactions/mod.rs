//! Interactive transactions: what they see, what conflicts, and what does not.

mod histories;
mod past;

use vestibule_actors::engine::{Engine, TransactionId};
use vestibule_wire::request::{Begin, Body, Select};

use super::{NONE, Rig, by, pack, told};
use crate::limits::{
    OPEN_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX, TRANSACTIONS_BYTES_PER_USER_AT_ADDRESS_MAX,
    TRANSACTIONS_BYTES_RESERVE,
};

const ONE: TransactionId = TransactionId(1);
const TWO: TransactionId = TransactionId(2);
const CONFLICT: &str = "97: Transaction has been aborted by conflict";
const OPTIONS: Begin = Begin {
    timeout: None,
    isolation: 4,
};

impl Rig {
    fn begin(&mut self, id: TransactionId) {
        self.engine.begin(id, &OPTIONS, &self.caller).unwrap();
    }

    /// Executes in a transaction.
    fn on<T>(&mut self, id: TransactionId, work: impl FnOnce(&mut Self) -> T) -> T {
        self.inside = Some(id);
        let result = work(self);
        self.inside = None;
        result
    }

    /// COMMIT, without the turn's.
    fn finish(&mut self, id: TransactionId) -> String {
        let finished = self.engine.commit_transaction(id);
        finished.map_or_else(|error| told(&error), |()| "ok".to_owned())
    }

    fn fail_turn(&mut self) {
        self.disk.set_fails_next_append(true);
        self.engine.commit().unwrap_err();
        self.engine.resume().unwrap();
    }

    fn some(&mut self, iterator: u64, key: u64, limit: u64) -> String {
        let key = pack(&(key,));
        self.run(Body::Select(Select {
            iterator,
            limit,
            ..by(&key)
        }))
    }
}

const EQ: u64 = 0;
const LE: u64 = 4;
const GE: u64 = 5;

/// `s` with the rows 1 to 9, and two open transactions.
fn rig() -> Rig {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    for key in 1..10 {
        rig.insert(&(key, 0));
    }
    rig.commit();
    rig.begin(ONE);
    rig.begin(TWO);
    rig
}

#[test]
fn own_writes_are_visible_and_nobody_elses_are_before_the_commit() {
    let mut rig = rig();
    rig.on(ONE, |rig| {
        assert_eq!(rig.replace(&(1, 1)), "[[1, 1]]");
        assert_eq!(rig.delete(&(2,)), "[[2, 0]]");
        assert_eq!(rig.update(&(1,), &(("+", 1, 5),)), "[[1, 6]]");
        assert_eq!(rig.some(LE, 3, 9), "[[3, 0], [1, 6]]");
        assert_eq!(rig.call("box.space.s:len", &NONE), "[8]");
    });
    assert_eq!(rig.some(LE, 2, 9), "[[2, 0], [1, 0]]");
    assert_eq!(rig.on(TWO, |rig| rig.some(EQ, 3, 9)), "[[3, 0]]");
    assert_eq!(rig.finish(ONE), "ok");
    assert_eq!(rig.some(LE, 2, 9), "[[1, 6]]");
    assert_eq!(rig.finish(TWO), "ok");
    rig.commit();
    rig.reopen();
    assert_eq!(rig.some(LE, 3, 9), "[[3, 0], [1, 6]]");
}

#[test]
fn a_rollback_leaves_nothing() {
    let mut rig = rig();
    rig.on(ONE, |rig| rig.replace(&(1, 1)));
    rig.engine.rollback_transaction(ONE);
    assert!(rig.engine.is_turn_empty());
    assert_eq!(rig.some(EQ, 1, 9), "[[1, 0]]");
    assert_eq!(rig.finish(ONE), CONFLICT);
}

#[test]
fn of_two_writers_the_first_to_commit_wins() {
    let mut rig = rig();
    for (id, value) in [(ONE, 1), (TWO, 2)] {
        rig.on(id, |rig| rig.replace(&(1, value)));
    }
    assert_eq!(rig.finish(TWO), "ok");
    assert_eq!(rig.on(ONE, |rig| rig.some(EQ, 5, 9)), CONFLICT);
    assert_eq!(
        rig.on(ONE, |rig| rig.call("box.space.s:len", &NONE)),
        CONFLICT
    );
    assert_eq!(rig.finish(ONE), CONFLICT);
    assert_eq!(rig.some(EQ, 1, 9), "[[1, 2]]");
}

#[test]
fn no_update_is_lost() {
    let mut rig = rig();
    for id in [ONE, TWO] {
        rig.on(id, |rig| rig.update(&(1,), &(("+", 1, 1),)));
    }
    assert_eq!((&*rig.finish(ONE), &*rig.finish(TWO)), ("ok", CONFLICT));
    // A request outside of any transaction counts like one.
    rig.begin(ONE);
    rig.on(ONE, |rig| rig.some(EQ, 1, 9));
    rig.on(ONE, |rig| rig.replace(&(50, 0)));
    rig.update(&(1,), &(("+", 1, 1),));
    assert_eq!(rig.finish(ONE), CONFLICT);
    assert_eq!(rig.some(EQ, 1, 9), "[[1, 2]]");
}

#[test]
fn there_is_no_write_skew() {
    let mut rig = rig();
    for (id, own) in [(ONE, 1), (TWO, 2)] {
        rig.on(id, |rig| {
            assert_eq!(rig.some(LE, 2, 9), "[[2, 0], [1, 0]]");
            rig.replace(&(own, 7));
        });
    }
    assert_eq!((&*rig.finish(TWO), &*rig.finish(ONE)), ("ok", CONFLICT));
}

#[test]
fn what_was_not_there_counts_as_seen() {
    for (iterator, key, limit, phantom, is_conflict) in [
        (EQ, 20, 9, 20, true),
        (EQ, 20, 9, 21, false),
        (GE, 8, 9, 30, true),
        // The walk stopped before.
        (GE, 8, 2, 30, false),
        (GE, 8, 3, 30, true),
        (GE, 8, 0, 8, false),
        (LE, 8, 9, 0, true),
        (LE, 8, 2, 0, false),
        (LE, 8, 2, 9, false),
    ] {
        let mut rig = rig();
        rig.on(ONE, |rig| rig.some(iterator, key, limit));
        rig.on(ONE, |rig| rig.replace(&(50, 0)));
        rig.on(TWO, |rig| rig.replace(&(phantom, 1)));
        assert_eq!(rig.finish(TWO), "ok");
        let expected = if is_conflict { CONFLICT } else { "ok" };
        assert_eq!(
            rig.finish(ONE),
            expected,
            "{iterator} {key} {limit} {phantom}"
        );
    }
}

#[test]
fn a_change_before_the_look_is_no_conflict() {
    let mut rig = rig();
    rig.replace(&(1, 1));
    assert_eq!(rig.on(ONE, |rig| rig.some(EQ, 1, 9)), "[[1, 1]]");
    rig.commit();
    assert_eq!(rig.on(ONE, |rig| rig.replace(&(1, 2))), "[[1, 2]]");
    assert_eq!(rig.finish(ONE), "ok");
}

#[test]
fn an_error_of_a_statement_does_not_abort() {
    let mut rig = rig();
    rig.on(ONE, |rig| {
        assert!(rig.insert(&(1, 1)).starts_with("3: "));
        assert!(rig.insert(&("x", 1)).starts_with("23: "));
        assert_eq!(rig.insert(&(10, 1)), "[[10, 1]]");
    });
    assert_eq!(rig.finish(ONE), "ok");
    assert_eq!(rig.some(EQ, 10, 9), "[[10, 1]]");
    // What the error told was seen.
    rig.on(TWO, |rig| rig.insert(&(2, 1)));
    rig.on(TWO, |rig| rig.replace(&(50, 0)));
    rig.delete(&(2,));
    assert_eq!(rig.finish(TWO), CONFLICT);
}

#[test]
fn secondary_indexes_take_part() {
    let mut rig = rig();
    // All values are one, which a unique index would refuse.
    rig.call("box.space.s:truncate", &NONE);
    let options = std::collections::BTreeMap::from([("parts", [(2, "unsigned")])]);
    let created = rig.call("box.space.s:create_index", &("by_value", options));
    assert!(created.starts_with("[{\"id\": 1"), "{created}");
    rig.insert(&(1, 10));
    rig.commit();
    for id in [ONE, TWO] {
        rig.engine.rollback_transaction(id);
        rig.begin(id);
    }
    // Different rows, the same value.
    rig.on(ONE, |rig| assert_eq!(rig.insert(&(2, 20)), "[[2, 20]]"));
    rig.on(TWO, |rig| assert_eq!(rig.insert(&(3, 20)), "[[3, 20]]"));
    assert_eq!((&*rig.finish(ONE), &*rig.finish(TWO)), ("ok", CONFLICT));
    // A tuple that was found by its value was changed.
    rig.begin(ONE);
    let get = "box.space.s.index.by_value:get";
    let found = rig.on(ONE, |rig| rig.try_call(get, &pack(&(10,))).unwrap());
    assert_eq!(super::printed(&found), "[[1, 10]]");
    rig.on(ONE, |rig| rig.replace(&(50, 0)));
    rig.replace(&(1, 11));
    assert_eq!(rig.finish(ONE), CONFLICT);
    // Own changes are seen through the index, and reach it.
    rig.begin(TWO);
    rig.on(TWO, |rig| {
        rig.replace(&(1, 12));
        let found = rig.try_call(get, &pack(&(12,))).unwrap();
        assert_eq!(super::printed(&found), "[[1, 12]]");
        let gone = rig.try_call(get, &pack(&(11,))).unwrap();
        assert_eq!(super::printed(&gone), "[]");
    });
    assert_eq!(rig.finish(TWO), "ok");
    assert_eq!(rig.call(get, &(12,)), "[[1, 12]]");
}

#[test]
fn definitions_are_not_changed_in_transactions_but_abort_those_that_need_them() {
    let mut rig = rig();
    rig.on(ONE, |rig| {
        let refused = "5: vestibule does not support changes of definitions in a transaction";
        for (name, args) in [
            ("box.schema.space.create", pack(&("t",))),
            ("box.space.s:drop", pack(&NONE)),
            ("box.space.s:truncate", pack(&NONE)),
            ("box.space.s:rename", pack(&("t",))),
        ] {
            let error = rig.try_call(name, &args).unwrap_err();
            assert_eq!(told(&error), refused, "{name}");
        }
        rig.replace(&(1, 1));
    });
    rig.call("box.schema.space.create", &("other",));
    assert_eq!(rig.finish(ONE), "ok");
    rig.commit();
    rig.on(TWO, |rig| rig.some(EQ, 1, 9));
    rig.call("box.space.s:truncate", &NONE);
    assert_eq!(rig.on(TWO, |rig| rig.some(EQ, 1, 9)), CONFLICT);
    assert_eq!(rig.finish(TWO), CONFLICT);
}

#[test]
fn a_commit_may_share_the_turn_of_a_definition() {
    let mut rig = rig();
    rig.on(ONE, |rig| rig.replace(&(1, 1)));
    rig.try_call("box.schema.space.create", &pack(&("other",)))
        .unwrap();
    assert!(rig.engine.is_turn_full());
    assert_eq!(rig.finish(ONE), "ok");
    rig.commit();
    rig.reopen();
    assert_eq!(rig.some(EQ, 1, 9), "[[1, 1]]");
    assert_eq!(rig.call("box.space.other:rename", &("b",)), "[]");
}

#[test]
fn a_turn_that_fails_takes_back_what_was_seen_of_it() {
    let mut rig = rig();
    rig.on(ONE, |rig| rig.replace(&(1, 1)));
    assert_eq!(rig.finish(ONE), "ok");
    rig.begin(ONE);
    rig.on(ONE, |rig| rig.some(EQ, 5, 9));
    assert_eq!(rig.on(TWO, |rig| rig.some(EQ, 1, 9)), "[[1, 1]]");
    rig.fail_turn();
    assert_eq!((&*rig.finish(TWO), &*rig.finish(ONE)), (CONFLICT, "ok"));
    assert_eq!(rig.some(EQ, 1, 9), "[[1, 0]]");
}

#[test]
fn a_replica_takes_transactions_that_only_read() {
    let mut rig = rig();
    rig.on(ONE, |rig| rig.replace(&(1, 1)));
    rig.engine.set_read_only(true);
    let refused = "7: Can't modify data on a read-only instance - box.cfg.read_only is true";
    assert_eq!(rig.on(TWO, |rig| rig.replace(&(2, 1))), refused);
    assert_eq!(rig.on(TWO, |rig| rig.some(EQ, 1, 9)), "[[1, 0]]");
    assert_eq!((&*rig.finish(ONE), &*rig.finish(TWO)), (refused, "ok"));
}

#[test]
fn transactions_and_what_they_change_are_bounded() {
    let mut rig = rig();
    let big = "x".repeat(1 << 19);
    rig.on(ONE, |rig| {
        // A row that is replaced counts once.
        for _ in 0..TRANSACTION_BYTES_MAX / big.len() + 2 {
            assert!(rig.replace(&(0, &big)).starts_with('['));
        }
        let refused = (1..).find(|key| rig.replace(&(*key, &big)).starts_with("2: "));
        assert_eq!(refused, Some(TRANSACTION_BYTES_MAX / big.len()));
    });
    assert_eq!(rig.finish(ONE), "ok");
    for id in 3..=OPEN_TRANSACTIONS_MAX as u64 + 1 {
        rig.begin(TransactionId(id));
    }
    let error = rig.engine.begin(ONE, &OPTIONS, &rig.caller).unwrap_err();
    assert_eq!(told(&error), "1: Too many open transactions");
}

#[test]
fn open_transactions_of_one_caller_are_bounded_together() {
    let mut rig = rig();
    let big = "x".repeat(1 << 19);
    let fill = |rig: &mut Rig, id: u64| {
        rig.on(TransactionId(id), |rig| {
            (1..).find_map(|key| {
                Some(rig.replace(&(id * 1000 + key, &big))).filter(|told| told.starts_with("2: "))
            })
        })
    };
    let share = TRANSACTIONS_BYTES_PER_USER_AT_ADDRESS_MAX + TRANSACTIONS_BYTES_RESERVE;
    let ids = 3..3 + share.div_ceil(TRANSACTION_BYTES_MAX) as u64;
    rig.on(ONE, |rig| rig.replace(&(50, 0)));
    for id in ids {
        rig.begin(TransactionId(id));
        fill(&mut rig, id).unwrap();
    }
    // Others still read, and those outside write.
    assert_eq!(rig.on(ONE, |rig| rig.some(EQ, 1, 9)), "[[1, 0]]");
    let told = rig.on(ONE, |rig| rig.replace(&(1, 1)));
    assert!(told.ends_with("end others of them first"), "{told}");
    assert_eq!(rig.replace(&(9, 1)), "[[9, 1]]");
    // For want of room it remembers the whole index as seen: more conflicts, never fewer.
    rig.commit();
    assert_eq!(rig.finish(ONE), CONFLICT);
    rig.engine.rollback_transaction(TransactionId(3));
    assert_eq!(rig.on(TWO, |rig| rig.replace(&(1, 1))), "[[1, 1]]");
    assert_eq!(rig.finish(TWO), "ok");
}
