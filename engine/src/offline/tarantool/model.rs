//! The data of Tarantool's files, row by row as they tell it, before anything is loaded.
//!
//! ```text
//!   rows of _space, _index ─▶ how keys of a space are read ─▶ its rows by their keys
//! ```
//!
//! What a space is worth here is looked at in the end only: one that cannot be held and is dropped
//! by a later row was never there.

use std::collections::{BTreeMap, HashMap};

use vestibule_wire::Error;
use vestibule_wire::msgpack::Reader;

use super::row::{Row, RowAction};
use crate::model::index::{IndexDef, PRIMARY};
use crate::model::key::Key;
use crate::query::update::{self, Mode};
use crate::schema::build::index_def;
use crate::schema::system::rows::IndexRow;
use crate::schema::system::sequence_rows::{
    AttachmentRow, SequenceRow, decode_value, encode_value,
};
use crate::schema::system::{
    self, INDEX, PRIV, SEQUENCE, SEQUENCE_DATA, SPACE, SPACE_SEQUENCE, TRUNCATE,
};

/// Spaces of Tarantool's system that are not there here: `_trigger`, `_fk_constraint`,
/// `_ck_constraint` and `_func_index`.
pub(super) const TRIGGER: u32 = 328;
pub(super) const FOREIGN_KEY: u32 = 356;
pub(super) const CHECK: u32 = 364;
pub(super) const FUNCTIONAL_INDEX: u32 = 372;

/// Rows of a space by their keys.
pub(super) type Rows = BTreeMap<Key, Box<[u8]>>;

/// How the keys of a space's rows are read.
#[derive(Debug)]
enum ModelKeys {
    /// The bytes of some fields: spaces of the system, whose numbers are in their shortest form.
    Leading,
    Index(Box<IndexDef>),
    /// Not at all: there is no primary index, or one that is not known here.
    Unknown,
}

#[derive(Debug)]
struct ModelSpace {
    keys: ModelKeys,
    rows: Rows,
}

/// Everything that the files have told so far.
#[derive(Debug, Default)]
pub(super) struct Model {
    spaces: HashMap<u32, ModelSpace>,
    /// Whether rows are those of a log: they move the sequences of their spaces, whose own values
    /// stand in snapshots only.
    pub(super) moves_sequences: bool,
}

impl Model {
    /// The rows of a space, in the order of their keys.
    pub(super) fn rows(&self, space: u32) -> impl Iterator<Item = &[u8]> {
        let own = self.spaces.get(&space).into_iter();
        own.flat_map(|own| own.rows.values().map(|row| &**row))
    }

    /// The same, and the space is forgotten.
    pub(super) fn take_rows(&mut self, space: u32) -> Rows {
        self.spaces
            .remove(&space)
            .map_or(Rows::new(), |own| own.rows)
    }

    /// The row of `_space` of a space.
    fn definition(&self, space: u32) -> Option<&[u8]> {
        self.system_row(SPACE, space)
    }

    /// The row of a space of the system that begins with a number.
    fn system_row(&self, space: u32, id: u32) -> Option<&[u8]> {
        let key = leading_key(space, &number(id)).ok()?;
        self.spaces.get(&space)?.rows.get(&key).map(|row| &**row)
    }

    /// Applies one row.
    pub(super) fn apply(&mut self, row: &Row<'_>) -> Result<(), String> {
        match row.action {
            RowAction::Nop | RowAction::Nothing => return Ok(()),
            RowAction::Rollback => return Err("a synchronous transaction is taken back".to_owned()),
            RowAction::Other(kind) => return Err(format!("a request of unknown type {kind}")),
            _ => {}
        }
        if row.index != u64::from(PRIMARY) {
            return Err("a change by a secondary index".to_owned());
        }
        if !self.knows_keys(row.space)? {
            return Ok(());
        }
        let missing = |what: &str| format!("a request without {what}");
        match row.action {
            RowAction::Put => {
                let tuple = row.tuple.ok_or_else(|| missing("a tuple"))?;
                self.put(row.space, tuple)?;
                self.move_sequence(row.space, tuple)
            }
            RowAction::Delete => {
                let key = self.read_key(row.space, row.key.ok_or_else(|| missing("a key"))?)?;
                self.delete(row.space, &key)
            }
            RowAction::Update => {
                let key = self.read_key(row.space, row.key.ok_or_else(|| missing("a key"))?)?;
                let ops = row.tuple.ok_or_else(|| missing("operations"))?;
                match self.changed(row.space, &key, ops, row.index_base, Mode::Update)? {
                    Some(new) => self.put(row.space, &new),
                    None => Ok(()),
                }
            }
            _ => {
                let tuple = row.tuple.ok_or_else(|| missing("a tuple"))?;
                let key = self.key_of(row.space, tuple)?;
                let ops = row.ops.ok_or_else(|| missing("operations"))?;
                match self.changed(row.space, &key, ops, row.index_base, Mode::Upsert)? {
                    // Tarantool leaves the row as it is rather than move it to another key.
                    Some(new) if self.key_of(row.space, &new)? != key => Ok(()),
                    Some(new) => self.put(row.space, &new),
                    None => self.put(row.space, tuple),
                }
            }
        }
    }

