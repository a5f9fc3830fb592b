//! `box.schema.*` and `box.space.*` as Lua callers use them, answered as Tarantool 2.6 does.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::tests::{NONE, Rig, pack, printed};

/// A value of any shape.
#[derive(Clone, Serialize)]
#[serde(untagged)]
enum V {
    Nil(()),
    Bool(bool),
    Number(i64),
    Str(&'static str),
    List(Vec<V>),
    Table(BTreeMap<&'static str, V>),
}

impl From<i64> for V {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<&'static str> for V {
    fn from(text: &'static str) -> Self {
        Self::Str(text)
    }
}

impl From<bool> for V {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl<const N: usize> From<[V; N]> for V {
    fn from(values: [V; N]) -> Self {
        Self::List(values.into())
    }
}

macro_rules! list {
    ($($value:expr),* $(,)?) => { V::from([$(V::from($value)),*]) };
}

macro_rules! table {
    ($($name:ident = $value:expr),* $(,)?) => {
        V::Table(std::collections::BTreeMap::from([$((stringify!($name), V::from($value))),*]))
    };
}

mod sequences;
mod spaces;

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

#[test]
fn parts_are_read_in_all_of_luas_ways() {
    let id = r#"[{1, "unsigned"}]"#;
    let name = r#"[{2, "string"}]"#;
    for (given, expected) in [
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
            "27: Field 1 (id) has type 'unsigned' in space format, but type 'string' in index definition",
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
            "107: Wrong index parts: unknown field type; expected field1 id (number), field1 type (string), ...",
        ),
        (
            list![list![1], list![1]],
            "14: Can't create or modify index 'pk' in space 'p': same key part is indexed twice",
        ),
        (
            list![table! { field = 2, collation = "unicode" }],
            "5: vestibule does not support collation 'unicode'",
        ),
        (
            list![table! { field = 2, collation = "klingon" }],
            "1: Illegal parameters, options.parts[1]: collation was not found by name 'klingon'",
        ),
        (
            list![table! { field = "x.tags[*]", type = "string" }],
            "5: vestibule does not support index parts inside a field ('path')",
        ),
        (
            list![list!["[2].a", "string"]],
            "5: vestibule does not support index parts inside a field ('path')",
        ),
        (
            list![table! { field = 2, path = "a.b" }],
            "5: vestibule does not support index parts inside a field ('path')",
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
    ] {
        assert_eq!(parts(given.clone()), expected, "{}", serde_text(&given));
    }
}

fn serde_text(value: &V) -> String {
    let mut body = vec![0x81, 0x30];
    body.extend(pack(value));
    printed(&body)
}

#[test]
fn spaces_are_created_with_tarantools_options_and_errors() {
    let mut rig = Rig::new();
    let mut create = |args: V| rig.call("box.schema.space.create", &args);
    assert_eq!(create(list!["a"]), r#"[{"id": 512, "name": "a"}]"#);
    for (args, expected) in [
        (list!["a"], "10: Space 'a' already exists"),
        (
            list!["a", table! { if_not_exists = true }],
            r#"[{"id": 512, "name": "a"}]"#,
        ),
        (
            list!["b", table! { id = 700 }],
            r#"[{"id": 700, "name": "b"}]"#,
        ),
        (
            list!["c", table! { user = "guest", field_count = 3 }],
            r#"[{"id": 513, "name": "c"}]"#,
        ),
        (
            list!["d", table! { engine = "vinyl" }],
            "5: vestibule does not support engine 'vinyl'",
        ),
        (
            list!["d", table! { engine = "foo" }],
            "57: Space engine 'foo' does not exist",
        ),
        (
            list!["d", table! { foo = 1 }],
            "1: Illegal parameters, unexpected option 'foo'",
        ),
        (
            list!["d", table! { id = "x" }],
            "1: Illegal parameters, options parameter 'id' should be of type number",
        ),
        (
            list!["d", table! { temporary = true }],
            "5: vestibule does not support the space option 'temporary'",
        ),
        (
            list!["d", table! { user = "nope" }],
            "45: User 'nope' is not found",
        ),
        (
            list!["d", table! { format = 1 }],
            "1: Illegal parameters, options parameter 'format' should be of type table",
        ),
        (
            list!["d", table! { format = list![list!["a", "foo"]] }],
            "9: Failed to create space 'd': field 1 has unknown field type",
        ),
        (
            list!["d", table! { format = list!["a", "a"] }],
            "149: Space field 'a' is duplicate",
        ),
        (
            list!["d", table! { format = list![table! { type = "string" }] }],
            "1: Illegal parameters, format[1]: name (string) is expected",
        ),
        (
            list!["d", table! { id = 512 }],
            "9: Failed to create space 'd': number 512 is taken by space 'a'",
        ),
        (
            list![""],
            "70: Invalid identifier '' (expected printable symbols only or it is too long)",
        ),
        (
            list![V::Nil(())],
            "1: Illegal parameters, name should be a string",
        ),
    ] {
        assert_eq!(create(args.clone()), expected, "{}", serde_text(&args));
    }
}

#[test]
fn an_index_is_returned_as_tarantool_prints_it() {
    let mut rig = Rig::new();
    rig.call("box.schema.space.create", &("s",));
    let whole = r#"[{"id": 0, "name": "pk", "space_id": 512, "type": "TREE", "unique": true, "parts": [{"fieldno": 1, "type": "unsigned", "is_nullable": false}]}]"#;
    assert_eq!(rig.call("box.space.s:create_index", &("pk",)), whole);
    let again = table! { if_not_exists = true };
    assert_eq!(rig.call("box.space.s:create_index", &("pk", again)), whole);
    for (args, expected) in [
        (list!["pk"], "85: Index 'pk' already exists"),
        (
            list!["second"],
            r#"[{"id": 1, "name": "second", "space_id": 512, "type": "TREE", "unique": true, "parts": [{"fieldno": 1, "type": "unsigned", "is_nullable": false}]}]"#,
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
fn a_format_is_set_and_checked_against_what_is_stored() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    rig.call("box.space.s:insert", &((1, "a"),));
    let format = list![
        list!["id", "unsigned"],
        table! { name = "n", type = "string", is_nullable = true }
    ];
    assert_eq!(rig.call("box.space.s:format", &(&format,)), "[]");
    assert_eq!(
        rig.call("box.space.s:format", &NONE),
        r#"[[{"name": "id", "type": "unsigned"}, {"name": "n", "type": "string", "is_nullable": true}]]"#
    );
    assert_eq!(rig.call("box.space.s:insert", &((2,),)), "[[2]]");
    assert_eq!(
        rig.call("box.space.s:insert", &((3, 4),)),
        "23: Tuple field 2 (n) type does not match one required by operation: expected string, got unsigned"
    );
    let (wrong, missing) = (
        list!["id", list!["n", "unsigned"]],
        list!["id", list!["n", "string"]],
    );
    assert!(
        rig.call("box.space.s:format", &(wrong,))
            .starts_with("23: Tuple field 2 (n)")
    );
    assert_eq!(
        rig.call("box.space.s:format", &(missing,)),
        "39: Tuple field 2 (n) required by space format is missing"
    );
    let text = list![list!["id", "string"]];
    assert!(
        rig.call("box.space.s:format", &(text,))
            .starts_with("27: Field 1 (id)")
    );
}

#[test]
fn data_calls_return_what_lua_would() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    for id in 1..=10 {
        assert_eq!(
            rig.call("box.space.s:insert", &((id,),)),
            format!("[[{id}]]")
        );
    }
    for (method, args, expected) in [
        ("get", list![5], "[[5]]"),
        ("get", list![list![50]], "[]"),
        (
            "get",
            list![],
            "19: Invalid key part count in an exact match (expected 1, got 0)",
        ),
        ("select", list![5], "[[[5]]]"),
        (
            "select",
            list![V::Nil(()), table! { limit = 2, offset = 1 }],
            "[[[2], [3]]]",
        ),
        (
            "select",
            list![5, table! { iterator = "lt", limit = 2 }],
            "[[[4], [3]]]",
        ),
        (
            "select",
            list![5, table! { iterator = "FOO" }],
            "72: Unknown iterator type 'FOO'",
        ),
        ("count", list![5, table! { iterator = "GE" }], "[6]"),
        ("count", list![], "[10]"),
        ("len", list![], "[10]"),
        (
            "update",
            list![5, list![list!["=", 2, "x"]]],
            r#"[[5, "x"]]"#,
        ),
        ("upsert", list![list![11], list![]], "[]"),
        ("replace", list![list![11, 1]], "[[11, 1]]"),
        ("delete", list![11], "[[11, 1]]"),
        ("delete", list![11], "[]"),
        ("insert", list![5], "22: Tuple/Key must be MsgPack array"),
    ] {
        assert_eq!(
            rig.call(&format!("box.space.s:{method}"), &args),
            expected,
            "{method}"
        );
    }
}

#[test]
fn if_not_exists_is_a_boolean() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    let wrong =
        "1: Illegal parameters, options parameter 'if_not_exists' should be of type boolean";
    for procedure in [
        "box.schema.space.create",
        "box.schema.sequence.create",
        "box.space.s:create_index",
    ] {
        assert_eq!(
            rig.call(procedure, &("new", table! { if_not_exists = 1 })),
            wrong,
            "{procedure}"
        );
    }
}

#[test]
fn names_are_printable() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    for name in ["имя", "日本 語", "a.b:c", "\u{200b}"] {
        assert_eq!(rig.call("box.space.s:rename", &(name,)), "[]");
        assert_eq!(rig.call(&format!("box.space.{name}:rename"), &("s",)), "[]");
    }
    for name in ["", "a\nb", "a\u{7f}", "a\u{2028}b", "a\u{2029}"] {
        let told = rig.call("box.space.s:rename", &(name,));
        assert!(
            told.starts_with("70: ") || name.is_empty(),
            "{name:?}: {told}"
        );
    }
}

#[test]
fn spaces_are_renamed_and_dropped() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    rig.call("box.schema.space.create", &("other",));
    assert!(
        rig.call("box.space.s:rename", &("other",))
            .starts_with("3: Duplicate key")
    );
    assert_eq!(rig.call("box.space.s:rename", &("t",)), "[]");
    assert_eq!(
        rig.call("box.space.s:len", &NONE),
        "33: Procedure 'box.space.s:len' is not defined"
    );
    assert_eq!(rig.call("box.space.t:drop", &NONE), "[]");
    assert_eq!(
        rig.call("box.space.t:drop", &NONE),
        "33: Procedure 'box.space.t:drop' is not defined"
    );
    assert!(rig.call("box.space._space:drop", &NONE).starts_with("14: "));
}

#[test]
fn users_come_and_go() {
    let mut rig = Rig::new();
    let mut user = |method: &str, args: V| rig.call(&format!("box.schema.user.{method}"), &args);
    for (method, args, expected) in [
        ("create", list!["u", table! { password = "x" }], "[]"),
        ("create", list!["u"], "46: User 'u' already exists"),
        ("create", list!["u", table! { if_not_exists = true }], "[]"),
        (
            "create",
            list!["z", table! { foo = 1 }],
            "1: Illegal parameters, unexpected option 'foo'",
        ),
        ("exists", list!["u"], "[true]"),
        ("exists", list!["super"], "[false]"),
        ("passwd", list!["u", "y"], "[]"),
        ("passwd", list!["own"], "[]"),
        ("passwd", list!["nope", "x"], "45: User 'nope' is not found"),
        ("drop", list!["nope"], "45: User 'nope' is not found"),
        ("drop", list!["nope", table! { if_exists = true }], "[]"),
        (
            "drop",
            list!["admin"],
            "44: Failed to drop user or role 'admin': the user or the role is a system",
        ),
        ("drop", list!["u"], "[]"),
        ("exists", list!["u"], "[false]"),
    ] {
        assert_eq!(user(method, args), expected, "{method}");
    }
}

#[test]
fn what_can_be_called_is_listed() {
    let names = super::with_debug(super::standard()).names();
    for name in [
        "box.schema.space.create",
        "box.space.*",
        "vestibule.debug.sleep",
    ] {
        assert!(names.iter().any(|own| own == name), "{names:?}");
    }
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
        r#"3: Duplicate key exists in unique index "sk" in space "s" with old tuple - [1, "a"] and new tuple - [2, "a"]"#
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
fn methods_of_a_space_without_an_index_answer_as_in_lua() {
    let mut rig = Rig::new();
    rig.call("box.schema.space.create", &("s",));
    for method in ["len", "count"] {
        let told = rig.call(&format!("box.space.s:{method}"), &NONE);
        assert_eq!(told, "[0]", "{method}");
    }
    for method in ["update", "delete", "get", "select"] {
        let told = rig.call(&format!("box.space.s:{method}"), &NONE);
        assert_eq!(told, "35: No index #0 is defined in space 's'", "{method}");
    }
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
