//! The usual operations, applied in one walk over the tuple: each one changes a whole field that is
//! there, beyond the field of the one before it.
//!
//! ```text
//!   tuple  │ head │ old fields │ changed │ old fields │ changed │ old fields │
//!   new    │ head │  copied    │ written │  copied    │ written │  copied    │
//! ```
//!
//! What is not as usual, and what fails, is left to the list of fields, which knows every error and
//! skips what an UPSERT skips. Both write the same bytes.

use vestibule_wire::msgpack::{Reader, write_array_len};

use super::fields::Value;
use super::operation::{Action, Operation};
use super::scalar::Number;

/// Writes the new tuple into `new`; `None`, with anything written, if the operations are not of the
/// usual kind, if one of them fails, or if the tuple is none.
pub(super) fn apply<'a>(
    tuple: &'a [u8],
    operations: &[Operation<'a>],
    new: &mut Vec<u8>,
) -> Option<()> {
    let mut reader = Reader::new(tuple);
    let size = reader.read_array_len().ok()?;
    let count = size as usize;
    write_array_len(new, size);
    let (mut at, mut copied) = (0, reader.position());
    for operation in operations {
        let number = field_of(operation, count).filter(|number| *number >= at)?;
        for _ in at..number {
            reader.skip().ok()?;
        }
        new.extend_from_slice(&tuple[copied..reader.position()]);
        let old = reader.skip().ok()?;
        match &operation.action {
            Action::Assign(value) => new.extend_from_slice(value),
            Action::Add(number) => Number::read(old)?.plus(number).ok()?.write(new),
            Action::Subtract(number) => Number::read(old)?.minus(number).ok()?.write(new),
            _ => {
                let mut value = Value::Raw(old);
                operation.change(&mut value).ok()?;
                value.write(new);
            }
        }
        (at, copied) = (number + 1, reader.position());
    }
    for _ in at..count {
        reader.skip().ok()?;
    }
    new.extend_from_slice(&tuple[copied..reader.position()]);
    Some(())
}

/// The field that an operation changes as a whole, of `count` fields that are there.
#[inline]
fn field_of(operation: &Operation<'_>, count: usize) -> Option<usize> {
    if matches!(operation.action, Action::Insert(_) | Action::Delete(_))
        || !operation.field.path.is_end()
    {
        return None;
    }
    operation.field.position(count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::query::update::{Mode, Operations, apply_in_any_order, decode};
    use crate::tests::pack;

    /// Values of a field, and arguments of operations.
    const VALUES: [&str; 10] = [
        "0",
        "7",
        "-3",
        "127",
        "18446744073709551615",
        "1.5",
        "\"text\"",
        "[1, {\"a\": 2}]",
        "null",
        "true",
    ];

    fn json(text: &str) -> Vec<u8> {
        pack(&serde_json::from_str::<serde_json::Value>(text).expect("it is written here"))
    }

    fn value() -> impl Strategy<Value = &'static str> {
        prop::sample::select(&VALUES[..])
    }

    fn operation() -> impl Strategy<Value = String> {
        let symbol = prop::sample::select(&["=", "+", "-", "&", "^", "|", ":", "!", "#"][..]);
        let field = prop_oneof![
            (-5..6).prop_map(|number: i32| number.to_string()),
            prop::sample::select(&["\"name\"", "\"[2][1]\"", "\"name.a\""][..])
                .prop_map(Into::into),
        ];
        let small = prop_oneof![Just("1"), value()];
        (symbol, field, small, -4..5).prop_map(|(symbol, field, value, offset)| match symbol {
            ":" => format!(r#"[":", {field}, {offset}, 1, "XY"]"#),
            "#" => format!(r##"["#", {field}, 1]"##),
            _ => format!(r#"["{symbol}", {field}, {value}]"#),
        })
    }

    /// A new tuple, if there is one.
    type New = Option<Vec<u8>>;

    /// What a walk makes of them, and what the list of fields does.
    fn both(tuple: &[u8], ops: &[u8], mode: Mode) -> Option<(New, New)> {
        let names = |name: &str| (name == "name").then_some(1);
        let operations: Operations<'_> = decode(ops, 0, &names).ok()?;
        let mut walked = Vec::new();
        let walked = apply(tuple, &operations, &mut walked).map(|()| walked);
        let mut listed = Vec::new();
        let listed = apply_in_any_order(tuple, operations, mode, &mut listed).map(|()| listed);
        Some((walked, listed.ok()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn a_walk_writes_what_the_list_of_fields_writes_or_nothing(
            fields in prop::collection::vec(value(), 0..5),
            operations in prop::collection::vec(operation(), 1..4),
        ) {
            let tuple = json(&format!("[{}]", fields.join(",")));
            let ops = json(&format!("[{}]", operations.join(",")));
            for mode in [Mode::Update, Mode::Upsert] {
                if let Some((Some(walked), listed)) = both(&tuple, &ops, mode) {
                    prop_assert_eq!(Some(walked), listed, "{:?} {:?}", fields, operations);
                }
            }
        }
    }

    #[test]
    fn what_connectors_send_is_applied_in_a_walk() {
        let tuple = json(r#"[1, 2, "text", 9]"#);
        for ops in [
            r#"[["+", 1, 1]]"#,
            r#"[["=", 2, "longer than before"]]"#,
            r#"[["-", "name", 1], [":", 2, 0, 1, "T"], ["|", -1, 6]]"#,
        ] {
            let (walked, listed) = both(&tuple, &json(ops), Mode::Update).expect(ops);
            assert!(walked.is_some(), "{ops}");
            assert_eq!(walked, listed);
        }
    }

    #[test]
    fn heads_come_out_in_their_shortest_form() {
        let tuple = [0xdc, 0, 2, 1, 0xcd, 0, 5];
        let (walked, listed) = both(&tuple, &json(r#"[["=", 0, 3]]"#), Mode::Update).expect("ops");
        assert_eq!(walked.as_deref(), Some(&[0x92, 3, 0xcd, 0, 5][..]));
        assert_eq!(walked, listed);
    }
}
