//! Definition of an index: how keys are made of tuples and of what clients send.

use vestibule_wire::Error;
use vestibule_wire::msgpack::{Reader, write_array_len};

use super::errors;
use super::field::FieldType;
use super::key::{Key, KeyBuilder, Mismatch, encode_part};

/// The index that every space with tuples has.
pub(crate) const PRIMARY: u32 = 0;

/// A unique TREE index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexDef {
    pub(crate) id: u32,
    pub(crate) name: Box<str>,
    pub(crate) parts: Box<[Part]>,
}

/// A field of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// Number of the field, from 0.
    pub(crate) field: u32,
    pub(crate) kind: FieldType,
    /// Whether nil is allowed; never in a primary index.
    pub(crate) is_nullable: bool,
}

impl IndexDef {
    /// The key of a tuple, a MessagePack array. It fits if the tuple passed its space's check.
    #[inline]
    pub(crate) fn key_of(&self, tuple: &[u8]) -> Result<Key, Mismatch> {
        let mut builder = KeyBuilder::default();
        self.each_part(tuple, |part, reader| {
            encode_part(part.kind, reader, &mut builder)
        })?;
        Ok(builder.finish())
    }

    /// Appends the key of a tuple as a MessagePack array.
    pub(crate) fn write_key_of(&self, tuple: &[u8], out: &mut Vec<u8>) -> Result<(), Mismatch> {
        write_array_len(out, self.parts.len() as u32);
        self.each_part(tuple, |_, reader| {
            out.extend_from_slice(reader.skip()?);
            Ok(())
        })
    }

    /// Walks over the parts in their order; the visitor takes the part's value from the reader.
    #[inline]
    fn each_part<'t>(
        &self,
        tuple: &'t [u8],
        mut visit: impl FnMut(&Part, &mut Reader<'t>) -> Result<(), Mismatch>,
    ) -> Result<(), Mismatch> {
        let mut first = Reader::new(tuple);
        let count = first.read_array_len()?;
        let (mut reader, mut at) = (first, 0);
        for part in &self.parts {
            if part.field >= count {
                return Err(Mismatch);
            }
            if part.field < at {
                (reader, at) = (first, 0);
            }
            for _ in at..part.field {
                reader.skip()?;
            }
            visit(part, &mut reader)?;
            at = part.field + 1;
        }
        Ok(())
    }

    /// The key that a client gave as a MessagePack array, and how many parts it has.
    ///
    /// # Errors
    ///
    /// 31 for too many parts, 18 for one of another type.
    pub(crate) fn partial_key(&self, key: &[u8]) -> Result<(Key, usize), Error> {
        let (mut reader, given) = read_head(key)?;
        if given as usize > self.parts.len() {
            return Err(errors::key_part_count(self.parts.len(), given));
        }
        let mut builder = KeyBuilder::default();
        for (at, part) in self.parts.iter().take(given as usize).enumerate() {
            encode_part(part.kind, &mut reader, &mut builder)
                .map_err(|Mismatch| errors::key_part_type(at, part.kind))?;
        }
        Ok((builder.finish(), given as usize))
    }

    /// The whole key that a client gave as a MessagePack array.
    ///
    /// # Errors
    ///
    /// 19 for another number of parts, 18 for one of another type.
    pub(crate) fn whole_key(&self, key: &[u8]) -> Result<Key, Error> {
        let (_, given) = read_head(key)?;
        if given as usize != self.parts.len() {
            return Err(errors::exact_match(self.parts.len(), given));
        }
        self.partial_key(key).map(|(key, _)| key)
    }
}

fn read_head(key: &[u8]) -> Result<(Reader<'_>, u32), Error> {
    let mut reader = Reader::new(key);
    let given = reader
        .read_array_len()
        .map_err(|_| Error::invalid_msgpack("packet body"))?;
    Ok((reader, given))
}
