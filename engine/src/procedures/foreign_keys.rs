//! Foreign keys as Lua callers write them, and as `_space` keeps them.
//!
//! ```text
//!   {space = 'country', field = 'id'}             ─▶  {country: {space: 512, field: "id"}}
//!   {born = {space = 'country', field = {[2] = 1}}}  ─▶  {born: {space: 512, field: {1: 0}}}
//! ```
//!
//! Callers count fields from 1, rows from 0.

use vestibule_wire::Error;
use vestibule_wire::msgpack::{DecodeError, Kind, Reader, write_map_len, write_str, write_uint};

use super::args::{LuaValue, illegal};
use crate::access::rights::Rights;
use crate::model::space::Field;
use crate::schema::system::read;
use crate::schema::system::rows::{FOREIGN_KEY, SpaceRow};
use crate::store::snapshot::Snapshot;

/// The space whose definition is written, and what the caller may know of others.
pub(super) struct DefinedSpace<'a> {
    pub(super) name: &'a str,
    /// `None` while it has no number.
    pub(super) id: Option<u32>,
    pub(super) snapshot: Snapshot<'a>,
    pub(super) rights: &'a Rights,
}

impl DefinedSpace<'_> {
    /// Whether a foreign key without a space, or with this one, leads to the space itself.
    fn is_own(&self, space: Option<&LuaValue<'_>>) -> bool {
        space.is_none_or(|space| {
            space.as_str() == Some(self.name)
                || self.id.is_some_and(|id| space.as_uint() == Some(id.into()))
        })
    }

    /// The space that a foreign key leads to, unless the caller may not know of it.
    fn find(&self, space: &LuaValue<'_>) -> Result<Option<SpaceRow>, Error> {
        let id = space.as_uint().and_then(|id| u32::try_from(id).ok());
        let found = match (space.as_str(), id) {
            (Some(name), _) => read::space_with_name(self.snapshot, name)?,
            (None, Some(id)) => read::space(self.snapshot, id)?,
            (None, None) => None,
        };
        Ok(found.filter(|found| self.rights.shows_space(found.id)))
    }
}

/// Which fields a foreign key is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyOf {
    /// One field, whose format it stands in.
    Field,
    /// The whole tuple.
    Tuple,
}

/// Foreign keys as `_space` keeps them, MessagePack; errors begin with `place`.
pub(super) fn normalized(
    given: &LuaValue<'_>,
    of: KeyOf,
    space: &DefinedSpace<'_>,
    place: &str,
) -> Result<Vec<u8>, Error> {
    let wrong = |what: &str| illegal(format_args!("{place}{what}"));
    let is_table = |value: &LuaValue<'_>| matches!(value, LuaValue::List(_) | LuaValue::Table(_));
    if !is_table(given) {
        return Err(wrong("foreign key must be a table"));
    }
    let mut out = Vec::new();
    let field = given.get("field");
    if let Some(field) = field
        && !(given.get("space").is_some_and(is_table) && is_table(field))
    {
        // The short form: a foreign key without a name has that of the space that it leads to.
        let (mut key, mut name) = (Vec::new(), space.name.to_owned());
        if let Some(parent) = write_one(given, of, space, place, &mut key)? {
            name = parent.name.into();
        }
        write_map_len(&mut out, 1);
        write_str(&mut out, &name);
        out.extend_from_slice(&key);
        return Ok(out);
    }
    let pairs = match given {
        LuaValue::Table(pairs) => pairs.as_slice(),
        LuaValue::List(values) if values.is_empty() => &[],
        _ => return Err(wrong("foreign key name must be a string")),
    };
    write_map_len(&mut out, pairs.len() as u32);
    for (name, key) in pairs {
        let name = name.as_str();
        write_str(
            &mut out,
            name.ok_or_else(|| wrong("foreign key name must be a string"))?,
        );
        if !is_table(key) {
            let shape = "foreign key definition must be a table with 'space' and 'field' members";
            return Err(wrong(shape));
        }
        write_one(key, of, space, place, &mut out)?;
    }
    Ok(out)
}

