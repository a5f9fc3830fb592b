//! Decimals as MessagePack carries them.

use vestibule_wire::msgpack::PackedDecimal;

/// Most digits of a decimal, and most digits before or after its point.
const DECIMAL_DIGITS_MAX: usize = 38;

/// A decimal as it is written.
#[derive(Debug)]
pub(crate) struct Digits {
    pub(crate) is_negative: bool,
    /// Without leading zeros.
    pub(crate) digits: Vec<u8>,
    /// How many of them stand after the point; below zero if as many zeros are left out before it.
    pub(crate) scale: i32,
}

impl Digits {
    /// Reads the payload of an extension value. `None` if it is no decimal within the bounds.
    pub(crate) fn unpack(payload: &[u8]) -> Option<Self> {
        let packed = PackedDecimal::read(payload)?;
        let digits: Vec<u8> = packed.digits().collect();
        let is_fit = digits.len() <= DECIMAL_DIGITS_MAX
            && packed.scale.unsigned_abs() as usize <= DECIMAL_DIGITS_MAX;
        is_fit.then_some(Self {
            is_negative: packed.is_negative,
            digits,
            scale: packed.scale,
        })
    }
}
