//! MessagePack to JSON.

use std::collections::HashSet;
use std::io::Write as _;

use base64::Engine as _;
use vestibule_wire::Uuid;
use vestibule_wire::keys::{EXT_DATETIME, EXT_UUID};
use vestibule_wire::msgpack::{self, DecodeError, Kind, Reader};

use super::shared::{BASE64, DEPTH_MAX, Datetime, narrow, write_datetime};

/// Appends one value as JSON.
///
/// # Errors
///
/// The bytes are not MessagePack.
pub(crate) fn write_value(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    nested(reader, out, 0)
}

/// Appends a JSON string.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("memory takes any text");
}

fn nested(reader: &mut Reader<'_>, out: &mut Vec<u8>, depth: usize) -> Result<(), DecodeError> {
    let kind = reader.peek()?;
    if matches!(kind, Kind::Array | Kind::Map) {
        return container(reader, out, kind, depth);
    }
    let start = out.len();
    let value = *reader;
    let bytes = reader.skip()?;
    let mut again = Vec::with_capacity(bytes.len());
    scalar(value, kind, out, &mut again)?;
    if again != bytes {
        out.truncate(start);
        tagged(out, "msgpack", |out| base64(out, bytes));
    }
    Ok(())
}

/// Appends a scalar, and to `again` the bytes that it would be read back to.
fn scalar(
    mut value: Reader<'_>,
    kind: Kind,
    out: &mut Vec<u8>,
    again: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    match kind {
        Kind::Nil => {
            out.extend_from_slice(b"null");
            msgpack::write_nil(again);
        }
        Kind::Bool => {
            let value = value.read_bool()?;
            print(out, value);
            msgpack::write_bool(again, value);
        }
        Kind::Uint | Kind::Int => {
            let value = value.read_integer()?;
            print(out, value.to_i128());
            msgpack::write_integer(again, value);
        }
        Kind::Double => {
            let value = value.read_f64()?;
            match special(value) {
                None => float(out, value),
                Some(text) => tagged(out, "f64", |out| write_text(out, text)),
            }
            msgpack::write_f64(again, if value.is_nan() { f64::NAN } else { value });
        }
        Kind::Float => {
            // Widened, so that no digits are rounded twice when they are read back.
            let value = value.read_f64()?;
            tagged(out, "f32", |out| match special(value) {
                None => float(out, value),
                Some(text) => write_text(out, text),
            });
            again.push(0xca);
            again.extend_from_slice(&narrow(value).to_be_bytes());
        }
        Kind::Str => {
            let text = value.read_str_bytes()?;
            match std::str::from_utf8(text) {
                Ok(text) => write_text(out, text),
                Err(_) => tagged(out, "str", |out| base64(out, text)),
            }
            msgpack::write_str_bytes(again, text);
        }
        Kind::Bin => {
            let data = value.read_bin()?;
            tagged(out, "bin", |out| base64(out, data));
            msgpack::write_bin(again, data);
        }
        Kind::Ext => {
            let (kind, payload) = value.read_ext()?;
            extension(out, kind, payload);
            msgpack::write_ext(again, kind, payload);
        }
        Kind::Array | Kind::Map => return Err(DecodeError::Type),
    }
    Ok(())
}

fn container(
    reader: &mut Reader<'_>,
    out: &mut Vec<u8>,
    kind: Kind,
    depth: usize,
) -> Result<(), DecodeError> {
    let mut inside = *reader;
    let bytes = reader.skip()?;
    let mut head = Vec::with_capacity(5);
    let size = if kind == Kind::Array {
        let size = inside.read_array_len()?;
        msgpack::write_array_len(&mut head, size);
        size
    } else {
        let size = inside.read_map_len()?;
        msgpack::write_map_len(&mut head, size);
        size
    };
    if depth >= DEPTH_MAX || !bytes.starts_with(&head) {
        tagged(out, "msgpack", |out| base64(out, bytes));
        return Ok(());
    }
    if kind == Kind::Array {
        return list(out, size, |out| nested(&mut inside, out, depth + 1));
    }
    if has_plain_keys(inside, size)? {
        out.push(b'{');
        for at in 0..size {
            if at > 0 {
                out.push(b',');
            }
            nested(&mut inside, out, depth + 1)?;
            out.push(b':');
            nested(&mut inside, out, depth + 1)?;
        }
        out.push(b'}');
        return Ok(());
    }
    out.extend_from_slice(b"{\"$map\":");
    list(out, size, |out| {
        list(out, 2, |out| nested(&mut inside, out, depth + 1))
    })?;
    out.push(b'}');
    Ok(())
}

