//! What is inside extension values: whether it is what their type says, by Tarantool's own bounds.
//!
//! ```text
//!   decimal    scale, an integer │ digits, two a byte, the last half byte is the sign
//!   UUID       16 bytes, of one of three variants
//!   error      {0: [{0: kind, 1: file, 2: line, 3: text, 4: errno, 5: code, 6: {name: any}}, …]}
//!   datetime   seconds, 8 bytes │ nanoseconds, 4 │ minutes east of UTC, 2 │ zone, 2
//!                               └──────── may be left out, little-endian as they are ────────┘
//!   interval   count, a byte │ a field, a byte │ an integer │ …
//! ```
//!
//! Values of other types may hold anything: nobody here knows them.

use super::{DecodeError, Kind, Reader};
use crate::keys::{
    ERROR_STACK, EXT_DATETIME, EXT_DECIMAL, EXT_ERROR, EXT_INTERVAL, EXT_UUID, error_entry,
};
use crate::limits::NESTED_ERRORS_MAX;
use crate::uuid::Uuid;

/// Most digits of a decimal, and most of them before or after its point.
const DECIMAL_DIGITS_MAX: i64 = 38;
/// Most bytes of a decimal's digits, leading zeros and the sign among them.
const DECIMAL_PACKED_MAX: usize = 20;

/// Seconds of a datetime: days of 32 bits, counted from the year 1.
const DATETIME_SECONDS: std::ops::RangeInclusive<i64> = {
    const DAY_S: i64 = 24 * 60 * 60;
    const DAYS_UNTIL_1970: i64 = 719_163;
    (i32::MIN as i64 - DAYS_UNTIL_1970) * DAY_S..=(i32::MAX as i64 - DAYS_UNTIL_1970) * DAY_S
};
/// Nanoseconds of a datetime: room for a leap second.
const DATETIME_NANOSECONDS: std::ops::Range<i32> = 0..2_000_000_000;
/// Minutes of a datetime's zone east of UTC.
const DATETIME_OFFSET_MINUTES: std::ops::RangeInclusive<i16> = -12 * 60..=14 * 60;
/// Numbers of zones.
const DATETIME_ZONES: std::ops::RangeInclusive<i16> = 0..=1024;

/// Fields of an interval that are integers of 64 bits: days, hours, minutes, seconds.
const INTERVAL_WIDE: std::ops::RangeInclusive<u8> = 3..=6;
/// Field of an interval that says what becomes of a month's last day.
const INTERVAL_ADJUST: u8 = 8;
/// Choices for it: excess, limit, snap.
const INTERVAL_ADJUST_MAX: i128 = 2;

/// Checks what is inside an extension value.
pub(super) fn check(kind: i8, payload: &[u8]) -> Result<(), DecodeError> {
    check_within(kind, payload, NESTED_ERRORS_MAX)
}

/// Checks as [`check`] does; errors hold at most `levels` of errors.
fn check_within(kind: i8, payload: &[u8], levels: usize) -> Result<(), DecodeError> {
    let is_sound = match kind {
        EXT_DECIMAL => PackedDecimal::read(payload).is_some_and(|decimal| decimal.is_in_bounds()),
        EXT_UUID => is_uuid(payload),
        EXT_ERROR => return check_error(payload, levels),
        EXT_DATETIME => is_datetime(payload),
        EXT_INTERVAL => is_interval(payload).unwrap_or(false),
        _ => true,
    };
    is_sound.then_some(()).ok_or(DecodeError::Extension)
}

/// A decimal as MessagePack carries it, of any number of digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedDecimal<'a> {
    /// Whether it has a minus sign.
    pub is_negative: bool,
    /// How many digits stand after the point; below zero if as many zeros are left out before it.
    pub scale: i32,
    packed: &'a [u8],
}

impl<'a> PackedDecimal<'a> {
    /// Reads the payload of the extension value. `None` if it is no decimal of any size.
    #[must_use]
    pub fn read(payload: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let scale = i32::try_from(reader.read_integer().ok()?.to_i128()).ok()?;
        let packed = reader.rest();
        let is_negative = match packed.last()? & 0x0f {
            0x0b | 0x0d => true,
            0x0a | 0x0c | 0x0e | 0x0f => false,
            _ => return None,
        };
        let decimal = Self {
            is_negative,
            scale,
            packed,
        };
        decimal.halves().all(|digit| digit <= 9).then_some(decimal)
    }

