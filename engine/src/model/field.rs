//! Types of fields, and what values they accept.

use std::fmt;

use vestibule_wire::keys::{EXT_DATETIME, EXT_DECIMAL, EXT_INTERVAL, EXT_UUID};
use vestibule_wire::msgpack::{Kind, Reader};

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
}

const NAMES: [(&str, FieldType); 20] = [
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
        matches!(
            self,
            Self::Unsigned
                | Self::String
                | Self::Number
                | Self::Double
                | Self::Integer
                | Self::Boolean
                | Self::Varbinary
                | Self::Scalar
                | Self::Decimal
                | Self::Uuid
                | Self::Datetime
        )
    }

    /// Whether every value of `other` is one of this type too.
    #[must_use]
    pub(crate) fn includes(self, other: Self) -> bool {
        match self {
            Self::Any => true,
            Self::Scalar => other.is_indexable(),
            Self::Number => matches!(
                other,
                Self::Number | Self::Integer | Self::Unsigned | Self::Double | Self::Decimal
            ),
            Self::Integer => matches!(other, Self::Integer | Self::Unsigned),
            _ => self == other,
        }
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
            Self::Double => kind == Kind::Double,
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