/// Whether the keys of a map can be those of an object: texts in their shortest form, no two alike,
/// the first without a `$`.
fn has_plain_keys(mut inside: Reader<'_>, size: u32) -> Result<bool, DecodeError> {
    let mut seen = HashSet::new();
    let mut again = Vec::new();
    for at in 0..size {
        let mut key = inside;
        let bytes = inside.skip()?;
        inside.skip()?;
        let Ok(text) = key.read_str() else {
            return Ok(false);
        };
        again.clear();
        msgpack::write_str(&mut again, text);
        if again != bytes || (at == 0 && text.starts_with('$')) || !seen.insert(text) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn list(
    out: &mut Vec<u8>,
    size: u32,
    mut element: impl FnMut(&mut Vec<u8>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    out.push(b'[');
    for at in 0..size {
        if at > 0 {
            out.push(b',');
        }
        element(out)?;
    }
    out.push(b']');
    Ok(())
}

fn extension(out: &mut Vec<u8>, kind: i8, payload: &[u8]) {
    if let (EXT_UUID, Ok(bytes)) = (kind, payload.try_into()) {
        let uuid = Uuid::from_bytes(bytes);
        return tagged(out, "uuid", |out| write_text(out, &uuid.to_string()));
    }
    if let Some(value) = datetime(payload).filter(|_| kind == EXT_DATETIME) {
        let mut again = Vec::new();
        write_datetime(&mut again, value);
        // Zeros that are written out would be lost.
        if again.ends_with(payload) {
            let (seconds, nanoseconds, offset, zone) = value;
            let text = format!("[{seconds},{nanoseconds},{offset},{zone}]");
            return tagged(out, "datetime", |out| {
                out.extend_from_slice(text.as_bytes())
            });
        }
    }
    tagged(out, "ext", |out| {
        print(out, format_args!("[{kind},"));
        base64(out, payload);
        out.push(b']');
    });
}

fn datetime(payload: &[u8]) -> Option<Datetime> {
    let (seconds, rest) = payload.split_first_chunk()?;
    let seconds = i64::from_le_bytes(*seconds);
    if rest.is_empty() {
        return Some((seconds, 0, 0, 0));
    }
    let (nanoseconds, rest) = rest.split_first_chunk()?;
    let (offset, rest) = rest.split_first_chunk()?;
    let zone: [u8; 2] = rest.try_into().ok()?;
    Some((
        seconds,
        i32::from_le_bytes(*nanoseconds),
        i16::from_le_bytes(*offset),
        i16::from_le_bytes(zone),
    ))
}

/// What is not a number of JSON.
fn special(value: f64) -> Option<&'static str> {
    if value.is_finite() {
        None
    } else if value.is_nan() {
        Some("nan")
    } else if value > 0.0 {
        Some("inf")
    } else {
        Some("-inf")
    }
}

/// The shortest digits that are read back to the same number, always with a point or an exponent.
fn float(out: &mut Vec<u8>, value: f64) {
    print(out, format_args!("{value:?}"));
}

fn tagged(out: &mut Vec<u8>, tag: &str, value: impl FnOnce(&mut Vec<u8>)) {
    print(out, format_args!("{{\"${tag}\":"));
    value(out);
    out.push(b'}');
}

fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    write_text(out, &BASE64.encode(bytes));
}

fn print(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    write!(out, "{value}").expect("memory takes any text");
}
