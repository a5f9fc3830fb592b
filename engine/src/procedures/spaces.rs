//! `box.space.<name>:<method>`, `box.space.<name>.index.<name>:<method>`: a space's definition, and
//! data by calls.

use vestibule_actors::engine::{Outcome, Reply, Request};
use vestibule_wire::msgpack::{Reader, write_array_len, write_uint};
use vestibule_wire::request::{
    After, Body, Delete, Iterator as Walking, Select, Store, Target, Update, Upsert,
};
use vestibule_wire::{Error, ErrorCode};

use super::args::{Args, Options, Value, illegal};
use super::schema::{owner, read_format, refuse_flags, second_number};
use super::{EngineCall, altered, attachments, functions, indexes, no_result, raw_result};
use crate::access::privileges::{ObjectKind, Privileges};
use crate::define::system_key;
use crate::index::{IndexKind, PRIMARY};
use crate::layer::Sight;
use crate::system::rows::{SpaceRow, encode_format};
use crate::{EmbeddedEngine, ddl, errors, system};

const ALTER_OPTIONS: [&str; 6] = [
    "name",
    "user",
    "field_count",
    "format",
    "temporary",
    "is_sync",
];

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
    let def = call.engine.visible(Target::Name(space), needed);
    let def = def.cloned().map_err(|error| match error.code() {
        ErrorCode::NO_SUCH_SPACE => unknown(),
        _ => error,
    })?;
    let Some(index) = index else {
        return call_space(call, space, method, unknown);
    };
    let index = Target::Name(index);
    let id = def.index(index).map_err(|_| unknown())?.id;
    let place = Place { space, index };
    match method {
        "drop" => indexes::drop(call, def.id, id),
        "rename" => indexes::rename(call, def.id, id),
        "alter" => indexes::alter(call, &def, id),
        "len" => count(call, place, Args::read(&[0x90])?),
        "count" => count(call, place, Args::read(call.args)?),
        "delete" | "update" | "get" => data(call, place, method),
        "select" => select(call, place),
        "min" => edge(call, place, Walking::Ge, Walking::Eq),
        "max" => edge(call, place, Walking::Le, Walking::Req),
        "random" => random(call, place),
        _ => Err(unknown()),
    }
}

/// Whether there is a space with this name that the caller may know of.
fn is_shown(engine: &EmbeddedEngine, name: &str) -> bool {
    let found = engine.definition(Target::Name(name));
    found.is_ok_and(|space| engine.acting().shows_space(space.id))
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
    let index = Target::Id(PRIMARY);
    let place = Place { space, index };
    let is_bare = call
        .engine
        .definition(Target::Name(space))?
        .primary
        .is_none();
    match method {
        "create_index" => indexes::create(call, space),
        "drop" => drop_space(call, space),
        "format" => format(call, space),
        "truncate" => truncate(call, space),
        "rename" => rename(call, space),
        "alter" => alter(call, space),
        // Nothing is in a space without an index, and these two say so.
        "len" | "count" if is_bare => call.reply.value(&0),
        "len" => count(call, place, Args::read(&[0x90])?),
        "count" => count(call, place, Args::read(call.args)?),
        "auto_increment" => auto_increment(call, place),
        "put" => data(call, place, "replace"),
        "insert" | "replace" | "delete" | "update" | "upsert" | "get" => data(call, place, method),
        "select" => select(call, place),
        _ => Err(unknown()),
    }
}

/// Where data is looked up.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    space: &'a str,
    index: Target<'a>,
}

fn row_of(sight: Sight<'_>, space: &str) -> Result<SpaceRow, Error> {
    ddl::space_with_name(sight, space)?.ok_or_else(|| Error::no_such_space(space))
}

/// `:drop()`
fn drop_space(call: &mut EngineCall<'_>, space: &str) -> Result<Outcome, Error> {
    let row = call.engine.look(|sight| row_of(sight, space))?;
    let reply = &call.reply;
    let done = call.engine.alter(|engine| remove(engine, row.id, reply))?;
    altered(call, done, |call, ()| no_result(call))
}

