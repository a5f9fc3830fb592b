//! Definition of an index: how keys are made of tuples and of what clients send.
//!
//! ```text
//!   unique        ┌ parts ┐               a null in it: │ parts │ rest │
//!   not unique    ┌ parts ┬ rest ┐        rest: what of the primary key is not among the parts
//! ```
//!
//! With the rest, no two tuples have one key, and tuples of equal parts stand in the order of their
//! primary keys; nulls are equal to nothing, so that a unique index holds any number of them.

use std::fmt;
use std::sync::Arc;

use vestibule_wire::Error;
use vestibule_wire::msgpack::{Kind, Reader, write_array_len};

use crate::errors;
use crate::model::collation::Collation;
use crate::model::field::FieldType;
use crate::model::key::{Key, KeyBuilder, Mismatch, encode_collated, encode_part};
use crate::model::part_path::{PartPath, follow};

/// The index that every space with tuples has.
pub(crate) const PRIMARY: u32 = 0;

pub(super) const NIL: &[u8] = &[0xc0];
/// What comes before a value of a part that may be null, and what stands for null.
const VALUE: u8 = 1;
const NULL: u8 = 0;

/// What an index can do. Both kinds are kept in order: a HASH index then goes on after any key
/// without a surprise, and one kind of tree is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IndexKind {
    /// Everything.
    Tree,
    /// Whole keys, and everything from a key on.
    Hash,
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexDef {
    pub(crate) id: u32,
    pub(crate) name: Box<str>,
    pub(crate) kind: IndexKind,
    pub(crate) is_unique: bool,
    pub(crate) parts: Box<[Part]>,
    /// Whether a tuple may have several keys: a part takes every element of an array.
    pub(crate) is_multikey: bool,
    /// Whether a part has a collation.
    pub(crate) is_collated: bool,
    /// Parts of the primary key that are not among the parts; empty where no key needs them.
    pub(crate) rest: Box<[Part]>,
}

/// A field of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// Number of the field, from 0.
    pub(crate) field: u32,
    pub(crate) kind: FieldType,
    /// Whether nil is allowed; never in a primary index.
    pub(crate) is_nullable: bool,
    /// Whether a tuple with nil here is left out of the index.
    pub(crate) exclude_null: bool,
    /// Whether the greatest value comes first, and nil last.
    pub(crate) is_descending: bool,
    /// What orders its strings, if not their bytes.
    pub(crate) collation: Option<Collation>,
    /// Where inside the field the value stands.
    pub(crate) path: Option<Arc<PartPath>>,
}

impl Part {
    /// A part of which nothing else is said.
    pub(crate) const fn new(field: u32, kind: FieldType) -> Self {
        Self {
            field,
            kind,
            is_nullable: false,
            exclude_null: false,
            is_descending: false,
            collation: None,
            path: None,
        }
    }

    /// Whether it is the same value as the other part's, whatever is said of it.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        (self.field, &self.path) == (other.field, &other.path)
    }

    /// Whether it tells the same values apart as the other part.
    pub(crate) fn stands_for(&self, other: &Self) -> bool {
        self.is_same_place(other) && self.collation == other.collation
    }

    /// Whether its encoding is more than that of a value of its type.
    #[inline]
    fn is_special(&self) -> bool {
        self.is_nullable | self.is_descending | self.collation.is_some()
    }
}

/// A key that a client gave, possibly partial.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) key: Key,
    pub(crate) parts: usize,
    pub(crate) has_null: bool,
    /// Whether the last part is a string, of which a prefix can be told.
    pub(crate) ends_in_text: bool,
}

impl IndexDef {
    /// The key of a tuple, a MessagePack array, in the primary index. It fits if the tuple passed
    /// its space's check.
    #[inline]
    pub(crate) fn key_of(&self, tuple: &[u8]) -> Result<Key, Mismatch> {
        let mut builder = KeyBuilder::default();
        each_part(&self.parts, tuple, |part, reader| {
            push(part, reader, &mut builder).map(drop)
        })?;
        Ok(builder.finish())
    }

