//! Rows of `_space`.

use std::collections::HashSet;

use vestibule_wire::Error;
use vestibule_wire::msgpack::{
    DecodeError, Reader, write_array_len, write_bool, write_map_len, write_str, write_uint,
};

use super::common::{check_name, malformed, number, refuse_option};
use crate::errors;
use crate::limits::{FIELD_COUNT_MAX, FORMAT_FIELDS_MAX, SPACE_ID_MAX};
use crate::model::field::FieldType;
use crate::model::space::Field;

/// A row of `_space`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpaceRow {
    pub(crate) id: u32,
    pub(crate) owner: u64,
    pub(crate) name: Box<str>,
    pub(crate) engine: Box<str>,
    pub(crate) field_count: u32,
    pub(crate) is_temporary: bool,
    pub(crate) format: Vec<Field>,
}

/// Makes the error for a space, `ErrorCode::CREATE_SPACE` or `ErrorCode::ALTER_SPACE`, of its name
/// and the reason.
pub(crate) type Refuse = fn(&str, &str) -> Error;

impl SpaceRow {
    /// The name in a row.
    ///
    /// # Errors
    ///
    /// The row has none.
    pub(crate) fn name_of(tuple: &[u8]) -> Result<&str, DecodeError> {
        let mut reader = Reader::new(tuple);
        reader.read_array_len()?;
        reader.skip()?;
        reader.skip()?;
        reader.read_str()
    }

    /// # Errors
    ///
    /// What is wrong with the row, as for a client that sent it.
    pub(crate) fn decode(tuple: &[u8]) -> Result<Self, Error> {
        Self::decode_or(tuple, errors::cannot_alter_space)
    }

    /// [`decode`](Self::decode), with the words of what is done with the row.
    pub(crate) fn decode_or(tuple: &[u8], refuse: Refuse) -> Result<Self, Error> {
        let mut reader = Reader::new(tuple);
        let count = reader.read_array_len().map_err(malformed)?;
        let id = number(&mut reader, u64::from(SPACE_ID_MAX))?;
        let owner = reader.read_uint().map_err(malformed)?;
        let name: Box<str> = reader.read_str().map_err(malformed)?.into();
        let engine = reader.read_str().map_err(malformed)?.into();
        let field_count = number(&mut reader, FIELD_COUNT_MAX)?;
        let is_temporary = read_flags(&mut reader)?;
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
            is_temporary,
            format,
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_array_len(&mut out, 7);
        write_uint(&mut out, u64::from(self.id));
        write_uint(&mut out, self.owner);
        write_str(&mut out, &self.name);
        write_str(&mut out, &self.engine);
        write_uint(&mut out, u64::from(self.field_count));
        write_map_len(&mut out, 0);
        encode_format(&self.format, &mut out);
        out
    }
}

/// The flags of a space; those that are not understood here are refused.
fn read_flags(reader: &mut Reader<'_>) -> Result<bool, Error> {
    let mut is_temporary = false;
    for _ in 0..reader.read_map_len().map_err(malformed)? {
        match reader.read_str().map_err(malformed)? {
            "temporary" => is_temporary = reader.read_bool().map_err(malformed)?,
            "group_id" => drop(reader.skip().map_err(malformed)?),
            other => {
                // A flag that is off changes nothing.
                if reader.skip().map_err(malformed)? != [0xc2] {
                    return Err(errors::unsupported(&format!("the space flag '{other}'")));
                }
            }
        }
    }
    Ok(is_temporary)
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
    let (mut name, mut kind, mut is_nullable) = (None, "any", false);
    for _ in 0..reader.read_map_len().map_err(malformed)? {
        match reader.read_str().map_err(malformed)? {
            "name" => name = Some(reader.read_str().map_err(malformed)?),
            "type" => kind = reader.read_str().map_err(malformed)?,
            "is_nullable" => is_nullable = reader.read_bool().map_err(malformed)?,
            option => refuse_option("field", option, reader)?,
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
    Ok(Field {
        name: name.into(),
        kind,
        is_nullable,
    })
}

fn check_field_names(format: &[Field]) -> Result<(), Error> {
    let mut names = HashSet::with_capacity(format.len());
    match format.iter().find(|field| !names.insert(&field.name)) {
        Some(field) => Err(errors::duplicate_field(&field.name)),
        None => Ok(()),
    }
}

/// Appends a format as it stands in `_space` and as `space:format()` returns it.
pub(crate) fn encode_format(format: &[Field], out: &mut Vec<u8>) {
    write_array_len(out, format.len() as u32);
    for field in format {
        write_map_len(out, if field.is_nullable { 3 } else { 2 });
        write_str(out, "name");
        write_str(out, &field.name);
        write_str(out, "type");
        write_str(out, field.kind.name());
        if field.is_nullable {
            write_str(out, "is_nullable");
            write_bool(out, true);
        }
    }
}
