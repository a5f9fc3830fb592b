//! UUIDs.

use std::fmt;
use std::str::FromStr;

use vestibule_wire::keys::EXT_UUID;
use vestibule_wire::{ParseUuidError, Uuid};

use super::extension::{Extension, as_extension};

/// A UUID as a value of a tuple: its 16 bytes in the order of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct UuidValue(pub Uuid);

impl UuidValue {
    /// The UUID with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Uuid::SIZE]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Uuid::SIZE] {
        self.0.as_bytes()
    }
}

impl FromStr for UuidValue {
    type Err = ParseUuidError;

    fn from_str(text: &str) -> Result<Self, ParseUuidError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for UuidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Extension for UuidValue {
    const KIND: i8 = EXT_UUID;
    const NAME: &'static str = "a UUID";

    fn pack(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn unpack(payload: &[u8]) -> Option<Self> {
        payload.try_into().ok().map(Self::from_bytes)
    }
}

as_extension!(UuidValue);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_eighteen_bytes_of_its_own_type() {
        let uuid: UuidValue = "7170b4af-c72f-4f07-8729-08fc678543a1".parse().unwrap();
        let bytes = rmp_serde::to_vec(&uuid).unwrap();
        assert_eq!((bytes.len(), &bytes[..3]), (18, &[0xd8, 2, 0x71][..]));
        assert_eq!(rmp_serde::from_slice::<UuidValue>(&bytes).unwrap(), uuid);
        assert!(rmp_serde::from_slice::<UuidValue>(&[0xd4, 2, 0]).is_err());
        assert!(rmp_serde::from_slice::<UuidValue>(&[0xa1, b'x']).is_err());
    }
}
