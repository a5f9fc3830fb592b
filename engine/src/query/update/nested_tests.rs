//! Paths into fields, table by table. Results and texts are what Tarantool 2.6 answers, where it
//! does not refuse a second operation on one field.

use super::*;
use crate::print::Printed;
use crate::tests::pack;

const NAMES: [&str; 6] = ["id", "a", "b", "x.y", "x", "t"];

/// The tuple that every case starts with, as JSON.
const ROW: &str = r#"[1, {"b": {"c": 5, "d": [1, 2, 3], "s": "hello"}, "n": 10, "x y": {"z": 1}},
    [1, [2, 3, {"k": "v"}], "str", 4.5, -3], "dotted", {"y": "inner"}, "scalar"]"#;

fn names(name: &str) -> Option<u32> {
    let found = NAMES.iter().position(|own| *own == name);
    found.map(|at| at as u32)
}

fn json(text: &str) -> Vec<u8> {
    pack(&serde_json::from_str::<serde_json::Value>(text).unwrap())
}

/// The new tuple, or the error.
fn told(ops: &str, mode: Mode) -> String {
    match apply(&json(ROW), &json(ops), 1, &names, mode) {
        Ok(tuple) => Printed(&tuple).to_string(),
        Err(error) => format!("{}: {}", error.code().0, error.message()),
    }
}

