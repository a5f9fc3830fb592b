//! Types of fields, and what values they accept.

use std::fmt;

use vestibule_wire::Error;
use vestibule_wire::keys::{EXT_DATETIME, EXT_DECIMAL, EXT_INTERVAL, EXT_UUID};
use vestibule_wire::msgpack::{Integer, Kind, Reader};

use crate::errors;

/// The type that a format or an index gives to a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the variants are Tarantool's own type names")]
pub(crate) enum FieldType {
    Any,
    Unsigned,
    String,
    Number,
    Double,
    Integer,
    Boolean,
    Varbinary,
    Scalar,
    Decimal,
    Uuid,
    Datetime,
    Interval,
    Array,
    Map,
    Int8,
    Uint8,
    Int16,
    Uint16,
    Int32,
    Uint32,
    Int64,
    Uint64,
    Float32,
    Float64,
}

const NAMES: [(&str, FieldType); 30] = [
    ("any", FieldType::Any),
    ("unsigned", FieldType::Unsigned),
    ("string", FieldType::String),
    ("number", FieldType::Number),
    ("double", FieldType::Double),
    ("integer", FieldType::Integer),
    ("boolean", FieldType::Boolean),
    ("varbinary", FieldType::Varbinary),
    ("scalar", FieldType::Scalar),
    ("decimal", FieldType::Decimal),
    ("uuid", FieldType::Uuid),
    ("datetime", FieldType::Datetime),
    ("interval", FieldType::Interval),
    ("array", FieldType::Array),
    ("map", FieldType::Map),
    ("int8", FieldType::Int8),
    ("uint8", FieldType::Uint8),
    ("int16", FieldType::Int16),
    ("uint16", FieldType::Uint16),
    ("int32", FieldType::Int32),
    ("uint32", FieldType::Uint32),
    ("int64", FieldType::Int64),
    ("uint64", FieldType::Uint64),
    ("float32", FieldType::Float32),
    ("float64", FieldType::Float64),
    // Older names, which clients still send.
    ("*", FieldType::Any),
    ("num", FieldType::Unsigned),
    ("uint", FieldType::Unsigned),
    ("int", FieldType::Integer),
    ("str", FieldType::String),
];

