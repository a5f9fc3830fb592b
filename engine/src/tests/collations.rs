//! Secondary indexes whose texts are ordered by a collation.

use serde_json::{Value, json};
use vestibule_wire::request::{After, Body, Delete, IdOrName, Select, Update};

use super::paging::{decoded, pages, read};
use super::part_paths::{define, found, index};
use super::{NONE, Rig, SPACE, by, pack};
use crate::limits::{COLLATED_KEY_BYTES_MAX, COLLATED_TUPLE_BYTES_MAX};

const NO_IDS: [u32; 0] = [];
const UNICODE: u32 = 1;
const UNICODE_CI: u32 = 2;

/// Parts of an index over one field.
fn one(field: u32, collation: u32) -> Value {
    json!([{"field": field, "type": "string", "collation": collation}])
}

/// Rows of a number and a text.
fn with_texts(texts: &[&str]) -> Rig {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    for (id, text) in (1..).zip(texts) {
        rig.insert(&(id, text));
    }
    rig.commit();
    rig
}

/// The numbers of the rows that a walk finds.
fn ids(rig: &mut Rig, own: u32, iterator: u64, key: &Value) -> Vec<u32> {
    let body = rig.raw(Body::Select(Select {
        index: IdOrName::Id(own),
        iterator,
        ..by(&pack(key))
    }));
    let rows: Vec<Value> = decoded(&read(&body.unwrap()).0);
    rows.iter()
        .map(|row| row[0].as_u64().unwrap() as u32)
        .collect()
}

