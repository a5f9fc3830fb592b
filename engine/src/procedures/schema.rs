//! `box.schema.space.create`, and formats.

use serde::Serialize;
use vestibule_actors::engine::Outcome;
use vestibule_wire::Error;
use vestibule_wire::msgpack::Reader;
use vestibule_wire::request::Target;

use super::args::{Args, Options, Value, illegal};
use super::{EngineCall, altered, users};
use crate::access::privileges::{ObjectKind, Privileges};
use crate::define::system_key;
use crate::errors;
use crate::field::FieldType;
use crate::layer::Sight;
use crate::limits::SPACE_ID_MAX;
use crate::space::Field;
use crate::system::rows::{Refuse, SpaceRow};
use crate::{EmbeddedEngine, ddl, system};

const OPTIONS: [&str; 9] = [
    "if_not_exists",
    "id",
    "engine",
    "user",
    "format",
    "field_count",
    "temporary",
    "is_local",
    "is_sync",
];

/// What `box.schema.space.create` returns. Tarantool returns an object that cannot travel.
#[derive(Debug, Serialize)]
pub(super) struct CreatedSpace<'a> {
    id: u32,
    name: &'a str,
}

/// `box.schema.space.create(name [, options])`
pub(super) fn create_space(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let name = args.name(0, "name")?;
    let options = args.options(1, &OPTIONS)?;
    let is_lenient = options.flag("if_not_exists")?;
    let existing = call
        .engine
        .look(|sight| ddl::space_with_name(sight, name))?;
    let is_shown = |space: &SpaceRow| call.engine.acting().shows_space(space.id);
    if !existing.as_ref().is_some_and(is_shown) {
        check_may_create(call.engine, name, &options)?;
    }
    if let Some(existing) = existing {
        if is_lenient {
            return call.reply.value(&CreatedSpace {
                id: existing.id,
                name,
            });
        }
        return Err(errors::space_exists(name));
    }
    let owner = owner(call.engine, &options)?;
    let (row, is_counted) = call
        .engine
        .look(|sight| space_row(sight, name, owner, &options))?;
    let reply = &call.reply;
    let done = call.engine.alter(|engine| {
        if is_counted {
            engine.put_counter(&system::max_space_id_row(row.id))?;
        }
        engine.put_system(system::SPACE, &row.encode(), reply)
    })?;
    altered(call, done, |call, ()| {
        call.reply.value(&CreatedSpace { id: row.id, name })
    })
}

/// Who may not create a space hears nothing of names and numbers that are taken.
fn check_may_create(
    engine: &EmbeddedEngine,
    name: &str,
    options: &Options<'_>,
) -> Result<(), Error> {
    if options.get("id").is_none() {
        engine.allowed(Target::Id(system::SCHEMA), Privileges::WRITE)?;
    }
    engine.allowed(Target::Id(system::SPACE), Privileges::WRITE)?;
    // Nothing can have been granted on a space that is not there.
    let nowhere = u64::MAX;
    let rights = engine.acting();
    rights.check_ddl(Privileges::CREATE, ObjectKind::Space, nowhere, name)
}

/// The row of a new space, and whether its number is the next one.
fn space_row(
    sight: Sight<'_>,
    name: &str,
    owner: u64,
    options: &Options<'_>,
) -> Result<(SpaceRow, bool), Error> {
    refuse_flags(options)?;
    let format = options
        .get("format")
        .map(|format| read_format(format, name, errors::cannot_create_space))
        .transpose()?;
    let field_count = options.uint("field_count")?.unwrap_or(0);
    let field_count = u32::try_from(field_count).map_err(|_| illegal("field_count is too big"))?;
    let wanted = options.uint("id")?;
    let id = wanted.map_or_else(
        || next_id(sight),
        |id| u32::try_from(id).unwrap_or(u32::MAX),
    );
    if id > SPACE_ID_MAX {
        return Err(errors::cannot_create_space(name, "space id is too big"));
    }
    if let Some(taken) = sight.get(system::SPACE, &system_key(&[id])) {
        let taken = SpaceRow::decode(taken)?;
        let why = format!("number {id} is taken by space '{}'", taken.name);
        return Err(errors::cannot_create_space(name, &why));
    }
    let row = SpaceRow {
        id,
        owner,
        name: name.into(),
        engine: options.text("engine")?.unwrap_or("memtx").into(),
        field_count,
        is_temporary: false,
        format: format.unwrap_or_default(),
    };
    Ok((row, wanted.is_none()))
}

/// Refuses what makes another kind of space.
///
/// # Errors
///
/// 5
pub(super) fn refuse_flags(options: &Options<'_>) -> Result<(), Error> {
    for refused in ["temporary", "is_local", "is_sync"] {
        if options.flag(refused)? {
            let what = format!("the space option '{refused}'");
            return Err(errors::unsupported(&what));
        }
    }
    Ok(())
}

/// The number of the user that is told, or else of the caller.
///
/// # Errors
///
/// 45
pub(super) fn owner(engine: &EmbeddedEngine, options: &Options<'_>) -> Result<u64, Error> {
    match options.get("user") {
        None => Ok(engine.acting().id),
        Some(user) => users::found(engine, user, ObjectKind::User).map(|row| row.id),
    }
}

/// One beyond the largest number that was given so far.
fn next_id(sight: Sight<'_>) -> u32 {
    let counted = system::max_space_id(sight).unwrap_or(0);
    let mut id = counted.max(511) + 1;
    while sight.image.space(id).is_some() {
        id += 1;
    }
    id
}

/// Reads a format as Lua callers write it: `{name = …, type = …}`, `{'id', 'unsigned'}`, `'id'`.
pub(super) fn read_format(
    format: &Value<'_>,
    space: &str,
    refuse: Refuse,
) -> Result<Vec<Field>, Error> {
    let Value::List(fields) = format else {
        return Err(illegal(
            "options parameter 'format' should be of type table",
        ));
    };
    let read = |(at, field)| read_field(at, field, space, refuse);
    (1..).zip(fields).map(read).collect()
}

fn read_field(at: usize, field: &Value<'_>, space: &str, refuse: Refuse) -> Result<Field, Error> {
    let name = field
        .as_str()
        .or_else(|| field.get("name").or(field.at(1)).and_then(Value::as_str));
    let name =
        name.ok_or_else(|| illegal(format_args!("format[{at}]: name (string) is expected")))?;
    if name.is_empty() {
        return Err(refuse(space, &format!("field {at} name is not specified")));
    }
    let kind = field
        .get("type")
        .or(field.at(2))
        .map_or(Some("any"), Value::as_str);
    let unknown = || {
        let why = format!("field {at} has unknown field type");
        refuse(space, &why)
    };
    let kind = kind.and_then(FieldType::from_name).ok_or_else(unknown)?;
    let is_nullable = match field.get("is_nullable") {
        None => false,
        Some(Value::Bool(is_nullable)) => *is_nullable,
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
/// 5 for one that Tarantool has, else 1.
pub(super) fn check_collation(collation: Option<&Value<'_>>, place: &str) -> Result<(), Error> {
    let name = match collation {
        None | Some(Value::Nil) => return Ok(()),
        Some(Value::Str(name)) => (*name).to_owned(),
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

/// The second field of a row of two, a number.
pub(super) fn second_number(row: &[u8]) -> Option<u64> {
    let mut reader = Reader::new(row);
    reader.read_array_len().ok()?;
    reader.skip().ok()?;
    reader.read_uint().ok()
}
