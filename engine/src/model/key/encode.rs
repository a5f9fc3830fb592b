//! One part of a key, from MessagePack to ordered bytes.
//!
//! ```text
//!   unsigned   8 bytes, big-endian
//!   integer    00 negative, 01 other │ 8 bytes, two's complement
//!   double     8 bytes, sign bit flipped (all bits if negative); NaN before everything
//!              (float32, float64: the same; an integer: as the double nearest to it)
//!   int8 …     as an integer, uint8 … as an unsigned
//!   number     see [`number`](super::number)                    (decimal: the same)
//!   boolean    00, 01
//!   string     the bytes, 00 as 00 ff │ 00 00                   (varbinary: the same)
//!   uuid       its 16 bytes
//!   datetime   8 bytes of seconds, sign bit flipped │ 4 bytes of nanoseconds, likewise
//!   collated   the sort key of a string, like a string
//!   scalar     10 boolean, 20 number, 30 string, 40 varbinary, 50 uuid, 60 datetime │ as above
//! ```

use vestibule_wire::keys::{EXT_DATETIME, EXT_DECIMAL, EXT_UUID};
use vestibule_wire::msgpack::{Integer, Kind, Reader};

use super::number::{push_decimal, push_number};
use super::{KeyBuilder, Mismatch, TEXT_END};
use crate::model::collation::Collation;
use crate::model::field::FieldType;

const SCALAR_BOOLEAN: u8 = 0x10;
const SCALAR_NUMBER: u8 = 0x20;
const SCALAR_STRING: u8 = 0x30;
const SCALAR_VARBINARY: u8 = 0x40;
const SCALAR_UUID: u8 = 0x50;
const SCALAR_DATETIME: u8 = 0x60;

/// Bytes of a UUID.
const UUID_SIZE: usize = 16;

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

/// [`encode_part`] of a string or a scalar whose strings are ordered by a collation.
pub(crate) fn encode_collated(
    kind: FieldType,
    collation: Collation,
    reader: &mut Reader<'_>,
    out: &mut KeyBuilder,
) -> Result<(), Mismatch> {
    if reader.peek()? != Kind::Str {
        return encode_part(kind, reader, out);
    }
    match kind {
        FieldType::String => {}
        FieldType::Scalar => out.push(&[SCALAR_STRING]),
        _ => return Err(Mismatch),
    }
    collation.with_sort_key(reader.read_str_bytes()?, |key| push_text(key, out));
    Ok(())
}

fn encode_other(
    kind: FieldType,
    reader: &mut Reader<'_>,
    out: &mut KeyBuilder,
) -> Result<(), Mismatch> {
    match kind {
        FieldType::Integer
        | FieldType::Int8
        | FieldType::Int16
        | FieldType::Int32
        | FieldType::Int64 => push_integer(reader.read_integer()?, out),
        FieldType::Uint8 | FieldType::Uint16 | FieldType::Uint32 | FieldType::Uint64 => {
            out.push(&reader.read_uint()?.to_be_bytes());
        }
        FieldType::Number => push_number(reader, out)?,
        FieldType::Double => out.push(&ordered_bits(read_double(reader)?).to_be_bytes()),
        FieldType::Float32 | FieldType::Float64 if kind.accepts(reader) => {
            out.push(&ordered_bits(reader.read_f64()?).to_be_bytes());
        }
        FieldType::Boolean => out.push(&[u8::from(reader.read_bool()?)]),
        FieldType::Varbinary => push_text(reader.read_bin()?, out),
        FieldType::Scalar => push_scalar(reader, out)?,
        FieldType::Decimal => push_decimal(reader, out)?,
        FieldType::Uuid => match reader.read_ext()? {
            (EXT_UUID, uuid) if uuid.len() == UUID_SIZE => out.push(uuid),
            _ => return Err(Mismatch),
        },
        FieldType::Datetime => push_datetime(reader, out)?,
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
        Kind::Ext => match { *reader }.read_ext()?.0 {
            EXT_DECIMAL => (SCALAR_NUMBER, FieldType::Number),
            EXT_UUID => (SCALAR_UUID, FieldType::Uuid),
            EXT_DATETIME => (SCALAR_DATETIME, FieldType::Datetime),
            _ => return Err(Mismatch),
        },
        _ => return Err(Mismatch),
    };
    out.push(&[tag]);
    encode_part(kind, reader, out)
}

/// A number of any encoding but a decimal, as a double.
fn read_double(reader: &mut Reader<'_>) -> Result<f64, Mismatch> {
    Ok(match reader.peek()? {
        Kind::Uint | Kind::Int => match reader.read_integer()? {
            Integer::Unsigned(value) => value as f64,
            Integer::Negative(value) => value as f64,
        },
        _ => reader.read_f64()?,
    })
}

fn push_integer(value: Integer, out: &mut KeyBuilder) {
    let (sign, bytes) = match value {
        Integer::Negative(value) => (0, value.to_be_bytes()),
        Integer::Unsigned(value) => (1, value.to_be_bytes()),
    };
    out.push(&[sign]);
    out.push(&bytes);
}

/// Seconds and nanoseconds; the time zone has no part in the order.
fn push_datetime(reader: &mut Reader<'_>, out: &mut KeyBuilder) -> Result<(), Mismatch> {
    let (EXT_DATETIME, payload) = reader.read_ext()? else {
        return Err(Mismatch);
    };
    let (seconds, rest) = payload.split_first_chunk().ok_or(Mismatch)?;
    let nanoseconds = match rest {
        [] => 0,
        [nanoseconds @ .., _, _, _, _] => {
            i32::from_le_bytes(nanoseconds.try_into().map_err(|_| Mismatch)?)
        }
        _ => return Err(Mismatch),
    };
    let seconds = i64::from_le_bytes(*seconds);
    out.push(&(seconds ^ i64::MIN).to_be_bytes());
    out.push(&(nanoseconds ^ i32::MIN).to_be_bytes());
    Ok(())
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
    out.push(&TEXT_END);
}