    /// The key that a tuple is stored by in an index that is no multikey one; `None` if the index
    /// leaves it out.
    pub(crate) fn stored_key(&self, tuple: &[u8]) -> Result<Option<Key>, Mismatch> {
        let mut builder = KeyBuilder::default();
        let (mut has_null, mut is_left_out) = (false, false);
        each_part(&self.parts, tuple, |part, reader| {
            let is_null = push(part, reader, &mut builder)?;
            has_null |= is_null;
            is_left_out |= is_null && part.exclude_null;
            Ok(())
        })?;
        if is_left_out {
            return Ok(None);
        }
        if self.needs_rest(has_null) {
            each_part(&self.rest, tuple, |part, reader| {
                push(part, reader, &mut builder).map(drop)
            })?;
        }
        Ok(Some(builder.finish()))
    }

    /// Appends the key of a tuple, with what tells it from others, as a MessagePack array.
    pub(crate) fn write_key_of(&self, tuple: &[u8], out: &mut Vec<u8>) -> Result<(), Mismatch> {
        write_array_len(out, (self.parts.len() + self.rest.len()) as u32);
        for parts in [&self.parts, &self.rest] {
            each_part(parts, tuple, |_, reader| {
                out.extend_from_slice(reader.skip()?);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// The key that [`write_key_of`](Self::write_key_of) wrote.
    pub(crate) fn read_key(&self, key: &[u8]) -> Result<Key, Mismatch> {
        let mut reader = Reader::new(key);
        if reader.read_array_len()? as usize != self.parts.len() + self.rest.len() {
            return Err(Mismatch);
        }
        if self.is_collated {
            let checked = self.check_collated_key(reader, self.parts.len());
            checked.map_err(|_| Mismatch)?;
        }
        let (mut builder, mut has_null) = (KeyBuilder::default(), false);
        for part in &self.parts {
            has_null |= push(part, &mut reader, &mut builder)?;
        }
        if self.needs_rest(has_null) {
            for part in &self.rest {
                push(part, &mut reader, &mut builder)?;
            }
        }
        Ok(builder.finish())
    }

    pub(super) fn needs_rest(&self, has_null: bool) -> bool {
        has_null || !self.is_unique
    }

    /// Whether tuples stand in the other index by the same keys.
    pub(crate) fn has_same_keys(&self, other: &Self) -> bool {
        (self.is_unique, &self.parts, &self.rest) == (other.is_unique, &other.parts, &other.rest)
    }

    /// The key that a client gave as a MessagePack array. A HASH index takes no part of a key, but
    /// none at all if `needs_key` is not set.
    ///
    /// # Errors
    ///
    /// `ErrorCode::KEY_PART_COUNT` for too many parts, `ErrorCode::PARTIAL_KEY` for too few,
    /// `ErrorCode::KEY_PART_TYPE` for one of another type, `ErrorCode::UNSUPPORTED` for more text
    /// than collations order.
    pub(crate) fn partial_key(&self, key: &[u8], needs_key: bool) -> Result<Given, Error> {
        let (mut reader, given) = read_head(key)?;
        let (parts, expected) = (given as usize, self.parts.len());
        if parts > expected {
            return Err(errors::key_part_count(expected, given));
        }
        if self.kind == IndexKind::Hash && parts < expected && (parts > 0 || needs_key) {
            return Err(errors::partial_key(self.kind, expected, parts));
        }
        if self.is_collated {
            self.check_collated_key(reader, parts)?;
        }
        let (mut builder, mut has_null) = (KeyBuilder::default(), false);
        let mut ends_in_text = false;
        for (at, part) in self.parts.iter().take(parts).enumerate() {
            ends_in_text = reader.peek() == Ok(Kind::Str);
            has_null |= push(part, &mut reader, &mut builder)
                .map_err(|Mismatch| errors::key_part_type(at, part.kind))?;
        }
        let key = builder.finish();
        Ok(Given {
            key,
            parts,
            has_null,
            ends_in_text,
        })
    }

    /// The key of at most one tuple that a client gave as a MessagePack array.
    ///
    /// # Errors
    ///
    /// `ErrorCode::MORE_THAN_ONE_TUPLE` if there may be more tuples, `ErrorCode::EXACT_MATCH` for
    /// another number of parts, `ErrorCode::KEY_PART_TYPE` for one of another type,
    /// `ErrorCode::UNSUPPORTED` for more text than collations order.
    pub(crate) fn whole_key(&self, key: &[u8]) -> Result<Key, Error> {
        if !self.is_unique {
            return Err(errors::more_than_one_tuple());
        }
        let (mut reader, given) = read_head(key)?;
        if given as usize != self.parts.len() {
            return Err(errors::exact_match(self.parts.len(), given));
        }
        if self.is_collated {
            self.check_collated_key(reader, self.parts.len())?;
        }
        let mut builder = KeyBuilder::default();
        for (at, part) in self.parts.iter().enumerate() {
            match push(part, &mut reader, &mut builder) {
                Ok(false) => {}
                // Nothing equals null.
                Ok(true) | Err(Mismatch) => return Err(errors::key_part_type(at, part.kind)),
            }
        }
        Ok(builder.finish())
    }
}

/// Walks over parts in their order; the visitor takes the part's value from the reader. Of a part
/// that takes every element of an array, that is the array.
#[inline]
pub(super) fn each_part<'t>(
    parts: &[Part],
    tuple: &'t [u8],
    mut visit: impl FnMut(&Part, &mut Reader<'t>) -> Result<(), Mismatch>,
) -> Result<(), Mismatch> {
    let mut first = Reader::new(tuple);
    let count = first.read_array_len()?;
    let (mut reader, mut at) = (first, 0);
    for part in parts {
        if part.field >= count {
            if !part.is_nullable && !part.is_multikey() {
                return Err(Mismatch);
            }
            visit(part, &mut Reader::new(NIL))?;
            continue;
        }
        if part.field < at {
            (reader, at) = (first, 0);
        }
        for _ in at..part.field {
            reader.skip()?;
        }
        match &part.path {
            None => visit(part, &mut reader)?,
            Some(path) => {
                let steps = path.around_any();
                let steps = steps.map_or(path.steps(), |(outside, _)| outside);
                let value = follow(steps, Reader::new(reader.skip()?));
                visit(part, &mut value.unwrap_or(Reader::new(NIL)))?;
            }
        }
        at = part.field + 1;
    }
    Ok(())
}

/// Appends the value of a part, and tells whether it is null.
#[inline]
pub(super) fn push(
    part: &Part,
    reader: &mut Reader<'_>,
    out: &mut KeyBuilder,
) -> Result<bool, Mismatch> {
    if part.is_special() {
        return push_special(part, reader, out);
    }
    encode_part(part.kind, reader, out).map(|()| false)
}

fn push_special(
    part: &Part,
    reader: &mut Reader<'_>,
    out: &mut KeyBuilder,
) -> Result<bool, Mismatch> {
    let start = out.size();
    let is_null = part.is_nullable && reader.peek()? == Kind::Nil;
    if part.is_nullable {
        out.push(&[if is_null { NULL } else { VALUE }]);
    }
    if is_null {
        reader.read_nil()?;
    } else {
        match part.collation {
            None => encode_part(part.kind, reader, out)?,
            Some(collation) => encode_collated(part.kind, collation, reader, out)?,
        }
    }
    if part.is_descending {
        out.flip_from(start);
    }
    Ok(is_null)
}

fn read_head(key: &[u8]) -> Result<(Reader<'_>, u32), Error> {
    let mut reader = Reader::new(key);
    let given = reader
        .read_array_len()
        .map_err(|_| Error::invalid_msgpack("packet body"))?;
    Ok((reader, given))
}

impl IndexKind {
    /// The kind with this name, in lower case.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "tree" => Some(Self::Tree),
            "hash" => Some(Self::Hash),
            _ => None,
        }
    }
}

impl fmt::Display for IndexKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tree => "TREE",
            Self::Hash => "HASH",
        })
    }
}
