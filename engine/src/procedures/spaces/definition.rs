//! Changes of a space's definition.

use vestibule_actors::engine::Outcome;
use vestibule_wire::Error;
use vestibule_wire::msgpack::{write_array_len, write_uint};

use crate::access::rights::Rights;
use crate::errors;
use crate::procedures::args::{Args, LuaValue, Options, illegal};
use crate::procedures::call::{self, EngineCall, raw_result};
use crate::procedures::foreign_keys::{self, DefinedSpace, KeyOf};
use crate::procedures::format::read_format;
use crate::procedures::lookup::owner;
use crate::procedures::remove;
use crate::schema::system::rows::{FOREIGN_KEY, SpaceOptions, SpaceRow};
use crate::schema::system::{self, read, system_key};
use crate::store::snapshot::Snapshot;

const ALTER_OPTIONS: [&str; 9] = [
    "name",
    "user",
    "field_count",
    "format",
    "temporary",
    "is_sync",
    "type",
    "defer_deletes",
    FOREIGN_KEY,
];

fn row_of(snapshot: Snapshot<'_>, space: &str) -> Result<SpaceRow, Error> {
    read::space_with_name(snapshot, space)?.ok_or_else(|| Error::no_such_space(space))
}

/// `:drop()`
pub(super) fn drop(call: &mut EngineCall<'_>, space: &str) -> Result<Outcome, Error> {
    let row = call.engine.look(|snapshot| row_of(snapshot, space))?;
    call::alter_schema(call, |engine, reply| remove::space(engine, row.id, reply))
}

/// `:format()` and `:format(format)`
pub(super) fn format(call: &mut EngineCall<'_>, space: &str) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let mut row = call.engine.look(|snapshot| row_of(snapshot, space))?;
    let format = args.value(0)?;
    if format == LuaValue::Nil {
        let mut out = Vec::new();
        write_array_len(&mut out, row.format.len() as u32);
        for field in &row.format {
            out.extend_from_slice(&foreign_keys::shown(field));
        }
        return raw_result(call, &out);
    }
    row.format = call.engine.look(|snapshot| {
        let space = defined(&row, snapshot, call.engine.effective_user());
        read_format(&format, &space, errors::cannot_alter_space)
    })?;
    put(call, &row)
}

fn defined<'a>(row: &'a SpaceRow, snapshot: Snapshot<'a>, rights: &'a Rights) -> DefinedSpace<'a> {
    DefinedSpace {
        name: &row.name,
        id: Some(row.id),
        snapshot,
        rights,
    }
}

/// `:alter(options)`: what is not said stays as it is.
pub(super) fn alter(call: &mut EngineCall<'_>, space: &str) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let options = args.options(0, &ALTER_OPTIONS)?;
    let mut row = call.engine.look(|snapshot| row_of(snapshot, space))?;
    read_flags(&options, &mut row.options)?;
    let (flags, format) = call.engine.look(|snapshot| {
        let space = defined(&row, snapshot, call.engine.effective_user());
        let mut flags = row.options.clone();
        read_foreign_keys(&options, &space, &mut flags)?;
        let format = options.get("format");
        let format = format.map(|format| read_format(format, &space, errors::cannot_alter_space));
        Ok::<_, Error>((flags, format.transpose()?))
    })?;
    row.options = flags;
    row.format = format.unwrap_or(row.format);
    if let Some(name) = options.text("name")? {
        row.name = name.into();
    }
    if let Some(count) = options.uint("field_count")? {
        row.field_count = u32::try_from(count).map_err(|_| illegal("field_count is too big"))?;
    }
    if options.get("user").is_some() {
        row.owner = owner(call.engine, &options)?;
    }
    put(call, &row)
}

/// `:rename(name)`
pub(super) fn rename(call: &mut EngineCall<'_>, space: &str) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let mut row = call.engine.look(|snapshot| row_of(snapshot, space))?;
    row.name = args.name(0, "space_name")?.into();
    put(call, &row)
}

fn put(call: &mut EngineCall<'_>, row: &SpaceRow) -> Result<Outcome, Error> {
    call::alter_schema(call, |engine, reply| {
        engine.put_system(system::SPACE, &row.encode(), reply)
    })
}

/// `:truncate()`
pub(super) fn truncate(call: &mut EngineCall<'_>, space: &str) -> Result<Outcome, Error> {
    let row = call.engine.look(|snapshot| row_of(snapshot, space))?;
    let count = call.engine.look(|snapshot| {
        let row = snapshot.get(system::TRUNCATE, &system_key(&[row.id]));
        row.and_then(|row| system::second_number(row)).unwrap_or(0)
    });
    let mut truncation = Vec::new();
    write_array_len(&mut truncation, 2);
    write_uint(&mut truncation, u64::from(row.id));
    // A user may have set it to the greatest number; that it changes is all that counts.
    write_uint(&mut truncation, count.wrapping_add(1));
    call::alter_schema(call, |engine, reply| {
        engine.put_system(system::TRUNCATE, &truncation, reply)
    })
}

/// Reads what tuples are to refer to; what is not said stays as it is.
pub(super) fn read_foreign_keys(
    given: &Options<'_>,
    space: &DefinedSpace<'_>,
    options: &mut SpaceOptions,
) -> Result<(), Error> {
    let Some(keys) = given.get(FOREIGN_KEY) else {
        return Ok(());
    };
    options.set_foreign_keys(&foreign_keys::normalized(keys, KeyOf::Tuple, space, "")?)
}

/// Reads what kind of space is asked for; what is not said stays as it is.
///
/// # Errors
///
/// `ErrorCode::UNSUPPORTED` for what would make a kind that there is not here.
pub(super) fn read_flags(given: &Options<'_>, space: &mut SpaceOptions) -> Result<(), Error> {
    if given.flag("is_sync")? {
        return Err(errors::unsupported("the space option 'is_sync'"));
    }
    if given.get("temporary").is_some() {
        if given.get("type").is_some() {
            let why = "only one of 'type' or 'temporary' may be specified";
            return Err(illegal(why));
        }
        space.set_temporary(given.flag("temporary")?);
    }
    if let Some(kind) = given.text("type")? {
        space.set_type(kind)?;
    }
    if given.get("is_local").is_some() {
        space.set_local(given.flag("is_local")?);
    }
    if given.get("defer_deletes").is_some() {
        space.set_defer_deletes(given.flag("defer_deletes")?);
    }
    Ok(())
}
