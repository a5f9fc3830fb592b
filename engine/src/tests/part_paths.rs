//! Index parts inside of fields, and over the elements of arrays.

use serde_json::{Value, json};
use vestibule_wire::request::{After, Body, Delete, IdOrName, Select, Store, Update};

use super::{NONE, Rig, SPACE, by, pack};
use crate::limits::MULTIKEY_ELEMENTS_MAX;
use crate::schema::system;

pub(super) fn define(rig: &mut Rig, row: &Value) -> String {
    let told = rig.run(Body::Replace(Store {
        space: IdOrName::Id(system::INDEX),
        tuple: &pack(row),
    }));
    rig.commit();
    told
}

/// Defines an index with these parts; tells why not.
pub(super) fn index(rig: &mut Rig, id: u32, is_unique: bool, parts: &Value) -> Option<String> {
    let row = json!([SPACE, id, format!("i{id}"), "tree", {"unique": is_unique}, parts]);
    let told = define(rig, &row);
    Some(told).filter(|told| !told.starts_with("[["))
}

pub(super) fn found(rig: &mut Rig, index: u32, key: &Value) -> String {
    rig.run(Body::Select(Select {
        index: IdOrName::Id(index),
        ..by(&pack(key))
    }))
}

fn rig() -> Rig {
    Rig::with_space(&[(1, "unsigned")])
}

/// What replacing a row is told: nothing if it is stored.
fn refusal(rig: &mut Rig, row: &Value) -> String {
    let told = rig.replace(row);
    if told.starts_with("[[") {
        return String::new();
    }
    told
}

const WRONG: &str = "type does not match one required by operation: expected";

