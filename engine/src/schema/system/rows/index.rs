//! Rows of `_index`.

use std::sync::Arc;

use vestibule_wire::Error;
use vestibule_wire::msgpack::{
    Kind, Reader, write_array_len, write_bool, write_map_len, write_str, write_uint,
};

use super::common::{malformed, number, read_collation, stored_elsewhere};
use super::options::{OptionType, RowOptions};
use crate::errors;
use crate::limits::{FORMAT_FIELDS_MAX, INDEX_PARTS_MAX, SPACE_ID_MAX};
use crate::model::field::FieldType;
use crate::model::index::Part;
use crate::model::part_path::PartPath;

/// A row of `_index`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexRow {
    pub(crate) space: u32,
    pub(crate) id: u32,
    pub(crate) name: Box<str>,
    pub(crate) kind: Box<str>,
    pub(crate) is_unique: bool,
    /// What else is said of it, `unique` included if that is said.
    pub(crate) options: RowOptions,
    pub(crate) parts: Vec<Part>,
}

/// The option of an index that says whether keys are unique.
const UNIQUE: &str = "unique";

/// Every option of an index, those of other engines included.
const OPTIONS: [(&str, OptionType); 14] = [
    (UNIQUE, OptionType::Boolean),
    ("dimension", OptionType::Integer),
    ("distance", OptionType::Str),
    ("range_size", OptionType::Integer),
    ("page_size", OptionType::Integer),
    ("run_count_per_level", OptionType::Integer),
    ("run_size_ratio", OptionType::Float),
    ("bloom_fpr", OptionType::Float),
    ("lsn", OptionType::Integer),
    ("stat", OptionType::Array),
    ("sql", OptionType::Str),
    ("func", OptionType::Unsigned),
    ("hint", OptionType::Boolean),
    ("fast_offset", OptionType::Boolean),
];

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
        Self::read(tuple, false).map_err(|error| {
            stored_elsewhere(error, || {
                let (space, _, name) = Self::identity(tuple).ok()?;
                Some(format!("index '{name}' of space {space}"))
            })
        })
    }

    /// [`decode`](Self::decode) of a row that is to be stored: its options are checked.
    pub(crate) fn decode_new(tuple: &[u8]) -> Result<Self, Error> {
        Self::read(tuple, true)
    }

    fn read(tuple: &[u8], is_new: bool) -> Result<Self, Error> {
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
        let options = RowOptions::read(&mut reader)?;
        if is_new {
            options.check(&OPTIONS, |why| errors::wrong_index_options(4, why))?;
            check_values(&options)?;
        }
        // What the index would be made of is not in its parts.
        if !matches!(options.get("func"), None | Some([0x00 | 0xc0])) {
            return Err(errors::unsupported("the index option 'func'"));
        }
        let is_unique = options.get(UNIQUE).is_none() || options.flag(UNIQUE);
        let parts = decode_parts(&mut reader)?;
        Ok(Self {
            space,
            id,
            name,
            kind,
            is_unique,
            options,
            parts,
        })
    }

    /// Says whether keys are unique.
    pub(crate) fn set_unique(&mut self, is_unique: bool) {
        self.is_unique = is_unique;
        self.options.set_flag(UNIQUE, is_unique);
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_array_len(&mut out, 6);
        write_uint(&mut out, u64::from(self.space));
        write_uint(&mut out, u64::from(self.id));
        write_str(&mut out, &self.name);
        write_str(&mut out, &self.kind);
        self.options.encode(&mut out);
        write_array_len(&mut out, self.parts.len() as u32);
        let is_plain = |part: &Part| *part == Part::new(part.field, part.kind);
        let are_pairs = self.parts.iter().all(is_plain);
        for part in &self.parts {
            encode_part(part, are_pairs, &mut out);
        }
        out
    }
}

