//! Changes of a space's definition.

use vestibule_actors::engine::Outcome;
use vestibule_wire::Error;
use vestibule_wire::msgpack::{Reader, write_array_len, write_uint};

use crate::errors;
use crate::procedures::args::{Args, LuaValue, Options, illegal};
use crate::procedures::call::{self, EngineCall, raw_result};
use crate::procedures::format::read_format;
use crate::procedures::lookup::owner;
use crate::procedures::remove;
use crate::schema::system::rows::{SpaceRow, encode_format};
use crate::schema::system::{self, read, system_key};
use crate::store::snapshot::Snapshot;

const ALTER_OPTIONS: [&str; 6] = [
    "name",
    "user",
    "field_count",
    "format",
    "temporary",
    "is_sync",
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
        encode_format(&row.format, &mut out);
        return raw_result(call, &out);
    }
    row.format = read_format(&format, space, errors::cannot_alter_space)?;
    put(call, &row)
}

/// `:alter(options)`: what is not said stays as it is.
pub(super) fn alter(call: &mut EngineCall<'_>, space: &str) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let options = args.options(0, &ALTER_OPTIONS)?;
    let mut row = call.engine.look(|snapshot| row_of(snapshot, space))?;
    refuse_flags(&options)?;
    if let Some(name) = options.text("name")? {
        row.name = name.into();
    }
    if let Some(count) = options.uint("field_count")? {
        row.field_count = u32::try_from(count).map_err(|_| illegal("field_count is too big"))?;
    }
    if options.get("user").is_some() {
        row.owner = owner(call.engine, &options)?;
    }
    if let Some(format) = options.get("format") {
        row.format = read_format(format, space, errors::cannot_alter_space)?;
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
        row.and_then(|row| second_number(row)).unwrap_or(0)
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

/// The second field of a row of two, a number.
fn second_number(row: &[u8]) -> Option<u64> {
    let mut reader = Reader::new(row);
    reader.read_array_len().ok()?;
    reader.skip().ok()?;
    reader.read_uint().ok()
}

/// Refuses what makes another kind of space.
///
/// # Errors
///
/// `ErrorCode::UNSUPPORTED` for a flag that is set.
pub(super) fn refuse_flags(options: &Options<'_>) -> Result<(), Error> {
    for refused in ["temporary", "is_local", "is_sync"] {
        if options.flag(refused)? {
            let what = format!("the space option '{refused}'");
            return Err(errors::unsupported(&what));
        }
    }
    Ok(())
}
