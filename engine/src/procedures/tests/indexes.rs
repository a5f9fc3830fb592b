//! Definitions of indexes by call.

use super::{V, serde_text};
use crate::tests::{NONE, Rig};

/// Parts of an index on a space with fields `id`, `name` and `x`, as the catalog shows them.
fn parts(given: V) -> String {
    let mut rig = Rig::new();
    let format = list![list!["id", "unsigned"], list!["name", "string"], list!["x"]];
    rig.call(
        "box.schema.space.create",
        &("p", table! { format = format }),
    );
    let created = rig.call(
        "box.space.p:create_index",
        &("pk", table! { parts = given }),
    );
    match created.split_once("\"parts\": ") {
        Some((_, parts)) => {
            parts
                .replace("\"fieldno\": ", "")
                .replace("\"type\": ", "")
                .replace(", \"is_nullable\": false", "")
                .trim_end_matches("}]")
                .to_owned()
                + "}]"
        }
        None => created,
    }
}

/// Parts as Lua callers give them, and as the catalog shows them.
fn readable_parts() -> Vec<(V, &'static str)> {
    let id = r#"[{1, "unsigned"}]"#;
    let name = r#"[{2, "string"}]"#;
    vec![
        (list![1], id),
        (list!["id"], id),
        (list!["name", "id"], r#"[{2, "string"}, {1, "unsigned"}]"#),
        (list![1, "unsigned"], id),
        (
            list![1, "unsigned", 2, "string"],
            r#"[{1, "unsigned"}, {2, "string"}]"#,
        ),
        (list![list![1]], id),
        (list![list![4]], r#"[{4, "scalar"}]"#),
        (list![4, "unsigned"], r#"[{4, "unsigned"}]"#),
        (list![table! { field = "name" }], name),
        (list![table! { field = 2, collation = "binary" }], name),
        (
            list![table! { field = "x", type = "string" }],
            r#"[{3, "string"}]"#,
        ),
        (list![list!["id", "integer"]], r#"[{1, "integer"}]"#),
        (list![table! { field = 1, sort_order = "asc" }], id),
        (
            list![list!["x.a['b']", "string"]],
            r#"[{3, "string", "path": ".a['b']"}]"#,
        ),
        (
            list![table! { field = 9, type = "string", path = "a.b" }],
            r#"[{9, "string", "path": "a.b"}]"#,
        ),
        (list![list!["[3]", "string"]], r#"[{3, "string"}]"#),
        (
            list![table! { field = 1, sort_order = "DESC" }],
            r#"[{1, "unsigned", "sort_order": "desc"}]"#,
        ),
    ]
}

/// Parts that are refused, and why.
fn refused_parts() -> Vec<(V, &'static str)> {
    vec![
        (
            list![list!["x"]],
            "14: Can't create or modify index 'pk' in space 'p': field type 'any' is not supported",
        ),
        (
            list![list!["id", "unsigned", "is_nullable"]],
            "108: Wrong index options (field 1): key must be a string",
        ),
        (
            list![list!["id", "string"]],
            "27: Field 1 (id) has type 'unsigned' in space format, but type 'string' in \
             index definition",
        ),
        (
            list![table! { type = "unsigned" }],
            "1: Illegal parameters, options.parts[1]: field (name or number) is expected",
        ),
        (
            list![list![0, "unsigned"]],
            "1: Illegal parameters, options.parts[1]: field (number) must be one-based",
        ),
        (
            list![list!["nm"]],
            "1: Illegal parameters, options.parts[1]: field was not found by name 'nm'",
        ),
        (
            list![list![1, "foo"]],
            "107: Wrong index parts: unknown field type; expected field1 id (number), \
             field1 type (string), ...",
        ),
        (
            list![list![1], list![1]],
            "14: Can't create or modify index 'pk' in space 'p': same key part is indexed twice",
        ),
        (
            list![table! { field = 1, is_nullable = true }],
            "152: Primary index of space 'p' can not contain nullable parts",
        ),
        (
            list![],
            "1: Illegal parameters, options.parts must have at least one part",
        ),
        (
            V::from("id"),
            "1: Illegal parameters, options parameter 'parts' should be of type table",
        ),
    ]
}

/// Parts of which something else is refused than field and type, and why.
fn refused_options() -> Vec<(V, &'static str)> {
    vec![
        (
            list![table! { field = 2, sort_order = "down" }],
            "108: Wrong index options (field 1): index part: unknown sort order",
        ),
        (
            list![table! { field = 2, sort_order = 1 }],
            "108: Wrong index options (field 1): 'sort_order' must be enum",
        ),
        (
            list![table! { field = 2, collation = "unicode_lv_s1" }],
            "5: vestibule does not support collation 'unicode_lv_s1'",
        ),
        (
            list![table! { field = 2, collation = "klingon" }],
            "1: Illegal parameters, options.parts[1]: collation was not found by name 'klingon'",
        ),
        (
            list![table! { field = "x.tags[*]", type = "string" }],
            "14: Can't create or modify index 'pk' in space 'p': primary key cannot be multikey",
        ),
        (
            list![list!["[2].a", "string"]],
            "24: Field 2 (name) has type 'string' in one index, but type 'map' in another",
        ),
        (
            list![table! { field = 3, type = "string", path = "a..b" }],
            "108: Wrong index options (field 1): invalid path",
        ),
        (
            list![table! { field = 3, type = "string", path = 7 }],
            "108: Wrong index options (field 1): 'path' must be string",
        ),
        (
            list![list!["x..b", "string"]],
            "108: Wrong index options (field 1): invalid path",
        ),
        (
            list![list!["y.b", "string"]],
            "1: Illegal parameters, options.parts[1]: field was not found by name 'y.b'",
        ),
    ]
}

#[test]
fn parts_are_read_in_all_of_luas_ways() {
    for (given, expected) in [readable_parts(), refused_parts(), refused_options()].concat() {
        assert_eq!(parts(given.clone()), expected, "{}", serde_text(&given));
    }
}

#[test]
fn an_index_is_returned_as_tarantool_prints_it() {
    let mut rig = Rig::new();
    rig.call("box.schema.space.create", &("s",));
    let whole = concat!(
        r#"[{"id": 0, "name": "pk", "space_id": 512, "type": "TREE", "unique": true, "#,
        r#""parts": [{"fieldno": 1, "type": "unsigned", "is_nullable": false}]}]"#,
    );
    assert_eq!(rig.call("box.space.s:create_index", &("pk",)), whole);
    let again = table! { if_not_exists = true };
    assert_eq!(rig.call("box.space.s:create_index", &("pk", again)), whole);
    for (args, expected) in [
        (list!["pk"], "85: Index 'pk' already exists"),
        (
            list!["second"],
            concat!(
                r#"[{"id": 1, "name": "second", "space_id": 512, "type": "TREE", "unique": true, "#,
                r#""parts": [{"fieldno": 1, "type": "unsigned", "is_nullable": false}]}]"#,
            ),
        ),
        (
            list!["x", table! { foo = 1 }],
            "1: Illegal parameters, unexpected option 'foo'",
        ),
    ] {
        assert_eq!(rig.call("box.space.s:create_index", &args), expected);
    }
    assert_eq!(
        rig.call("box.space.t:create_index", &("pk",)),
        "33: Procedure 'box.space.t:create_index' is not defined"
    );
    assert_eq!(
        rig.call("box.space.s:nothing", &NONE),
        "33: Procedure 'box.space.s:nothing' is not defined"
    );
}

#[test]
fn an_index_is_altered_renamed_and_dropped() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    rig.call("box.space.s:insert", &((1, "a"),));
    rig.call("box.space.s:insert", &((2, "a"),));
    let parts = list![table! { field = 2, type = "string" }];
    let by_text = table! { parts = parts, unique = false };
    let created = rig.call("box.space.s:create_index", &("sk", by_text));
    assert!(created.contains(r#""unique": false"#), "{created}");
    let call = |rig: &mut Rig, method: &str, args: &V| {
        rig.call(&format!("box.space.s.index.{method}"), args)
    };
    assert_eq!(
        call(&mut rig, "sk:select", &list!["a"]),
        r#"[[[1, "a"], [2, "a"]]]"#
    );
    assert_eq!(call(&mut rig, "sk:max", &list![]), r#"[[2, "a"]]"#);
    assert_eq!(call(&mut rig, "sk:min", &list!["b"]), "[]");
    assert_eq!(call(&mut rig, "sk:count", &list!["a"]), "[2]");
    assert_eq!(
        call(&mut rig, "sk:get", &list!["a"]),
        "41: Get() doesn't support partial keys and non-unique indexes"
    );
    assert_eq!(
        call(&mut rig, "sk:alter", &list![table! { unique = true }]),
        concat!(
            r#"3: Duplicate key exists in unique index "sk" in space "s" with old tuple - "#,
            r#"[1, "a"] and new tuple - [2, "a"]"#,
        )
    );
    assert_eq!(
        call(
            &mut rig,
            "sk:alter",
            &list![table! { id = 1, unique = true }]
        ),
        "32: Don't know how to update both id and unique"
    );
    assert_eq!(call(&mut rig, "sk:alter", &list![table! { id = 1 }]), "[]");
    assert_eq!(call(&mut rig, "sk:len", &list![]), "[2]");
    let parts = list![table! { field = 3, type = "unsigned", exclude_null = true }];
    let changed = table! { name = "n", parts = parts };
    assert_eq!(call(&mut rig, "sk:alter", &list![changed]), "[]");
    assert_eq!(call(&mut rig, "n:len", &list![]), "[0]");
    assert_eq!(call(&mut rig, "n:rename", &list!["m"]), "[]");
    assert_eq!(
        call(&mut rig, "pk:drop", &list![]),
        "17: Can't drop primary key in space 's' while secondary keys exist"
    );
    assert_eq!(call(&mut rig, "m:drop", &list![]), "[]");
    assert_eq!(
        call(&mut rig, "m:len", &list![]),
        "33: Procedure 'box.space.s.index.m:len' is not defined"
    );
    assert_eq!(call(&mut rig, "pk:drop", &list![]), "[]");
    assert_eq!(rig.call("box.space.s:drop", &NONE), "[]");
}

#[test]
fn a_hash_index_has_no_edges() {
    let mut rig = Rig::new();
    rig.call("box.schema.space.create", &("s",));
    rig.call(
        "box.space.s:create_index",
        &("pk", table! { type = "hash" }),
    );
    for method in ["min", "max"] {
        assert_eq!(
            rig.call(&format!("box.space.s.index.pk:{method}"), &NONE),
            format!("112: Index 'pk' (HASH) of space 's' (memtx) does not support {method}()")
        );
    }
}

#[test]
fn the_primary_index_may_be_stricter_than_the_format() {
    let mut rig = Rig::new();
    let format = list![table! { name = "id", type = "unsigned", is_nullable = true }];
    rig.call(
        "box.schema.space.create",
        &("s", table! { format = format }),
    );
    let parts = list![table! { field = 1, is_nullable = false }];
    let made = rig.call(
        "box.space.s:create_index",
        &("pk", table! { parts = parts }),
    );
    assert!(made.starts_with("[{"), "{made}");
    let told = rig.call("box.space.s:insert", &list![list![V::Nil(())]]);
    assert!(told.starts_with("23: Tuple field 1 (id)"), "{told}");
}
