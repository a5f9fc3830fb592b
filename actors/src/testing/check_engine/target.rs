//! The space that is written to, and its tuples.

use rmp_serde::from_slice;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use vestibule_wire::msgpack::{
    write_array_len, write_bin, write_bool, write_f64, write_map_len, write_nil, write_str,
    write_uint,
};
use vestibule_wire::reply::Rows;
use vestibule_wire::request::{After, IdOrName, IteratorType, Select};

use super::broken::broken;
use crate::engine::Caller;
use crate::engine::catalog::system::{INDEX, SPACE};
use crate::engine::catalog::{Catalog, SYSTEM_SPACE_ID_MAX};

/// Types of parts of keys that this makes values of.
const KEY_TYPES: [&str; 7] = [
    "unsigned",
    "integer",
    "number",
    "double",
    "string",
    "varbinary",
    "scalar",
];

/// A space with a primary index.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) space: u32,
    /// Types of the fields, by number.
    fields: Vec<String>,
    /// Which of them the primary key is made of.
    parts: Vec<usize>,
}

/// A row of `_space`, as far as it is looked at.
#[derive(Debug, Deserialize)]
struct SpaceRow {
    id: u32,
    _owner: IgnoredAny,
    _name: IgnoredAny,
    _engine: IgnoredAny,
    _field_count: IgnoredAny,
    _flags: IgnoredAny,
    format: Vec<FormatRow>,
}

#[derive(Debug, Deserialize)]
struct FormatRow {
    #[serde(rename = "type", default)]
    kind: Option<String>,
}

/// A row of `_index`, as far as it is looked at.
#[derive(Debug, Deserialize)]
struct IndexRow {
    space: u32,
    id: u32,
    _name: IgnoredAny,
    _kind: IgnoredAny,
    _options: IgnoredAny,
    parts: Vec<PartRow>,
}

/// A part of an index, in the older form or the newer.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum PartRow {
    Pair(u32, String),
    Map {
        field: u32,
        #[serde(rename = "type")]
        kind: String,
    },
}

impl PartRow {
    fn read(&self) -> (usize, &str) {
        match self {
            Self::Pair(field, kind) | Self::Map { field, kind } => (*field as usize, kind),
        }
    }
}

impl Target {
    /// The space that was asked for, or the first that will do.
    pub(super) fn find(catalog: &Catalog, caller: &Caller, wanted: Option<u32>) -> Self {
        let spaces: Vec<SpaceRow> = rows(catalog, caller, SPACE);
        let indexes: Vec<IndexRow> = rows(catalog, caller, INDEX);
        let is_own = |id: u32| wanted.map_or(id > SYSTEM_SPACE_ID_MAX, |wanted| wanted == id);
        let mut own = spaces.iter().filter(|space| is_own(space.id));
        let found = own.find_map(|space| {
            let is_primary = |own: &&IndexRow| (own.space, own.id) == (space.id, 0);
            Self::of(space, indexes.iter().find(is_primary)?)
        });
        found.unwrap_or_else(|| {
            let seen = format!("{} spaces and {} indexes", spaces.len(), indexes.len());
            let rule = "the catalog has a space with a primary index over numbers and texts, to \
                        check the engine with";
            broken(rule, &seen)
        })
    }

    fn of(space: &SpaceRow, primary: &IndexRow) -> Option<Self> {
        let parts: Vec<_> = primary.parts.iter().map(PartRow::read).collect();
        if !parts.iter().all(|(_, kind)| KEY_TYPES.contains(kind)) {
            return None;
        }
        let last = parts.iter().map(|(field, _)| *field).max()?;
        let count = (last + 1).max(space.format.len());
        let kind = |at: usize| space.format.get(at).and_then(|own| own.kind.clone());
        let kinds = (0..count).map(|at| kind(at).unwrap_or_else(|| "any".to_owned()));
        let mut fields: Vec<_> = kinds.collect();
        for (field, kind) in &parts {
            fields[*field] = (*kind).to_owned();
        }
        Some(Self {
            space: space.id,
            fields,
            parts: parts.iter().map(|(field, _)| *field).collect(),
        })
    }

    /// A tuple whose key no other number has.
    pub(super) fn tuple(&self, number: u64) -> Vec<u8> {
        let mut out = Vec::new();
        write_array_len(&mut out, self.fields.len() as u32);
        for kind in &self.fields {
            write_field(&mut out, kind, number);
        }
        out
    }

    /// The primary key of that tuple.
    pub(super) fn key(&self, number: u64) -> Vec<u8> {
        let mut out = Vec::new();
        write_array_len(&mut out, self.parts.len() as u32);
        for part in &self.parts {
            write_field(&mut out, &self.fields[*part], number);
        }
        out
    }
}

fn write_field(out: &mut Vec<u8>, kind: &str, number: u64) {
    match kind {
        "string" => write_str(out, &format!("key {number}")),
        "varbinary" => write_bin(out, &number.to_be_bytes()),
        "double" => write_f64(out, number as f64 + 0.5),
        "boolean" => write_bool(out, true),
        "array" => write_array_len(out, 0),
        "map" => write_map_len(out, 0),
        "uuid" | "decimal" | "datetime" | "interval" => write_nil(out),
        _ => write_uint(out, number),
    }
}

fn rows<T: DeserializeOwned>(catalog: &Catalog, caller: &Caller, space: u32) -> Vec<T> {
    let select = Select {
        space: IdOrName::Id(space),
        index: IdOrName::Id(0),
        limit: u64::MAX,
        offset: 0,
        iterator: IteratorType::All as u64,
        key: &[0x90],
        fetch_position: false,
        after: After::Start,
    };
    let mut body = Vec::new();
    if let Err(error) = catalog.select(&select, &caller.user, || Rows::begin(&mut body)) {
        broken("an administrator sees the catalog", &error.to_string());
    }
    // Behind the map of one pair and its key.
    from_slice(&body[2..]).unwrap_or_else(|fault| {
        let seen = format!("system space {space}: {fault}");
        broken("rows of the catalog are as connectors read them", &seen)
    })
}
