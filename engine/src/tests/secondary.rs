//! Secondary indexes: what they find, what they refuse, and that they follow every change.

use vestibule_wire::request::{Body, Delete, IdOrName, Select, Store, Update};

use super::{NONE, Rig, SPACE, by, pack};
use crate::model::collation::{Collation, KnownCollation};
use crate::model::field::FieldType::{self, String, Unsigned};
use crate::model::index::Part;
use crate::schema::system;
use crate::schema::system::rows::{IndexRow, RowOptions};

/// An index by its number and its name, `i` with the number.
pub(super) struct Wanted {
    pub(super) id: u32,
    pub(super) kind: &'static str,
    pub(super) is_unique: bool,
    pub(super) parts: Vec<Part>,
}

pub(super) fn part(field: u32, kind: FieldType) -> Part {
    Part::new(field, kind)
}

pub(super) fn nullable(field: u32, kind: FieldType) -> Part {
    Part {
        is_nullable: true,
        ..part(field, kind)
    }
}

/// The collation with this number.
pub(super) fn collation(number: u16) -> Option<Collation> {
    let known = KnownCollation::with_number(number.into());
    known.unwrap().order().unwrap()
}

pub(super) fn tree(id: u32, is_unique: bool, parts: &[Part]) -> Wanted {
    Wanted {
        id,
        kind: "tree",
        is_unique,
        parts: parts.to_vec(),
    }
}

/// Makes or changes an index; tells why not.
pub(super) fn put(rig: &mut Rig, wanted: Wanted) -> Option<std::string::String> {
    let row = IndexRow {
        space: SPACE,
        id: wanted.id,
        name: format!("i{}", wanted.id).into(),
        kind: wanted.kind.into(),
        is_unique: wanted.is_unique,
        options: RowOptions::unique(wanted.is_unique),
        parts: wanted.parts,
    };
    let told = rig.run(Body::Replace(Store {
        space: IdOrName::Id(system::INDEX),
        tuple: &row.encode(),
    }));
    rig.commit();
    Some(told).filter(|told| !told.starts_with("[["))
}

pub(super) fn find(
    rig: &mut Rig,
    index: u32,
    iterator: u64,
    key: &impl serde::Serialize,
) -> std::string::String {
    rig.run(Body::Select(Select {
        index: IdOrName::Id(index),
        iterator,
        ..by(&pack(key))
    }))
}

/// Rows `[id, text, number]`, a unique index over the text and another one over the number.
pub(super) fn rig() -> Rig {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    assert_eq!(put(&mut rig, tree(1, true, &[part(1, String)])), None);
    assert_eq!(put(&mut rig, tree(2, false, &[part(2, Unsigned)])), None);
    for (id, text, number) in [(3, "c", 7), (1, "a", 7), (2, "b", 5)] {
        rig.insert(&(id, text, number));
    }
    rig
}

const BY_TEXT: &str = r#"[[1, "a", 7], [2, "b", 5], [3, "c", 7]]"#;
const BY_NUMBER: &str = r#"[[2, "b", 5], [1, "a", 7], [3, "c", 7]]"#;