/// Drops a space with its indexes and the rights that others have on it. For use inside `alter`.
pub(super) fn remove(engine: &mut EmbeddedEngine, id: u32, reply: &Reply<'_>) -> Result<(), Error> {
    let [indexes, spaces, truncations] = [system::INDEX, system::SPACE, system::TRUNCATE]
        .map(|id| engine.definition(Target::Id(id)));
    let (indexes, spaces, truncations) = (indexes?, spaces?, truncations?);
    attachments::detach(engine, id, reply)?;
    // The primary index goes last: the others need it.
    let rows = engine.look(|sight| ddl::index_rows(sight, id))?;
    for index in rows.iter().rev() {
        let key = system_key(&[id, index.id]);
        engine.change_system(&indexes, key, None, reply)?;
    }
    functions::revoke_all(engine, ObjectKind::Space, u64::from(id), reply)?;
    let key = system_key(&[id]);
    engine.as_admin(|engine| engine.change_system(&truncations, key.clone(), None, reply))?;
    engine.change_system(&spaces, key, None, reply).map(|_| ())
}

/// `:format()` and `:format(format)`
fn format(call: &mut EngineCall<'_>, space: &str) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let mut row = call.engine.look(|sight| row_of(sight, space))?;
    let format = args.value(0)?;
    if format == Value::Nil {
        let mut out = Vec::new();
        encode_format(&row.format, &mut out);
        return raw_result(call, &out);
    }
    row.format = read_format(&format, space, errors::cannot_alter_space)?;
    put(call, &row)
}

/// `:alter(options)`: what is not said stays as it is.
fn alter(call: &mut EngineCall<'_>, space: &str) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let options = args.options(0, &ALTER_OPTIONS)?;
    let mut row = call.engine.look(|sight| row_of(sight, space))?;
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
fn rename(call: &mut EngineCall<'_>, space: &str) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let mut row = call.engine.look(|sight| row_of(sight, space))?;
    row.name = args.name(0, "space_name")?.into();
    put(call, &row)
}

fn put(call: &mut EngineCall<'_>, row: &SpaceRow) -> Result<Outcome, Error> {
    let reply = &call.reply;
    let done = call
        .engine
        .alter(|engine| engine.put_system(system::SPACE, &row.encode(), reply))?;
    altered(call, done, |call, ()| no_result(call))
}

/// `:truncate()`
fn truncate(call: &mut EngineCall<'_>, space: &str) -> Result<Outcome, Error> {
    let row = call.engine.look(|sight| row_of(sight, space))?;
    let count = call.engine.look(|sight| {
        let row = sight.get(system::TRUNCATE, &system_key(&[row.id]));
        row.and_then(|row| second_number(row)).unwrap_or(0)
    });
    let mut truncation = Vec::new();
    write_array_len(&mut truncation, 2);
    write_uint(&mut truncation, u64::from(row.id));
    write_uint(&mut truncation, count + 1);
    let reply = &call.reply;
    let done = call
        .engine
        .alter(|engine| engine.put_system(system::TRUNCATE, &truncation, reply))?;
    altered(call, done, |call, ()| no_result(call))
}

/// `:len()`, `:count()` and `:count(key [, {iterator = …}])`
fn count(call: &mut EngineCall<'_>, place: Place<'_>, args: Args<'_>) -> Result<Outcome, Error> {
    let key = key_arg(&args, 0);
    let options = args.options(1, &["iterator"])?;
    let iterator = iterator(&options, &key)?;
    let select = Select {
        iterator,
        key: &key,
        ..everything(place)
    };
    let count = call.engine.count(&select)?;
    call.reply.value(&count)
}

fn execute(call: &mut EngineCall<'_>, body: Body<'_>) -> Result<Outcome, Error> {
    let request = Request {
        body,
        caller: call.caller,
        transaction: call.transaction,
    };
    call.engine.execute_for_acting(&request, &mut call.reply)
}

/// In Lua a method of an index that is not there is looked for before its arguments are.
fn check_index(call: &EngineCall<'_>, place: Place<'_>) -> Result<(), Error> {
    let space = call.engine.definition(Target::Name(place.space))?;
    space.index(place.index).map(drop)
}

/// Calls whose result is the request's: a tuple, or nothing.
fn data(call: &mut EngineCall<'_>, place: Place<'_>, method: &str) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let (space, index) = (Target::Name(place.space), place.index);
    if !matches!(method, "insert" | "replace" | "upsert") {
        check_index(call, place)?;
    }
    let array = |at: usize, what: &str| {
        let found = args.raw(at).filter(|raw| is_array(raw));
        found.ok_or_else(|| illegal(format_args!("{what} should be a table")))
    };
    let tuple = || array(0, "tuple").map_err(|_| errors::tuple_not_array());
    let key = key_arg(&args, 0);
    // Fields are counted from 1, as in Lua.
    let index_base = 1;
    let body = match method {
        "insert" => Body::Insert(Store {
            space,
            tuple: tuple()?,
        }),
        "replace" => Body::Replace(Store {
            space,
            tuple: tuple()?,
        }),
        "delete" => Body::Delete(Delete {
            space,
            index,
            key: &key,
        }),
        "update" => {
            let ops = array(1, "operations")?;
            Body::Update(Update {
                space,
                index,
                key: &key,
                ops,
                index_base,
            })
        }
        "upsert" => {
            let (tuple, ops) = (array(0, "tuple")?, array(1, "operations")?);
            Body::Upsert(Upsert {
                space,
                tuple,
                ops,
                index_base,
            })
        }
        _ => {
            call.engine.check_whole_key(space, index, &key)?;
            Body::Select(Select {
                key: &key,
                iterator: Walking::Eq as u64,
                ..everything(place)
            })
        }
    };
    execute(call, body)
}

