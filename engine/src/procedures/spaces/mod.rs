//! `box.space.<name>:<method>`, `box.space.<name>.index.<name>:<method>`: a space's definition, and
//! data by calls.
//!
//! | file | what it is |
//! |---|---|
//! | `definition` | format, name and options of a space; what drops and truncates it |
//! | `create` | `box.schema.space.create` |
//! | `data` | insert, select and the like: the engine's requests |
//! | `mod` | which method a name calls |

mod create;
mod data;
mod definition;

use vestibule_actors::engine::Outcome;
use vestibule_wire::request::{IdOrName, IteratorType};
use vestibule_wire::{Error, ErrorCode};

pub(in crate::procedures) use create::create_space;

use self::data::IndexRef;
use super::args::Args;
use super::call::EngineCall;
use super::{indexes, monitoring};
use crate::engine::EmbeddedEngine;
use crate::model::index::PRIMARY;
use crate::privileges::Privileges;

/// `box.space.<name>:<method>(…)`
pub(super) fn call(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let name = call.name;
    let unknown = || Error::no_such_procedure(name);
    let path = name.strip_prefix("box.space.").ok_or_else(unknown)?;
    let (path, method) = path.rsplit_once(':').ok_or_else(unknown)?;
    let (space, index) = match path.rsplit_once(".index.") {
        Some((space, index)) if !is_shown(call.engine, path) => (space, Some(index)),
        _ => (path, None),
    };
    // As in Lua: where there is no space, there is no method of it; the same goes for an index. Who
    // may not know of a space is told the same about those that are not there.
    let needed = privilege_for(method);
    let def = call.engine.visible(IdOrName::Name(space), needed);
    let def = def.cloned().map_err(|error| match error.code() {
        ErrorCode::NO_SUCH_SPACE => unknown(),
        _ => error,
    })?;
    let Some(index) = index else {
        return call_space(call, space, method, unknown);
    };
    let index = IdOrName::Name(index);
    let id = def.index(index).map_err(|_| unknown())?.id;
    let place = IndexRef { space, index };
    match method {
        "drop" => indexes::drop(call, def.id, id),
        "rename" => indexes::rename(call, def.id, id),
        "alter" => indexes::alter(call, &def, id),
        "bsize" => monitoring::index_size(call, def.id, id),
        "len" => data::count(call, place, Args::read(&[0x90])?),
        "count" => data::count(call, place, Args::read(call.args)?),
        "delete" | "update" | "get" => data::data(call, place, method),
        "select" => data::select(call, place),
        "min" => data::edge(call, place, IteratorType::Ge, IteratorType::Eq),
        "max" => data::edge(call, place, IteratorType::Le, IteratorType::Req),
        "random" => data::random(call, place),
        _ => Err(unknown()),
    }
}

/// Whether there is a space with this name that the caller may know of.
fn is_shown(engine: &EmbeddedEngine, name: &str) -> bool {
    let found = engine.definition(IdOrName::Name(name));
    found.is_ok_and(|space| engine.effective_user().shows_space(space.id))
}

/// The right that a method needs first.
fn privilege_for(method: &str) -> Privileges {
    match method {
        "insert" | "replace" | "put" | "delete" | "update" | "upsert" | "truncate" => {
            Privileges::WRITE
        }
        "create_index" => Privileges::CREATE,
        "drop" => Privileges::DROP,
        "alter" | "rename" => Privileges::ALTER,
        _ => Privileges::READ,
    }
}

fn call_space(
    call: &mut EngineCall<'_>,
    space: &str,
    method: &str,
    unknown: impl Fn() -> Error,
) -> Result<Outcome, Error> {
    let index = IdOrName::Id(PRIMARY);
    let place = IndexRef { space, index };
    let def = call.engine.definition(IdOrName::Name(space))?;
    let (id, is_bare) = (def.id, def.primary.is_none());
    match method {
        "create_index" => indexes::create(call, space),
        "drop" => definition::drop(call, space),
        "format" => definition::format(call, space),
        "truncate" => definition::truncate(call, space),
        "rename" => definition::rename(call, space),
        "alter" => definition::alter(call, space),
        // Nothing is in a space without an index, and these two say so.
        "len" | "count" if is_bare => call.reply.value(&0),
        "len" => data::count(call, place, Args::read(&[0x90])?),
        "count" => data::count(call, place, Args::read(call.args)?),
        "bsize" => monitoring::space_size(call, id),
        "auto_increment" => data::auto_increment(call, place),
        "put" => data::data(call, place, "replace"),
        "insert" | "replace" | "delete" | "update" | "upsert" | "get" => {
            data::data(call, place, method)
        }
        "select" => data::select(call, place),
        _ => Err(unknown()),
    }
}
