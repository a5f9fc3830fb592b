//! A value of any type.

use std::fmt;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap as _, Serializer};
use serde::{Deserialize, Serialize};
use vestibule_wire::keys::EXT_ERROR;

use super::extension::{self, Extension};
use super::{Datetime, Decimal, Interval, UuidValue};
use crate::error::{Error, ServerError};
use crate::pack;

/// A value of any type that a tuple, an argument or a result can have.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the variants are the types")]
pub enum Value {
    Nil,
    Bool(bool),
    Uint(u64),
    /// An integer below zero.
    Int(i64),
    /// A float of 32 bits is widened.
    Float(f64),
    Str(String),
    Bytes(Vec<u8>),
    Array(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Decimal(Decimal),
    Uuid(UuidValue),
    Datetime(Datetime),
    Interval(Interval),
    /// An error as a value: not that of a request.
    Error(ServerError),
    /// An extension value of a type that is not known here, or not of its type's form.
    Extension(i8, Vec<u8>),
}

impl Value {
    /// A value whose structs are maps by the names of their fields: options of procedures are such.
    /// As arguments and tuples are sent, structs are lists.
    ///
    /// # Errors
    ///
    /// The value cannot be held by MessagePack.
    pub fn named(value: &(impl Serialize + ?Sized)) -> Result<Self, Error> {
        pack::read(&pack::named(value)?)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nil => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Uint(value) => serializer.serialize_u64(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Str(value) => serializer.serialize_str(value),
            Self::Bytes(value) => serializer.serialize_bytes(value),
            Self::Array(values) => values.serialize(serializer),
            Self::Map(pairs) => {
                let mut map = serializer.serialize_map(Some(pairs.len()))?;
                for (key, value) in pairs {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
            Self::Decimal(value) => value.serialize(serializer),
            Self::Uuid(value) => value.serialize(serializer),
            Self::Datetime(value) => value.serialize(serializer),
            Self::Interval(value) => value.serialize(serializer),
            Self::Error(error) => {
                let mut payload = Vec::new();
                error.write_stack(&mut payload);
                extension::write(EXT_ERROR, &payload, serializer)
            }
            Self::Extension(kind, payload) => extension::write(*kind, payload, serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyType)
    }
}

/// What an extension value is.
fn of_extension(kind: i8, payload: Vec<u8>) -> Value {
    let known = match kind {
        Decimal::KIND => Decimal::unpack(&payload).map(Value::Decimal),
        UuidValue::KIND => UuidValue::unpack(&payload).map(Value::Uuid),
        Datetime::KIND => Datetime::unpack(&payload).map(Value::Datetime),
        Interval::KIND => Interval::unpack(&payload).map(Value::Interval),
        EXT_ERROR => ServerError::read_stack(&payload).ok().map(Value::Error),
        _ => None,
    };
    known.unwrap_or(Value::Extension(kind, payload))
}

struct AnyType;

impl<'de> Visitor<'de> for AnyType {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Uint(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(u64::try_from(value).map_or(Value::Int(value), Value::Uint))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Str(value.to_owned()))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(value.to_vec()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        // What an array announces is no reason to take memory for it.
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Value::Map(pairs))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
        let (kind, payload) = extension::parts(inner)?;
        Ok(of_extension(kind, payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vestibule_wire::error::ErrorCode;

    #[test]
    fn every_type_is_read_back() {
        let error = ServerError::new(ErrorCode::TIMEOUT, "late");
        let values = vec![
            Value::Nil,
            Value::Bool(true),
            Value::Uint(u64::MAX),
            Value::Int(-5),
            Value::Float(0.5),
            Value::Str("x".to_owned()),
            Value::Bytes(vec![1, 2]),
            Value::Map(vec![(Value::Uint(1), Value::Array(Vec::new()))]),
            Value::Decimal("-1.5".parse().unwrap()),
            Value::Uuid(UuidValue::from_bytes([7; 16])),
            Value::Datetime(Datetime::from_seconds(-1)),
            Value::Interval(Interval::default()),
            Value::Error(error),
            Value::Extension(77, vec![1]),
        ];
        let value = Value::Array(values);
        let bytes = rmp_serde::to_vec(&value).unwrap();
        assert_eq!(rmp_serde::from_slice::<Value>(&bytes).unwrap(), value);
    }

    #[test]
    fn a_named_struct_is_a_map() {
        #[derive(Serialize)]
        struct Options {
            unique: bool,
        }
        let value = Value::named(&[Options { unique: true }]).unwrap();
        let pair = (Value::Str("unique".to_owned()), Value::Bool(true));
        assert_eq!(value, Value::Array(vec![Value::Map(vec![pair])]));
    }

    #[test]
    fn what_is_not_of_its_type_is_kept_as_it_is() {
        let bytes = [0xd4, 2, 7];
        let value: Value = rmp_serde::from_slice(&bytes).unwrap();
        assert_eq!(value, Value::Extension(2, vec![7]));
        assert_eq!(rmp_serde::to_vec(&value).unwrap(), bytes);
    }
}