/// `:select([key [, {iterator = …, limit = …, offset = …}]])`: one result, the list of tuples.
fn select(call: &mut EngineCall<'_>, place: Place<'_>) -> Result<Outcome, Error> {
    check_index(call, place)?;
    let args = Args::read(call.args)?;
    let key = key_arg(&args, 0);
    let options = args.options(1, &["iterator", "limit", "offset"])?;
    let select = Select {
        iterator: iterator(&options, &key)?,
        key: &key,
        limit: options.uint("limit")?.unwrap_or(u64::from(u32::MAX)),
        offset: options.uint("offset")?.unwrap_or(0),
        ..everything(place)
    };
    let start = call.reply.body().len();
    let outcome = execute(call, Body::Select(select))?;
    if outcome == Outcome::Done {
        // {DATA: tuples} becomes {DATA: [tuples]}.
        call.reply.body().insert(start + 2, 0x91);
    }
    Ok(outcome)
}

/// `:auto_increment(tuple)`: the tuple behind one more than the largest key.
fn auto_increment(call: &mut EngineCall<'_>, place: Place<'_>) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let given = args.raw(0).filter(|raw| is_array(raw));
    let given = given.ok_or_else(|| illegal("tuple should be a table"))?;
    let last = call.engine.nth(place.space, place.index, true, 0)?;
    let largest = last.map_or(Some(0), |last| first_number(&last));
    let next = largest.and_then(|largest| largest.checked_add(1));
    let next = next.ok_or_else(|| illegal("the largest key is no number below 2^64 - 1"))?;
    let mut reader = Reader::new(given);
    let malformed = |_| illegal("malformed arguments");
    let count = reader.read_array_len().map_err(malformed)?;
    let mut tuple = Vec::with_capacity(given.len() + 2 * size_of::<u64>());
    let count = count
        .checked_add(1)
        .ok_or_else(|| illegal("too many fields"))?;
    write_array_len(&mut tuple, count);
    write_uint(&mut tuple, next);
    tuple.extend_from_slice(reader.rest());
    let space = Target::Name(place.space);
    let tuple = &tuple[..];
    execute(call, Body::Insert(Store { space, tuple }))
}

