//! The types of values, and integers of either sign.

/// The type of a value, as its first byte tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the variants are MessagePack's own type names")]
pub enum Kind {
    Nil,
    Bool,
    /// An unsigned encoding (positive fixint, uint 8 to 64).
    Uint,
    /// A signed encoding (negative fixint, int 8 to 64); its value may still be positive.
    Int,
    /// float 32
    Float,
    /// float 64
    Double,
    Str,
    Bin,
    Array,
    Map,
    Ext,
}

impl Kind {
    /// The type that a first byte announces; `None` for the reserved byte `0xc1`.
    #[inline]
    #[must_use]
    pub const fn of(marker: u8) -> Option<Self> {
        KINDS[marker as usize]
    }

    const fn find(marker: u8) -> Option<Self> {
        Some(match marker {
            0x00..=0x7f | 0xcc..=0xcf => Self::Uint,
            0x80..=0x8f | 0xde | 0xdf => Self::Map,
            0x90..=0x9f | 0xdc | 0xdd => Self::Array,
            0xa0..=0xbf | 0xd9..=0xdb => Self::Str,
            0xc0 => Self::Nil,
            0xc1 => return None,
            0xc2 | 0xc3 => Self::Bool,
            0xc4..=0xc6 => Self::Bin,
            0xc7..=0xc9 | 0xd4..=0xd8 => Self::Ext,
            0xca => Self::Float,
            0xcb => Self::Double,
            0xd0..=0xd3 | 0xe0..=0xff => Self::Int,
        })
    }
}

/// The types by their first bytes: a look instead of a dozen comparisons.
static KINDS: [Option<Kind>; 256] = {
    let mut kinds = [None; 256];
    let mut marker = 0;
    while marker < kinds.len() {
        kinds[marker] = Kind::find(marker as u8);
        marker += 1;
    }
    kinds
};

/// A number of any integer encoding, as wide as MessagePack allows (−2^63 … 2^64−1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Integer {
    /// Zero or above.
    Unsigned(u64),
    /// Below zero.
    Negative(i64),
}

impl Integer {
    /// The value widened so that both variants fit.
    #[must_use]
    pub const fn to_i128(self) -> i128 {
        match self {
            Self::Unsigned(value) => value as i128,
            Self::Negative(value) => value as i128,
        }
    }

    /// The inverse of [`to_i128`](Self::to_i128); `None` outside −2^63 … 2^64−1.
    #[must_use]
    pub fn from_i128(value: i128) -> Option<Self> {
        if value >= 0 {
            u64::try_from(value).ok().map(Self::Unsigned)
        } else {
            i64::try_from(value).ok().map(Self::Negative)
        }
    }
}
