//! Rows of system spaces, by the keys of their indexes.

use std::cmp::Ordering;
use std::sync::Arc;

use vestibule_wire::msgpack::Reader;
use vestibule_wire::request::IteratorType;
use vestibule_wire::{Error, ErrorCode};

use super::system::{SystemFieldType, SystemSpace};

/// The fields of a row that are read: no key has one behind them.
const KEY_FIELDS: u32 = 4;

#[cfg(test)]
thread_local! {
    /// How often a row was compared with what is walked over.
    pub(super) static LOOKED_AT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// A tuple with the keys it is found by, decoded once. A clone shares both.
#[derive(Debug, Clone)]
pub(super) struct SystemRow {
    /// As the description lists the indexes.
    pub(super) keys: Arc<[Vec<Part>]>,
    pub(super) tuple: Arc<[u8]>,
}

/// A part of a key of a system space.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Uint(u64),
    Str(Vec<u8>),
}

impl SystemRow {
    /// Whether an index has the row where an iterator walks for a key.
    pub(super) fn matches(&self, index: usize, iterator: IteratorType, key: &[Part]) -> bool {
        self.side(index, iterator, key) == Ordering::Equal
    }

    /// Where an index has the row: before the first that an iterator meets for a key, among them,
    /// or after the last.
    pub(super) fn side(&self, index: usize, iterator: IteratorType, key: &[Part]) -> Ordering {
        use Ordering::{Equal, Greater, Less};
        #[cfg(test)]
        LOOKED_AT.with(|count| count.set(count.get() + 1));
        if key.is_empty() {
            // No look at the row's keys, which stand elsewhere: who reads everything would wait for
            // memory at each row.
            return Equal;
        }
        let own = &self.keys[index];
        let shared = &own[..own.len().min(key.len())];
        match (iterator, shared.cmp(key)) {
            (IteratorType::Eq | IteratorType::Req, order) => order,
            (IteratorType::Ge | IteratorType::All, Less) => Less,
            (IteratorType::Gt | IteratorType::NextPrefix, Less | Equal) => Less,
            (IteratorType::Le, Greater) => Greater,
            (IteratorType::Lt | IteratorType::PreviousPrefix, Equal | Greater) => Greater,
            (IteratorType::NextPrefix, Greater) if begins_with(shared, key) => Less,
            (
                IteratorType::Ge
                | IteratorType::All
                | IteratorType::Gt
                | IteratorType::Le
                | IteratorType::Lt
                | IteratorType::PreviousPrefix
                | IteratorType::NextPrefix,
                _,
            ) => Equal,
            // Of other kinds of indexes.
            _ => Greater,
        }
    }
}

impl SystemRow {
    /// Whether a row of `_space` is of a space whose content is not durable.
    pub(super) fn is_temporary(&self) -> bool {
        let read = || {
            let mut reader = Reader::new(&self.tuple);
            if reader.read_array_len().ok()? < 6 {
                return None;
            }
            for _ in 0..5 {
                reader.skip().ok()?;
            }
            let mut is_temporary = false;
            for _ in 0..reader.read_map_len().ok()? {
                is_temporary |= match reader.read_str().ok()? {
                    "temporary" => reader.skip().ok()? == [0xc3],
                    "type" => reader.skip().ok()? == b"\xaedata-temporary",
                    _ => reader.skip().map(|_| false).ok()?,
                };
            }
            Some(is_temporary)
        };
        read() == Some(true)
    }
}

/// Whether a key continues the text that another one ends with.
fn begins_with(own: &[Part], key: &[Part]) -> bool {
    match (own.split_last(), key.split_last()) {
        (Some((Part::Str(own), rest)), Some((Part::Str(text), same))) => {
            rest == same && own.starts_with(text)
        }
        _ => false,
    }
}

pub(super) fn read_part(reader: &mut Reader<'_>) -> Option<Part> {
    match reader.read_uint() {
        Ok(number) => Some(Part::Uint(number)),
        Err(_) => reader
            .read_str_bytes()
            .ok()
            .map(|text| Part::Str(text.to_vec())),
    }
}

/// Reads a key, or the beginning of one, of an index given by its place.
///
/// # Errors
///
/// [`ErrorCode::INVALID_MSGPACK`] for what is no array, [`ErrorCode::KEY_PART_COUNT`] for too many
/// parts, [`ErrorCode::KEY_PART_TYPE`] for a part that is neither the text nor the number it should
/// be.
pub(super) fn read_key(space: &SystemSpace, at: usize, key: &[u8]) -> Result<Vec<Part>, Error> {
    let fields = space.indexes[at].fields;
    let mut reader = Reader::new(key);
    let count = reader.read_array_len();
    let count = count.map_err(|_| Error::invalid_msgpack("packet body"))? as usize;
    let most = fields.len();
    if count > most {
        return Err(Error::new(
            ErrorCode::KEY_PART_COUNT,
            format!("Invalid key part count (expected [0..{most}], got {count})"),
        ));
    }
    let read = |(part, field): (usize, &u32)| {
        // The keys of system spaces are made of texts and numbers.
        let is_text = space.fields[*field as usize].1 == SystemFieldType::String;
        read_key_part(part, is_text, &mut reader)
    };
    fields.iter().take(count).enumerate().map(read).collect()
}

fn read_key_part(part: usize, is_text: bool, reader: &mut Reader<'_>) -> Result<Part, Error> {
    let found = read_part(reader).filter(|found| matches!(found, Part::Str(_)) == is_text);
    found.ok_or_else(|| {
        let expected = if is_text { "string" } else { "unsigned" };
        Error::new(
            ErrorCode::KEY_PART_TYPE,
            format!(
                "Supplied key type of part {part} does not match index part type: expected \
                 {expected}"
            ),
        )
    })
}

/// A row with its keys; `None` if a field of them is neither a text nor a number.
pub(super) fn row(space: &SystemSpace, tuple: &[u8]) -> Option<SystemRow> {
    let mut reader = Reader::new(tuple);
    let count = reader.read_array_len().ok()?;
    let mut fields = Vec::new();
    for _ in 0..count.min(KEY_FIELDS) {
        let mut ahead = reader;
        fields.push(read_part(&mut ahead));
        reader.skip().ok()?;
    }
    let pick = |wanted: &[u32]| -> Option<Vec<Part>> {
        wanted
            .iter()
            .map(|field| fields.get(*field as usize).cloned().flatten())
            .collect()
    };
    let keys = space.indexes.iter().map(|index| pick(index.fields));
    Some(SystemRow {
        keys: keys.collect::<Option<_>>()?,
        tuple: tuple.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::catalog::system::SYSTEM_SPACES;

    #[test]
    fn every_field_of_a_key_is_read() {
        let indexes = SYSTEM_SPACES.iter().flat_map(|space| space.indexes);
        let last = indexes.flat_map(|index| index.fields).max();
        assert_eq!(last, Some(&(KEY_FIELDS - 1)));
    }
}