fn first_number(row: &[u8]) -> Option<u64> {
    let mut reader = Reader::new(row);
    reader.read_array_len().ok()?;
    reader.read_uint().ok()
}

/// `:random([seed])`: the same tuple for the same seed, while nothing changes.
fn random(call: &mut EngineCall<'_>, place: Place<'_>) -> Result<Outcome, Error> {
    let seed = Args::read(call.args)?.value(0)?.as_number().unwrap_or(0.0);
    let (space, index) = (place.space, place.index);
    let count = call.engine.count(&everything(place))?;
    // As C makes a number of 32 bits of it.
    let at = (seed as i64 as u32) as usize % count.max(1);
    match call.engine.nth(space, index, false, at)? {
        Some(tuple) => raw_result(call, &tuple),
        None => no_result(call),
    }
}

/// `:min([key])`, `:max([key])`: the first or last tuple, of those that match the key.
fn edge(
    call: &mut EngineCall<'_>,
    place: Place<'_>,
    of_all: Walking,
    of_key: Walking,
) -> Result<Outcome, Error> {
    let key = key_arg(&Args::read(call.args)?, 0);
    let space = call.engine.definition(Target::Name(place.space))?;
    let index = space.index(place.index)?;
    if index.kind == IndexKind::Hash {
        let feature = if of_all == Walking::Ge {
            "min()"
        } else {
            "max()"
        };
        return Err(errors::index_feature(index, &space.name, feature));
    }
    let walking = if *key == [0x90] { of_all } else { of_key };
    let select = Select {
        key: &key,
        iterator: walking as u64,
        limit: 1,
        ..everything(place)
    };
    execute(call, Body::Select(select))
}

fn everything(place: Place<'_>) -> Select<'_> {
    Select {
        space: Target::Name(place.space),
        index: place.index,
        limit: u64::from(u32::MAX),
        offset: 0,
        iterator: Walking::All as u64,
        key: &[0x90],
        fetch_position: false,
        after: After::Start,
    }
}

/// A key: a table, or one part by itself, or nothing.
fn key_arg(args: &Args<'_>, at: usize) -> Vec<u8> {
    match args.raw(at) {
        None => vec![0x90],
        Some(raw) if is_array(raw) => raw.to_vec(),
        Some(part) => [&[0x91], part].concat(),
    }
}

fn is_array(raw: &[u8]) -> bool {
    matches!(raw.first(), Some(0x90..=0x9f | 0xdc | 0xdd))
}

/// By name or number; EQ, or everything if there is no key.
fn iterator(options: &Options<'_>, key: &[u8]) -> Result<u64, Error> {
    const NAMES: [&str; 14] = [
        "EQ",
        "REQ",
        "ALL",
        "LT",
        "LE",
        "GE",
        "GT",
        "BITS_ALL_SET",
        "BITS_ANY_SET",
        "BITS_ALL_NOT_SET",
        "OVERLAPS",
        "NEIGHBOR",
        "NP",
        "PP",
    ];
    match options.get("iterator") {
        None if *key == [0x90] => Ok(Walking::All as u64),
        None => Ok(Walking::Eq as u64),
        Some(Value::Str(name)) => {
            let found = NAMES.iter().position(|own| own.eq_ignore_ascii_case(name));
            let message = format!("Unknown iterator type '{name}'");
            found
                .map(|at| at as u64)
                .ok_or_else(|| Error::new(ErrorCode::ITERATOR_TYPE, message))
        }
        Some(value) => value
            .as_uint()
            .ok_or_else(|| illegal("Invalid iterator type")),
    }
}
