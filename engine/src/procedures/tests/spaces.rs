//! `box.space.<name>:alter`, what is refused by name, and calls that look for a tuple.

use super::V;
use crate::tests::Rig;

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
            "23: Tuple field 2 (n) type does not match one required by operation: expected unsigned, got string",
        ),
        (
            table! { temporary = true },
            "5: vestibule does not support the space option 'temporary'",
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
            table! { name = "a", type = "string", collation = "unicode_ci" },
            "5: vestibule does not support collation 'unicode_ci'",
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
            table! { name = "a", foreign_key = "f" },
            "5: vestibule does not support the field option 'foreign_key'",
        ),
        (
            table! { name = "a", default = 1 },
            "5: vestibule does not support the field option 'default'",
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