#[test]
fn texts_that_are_not_told_apart_are_one_key_of_a_unique_index() {
    let mut rig = with_texts(&["Straße", "b"]);
    assert_eq!(index(&mut rig, 1, true, &one(1, UNICODE_CI)), None);
    let taken = "3: Duplicate key exists in unique index \"i1\" in space \"s\" with old tuple - \
                 [1, \"Straße\"] and new tuple - [3, \"STRASSE\"]";
    assert_eq!(rig.insert(&(3, "STRASSE")), taken);
    assert_eq!(rig.replace(&(3, "STRASSE")), taken);
    assert!(rig.update(&(2,), &[("=", 1, "strasse")]).starts_with("3: "));
    assert_eq!(
        found(&mut rig, 1, &json!(["sTRAssE"])),
        r#"[[1, "Straße"]]"#
    );
    assert_eq!(
        rig.call("box.space.s.index.i1:get", &("STRASSE",)),
        r#"[[1, "Straße"]]"#
    );
    // A tuple may have its own key in other letters.
    assert_eq!(rig.replace(&(1, "STRASSE")), r#"[[1, "STRASSE"]]"#);
    assert_eq!(
        found(&mut rig, 1, &json!(["straße"])),
        r#"[[1, "STRASSE"]]"#
    );
    let key = pack(&("Straße",));
    let (space, at) = (IdOrName::Id(SPACE), IdOrName::Id(1));
    let updated = rig.run(Body::Update(Update {
        space,
        index: at,
        key: &key,
        ops: &pack(&[("=", 1, "weg")]),
        index_base: 0,
    }));
    assert_eq!(updated, r#"[[1, "weg"]]"#);
    assert_eq!(found(&mut rig, 1, &json!(["STRASSE"])), "[]");
    let key = pack(&("WEG",));
    let deleted = rig.run(Body::Delete(Delete {
        space,
        index: at,
        key: &key,
    }));
    assert_eq!(deleted, r#"[[1, "weg"]]"#);
    rig.commit();
    rig.reopen();
    assert_eq!(found(&mut rig, 1, &json!([])), r#"[[2, "b"]]"#);
    assert!(rig.insert(&(4, "B")).starts_with("3: "));
}

#[test]
fn an_index_finds_all_cases_and_walks_in_the_order_of_the_collation() {
    let mut rig = with_texts(&["b", "A", "a", "á", "Ab", "", "B"]);
    assert_eq!(index(&mut rig, 1, false, &one(1, UNICODE_CI)), None);
    assert_eq!(index(&mut rig, 2, true, &one(1, UNICODE)), None);
    for again in [false, true] {
        if again {
            rig.reopen();
        }
        let (eq, req, lt, le, ge, gt) = (0, 1, 3, 4, 5, 6);
        assert_eq!(ids(&mut rig, 1, eq, &json!([])), [6, 2, 3, 4, 5, 1, 7]);
        assert_eq!(ids(&mut rig, 2, eq, &json!([])), [6, 3, 2, 4, 5, 1, 7]);
        assert_eq!(ids(&mut rig, 1, eq, &json!(["Á"])), [2, 3, 4]);
        assert_eq!(ids(&mut rig, 1, req, &json!(["Á"])), [4, 3, 2]);
        assert_eq!(ids(&mut rig, 2, eq, &json!(["A"])), [2]);
        assert_eq!(ids(&mut rig, 2, eq, &json!(["Á"])), NO_IDS);
        assert_eq!(ids(&mut rig, 1, lt, &json!(["AB"])), [4, 3, 2, 6]);
        assert_eq!(ids(&mut rig, 1, le, &json!(["AB"])), [5, 4, 3, 2, 6]);
        assert_eq!(ids(&mut rig, 1, ge, &json!(["ab"])), [5, 1, 7]);
        assert_eq!(ids(&mut rig, 1, gt, &json!(["a"])), [5, 1, 7]);
    }
    let mut told = |method: &str| {
        let procedure = format!("box.space.s.index.i1:{method}");
        rig.call(&procedure, &("A",))
    };
    assert_eq!(told("count"), "[3]");
    assert_eq!(told("min"), r#"[[2, "A"]]"#);
    assert_eq!(told("max"), r#"[[4, "á"]]"#);
}

#[test]
fn pages_of_equal_keys_add_up_and_one_can_go_on_after_a_tuple() {
    let texts: Vec<_> = (0..40).map(|at| ["a", "A", "á", "b"][at % 4]).collect();
    let mut rig = with_texts(&texts);
    assert_eq!(index(&mut rig, 1, false, &one(1, UNICODE_CI)), None);
    for key in [json!([]), json!(["Á"])] {
        let key = pack(&key);
        for iterator in 0..7 {
            let select = Select {
                index: IdOrName::Id(1),
                iterator,
                ..by(&key)
            };
            let (whole, _) = read(&rig.raw(Body::Select(select)).unwrap());
            assert_eq!(pages(&mut rig, &select, 3, |_, _, _| ()), whole);
        }
    }
    let key = pack(&("a",));
    for (tuple, expected) in [
        (pack(&(38, "Ä")), r#"[[39, "á"]]"#),
        (pack(&(38, "ab")), "247: Iterator position is invalid"),
    ] {
        let told = rig.run(Body::Select(Select {
            index: IdOrName::Id(1),
            after: After::Tuple(&tuple),
            ..by(&key)
        }));
        assert_eq!(told, expected);
    }
}

#[test]
fn parts_with_collations_stand_beside_others() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    let parts = json!([
        {"field": 1, "type": "string", "collation": UNICODE_CI, "sort_order": "desc",
         "is_nullable": true},
        {"field": 2, "type": "unsigned"},
    ]);
    assert_eq!(index(&mut rig, 1, true, &parts), None);
    let excluding = json!([
        {"field": 3, "type": "scalar", "collation": UNICODE_CI, "is_nullable": true,
         "exclude_null": true},
    ]);
    assert_eq!(index(&mut rig, 2, false, &excluding), None);
    let inside = json!([
        {"field": 4, "type": "string", "collation": UNICODE, "path": "name", "is_nullable": true},
    ]);
    assert_eq!(index(&mut rig, 3, false, &inside), None);
    let each = json!([
        {"field": 4, "type": "string", "collation": UNICODE_CI, "path": "tags[*]",
         "is_nullable": true},
        {"field": 2, "type": "unsigned"},
    ]);
    assert_eq!(index(&mut rig, 4, true, &each), None);
    for row in [
        json!([1, "a", 1, "X", {"name": "b", "tags": ["Rot", "rot", "blau"]}]),
        json!([2, "A", 2, 7, {"name": "B", "tags": ["ROT"]}]),
        json!([3, null, 1, null, {"tags": []}]),
        json!([4, "b", 1, "x", {"name": "ba", "tags": ["gelb"]}]),
        json!([5, null, 1, true, {}]),
    ] {
        assert!(rig.insert(&row).starts_with("[["), "{row}");
    }
    assert!(rig.insert(&json!([6, "Á", 1, null, {}])).starts_with("3: "));
    let told = rig.insert(&json!([6, "c", 1, null, {"tags": ["GELB"]}]));
    assert!(told.starts_with("3: "), "{told}");
    rig.commit();
    for again in [false, true] {
        if again {
            rig.reopen();
        }
        assert_eq!(ids(&mut rig, 1, 0, &json!([])), [4, 1, 2, 3, 5]);
        assert_eq!(ids(&mut rig, 1, 0, &json!(["á"])), [1, 2]);
        assert_eq!(ids(&mut rig, 1, 0, &json!(["á", 2])), [2]);
        assert_eq!(ids(&mut rig, 1, 0, &json!([null])), [3, 5]);
        assert_eq!(ids(&mut rig, 2, 0, &json!([])), [5, 2, 1, 4]);
        assert_eq!(ids(&mut rig, 2, 0, &json!(["X"])), [1, 4]);
        assert_eq!(ids(&mut rig, 3, 0, &json!([])), [3, 5, 1, 2, 4]);
        assert_eq!(ids(&mut rig, 4, 0, &json!([])), [1, 4, 1, 2]);
        assert_eq!(ids(&mut rig, 4, 0, &json!(["ROT"])), [1, 2]);
    }
}

/// A collation takes texts for one that the primary key tells apart.
#[test]
fn a_part_does_not_stand_for_the_primary_keys_part_of_other_order() {
    let mut rig = Rig::with_space(&[(1, "string")]);
    for (own, is_unique) in [(1, false), (2, true)] {
        let parts = json!([
            {"field": 0, "type": "string", "collation": UNICODE_CI, "is_nullable": true},
            {"field": 1, "type": "unsigned", "is_nullable": true},
        ]);
        assert_eq!(index(&mut rig, own, is_unique, &parts), None);
    }
    for text in ["b", "a", "B", "A"] {
        assert!(rig.insert(&(text, ())).starts_with("[["));
    }
    rig.commit();
    let all = r#"[["A", null], ["a", null], ["B", null], ["b", null]]"#;
    for again in [false, true] {
        if again {
            rig.reopen();
        }
        for own in [1, 2] {
            assert_eq!(found(&mut rig, own, &json!([])), all);
            assert_eq!(
                found(&mut rig, own, &json!(["b", null])),
                r#"[["B", null], ["b", null]]"#
            );
        }
    }
    assert_eq!(rig.delete(&("a",)), r#"[["a", null]]"#);
    for own in [1, 2] {
        assert_eq!(found(&mut rig, own, &json!(["a"])), r#"[["A", null]]"#);
    }
}

#[test]
fn a_foreign_key_is_not_held_by_an_index_with_a_collation() {
    let mut rig = with_texts(&["a"]);
    assert_eq!(index(&mut rig, 1, true, &one(1, UNICODE_CI)), None);
    let key = json!({"up": {"space": "s", "field": 2}});
    let format = json!([["id", "unsigned"], {"name": "up", "type": "string", "foreign_key": key}]);
    rig.call(
        "box.schema.space.create",
        &("child", json!({ "format": format })),
    );
    rig.call("box.space.child:create_index", &("pk",));
    let insert = |rig: &mut Rig, id: u32, text: &str| {
        let told = rig.call("box.space.child:insert", &((id, text),));
        told.split_once("Foreign key")
            .map_or(told.clone(), |(_, why)| why.to_owned())
    };
    let told = insert(&mut rig, 1, "a");
    assert!(told.ends_with("foreign index was not found"), "{told}");
    assert_eq!(index(&mut rig, 2, true, &json!([[1, "string"]])), None);
    let told = insert(&mut rig, 1, "A");
    assert!(told.ends_with("foreign tuple was not found"), "{told}");
    assert_eq!(insert(&mut rig, 1, "a"), r#"[[1, "a"]]"#);
    // Children are not looked for in other cases either.
    let by_collation = json!({"parts": [{"field": 2, "type": "string", "collation": "unicode_ci"}],
                              "unique": false});
    rig.call("box.space.child:create_index", &("by", by_collation));
    let told = rig.call("box.space.s:delete", &(1,));
    assert!(told.ends_with("index was not found"), "{told}");
}

#[test]
fn what_a_collation_cannot_do_is_refused() {
    let mut rig = with_texts(&["b"]);
    let row = json!([SPACE, 0, "pk", "tree", {"unique": true}, one(0, UNICODE)]);
    let told = define(&mut rig, &row);
    let why = "5: vestibule does not support collation 'unicode' in a primary index: the journal \
               tells deletions by their key, which another version of Unicode's tables may write \
               otherwise";
    assert_eq!(told, why);
    let of = |own: Value, kind: &str| json!([{"field": 1, "type": kind, "collation": own}]);
    for (parts, expected) in [
        (of(json!(277), "string"), "collation was not found by ID"),
        (
            of(json!("unicode"), "string"),
            "'collation' must be unsigned",
        ),
        (of(json!(-1), "string"), "'collation' must be unsigned"),
        (
            of(json!(1), "unsigned"),
            "collation is reasonable only for string and scalar parts",
        ),
    ] {
        let told = format!("108: Wrong index options (field 1): {expected}");
        assert_eq!(index(&mut rig, 1, true, &parts), Some(told));
    }
    assert_eq!(
        index(&mut rig, 1, true, &of(json!(145), "string")),
        Some("5: vestibule does not support collation 'unicode_lv_s1'".to_owned())
    );
    let twice = json!([
        {"field": 1, "type": "string", "collation": UNICODE},
        {"field": 1, "type": "string"},
    ]);
    let told = index(&mut rig, 1, true, &twice).unwrap();
    assert!(told.ends_with("same key part is indexed twice"), "{told}");
    assert_eq!(index(&mut rig, 1, true, &one(1, UNICODE)), None);
    let key = pack(&("a",));
    for iterator in [12, 13] {
        let select = Select {
            index: IdOrName::Id(1),
            iterator,
            ..by(&key)
        };
        let told = rig.run(Body::Select(select));
        let why = "112: Index 'i1' (TREE) of space 's' (memtx) does not support requested iterator \
                   type along with collation";
        assert_eq!(told, why);
    }
}

#[test]
fn an_index_that_is_given_another_collation_is_built_anew() {
    let mut rig = with_texts(&["b", "a", "B"]);
    let binary = json!([[1, "string"]]);
    assert_eq!(index(&mut rig, 1, true, &binary), None);
    assert_eq!(ids(&mut rig, 1, 0, &json!([])), [3, 2, 1]);
    assert_eq!(index(&mut rig, 1, true, &one(1, UNICODE)), None);
    assert_eq!(ids(&mut rig, 1, 0, &json!([])), [2, 1, 3]);
    let told = index(&mut rig, 1, true, &one(1, UNICODE_CI)).unwrap();
    assert!(
        told.starts_with("3: Duplicate key exists in unique index \"i1\""),
        "{told}"
    );
    assert_eq!(index(&mut rig, 1, true, &binary), None);
    assert_eq!(ids(&mut rig, 1, 0, &json!([])), [3, 2, 1]);
}

#[test]
fn more_text_than_may_be_ordered_is_refused_in_keys_and_tuples() {
    let mut rig = with_texts(&["a"]);
    assert_eq!(index(&mut rig, 1, false, &one(1, UNICODE_CI)), None);
    let key_too_long = format!(
        "5: vestibule does not support more than {COLLATED_KEY_BYTES_MAX} bytes of texts with a \
         collation in one key"
    );
    let tuple_too_long = format!(
        "5: vestibule does not support more than {COLLATED_TUPLE_BYTES_MAX} bytes of texts with a \
         collation in one tuple"
    );
    // A text has a head of three bytes, or five.
    let (most, over) = ("é".repeat(32_766), "é".repeat(32_767));
    assert!(rig.insert(&(2, &most)).starts_with("[["));
    assert_eq!(rig.insert(&(3, &over)), key_too_long);
    assert_eq!(rig.update(&(1,), &[("=", 1, &over)]), key_too_long);
    assert_eq!(rig.upsert(&(1, "a"), &[("=", 1, &over)]), key_too_long);
    assert_eq!(ids(&mut rig, 1, 0, &json!([most])), [2]);
    assert_eq!(found(&mut rig, 1, &json!([over])), key_too_long);
    rig.commit();
    // Four indexes over it are as many as a tuple may have.
    for own in 2..5 {
        assert_eq!(index(&mut rig, own, false, &one(1, UNICODE)), None);
    }
    assert_eq!(
        index(&mut rig, 5, false, &one(1, UNICODE)),
        Some(tuple_too_long.clone())
    );
    assert!(rig.delete(&(2,)).starts_with("[[2, "));
    assert_eq!(index(&mut rig, 5, false, &one(1, UNICODE)), None);
    assert_eq!(rig.insert(&(2, &most)), tuple_too_long);
}

#[test]
fn elements_with_much_text_are_refused_together() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    let each = json!([
        {"field": 1, "type": "string", "collation": UNICODE_CI, "path": "[*]"},
    ]);
    assert_eq!(index(&mut rig, 1, false, &each), None);
    let element = "x".repeat(65_532);
    let all = |count: usize| vec![element.as_str(); count];
    assert!(rig.insert(&(1, all(3))).starts_with("[["));
    let told = rig.insert(&(2, all(5)));
    assert!(
        told.ends_with("bytes of texts with a collation in one tuple"),
        "{told}"
    );
    let told = rig.insert(&(2, [format!("{element}xxxx")]));
    assert!(
        told.ends_with("bytes of texts with a collation in one key"),
        "{told}"
    );
    assert_eq!(ids(&mut rig, 1, 0, &json!([element])), [1]);
}

/// Many marks in a row are not given to the collator, whose time grows with their square.
#[test]
fn many_marks_in_a_row_are_ordered_and_found() {
    let marks = "\u{f73}".repeat(20_000);
    let mut rig = with_texts(&[&marks, "a"]);
    assert_eq!(index(&mut rig, 1, true, &one(1, UNICODE)), None);
    assert_eq!(ids(&mut rig, 1, 0, &json!([marks])), [1]);
    assert_eq!(ids(&mut rig, 1, 0, &json!([])), [2, 1]);
}

#[test]
fn sort_keys_count_as_bytes_of_their_index() {
    let mut rig = with_texts(&[]);
    assert_eq!(index(&mut rig, 1, false, &one(1, UNICODE)), None);
    let bytes = |rig: &mut Rig| {
        let told = rig.call("box.space.s.index.i1:bsize", &NONE);
        told.trim_matches(['[', ']']).parse::<usize>().unwrap()
    };
    let before = bytes(&mut rig);
    // Each character takes as many primary weights as a sentence.
    rig.insert(&(1, "\u{fdfa}".repeat(1000)));
    rig.commit();
    assert!(bytes(&mut rig) - before > 14 * 3000);
}
