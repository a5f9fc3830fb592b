//! Rows of `_space`.

use std::collections::HashSet;

use vestibule_wire::Error;
use vestibule_wire::msgpack::{Kind, Reader, write_array_len, write_str, write_uint};

use super::common::{
    check_name, malformed, number, read_collation, refuse_field_option, stored_elsewhere,
};
use super::foreign_key::{self, FOREIGN_KEY};
use super::index::has_collations;
use super::options::{OptionType, RowOptions};
use crate::errors::{self, parts as part_errors};
use crate::limits::{FIELD_COUNT_MAX, FORMAT_FIELDS_MAX, SPACE_ID_MAX};
use crate::model::field::FieldType;
use crate::model::foreign_key::ForeignKey;
use crate::model::space::Field;

/// A row of `_space`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpaceRow {
    pub(crate) id: u32,
    pub(crate) owner: u64,
    pub(crate) name: Box<str>,
    pub(crate) engine: Box<str>,
    pub(crate) field_count: u32,
    pub(crate) options: SpaceOptions,
    pub(crate) format: Vec<Field>,
}

/// The options of a space.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SpaceOptions {
    /// What it holds is not durable.
    pub(crate) is_temporary: bool,
    /// What whole tuples refer to.
    pub(crate) foreign_keys: Box<[ForeignKey]>,
    written: RowOptions,
}

/// Every option of a space, those of newer Tarantools included.
const OPTIONS: [(&str, OptionType); 10] = [
    ("group_id", OptionType::Unsigned),
    (TEMPORARY, OptionType::Boolean),
    (TYPE, OptionType::Str),
    ("is_sync", OptionType::Boolean),
    ("view", OptionType::Boolean),
    ("sql", OptionType::Str),
    ("defer_deletes", OptionType::Boolean),
    ("constraint", OptionType::Map),
    (FOREIGN_KEY, OptionType::Map),
    ("checks", OptionType::Array),
];
const TEMPORARY: &str = "temporary";
const TYPE: &str = "type";
/// The group of spaces that are not replicated.
const GROUP_LOCAL: &str = "group_id";

/// Makes the error for a space, `ErrorCode::CREATE_SPACE` or `ErrorCode::ALTER_SPACE`, of its name
/// and the reason.
pub(crate) type Refuse = fn(&str, &str) -> Error;

impl SpaceRow {
    /// # Errors
    ///
    /// What is wrong with the row, as for a client that sent it.
    pub(crate) fn decode(tuple: &[u8]) -> Result<Self, Error> {
        let read = Self::read(tuple, errors::cannot_alter_space, false);
        read.map_err(|error| stored_elsewhere(error, || name_of(tuple)))
    }

    /// [`decode`](Self::decode) of a row that is to be stored, with the words of what is done with
    /// it: its options are checked.
    pub(crate) fn decode_new(tuple: &[u8], refuse: Refuse) -> Result<Self, Error> {
        Self::read(tuple, refuse, true)
    }

    fn read(tuple: &[u8], refuse: Refuse, is_new: bool) -> Result<Self, Error> {
        let mut reader = Reader::new(tuple);
        let count = reader.read_array_len().map_err(malformed)?;
        let id = number(&mut reader, u64::from(SPACE_ID_MAX))?;
        let owner = reader.read_uint().map_err(malformed)?;
        let name: Box<str> = reader.read_str().map_err(malformed)?.into();
        let engine = reader.read_str().map_err(malformed)?.into();
        let field_count = number(&mut reader, FIELD_COUNT_MAX)?;
        let options = SpaceOptions::read(&mut reader, is_new)?;
        let format = if count > 6 {
            decode_format(&mut reader, &name, refuse)?
        } else {
            Vec::new()
        };
        if field_count > 0 && (field_count as usize) < format.len() {
            let why = "exact_field_count must be either 0 or >= formatted field count";
            return Err(refuse(&name, why));
        }
        check_field_names(&format)?;
        Ok(Self {
            id,
            owner,
            name,
            engine,
            field_count,
            options,
            format,
        })
    }