    /// Whether the rows of a space are kept; those of one without known keys are not.
    fn knows_keys(&mut self, space: u32) -> Result<bool, String> {
        if system::is_system(space) {
            self.spaces.entry(space).or_insert_with(|| ModelSpace {
                keys: ModelKeys::Leading,
                rows: Rows::new(),
            });
            return Ok(true);
        }
        if let Some(own) = self.spaces.get(&space) {
            return Ok(!matches!(own.keys, ModelKeys::Unknown));
        }
        match self.definition(space) {
            Some(_) => Ok(false),
            None => Err(format!("it belongs to space {space}, which is not there")),
        }
    }

    fn key_of(&self, space: u32, tuple: &[u8]) -> Result<Key, String> {
        let misfit = || format!("a tuple of space {space} that has no key");
        match &self.spaces.get(&space).ok_or_else(misfit)?.keys {
            ModelKeys::Leading => leading_key(space, tuple),
            ModelKeys::Index(index) => index.key_of(tuple).map_err(|_| misfit()),
            ModelKeys::Unknown => Err(misfit()),
        }
    }

    fn read_key(&self, space: u32, key: &[u8]) -> Result<Key, String> {
        let misfit = || format!("a key that space {space} cannot have");
        match &self.spaces.get(&space).ok_or_else(misfit)?.keys {
            ModelKeys::Leading => {
                let (from, to) = key_fields(space);
                fields_of(key, 0, to - from)
            }
            ModelKeys::Index(index) => index.read_key(key).map_err(|_| misfit()),
            ModelKeys::Unknown => Err(misfit()),
        }
    }

    /// What operations make of the row with a key; `None` if it is not there.
    fn changed(
        &self,
        space: u32,
        key: &Key,
        ops: &[u8],
        index_base: u64,
        mode: Mode,
    ) -> Result<Option<Vec<u8>>, String> {
        let old = self.spaces.get(&space).and_then(|own| own.rows.get(key));
        let Some(old) = old else { return Ok(None) };
        let definition = self.definition(space);
        let names = |name: &str| field_number(definition?, name);
        let changed = update::apply(old, ops, index_base, &names, mode);
        changed
            .map(Some)
            .map_err(|error| error.message().to_owned())
    }

