//! `box.schema.space.create`, `box.space.<name>:<method>`: definitions, what is refused by name,
//! and calls that look for a tuple.

use super::{V, serde_text};
use crate::tests::{NONE, Rig};

#[test]
fn a_space_is_altered() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    rig.call("box.space.s:insert", &((1, "a"),));
    let mut alter =
        |space: &str, options: V| rig.call(&format!("box.space.{space}:alter"), &list![options]);
    for (options, expected) in [
        (
            table! { field_count = 3 },
            "38: Tuple field count 2 does not match space field count 3",
        ),
        (
            table! { format = list!["id", list!["n", "unsigned"]] },
            "23: Tuple field 2 (n) type does not match one required by operation: expected \
             unsigned, got string",
        ),
        (
            table! { temporary = true },
            "12: Can't modify space 's': can not switch temporary flag on a non-empty space",
        ),
        (
            table! { is_sync = true },
            "5: vestibule does not support the space option 'is_sync'",
        ),
        (
            table! { constraint = "f" },
            "1: Illegal parameters, unexpected option 'constraint'",
        ),
        (table! { user = "nope" }, "45: User 'nope' is not found"),
        (table! { field_count = 2, format = list!["id", "n"] }, "[]"),
        (table! { name = "t", temporary = false }, "[]"),
    ] {
        assert_eq!(alter("s", options), expected);
    }
    assert_eq!(
        alter("t", table! { field_count = 1 }),
        "12: Can't modify space 't': exact_field_count must be either 0 or >= formatted field count"
    );
    assert_eq!(rig.call("box.space.t:get", &(1,)), r#"[[1, "a"]]"#);
    rig.reopen();
    assert_eq!(
        rig.call("box.space.t:insert", &((2, "b", 3),)),
        "38: Tuple field count 3 does not match space field count 2"
    );
}

#[test]
fn options_of_a_field_that_are_not_here_are_refused_by_name() {
    let mut rig = Rig::new();
    for (field, expected) in [
        (
            table! { name = "a", type = "string", collation = "unicode_lv_s1" },
            "5: vestibule does not support collation 'unicode_lv_s1'",
        ),
        (
            table! { name = "a", collation = "klingon" },
            "1: Illegal parameters, format[1]: collation was not found by name 'klingon'",
        ),
        (
            table! { name = "a", constraint = "f" },
            "5: vestibule does not support the field option 'constraint'",
        ),
        (
            table! { name = "a", default_func = "f" },
            "5: vestibule does not support the field option 'default_func'",
        ),
    ] {
        let options = table! { format = list![field] };
        assert_eq!(
            rig.call("box.schema.space.create", &("s", options)),
            expected
        );
    }
}