    /// What its tuples refer to, field by field, and then as a whole.
    pub(crate) fn foreign_keys(&self) -> impl Iterator<Item = &ForeignKey> {
        let fields = self.format.iter().flat_map(|field| &field.foreign_keys);
        fields.chain(&self.options.foreign_keys)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_array_len(&mut out, 7);
        write_uint(&mut out, u64::from(self.id));
        write_uint(&mut out, self.owner);
        write_str(&mut out, &self.name);
        write_str(&mut out, &self.engine);
        write_uint(&mut out, u64::from(self.field_count));
        self.options.written.encode(&mut out);
        encode_format(&self.format, &mut out);
        out
    }
}

/// The space of a row, for errors.
fn name_of(row: &[u8]) -> Option<String> {
    let mut reader = Reader::new(row);
    reader.read_array_len().ok()?;
    reader.skip().and_then(|_| reader.skip()).ok()?;
    Some(format!("space '{}'", reader.read_str().ok()?))
}

impl SpaceOptions {
    fn read(reader: &mut Reader<'_>, is_new: bool) -> Result<Self, Error> {
        let written = RowOptions::read(reader)?;
        if is_new {
            written.check(&OPTIONS, errors::wrong_space_options)?;
            check_understood(&written)?;
        }
        let is_temporary = match written.text(TYPE) {
            Some(kind) => SpaceType::from_name(kind) == Some(SpaceType::DataTemporary),
            None => written.flag(TEMPORARY),
        };
        let foreign_keys = match written.get(FOREIGN_KEY) {
            Some(keys) => foreign_key::read(&mut Reader::new(keys), None)
                .map_err(errors::wrong_space_options)?,
            None => Box::default(),
        };
        Ok(Self {
            is_temporary,
            foreign_keys,
            written,
        })
    }

    /// Whether it is on one instance alone.
    pub(crate) fn is_local(&self) -> bool {
        self.written.number(GROUP_LOCAL) == Some(1.0)
    }

    /// Says what tuples refer to, MessagePack; nothing if it is an empty map.
    ///
    /// # Errors
    ///
    /// `ErrorCode::WRONG_SPACE_OPTIONS` for what is no foreign key.
    pub(crate) fn set_foreign_keys(&mut self, keys: &[u8]) -> Result<(), Error> {
        let read = foreign_key::read(&mut Reader::new(keys), None);
        self.foreign_keys = read.map_err(errors::wrong_space_options)?;
        if self.foreign_keys.is_empty() {
            self.written.remove(FOREIGN_KEY);
        } else {
            self.written.set(FOREIGN_KEY, keys);
        }
        Ok(())
    }

    /// Makes the space temporary or not, in the words of Tarantool's older versions.
    pub(crate) fn set_temporary(&mut self, is_temporary: bool) {
        self.is_temporary = is_temporary;
        self.written.remove(TYPE);
        if is_temporary {
            self.written.set_flag(TEMPORARY, true);
        } else {
            self.written.remove(TEMPORARY);
        }
    }

    /// The same by the type's name.
    ///
    /// # Errors
    ///
    /// `ErrorCode::WRONG_SPACE_OPTIONS` or `ErrorCode::UNSUPPORTED` for what is no type here.
    pub(crate) fn set_type(&mut self, name: &str) -> Result<(), Error> {
        let kind = check_type(name)?;
        self.is_temporary = kind == SpaceType::DataTemporary;
        self.written.remove(TEMPORARY);
        let mut value = Vec::new();
        write_str(&mut value, name);
        self.written.set(TYPE, &value);
        Ok(())
    }

    /// Says whether the space would be replicated.
    pub(crate) fn set_local(&mut self, is_local: bool) {
        if is_local {
            self.written.set(GROUP_LOCAL, &[1]);
        } else {
            self.written.remove(GROUP_LOCAL);
        }
    }

    /// Says whether a space of another engine would put its deletions off.
    pub(crate) fn set_defer_deletes(&mut self, defers: bool) {
        self.written.set_flag("defer_deletes", defers);
    }
}

/// What of a space is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SpaceType {
    Normal,
    /// The definition, and not what it holds.
    DataTemporary,
}

impl SpaceType {
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "normal" => Some(Self::Normal),
            "data-temporary" => Some(Self::DataTemporary),
            _ => None,
        }
    }
}

fn check_type(name: &str) -> Result<SpaceType, Error> {
    SpaceType::from_name(name).ok_or_else(|| match name {
        "temporary" => errors::unsupported("the space type 'temporary'"),
        _ => errors::wrong_space_options(
            "type must be one of: 'normal', 'data-temporary', 'temporary'",
        ),
    })
}

