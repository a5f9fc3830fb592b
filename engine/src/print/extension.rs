//! Extension values as text: `1.50`, a UUID, `+1 years, 2 months`, `{"stack": [{"type": …`.
//!
//! What is not what its type says was stored before such values were refused: it is shown as one
//! of an unknown type.

use std::fmt::Write;

use vestibule_wire::Uuid;
use vestibule_wire::keys::{
    ERROR_STACK, EXT_DATETIME, EXT_DECIMAL, EXT_ERROR, EXT_INTERVAL, EXT_UUID,
};
use vestibule_wire::msgpack::Reader;

use super::datetime::Datetime;
use super::{Stop, print_list};
use crate::decimal::Digits;

/// Fields of an interval by their numbers.
const INTERVAL_FIELDS: [&str; 8] = [
    "years",
    "months",
    "weeks",
    "days",
    "hours",
    "minutes",
    "seconds",
    "nanoseconds",
];
const SECONDS: usize = 6;

/// Keys of one error by their numbers.
const ERROR_KEYS: [&str; 7] = ["type", "file", "line", "message", "errno", "code", "fields"];

/// Appends a value by its type and content.
pub(super) fn print(kind: i8, payload: &[u8], text: &mut String) -> Result<(), Stop> {
    if kind == EXT_ERROR && Reader::new(payload).skip().is_ok() {
        return print_error(payload, text);
    }
    if print_scalar(kind, payload, text).is_none() {
        // Writing to a string cannot fail.
        let _ = write!(text, "(extension: type {kind}, len {})", payload.len());
    }
    Ok(())
}

/// `None`, and nothing is written, for what no type here knows.
fn print_scalar(kind: i8, payload: &[u8], text: &mut String) -> Option<()> {
    match kind {
        EXT_DECIMAL => print_decimal(&Digits::unpack(payload)?, text),
        EXT_UUID => drop(write!(
            text,
            "{}",
            Uuid::from_bytes(payload.try_into().ok()?)
        )),
        EXT_DATETIME => drop(write!(text, "{}", Datetime::unpack(payload)?)),
        EXT_INTERVAL => print_interval(read_interval(payload)?, text),
        _ => return None,
    }
    Some(())
}

/// With an exponent only where plain digits would not show how many are meant, or begin with more
/// than five zeros.
fn print_decimal(decimal: &Digits, text: &mut String) {
    let digits: String = decimal
        .digits
        .iter()
        .map(|digit| char::from(b'0' + digit))
        .collect();
    let digits = if digits.is_empty() { "0" } else { &digits };
    if decimal.is_negative {
        text.push('-');
    }
    let exponent = digits.len() as i32 - 1 - decimal.scale;
    let before = digits.len() as i32 - decimal.scale;
    match usize::try_from(before) {
        _ if decimal.scale < 0 || exponent < -6 => {
            let (first, rest) = digits.split_at(1);
            let point = if rest.is_empty() { "" } else { "." };
            let _ = write!(text, "{first}{point}{rest}E{exponent:+}");
        }
        _ if decimal.scale == 0 => text.push_str(digits),
        Ok(before @ 1..) => {
            let (whole, fraction) = digits.split_at(before);
            let _ = write!(text, "{whole}.{fraction}");
        }
        _ => {
            let zeros = before.unsigned_abs() as usize;
            let _ = write!(text, "0.{:0>width$}", digits, width = digits.len() + zeros);
        }
    }
}

/// How many of each unit; what becomes of a month's last day is not shown.
fn read_interval(payload: &[u8]) -> Option<[i128; INTERVAL_FIELDS.len()]> {
    let mut fields = [0; INTERVAL_FIELDS.len()];
    let (count, mut rest) = payload.split_first()?;
    for _ in 0..*count {
        let (field, after) = rest.split_first()?;
        let mut reader = Reader::new(after);
        let value = reader.read_integer().ok()?.to_i128();
        if let Some(own) = fields.get_mut(usize::from(*field)) {
            *own = value;
        }
        rest = reader.rest();
    }
    Some(fields)
}

/// What is not zero, the first with its sign in any case; `0 seconds` for nothing.
fn print_interval(fields: [i128; INTERVAL_FIELDS.len()], text: &mut String) {
    let is_empty = fields.iter().all(|value| *value == 0);
    let shown = |(at, value): &(usize, i128)| *value != 0 || (is_empty && *at == SECONDS);
    for (place, (at, value)) in fields.into_iter().enumerate().filter(shown).enumerate() {
        let _ = match place {
            0 => write!(text, "{value:+} {}", INTERVAL_FIELDS[at]),
            _ => write!(text, ", {value} {}", INTERVAL_FIELDS[at]),
        };
    }
}

