//! A cursor that borrows from the bytes.
//!
//! It never allocates and never trusts a length: a declared size is compared with the bytes at
//! hand before anything is done with it.

use super::{Integer, Kind, extension};
use crate::limits::NESTING_DEPTH_MAX;

/// Why bytes are not the MessagePack value that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The value goes on past the end of the bytes.
    #[error("value is cut short")]
    Truncated,
    /// A value of another type stands here.
    #[error("value has another type")]
    Type,
    /// A reserved marker byte (`0xc1`).
    #[error("reserved marker byte")]
    Malformed,
    /// Nested deeper than [`NESTING_DEPTH_MAX`].
    #[error("value is nested too deeply")]
    TooDeep,
    /// The content of an extension value is not what its type says.
    #[error("content of an extension value is not of its type")]
    Extension,
}

/// How many bytes a scalar takes whose size its first byte tells; 0 for all other values.
static SCALAR_SIZES: [u8; 256] = {
    let mut sizes = [0; 256];
    let mut marker = 0;
    while marker < sizes.len() {
        sizes[marker] = match marker as u8 {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => 1,
            text @ 0xa0..=0xbf => 1 + (text & 0x1f),
            0xcc | 0xd0 => 2,
            0xcd | 0xd1 => 3,
            0xca | 0xce | 0xd2 => 5,
            0xcb | 0xcf | 0xd3 => 9,
            _ => 0,
        };
        marker += 1;
    }
    sizes
};

