//! The UUID: the name of an instance in its greeting, and a value that tuples hold.

use std::fmt;
use std::str::FromStr;

/// A UUID of any version, by its 16 bytes.
///
/// Its text has 36 characters, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`: read in either case and in
/// no other form, written in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Uuid([u8; Self::SIZE]);

/// A text is not a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID")]
pub struct ParseUuidError;

impl Uuid {
    /// Size in bytes.
    pub const SIZE: usize = 16;

    /// Size of the text in characters.
    pub const TEXT_SIZE: usize = 36;

    /// The UUID whose bytes are all zero.
    pub const NIL: Self = Self([0; Self::SIZE]);

    /// The UUID with these bytes, in the order of its text.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        Self(bytes)
    }

    /// A UUID of version 4, from 16 bytes of the caller's source of randomness. Six of the 128 bits
    /// are overwritten: they say which version it is.
    #[must_use]
    pub const fn from_random_bytes(mut bytes: [u8; Self::SIZE]) -> Self {
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }

    /// The bytes, in the order of the text.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::SIZE] {
        &self.0
    }
}

/// Whether a hyphen stands here in the text.
const fn is_hyphen_at(at: usize) -> bool {
    matches!(at, 8 | 13 | 18 | 23)
}

impl FromStr for Uuid {
    type Err = ParseUuidError;

    fn from_str(text: &str) -> Result<Self, ParseUuidError> {
        let text: &[u8; Self::TEXT_SIZE] =
            text.as_bytes().try_into().map_err(|_| ParseUuidError)?;
        let mut bytes = [0; Self::SIZE];
        let mut digits = 0;
        for (at, character) in text.iter().enumerate() {
            if is_hyphen_at(at) {
                if *character != b'-' {
                    return Err(ParseUuidError);
                }
                continue;
            }
            let digit = char::from(*character).to_digit(16).ok_or(ParseUuidError)?;
            bytes[digits / 2] = bytes[digits / 2] << 4 | digit as u8;
            digits += 1;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; Self::TEXT_SIZE];
        let places = (0..Self::TEXT_SIZE).filter(|at| !is_hyphen_at(*at));
        for (digit, at) in places.enumerate() {
            let byte = self.0[digit / 2];
            let half = if digit % 2 == 0 { byte >> 4 } else { byte & 15 };
            text[at] = DIGITS[usize::from(half)];
        }
        f.pad(std::str::from_utf8(&text).expect("digits and hyphens are ASCII"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "7170b4af-c72f-4f07-8729-08fc678543a1";

    #[test]
    fn a_text_is_its_sixteen_bytes() {
        let uuid: Uuid = TEXT.parse().unwrap();
        assert_eq!(uuid.as_bytes()[..4], [0x71, 0x70, 0xb4, 0xaf]);
        assert_eq!(uuid.as_bytes()[15], 0xa1);
        assert_eq!(uuid.to_string(), TEXT);
        assert_eq!(TEXT.to_uppercase().parse(), Ok(uuid));
        assert_eq!(format!("{uuid:>38}"), format!("  {TEXT}"));
    }

    #[test]
    fn any_other_form_is_refused() {
        for text in [
            "",
            "7170b4af-c72f",
            "7170b4afc72f4f07872908fc678543a1",
            "7170b4af-c72f-4f07-8729-08fc678543a",
            "7170b4af-c72f-4f07-8729-08fc678543a11",
            "7170b4afc-72f-4f07-8729-08fc678543a1",
            "7170b4ag-c72f-4f07-8729-08fc678543a1",
            "+170b4af-c72f-4f07-8729-08fc678543a1",
            "{170b4af-c72f-4f07-8729-08fc678543a}",
            " 7170b4af-c72f-4f07-8729-08fc678543a",
            "ä70b4af-c72f-4f07-8729-08fc678543a1",
        ] {
            assert_eq!(text.parse::<Uuid>(), Err(ParseUuidError), "{text}");
        }
    }

    #[test]
    fn a_random_uuid_says_that_it_is_one() {
        for byte in [0, 0xff] {
            let text = Uuid::from_random_bytes([byte; 16]).to_string();
            assert_eq!(&text[14..15], "4");
            assert!(matches!(&text[19..20], "8" | "b"));
        }
    }

    proptest::proptest! {
        #[test]
        fn every_uuid_is_read_back(bytes: [u8; 16]) {
            let uuid = Uuid::from_bytes(bytes);
            proptest::prop_assert_eq!(uuid.to_string().parse(), Ok(uuid));
        }
    }
}
