//! Operations applied at once against the same operations applied one by one.

use proptest::prelude::*;

use super::*;
use crate::print::Printed;
use crate::tests::pack;

const ROW: &str =
    r#"[1, {"b": {"c": 5, "l": [1, [2], {"k": "text"}]}, "n": 10}, [1, [2, 3, {"k": 4}], "text"]]"#;

const PATHS: [&str; 24] = [
    "a",
    "b",
    "a.b",
    "a.b.c",
    "a.b.l",
    "a.b.l[1]",
    "a.b.l[2]",
    "a.b.l[2][1]",
    "a.b.l[3].k",
    "a.b.new",
    "a.n",
    "a.new",
    "a.new.deep",
    "a[1]",
    "b[1]",
    "b[2]",
    "b[2][1]",
    "b[2][3].k",
    "b[3]",
    "b[4]",
    "b[9]",
    "[2].n",
    "[3][2][1]",
    "[4]",
];

const VALUES: [&str; 6] = ["7", "\"new\"", "[]", "[1, 2]", "{}", "{\"c\": 1, \"n\": 2}"];

fn names(name: &str) -> Option<u32> {
    ["id", "a", "b"]
        .iter()
        .position(|own| *own == name)
        .map(|at| at as u32)
}

fn json(text: &str) -> Vec<u8> {
    pack(&serde_json::from_str::<serde_json::Value>(text).unwrap())
}

fn operation() -> impl Strategy<Value = String> {
    let path = prop::sample::select(&PATHS[..]);
    let value = prop::sample::select(&VALUES[..]);
    (path, value, 0..8, 1..3_u32).prop_map(|(path, value, kind, size)| match kind {
        0..=2 => format!(r#"["=", "{path}", {value}]"#),
        3 | 4 => format!(r#"["!", "{path}", {value}]"#),
        5 => format!(r##"["#", "{path}", {size}]"##),
        6 => format!(r#"["+", "{path}", {size}]"#),
        _ => format!(r#"[":", "{path}", {size}, 1, "XY"]"#),
    })
}

fn apply_all(tuple: &[u8], operations: &[String], mode: Mode) -> Result<Vec<u8>, Error> {
    let ops = json(&format!("[{}]", operations.join(", ")));
    apply(tuple, &ops, 1, &names, mode)
}

proptest! {
    #[test]
    fn together_they_do_what_they_do_one_by_one(
        operations in prop::collection::vec(operation(), 1..8),
    ) {
        for mode in [Mode::Update, Mode::Upsert] {
            let mut one_by_one = Ok(json(ROW));
            for operation in &operations {
                let operation = std::slice::from_ref(operation);
                one_by_one = one_by_one.and_then(|tuple| apply_all(&tuple, operation, mode));
            }
            let together = apply_all(&json(ROW), &operations, mode);
            match (one_by_one, together) {
                (Ok(left), Ok(right)) => prop_assert_eq!(
                    Printed(&left).to_string(),
                    Printed(&right).to_string(),
                    "{:?}",
                    operations
                ),
                (left, right) => prop_assert_eq!(left.err(), right.err(), "{:?}", operations),
            }
        }
    }
}
