//! Defaults of a format's fields.

use super::V;
use crate::tests::{NONE, Rig};

/// A space whose tuples are an id, a text "new" by default, a number that may be nil, and a flag
/// that is set by default.
fn with_defaults() -> Rig {
    let mut rig = Rig::new();
    let format = list![
        table! { name = "id", type = "unsigned" },
        table! { name = "text", type = "string", default = "new" },
        table! { name = "number", type = "integer", is_nullable = true },
        table! { name = "flag", type = "boolean", default = true },
        table! { name = "rest", is_nullable = true },
    ];
    let made = rig.call(
        "box.schema.space.create",
        &("s", table! { format = format }),
    );
    assert!(made.starts_with("[{\"id\": 512"), "{made}");
    rig.call("box.space.s:create_index", &("pk",));
    rig
}

#[test]
fn what_is_inserted_without_a_value_or_with_nil_gets_the_default() {
    let mut rig = with_defaults();
    let mut call = |method: &str, args: V| rig.call(&format!("box.space.s:{method}"), &args);
    let nil = || V::Nil(());
    for (tuple, stored) in [
        (list![1], r#"[[1, "new", null, true]]"#),
        (list![2, nil()], r#"[[2, "new", null, true]]"#),
        (list![3, "own", 7], r#"[[3, "own", 7, true]]"#),
        (
            list![4, "own", nil(), false],
            r#"[[4, "own", null, false]]"#,
        ),
        (
            list![5, nil(), 1, nil(), nil(), 9],
            r#"[[5, "new", 1, true, null, 9]]"#,
        ),
    ] {
        assert_eq!(call("insert", list![tuple.clone()]), stored);
        assert_eq!(call("replace", list![tuple]), stored);
    }
    assert_eq!(call("upsert", list![list![6], list![]]), "[]");
    assert_eq!(call("get", list![6]), r#"[[6, "new", null, true]]"#);
    // An UPDATE puts what it says, and a tuple does not become shorter than the format asks.
    let op = |symbol: &'static str, field: i64, value: V| list![list![symbol, field, value]];
    assert_eq!(
        call("update", list![1, op("=", 2, nil())]),
        "[[1, null, null, true]]"
    );
    assert_eq!(
        call("update", list![1, op("#", 4, V::from(1))]),
        "39: Tuple field 4 (flag) required by space format is missing"
    );
    assert_eq!(
        call("insert", list![list![7, 7]]),
        "23: Tuple field 2 (text) type does not match one required by operation: expected string, \
         got unsigned"
    );
    rig.reopen();
    assert_eq!(
        rig.call("box.space.s:get", &(1,)),
        "[[1, null, null, true]]"
    );
    assert_eq!(
        rig.call("box.space.s:insert", &((8,),)),
        r#"[[8, "new", null, true]]"#
    );
    let format = rig.call("box.space.s:format", &NONE);
    assert!(format.contains(r#""default": "new""#), "{format}");
}

#[test]
fn a_default_may_be_part_of_a_key_and_nil_may_not() {
    let mut rig = with_defaults();
    let parts = list![list!["text", "string"], list!["id", "unsigned"]];
    let made = rig.call(
        "box.space.s:create_index",
        &("sk", table! { parts = parts }),
    );
    assert!(made.starts_with("[{\"id\": 1"), "{made}");
    assert_eq!(
        rig.call("box.space.s:insert", &((7,),)),
        r#"[[7, "new", null, true]]"#
    );
    assert_eq!(
        rig.call("box.space.s.index.sk:get", &(("new", 7),)),
        r#"[[7, "new", null, true]]"#
    );
    assert_eq!(
        rig.call(
            "box.space.s:update",
            &list![7, list![list!["=", 2, V::Nil(())]]]
        ),
        "23: Tuple field 2 (text) type does not match one required by operation: expected string, \
         got nil"
    );
    // A sequence comes first.
    let sequence = table! { sequence = true };
    assert_eq!(rig.call("box.space.s.index.pk:alter", &(sequence,)), "[]");
    assert_eq!(
        rig.call("box.space.s:insert", &list![list![V::Nil(())]]),
        r#"[[1, "new", null, true]]"#
    );
}

#[test]
fn a_default_is_of_its_fields_type_and_what_is_stored_does_not_get_it() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    rig.insert(&(1,));
    rig.commit();
    let mut format = |field: V| {
        let format = list![table! { name = "id", type = "unsigned" }, field];
        rig.call("box.space.s:format", &list![format])
    };
    assert_eq!(
        format(table! { name = "n", type = "unsigned", default = "x" }),
        "248: Type of the default value does not match tuple field 2 (n) type: expected unsigned, \
         got string"
    );
    assert_eq!(
        format(table! { name = "n", type = "int8", default = 128 }),
        "248: Type of the default value does not match tuple field 2 (n) type: expected int8, got \
         unsigned"
    );
    assert_eq!(
        format(table! { name = "n", type = "unsigned", default = 7 }),
        "39: Tuple field 2 (n) required by space format is missing"
    );
    assert_eq!(
        format(table! { name = "n", type = "unsigned", default = 7, is_nullable = true }),
        "[]"
    );
    assert_eq!(
        format(table! { name = "n", default_func = "f" }),
        "5: vestibule does not support the field option 'default_func'"
    );
    assert_eq!(rig.all(), "[[1]]");
    assert_eq!(rig.insert(&(2,)), "[[2, 7]]");
}