#[test]
fn tuples_are_numbered_and_drawn() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    let mut call = |method: &str, args: V| rig.call(&format!("box.space.s{method}"), &args);
    for (method, args, expected) in [
        (".index.pk:random", list![5], "[]"),
        (":auto_increment", list![list!["a"]], r#"[[1, "a"]]"#),
        (":put", list![list![7]], "[[7]]"),
        (":auto_increment", list![list![]], "[[8]]"),
        (
            ":auto_increment",
            list![5],
            "1: Illegal parameters, tuple should be a table",
        ),
        (".index.pk:random", list![1], "[[7]]"),
        (".index.pk:random", list![5], "[[8]]"),
        (".index.pk:random", list![], r#"[[1, "a"]]"#),
        (".index.pk:random", list![-1], r#"[[1, "a"]]"#),
    ] {
        assert_eq!(call(method, args), expected, "{method}");
    }
}

#[test]
fn a_space_without_an_index_is_empty() {
    let mut rig = Rig::new();
    assert_eq!(
        rig.call("box.schema.create_space", &("s",)),
        r#"[{"id": 512, "name": "s"}]"#
    );
    let none = "35: No index #0 is defined in space 's'";
    for (method, args, expected) in [
        ("len", list![], "[0]"),
        ("count", list![], "[0]"),
        ("select", list![], none),
        ("get", list![1], none),
        ("insert", list![list![1]], none),
        ("auto_increment", list![list![1]], none),
        ("truncate", list![], "[]"),
    ] {
        assert_eq!(rig.call(&format!("box.space.s:{method}"), &args), expected);
    }
}

/// Spaces that cannot be created once there is `a`, and why.
fn refused_spaces() -> Vec<(V, &'static str)> {
    vec![
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
            list!["d", table! { temporary = 1 }],
            "1: Illegal parameters, options parameter 'temporary' should be of type boolean",
        ),
        (
            list!["d", table! { is_sync = true }],
            "5: vestibule does not support the space option 'is_sync'",
        ),
        (
            list!["d", V::Table([("type", V::from("temporary"))].into())],
            "5: vestibule does not support the space type 'temporary'",
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
    ]
}

#[test]
fn spaces_are_created_with_tarantools_options_and_errors() {
    let mut rig = Rig::new();
    let mut create = |args: V| rig.call("box.schema.space.create", &args);
    assert_eq!(create(list!["a"]), r#"[{"id": 512, "name": "a"}]"#);
    let created = vec![
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
    ];
    for (args, expected) in [created, refused_spaces()].concat() {
        assert_eq!(create(args.clone()), expected, "{}", serde_text(&args));
    }
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
        concat!(
            r#"[[{"name": "id", "type": "unsigned"}, {"name": "n", "type": "string", "#,
            r#""is_nullable": true}]]"#,
        )
    );
    assert_eq!(rig.call("box.space.s:insert", &((2,),)), "[[2]]");
    assert_eq!(
        rig.call("box.space.s:insert", &((3, 4),)),
        "23: Tuple field 2 (n) type does not match one required by operation: expected \
         string, got unsigned"
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
fn numbers_below_the_systems_are_for_anybody() {
    let mut rig = Rig::new();
    for id in [1, 255, 512, 2_147_483_647i64] {
        let name = format!("s{id}");
        let made = rig.call("box.schema.space.create", &(&name, table! { id = id }));
        assert_eq!(made, format!("[{{\"id\": {id}, \"name\": \"{name}\"}}]"));
        rig.call(&format!("box.space.{name}:create_index"), &("pk",));
        let told = rig.call(&format!("box.space.{name}:insert"), &list![list![id]]);
        assert_eq!(told, format!("[[{id}]]"));
    }
    for (id, why) in [
        (0i64, "space id 0 is reserved"),
        (256, "numbers 256 to 511 are the system's"),
        (511, "numbers 256 to 511 are the system's"),
        (2_147_483_648, "space id is too big"),
    ] {
        let told = rig.call("box.schema.space.create", &("t", table! { id = id }));
        assert_eq!(told, format!("9: Failed to create space 't': {why}"));
    }
    // As a row, as set-ups write it.
    let row = list![200, 1, "r", "memtx", 0, table! {}, list![]];
    let made = rig.call("box.space._space:insert", &list![row]);
    assert!(made.starts_with("[[200, "), "{made}");
    rig.reopen();
    assert_eq!(rig.call("box.space.s255:select", &NONE), "[[[255]]]");
    assert_eq!(rig.call("box.space.r:drop", &NONE), "[]");
    assert_eq!(rig.call("box.space.s1:truncate", &NONE), "[]");
    assert_eq!(rig.call("box.space.s1:len", &NONE), "[0]");
    assert_eq!(rig.call("box.space.s1:drop", &NONE), "[]");
    // Numbers that nobody asked for go on behind the system's.
    let next = rig.call("box.schema.space.create", &("next",));
    assert_eq!(next, "[{\"id\": 513, \"name\": \"next\"}]");
}

#[test]
fn a_space_is_truncated_however_often_it_was() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    let most = u64::MAX;
    let row = rig.call("box.space._truncate:replace", &((512, most),));
    assert_eq!(row, format!("[[512, {most}]]"));
    rig.call("box.space.s:insert", &((1,),));
    assert_eq!(rig.call("box.space.s:truncate", &NONE), "[]");
    assert_eq!(rig.all(), "[]");
    assert_eq!(rig.call("box.space._truncate:get", &(512,)), "[[512, 0]]");
}

#[test]
fn a_system_spaces_secondary_indexes_can_be_called() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    let mut call = |path: &str, args: V| rig.call(&format!("box.space.{path}"), &args);
    let named = || list!["s"];
    let row = "[512, 1, \"s\", \"memtx\", 0, {}, []]";
    for space in ["_space", "_vspace"] {
        let index = format!("{space}.index.name");
        assert_eq!(
            call(&format!("{index}:select"), named()),
            format!("[[{row}]]")
        );
        assert_eq!(call(&format!("{index}:get"), named()), format!("[{row}]"));
        assert_eq!(call(&format!("{index}:count"), named()), "[1]");
        assert_eq!(call(&format!("{index}:max"), list![]), format!("[{row}]"));
        let all = count(&call(&format!("{index}:len"), list![]));
        assert_eq!(count(&call(&format!("{space}:len"), list![])), all);
        let random = call(&format!("{index}:random"), list![all - 1]);
        assert_eq!(random, format!("[{row}]"));
        assert!(call(&format!("{index}:random"), list![all]).starts_with("[[276, 1, "));
    }
    let owned = call("_space.index.owner:count", list![1]);
    assert_eq!(owned, call("_space:len", list![]));
    assert_eq!(
        call("_space.index.owner:get", list![1]),
        "41: Get() doesn't support partial keys and non-unique indexes"
    );
    assert_eq!(
        call("_space.index.nothing:get", list![1]),
        "33: Procedure 'box.space._space.index.nothing:get' is not defined"
    );
    let renamed = call(
        "_space.index.name:update",
        list!["s", list![list!["=", 3, "t"]]],
    );
    assert_eq!(renamed, "[[512, 1, \"t\", \"memtx\", 0, {}, []]]");
    assert_eq!(call("_space.index.name:delete", named()), "[]");
    let index = list![list![512, "pk"]];
    assert!(call("_index.index.name:delete", index).starts_with("[[512, 0, \"pk\""));
    assert!(call("_space.index.name:delete", list!["t"]).starts_with("[[512, "));
    assert_eq!(
        call("t:len", list![]),
        "33: Procedure 'box.space.t:len' is not defined"
    );
}

/// The number that a call returned.
fn count(told: &str) -> i64 {
    told.trim_matches(['[', ']']).parse().unwrap()
}
