//! Decimals of up to 38 digits: the addition that `+` and `-` need, and the packed form.
//!
//! ```text
//!   digits[i] counts 10^(i - 38):   38 digits after the point │ 38 before it
//! ```
//!
//! Every decimal that Tarantool can hold fits this fixed grid, so that a sum is exact and is
//! rounded once, half away from zero, to the 38 digits that may be kept.

use vestibule_wire::keys::EXT_DECIMAL;
use vestibule_wire::msgpack::{Integer, write_ext, write_int};

use crate::decimal::Digits;

/// Most significant digits of a value, and most digits before and after the point.
const DIGITS_MAX: usize = 38;

/// Digits of the grid.
const GRID: usize = 2 * DIGITS_MAX;

/// A number `± digits × 10^(i - 38)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decimal {
    is_negative: bool,
    /// Digits after the point that are written, including trailing zeros; below zero if the last
    /// digits before the point are not written either.
    scale: i32,
    digits: [u8; GRID],
}

impl Decimal {
    /// Puts digits, most significant first, on the grid. `None` if they do not fit. Digits beyond
    /// the smallest fraction are rounded away.
    fn from_digits(is_negative: bool, digits: &[u8], scale: i32) -> Option<Self> {
        let mut decimal = Self {
            is_negative,
            scale,
            digits: [0; GRID],
        };
        let mut rounds_up = false;
        for (power, digit) in digits.iter().rev().enumerate() {
            let place = power as i64 + DIGITS_MAX as i64 - i64::from(scale);
            match usize::try_from(place) {
                Ok(place) if place < GRID => decimal.digits[place] = *digit,
                Ok(_) if *digit != 0 => return None,
                Ok(_) => {}
                Err(_) => rounds_up = place == -1 && *digit >= 5,
            }
        }
        decimal.scale = scale.clamp(1 - DIGITS_MAX as i32, DIGITS_MAX as i32);
        if rounds_up {
            decimal.increment(0)?;
        }
        decimal.round()
    }

    /// An integer of any size that MessagePack holds.
    pub(super) fn from_integer(value: Integer) -> Self {
        let value = value.to_i128();
        let text = value.unsigned_abs().to_string();
        let digits: Vec<u8> = text.bytes().map(|digit| digit - b'0').collect();
        Self::from_digits(value < 0, &digits, 0).expect("at most 20 digits fit")
    }

    /// A float, of which 15 significant digits are taken, as Tarantool does. `None` for what is not
    /// finite or has more than 38 digits before the point.
    pub(super) fn from_f64(value: f64) -> Option<Self> {
        if !value.is_finite() {
            return None;
        }
        let text = format!("{:.14e}", value.abs());
        let (mantissa, exponent) = text.split_once('e')?;
        let exponent: i32 = exponent.parse().ok()?;
        let mut digits: Vec<u8> = mantissa
            .bytes()
            .filter(u8::is_ascii_digit)
            .map(|digit| digit - b'0')
            .collect();
        // Trailing zeros go, but for those before the point of a number written without exponent.
        let keep = if (0..15).contains(&exponent) {
            exponent as usize + 1
        } else {
            1
        };
        while digits.len() > keep && digits.last() == Some(&0) {
            digits.pop();
        }
        let scale = digits.len() as i32 - 1 - exponent;
        Self::from_digits(value.is_sign_negative(), &digits, scale)
    }

    /// Reads the payload of an extension value. `None` if it is no decimal within the bounds.
    pub(super) fn unpack(payload: &[u8]) -> Option<Self> {
        let Digits {
            is_negative,
            digits,
            scale,
        } = Digits::unpack(payload)?;
        Self::from_digits(is_negative, &digits, scale)
    }

    /// Appends the extension value.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let lowest = self.lowest();
        let highest = self.highest().map_or(lowest, |highest| highest.max(lowest));
        let mut payload = Vec::with_capacity(2 + DIGITS_MAX / 2);
        write_int(&mut payload, i64::from(self.scale));
        let mut nibbles: Vec<u8> = self.digits[lowest..=highest]
            .iter()
            .rev()
            .copied()
            .collect();
        nibbles.push(if self.is_negative { 0x0d } else { 0x0c });
        if nibbles.len() % 2 == 1 {
            nibbles.insert(0, 0);
        }
        payload.extend(nibbles.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]));
        write_ext(out, EXT_DECIMAL, &payload);
    }

    /// The sum, rounded to 38 digits; `None` if it has more than 38 before the point.
    pub(super) fn plus(&self, other: &Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        if self.is_negative == other.is_negative {
            let mut sum = Self { scale, ..*self };
            let mut carry = 0;
            for (digit, more) in sum.digits.iter_mut().zip(&other.digits) {
                let both = *digit + more + carry;
                (*digit, carry) = (both % 10, both / 10);
            }
            return if carry == 0 { sum.round() } else { None };
        }
        let (large, small) = if self.digits.iter().rev().ge(other.digits.iter().rev()) {
            (self, other)
        } else {
            (other, self)
        };
        let mut difference = Self { scale, ..*large };
        let mut borrow = 0;
        for (digit, less) in difference.digits.iter_mut().zip(&small.digits) {
            let left = *digit + 10 - less - borrow;
            (*digit, borrow) = (left % 10, 1 - left / 10);
        }
        // Zero keeps a minus sign only if both numbers had one.
        difference.is_negative &= difference.highest().is_some();
        difference.round()
    }

    /// The difference, as [`plus`](Self::plus).
    pub(super) fn minus(&self, other: &Self) -> Option<Self> {
        self.plus(&Self {
            is_negative: !other.is_negative,
            ..*other
        })
    }

    /// The place of the last digit that is written.
    fn lowest(&self) -> usize {
        (DIGITS_MAX as i32 - self.scale) as usize
    }

    fn highest(&self) -> Option<usize> {
        self.digits.iter().rposition(|digit| *digit != 0)
    }

    /// Gives up digits after the point until at most 38 are left.
    fn round(mut self) -> Option<Self> {
        let Some(highest) = self.highest() else {
            return Some(self);
        };
        let excess = (highest + 1).saturating_sub(self.lowest() + DIGITS_MAX);
        if excess == 0 {
            return Some(self);
        }
        let lowest = self.lowest() + excess;
        let rounds_up = self.digits[lowest - 1] >= 5;
        self.digits[..lowest].fill(0);
        self.scale -= excess as i32;
        if rounds_up {
            self.increment(lowest)?;
            // 99…9 became 100…0, one digit longer.
            return self.round();
        }
        Some(self)
    }

    /// Adds one at a place.
    fn increment(&mut self, place: usize) -> Option<()> {
        for digit in &mut self.digits[place..] {
            if *digit < 9 {
                *digit += 1;
                return Some(());
            }
            *digit = 0;
        }
        None
    }
}