    fn put(&mut self, space: u32, tuple: &[u8]) -> Result<(), String> {
        let key = self.key_of(space, tuple)?;
        if let Some(own) = self.spaces.get_mut(&space) {
            own.rows.insert(key, tuple.into());
        }
        match space {
            INDEX => self.redefine(tuple),
            TRUNCATE => {
                let id = first_number(tuple)?;
                if let Some(own) = self.spaces.get_mut(&id) {
                    own.rows.clear();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Moves the sequence of a space on to the value that a row has from it.
    fn move_sequence(&mut self, space: u32, tuple: &[u8]) -> Result<(), String> {
        if !self.moves_sequences || system::is_system(space) {
            return Ok(());
        }
        let told = |error: Error| error.message().to_owned();
        let Some(attachment) = self.system_row(SPACE_SEQUENCE, space) else {
            return Ok(());
        };
        let attachment = AttachmentRow::decode(attachment).map_err(told)?;
        let Some(sequence) = self.system_row(SEQUENCE, attachment.sequence) else {
            return Ok(());
        };
        let sequence = SequenceRow::decode(sequence).map_err(told)?;
        let last = self.system_row(SEQUENCE_DATA, sequence.id);
        let last = last.map(decode_value).transpose().map_err(told)?;
        let value = integer_at(tuple, attachment.field);
        let Some(value) = value.filter(|value| sequence.is_ahead(*value, last)) else {
            return Ok(());
        };
        let row = encode_value(sequence.id, value);
        self.knows_keys(SEQUENCE_DATA)?;
        self.put(SEQUENCE_DATA, &row)
    }

    fn delete(&mut self, space: u32, key: &Key) -> Result<(), String> {
        let own = self.spaces.get_mut(&space);
        let Some(old) = own.and_then(|own| own.rows.remove(key)) else {
            return Ok(());
        };
        match space {
            SPACE => drop(self.spaces.remove(&first_number(&old)?)),
            INDEX if index_number(&old) == Some(PRIMARY) => {
                // The rows go with the index that they stand in.
                drop(self.spaces.remove(&first_number(&old)?));
            }
            _ => {}
        }
        Ok(())
    }

    /// Reads the keys of a space by another primary index from now on.
    fn redefine(&mut self, row: &[u8]) -> Result<(), String> {
        let space = first_number(row)?;
        if index_number(row) != Some(PRIMARY) || system::is_system(space) {
            return Ok(());
        }
        let old = self.spaces.remove(&space);
        let mut new = ModelSpace {
            keys: match IndexRow::decode(row) {
                Ok(row) => ModelKeys::Index(Box::new(index_def(&row, &row.parts))),
                Err(_) => ModelKeys::Unknown,
            },
            rows: Rows::new(),
        };
        if let ModelKeys::Index(index) = &new.keys {
            for tuple in old.into_iter().flat_map(|old| old.rows.into_values()) {
                let key = index.key_of(&tuple);
                let key = key.map_err(|_| format!("a tuple of space {space} has no new key"))?;
                new.rows.insert(key, tuple);
            }
        }
        self.spaces.insert(space, new);
        Ok(())
    }
}

/// The key of a row of a space of the system.
fn leading_key(space: u32, tuple: &[u8]) -> Result<Key, String> {
    let (from, to) = key_fields(space);
    fields_of(tuple, from, to)
}

/// The fields that the primary key of a space of the system has, from one to before another.
fn key_fields(space: u32) -> (usize, usize) {
    match space {
        PRIV => (1, 4),
        INDEX | FOREIGN_KEY | CHECK | FUNCTIONAL_INDEX => (0, 2),
        _ => (0, 1),
    }
}

/// The bytes of these fields of an array, as a key.
fn fields_of(array: &[u8], from: usize, to: usize) -> Result<Key, String> {
    let read = || {
        let mut reader = Reader::new(array);
        let count = reader.read_array_len().ok()? as usize;
        let mut bytes = Vec::new();
        for field in 0..to.min(count) {
            let value = reader.skip().ok()?;
            if field >= from {
                bytes.extend_from_slice(value);
            }
        }
        (count >= to).then(|| Key::from_bytes(&bytes))
    };
    read().ok_or_else(|| "a row of a system space that is too short".to_owned())
}

/// An array of one number.
fn number(value: u32) -> Vec<u8> {
    let mut array = vec![0x91];
    vestibule_wire::msgpack::write_uint(&mut array, value.into());
    array
}

pub(super) fn first_number(row: &[u8]) -> Result<u32, String> {
    let without = |_| "a row of a system space without a number".to_owned();
    system::first_id(row).map_err(without)
}

fn index_number(row: &[u8]) -> Option<u32> {
    u32::try_from(system::second_number(row)?).ok()
}

fn integer_at(tuple: &[u8], field: u32) -> Option<i64> {
    let mut reader = Reader::new(tuple);
    let count = reader.read_array_len().ok()?;
    for _ in 0..field.min(count) {
        reader.skip().ok()?;
    }
    i64::try_from(reader.read_integer().ok()?.to_i128()).ok()
}

/// The number of a field by its name in the format, the seventh field of a row of `_space`.
fn field_number(definition: &[u8], name: &str) -> Option<u32> {
    let mut reader = Reader::new(definition);
    let count = reader.read_array_len().ok()?;
    for _ in 0..count.min(6) {
        reader.skip().ok()?;
    }
    for number in 0..reader.read_array_len().ok()? {
        for _ in 0..reader.read_map_len().ok()? {
            let is_name = reader.read_str() == Ok("name");
            let value = reader.skip().ok()?;
            if is_name && Reader::new(value).read_str() == Ok(name) {
                return Some(number);
            }
        }
    }
    None
}