/// A cursor over MessagePack bytes. Each `read_*` takes one value or leaves the cursor in place.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes taken so far.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.at
    }

    /// What is left.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The type of the next value.
    #[inline]
    pub fn peek(&self) -> Result<Kind, DecodeError> {
        let marker = *self.bytes.get(self.at).ok_or(DecodeError::Truncated)?;
        Kind::of(marker).ok_or(DecodeError::Malformed)
    }

    #[inline]
    fn fixed<const N: usize>(&self, offset: usize) -> Result<[u8; N], DecodeError> {
        let start = self.at + offset;
        let end = start + N;
        match self.bytes.get(start..end) {
            Some(slice) => Ok(slice.try_into().expect("the range is N long")),
            None => Err(DecodeError::Truncated),
        }
    }

    #[inline]
    fn marker(&self) -> Result<u8, DecodeError> {
        self.bytes
            .get(self.at)
            .copied()
            .ok_or(DecodeError::Truncated)
    }

    /// An unsigned integer in an unsigned encoding (any width). A signed encoding is a type error,
    /// as in Tarantool, even if its value is positive.
    #[inline]
    pub fn read_uint(&mut self) -> Result<u64, DecodeError> {
        let (value, size) = match self.marker()? {
            small @ 0x00..=0x7f => (u64::from(small), 1),
            0xcc => (u64::from(self.fixed::<1>(1)?[0]), 2),
            0xcd => (u64::from(u16::from_be_bytes(self.fixed(1)?)), 3),
            0xce => (u64::from(u32::from_be_bytes(self.fixed(1)?)), 5),
            0xcf => (u64::from_be_bytes(self.fixed(1)?), 9),
            _ => return Err(DecodeError::Type),
        };
        self.at += size;
        Ok(value)
    }

    /// An integer in any encoding.
    #[inline]
    pub fn read_integer(&mut self) -> Result<Integer, DecodeError> {
        let (value, size) = match self.marker()? {
            negative @ 0xe0..=0xff => (i64::from(negative as i8), 1),
            0xd0 => (i64::from(self.fixed::<1>(1)?[0] as i8), 2),
            0xd1 => (i64::from(i16::from_be_bytes(self.fixed(1)?)), 3),
            0xd2 => (i64::from(i32::from_be_bytes(self.fixed(1)?)), 5),
            0xd3 => (i64::from_be_bytes(self.fixed(1)?), 9),
            _ => return self.read_uint().map(Integer::Unsigned),
        };
        self.at += size;
        Ok(u64::try_from(value).map_or(Integer::Negative(value), Integer::Unsigned))
    }

    /// A float of 32 or 64 bits, widened.
    pub fn read_f64(&mut self) -> Result<f64, DecodeError> {
        let (value, size) = match self.marker()? {
            0xca => (f64::from(f32::from_be_bytes(self.fixed(1)?)), 5),
            0xcb => (f64::from_be_bytes(self.fixed(1)?), 9),
            _ => return Err(DecodeError::Type),
        };
        self.at += size;
        Ok(value)
    }

    /// A boolean.
    pub fn read_bool(&mut self) -> Result<bool, DecodeError> {
        let value = match self.marker()? {
            0xc2 => false,
            0xc3 => true,
            _ => return Err(DecodeError::Type),
        };
        self.at += 1;
        Ok(value)
    }

    /// Nil.
    pub fn read_nil(&mut self) -> Result<(), DecodeError> {
        if self.marker()? != 0xc0 {
            return Err(DecodeError::Type);
        }
        self.at += 1;
        Ok(())
    }

    #[inline]
    fn take(&mut self, head: usize, size: usize) -> Result<&'a [u8], DecodeError> {
        let start = self.at + head;
        let end = start.checked_add(size).ok_or(DecodeError::Truncated)?;
        let taken = self.bytes.get(start..end).ok_or(DecodeError::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    /// The bytes of a string. They are not checked for UTF-8, as Tarantool does not either.
    #[inline]
    pub fn read_str_bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let (head, size) = match self.marker()? {
            fix @ 0xa0..=0xbf => (1, usize::from(fix & 0x1f)),
            0xd9 => (2, usize::from(self.fixed::<1>(1)?[0])),
            0xda => (3, usize::from(u16::from_be_bytes(self.fixed(1)?))),
            0xdb => (5, u32::from_be_bytes(self.fixed(1)?) as usize),
            _ => return Err(DecodeError::Type),
        };
        self.take(head, size)
    }

    /// A string that must be UTF-8 (names of procedures, users and events).
    pub fn read_str(&mut self) -> Result<&'a str, DecodeError> {
        let mut ahead = *self;
        let text = std::str::from_utf8(ahead.read_str_bytes()?).map_err(|_| DecodeError::Type)?;
        *self = ahead;
        Ok(text)
    }

    /// Binary data.
    pub fn read_bin(&mut self) -> Result<&'a [u8], DecodeError> {
        let (head, size) = match self.marker()? {
            0xc4 => (2, usize::from(self.fixed::<1>(1)?[0])),
            0xc5 => (3, usize::from(u16::from_be_bytes(self.fixed(1)?))),
            0xc6 => (5, u32::from_be_bytes(self.fixed(1)?) as usize),
            _ => return Err(DecodeError::Type),
        };
        self.take(head, size)
    }

    /// An extension value: its type and payload.
    pub fn read_ext(&mut self) -> Result<(i8, &'a [u8]), DecodeError> {
        let (head, size) = match self.marker()? {
            fix @ 0xd4..=0xd8 => (1, 1usize << (fix - 0xd4)),
            0xc7 => (2, usize::from(self.fixed::<1>(1)?[0])),
            0xc8 => (3, usize::from(u16::from_be_bytes(self.fixed(1)?))),
            0xc9 => (5, u32::from_be_bytes(self.fixed(1)?) as usize),
            _ => return Err(DecodeError::Type),
        };
        let kind = self.fixed::<1>(head)?[0] as i8;
        self.take(head + 1, size).map(|payload| (kind, payload))
    }

    /// The head of an array: how many values follow.
    #[inline]
    pub fn read_array_len(&mut self) -> Result<u32, DecodeError> {
        let (size, head) = match self.marker()? {
            fix @ 0x90..=0x9f => (u32::from(fix & 0x0f), 1),
            0xdc => (u32::from(u16::from_be_bytes(self.fixed(1)?)), 3),
            0xdd => (u32::from_be_bytes(self.fixed(1)?), 5),
            _ => return Err(DecodeError::Type),
        };
        self.at += head;
        Ok(size)
    }

    /// The head of a map: how many pairs follow.
    #[inline]
    pub fn read_map_len(&mut self) -> Result<u32, DecodeError> {
        let (size, head) = match self.marker()? {
            fix @ 0x80..=0x8f => (u32::from(fix & 0x0f), 1),
            0xde => (u32::from(u16::from_be_bytes(self.fixed(1)?)), 3),
            0xdf => (u32::from_be_bytes(self.fixed(1)?), 5),
            _ => return Err(DecodeError::Type),
        };
        self.at += head;
        Ok(size)
    }

    /// Takes one whole value of any type, checking that it is well formed all the way down. What is
    /// inside extension values is not looked at.
    #[inline]
    pub fn skip(&mut self) -> Result<&'a [u8], DecodeError> {
        self.take_value::<false>()
    }

    /// Takes one whole value as [`skip`](Self::skip) does, and checks what is inside its extension
    /// values: a decimal, a UUID, an error, a datetime or an interval has the content that its type
    /// asks for, as in Tarantool. Extension values of other types may hold anything.
    ///
    /// # Errors
    ///
    /// As [`skip`](Self::skip), and [`DecodeError::Extension`].
    #[inline]
    pub fn skip_checked(&mut self) -> Result<&'a [u8], DecodeError> {
        self.take_value::<true>()
    }

    /// Takes one whole value that stands inside of that many others, which count as levels of
    /// nesting, and checks what is inside its extension values if that is asked for.
    #[inline]
    pub(crate) fn skip_inside<const CHECKED: bool>(
        &mut self,
        levels: usize,
    ) -> Result<&'a [u8], DecodeError> {
        let start = self.at;
        let mut ahead = *self;
        ahead.skip_values::<CHECKED>(1, NESTING_DEPTH_MAX + 1 - levels)?;
        *self = ahead;
        Ok(&self.bytes[start..self.at])
    }

    /// Takes one whole array as [`skip_inside`](Self::skip_inside) takes a value.
    #[inline]
    pub(crate) fn read_array_inside<const CHECKED: bool>(
        &mut self,
        levels: usize,
    ) -> Result<&'a [u8], DecodeError> {
        let start = self.at;
        let mut ahead = *self;
        let count = ahead.read_array_len()?;
        if count > 0 {
            ahead.skip_values::<CHECKED>(count.into(), NESTING_DEPTH_MAX - levels)?;
        }
        *self = ahead;
        Ok(&self.bytes[start..self.at])
    }

    #[inline]
    fn take_value<const CHECKED: bool>(&mut self) -> Result<&'a [u8], DecodeError> {
        let start = self.at;
        match self.end_of_plain() {
            Some(end) => self.at = end,
            None => return self.skip_inside::<CHECKED>(0),
        }
        Ok(&self.bytes[start..self.at])
    }

    /// Where a value ends that consists of scalars, short strings and small containers, as most do:
    /// found in one loop. `None` for any other one, which is to be looked at with care.
    ///
    /// It is counted how many values are to come, and not in which container. So it stops where
    /// there are as many containers as may be nested: fewer are not nested too deeply, however they
    /// stand.
    #[inline]
    fn end_of_plain(&self) -> Option<usize> {
        let (bytes, mut at, mut left, mut containers) = (self.bytes, self.at, 1, 0);
        while left > 0 {
            let marker = *bytes.get(at)?;
            let size = SCALAR_SIZES[usize::from(marker)];
            if size > 0 {
                at += usize::from(size);
                left -= 1;
                continue;
            }
            match marker {
                0x80..=0x8f => left = left + 2 * usize::from(marker & 0x0f) - 1,
                0x90..=0x9f => left = left + usize::from(marker & 0x0f) - 1,
                0xd9 => {
                    at += 2 + usize::from(*bytes.get(at + 1)?);
                    left -= 1;
                    continue;
                }
                _ => return None,
            }
            at += 1;
            containers += 1;
            if containers > NESTING_DEPTH_MAX {
                return None;
            }
        }
        (at <= bytes.len()).then_some(at)
    }

    /// Takes values, which may be nested in one level less than this. A level more takes no memory
    /// but that of a call, and most values have but one.
    fn skip_values<const CHECKED: bool>(
        &mut self,
        count: u64,
        levels: usize,
    ) -> Result<(), DecodeError> {
        let levels = levels.checked_sub(1).ok_or(DecodeError::TooDeep)?;
        let mut left = count - self.skip_scalars(count);
        while left > 0 {
            match self.skip_one::<CHECKED>()? {
                0 => {}
                nested => self.skip_values::<CHECKED>(nested, levels)?,
            }
            left -= 1 + self.skip_scalars(left - 1);
        }
        Ok(())
    }

    /// Takes scalars whose first bytes tell their sizes, this number at most; returns how many.
    #[inline]
    fn skip_scalars(&mut self, count: u64) -> u64 {
        let (bytes, mut at, mut left) = (self.bytes, self.at, count);
        while left > 0 {
            let size = bytes
                .get(at)
                .map_or(0, |own| SCALAR_SIZES[usize::from(*own)]);
            if size == 0 || usize::from(size) > bytes.len() - at {
                break;
            }
            at += usize::from(size);
            left -= 1;
        }
        self.at = at;
        count - left
    }

    /// Takes a scalar, or the head of a container; returns how many values the container holds.
    fn skip_one<const CHECKED: bool>(&mut self) -> Result<u64, DecodeError> {
        let marker = self.marker()?;
        match marker {
            0x90..=0x9f => {
                self.at += 1;
                Ok(u64::from(marker & 0x0f))
            }
            0xc1 => Err(DecodeError::Malformed),
            0xd4..=0xd8 | 0xc7..=0xc9 => self.skip_extension(CHECKED).map(|()| 0),
            0xc4..=0xc6 => self.read_bin().map(|_| 0),
            0xd9..=0xdb => self.read_str_bytes().map(|_| 0),
            0xdc | 0xdd => self.read_array_len().map(u64::from),
            0x80..=0x8f | 0xde | 0xdf => self.read_map_len().map(|pairs| 2 * u64::from(pairs)),
            // All others are taken by their first bytes, unless they are cut short.
            _ if self.skip_scalars(1) == 1 => Ok(0),
            _ => Err(DecodeError::Truncated),
        }
    }

    /// Out of the way of all that have none.
    #[inline(never)]
    fn skip_extension(&mut self, is_checked: bool) -> Result<(), DecodeError> {
        let (kind, payload) = self.read_ext()?;
        if is_checked {
            extension::check(kind, payload)?;
        }
        Ok(())
    }
}

/// An unsigned integer of four or eight bytes behind its marker, and what is behind that; `None` of
/// any other one.
#[inline]
pub(crate) fn split_wide_uint(marker: u8, bytes: &[u8]) -> Option<(u64, &[u8])> {
    Some(match marker {
        0xce => {
            let (value, rest) = bytes.split_first_chunk()?;
            (u64::from(u32::from_be_bytes(*value)), rest)
        }
        0xcf => {
            let (value, rest) = bytes.split_first_chunk()?;
            (u64::from_be_bytes(*value), rest)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