    /// Digits, the most significant first, without leading zeros: none at all for zero.
    pub fn digits(&self) -> impl Iterator<Item = u8> + 'a {
        self.halves().skip_while(|digit| *digit == 0)
    }

    /// Half bytes, without the sign.
    fn halves(&self) -> impl Iterator<Item = u8> + 'a {
        let count = (2 * self.packed.len()).saturating_sub(1);
        let bytes = self.packed.iter();
        bytes.flat_map(|byte| [byte >> 4, byte & 0x0f]).take(count)
    }

    /// Whether it has no more digits, before and after its point, than Tarantool takes.
    fn is_in_bounds(&self) -> bool {
        // Zero is a digit here.
        let (digits, scale) = (self.digits().count().max(1) as i64, i64::from(self.scale));
        self.packed.len() <= DECIMAL_PACKED_MAX
            && digits <= DECIMAL_DIGITS_MAX
            && scale <= DECIMAL_DIGITS_MAX
            && digits - scale <= DECIMAL_DIGITS_MAX
    }
}

/// The variants are those of RFC 4122, but for the one that it keeps for the future.
fn is_uuid(payload: &[u8]) -> bool {
    payload.len() == Uuid::SIZE && payload[8] & 0xe0 != 0xe0
}

fn is_datetime(payload: &[u8]) -> bool {
    let Some((seconds, rest)) = payload.split_first_chunk() else {
        return false;
    };
    let is_rest_sound = match *rest {
        [] => true,
        [a, b, c, d, e, f, g, h] => {
            DATETIME_NANOSECONDS.contains(&i32::from_le_bytes([a, b, c, d]))
                && DATETIME_OFFSET_MINUTES.contains(&i16::from_le_bytes([e, f]))
                && DATETIME_ZONES.contains(&i16::from_le_bytes([g, h]))
        }
        _ => false,
    };
    is_rest_sound && DATETIME_SECONDS.contains(&i64::from_le_bytes(*seconds))
}

/// `None` if it ends too early.
fn is_interval(payload: &[u8]) -> Option<bool> {
    let (count, mut rest) = payload.split_first()?;
    for _ in 0..*count {
        let (field, after) = rest.split_first()?;
        let mut reader = Reader::new(after);
        let value = reader.read_integer().ok()?.to_i128();
        let is_in_bounds = match *field {
            INTERVAL_ADJUST => (0..=INTERVAL_ADJUST_MAX).contains(&value),
            field if INTERVAL_WIDE.contains(&field) => i64::try_from(value).is_ok(),
            field if field < INTERVAL_ADJUST => i32::try_from(value).is_ok(),
            _ => false,
        };
        if !is_in_bounds {
            return Some(false);
        }
        rest = reader.rest();
    }
    Some(rest.is_empty())
}

fn check_error(payload: &[u8], levels: usize) -> Result<(), DecodeError> {
    let levels = levels.checked_sub(1).ok_or(DecodeError::TooDeep)?;
    let mut whole = Reader::new(payload);
    whole.skip()?;
    if !whole.is_empty() {
        return Err(DecodeError::Extension);
    }
    let mut reader = Reader::new(payload);
    let mut errors = None;
    for _ in 0..reader.read_map_len()? {
        match reader.read_uint()? {
            // A second stack is nothing that any client would know what to do with.
            ERROR_STACK if errors.is_some() => return Err(DecodeError::Extension),
            ERROR_STACK => {
                let count = reader.read_array_len()?;
                (0..count).try_for_each(|_| check_entry(&mut reader))?;
                errors = Some(count);
            }
            _ => drop(reader.skip()?),
        }
    }
    if errors.unwrap_or(0) == 0 {
        return Err(DecodeError::Extension);
    }
    check_inside(payload, levels)
}

/// Checks one error of a stack.
fn check_entry(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let (mut has_kind, mut has_file, mut has_message) = (false, false, false);
    for _ in 0..reader.read_map_len()? {
        let key = reader.read_uint()?;
        match key {
            error_entry::KIND | error_entry::FILE | error_entry::MESSAGE => {
                reader.read_str_bytes()?;
                has_kind |= key == error_entry::KIND;
                has_file |= key == error_entry::FILE;
                has_message |= key == error_entry::MESSAGE;
            }
            error_entry::LINE | error_entry::ERRNO | error_entry::CODE => {
                reader.read_uint()?;
            }
            error_entry::FIELDS => {
                for _ in 0..reader.read_map_len()? {
                    reader.read_str_bytes()?;
                    reader.skip()?;
                }
            }
            _ => drop(reader.skip()?),
        }
    }
    let is_whole = has_kind && has_file && has_message;
    is_whole.then_some(()).ok_or(DecodeError::Extension)
}