/// Refuses what would make another kind of space.
fn check_understood(options: &RowOptions) -> Result<(), Error> {
    for flag in ["is_sync", "view"] {
        if options.flag(flag) {
            return Err(errors::unsupported(&format!("the space flag '{flag}'")));
        }
    }
    for rules in ["constraint", "checks"] {
        if !matches!(options.get(rules), None | Some([0x80 | 0x90])) {
            return Err(errors::unsupported(&format!("the space option '{rules}'")));
        }
    }
    if let Some(kind) = options.text(TYPE) {
        check_type(kind)?;
        if options.get(TEMPORARY).is_some() {
            let why = "only one of 'type' or 'temporary' may be specified";
            return Err(errors::wrong_space_options(why));
        }
    }
    Ok(())
}

/// Reads a format: maps with `name`, `type` and `is_nullable`.
fn decode_format(
    reader: &mut Reader<'_>,
    space: &str,
    refuse: Refuse,
) -> Result<Vec<Field>, Error> {
    let count = reader.read_array_len().map_err(malformed)? as usize;
    if count > FORMAT_FIELDS_MAX {
        return Err(refuse(space, "too many fields in format"));
    }
    let mut fields: Vec<Field> = Vec::new();
    for at in 1..=count {
        let field = decode_field(reader, at, space, refuse)?;
        check_name(&field.name)?;
        fields.push(field);
    }
    Ok(fields)
}

fn decode_field(
    reader: &mut Reader<'_>,
    at: usize,
    space: &str,
    refuse: Refuse,
) -> Result<Field, Error> {
    let wrong = |what: &str| errors::wrong_space_format(at, what);
    if reader.peek().map_err(malformed)? != Kind::Map {
        return Err(refuse(space, &format!("field {at} is not map")));
    }
    let (start, whole) = (reader.position(), *reader);
    let (mut name, mut kind, mut is_nullable, mut default) = (None, "any", false, None);
    let (mut collation, mut foreign_keys) = (None, Box::default());
    for _ in 0..reader.read_map_len().map_err(malformed)? {
        match reader.read_str().map_err(malformed)? {
            "name" => {
                let read = reader.read_str();
                name = Some(read.map_err(|_| wrong("'name' must be string"))?);
            }
            "type" => {
                let read = reader.read_str();
                kind = read.map_err(|_| wrong("'type' must be enum"))?;
            }
            "is_nullable" => {
                let read = reader.read_bool();
                is_nullable = read.map_err(|_| wrong("'is_nullable' must be boolean"))?;
            }
            "default" => default = Some(reader.skip().map_err(malformed)?.into()),
            "collation" => {
                let unknown = |why: &str| part_errors::wrong_collation(at, why);
                collation = read_collation(reader, wrong, unknown)?;
            }
            FOREIGN_KEY if reader.peek() != Ok(Kind::Nil) => {
                let read = foreign_key::read(reader, Some(at as u32 - 1));
                foreign_keys = read.map_err(|why| errors::wrong_space_format(at, why))?;
            }
            option => refuse_field_option(option, reader)?,
        }
    }
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        let why = format!("field {at} name is not specified");
        return Err(refuse(space, &why));
    };
    let Some(kind) = FieldType::from_name(kind) else {
        let why = format!("field {at} has unknown field type");
        return Err(refuse(space, &why));
    };
    if collation.is_some() && kind != FieldType::Any && !has_collations(kind) {
        let why = "collation is reasonable only for string, scalar and any fields";
        return Err(refuse(space, why));
    }
    let written = &whole.rest()[..reader.position() - start];
    Ok(Field {
        name: name.into(),
        kind,
        is_nullable,
        default,
        collation,
        foreign_keys,
        written: written.into(),
    })
}

fn check_field_names(format: &[Field]) -> Result<(), Error> {
    let mut names = HashSet::with_capacity(format.len());
    match format.iter().find(|field| !names.insert(&field.name)) {
        Some(field) => Err(errors::duplicate_field(&field.name)),
        None => Ok(()),
    }
}

/// Appends a format as it stands in `_space`.
fn encode_format(format: &[Field], out: &mut Vec<u8>) {
    write_array_len(out, format.len() as u32);
    for field in format {
        out.extend_from_slice(&field.written);
    }
}
