//! One part of a key, from MessagePack to ordered bytes.
//!
//! ```text
//!   unsigned   8 bytes, big-endian
//!   integer    00 negative, 01 other │ 8 bytes, two's complement
//!   double     8 bytes, sign bit flipped (all bits if negative); NaN before everything
//!   number     class │ 8 bytes of the whole part │ 00, or 01 and 8 bytes of the fraction
//!   boolean    00, 01
//!   string     the bytes, 00 as 00 ff │ 00 00                   (varbinary: the same)
//!   scalar     10 boolean, 20 number, 30 string, 40 varbinary │ as above
//! ```
//!
//! Integers and floats of a `number` are compared exactly, as Tarantool does: no integer is rounded
//! to a float on the way.

use vestibule_wire::msgpack::{DecodeError, Integer, Kind, Reader};

use super::KeyBuilder;
use crate::engine::field::FieldType;

/// The value has another type than the part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mismatch;

impl From<DecodeError> for Mismatch {
    fn from(_: DecodeError) -> Self {
        Self
    }
}

const SCALAR_BOOLEAN: u8 = 0x10;
const SCALAR_NUMBER: u8 = 0x20;
const SCALAR_STRING: u8 = 0x30;
const SCALAR_VARBINARY: u8 = 0x40;

const NUMBER_NAN: u8 = 0;
const NUMBER_BELOW: u8 = 1;
const NUMBER_NEGATIVE: u8 = 2;
const NUMBER_POSITIVE: u8 = 3;
const NUMBER_ABOVE: u8 = 4;

/// 2^64: the first float beyond what 8 bytes hold.
const BEYOND_U64: f64 = 18_446_744_073_709_551_616.0;

/// Takes one value from the reader and appends its encoding.
#[inline]
pub(crate) fn encode_part(
    kind: FieldType,
    reader: &mut Reader<'_>,
    out: &mut KeyBuilder,
) -> Result<(), Mismatch> {
    match kind {
        FieldType::Unsigned => out.push(&reader.read_uint()?.to_be_bytes()),
        FieldType::String => push_text(reader.read_str_bytes()?, out),
        _ => encode_other(kind, reader, out)?,
    }
    Ok(())
}

fn encode_other(
    kind: FieldType,
    reader: &mut Reader<'_>,
    out: &mut KeyBuilder,
) -> Result<(), Mismatch> {
    match kind {
        FieldType::Integer => push_integer(reader.read_integer()?, out),
        FieldType::Number => push_number(reader, out)?,
        FieldType::Double if reader.peek()? == Kind::Double => {
            out.push(&ordered_bits(reader.read_f64()?).to_be_bytes());
        }
        FieldType::Boolean => out.push(&[u8::from(reader.read_bool()?)]),
        FieldType::Varbinary => push_text(reader.read_bin()?, out),
        FieldType::Scalar => push_scalar(reader, out)?,
        _ => return Err(Mismatch),
    }
    Ok(())
}

fn push_scalar(reader: &mut Reader<'_>, out: &mut KeyBuilder) -> Result<(), Mismatch> {
    let (tag, kind) = match reader.peek()? {
        Kind::Bool => (SCALAR_BOOLEAN, FieldType::Boolean),
        Kind::Uint | Kind::Int | Kind::Float | Kind::Double => (SCALAR_NUMBER, FieldType::Number),
        Kind::Str => (SCALAR_STRING, FieldType::String),
        Kind::Bin => (SCALAR_VARBINARY, FieldType::Varbinary),
        _ => return Err(Mismatch),
    };
    out.push(&[tag]);
    encode_part(kind, reader, out)
}

fn push_integer(value: Integer, out: &mut KeyBuilder) {
    let (sign, bytes) = match value {
        Integer::Negative(value) => (0, value.to_be_bytes()),
        Integer::Unsigned(value) => (1, value.to_be_bytes()),
    };
    out.push(&[sign]);
    out.push(&bytes);
}

fn push_number(reader: &mut Reader<'_>, out: &mut KeyBuilder) -> Result<(), Mismatch> {
    match reader.peek()? {
        Kind::Uint | Kind::Int => match reader.read_integer()? {
            Integer::Unsigned(value) => push_ordered(false, value, 0.0, out),
            Integer::Negative(value) => push_ordered(true, value.unsigned_abs(), 0.0, out),
        },
        Kind::Float | Kind::Double => push_float(reader.read_f64()?, out),
        _ => return Err(Mismatch),
    }
    Ok(())
}

fn push_float(value: f64, out: &mut KeyBuilder) {
    if value.is_nan() {
        out.push(&[NUMBER_NAN]);
    } else if value.abs() >= BEYOND_U64 {
        out.push(&[if value < 0.0 {
            NUMBER_BELOW
        } else {
            NUMBER_ABOVE
        }]);
        out.push(&ordered_bits(value).to_be_bytes());
    } else {
        // Exact: a float has no bits below its fraction's.
        push_ordered(
            value < 0.0,
            value.abs().trunc() as u64,
            value.abs().fract(),
            out,
        );
    }
}

/// Magnitude and fraction; for negative numbers every bit is flipped, which turns the order around.
fn push_ordered(is_negative: bool, whole: u64, fraction: f64, out: &mut KeyBuilder) {
    let flip = if is_negative { u64::MAX } else { 0 };
    out.push(&[if is_negative {
        NUMBER_NEGATIVE
    } else {
        NUMBER_POSITIVE
    }]);
    out.push(&(whole ^ flip).to_be_bytes());
    out.push(&[u8::from(fraction > 0.0) ^ flip as u8]);
    if fraction > 0.0 {
        out.push(&(fraction.to_bits() ^ flip).to_be_bytes());
    }
}

/// The bits of a float as an integer of the same order.
fn ordered_bits(value: f64) -> u64 {
    if value.is_nan() {
        return 0;
    }
    // Turns the negative zero, which equals the other one, into it.
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 {
        !bits
    } else {
        bits | 1 << 63
    }
}

fn push_text(text: &[u8], out: &mut KeyBuilder) {
    for (at, piece) in text.split(|byte| *byte == 0).enumerate() {
        if at > 0 {
            out.push(&[0, 0xff]);
        }
        out.push(piece);
    }
    out.push(&[0, 0]);
}