#[test]
fn every_iterator_finds_by_every_index_inside_the_turn_and_after() {
    let mut rig = rig();
    for is_committed in [false, true, true] {
        assert_eq!(find(&mut rig, 1, 0, &NONE), BY_TEXT);
        assert_eq!(find(&mut rig, 2, 2, &NONE), BY_NUMBER);
        assert_eq!(find(&mut rig, 1, 0, &("b",)), r#"[[2, "b", 5]]"#);
        assert_eq!(find(&mut rig, 2, 0, &(7,)), r#"[[1, "a", 7], [3, "c", 7]]"#);
        assert_eq!(find(&mut rig, 2, 1, &(7,)), r#"[[3, "c", 7], [1, "a", 7]]"#);
        assert_eq!(find(&mut rig, 2, 3, &(7,)), r#"[[2, "b", 5]]"#);
        assert_eq!(find(&mut rig, 2, 6, &(5,)), r#"[[1, "a", 7], [3, "c", 7]]"#);
        assert_eq!(find(&mut rig, 2, 6, &(7,)), "[]");
        if is_committed {
            rig.reopen();
        } else {
            rig.commit();
        }
    }
    assert_eq!(
        find(&mut rig, 1, 7, &("b",)),
        "112: Index 'i1' (TREE) of space 's' (memtx) does not support requested iterator type"
    );
    assert_eq!(
        find(&mut rig, 9, 0, &NONE),
        "35: No index #9 is defined in space 's'"
    );
}

#[test]
fn a_duplicate_is_found_in_the_turn_and_in_the_image_and_changes_nothing() {
    for commits in [false, true] {
        let mut rig = rig();
        if commits {
            rig.commit();
        }
        let told = |old: &str, new: &str| {
            format!(
                "3: Duplicate key exists in unique index \"i1\" in space \"s\" with old tuple - \
                 {old} and new tuple - {new}"
            )
        };
        let (one, two) = (r#"[1, "a", 7]"#, r#"[2, "b", 5]"#);
        assert_eq!(rig.insert(&(9, "a", 1)), told(one, r#"[9, "a", 1]"#));
        assert_eq!(rig.replace(&(3, "b", 1)), told(two, r#"[3, "b", 1]"#));
        assert_eq!(
            rig.update(&(3,), &[("=", 1, "a")]),
            told(one, r#"[3, "a", 7]"#)
        );
        assert_eq!(
            rig.upsert(&(3, "x", 1), &[("=", 1, "a")]),
            told(one, r#"[3, "a", 7]"#)
        );
        assert_eq!(
            rig.upsert(&(8, "a", 1), &[("=", 1, "a")]),
            told(one, r#"[8, "a", 1]"#)
        );
        // The primary index comes first.
        assert!(rig.insert(&(1, "b", 1)).contains("index \"pk\""));
        assert_eq!(find(&mut rig, 1, 0, &NONE), BY_TEXT);
        // What was deleted is free, and what is the tuple's own does not stand in its way.
        assert_eq!(rig.replace(&(3, "c", 8)), r#"[[3, "c", 8]]"#);
        rig.delete(&(1,));
        assert_eq!(rig.insert(&(9, "a", 1)), r#"[[9, "a", 1]]"#);
        assert_eq!(rig.update(&(9,), &[("=", 1, "d")]), r#"[[9, "d", 1]]"#);
        assert_eq!(rig.replace(&(3, "a", 1)), r#"[[3, "a", 1]]"#);
        let expected = r#"[[3, "a", 1], [2, "b", 5], [9, "d", 1]]"#;
        assert_eq!(find(&mut rig, 1, 0, &NONE), expected);
        rig.commit();
        assert_eq!(find(&mut rig, 1, 0, &NONE), expected);
        let expected = r#"[[3, "a", 1], [9, "d", 1], [2, "b", 5]]"#;
        assert_eq!(find(&mut rig, 2, 0, &NONE), expected);
    }
}

#[test]
fn tuples_are_changed_by_a_unique_index_only() {
    let mut rig = rig();
    let space = IdOrName::Id(SPACE);
    let mut update = |index: u32, key: &[u8], ops: &[u8]| {
        let index = IdOrName::Id(index);
        rig.run(Body::Update(Update {
            space,
            index,
            key,
            ops,
            index_base: 0,
        }))
    };
    let (text, number, none) = (pack(&("b",)), pack(&(7,)), pack(&NONE));
    let ops = pack(&[("=", 2, 6)]);
    assert_eq!(update(1, &text, &ops), r#"[[2, "b", 6]]"#);
    assert_eq!(
        update(1, &text, &pack(&[("=", 0, 6)])),
        "94: Attempt to modify a tuple field which is part of primary index in space 's'"
    );
    assert_eq!(
        update(1, &text, &pack(&[("=", 0, 1)])),
        "3: Duplicate key exists in unique index \"pk\" in space \"s\" with old tuple - \
         [1, \"a\", 7] and new tuple - [1, \"b\", 6]"
    );
    let more = "41: Get() doesn't support partial keys and non-unique indexes";
    assert_eq!(update(2, &number, &ops), more);
    assert_eq!(update(2, &none, &ops), more);
    assert_eq!(
        update(1, &none, &ops),
        "19: Invalid key part count in an exact match (expected 1, got 0)"
    );
    let mut delete = |index: u32, key: &[u8]| {
        let index = IdOrName::Id(index);
        rig.run(Body::Delete(Delete { space, index, key }))
    };
    assert_eq!(delete(1, &text), r#"[[2, "b", 6]]"#);
    assert_eq!(delete(1, &text), "[]");
    assert_eq!(delete(2, &number), more);
    assert_eq!(find(&mut rig, 2, 2, &NONE), r#"[[1, "a", 7], [3, "c", 7]]"#);
}

#[test]
fn nulls_stand_first_and_are_never_duplicates() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    let number = nullable(1, Unsigned);
    assert_eq!(
        put(&mut rig, tree(1, true, std::slice::from_ref(&number))),
        None
    );
    let both = [number.clone(), nullable(2, String)];
    assert_eq!(put(&mut rig, tree(2, true, &both)), None);
    let excluded = Part {
        exclude_null: true,
        ..number
    };
    assert_eq!(put(&mut rig, tree(3, false, &[excluded])), None);
    rig.insert(&(1, 5, "a"));
    rig.insert(&(2,));
    rig.insert(&(3, (), "b"));
    rig.insert(&(4, (), "a"));
    rig.insert(&(5, 7));
    let (one, two, three) = (r#"[1, 5, "a"]"#, "[2]", r#"[3, null, "b"]"#);
    let (four, five) = (r#"[4, null, "a"]"#, "[5, 7]");
    let list = |rows: &[&str]| format!("[{}]", rows.join(", "));
    for _ in 0..2 {
        let mut check = |index, iterator, key: &dyn Fn() -> Vec<u8>, rows: &[&str]| {
            let told = rig.run(Body::Select(Select {
                index: IdOrName::Id(index),
                iterator,
                ..by(&key())
            }));
            assert_eq!(told, list(rows), "index {index}, iterator {iterator}");
        };
        check(1, 0, &|| pack(&((),)), &[two, three, four]);
        check(1, 1, &|| pack(&((),)), &[four, three, two]);
        check(1, 6, &|| pack(&((),)), &[one, five]);
        check(1, 4, &|| pack(&(5,)), &[one, four, three, two]);
        check(1, 2, &|| pack(&NONE), &[two, three, four, one, five]);
        check(2, 0, &|| pack(&((),)), &[two, four, three]);
        check(2, 0, &|| pack(&((), "a")), &[four]);
        check(2, 6, &|| pack(&((), "a")), &[three, one, five]);
        check(2, 0, &|| pack(&(7, ())), &[five]);
        check(3, 2, &|| pack(&NONE), &[one, five]);
        check(3, 3, &|| pack(&(7,)), &[one]);
        rig.commit();
    }
    assert!(rig.insert(&(6, 7)).starts_with("3: "));
    let (space, index) = (IdOrName::Id(SPACE), IdOrName::Id(1));
    assert_eq!(
        rig.run(Body::Delete(Delete {
            space,
            index,
            key: &pack(&((),))
        })),
        "18: Supplied key type of part 0 does not match index part type: expected unsigned"
    );
    rig.update(&(5,), &[("=", 1, ())]);
    assert_eq!(find(&mut rig, 3, 2, &NONE), list(&[one]));
    rig.update(&(2,), &[("=", 1, 1)]);
    assert_eq!(find(&mut rig, 3, 2, &NONE), list(&["[2, 1]", one]));
}

#[test]
fn an_index_that_cannot_be_built_leaves_everything_as_it_was() {
    let mut rig = rig();
    rig.commit();
    let version = rig.engine.image().schema_version;
    let (unfit, unique) = ([part(3, Unsigned)], [part(2, Unsigned)]);
    let both = [&unique[..], &unfit].concat();
    for (wanted, told) in [
        (
            tree(5, true, &unique),
            "3: Duplicate key exists in unique index \"i5\" in space \"s\" with old tuple - \
             [1, \"a\", 7] and new tuple - [3, \"c\", 7]",
        ),
        (
            tree(2, true, &[part(2, Unsigned)]),
            "3: Duplicate key exists in unique index \"i2\" in space \"s\" with old tuple - \
             [1, \"a\", 7] and new tuple - [3, \"c\", 7]",
        ),
        (
            tree(5, false, &unfit),
            "39: Tuple field 4 required by space format is missing",
        ),
        (
            tree(5, false, &[part(1, Unsigned)]),
            "24: Field 2 has type 'string' in one index, but type 'unsigned' in another",
        ),
        (
            tree(5, true, &both),
            "39: Tuple field 4 required by space format is missing",
        ),
        (
            tree(0, true, &unique),
            "3: Duplicate key exists in unique index \"i0\" in space \"s\" with old tuple - \
             [1, \"a\", 7] and new tuple - [3, \"c\", 7]",
        ),
    ] {
        assert_eq!(put(&mut rig, wanted).as_deref(), Some(told));
        assert_eq!(find(&mut rig, 1, 0, &NONE), BY_TEXT);
        assert_eq!(find(&mut rig, 2, 0, &NONE), BY_NUMBER);
        assert!(find(&mut rig, 5, 0, &NONE).starts_with("35: "));
    }
    assert_eq!(rig.engine.image().schema_version, version);
}

#[test]
fn another_primary_index_puts_every_index_into_its_order() {
    let mut rig = rig();
    rig.commit();
    let text_down = [part(2, Unsigned), part(1, String)];
    assert_eq!(put(&mut rig, tree(0, true, &text_down)), None);
    for _ in 0..2 {
        assert_eq!(rig.all(), BY_NUMBER);
        assert_eq!(find(&mut rig, 1, 0, &NONE), BY_TEXT);
        assert_eq!(find(&mut rig, 2, 1, &(7,)), r#"[[3, "c", 7], [1, "a", 7]]"#);
        assert_eq!(rig.delete(&(7, "x")), "[]");
        rig.reopen();
    }
    assert_eq!(rig.replace(&(9, "c", 7)), r#"[[9, "c", 7]]"#);
    assert_eq!(find(&mut rig, 2, 0, &(7,)), r#"[[1, "a", 7], [9, "c", 7]]"#);
    assert_eq!(rig.call("box.space.s:truncate", &NONE), "[]");
    assert_eq!(find(&mut rig, 2, 0, &NONE), "[]");
    assert_eq!(rig.insert(&(1, "c", 7)), r#"[[1, "c", 7]]"#);
}

#[test]
fn the_first_index_is_the_primary_one() {
    let mut rig = Rig::new();
    rig.call("box.schema.space.create", &("s",));
    assert_eq!(
        put(&mut rig, tree(1, true, &[part(0, Unsigned)])),
        Some("12: Can't modify space 's': can not add a secondary key before primary".into())
    );
}