/// Appends one foreign key; returns the space that it leads to, if that is another one.
fn write_one(
    key: &LuaValue<'_>,
    of: KeyOf,
    own: &DefinedSpace<'_>,
    place: &str,
    out: &mut Vec<u8>,
) -> Result<Option<SpaceRow>, Error> {
    let wrong = |what: &str| illegal(format_args!("{place}foreign key: {what}"));
    let field = key
        .get("field")
        .ok_or_else(|| wrong("field must be specified"))?;
    let space = key.get("space");
    if space.is_some_and(|space| space.as_str().is_none() && space.as_number().is_none()) {
        return Err(wrong("space must be string or number"));
    }
    let mut fields = Vec::new();
    match of {
        KeyOf::Field => {
            let what = "field must be string or number";
            write_field(field, &mut fields).ok_or_else(|| wrong(what))?;
        }
        KeyOf::Tuple => write_pairs(field, &mut fields).map_err(wrong)?,
    }
    let parent = match space.filter(|_| !own.is_own(space)) {
        None => None,
        Some(space) => {
            let not_found = || {
                let name = space.as_str().map_or_else(
                    || space.as_number().unwrap_or_default().to_string(),
                    str::to_owned,
                );
                wrong(&format!("space {name} was not found"))
            };
            Some(own.find(space)?.ok_or_else(not_found)?)
        }
    };
    if let Some(other) = key.names().find(|name| !matches!(*name, "space" | "field")) {
        return Err(wrong(&format!("unexpected parameter '{other}'")));
    }
    write_map_len(out, 1 + u32::from(parent.is_some()));
    if let Some(parent) = &parent {
        write_str(out, "space");
        write_uint(out, parent.id.into());
    }
    write_str(out, "field");
    out.extend_from_slice(&fields);
    Ok(parent)
}

/// Appends a field by its name, or by its number.
fn write_field(field: &LuaValue<'_>, out: &mut Vec<u8>) -> Option<()> {
    match field.as_str() {
        Some(name) => write_str(out, name),
        None => write_uint(out, field.as_uint()?.checked_sub(1)?),
    }
    Some(())
}

/// Appends which field leads to which.
fn write_pairs(pairs: &LuaValue<'_>, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let table = "field must be a table with local field -> foreign field mapping";
    let foreign = "foreign field must be string or number";
    match pairs {
        LuaValue::Table(pairs) if !pairs.is_empty() => {
            write_map_len(out, pairs.len() as u32);
            for (own, other) in pairs {
                write_field(own, out).ok_or("local field must be string or number")?;
                write_field(other, out).ok_or(foreign)?;
            }
        }
        LuaValue::List(values) if !values.is_empty() => {
            write_map_len(out, values.len() as u32);
            for (own, other) in (0..).zip(values) {
                write_uint(out, own);
                write_field(other, out).ok_or(foreign)?;
            }
        }
        _ => return Err(table),
    }
    Ok(())
}

/// The map of a field as callers read it: with numbers of fields from 1.
pub(super) fn shown(field: &Field) -> Vec<u8> {
    shown_map(&field.written).unwrap_or_else(|_| field.written.to_vec())
}

fn shown_map(written: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let (mut reader, mut out) = (Reader::new(written), Vec::new());
    let count = reader.read_map_len()?;
    write_map_len(&mut out, count);
    for _ in 0..count {
        let name = reader.read_str()?;
        write_str(&mut out, name);
        if name != FOREIGN_KEY || reader.peek()? != Kind::Map {
            out.extend_from_slice(reader.skip()?);
            continue;
        }
        let count = reader.read_map_len()?;
        write_map_len(&mut out, count);
        for _ in 0..count {
            write_str(&mut out, reader.read_str()?);
            let count = reader.read_map_len()?;
            write_map_len(&mut out, count);
            for _ in 0..count {
                let option = reader.read_str()?;
                write_str(&mut out, option);
                if option == "field" && reader.peek()? == Kind::Uint {
                    write_uint(&mut out, reader.read_uint()?.saturating_add(1));
                } else {
                    out.extend_from_slice(reader.skip()?);
                }
            }
        }
    }
    Ok(out)
}
