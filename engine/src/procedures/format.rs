//! Formats as Lua callers write them.

use std::fmt::Display;

use vestibule_wire::Error;
use vestibule_wire::msgpack::{write_map_len, write_str, write_uint};

use super::args::{LuaValue, illegal};
use super::foreign_keys::{self, DefinedSpace, KeyOf};
use crate::errors;
use crate::model::collation::KnownCollation;
use crate::model::field::FieldType;
use crate::model::space::Field;
use crate::schema::system::rows::{FOREIGN_KEY, Refuse, is_refused_field_option};

/// Reads a format as Lua callers write it: `{name = …, type = …}`, `{'id', 'unsigned'}`, `'id'`.
pub(super) fn read_format(
    format: &LuaValue<'_>,
    space: &DefinedSpace<'_>,
    refuse: Refuse,
) -> Result<Vec<Field>, Error> {
    let LuaValue::List(fields) = format else {
        return Err(illegal(
            "options parameter 'format' should be of type table",
        ));
    };
    let read = |(at, field)| read_field(at, field, space, refuse);
    (1..).zip(fields).map(read).collect()
}

fn read_field(
    at: usize,
    field: &LuaValue<'_>,
    space: &DefinedSpace<'_>,
    refuse: Refuse,
) -> Result<Field, Error> {
    let refuse = |why: &str| refuse(space.name, why);
    let name = field
        .as_str()
        .or_else(|| field.get("name").or(field.at(1)).and_then(LuaValue::as_str));
    let name =
        name.ok_or_else(|| illegal(format_args!("format[{at}]: name (string) is expected")))?;
    if name.is_empty() {
        return Err(refuse(&format!("field {at} name is not specified")));
    }
    let kind = field
        .get("type")
        .or(field.at(2))
        .map_or(Some("any"), LuaValue::as_str);
    let unknown = || refuse(&format!("field {at} has unknown field type"));
    let kind = kind.and_then(FieldType::from_name).ok_or_else(unknown)?;
    let is_nullable = match field.get("is_nullable") {
        None => false,
        Some(LuaValue::Bool(is_nullable)) => *is_nullable,
        Some(_) => {
            return Err(illegal(format_args!(
                "format[{at}]: is_nullable is no boolean"
            )));
        }
    };
    check_options(field)?;
    let collation = read_collation(field.get("collation"), format_args!("format[{at}]"))?;
    let default = field.get("default").map(|value| {
        let mut default = Vec::new();
        value.write(&mut default);
        default.into()
    });
    let place = format!("format[{at}]: ");
    let foreign_keys = field.get(FOREIGN_KEY);
    let foreign_keys = foreign_keys
        .map(|keys| foreign_keys::normalized(keys, KeyOf::Field, space, &place))
        .transpose()?;
    Ok(Field {
        name: name.into(),
        kind,
        is_nullable,
        default,
        collation: collation.map_or(Ok(None), KnownCollation::order)?,
        // They are read when the row is put, from what is written.
        foreign_keys: Box::default(),
        written: written(name, field, foreign_keys.as_deref(), collation).into(),
    })
}

/// Options that would ask something of a field's values are refused; what nobody knows is the
/// client's own.
fn check_options(field: &LuaValue<'_>) -> Result<(), Error> {
    let mut names = field.names();
    let is_refused = |name: &&str| is_refused_field_option(name) && field.get(name).is_some();
    match names.find(is_refused) {
        Some(option) => Err(errors::unsupported_option("field", option)),
        None => Ok(()),
    }
}

/// The map of a field as `_space` keeps it: what was given by place has its name.
fn written(
    name: &str,
    field: &LuaValue<'_>,
    foreign_keys: Option<&[u8]>,
    collation: Option<KnownCollation>,
) -> Vec<u8> {
    let kind = field.get("type").or(field.at(2)).and_then(LuaValue::as_str);
    let is_further = |(option, value): &(&str, &LuaValue<'_>)| {
        !matches!(*option, "name" | "type") && **value != LuaValue::Nil
    };
    let further: Vec<_> = field.named().filter(is_further).collect();
    let mut out = Vec::new();
    write_map_len(&mut out, 2 + further.len() as u32);
    write_str(&mut out, "name");
    write_str(&mut out, name);
    write_str(&mut out, "type");
    write_str(&mut out, kind.unwrap_or("any"));
    for (option, value) in further {
        write_str(&mut out, option);
        match (option, foreign_keys, collation) {
            (FOREIGN_KEY, Some(keys), _) => out.extend_from_slice(keys),
            ("collation", _, Some(known)) => write_uint(&mut out, known.number().into()),
            _ => value.write(&mut out),
        }
    }
    out
}

/// A collation that a field or a part names; `None` if it names none.
///
/// # Errors
///
/// `ErrorCode::ILLEGAL_PARAMS` for a name or number that Tarantool does not have.
pub(super) fn read_collation(
    collation: Option<&LuaValue<'_>>,
    place: impl Display,
) -> Result<Option<KnownCollation>, Error> {
    let (known, by) = match collation {
        None | Some(LuaValue::Nil) => return Ok(None),
        Some(LuaValue::Str(name)) => (KnownCollation::with_name(name), format!("name '{name}'")),
        Some(value) => {
            let number = value.as_uint();
            (
                number.and_then(KnownCollation::with_number),
                "ID".to_owned(),
            )
        }
    };
    let unknown = || illegal(format_args!("{place}: collation was not found by {by}"));
    known.ok_or_else(unknown).map(Some)
}
