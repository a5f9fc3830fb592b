//! Rows of `_index`.

use vestibule_wire::Error;
use vestibule_wire::msgpack::{
    Kind, Reader, write_array_len, write_bool, write_map_len, write_str, write_uint,
};

use super::common::{malformed, number, refuse_option};
use crate::errors;
use crate::limits::{FORMAT_FIELDS_MAX, INDEX_PARTS_MAX, SPACE_ID_MAX};
use crate::model::field::FieldType;
use crate::model::index::Part;

/// A row of `_index`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexRow {
    pub(crate) space: u32,
    pub(crate) id: u32,
    pub(crate) name: Box<str>,
    pub(crate) kind: Box<str>,
    pub(crate) is_unique: bool,
    pub(crate) parts: Vec<Part>,
}

/// The option of an index that says whether keys are unique.
const INDEX_OPTIONS_UNIQUE: &str = "unique";

impl IndexRow {
    /// The numbers of a row's space and index, and the index's name.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    pub(crate) fn identity(tuple: &[u8]) -> Result<(u32, u32, &str), Error> {
        let mut reader = Reader::new(tuple);
        reader.read_array_len().map_err(malformed)?;
        let space = number(&mut reader, u64::from(SPACE_ID_MAX))?;
        let id = number(&mut reader, u64::from(u32::MAX))?;
        Ok((space, id, reader.read_str().map_err(malformed)?))
    }

    /// # Errors
    ///
    /// What is wrong with the row, as for a client that sent it.
    pub(crate) fn decode(tuple: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(tuple);
        reader.read_array_len().map_err(malformed)?;
        let space = number(&mut reader, u64::from(SPACE_ID_MAX))?;
        let id = number(&mut reader, u64::from(u32::MAX))?;
        let name = reader.read_str().map_err(malformed)?.into();
        let kind = reader
            .read_str()
            .map_err(malformed)?
            .to_ascii_lowercase()
            .into();
        let mut is_unique = true;
        for _ in 0..reader.read_map_len().map_err(malformed)? {
            match reader.read_str().map_err(malformed)? {
                INDEX_OPTIONS_UNIQUE => is_unique = reader.read_bool().map_err(malformed)?,
                // What the index would be made of is not in its parts.
                "func" => {
                    if !matches!(reader.skip().map_err(malformed)?, [0x00 | 0xc0]) {
                        return Err(errors::unsupported("the index option 'func'"));
                    }
                }
                // Options of other engines and hints, which change nothing here.
                _ => drop(reader.skip().map_err(malformed)?),
            }
        }
        let parts = decode_parts(&mut reader)?;
        Ok(Self {
            space,
            id,
            name,
            kind,
            is_unique,
            parts,
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_array_len(&mut out, 6);
        write_uint(&mut out, u64::from(self.space));
        write_uint(&mut out, u64::from(self.id));
        write_str(&mut out, &self.name);
        write_str(&mut out, &self.kind);
        write_map_len(&mut out, 1);
        write_str(&mut out, INDEX_OPTIONS_UNIQUE);
        write_bool(&mut out, self.is_unique);
        write_array_len(&mut out, self.parts.len() as u32);
        let is_plain = |part: &Part| !part.is_nullable && !part.exclude_null;
        let are_pairs = self.parts.iter().all(is_plain);
        for part in &self.parts {
            encode_part(part, are_pairs, &mut out);
        }
        out
    }
}

/// A pair while nothing but field and type is said of any part: some connectors know no other form.
fn encode_part(part: &Part, is_pair: bool, out: &mut Vec<u8>) {
    let flags = [
        ("is_nullable", part.is_nullable),
        ("exclude_null", part.exclude_null),
    ];
    let flags = flags.into_iter().filter(|(_, is_set)| *is_set);
    let count = flags.clone().count();
    if is_pair {
        write_array_len(out, 2);
        write_uint(out, u64::from(part.field));
        write_str(out, part.kind.name());
        return;
    }
    write_map_len(out, 2 + count as u32);
    write_str(out, "field");
    write_uint(out, u64::from(part.field));
    write_str(out, "type");
    write_str(out, part.kind.name());
    for (name, is_set) in flags {
        write_str(out, name);
        write_bool(out, is_set);
    }
}

fn decode_parts(reader: &mut Reader<'_>) -> Result<Vec<Part>, Error> {
    let count = reader.read_array_len().map_err(malformed)? as usize;
    if count > INDEX_PARTS_MAX {
        return Err(errors::wrong_index_parts("too many key parts"));
    }
    if count == 0 {
        return Ok(Vec::new());
    }
    // All in one form, that of the first.
    let are_pairs = reader.peek().map_err(malformed)? == Kind::Array;
    (1..=count)
        .map(|at| decode_part(reader, at, are_pairs))
        .collect()
}

/// A part, `[field, type]` or a map.
fn decode_part(reader: &mut Reader<'_>, at: usize, is_pair: bool) -> Result<Part, Error> {
    let wrong = || errors::wrong_index_parts("field id must be an integer");
    let (mut field, mut kind) = (None, None);
    let (mut is_nullable, mut exclude_null) = (false, false);
    let found = reader.peek().map_err(malformed)?;
    if is_pair {
        if found != Kind::Array {
            return Err(errors::wrong_index_parts("expected an array"));
        }
        let size = reader.read_array_len().map_err(malformed)?;
        for at in 0..size {
            match at {
                0 => field = Some(reader.read_uint().map_err(|_| wrong())?),
                1 => kind = Some(reader.read_str().map_err(malformed)?),
                _ => drop(reader.skip().map_err(malformed)?),
            }
        }
    } else {
        if found != Kind::Map {
            let why = "index part is expected to be a map";
            return Err(errors::wrong_index_options(at, why));
        }
        for _ in 0..reader.read_map_len().map_err(malformed)? {
            match reader.read_str().map_err(malformed)? {
                "field" => field = Some(reader.read_uint().map_err(|_| wrong())?),
                "type" => kind = Some(reader.read_str().map_err(malformed)?),
                "is_nullable" => is_nullable = reader.read_bool().map_err(malformed)?,
                "exclude_null" => exclude_null = reader.read_bool().map_err(malformed)?,
                option => refuse_option("index part", option, reader)?,
            }
        }
    }
    let field = field
        .and_then(|field| u32::try_from(field).ok())
        .ok_or_else(wrong)?;
    if field as usize >= FORMAT_FIELDS_MAX {
        return Err(errors::wrong_index_parts("field id is too big"));
    }
    let kind = kind.and_then(FieldType::from_name);
    let kind = kind.ok_or_else(|| errors::wrong_index_parts("unknown field type"))?;
    Ok(Part {
        field,
        kind,
        is_nullable,
        exclude_null,
    })
}
