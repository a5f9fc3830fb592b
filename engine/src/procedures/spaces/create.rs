//! `box.schema.space.create`.

use serde::Serialize;
use vestibule_actors::catalog::SYSTEM_SPACE_ID_MAX;
use vestibule_actors::engine::{Outcome, Reply};
use vestibule_wire::Error;
use vestibule_wire::request::IdOrName;

use super::definition::{read_flags, read_foreign_keys};
use crate::access::rights::Rights;
use crate::engine::EmbeddedEngine;
use crate::errors;
use crate::limits::SPACE_ID_MAX;
use crate::privileges::{ObjectKind, Privileges};
use crate::procedures::args::{Args, Options, illegal};
use crate::procedures::call::{EngineCall, alter_schema_and_answer};
use crate::procedures::foreign_keys::DefinedSpace;
use crate::procedures::format::read_format;
use crate::procedures::lookup::owner;
use crate::schema::system::rows::{FOREIGN_KEY, SpaceOptions, SpaceRow};
use crate::schema::system::{self, read, system_key};
use crate::store::snapshot::Snapshot;

const OPTIONS: [&str; 12] = [
    "if_not_exists",
    "id",
    "engine",
    "user",
    "format",
    "field_count",
    "temporary",
    "is_local",
    "is_sync",
    "type",
    "defer_deletes",
    FOREIGN_KEY,
];

/// What `box.schema.space.create` returns. Tarantool returns an object that cannot travel.
#[derive(Debug, Serialize)]
struct CreatedSpace<'a> {
    id: u32,
    name: &'a str,
}

/// `box.schema.space.create(name [, options])`
pub(in crate::procedures) fn create_space(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let name = args.name(0, "name")?;
    let options = args.options(1, &OPTIONS)?;
    let is_lenient = options.flag("if_not_exists")?;
    let existing = call
        .engine
        .look(|snapshot| read::space_with_name(snapshot, name))?;
    let is_shown = |space: &SpaceRow| call.engine.effective_user().shows_space(space.id);
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
    let rights = call.engine.effective_user();
    let (row, is_counted) = call
        .engine
        .look(|snapshot| space_row(snapshot, rights, name, owner, &options))?;
    let put = |engine: &mut EmbeddedEngine, reply: &Reply<'_>| {
        if is_counted {
            engine.put_counter(&system::max_space_id_row(row.id))?;
        }
        engine.put_system(system::SPACE, &row.encode(), reply)
    };
    alter_schema_and_answer(call, put, |call| {
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
        engine.allowed(IdOrName::Id(system::SCHEMA), Privileges::WRITE)?;
    }
    engine.allowed(IdOrName::Id(system::SPACE), Privileges::WRITE)?;
    // Nothing can have been granted on a space that is not there.
    let nowhere = u64::MAX;
    let rights = engine.effective_user();
    rights.check_ddl(Privileges::CREATE, ObjectKind::Space, nowhere, name)
}

/// The row of a new space, and whether its number is the next one.
fn space_row(
    snapshot: Snapshot<'_>,
    rights: &Rights,
    name: &str,
    owner: u64,
    options: &Options<'_>,
) -> Result<(SpaceRow, bool), Error> {
    let wanted = options.uint("id")?;
    let space = DefinedSpace {
        name,
        id: wanted.and_then(|id| u32::try_from(id).ok()),
        snapshot,
        rights,
    };
    let mut flags = SpaceOptions::default();
    read_flags(options, &mut flags)?;
    read_foreign_keys(options, &space, &mut flags)?;
    let format = options
        .get("format")
        .map(|format| read_format(format, &space, errors::cannot_create_space))
        .transpose()?;
    let field_count = options.uint("field_count")?.unwrap_or(0);
    let field_count = u32::try_from(field_count).map_err(|_| illegal("field_count is too big"))?;
    let id = wanted.map_or_else(
        || next_id(snapshot),
        |id| u32::try_from(id).unwrap_or(u32::MAX),
    );
    if id > SPACE_ID_MAX {
        return Err(errors::cannot_create_space(name, "space id is too big"));
    }
    if let Some(taken) = snapshot.get(system::SPACE, &system_key(&[id])) {
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
        options: flags,
        format: format.unwrap_or_default(),
    };
    Ok((row, wanted.is_none()))
}

/// One beyond the largest number that was given so far.
fn next_id(snapshot: Snapshot<'_>) -> u32 {
    let counted = read::max_space_id(snapshot).unwrap_or(0);
    let mut id = counted.max(SYSTEM_SPACE_ID_MAX).saturating_add(1);
    while snapshot.image.space(id).is_some() {
        id += 1;
    }
    id
}
