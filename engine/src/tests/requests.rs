//! Replies and errors of data requests.

use vestibule_wire::request::{Body, Delete, IdOrName, Select};

use super::{NONE, Rig, by, pack, store};

#[test]
fn a_tuple_is_stored_replaced_and_deleted() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    assert_eq!(rig.insert(&(1, "a")), r#"[[1, "a"]]"#);
    assert_eq!(
        rig.all(),
        r#"[[1, "a"]]"#,
        "later requests of the turn see it"
    );
    rig.commit();
    assert_eq!(rig.replace(&(1, "b")), r#"[[1, "b"]]"#);
    assert_eq!(rig.update(&(1,), &[("=", 1, "c")]), r#"[[1, "c"]]"#);
    assert_eq!(rig.update(&(7,), &[("=", 1, "c")]), "[]");
    assert_eq!(rig.upsert(&(1, "x"), &[("=", 1, "d")]), "[]");
    assert_eq!(rig.upsert(&(2, "x"), &[("=", 1, "d")]), "[]");
    assert_eq!(rig.all(), r#"[[1, "d"], [2, "x"]]"#);
    assert_eq!(rig.delete(&(1,)), r#"[[1, "d"]]"#);
    assert_eq!(rig.delete(&(1,)), "[]");
    rig.commit();
    assert_eq!(rig.all(), r#"[[2, "x"]]"#);
}

#[test]
fn errors_have_tarantools_codes_and_texts() {
    let mut rig = Rig::with_space(&[(1, "unsigned"), (2, "string")]);
    rig.insert(&(1, "a", 3.5));
    rig.commit();
    let before = rig.all();
    for (told, expected) in [
        (
            rig.insert(&(1, "a")),
            concat!(
                r#"3: Duplicate key exists in unique index "pk" in space "s" with old tuple - "#,
                r#"[1, "a", 3.5] and new tuple - [1, "a"]"#,
            ),
        ),
        (
            rig.insert(&("x", "a")),
            "23: Tuple field 1 type does not match one required by operation: \
             expected unsigned, got string",
        ),
        (
            rig.replace(&(1, ())),
            "23: Tuple field 2 type does not match one required by operation: \
             expected string, got nil",
        ),
        (
            rig.insert(&(1,)),
            "39: Tuple field 2 required by space format is missing",
        ),
        (
            rig.insert(&NONE),
            "39: Tuple field 1 required by space format is missing",
        ),
        (
            rig.select(0, &("x",)),
            "18: Supplied key type of part 0 does not match index part type: expected unsigned",
        ),
        (
            rig.select(0, &(1, 2)),
            "18: Supplied key type of part 1 does not match index part type: expected string",
        ),
        (
            rig.select(0, &(1, "a", 2)),
            "31: Invalid key part count (expected [0..2], got 3)",
        ),
        (
            rig.delete(&(1,)),
            "19: Invalid key part count in an exact match (expected 2, got 1)",
        ),
        (
            rig.update(&(1, "a"), &[("=", 0, 2)]),
            "94: Attempt to modify a tuple field which is part of primary index in space 's'",
        ),
        (rig.select(14, &NONE), "1: Invalid iterator type"),
        (
            rig.select(7, &(1,)),
            "112: Index 'pk' (TREE) of space 's' (memtx) does not support requested iterator type",
        ),
        (
            rig.select(11, &(1,)),
            "112: Index 'pk' (TREE) of space 's' (memtx) does not support requested iterator type",
        ),
    ] {
        assert_eq!(told, expected);
    }
    assert_eq!(rig.all(), before, "what failed changed nothing");
}

#[test]
fn spaces_and_indexes_are_found_by_number_and_name() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    rig.insert(&(1,));
    let key = pack(&(1,));
    let mut at = |space, index| {
        rig.run(Body::Select(Select {
            space,
            index,
            ..by(&key)
        }))
    };
    assert_eq!(at(IdOrName::Name("s"), IdOrName::Name("pk")), "[[1]]");
    assert_eq!(
        at(IdOrName::Id(777), IdOrName::Id(0)),
        "36: Space '777' does not exist"
    );
    assert_eq!(
        at(IdOrName::Name("x"), IdOrName::Id(0)),
        "36: Space 'x' does not exist"
    );
    assert_eq!(
        at(IdOrName::Name("s"), IdOrName::Id(3)),
        "35: No index #3 is defined in space 's'"
    );
    assert_eq!(
        at(IdOrName::Name("s"), IdOrName::Name("x")),
        "148: No index 'x' is defined in space 's'"
    );
}

#[test]
fn a_space_without_an_index_holds_nothing() {
    let mut rig = Rig::new();
    rig.call("box.schema.space.create", &("s",));
    assert_eq!(rig.insert(&(1,)), "35: No index #0 is defined in space 's'");
    assert_eq!(rig.all(), "35: No index #0 is defined in space 's'");
}

#[test]
fn every_iterator_walks_over_its_range_in_its_direction() {
    let mut rig = Rig::with_space(&[(1, "unsigned"), (2, "string")]);
    for tuple in [(1, "a"), (1, "b"), (2, "a"), (3, "a"), (3, "b")] {
        rig.insert(&tuple);
        // One half is in the image, the other in the turn.
        if tuple == (2, "a") {
            rig.commit();
        }
    }
    let mut ids = |iterator: u64, key: &[u8]| {
        let body = Body::Select(Select {
            iterator,
            ..by(key)
        });
        rig.run(body)
            .replace(['[', ']', '"', ' '], "")
            .replace(',', "")
    };
    let (partial, whole) = (pack(&(1,)), pack(&(3, "a")));
    for (iterator, for_partial, for_whole, for_nothing) in [
        (0, "1a1b", "3a", "1a1b2a3a3b"),
        (1, "1b1a", "3a", "3b3a2a1b1a"),
        (2, "1a1b2a3a3b", "3a3b", "1a1b2a3a3b"),
        (3, "", "2a1b1a", "3b3a2a1b1a"),
        (4, "1b1a", "3a2a1b1a", "3b3a2a1b1a"),
        (5, "1a1b2a3a3b", "3a3b", "1a1b2a3a3b"),
        (6, "2a3a3b", "3b", "1a1b2a3a3b"),
    ] {
        assert_eq!(ids(iterator, &partial), for_partial, "iterator {iterator}");
        assert_eq!(ids(iterator, &whole), for_whole, "iterator {iterator}");
        assert_eq!(ids(iterator, &[0x90]), for_nothing, "iterator {iterator}");
    }
}

#[test]
fn limit_and_offset_count_what_is_seen() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    for id in 0..10 {
        rig.insert(&(id,));
    }
    rig.commit();
    rig.delete(&(3,));
    rig.replace(&(20,));
    let mut page = |offset, limit| {
        rig.run(Body::Select(Select {
            offset,
            limit,
            ..by(&[0x90])
        }))
    };
    assert_eq!(page(2, 3), "[[2], [4], [5]]");
    assert_eq!(page(8, 100), "[[9], [20]]");
    assert_eq!(page(0, 0), "[]");
    assert_eq!(page(u64::MAX, u64::MAX), "[]");
    let one = pack(&(20,));
    assert_eq!(
        rig.run(Body::Select(Select {
            offset: 1,
            ..by(&one)
        })),
        "[]"
    );
    assert_eq!(
        rig.run(Body::Select(Select {
            limit: 0,
            ..by(&one)
        })),
        "[]"
    );
}

#[test]
fn a_tuple_beyond_the_bound_is_refused() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    rig.options.tuple_size_max = 100;
    rig.reopen();
    let told = rig.replace(&(1, "x".repeat(100)));
    assert!(
        told.starts_with("110: Failed to allocate 104 bytes for tuple"),
        "{told}"
    );
    assert_eq!(rig.all(), "[]");
}

#[test]
fn a_failed_append_fails_the_turn_and_later_writes() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    rig.insert(&(1,));
    rig.commit();
    rig.insert(&(2,));
    rig.delete(&(1,));
    rig.disk.set_fails_next_append(true);
    let error = super::Engine::commit(&mut rig.engine).unwrap_err();
    assert_eq!(
        (error.code().0, error.message()),
        (40, "Failed to write to disk")
    );
    assert_eq!(rig.all(), "[[1]]", "memory is as it was");
    let file = "journal-00000000000000000001.log";
    let end = std::fs::metadata(rig.options.data_dir.join(file))
        .unwrap()
        .len();
    // Where the directory is, is for the log.
    let read_only = format!(
        "7: Can't modify data on a read-only instance - journal failed: cannot write to {file} at \
         offset {end}: told to"
    );
    assert_eq!(rig.insert(&(3,)), read_only);
    assert_eq!(rig.call("box.space.s:drop", &NONE), read_only);
    assert_eq!(rig.call("vestibule.journal.resume", &NONE), "[true]");
    assert_eq!(rig.insert(&(3,)), "[[3]]");
    rig.commit();
    assert_eq!(rig.all(), "[[1], [3]]");
}

#[test]
fn views_and_fixed_system_spaces_are_read_only() {
    let mut rig = Rig::new();
    let tuple = pack(&(1,));
    let mut write = |space| {
        let space = IdOrName::Id(space);
        rig.run(Body::Insert(vestibule_wire::request::Store {
            space,
            ..store(&tuple)
        }))
    };
    assert_eq!(write(281), "113: View '_vspace' is read-only");
    assert!(write(272).starts_with("23: "));
    assert!(write(285).starts_with("39: "));
    let (space, index) = (IdOrName::Id(280), IdOrName::Id(0));
    let key = pack(&(280,));
    let told = rig.run(Body::Delete(Delete {
        space,
        index,
        key: &key,
    }));
    assert_eq!(
        told,
        "11: Can't drop space '_space': the space is a system space"
    );
}

#[test]
fn an_iterator_that_does_not_exist_is_told_before_a_number_that_leads_nowhere() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    let key = pack(&NONE);
    let mut told = |space: IdOrName<'_>, index: IdOrName<'_>| {
        rig.run(Body::Select(Select {
            space,
            index,
            iterator: 14,
            ..by(&key)
        }))
    };
    let (id, name) = (IdOrName::Id, IdOrName::Name);
    let invalid = "1: Invalid iterator type";
    assert_eq!(told(id(512), id(9)), invalid);
    assert_eq!(told(id(999), id(0)), invalid);
    assert_eq!(told(name("s"), id(9)), invalid);
    // Names are looked up first.
    assert_eq!(told(name("t"), id(0)), "36: Space 't' does not exist");
    assert_eq!(told(id(999), name("pk")), "36: Space '999' does not exist");
    assert_eq!(
        told(id(512), name("sk")),
        "148: No index 'sk' is defined in space 's'"
    );
    assert_eq!(told(id(281), id(77)), invalid);
}