#[test]
fn a_path_leads_to_what_is_changed() {
    let row = Printed(&json(ROW)).to_string();
    let b = r#"[1, [2, 3, {"k": "v"}], "str", 4.5, -3]"#;
    for (ops, from, to) in [
        (r#"[["=", "a.b.c", 7]]"#, "\"c\": 5", "\"c\": 7"),
        (r#"[["=", "a[\"b\"].c", 7]]"#, "\"c\": 5", "\"c\": 7"),
        (r#"[["=", "a['b']['c']", 7]]"#, "\"c\": 5", "\"c\": 7"),
        (r#"[["=", "[2].b.c", 7]]"#, "\"c\": 5", "\"c\": 7"),
        (r#"[["=", ".a.b.c", 7]]"#, "\"c\": 5", "\"c\": 7"),
        (r#"[["=", "b[2][1]", 20]]"#, "[2, 3,", "[20, 3,"),
        (r#"[["=", "[3][2][3].k", "w"]]"#, "\"v\"", "\"w\""),
        (r#"[["=", "a[\"x y\"].z", 2]]"#, "\"z\": 1", "\"z\": 2"),
        // A name comes before a path.
        (r#"[["=", "x.y", "q"]]"#, "\"dotted\"", "\"q\""),
        (r#"[["=", "[\"x.y\"]", "q"]]"#, "\"dotted\"", "\"q\""),
        (r#"[["=", "x[\"y\"]", "q"]]"#, "\"inner\"", "\"q\""),
        (r#"[["=", "[6]", 0]]"#, "\"scalar\"", "0"),
        (r#"[["=", "[7]", 0]]"#, "\"scalar\"", "\"scalar\", 0"),
        // New keys, before the others, and one element more.
        (r#"[["=", "a.b.e", 2]]"#, "\"c\": 5", "\"e\": 2, \"c\": 5"),
        (r#"[["!", "a.b.e", 2]]"#, "\"c\": 5", "\"e\": 2, \"c\": 5"),
        (r#"[["=", "b[6]", 2]]"#, "-3]", "-3, 2]"),
        (r#"[["!", "b[6]", 2]]"#, "-3]", "-3, 2]"),
        (r#"[["!", "b[1]", 0]]"#, "[1, [2", "[0, 1, [2"),
        (r#"[["!", "b[2][2]", 0]]"#, "[2, 3,", "[2, 0, 3,"),
        (r##"[["#", "b[1]", 1]]"##, "[1, [2", "[[2"),
        (r##"[["#", "b[2]", 2]]"##, b, "[1, 4.5, -3]"),
        (r##"[["#", "b[2]", 100]]"##, b, "[1]"),
        (r##"[["#", "a.b.c", 1]]"##, "\"c\": 5, ", ""),
        (r#"[["+", "a.b.c", 5]]"#, "\"c\": 5", "\"c\": 10"),
        (r#"[["-", "a.n", 11]]"#, "\"n\": 10", "\"n\": -1"),
        (r#"[["+", "b[4]", 1]]"#, "4.5", "5.5"),
        (r#"[["&", "a.n", 6]]"#, "\"n\": 10", "\"n\": 2"),
        (r#"[["|", "a.n", 5]]"#, "\"n\": 10", "\"n\": 15"),
        (r#"[["^", "a.n", 1]]"#, "\"n\": 10", "\"n\": 11"),
        (r#"[[":", "a.b.s", 1, 2, "XX"]]"#, "hello", "XXllo"),
        (r#"[[":", "a.b.s", -3, 1, "XX"]]"#, "hello", "helXXo"),
    ] {
        assert!(row.contains(from), "{from}");
        assert_eq!(told(ops, Mode::Update), row.replace(from, to), "{ops}");
    }
}

#[test]
fn operations_see_what_those_before_them_did_inside() {
    let row = Printed(&json(ROW)).to_string();
    let b = r#"[1, [2, 3, {"k": "v"}], "str", 4.5, -3]"#;
    for (ops, from, to) in [
        (
            r#"[["=", "a.b.c", 1], ["+", "a.b.c", 2]]"#,
            "\"c\": 5",
            "\"c\": 3",
        ),
        (
            r#"[["=", "a.n", {}], ["=", "a.n.k", 2]]"#,
            "10",
            "{\"k\": 2}",
        ),
        (r#"[["=", "a.b.c", 1], ["=", "[2]", 2]]"#, "", ""),
        (
            r#"[["!", "b[1]", 0], ["+", "b[2]", 10]]"#,
            "[1, [2",
            "[0, 11, [2",
        ),
        (
            r#"[["!", "b[2]", [7]], ["=", "b[2][1]", 8]]"#,
            "[1, [2",
            "[1, [8], [2",
        ),
        (
            r##"[["#", "b[1]", 1], ["=", "b[1][1]", 9]]"##,
            "[1, [2",
            "[[9",
        ),
        (
            r##"[["!", 3, 0], ["=", "[4][1]", 9], ["#", 3, 1]]"##,
            "[1, [2",
            "[9, [2",
        ),
        (r#"[["=", "b[2][1]", 0], ["=", "b", 0]]"#, b, "0"),
        (
            r##"[["#", "a.b.c", 1], ["!", "a.b.c", 3]]"##,
            "\"c\": 5",
            "\"c\": 3",
        ),
        (
            r#"[["=", "a.b.e", 1], ["=", "a.b.f", 2]]"#,
            "\"c\": 5",
            "\"f\": 2, \"e\": 1, \"c\": 5",
        ),
        (
            r#"[[":", "a.b.s", 1, 1, "X"], [":", "a.b.s", 2, 1, "Y"]]"#,
            "hello",
            "XYllo",
        ),
    ] {
        let expected = if from.is_empty() {
            let inner = row.find("{\"b\"").unwrap()..row.find(", [1,").unwrap();
            [&row[..inner.start], "2", &row[inner.end..]].concat()
        } else {
            row.replace(from, to)
        };
        assert_eq!(told(ops, Mode::Update), expected, "{ops}");
    }
}

fn refused(path: &str, why: &str) -> String {
    format!("29: Field '{path}' UPDATE error: {why}")
}

fn missing(path: &str) -> String {
    format!("201: Field ''{path}'' was not found in the tuple")
}

#[test]
fn what_a_path_cannot_do_is_told_in_tarantools_words() {
    let unknown = |path: &str| format!("201: Field '{path}' was not found in the tuple");
    let no_map = "can not access by key a non-map field";
    let no_array = "can not access by index a non-array field";
    let json_at = |position: usize| format!("invalid JSON in position {position}");
    for (path, expected) in [
        ("a[*]", refused("a[*]", &json_at(3))),
        ("[*]", unknown("[*]")),
        ("a.new.deep", missing("a.new.deep")),
        ("b[7]", missing("b[7]")),
        ("b[0]", refused("b[0]", &json_at(3))),
        ("b[1].k", refused("b[1].k", no_map)),
        ("t.k", refused("t.k", no_map)),
        ("t[1]", refused("t[1]", no_array)),
        ("b.k", refused("b.k", no_map)),
        ("a[2]", refused("a[2]", no_array)),
        ("a.b.c.d", refused("a.b.c.d", no_map)),
        ("nope.x", unknown("nope.x")),
        ("[\"nope\"]", unknown("[\"nope\"]")),
        ("[99].x", missing("[99].x")),
        ("[0]", refused("[0]", &json_at(2))),
        ("a..b", refused("a..b", &json_at(3))),
        ("a]", refused("a]", &json_at(2))),
        ("", unknown("")),
    ] {
        let ops = serde_json::json!([["=", path, 1]]).to_string();
        assert_eq!(told(&ops, Mode::Update), expected);
    }
}

#[test]
fn what_an_operation_cannot_do_at_its_path_is_told_in_tarantools_words() {
    for (ops, expected) in [
        (
            r#"["!", "a.b.c", 0]"#,
            refused("a.b.c", "the key exists already"),
        ),
        (r#"["!", "b[7]", 0]"#, missing("b[7]")),
        (r##"["#", "b[6]", 1]"##, missing("b[6]")),
        (r##"["#", "a.zz", 1]"##, missing("a.zz")),
        (r##"["#", "t.k", 1]"##, missing("t.k")),
        (
            r##"["#", "a.b.c", 2]"##,
            refused("a.b.c", "can delete only 1 field from a map in a row"),
        ),
        (
            r##"["#", "b[1]", 0]"##,
            refused("b[1]", "cannot delete 0 fields"),
        ),
        (r#"["+", "a.zz", 1]"#, missing("a.zz")),
        (r#"["+", "t.k", 1]"#, missing("t.k")),
        (
            r#"["+", "b[3]", 1]"#,
            "26: Argument type in operation '+' on field 'b[3]' does not match field type: \
             expected a number"
                .into(),
        ),
        (
            r#"["+", "a.b", 1]"#,
            "26: Argument type in operation '+' on field 'a.b' does not match field type: \
             expected a number"
                .into(),
        ),
        (
            r#"["&", "b[5]", 1]"#,
            "26: Argument type in operation '&' on field 'b[5]' does not match field type: \
             expected a positive integer"
                .into(),
        ),
        (
            r#"[":", "a.b.s", 0, 1, "X"]"#,
            "25: SPLICE error on field 'a.b.s': offset is out of bound".into(),
        ),
        (
            r#"["+", "a.n", 18446744073709551615]"#,
            "95: Integer overflow when performing '+' operation on field 'a.n'".into(),
        ),
    ] {
        assert_eq!(told(&format!("[{ops}]"), Mode::Update), expected);
    }
}

#[test]
fn an_upsert_skips_what_a_path_cannot_do() {
    let row = Printed(&json(ROW)).to_string();
    let told = |ops: &str| told(ops, Mode::Upsert);
    assert_eq!(told(r#"[["=", "a.zz.q", 1], ["=", "a[*]", 1]]"#), row);
    let ops = r#"[["+", "a.b.s", 1], ["+", "a.n", 1]]"#;
    assert_eq!(told(ops), row.replace("10", "11"));
    // What can be told without the tuple fails it.
    let unknown = "201: Field 'nope.x' was not found in the tuple";
    assert_eq!(told(r#"[["=", "nope.x", 1]]"#), unknown);
}

#[test]
fn no_update_makes_a_tuple_that_cannot_be_read() {
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let down = "[1]".repeat(99);
    let refused = "UPDATE error: the tuple would be nested too deep";
    // Beyond what a request may hold, by two operations that are not.
    let ops = format!(r#"[["=", "b", {deep}], ["=", "b{down}", {deep}]]"#);
    let once = told(&ops, Mode::Update);
    assert!(
        once.starts_with("29: ") && once.ends_with(refused),
        "{once}"
    );
    // However far it is driven, nothing but an error comes of it.
    let mut ops = vec![format!(r#"["=", "b", {deep}]"#)];
    ops.extend((1..50).map(|times| format!(r#"["=", "b{}", {deep}]"#, down.repeat(times))));
    let often = told(&format!("[{}]", ops.join(",")), Mode::Update);
    assert!(
        often.starts_with("29: ") && often.ends_with(refused),
        "{often}"
    );
}