impl FieldType {
    /// The type with this name, in any case.
    #[must_use]
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        NAMES
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, kind)| *kind)
    }

    /// The type's name in formats and errors.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or("any", |(name, _)| name)
    }

    /// Whether an index can be made of it.
    #[must_use]
    pub(crate) const fn is_indexable(self) -> bool {
        !matches!(self, Self::Any | Self::Interval | Self::Array | Self::Map)
    }

    /// Whether every value of `other` is one of this type too.
    #[must_use]
    pub(crate) fn includes(self, other: Self) -> bool {
        let is_wider = |(from, to): (i64, u64)| {
            let other = other.integers();
            other.is_some_and(|(other_from, other_to)| from <= other_from && other_to <= to)
        };
        match self {
            Self::Any => true,
            Self::Scalar => other.is_indexable(),
            Self::Number => {
                other.integers().is_some()
                    || matches!(
                        other,
                        Self::Number | Self::Double | Self::Decimal | Self::Float32 | Self::Float64
                    )
            }
            Self::Double => matches!(other, Self::Double | Self::Float32 | Self::Float64),
            _ => self == other || self.integers().is_some_and(is_wider),
        }
    }

    /// The least and the greatest value of a type of integers.
    #[must_use]
    pub(crate) const fn integers(self) -> Option<(i64, u64)> {
        Some(match self {
            Self::Unsigned | Self::Uint64 => (0, u64::MAX),
            Self::Integer => (i64::MIN, u64::MAX),
            Self::Int8 => (i8::MIN as i64, i8::MAX as u64),
            Self::Uint8 => (0, u8::MAX as u64),
            Self::Int16 => (i16::MIN as i64, i16::MAX as u64),
            Self::Uint16 => (0, u16::MAX as u64),
            Self::Int32 => (i32::MIN as i64, i32::MAX as u64),
            Self::Uint32 => (0, u32::MAX as u64),
            Self::Int64 => (i64::MIN, i64::MAX as u64),
            _ => return None,
        })
    }

    /// Whether the reader's next value is of this type. Nil is of type `any` only.
    #[inline]
    pub(crate) fn accepts(self, reader: &Reader<'_>) -> bool {
        let Ok(kind) = reader.peek() else {
            return false;
        };
        match self {
            // Numbers of extensions that belong to no one, or to MessagePack itself.
            Self::Any => kind != Kind::Ext || ext_kind(reader).is_some_and(|kind| kind > 0),
            Self::Unsigned => kind == Kind::Uint,
            Self::String => kind == Kind::Str,
            Self::Integer => matches!(kind, Kind::Uint | Kind::Int),
            Self::Boolean => kind == Kind::Bool,
            // Clients for which 2.0 is 2 have no other way to send it.
            Self::Double => matches!(kind, Kind::Uint | Kind::Int | Kind::Float | Kind::Double),
            Self::Float32 => kind == Kind::Float,
            Self::Float64 => kind == Kind::Double,
            Self::Varbinary => kind == Kind::Bin,
            Self::Array => kind == Kind::Array,
            Self::Map => kind == Kind::Map,
            Self::Number => match kind {
                Kind::Uint | Kind::Int | Kind::Float | Kind::Double => true,
                _ => is_ext(reader, &[EXT_DECIMAL]),
            },
            Self::Scalar => match kind {
                Kind::Nil | Kind::Array | Kind::Map => false,
                Kind::Ext => is_ext(reader, &[EXT_DECIMAL, EXT_UUID, EXT_DATETIME]),
                _ => true,
            },
            Self::Decimal => is_ext(reader, &[EXT_DECIMAL]),
            Self::Uuid => is_ext(reader, &[EXT_UUID]),
            Self::Datetime => is_ext(reader, &[EXT_DATETIME]),
            Self::Interval => is_ext(reader, &[EXT_INTERVAL]),
            Self::Int8 | Self::Int16 | Self::Int32 | Self::Int64 => {
                matches!(kind, Kind::Uint | Kind::Int) && self.has_in_range(reader)
            }
            Self::Uint8 | Self::Uint16 | Self::Uint32 | Self::Uint64 => {
                kind == Kind::Uint && self.has_in_range(reader)
            }
        }
    }

    /// Whether the reader's next value is an integer within the bounds of this type.
    fn has_in_range(self, reader: &Reader<'_>) -> bool {
        let mut ahead = *reader;
        match (self.integers(), ahead.read_integer()) {
            (Some((least, _)), Ok(Integer::Negative(value))) => least <= value,
            (Some((_, greatest)), Ok(Integer::Unsigned(value))) => value <= greatest,
            _ => false,
        }
    }

    /// Why the reader's next value, which is of another type, cannot stand in the field that errors
    /// call `path`.
    #[cold]
    pub(crate) fn refuse(self, path: &str, found: &Reader<'_>) -> Error {
        let mut ahead = *found;
        match (self.integers(), found.peek(), ahead.read_integer()) {
            // All that is wrong is that the type is too narrow.
            (Some(range), Ok(Kind::Uint), Ok(value)) => {
                errors::field_out_of_range(path, self, range, value.to_i128())
            }
            (Some(range), Ok(Kind::Int), Ok(value)) if range.0 < 0 => {
                errors::field_out_of_range(path, self, range, value.to_i128())
            }
            _ => errors::field_type(path, self, found),
        }
    }
}

fn is_ext(reader: &Reader<'_>, kinds: &[i8]) -> bool {
    ext_kind(reader).is_some_and(|kind| kinds.contains(&kind))
}

fn ext_kind(reader: &Reader<'_>) -> Option<i8> {
    let mut ahead = *reader;
    ahead.read_ext().ok().map(|(kind, _)| kind)
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