/// Checks the extension values among well-formed ones, which are walked one head after the other.
fn check_inside(values: &[u8], levels: usize) -> Result<(), DecodeError> {
    let mut reader = Reader::new(values);
    while !reader.is_empty() {
        match reader.peek()? {
            Kind::Array => drop(reader.read_array_len()?),
            Kind::Map => drop(reader.read_map_len()?),
            Kind::Ext => {
                let (kind, payload) = reader.read_ext()?;
                check_within(kind, payload, levels)?;
            }
            _ => drop(reader.skip()?),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorCode};
    use crate::msgpack::{write_ext, write_str};

    fn accepts(kind: i8, payload: &[u8]) -> bool {
        check(kind, payload).is_ok()
    }

    #[test]
    fn a_decimal_has_a_scale_digits_and_a_sign_within_tarantools_bounds() {
        let ones = |bytes: usize, last: u8| {
            let mut payload = vec![0];
            payload.extend(vec![0x11; bytes - 1]);
            payload.push(last);
            payload
        };
        for (payload, is_sound) in [
            (&[2, 0x15, 0x0c][..], true),
            (&[0, 0x0d], true),
            (&[0xff, 0x5a], true),
            // A scale of 38 and of −37, in long forms too.
            (&[0x26, 0x1c], true),
            (&[0x27, 0x1c], false),
            (&[0xd0, 0xdb, 0x1c], true),
            (&[0xd0, 0xda, 0x1c], false),
            (&[0xd0, 0xda, 0x0c], false),
            (&[0xce, 0, 0, 0, 0x26, 0x1c], true),
            (&[0xcf, 0, 0, 0, 1, 0, 0, 0, 0, 0x1c], false),
            // 38 digits, 39 of them with and without a zero, more zeros.
            (&ones(20, 0x1c), false),
            (&ones(19, 0x1c), true),
            (&[vec![0, 0x01], vec![0x11; 18], vec![0x1c]].concat(), true),
            (&[vec![0, 0x00], vec![0x11; 18], vec![0x1c]].concat(), true),
            (&[vec![0, 0x00], vec![0x11; 19], vec![0x1c]].concat(), false),
            // 19 digits before 19 zeros, and before 20.
            (&[vec![0xed], vec![0x11; 9], vec![0x1c]].concat(), true),
            (&[vec![0xec], vec![0x11; 9], vec![0x1c]].concat(), false),
            // No sign, no digits, no scale, nothing.
            (&[2, 0x15, 0x00], false),
            (&[2, 0x1a, 0x0c], false),
            (&[2], false),
            (&[0xa1, b'2', 0x1c], false),
            (&[0xcd, 0], false),
            (&[], false),
        ] {
            assert_eq!(accepts(EXT_DECIMAL, payload), is_sound, "{payload:x?}");
        }
    }

    #[test]
    fn the_digits_of_a_decimal_are_those_that_it_is_written_with() {
        let decimal = PackedDecimal::read(&[0xfe, 0x00, 0x12, 0x0d]).unwrap();
        assert_eq!((decimal.is_negative, decimal.scale), (true, -2));
        assert_eq!(decimal.digits().collect::<Vec<_>>(), [1, 2, 0]);
        let zero = PackedDecimal::read(&[1, 0x0c]).unwrap();
        assert_eq!(zero.digits().count(), 0);
    }

    #[test]
    fn a_uuid_has_16_bytes_and_a_known_variant() {
        assert!(accepts(EXT_UUID, &[0; 16]) && accepts(EXT_UUID, &[0xdf; 16]));
        assert!(!accepts(EXT_UUID, &[0xff; 16]) && !accepts(EXT_UUID, &[0xe0; 16]));
        assert!(!accepts(EXT_UUID, &[0; 15]) && !accepts(EXT_UUID, &[0; 17]));
        assert!(!accepts(EXT_UUID, &[]));
    }

    #[test]
    fn a_datetime_is_within_the_calendar() {
        let moment = |seconds: i64, nanoseconds: i32, offset: i16, zone: i16| {
            let mut payload = seconds.to_le_bytes().to_vec();
            payload.extend(nanoseconds.to_le_bytes());
            payload.extend(offset.to_le_bytes());
            payload.extend(zone.to_le_bytes());
            payload
        };
        let (first, last) = (-185_604_722_870_400, 185_480_451_417_600);
        for (payload, is_sound) in [
            (moment(0, 0, 0, 0), true),
            (moment(first, 0, 0, 0), true),
            (moment(first - 1, 0, 0, 0), false),
            (moment(last, 0, 0, 0), true),
            (moment(last + 1, 0, 0, 0), false),
            (moment(0, 1_999_999_999, 840, 1024), true),
            (moment(0, 2_000_000_000, 0, 0), false),
            (moment(0, -1, 0, 0), false),
            (moment(0, 0, -720, 0), true),
            (moment(0, 0, -721, 0), false),
            (moment(0, 0, 841, 0), false),
            (moment(0, 0, 0, -1), false),
            (moment(0, 0, 0, 1025), false),
            (moment(7, 0, 0, 0)[..8].to_vec(), true),
            (moment(i64::MAX, 0, 0, 0)[..8].to_vec(), false),
            (vec![0; 7], false),
            (vec![0; 12], false),
            (vec![0; 17], false),
            (vec![], false),
        ] {
            assert_eq!(accepts(EXT_DATETIME, &payload), is_sound, "{payload:?}");
        }
    }

    #[test]
    fn an_interval_has_the_fields_that_it_counts() {
        for (payload, is_sound) in [
            (&[0][..], true),
            (&[1, 0, 5], true),
            (&[2, 6, 0xff, 8, 2], true),
            (&[1, 3, 0xcf, 0x7f, 255, 255, 255, 255, 255, 255, 255], true),
            (&[1, 3, 0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0], false),
            (&[1, 0, 0xce, 0x7f, 255, 255, 255], true),
            (&[1, 0, 0xce, 0x80, 0, 0, 0], false),
            (&[1, 7, 0xd2, 0x80, 0, 0, 0], true),
            (&[1, 8, 3], false),
            (&[1, 8, 0xff], false),
            (&[1, 9, 1], false),
            (&[1, 0, 0xc0], false),
            (&[1, 0], false),
            (&[1], false),
            (&[2, 0, 5], false),
            (&[0, 0], false),
            (&[], false),
        ] {
            assert_eq!(accepts(EXT_INTERVAL, payload), is_sound, "{payload:?}");
        }
    }

    fn stack_of(error: &Error) -> Vec<u8> {
        let mut stack = Vec::new();
        error.write_stack(&mut stack);
        stack
    }

    #[test]
    fn an_error_is_a_stack_of_at_least_one_with_kind_file_and_text() {
        let error = Error::new(ErrorCode::LOADING, "busy");
        let stack = stack_of(&error.clone().caused_by(error));
        assert!(accepts(EXT_ERROR, &stack));
        for cut in 0..stack.len() {
            assert!(!accepts(EXT_ERROR, &stack[..cut]), "{cut}");
        }
        let kind_file_text = b"\x00\xa1k\x01\xa1f\x03\xa1t";
        for (rest, entries, is_sound) in [
            (&b""[..], 3, true),
            (b"\x02\x05", 4, true),
            (b"\x02\xff", 4, false),
            (b"\x06\x81\xa1n\xc0", 4, true),
            (b"\x06\x81\x01\xc0", 4, false),
            (b"\x06\x90", 4, false),
            (b"\x2a\xc0", 4, true),
            (b"\xa1x\xc0", 4, false),
            (b"\x00\x01", 4, false),
        ] {
            let head = [0x81, 0, 0x91, 0x80 | entries];
            let payload = [&head, &kind_file_text[..], rest].concat();
            assert_eq!(accepts(EXT_ERROR, &payload), is_sound, "{payload:x?}");
        }
        let one = [&[0x91, 0x83], &kind_file_text[..]].concat();
        let twice = [&[0x82, 0][..], &one, &[0], &one].concat();
        assert!(!accepts(EXT_ERROR, &twice));
        for payload in [
            &b"\x80"[..],
            b"\x81\x00\x90",
            b"\x81\x00\x91\x80",
            b"\x01",
            b"",
        ] {
            assert!(!accepts(EXT_ERROR, payload), "{payload:x?}");
        }
    }

    #[test]
    fn values_inside_errors_are_checked_and_errors_inside_them_are_bounded() {
        let wrapped = |kind: i8, inner: &[u8]| {
            let mut payload = b"\x81\x00\x91\x84\x00\xa1k\x01\xa1f\x03\xa1t\x06\x81".to_vec();
            write_str(&mut payload, "n");
            payload.extend_from_slice(&[0x91, 0x81, 1]);
            write_ext(&mut payload, kind, inner);
            payload
        };
        assert!(accepts(EXT_ERROR, &wrapped(EXT_UUID, &[0; 16])));
        assert!(!accepts(EXT_ERROR, &wrapped(EXT_UUID, &[0; 2])));
        let mut stack = stack_of(&Error::new(ErrorCode::LOADING, "busy"));
        for _ in 1..NESTED_ERRORS_MAX {
            stack = wrapped(EXT_ERROR, &stack);
            assert!(accepts(EXT_ERROR, &stack));
        }
        assert!(!accepts(EXT_ERROR, &wrapped(EXT_ERROR, &stack)));
    }

    #[test]
    fn values_of_unknown_types_hold_anything() {
        for kind in [i8::MIN, -1, 0, 5, 7, 8, i8::MAX] {
            assert!(accepts(kind, &[]) && accepts(kind, b"anything"));
        }
    }
}
