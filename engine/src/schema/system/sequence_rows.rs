//! Rows of `_sequence`, `_sequence_data` and `_space_sequence`, from and to MessagePack.

use vestibule_wire::Error;
use vestibule_wire::msgpack::{
    Kind, Reader, write_array_len, write_bool, write_int, write_str, write_uint,
};

use crate::errors;
use crate::model::field::FieldType;

/// A row of `_sequence`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SequenceRow<'a> {
    pub(crate) id: u32,
    pub(crate) owner: u64,
    pub(crate) name: &'a str,
    pub(crate) step: i64,
    pub(crate) min: i64,
    pub(crate) max: i64,
    pub(crate) start: i64,
    /// Kept for those who read it; nothing is cached.
    pub(crate) cache: i64,
    pub(crate) is_cyclic: bool,
}

/// A row of `_space_sequence`: which field of a space takes its values from which sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AttachmentRow {
    pub(crate) space: u32,
    pub(crate) sequence: u32,
    /// The sequence was made for the space and goes with it.
    pub(crate) is_generated: bool,
    /// From 0.
    pub(crate) field: u32,
}

fn malformed(_: impl std::error::Error) -> Error {
    Error::invalid_msgpack("system row")
}

fn number(reader: &mut Reader<'_>) -> Result<u32, Error> {
    let value = reader.read_uint().map_err(malformed)?;
    u32::try_from(value).map_err(|_| {
        let most = u32::MAX;
        Error::illegal_params(format!("{value} is out of range, at most {most}"))
    })
}

/// A field beyond 64 bits with a sign is of the wrong type, as in Tarantool.
fn signed(reader: &mut Reader<'_>, path: &str) -> Result<i64, Error> {
    let found = *reader;
    let value = reader.read_integer().map_err(malformed)?.to_i128();
    i64::try_from(value).map_err(|_| errors::field_type(path, FieldType::Integer, &found))
}

pub(crate) fn write_signed(out: &mut Vec<u8>, value: i64) {
    match u64::try_from(value) {
        Ok(value) => write_uint(out, value),
        Err(_) => write_int(out, value),
    }
}

impl<'a> SequenceRow<'a> {
    /// # Errors
    ///
    /// What is wrong with the row, as for a client that sent it.
    pub(crate) fn decode(tuple: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(tuple);
        reader.read_array_len().map_err(malformed)?;
        Ok(Self {
            id: number(&mut reader)?,
            owner: reader.read_uint().map_err(malformed)?,
            name: reader.read_str().map_err(malformed)?,
            step: signed(&mut reader, "4 (step)")?,
            min: signed(&mut reader, "5 (min)")?,
            max: signed(&mut reader, "6 (max)")?,
            start: signed(&mut reader, "7 (start)")?,
            cache: signed(&mut reader, "8 (cache)")?,
            is_cyclic: reader.read_bool().map_err(malformed)?,
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_array_len(&mut out, 9);
        write_uint(&mut out, u64::from(self.id));
        write_uint(&mut out, self.owner);
        write_str(&mut out, self.name);
        for value in [self.step, self.min, self.max, self.start, self.cache] {
            write_signed(&mut out, value);
        }
        write_bool(&mut out, self.is_cyclic);
        out
    }
}

impl AttachmentRow {
    /// # Errors
    ///
    /// What is wrong with the row, as for a client that sent it.
    pub(crate) fn decode(tuple: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(tuple);
        let count = reader.read_array_len().map_err(malformed)?;
        let (space, sequence) = (number(&mut reader)?, number(&mut reader)?);
        let is_generated = reader.read_bool().map_err(malformed)?;
        // Rows of old versions end here.
        let field = if count > 3 { number(&mut reader)? } else { 0 };
        let is_inside = count > 4 && reader.peek() == Ok(Kind::Str) && reader.read_str() != Ok("");
        if is_inside {
            return Err(errors::unsupported("sequences inside a field ('path')"));
        }
        Ok(Self {
            space,
            sequence,
            is_generated,
            field,
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_array_len(&mut out, 5);
        write_uint(&mut out, u64::from(self.space));
        write_uint(&mut out, u64::from(self.sequence));
        write_bool(&mut out, self.is_generated);
        write_uint(&mut out, u64::from(self.field));
        write_str(&mut out, "");
        out
    }
}

/// The last value that a row of `_sequence_data` tells.
///
/// # Errors
///
/// What is wrong with the row.
pub(crate) fn decode_value(tuple: &[u8]) -> Result<i64, Error> {
    let mut reader = Reader::new(tuple);
    reader.read_array_len().map_err(malformed)?;
    reader.skip().map_err(malformed)?;
    signed(&mut reader, "2 (value)")
}

/// A row of `_sequence_data`.
pub(crate) fn encode_value(sequence: u32, value: i64) -> Vec<u8> {
    let mut out = Vec::new();
    write_array_len(&mut out, 2);
    write_uint(&mut out, u64::from(sequence));
    write_signed(&mut out, value);
    out
}

impl SequenceRow<'_> {
    /// What comes after the last value; `None` if nothing does.
    pub(crate) fn next(&self, last: Option<i64>) -> Option<i64> {
        let Some(last) = last else {
            return Some(self.start);
        };
        let is_ascending = self.step > 0;
        // A value from outside may lie before the first.
        if is_ascending && last < self.min {
            return Some(self.min);
        }
        if !is_ascending && last > self.max {
            return Some(self.max);
        }
        let next = last.checked_add(self.step);
        let next = next.filter(|next| (self.min..=self.max).contains(next));
        let first = if is_ascending { self.min } else { self.max };
        next.or(self.is_cyclic.then_some(first))
    }

    /// Whether a value that was given from outside is ahead of the last one.
    pub(crate) fn is_ahead(&self, value: i64, last: Option<i64>) -> bool {
        match last {
            None => true,
            Some(last) if self.step > 0 => value > last,
            Some(last) => value < last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: SequenceRow<'_> = SequenceRow {
        id: 1,
        owner: 1,
        name: "s",
        step: 2,
        min: -5,
        max: 5,
        start: 0,
        cache: 0,
        is_cyclic: false,
    };

    #[test]
    fn values_step_within_their_bounds() {
        assert_eq!(ROW.next(None), Some(0));
        assert_eq!(ROW.next(Some(0)), Some(2));
        assert_eq!(ROW.next(Some(3)), Some(5));
        assert_eq!(ROW.next(Some(4)), None);
        assert_eq!(ROW.next(Some(-100)), Some(-5));
        let down = SequenceRow { step: -2, ..ROW };
        assert_eq!(down.next(Some(0)), Some(-2));
        assert_eq!(down.next(Some(-4)), None);
        assert_eq!(down.next(Some(100)), Some(5));
        let cyclic = SequenceRow {
            is_cyclic: true,
            ..ROW
        };
        assert_eq!(cyclic.next(Some(4)), Some(-5));
        let cyclic = SequenceRow { step: -2, ..cyclic };
        assert_eq!(cyclic.next(Some(-4)), Some(5));
    }

    #[test]
    fn the_ends_of_64_bits_do_not_wrap() {
        let (min, max) = (i64::MIN, i64::MAX);
        let up = SequenceRow { min, max, ..ROW };
        assert_eq!(up.next(Some(max - 2)), Some(max));
        assert_eq!(up.next(Some(max - 1)), None);
        let down = SequenceRow { step: min, ..up };
        assert_eq!(down.next(Some(0)), Some(min));
        assert_eq!(down.next(Some(-1)), None);
    }
}
