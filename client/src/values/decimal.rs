//! Decimal numbers: 38 digits, and where the point stands.

use std::fmt;
use std::str::FromStr;

use vestibule_wire::keys::EXT_DECIMAL;
use vestibule_wire::msgpack::{PackedDecimal, write_int};

use super::extension::{Extension, as_extension};

/// Most digits, and most of them before or after the point.
const DIGITS_MAX: u32 = 38;

/// A decimal number: an integer of at most 38 digits, divided by a power of ten.
///
/// Two are equal if they have the same digits and the same scale: 1.0 is not 1.00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Decimal {
    digits: i128,
    scale: i32,
}

/// A text is no decimal, or one of more than 38 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a decimal number of at most 38 digits")]
pub struct ParseDecimalError;

impl Decimal {
    /// `digits` divided by ten to the power of `scale`, which is at most 38, and not so far below
    /// zero that there are more than 38 digits before the point; `None` beyond that.
    #[must_use]
    pub fn new(digits: i128, scale: i32) -> Option<Self> {
        let count = match digits.unsigned_abs() {
            0 => 1,
            own => own.ilog10() + 1,
        };
        let max = i64::from(DIGITS_MAX);
        let is_fit = i64::from(count) <= max
            && i64::from(scale) <= max
            && i64::from(count) - i64::from(scale) <= max;
        is_fit.then_some(Self { digits, scale })
    }

    /// The digits as an integer.
    #[must_use]
    pub const fn digits(&self) -> i128 {
        self.digits
    }

    /// How many of them stand after the point; below zero if as many zeros are left out before it.
    #[must_use]
    pub const fn scale(&self) -> i32 {
        self.scale
    }
}

impl From<i64> for Decimal {
    fn from(number: i64) -> Self {
        Self {
            digits: number.into(),
            scale: 0,
        }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.digits.unsigned_abs().to_string();
        match usize::try_from(self.scale) {
            Ok(scale) => {
                if text.len() <= scale {
                    text.insert_str(0, &"0".repeat(scale + 1 - text.len()));
                }
                if scale > 0 {
                    text.insert(text.len() - scale, '.');
                }
            }
            Err(_) => text.push_str(&"0".repeat(self.scale.unsigned_abs() as usize)),
        }
        f.pad_integral(self.digits >= 0, "", &text)
    }
}

impl FromStr for Decimal {
    type Err = ParseDecimalError;

    fn from_str(text: &str) -> Result<Self, ParseDecimalError> {
        let (is_negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = rest.split_once('.').unwrap_or((rest, ""));
        let mut digits = 0i128;
        for digit in whole.bytes().chain(fraction.bytes()) {
            let value = char::from(digit).to_digit(10).ok_or(ParseDecimalError)?;
            let shifted = digits.checked_mul(10).ok_or(ParseDecimalError)?;
            digits = shifted.checked_add(value.into()).ok_or(ParseDecimalError)?;
        }
        if whole.is_empty() && fraction.is_empty() {
            return Err(ParseDecimalError);
        }
        let scale = i32::try_from(fraction.len()).map_err(|_| ParseDecimalError)?;
        let digits = if is_negative { -digits } else { digits };
        Self::new(digits, scale).ok_or(ParseDecimalError)
    }
}

impl Extension for Decimal {
    const KIND: i8 = EXT_DECIMAL;
    const NAME: &'static str = "a decimal";

    fn pack(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(22);
        write_int(&mut payload, self.scale.into());
        let text = self.digits.unsigned_abs().to_string();
        let sign = if self.digits < 0 { 0x0d } else { 0x0c };
        // Two half bytes a byte, the last one the sign: a zero first if their number is odd.
        let pad = text.len().is_multiple_of(2).then_some(0);
        let halves = pad
            .into_iter()
            .chain(text.bytes().map(|digit| digit - b'0'));
        let halves: Vec<u8> = halves.chain([sign]).collect();
        payload.extend(halves.chunks(2).map(|pair| pair[0] << 4 | pair[1]));
        payload
    }

    fn unpack(payload: &[u8]) -> Option<Self> {
        let packed = PackedDecimal::read(payload)?;
        let mut digits = 0i128;
        for digit in packed.digits() {
            digits = digits.checked_mul(10)?.checked_add(digit.into())?;
        }
        Self::new(
            if packed.is_negative { -digits } else { digits },
            packed.scale,
        )
    }
}

as_extension!(Decimal);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vestibule_wire::msgpack::Reader;

    #[test]
    fn a_text_is_read_and_written() {
        for text in [
            "0",
            "-1.50",
            "0.001",
            "-0.5",
            "12345678901234567890123456789012345678",
        ] {
            assert_eq!(text.parse::<Decimal>().unwrap().to_string(), text);
        }
        assert_eq!(Decimal::new(15, -2).unwrap().to_string(), "1500");
        assert_eq!("+.5".parse::<Decimal>().unwrap().to_string(), "0.5");
        let long = "1".repeat(39);
        for text in ["", ".", "-", "1e5", "1..2", "1.2.3", &long] {
            assert_eq!(text.parse::<Decimal>(), Err(ParseDecimalError), "{text}");
        }
    }

    #[test]
    fn the_bytes_are_tarantools() {
        let pack = |text: &str| text.parse::<Decimal>().unwrap().pack();
        assert_eq!(pack("-12.34"), [2, 0x01, 0x23, 0x4d]);
        assert_eq!(pack("123"), [0, 0x12, 0x3c]);
        assert_eq!(pack("0"), [0, 0x0c]);
    }

    proptest! {
        #[test]
        fn every_decimal_is_read_back_and_a_server_takes_it(digits: i128, scale in -50..50i32) {
            if let Some(decimal) = Decimal::new(digits, scale) {
                let bytes = rmp_serde::to_vec(&decimal).unwrap();
                prop_assert!(Reader::new(&bytes).skip_checked().is_ok());
                prop_assert_eq!(rmp_serde::from_slice::<Decimal>(&bytes).unwrap(), decimal);
                if scale >= 0 {
                    prop_assert_eq!(decimal.to_string().parse(), Ok(decimal));
                }
            }
        }

        #[test]
        fn no_payload_makes_it_panic(payload in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Decimal::unpack(&payload);
        }
    }
}