/// A stack, with the names of its keys where they have one.
fn print_error(payload: &[u8], text: &mut String) -> Result<(), Stop> {
    let mut reader = Reader::new(payload);
    print_map(&mut reader, text, &["stack"], |key, reader, text| {
        if key != ERROR_STACK {
            return super::print(reader, text);
        }
        let count = reader.read_array_len()?;
        print_list(['[', ']'], count, text, |text| {
            print_map(reader, text, &ERROR_KEYS, |_, reader, text| {
                super::print(reader, text)
            })
        })
    })
}

fn print_map(
    reader: &mut Reader<'_>,
    text: &mut String,
    names: &[&str],
    mut value: impl FnMut(u64, &mut Reader<'_>, &mut String) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let count = reader.read_map_len()?;
    print_list(['{', '}'], count, text, |text| {
        let key = reader.read_uint()?;
        let name = usize::try_from(key).ok().and_then(|at| names.get(at));
        let _ = match name {
            Some(name) => write!(text, "\"{name}\": "),
            None => write!(text, "{key}: "),
        };
        value(key, reader, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::field::FieldType;
    use crate::model::key::{KeyBuilder, encode_part};
    use crate::print::Printed;
    use vestibule_wire::msgpack::write_ext;
    use vestibule_wire::{Error, ErrorCode};

    /// Of which many payloads are sound.
    const BYTES: &[u8] = &[
        0, 1, 2, 3, 0x0c, 0x1d, 0x81, 0x91, 0x83, 0xa1, 0x26, 0xd0, 0xff,
    ];

    fn printed(kind: i8, payload: &[u8]) -> String {
        let mut bytes = Vec::new();
        write_ext(&mut bytes, kind, payload);
        Printed(&bytes).to_string()
    }

    #[test]
    fn decimals_and_uuids_look_as_they_are_written() {
        for (payload, text) in [
            (&[2, 0x15, 0x0c][..], "1.50"),
            (&[0, 0x15, 0x0d], "-150"),
            (&[3, 0x5c], "0.005"),
            (&[1, 0x5c], "0.5"),
            (&[2, 0x0c], "0.00"),
            (&[0xd0, 0xec, 0x1c], "1E+20"),
            (&[0xec, 0x01, 0x5d], "-1.5E+21"),
            (&[9, 0x01, 0x2c], "1.2E-8"),
        ] {
            assert_eq!(printed(EXT_DECIMAL, payload), text);
        }
        let uuid = "64646464-6464-6464-6464-646464646464";
        assert_eq!(printed(EXT_UUID, &[0x64; 16]), uuid);
    }

    #[test]
    fn intervals_and_errors_look_as_in_tarantool() {
        for (payload, text) in [
            (&[0][..], "+0 seconds"),
            (&[2, 0, 1, 1, 2], "+1 years, 2 months"),
            (&[3, 3, 0xff, 6, 0xcd, 1, 0, 8, 2], "-1 days, 256 seconds"),
            (&[1, 7, 5], "+5 nanoseconds"),
        ] {
            assert_eq!(printed(EXT_INTERVAL, payload), text);
        }
        let mut stack = Vec::new();
        Error::new(ErrorCode::LOADING, "busy").write_stack(&mut stack);
        let text = printed(EXT_ERROR, &stack);
        let begin = "{\"stack\": [{\"type\": \"ClientError\", \"line\": ";
        assert!(text.starts_with(begin), "{text}");
        assert!(text.ends_with("\"errno\": 0, \"code\": 116}]}"), "{text}");
    }

    proptest::proptest! {
        /// What clients may send is shown by what it is, and is a key where it can be one.
        #[test]
        fn what_is_accepted_is_shown(
            kind in proptest::sample::select(&[1i8, 2, 3, 4, 6][..]),
            payload in proptest::collection::vec(proptest::sample::select(BYTES), 0..22),
        ) {
            let mut bytes = Vec::new();
            write_ext(&mut bytes, kind, &payload);
            if Reader::new(&bytes).skip_checked().is_ok() {
                let text = Printed(&bytes).to_string();
                assert!(!text.contains('<') && !text.contains("(ext"), "{text}");
                let part = match kind {
                    EXT_DECIMAL => FieldType::Decimal,
                    EXT_UUID => FieldType::Uuid,
                    EXT_DATETIME => FieldType::Datetime,
                    _ => return Ok(()),
                };
                let mut key = KeyBuilder::default();
                assert!(encode_part(part, &mut Reader::new(&bytes), &mut key).is_ok());
            }
        }
    }

    #[test]
    fn what_is_not_of_its_type_is_shown_as_unknown() {
        for (kind, payload) in [
            (EXT_DECIMAL, &[1][..]),
            (EXT_UUID, &[1]),
            (EXT_ERROR, &[0xc1]),
            (EXT_DATETIME, &[1]),
            (EXT_INTERVAL, &[]),
            (9, &[1, 2]),
        ] {
            let size = payload.len();
            let text = format!("(extension: type {kind}, len {size})");
            assert_eq!(printed(kind, payload), text);
        }
    }
}
