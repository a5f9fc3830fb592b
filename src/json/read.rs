//! JSON to MessagePack.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use vestibule_wire::Uuid;
use vestibule_wire::keys::EXT_UUID;
use vestibule_wire::msgpack::{self, Reader};

use super::shared::{BASE64, Datetime, narrow, write_datetime};

/// A value of JSON as MessagePack.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Packed(pub(crate) Vec<u8>);

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut out = Vec::new();
        deserializer.deserialize_any(ValueSeed(&mut out))?;
        Ok(Self(out))
    }
}

/// Appends what it reads.
struct ValueSeed<'o>(&'o mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        msgpack::write_nil(self.0);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        msgpack::write_bool(self.0, value);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        msgpack::write_uint(self.0, value);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        msgpack::write_int(self.0, value);
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        msgpack::write_f64(self.0, value);
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        msgpack::write_str(self.0, value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        let (start, mut size) = (self.0.len(), 0);
        while values.next_element_seed(ValueSeed(self.0))?.is_some() {
            size += 1;
        }
        insert_head(self.0, start, |head| msgpack::write_array_len(head, size));
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<(), A::Error> {
        let (start, mut size) = (self.0.len(), 0);
        while let Some(key) = pairs.next_key::<Cow<'_, str>>()? {
            if let Some(tag) = key.strip_prefix('$').filter(|_| size == 0) {
                tagged(tag, &mut pairs, self.0)?;
                return match pairs.next_key::<Cow<'_, str>>()? {
                    None => Ok(()),
                    Some(more) => Err(A::Error::custom(format!("\"{more}\" beside \"${tag}\""))),
                };
            }
            msgpack::write_str(self.0, &key);
            pairs.next_value_seed(ValueSeed(self.0))?;
            size += 1;
        }
        insert_head(self.0, start, |head| msgpack::write_map_len(head, size));
        Ok(())
    }
}

/// Puts the head of a container before what is in it.
fn insert_head(out: &mut Vec<u8>, start: usize, write: impl FnOnce(&mut Vec<u8>)) {
    let mut head = Vec::with_capacity(5);
    write(&mut head);
    out.splice(start..start, head);
}

/// Appends the value of an object with one key, `$tag`.
fn tagged<'de, A: MapAccess<'de>>(
    tag: &str,
    pairs: &mut A,
    out: &mut Vec<u8>,
) -> Result<(), A::Error> {
    match tag {
        "f64" => msgpack::write_f64(out, pairs.next_value::<Float>()?.0),
        "f32" => {
            let value = pairs.next_value::<Float>()?.0;
            let narrow = narrow(value);
            if value.is_finite() && narrow.is_infinite() {
                return Err(A::Error::custom("a number too large for 32 bits"));
            }
            out.push(0xca);
            out.extend_from_slice(&narrow.to_be_bytes());
        }
        "bin" => msgpack::write_bin(out, &pairs.next_value::<Bytes>()?.0),
        "str" => msgpack::write_str_bytes(out, &pairs.next_value::<Bytes>()?.0),
        "uuid" => {
            let text: Cow<'_, str> = pairs.next_value()?;
            let uuid: Uuid = text.parse().map_err(A::Error::custom)?;
            msgpack::write_ext(out, EXT_UUID, uuid.as_bytes());
        }
        "datetime" => write_datetime(out, pairs.next_value::<Datetime>()?),
        "ext" => {
            let (kind, payload) = pairs.next_value::<(i8, Bytes)>()?;
            msgpack::write_ext(out, kind, &payload.0);
        }
        "map" => {
            let map = pairs.next_value::<Vec<(Packed, Packed)>>()?;
            let size = u32::try_from(map.len()).map_err(A::Error::custom)?;
            msgpack::write_map_len(out, size);
            for (key, value) in map {
                out.extend_from_slice(&key.0);
                out.extend_from_slice(&value.0);
            }
        }
        "msgpack" => {
            let bytes = pairs.next_value::<Bytes>()?.0;
            let mut reader = Reader::new(&bytes);
            if reader.skip().is_err() || !reader.is_empty() {
                return Err(A::Error::custom("\"$msgpack\" is not one value"));
            }
            out.extend_from_slice(&bytes);
        }
        _ => return Err(A::Error::custom(format!("\"${tag}\" is not known"))),
    }
    Ok(())
}

/// A number, or the text of one that JSON cannot write.
struct Float(f64);

impl<'de> Deserialize<'de> for Float {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FloatVisitor)
    }
}

struct FloatVisitor;

impl Visitor<'_> for FloatVisitor {
    type Value = Float;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, \"inf\", \"-inf\" or \"nan\"")
    }

    fn visit_f64<E>(self, value: f64) -> Result<Float, E> {
        Ok(Float(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Float, E> {
        Ok(Float(value as f64))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Float, E> {
        Ok(Float(value as f64))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Float, E> {
        match text {
            "inf" => Ok(Float(f64::INFINITY)),
            "-inf" => Ok(Float(f64::NEG_INFINITY)),
            "nan" => Ok(Float(f64::NAN)),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
        }
    }
}

/// Base64.
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        BASE64.decode(&*text).map(Self).map_err(D::Error::custom)
    }
}
