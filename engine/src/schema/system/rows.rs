//! Rows of the system spaces, from and to MessagePack.

use std::collections::HashSet;

use vestibule_wire::Error;
use vestibule_wire::auth::PasswordHash;
use vestibule_wire::msgpack::{
    DecodeError, Kind, Reader, write_array_len, write_bool, write_map_len, write_str, write_uint,
};

use crate::errors;
use crate::limits::{FIELD_COUNT_MAX, FORMAT_FIELDS_MAX, INDEX_PARTS_MAX, SPACE_ID_MAX};
use crate::model::field::FieldType;
use crate::model::index::Part;
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

/// A row of `_user`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserRow {
    pub(crate) id: u64,
    pub(crate) owner: u64,
    pub(crate) name: Box<str>,
    /// `user` or `role`.
    pub(crate) kind: Box<str>,
    pub(crate) password: Option<PasswordHash>,
}

/// Error for a space, 9 or 12, with the reason.
pub(crate) type Refuse = fn(&str, &str) -> Error;

/// The method whose hash a user's row keeps.
const CHAP_SHA1: &str = "chap-sha1";

/// The option of an index that says whether keys are unique.
const INDEX_OPTIONS_UNIQUE: &str = "unique";

fn malformed(_: impl std::error::Error) -> Error {
    Error::invalid_msgpack("system row")
}

fn number(reader: &mut Reader<'_>, most: u64) -> Result<u32, Error> {
    let value = reader.read_uint().map_err(malformed)?;
    if value > most {
        return Err(Error::illegal_params(format!(
            "{value} is out of range, at most {most}"
        )));
    }
    u32::try_from(value).map_err(malformed)
}

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

/// A name of a space, index, field or user.
///
/// # Errors
///
/// `ErrorCode::IDENTIFIER` if it is empty, too long or not printable.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    // Separators of lines and of paragraphs are not printable either.
    let is_printable = !name.contains(|character: char| {
        character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
    });
    if name.is_empty() || name.len() > crate::limits::NAME_SIZE_MAX || !is_printable {
        return Err(errors::identifier(name));
    }
    Ok(())
}

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

/// Options that change nothing here pass, others are refused.
fn refuse_option(of: &str, option: &str, reader: &mut Reader<'_>) -> Result<(), Error> {
    let value = reader.skip().map_err(malformed)?;
    let is_harmless = match option {
        // These two order by bytes, as all strings are ordered here.
        "collation" if !matches!(value, [0x00 | 0x03 | 0xc0]) => {
            return Err(errors::unsupported_collation(collation_name(value)));
        }
        "collation" => true,
        "sort_order" => value == b"\xa3asc",
        "nullable_action" => true,
        _ => matches!(value, [0xc0]),
    };
    if is_harmless {
        return Ok(());
    }
    Err(errors::unsupported_option(of, option))
}

/// The name of a collation, which rows tell by number.
fn collation_name(number: &[u8]) -> &'static str {
    match number {
        [1] => "unicode",
        [2] => "unicode_ci",
        _ => "of a language",
    }
}

impl UserRow {
    /// # Errors
    ///
    /// What is wrong with the row, as for a client that sent it.
    pub(crate) fn decode(tuple: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(tuple);
        let count = reader.read_array_len().map_err(malformed)?;
        let id = reader.read_uint().map_err(malformed)?;
        let owner = reader.read_uint().map_err(malformed)?;
        let name: Box<str> = reader.read_str().map_err(malformed)?.into();
        let kind: Box<str> = reader.read_str().map_err(malformed)?.into();
        let mut password = None;
        if count > 4 && reader.peek().map_err(malformed)? == Kind::Map {
            for _ in 0..reader.read_map_len().map_err(malformed)? {
                if reader.read_str().map_err(malformed)? == CHAP_SHA1 {
                    let hash = reader.read_str().map_err(malformed)?;
                    let wrong = || errors::cannot_create_user(&name, "invalid user password");
                    password = Some(PasswordHash::from_base64(hash).ok_or_else(wrong)?);
                } else {
                    reader.skip().map_err(malformed)?;
                }
            }
        }
        Ok(Self {
            id,
            owner,
            name,
            kind,
            password,
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_array_len(&mut out, 5);
        write_uint(&mut out, self.id);
        write_uint(&mut out, self.owner);
        write_str(&mut out, &self.name);
        write_str(&mut out, &self.kind);
        write_map_len(&mut out, u32::from(self.password.is_some()));
        if let Some(password) = self.password {
            write_str(&mut out, CHAP_SHA1);
            write_str(&mut out, &password.to_base64());
        }
        out
    }
}

/// A row of `_collation`.
pub(super) fn encode_collation(id: u64, name: &str, strength: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write_array_len(&mut out, 6);
    write_uint(&mut out, id);
    write_str(&mut out, name);
    write_uint(&mut out, crate::schema::system::ADMIN);
    write_str(&mut out, if strength.is_empty() { "BINARY" } else { "ICU" });
    write_str(&mut out, "");
    write_map_len(&mut out, u32::from(!strength.is_empty()));
    if !strength.is_empty() {
        write_str(&mut out, "strength");
        write_str(&mut out, strength);
    }
    out
}
