//! The system spaces that sessions answer for: their indexes, and their rows by the keys of these.

use vestibule_wire::msgpack::Reader;
use vestibule_wire::request::IteratorType;
use vestibule_wire::{Error, ErrorCode};

/// The layout of one system space that sessions answer for.
#[derive(Debug)]
pub(super) struct Layout {
    /// The space, and the view that shows the same rows.
    pub(super) ids: [u32; 2],
    pub(super) names: [&'static str; 2],
    /// Number and name of each index, with the fields of its key. The first is the primary one.
    pub(super) indexes: &'static [(u32, &'static str, &'static [usize])],
    /// Fields of the keys that are texts; the others are numbers.
    texts: &'static [usize],
}

/// Spaces with rows come first; the rest are there because clients ask for them.
#[rustfmt::skip]
pub(super) static LAYOUTS: [Layout; 8] = [
    Layout {
        ids: [280, 281],
        names: ["_space", "_vspace"],
        indexes: &[
            (0, "primary", &[0]),
            (1, "owner", &[1]),
            (2, "name", &[2]),
        ],
        texts: &[2],
    },
    Layout {
        ids: [288, 289],
        names: ["_index", "_vindex"],
        indexes: &[
            (0, "primary", &[0, 1]),
            (2, "name", &[0, 2]),
        ],
        texts: &[2],
    },
    Layout {
        ids: [276, 277],
        names: ["_collation", "_vcollation"],
        indexes: &[
            (0, "primary", &[0]),
            (1, "name", &[1]),
        ],
        texts: &[1],
    },
    Layout {
        ids: [304, 305],
        names: ["_user", "_vuser"],
        indexes: &[
            (0, "primary", &[0]),
            (1, "owner", &[1]),
            (2, "name", &[2]),
        ],
        texts: &[2],
    },
    Layout {
        ids: [312, 313],
        names: ["_priv", "_vpriv"],
        indexes: &[
            (0, "primary", &[1, 2, 3]),
            (1, "owner", &[0]),
            (2, "object", &[2, 3]),
        ],
        texts: &[2],
    },
    Layout {
        ids: [296, 297],
        names: ["_func", "_vfunc"],
        indexes: &[
            (0, "primary", &[0]),
            (1, "owner", &[1]),
            (2, "name", &[2]),
        ],
        texts: &[2],
    },
    Layout {
        ids: [284, 286],
        names: ["_sequence", "_vsequence"],
        indexes: &[
            (0, "primary", &[0]),
            (1, "owner", &[1]),
            (2, "name", &[2]),
        ],
        texts: &[2],
    },
    Layout {
        ids: [340, 341],
        names: ["_space_sequence", "_vspace_sequence"],
        indexes: &[
            (0, "primary", &[0]),
            (1, "sequence", &[1]),
        ],
        texts: &[],
    },
];

/// A tuple with the keys it is found by, decoded once.
#[derive(Debug, Clone)]
pub(super) struct SystemRow {
    /// As the layout lists the indexes.
    pub(super) keys: Box<[Vec<Part>]>,
    pub(super) tuple: Vec<u8>,
}

/// A part of a key of a system space.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Uint(u64),
    Str(Vec<u8>),
}

impl SystemRow {
    pub(super) fn matches(&self, index: usize, iterator: IteratorType, key: &[Part]) -> bool {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let own = &self.keys[index];
        let shared = &own[..own.len().min(key.len())];
        let order = shared.cmp(key);
        match iterator {
            _ if key.is_empty() => true,
            IteratorType::Eq | IteratorType::Req => order == Equal,
            IteratorType::Ge | IteratorType::All => order != Less,
            IteratorType::Gt => order == Greater,
            IteratorType::Le => order != Greater,
            IteratorType::Lt | IteratorType::PreviousPrefix => order == Less,
            IteratorType::NextPrefix => order == Greater && !begins_with(shared, key),
            _ => false,
        }
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

impl Layout {
    pub(super) fn read_key(&self, at: usize, key: &[u8]) -> Result<Vec<Part>, Error> {
        let fields = self.indexes[at].2;
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
        let read = |(part, field): (usize, &usize)| self.read_key_part(part, *field, &mut reader);
        fields.iter().take(count).enumerate().map(read).collect()
    }

    fn read_key_part(
        &self,
        part: usize,
        field: usize,
        reader: &mut Reader<'_>,
    ) -> Result<Part, Error> {
        let is_text = self.texts.contains(&field);
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

    pub(super) fn row(&self, tuple: Vec<u8>) -> Option<SystemRow> {
        let mut reader = Reader::new(&tuple);
        let count = reader.read_array_len().ok()?;
        let mut fields = Vec::new();
        for _ in 0..count.min(4) {
            let mut ahead = reader;
            fields.push(read_part(&mut ahead));
            reader.skip().ok()?;
        }
        let pick = |wanted: &[usize]| -> Option<Vec<Part>> {
            wanted
                .iter()
                .map(|field| fields.get(*field).cloned().flatten())
                .collect()
        };
        let keys = self.indexes.iter().map(|(_, _, fields)| pick(fields));
        Some(SystemRow {
            keys: keys.collect::<Option<_>>()?,
            tuple,
        })
    }
}
