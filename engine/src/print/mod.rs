//! MessagePack as text, for errors that show tuples: `[1, "a", {"k": null}]`.
//!
//! | module | what |
//! |---|---|
//! | `extension` | extension values as text |
//! | `datetime` | points in time as text |

mod datetime;
mod extension;

use std::fmt::{self, Write};

use vestibule_wire::msgpack::{DecodeError, Integer, Kind, Reader};

use crate::limits::PRINTED_TUPLE_MAX;

/// Prints a value as Tarantool does, cut after [`PRINTED_TUPLE_MAX`] bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printed<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        match print(&mut Reader::new(self.0), &mut text) {
            Ok(()) => {}
            Err(Stop::Full) => {
                let end = (0..=PRINTED_TUPLE_MAX)
                    .rev()
                    .find(|at| text.is_char_boundary(*at));
                text.truncate(end.unwrap_or(0));
                text.push_str("...");
            }
            Err(Stop::Malformed) => text.push_str("<malformed>"),
        }
        f.write_str(&text)
    }
}

enum Stop {
    Full,
    Malformed,
}

impl From<DecodeError> for Stop {
    fn from(_: DecodeError) -> Self {
        Self::Malformed
    }
}

fn print(reader: &mut Reader<'_>, text: &mut String) -> Result<(), Stop> {
    if text.len() > PRINTED_TUPLE_MAX {
        return Err(Stop::Full);
    }
    match reader.peek()? {
        Kind::Nil => {
            reader.read_nil()?;
            text.push_str("null");
        }
        Kind::Bool => text.push_str(if reader.read_bool()? { "true" } else { "false" }),
        Kind::Uint | Kind::Int => print_integer(reader.read_integer()?, text),
        Kind::Float | Kind::Double => print_float(reader.read_f64()?, text),
        Kind::Str => print_text(reader.read_str_bytes()?, text),
        Kind::Bin => print_text(reader.read_bin()?, text),
        Kind::Array => {
            let size = reader.read_array_len()?;
            print_list(['[', ']'], size, text, |text| print(reader, text))?;
        }
        Kind::Map => {
            let size = reader.read_map_len()?;
            print_list(['{', '}'], size, text, |text| {
                print(reader, text)?;
                text.push_str(": ");
                print(reader, text)
            })?;
        }
        Kind::Ext => {
            let (kind, payload) = reader.read_ext()?;
            extension::print(kind, payload, text)?;
        }
    }
    Ok(())
}

fn print_list(
    [open, close]: [char; 2],
    size: u32,
    text: &mut String,
    mut element: impl FnMut(&mut String) -> Result<(), Stop>,
) -> Result<(), Stop> {
    text.push(open);
    for at in 0..size {
        if at > 0 {
            text.push_str(", ");
        }
        element(text)?;
    }
    text.push(close);
    Ok(())
}

fn print_integer(value: Integer, text: &mut String) {
    let _ = write!(text, "{}", value.to_i128());
}

/// Near to C's `%lg`: six significant digits.
fn print_float(value: f64, text: &mut String) {
    let magnitude = value.abs();
    if value.is_nan() {
        text.push_str("nan");
    } else if magnitude != 0.0 && !(1e-4..1e6).contains(&magnitude) && value.is_finite() {
        let scientific = format!("{value:.5e}");
        let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let digits = digits.trim_end_matches('0').trim_end_matches('.');
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(text, "{digits}e{sign}{:02}", exponent.abs());
    } else {
        let whole = magnitude.log10().floor().max(-4.0) as i32;
        let decimals = if magnitude == 0.0 {
            0
        } else {
            (5 - whole).clamp(0, 10) as usize
        };
        let fixed = format!("{value:.decimals$}");
        let trimmed = match fixed.contains('.') {
            true => fixed.trim_end_matches('0').trim_end_matches('.'),
            false => &fixed,
        };
        text.push_str(trimmed);
    }
}

fn print_text(bytes: &[u8], text: &mut String) {
    text.push('"');
    for c in String::from_utf8_lossy(bytes).chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            c if c.is_ascii_control() => {
                let _ = write!(text, "\\u{:04x}", c as u32);
            }
            c => text.push(c),
        }
        if text.len() > PRINTED_TUPLE_MAX {
            return;
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use vestibule_wire::msgpack::{write_f64, write_str};

    fn printed(bytes: &[u8]) -> String {
        Printed(bytes).to_string()
    }

    #[test]
    fn values_look_as_in_tarantool() {
        assert_eq!(printed(&[0x92, 1, 0xa1, b'a']), "[1, \"a\"]");
        assert_eq!(
            printed(&[0x82, 0xa1, b'k', 0xc0, 0xff, 0xc3]),
            "{\"k\": null, -1: true}"
        );
        assert_eq!(
            printed(&[0x91, 0xc7, 1, 4, 0]),
            "[(extension: type 4, len 1)]"
        );
        assert_eq!(
            printed(&[0xa4, b'"', b'\\', b'\n', 1]),
            "\"\\\"\\\\\\n\\u0001\""
        );
        assert_eq!(printed(&[0x91]), "[<malformed>");
    }

    #[test]
    fn floats_have_six_significant_digits() {
        for (value, text) in [
            (0.0, "0"),
            (1.5, "1.5"),
            (-0.25, "-0.25"),
            (1e20, "1e+20"),
            (1e-7, "1e-07"),
            (1_234_567.0, "1.23457e+06"),
            (0.000_123_456_7, "0.000123457"),
            (100_000.0, "100000"),
            (f64::INFINITY, "inf"),
        ] {
            let mut bytes = Vec::new();
            write_f64(&mut bytes, value);
            assert_eq!(printed(&bytes), text);
        }
    }

    #[test]
    fn a_long_text_is_cut() {
        let mut bytes = vec![0x92];
        write_str(&mut bytes, &"é".repeat(5000));
        bytes.push(1);
        let text = printed(&bytes);
        assert!(
            text.ends_with("...") && text.len() <= PRINTED_TUPLE_MAX + 3,
            "{}",
            text.len()
        );
    }
}
