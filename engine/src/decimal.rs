//! Decimals as MessagePack carries them.

use vestibule_wire::msgpack::Reader;

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
        let mut reader = Reader::new(payload);
        let scale = i32::try_from(reader.read_integer().ok()?.to_i128()).ok()?;
        let packed = reader.rest().iter();
        let mut digits: Vec<u8> = packed.flat_map(|byte| [byte >> 4, byte & 0x0f]).collect();
        let is_negative = match digits.pop()? {
            0x0b | 0x0d => true,
            0x0a | 0x0c | 0x0e | 0x0f => false,
            _ => return None,
        };
        let leading = digits.iter().take_while(|digit| **digit == 0).count();
        digits.drain(..leading);
        let is_fit = digits.len() <= DECIMAL_DIGITS_MAX
            && scale.unsigned_abs() as usize <= DECIMAL_DIGITS_MAX
            && digits.iter().all(|digit| *digit <= 9);
        is_fit.then_some(Self {
            is_negative,
            digits,
            scale,
        })
    }
}