/// What the values of options have to be, whatever engine they are for.
fn check_values(options: &RowOptions) -> Result<(), Error> {
    // Those that are not given are as Tarantool has them.
    let number = |name: &str, default: f64| options.number(name).unwrap_or(default);
    let (page, range) = (number("page_size", 8192.0), number("range_size", f64::MAX));
    let is_distance = matches!(
        options.text("distance"),
        None | Some("euclid" | "manhattan")
    );
    let checks = [
        (
            is_distance,
            "distance must be either 'euclid' or 'manhattan'",
        ),
        (
            page > 0.0 && page <= range,
            "page_size must be greater than 0 and less than or equal to range_size",
        ),
        (
            number("run_count_per_level", 2.0) > 0.0,
            "run_count_per_level must be greater than 0",
        ),
        (
            number("run_size_ratio", 3.5) > 1.0,
            "run_size_ratio must be greater than 1",
        ),
        (
            (f64::MIN_POSITIVE..=1.0).contains(&number("bloom_fpr", 0.05)),
            "bloom_fpr must be greater than 0 and less than or equal to 1",
        ),
    ];
    match checks.into_iter().find(|(holds, _)| !holds) {
        Some((_, why)) => Err(errors::wrong_index_options(4, why)),
        None => Ok(()),
    }
}

/// A pair while nothing but field and type is said of any part: some connectors know no other form.
fn encode_part(part: &Part, is_pair: bool, out: &mut Vec<u8>) {
    let flags = [
        ("is_nullable", part.is_nullable),
        ("exclude_null", part.exclude_null),
    ];
    let flags = flags.into_iter().filter(|(_, is_set)| *is_set);
    let others = [
        part.collation.is_some(),
        part.is_descending,
        part.path.is_some(),
    ];
    let count = flags.clone().count() + others.into_iter().filter(|is_there| *is_there).count();
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
    if let Some(collation) = part.collation {
        write_str(out, "collation");
        write_uint(out, collation.known().number().into());
    }
    for (name, is_set) in flags {
        write_str(out, name);
        write_bool(out, is_set);
    }
    if part.is_descending {
        write_str(out, "sort_order");
        write_str(out, "desc");
    }
    if let Some(path) = &part.path {
        write_str(out, "path");
        write_str(out, path.text());
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
    let mut part = Part::new(0, FieldType::Any);
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
        let wrong = |why: &str| errors::wrong_index_options(at, why);
        for _ in 0..reader.read_map_len().map_err(malformed)? {
            match reader.read_str().map_err(malformed)? {
                "field" => {
                    let read = reader.read_uint();
                    field = Some(read.map_err(|_| wrong("'field' must be unsigned"))?);
                }
                "type" => {
                    let read = reader.read_str();
                    kind = Some(read.map_err(|_| wrong("'type' must be enum"))?);
                }
                option => read_option(option, reader, at, &mut part)?,
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
    if part.collation.is_some() && !has_collations(kind) {
        let why = "collation is reasonable only for string and scalar parts";
        return Err(errors::wrong_index_options(at, why));
    }
    Ok(Part {
        field,
        kind,
        ..part
    })
}

/// Whether parts of a type may have collations.
pub(crate) fn has_collations(kind: FieldType) -> bool {
    matches!(kind, FieldType::String | FieldType::Scalar)
}

/// What else is said of a part by a name.
fn read_option(
    option: &str,
    reader: &mut Reader<'_>,
    at: usize,
    part: &mut Part,
) -> Result<(), Error> {
    let wrong = |why: &str| errors::wrong_index_options(at, why);
    match option {
        "is_nullable" => {
            let read = reader.read_bool();
            part.is_nullable = read.map_err(|_| wrong("'is_nullable' must be boolean"))?;
        }
        "exclude_null" => {
            let read = reader.read_bool();
            part.exclude_null = read.map_err(|_| wrong("'exclude_null' must be boolean"))?;
        }
        "sort_order" => {
            let read = reader.read_str();
            let order = read.map_err(|_| wrong("'sort_order' must be enum"))?;
            part.is_descending =
                is_descending(order).ok_or_else(|| wrong("index part: unknown sort order"))?;
        }
        "path" => {
            let text = reader.read_str();
            let text = text.map_err(|_| wrong("'path' must be string"))?;
            part.path = PartPath::read(text).map_err(wrong)?.map(Arc::new);
        }
        "collation" => part.collation = read_collation(reader, wrong, wrong)?,
        "nullable_action" => drop(reader.skip().map_err(malformed)?),
        other => return Err(wrong(&format!("unexpected option '{other}'"))),
    }
    Ok(())
}

/// Whether a sort order, in any case, is the descending one.
pub(crate) fn is_descending(order: &str) -> Option<bool> {
    match &*order.to_ascii_lowercase() {
        // Who says that it is not defined gets the usual one, as in Tarantool.
        "asc" | "undef" => Some(false),
        "desc" => Some(true),
        _ => None,
    }
}
