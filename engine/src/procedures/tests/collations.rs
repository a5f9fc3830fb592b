//! Collations by name, in formats and in parts of indexes, and by number in rows.

use serde_json::{Value, json};
use vestibule_wire::request::{Body, IdOrName, Select, Store};

use crate::schema::system;
use crate::tests::{NONE, Rig, SPACE, by, pack};

/// A space whose format names collations.
fn rig() -> Rig {
    let mut rig = Rig::new();
    let format = json!([
        ["id", "unsigned"],
        {"name": "name", "type": "string", "collation": "Unicode_CI"},
        {"name": "other", "type": "scalar", "is_nullable": true, "collation": "none"},
    ]);
    rig.call(
        "box.schema.space.create",
        &("s", json!({ "format": format })),
    );
    rig.call("box.space.s:create_index", &("pk",));
    rig
}

/// Makes an index, and returns its first part as it is shown.
fn part_of(rig: &mut Rig, name: &str, parts: Value) -> String {
    let options = json!({"parts": parts, "unique": false});
    let told = rig.call("box.space.s:create_index", &(name, options));
    let (_, parts) = told.split_once(r#""parts": "#).expect(&told);
    parts.split_once("}").unwrap().0.to_owned()
}

fn row(rig: &mut Rig, space: u32, key: &Value) -> String {
    rig.run(Body::Select(Select {
        space: IdOrName::Id(space),
        ..by(&pack(key))
    }))
}

#[test]
fn an_index_takes_the_collation_of_the_format_unless_it_names_one() {
    let mut rig = rig();
    let inherited = r#""is_nullable": false, "collation": "unicode_ci""#;
    for (name, parts) in [
        ("a", json!(["name"])),
        ("b", json!([["name"]])),
        ("c", json!([2])),
    ] {
        let part = part_of(&mut rig, name, parts);
        assert!(part.ends_with(inherited), "{part}");
    }
    for parts in [
        json!([{"field": "name", "collation": "none"}]),
        json!([{"field": "name", "collation": "binary"}]),
        json!(["other"]),
    ] {
        let part = part_of(&mut rig, "d", parts);
        assert!(!part.contains("collation"), "{part}");
        rig.call("box.space.s.index.d:drop", &NONE);
    }
}

#[test]
fn parts_are_shown_by_name_and_stored_by_number() {
    let mut rig = rig();
    let parts = json!([{"field": "other", "collation": "unicode_uk_s3"}, "id"]);
    let part = part_of(&mut rig, "e", parts);
    assert!(part.ends_with(r#""collation": "unicode_uk_s3""#), "{part}");
    for again in [false, true] {
        if again {
            rig.reopen();
        }
        let expected = concat!(
            r#"[[512, 1, "e", "tree", {"unique": false}, "#,
            r#"[{"field": 2, "type": "scalar", "collation": 240, "is_nullable": true}, "#,
            r#"{"field": 0, "type": "unsigned"}]]]"#
        );
        assert_eq!(row(&mut rig, system::INDEX, &json!([SPACE, 1])), expected);
        let told = row(&mut rig, system::SPACE, &json!([SPACE]));
        let collation = r#"{"name": "name", "type": "string", "collation": 2}"#;
        assert!(told.contains(collation), "{told}");
    }
}

#[test]
fn a_format_with_what_is_no_collation_of_its_field_is_refused() {
    let mut rig = Rig::new();
    for (field, expected) in [
        (
            json!({"name": "a", "type": "unsigned", "collation": 2}),
            "9: Failed to create space 't': collation is reasonable only for string, scalar and \
             any fields",
        ),
        (
            json!({"name": "a", "type": "string", "collation": 999}),
            "151: Wrong collation options (field 1): collation was not found by ID",
        ),
        (
            json!({"name": "a", "type": "string", "collation": "unicode"}),
            "141: Wrong space format (field 1): 'collation' must be unsigned",
        ),
    ] {
        let row = json!([600, 1, "t", "memtx", 0, {}, [field]]);
        let told = rig.run(Body::Insert(Store {
            space: IdOrName::Id(system::SPACE),
            tuple: &pack(&row),
        }));
        assert_eq!(told, expected);
    }
}