#[test]
fn what_a_path_leads_through_and_to_is_checked() {
    let mut rig = rig();
    let part = |is_nullable: bool| {
        let path = "a.b";
        json!([{"field": 1, "type": "string", "path": path, "is_nullable": is_nullable}])
    };
    let missing = r#"39: Tuple field [2]["a"]["b"] required by space format is missing"#;
    let inner = format!(r#"23: Tuple field [2]["a"] {WRONG} map, got "#);
    let leaf = format!(r#"23: Tuple field [2]["a"]["b"] {WRONG} string, got "#);
    let top = format!("23: Tuple field 2 {WRONG} map, got ");
    for (row, required, optional) in [
        (json!([1]), missing.to_owned(), String::new()),
        (json!([1, {}]), missing.to_owned(), String::new()),
        (
            json!([1, {"a": {"c": 1}}]),
            missing.to_owned(),
            String::new(),
        ),
        (json!([1, null]), top.clone() + "nil", top.clone() + "nil"),
        (json!([1, ["x"]]), top.clone() + "array", top + "array"),
        (
            json!([1, {"a": null}]),
            inner.clone() + "nil",
            inner.clone() + "nil",
        ),
        (
            json!([1, {"a": "q"}]),
            inner.clone() + "string",
            inner + "string",
        ),
        (
            json!([1, {"a": {"b": 5}}]),
            leaf.clone() + "unsigned",
            leaf.clone() + "unsigned",
        ),
        (json!([1, {"a": {"b": null}}]), leaf + "nil", String::new()),
        (
            json!([1, {"x": 1, "a": {"b": "k"}}, 2]),
            String::new(),
            String::new(),
        ),
    ] {
        for (is_nullable, expected) in [(false, required), (true, optional)] {
            assert_eq!(index(&mut rig, 1, true, &part(is_nullable)), None);
            assert_eq!(refusal(&mut rig, &row), expected, "{row} {is_nullable}");
            rig.delete(&(1,));
            rig.commit();
        }
    }
}

#[test]
fn rows_are_found_by_what_stands_inside_of_them() {
    let mut rig = rig();
    let parts = json!([
        {"field": 1, "type": "string", "path": "name.last"},
        {"field": 1, "type": "unsigned", "path": "[\"name\"]['no'][2]", "is_nullable": true},
    ]);
    assert_eq!(index(&mut rig, 1, true, &parts), None);
    let rows = [
        json!([1, {"name": {"last": "b", "no": [0, 7]}}]),
        json!([2, {"name": {"last": "a"}}]),
        json!([3, {"name": {"no": [5], "last": "a"}}]),
    ];
    for row in &rows {
        assert_eq!(refusal(&mut rig, row), "");
    }
    let same = json!([4, {"name": {"last": "b", "no": [1, 7]}}]);
    assert!(refusal(&mut rig, &same).starts_with("3: Duplicate key"));
    for _ in 0..3 {
        let list = |rows: &[&Value]| super::Printed(&pack(&rows)).to_string();
        assert_eq!(
            found(&mut rig, 1, &json!([])),
            list(&[&rows[1], &rows[2], &rows[0]])
        );
        assert_eq!(
            found(&mut rig, 1, &json!(["a"])),
            list(&[&rows[1], &rows[2]])
        );
        assert_eq!(found(&mut rig, 1, &json!(["b", 7])), list(&[&rows[0]]));
        assert_eq!(found(&mut rig, 1, &json!(["b", 8])), "[]");
        rig.commit();
        rig.reopen();
    }
    // An update inside moves the row.
    let told = rig.update(&(1,), &(("=", "[2].name.last", "0"),));
    assert!(told.starts_with("[[1, "), "{told}");
    assert!(found(&mut rig, 1, &json!([])).starts_with("[[1, "));
}

#[test]
fn a_primary_index_may_lead_inside() {
    let mut rig = rig();
    let parts = json!([{"field": 1, "type": "string", "path": "id"}]);
    assert_eq!(index(&mut rig, 0, true, &parts), None);
    assert_eq!(index(&mut rig, 1, false, &json!([[0, "unsigned"]])), None);
    for (number, id) in [(5, "x"), (5, "a"), (6, "m")] {
        assert_eq!(refusal(&mut rig, &json!([number, {"id": id}])), "");
    }
    rig.commit();
    assert_eq!(rig.delete(&("m",)), r#"[[6, {"id": "m"}]]"#);
    assert!(
        rig.update(&("x",), &(("=", "[2].id", "y"),))
            .starts_with("94: ")
    );
    rig.commit();
    rig.call("box.snapshot", &[0; 0]);
    for _ in 0..2 {
        let both = r#"[[5, {"id": "a"}], [5, {"id": "x"}]]"#;
        assert_eq!(found(&mut rig, 0, &json!([])), both);
        assert_eq!(found(&mut rig, 1, &json!([5])), both);
        rig.reopen();
    }
}

#[test]
fn paths_that_contradict_each_other_or_the_format_are_refused() {
    let mut rig = rig();
    let part = |path: &str, kind: &str| json!({"field": 1, "type": kind, "path": path});
    let types = |place: &str, one: &str, other: &str| {
        let what = format!("has type '{one}' in one index, but type '{other}' in another");
        Some(format!("24: Field {place} {what}"))
    };
    let twice =
        "14: Can't create or modify index 'i1' in space 's': same key part is indexed twice";
    for (one, other, expected) in [
        (
            part("a", "unsigned"),
            part("a.b", "string"),
            types(r#"[2]["a"]"#, "unsigned", "map"),
        ),
        (
            part("[1]", "unsigned"),
            part("b", "string"),
            types("2", "array", "map"),
        ),
        (
            part("a", "unsigned"),
            part("[\"a\"]", "string"),
            Some(twice.to_owned()),
        ),
        (
            json!({"field": 1, "type": "unsigned"}),
            part("a", "string"),
            types("2", "unsigned", "map"),
        ),
        (part("a.b", "unsigned"), part("a.c", "string"), None),
    ] {
        assert_eq!(index(&mut rig, 1, true, &json!([one, other])), expected);
    }
    for (path, why) in [
        (json!("a..b"), "invalid path"),
        (json!(5), "'path' must be string"),
        (
            json!("[*].a[*]"),
            "no more than one array index placeholder [*] is allowed in JSON path",
        ),
    ] {
        let parts = json!([{"field": 1, "type": "unsigned", "path": path}]);
        let told = format!("108: Wrong index options (field 1): {why}");
        assert_eq!(index(&mut rig, 1, true, &parts), Some(told));
    }
}

#[test]
fn every_element_of_an_array_gives_a_key() {
    let mut rig = rig();
    let parts = json!([
        {"field": 1, "type": "unsigned", "path": "[*].a"},
        {"field": 2, "type": "string"},
        {"field": 1, "type": "unsigned", "path": "[*].b", "is_nullable": true},
    ]);
    assert_eq!(index(&mut rig, 1, false, &parts), None);
    let one = r#"[1, [{"a": 1}, {"a": 2, "b": 3}, {"a": 1}], "x"]"#;
    let four = r#"[4, [{"a": 1, "b": null}, {"a": 1}], "y"]"#;
    for (row, expected) in [
        (one, String::new()),
        (r#"[2, [], "x"]"#, String::new()),
        (
            r#"[3, [{"b": 1}], "x"]"#,
            r#"39: Tuple field [2][*]["a"] required by space format is missing"#.to_owned(),
        ),
        (
            r#"[3, [{"a": 1}, {"a": "q"}], "x"]"#,
            format!(r#"23: Tuple field [2][*]["a"] {WRONG} unsigned, got string"#),
        ),
        (
            r#"[3, [1], "x"]"#,
            format!("23: Tuple field [2][*] {WRONG} map, got unsigned"),
        ),
        (
            r#"[3, {}, "x"]"#,
            format!("23: Tuple field 2 {WRONG} array, got map"),
        ),
        (
            "[3]",
            "39: Tuple field 3 required by space format is missing".to_owned(),
        ),
        (four, String::new()),
    ] {
        let row = serde_json::from_str(row).unwrap();
        assert_eq!(refusal(&mut rig, &row), expected, "{row}");
    }
    for _ in 0..3 {
        let all = format!("[{one}, {four}, {one}]");
        assert_eq!(found(&mut rig, 1, &json!([])), all);
        assert_eq!(found(&mut rig, 1, &json!([1])), format!("[{one}, {four}]"));
        assert_eq!(rig.call("box.space.s.index.i1:count", &[0; 0]), "[3]");
        rig.commit();
        rig.reopen();
    }
    rig.update(&(1,), &(("=", "[2][1].a", 9),));
    rig.delete(&(4,));
    assert_eq!(rig.call("box.space.s.index.i1:count", &[0; 0]), "[3]");
    assert!(found(&mut rig, 1, &json!([9])).starts_with(r#"[[1, [{"a": 9}, "#));
}

#[test]
fn keys_of_one_tuple_may_be_equal_where_those_of_two_may_not() {
    let mut rig = rig();
    let parts = json!([{"field": 1, "type": "unsigned", "path": "[*]"}]);
    assert_eq!(index(&mut rig, 1, true, &parts), None);
    assert_eq!(refusal(&mut rig, &json!([1, [1, 2, 1, 1]])), "");
    let told = refusal(&mut rig, &json!([2, [3, 2]]));
    assert!(
        told.starts_with("3: Duplicate key exists in unique index \"i1\""),
        "{told}"
    );
    assert_eq!(
        found(&mut rig, 1, &json!([])),
        "[[1, [1, 2, 1, 1]], [1, [1, 2, 1, 1]]]"
    );
    let (space, index) = (IdOrName::Id(SPACE), IdOrName::Id(1));
    let told = rig.run(Body::Update(Update {
        space,
        index,
        key: &pack(&(2,)),
        ops: &pack(&(("=", 1, (2, 5)),)),
        index_base: 0,
    }));
    assert_eq!(told, "[[1, [2, 5]]]");
    assert_eq!(found(&mut rig, 1, &json!([])), "[[1, [2, 5]], [1, [2, 5]]]");
    assert_eq!(refusal(&mut rig, &json!([2, [3, 1]])), "");
    let key = &pack(&(5,));
    assert_eq!(
        rig.run(Body::Delete(Delete { space, index, key })),
        "[[1, [2, 5]]]"
    );
    assert_eq!(found(&mut rig, 1, &json!([])), "[[2, [3, 1]], [2, [3, 1]]]");
    let many: Vec<u32> = (0..=MULTIKEY_ELEMENTS_MAX).collect();
    let told = refusal(&mut rig, &json!([3, many]));
    let what = "more than 4096 elements in tuple field [2] of a multikey index";
    assert_eq!(told, format!("5: vestibule does not support {what}"));
    let many = &many[1..].iter().map(|own| own + 9).collect::<Vec<_>>();
    assert_eq!(refusal(&mut rig, &json!([3, many])), "");
    rig.commit();
}

#[test]
fn keys_that_repeat_large_parts_are_bounded() {
    let mut rig = rig();
    let parts = json!([
        {"field": 1, "type": "unsigned", "path": "[*]"},
        {"field": 2, "type": "string"},
    ]);
    assert_eq!(index(&mut rig, 1, true, &parts), None);
    let elements: Vec<u32> = (0..100).collect();
    let row = |size: usize| json!([1, elements, "x".repeat(size)]);
    assert_eq!(refusal(&mut rig, &row(40_000)), "");
    let what = "keys of more than 4194304 bytes of one tuple in a multikey index";
    let told = format!("5: vestibule does not support {what}");
    assert_eq!(refusal(&mut rig, &row(50_000)), told);
}

#[test]
fn what_a_multikey_index_cannot_be_is_refused() {
    let mut rig = rig();
    let cannot = |why: &str| format!("14: Can't create or modify index 'i' in space 's': {why}");
    let part = |field: u32, path: &str| json!({"field": field, "type": "unsigned", "path": path});
    for (id, kind, parts, expected) in [
        (
            0,
            "tree",
            json!([part(0, "[*]")]),
            cannot("primary key cannot be multikey"),
        ),
        (
            1,
            "hash",
            json!([part(1, "[*]")]),
            cannot("HASH index cannot be multikey"),
        ),
        (
            1,
            "tree",
            json!([part(1, "[*].a"), part(2, "[*].a")]),
            "108: Wrong index options (field 2): incompatable multikey index path".to_owned(),
        ),
        (
            1,
            "tree",
            json!([part(1, "a[*].a"), part(1, "b[*].a")]),
            "108: Wrong index options (field 2): incompatable multikey index path".to_owned(),
        ),
    ] {
        let row = json!([SPACE, id, "i", kind, {"unique": true}, parts]);
        assert_eq!(define(&mut rig, &row), expected);
    }
    let part = json!([{"field": 1, "type": "unsigned", "path": "[*]"}]);
    assert_eq!(index(&mut rig, 1, false, &part), None);
    let told = rig.run(Body::Select(Select {
        index: IdOrName::Id(1),
        after: After::Tuple(&pack(&(1, (1, 2)))),
        ..by(&pack(&NONE))
    }));
    assert_eq!(
        told,
        "1: Multikey indexes do not support positions by tuple"
    );
}

#[test]
fn paths_come_back_as_they_were_written() {
    let mut rig = rig();
    let parts = json!([
        {"field": 1, "type": "string", "is_nullable": true, "sort_order": "desc", "path": "a['b']"},
    ]);
    assert_eq!(index(&mut rig, 1, true, &parts), None);
    let told = rig.run(Body::Select(Select {
        space: IdOrName::Id(system::INDEX),
        ..by(&pack(&(SPACE, 1)))
    }));
    assert!(told.contains(r#""path": "a['b']""#), "{told}");
    assert!(told.contains(r#""sort_order": "desc""#), "{told}");
}
