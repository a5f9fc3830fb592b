//! MessagePack as text for people, and in one form for what has none, such as the order of maps.

use std::fmt::Write;

use vestibule_wire::msgpack::{DecodeError, Kind, Reader};

/// A value as text; pairs of maps in the order of their texts.
pub(crate) fn text(bytes: &[u8]) -> String {
    let mut out = String::new();
    match value(&mut Reader::new(bytes), &mut out) {
        Ok(()) => out,
        Err(fault) => format!("{bytes:02x?} ({fault})"),
    }
}

/// What an array of one holds.
pub(crate) fn only_item(bytes: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(bytes);
    (reader.read_array_len() == Ok(1)).then(|| reader.rest())
}

/// The items of an array as texts.
pub(crate) fn items(bytes: &[u8]) -> Result<Vec<String>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let size = reader.read_array_len()?;
    (0..size).map(|_| one(&mut reader)).collect()
}

fn value(reader: &mut Reader<'_>, out: &mut String) -> Result<(), DecodeError> {
    match reader.peek()? {
        Kind::Nil => {
            reader.read_nil()?;
            out.push_str("nil");
        }
        Kind::Bool => push(out, reader.read_bool()?),
        Kind::Uint | Kind::Int => push(out, reader.read_integer()?.to_i128()),
        Kind::Float => push(out, format_args!("{:?}f", reader.read_f64()?)),
        Kind::Double => push(out, format_args!("{:?}", reader.read_f64()?)),
        Kind::Str => match reader.read_str() {
            Ok(text) => push(out, format_args!("{text:?}")),
            Err(_) => push(out, format_args!("str{:02x?}", reader.read_str_bytes()?)),
        },
        Kind::Bin => push(out, format_args!("bin{:02x?}", reader.read_bin()?)),
        Kind::Ext => {
            let (kind, payload) = reader.read_ext()?;
            push(out, format_args!("ext({kind}){payload:02x?}"));
        }
        Kind::Array => {
            let size = reader.read_array_len()?;
            let items = (0..size)
                .map(|_| one(reader))
                .collect::<Result<Vec<_>, _>>()?;
            push(out, format_args!("[{}]", items.join(", ")));
        }
        Kind::Map => {
            let size = reader.read_map_len()?;
            let pair = |_| Ok(format!("{}: {}", one(reader)?, one(reader)?));
            let mut pairs = (0..size)
                .map(pair)
                .collect::<Result<Vec<_>, DecodeError>>()?;
            pairs.sort();
            push(out, format_args!("{{{}}}", pairs.join(", ")));
        }
    }
    Ok(())
}

fn one(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    let mut out = String::new();
    value(reader, &mut out)?;
    Ok(out)
}

fn push(out: &mut String, what: impl std::fmt::Display) {
    write!(out, "{what}").expect("a string takes everything");
}
