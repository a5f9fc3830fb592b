//! Formats as Lua callers write them.

use vestibule_wire::Error;

use super::args::{LuaValue, illegal};
use crate::errors;
use crate::model::field::FieldType;
use crate::model::space::Field;
use crate::schema::system::rows::Refuse;

/// Reads a format as Lua callers write it: `{name = …, type = …}`, `{'id', 'unsigned'}`, `'id'`.
pub(super) fn read_format(
    format: &LuaValue<'_>,
    space: &str,
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
    space: &str,
    refuse: Refuse,
) -> Result<Field, Error> {
    let name = field
        .as_str()
        .or_else(|| field.get("name").or(field.at(1)).and_then(LuaValue::as_str));
    let name =
        name.ok_or_else(|| illegal(format_args!("format[{at}]: name (string) is expected")))?;
    if name.is_empty() {
        return Err(refuse(space, &format!("field {at} name is not specified")));
    }
    let kind = field
        .get("type")
        .or(field.at(2))
        .map_or(Some("any"), LuaValue::as_str);
    let unknown = || {
        let why = format!("field {at} has unknown field type");
        refuse(space, &why)
    };
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
    for option in field.names() {
        let is_harmless = match option {
            "name" | "type" | "is_nullable" | "nullable_action" => true,
            "collation" => {
                check_collation(field.get(option), &format!("format[{at}]"))?;
                true
            }
            _ => false,
        };
        if !is_harmless {
            return Err(errors::unsupported_option("field", option));
        }
    }
    Ok(Field {
        name: name.into(),
        kind,
        is_nullable,
    })
}

/// Refuses a collation that does not order by bytes, as all strings are ordered here.
///
/// # Errors
///
/// `ErrorCode::UNSUPPORTED` for one that Tarantool has, else `ErrorCode::ILLEGAL_PARAMS`.
pub(super) fn check_collation(collation: Option<&LuaValue<'_>>, place: &str) -> Result<(), Error> {
    let name = match collation {
        None | Some(LuaValue::Nil) => return Ok(()),
        Some(LuaValue::Str(name)) => (*name).to_owned(),
        Some(value) => match value.as_uint() {
            Some(0 | 3) => return Ok(()),
            number => number.map_or_else(String::new, |number| number.to_string()),
        },
    };
    let lower = name.to_ascii_lowercase();
    match &*lower {
        "none" | "binary" => Ok(()),
        // `unicode`, `unicode_ci` and those of languages, `unicode_de__phonebook_s1`.
        _ if lower.starts_with("unicode") => Err(errors::unsupported_collation(&name)),
        _ => Err(illegal(format_args!(
            "{place}: collation was not found by name '{name}'"
        ))),
    }
}
