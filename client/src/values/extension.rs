//! How an extension value passes through serde: by the name that `rmp-serde` knows it by.

use std::fmt;
use std::marker::PhantomData;

use rmp_serde::MSGPACK_EXT_STRUCT_NAME;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

/// A type that is an extension value.
pub(super) trait Extension: Sized {
    /// The number of its type.
    const KIND: i8;
    /// What it is called in errors.
    const NAME: &'static str;

    fn pack(&self) -> Vec<u8>;

    /// `None` if the payload is none of this type.
    fn unpack(payload: &[u8]) -> Option<Self>;
}

struct Payload<'a>(&'a [u8]);

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

pub(super) struct OwnedPayload(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for OwnedPayload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = OwnedPayload;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<OwnedPayload, E> {
                Ok(OwnedPayload(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// Writes an extension value.
pub(super) fn write<S: Serializer>(
    kind: i8,
    payload: &[u8],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_newtype_struct(MSGPACK_EXT_STRUCT_NAME, &(kind, Payload(payload)))
}

pub(super) fn serialize<T: Extension, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    write(T::KIND, &value.pack(), serializer)
}

/// The type and payload that stand inside of an extension value.
pub(super) fn parts<'de, D: Deserializer<'de>>(inner: D) -> Result<(i8, Vec<u8>), D::Error> {
    struct Pair;
    impl<'de> Visitor<'de> for Pair {
        type Value = (i8, Vec<u8>);

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an extension value")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let missing = || A::Error::custom("an extension value is cut short");
            let kind = seq.next_element()?.ok_or_else(missing)?;
            let payload: OwnedPayload = seq.next_element()?.ok_or_else(missing)?;
            Ok((kind, payload.0))
        }
    }
    inner.deserialize_tuple(2, Pair)
}

pub(super) fn deserialize<'de, T: Extension, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    struct Typed<T>(PhantomData<T>);
    impl<'de, T: Extension> Visitor<'de> for Typed<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(T::NAME)
        }

        fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<T, D::Error> {
            let (kind, payload) = parts(inner)?;
            let value = (kind == T::KIND).then(|| T::unpack(&payload)).flatten();
            value.ok_or_else(|| D::Error::custom(format_args!("not {}", T::NAME)))
        }
    }
    deserializer.deserialize_newtype_struct(MSGPACK_EXT_STRUCT_NAME, Typed(PhantomData))
}

/// Passes a type through serde as the extension value that it is.
macro_rules! as_extension {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                super::extension::serialize(self, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                super::extension::deserialize(deserializer)
            }
        }
    };
}
pub(super) use as_extension;
