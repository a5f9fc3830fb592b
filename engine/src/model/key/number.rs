//! Numbers of all kinds in one order: integers, floats and decimals.
//!
//! ```text
//!   class │ 8 bytes of the whole part │ digits of the fraction, two a byte │ 00
//!   class │ 2 bytes: how many digits stand before the point │ all digits │ 00     from 2^64 on
//! ```
//!
//! All bytes after the class are flipped for a negative number, which turns the order around. No
//! integer is rounded on the way. A fraction counts with the digits that it is written with: the
//! float 0.1 is the decimal 0.1, as in Tarantool, and not the 0.1000000000000000055 that its bits
//! hold. This keeps the floats' own order, since no two of them are written with the same digits.

use std::io::Write;

use vestibule_wire::keys::EXT_DECIMAL;
use vestibule_wire::msgpack::{Integer, Kind, Reader};

use super::{KeyBuilder, Mismatch};
use crate::decimal::Digits;

const NAN: u8 = 0;
const BELOW: u8 = 1;
const NEGATIVE: u8 = 2;
const POSITIVE: u8 = 3;
const ABOVE: u8 = 4;

/// 2^64: the first float beyond what 8 bytes hold.
const BEYOND_U64: f64 = 18_446_744_073_709_551_616.0;
/// A number with more digits before the point is beyond it.
const WHOLE_DIGITS_MAX: usize = 20;
/// More digits before the point than any number has.
const INFINITE: u16 = u16::MAX;
/// Longest text of a float, such as `1.7976931348623157e308`.
const FLOAT_TEXT_MAX: usize = 32;

/// Takes a number from the reader and appends its encoding.
pub(super) fn push_number(reader: &mut Reader<'_>, out: &mut KeyBuilder) -> Result<(), Mismatch> {
    match reader.peek()? {
        Kind::Uint | Kind::Int => match reader.read_integer()? {
            Integer::Unsigned(value) => push_parts(false, value, 0, &[], out),
            Integer::Negative(value) => push_parts(true, value.unsigned_abs(), 0, &[], out),
        },
        Kind::Float | Kind::Double => push_float(reader.read_f64()?, out),
        _ => push_decimal(reader, out)?,
    }
    Ok(())
}

/// Takes a decimal from the reader and appends its encoding.
pub(super) fn push_decimal(reader: &mut Reader<'_>, out: &mut KeyBuilder) -> Result<(), Mismatch> {
    let (EXT_DECIMAL, payload) = reader.read_ext()? else {
        return Err(Mismatch);
    };
    let decimal = Digits::unpack(payload).ok_or(Mismatch)?;
    let point = decimal.digits.len() as i32 - decimal.scale;
    push_digits(decimal.is_negative, &decimal.digits, point, out);
    Ok(())
}

fn push_float(value: f64, out: &mut KeyBuilder) {
    let (is_negative, size) = (value < 0.0, value.abs());
    if value.is_nan() {
        out.push(&[NAN]);
    } else if value.is_infinite() {
        push_beyond(is_negative, INFINITE, &[], out);
    } else if size < BEYOND_U64 && size.fract() == 0.0 {
        // Exact: a whole float has no bits below the point.
        push_parts(is_negative, size as u64, 0, &[], out);
    } else {
        let mut text = [0; FLOAT_TEXT_MAX];
        let mut rest = &mut text[..];
        write!(rest, "{size:e}").expect("the text of a float is shorter");
        let unused = rest.len();
        let text = &text[..FLOAT_TEXT_MAX - unused];
        let (digits, point) = read_float(text);
        push_digits(is_negative, &digits[..], point, out);
    }
}

/// Digits of a text like `1.25e-7`, and how many of them stand before the point if it is moved to
/// where it belongs.
fn read_float(text: &[u8]) -> (Vec<u8>, i32) {
    let mut halves = text.split(|byte| *byte == b'e');
    let digits = halves.next().unwrap_or_default();
    let digits = digits.iter().filter(|byte| byte.is_ascii_digit());
    let exponent = halves.next().and_then(|text| str::from_utf8(text).ok());
    let exponent: Option<i32> = exponent.and_then(|text| text.parse().ok());
    (
        digits.map(|byte| byte - b'0').collect(),
        exponent.expect("a float is written with its exponent") + 1,
    )
}

/// Digits without leading zeros; the point stands after that number of them, or that number of
/// zeros before the first one.
fn push_digits(is_negative: bool, digits: &[u8], point: i32, out: &mut KeyBuilder) {
    let zeros = digits.iter().rev().take_while(|digit| **digit == 0).count();
    let digits = &digits[..digits.len() - zeros];
    if digits.is_empty() {
        return push_parts(false, 0, 0, &[], out);
    }
    let before = usize::try_from(point).unwrap_or(0);
    let (whole, fraction) = digits.split_at(before.min(digits.len()));
    if before <= WHOLE_DIGITS_MAX {
        let padding = [0].iter().cycle().take(before - whole.len());
        let whole = whole.iter().chain(padding);
        let whole = whole.fold(0u128, |sum, digit| sum * 10 + u128::from(*digit));
        if let Ok(whole) = u64::try_from(whole) {
            let zeros = usize::try_from(-point).unwrap_or(0);
            return push_parts(is_negative, whole, zeros, fraction, out);
        }
    }
    push_beyond(is_negative, before as u16, digits, out);
}

/// A number below 2^64: its whole part, zeros after the point, and the digits after them.
fn push_parts(is_negative: bool, whole: u64, zeros: usize, digits: &[u8], out: &mut KeyBuilder) {
    let flip = if is_negative { u8::MAX } else { 0 };
    out.push(&[if is_negative { NEGATIVE } else { POSITIVE }]);
    out.push(&whole.to_be_bytes().map(|byte| byte ^ flip));
    push_pairs(flip, zeros, digits, out);
}

fn push_beyond(is_negative: bool, before: u16, digits: &[u8], out: &mut KeyBuilder) {
    let flip = if is_negative { u8::MAX } else { 0 };
    out.push(&[if is_negative { BELOW } else { ABOVE }]);
    out.push(&before.to_be_bytes().map(|byte| byte ^ flip));
    push_pairs(flip, 0, digits, out);
}

/// Two digits a byte, plus one, so that the end is smaller than any of them.
fn push_pairs(flip: u8, zeros: usize, digits: &[u8], out: &mut KeyBuilder) {
    let mut digits = [0].iter().cycle().take(zeros).chain(digits);
    while let Some(first) = digits.next() {
        let second = digits.next().unwrap_or(&0);
        out.push(&[(first * 10 + second + 1) ^ flip]);
    }
    out.push(&[flip]);
}
