//! Data by calls: the engine's requests.

use vestibule_actors::engine::{Outcome, Request};
use vestibule_wire::msgpack::{Reader, write_array_len, write_uint};
use vestibule_wire::request::{
    After, Body, Delete, IdOrName, IteratorType, Select, Store, Update, Upsert,
};
use vestibule_wire::{Error, ErrorCode};

use crate::errors;
use crate::model::index::IndexKind;
use crate::procedures::args::{Args, LuaValue, Options, illegal};
use crate::procedures::call::{EngineCall, no_result, raw_result};

/// Where data is looked up.
#[derive(Debug, Clone, Copy)]
pub(super) struct IndexRef<'a> {
    pub(super) space: &'a str,
    pub(super) index: IdOrName<'a>,
}

/// `:len()`, `:count()` and `:count(key [, {iterator = …}])`
pub(super) fn count(
    call: &mut EngineCall<'_>,
    place: IndexRef<'_>,
    args: Args<'_>,
) -> Result<Outcome, Error> {
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
        stream: call.stream,
        transaction: call.transaction,
    };
    let (engine, reply) = (&mut *call.engine, &mut call.reply);
    let outcome = engine.execute_as_effective_user(&request, reply);
    engine.note_author(call.caller);
    outcome
}

/// Calls whose result is the request's: a tuple, or nothing.
pub(super) fn data(
    call: &mut EngineCall<'_>,
    place: IndexRef<'_>,
    method: &str,
) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let (space, index) = (IdOrName::Name(place.space), place.index);
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
                iterator: IteratorType::Eq as u64,
                ..everything(place)
            })
        }
    };
    execute(call, body)
}

/// `:select([key [, {iterator = …, limit = …, offset = …}]])`: one result, the list of tuples.
pub(super) fn select(call: &mut EngineCall<'_>, place: IndexRef<'_>) -> Result<Outcome, Error> {
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
    call.reply.set_rows_are_one_result();
    execute(call, Body::Select(select))
}

/// `:auto_increment(tuple)`: the tuple behind one more than the largest key.
pub(super) fn auto_increment(
    call: &mut EngineCall<'_>,
    place: IndexRef<'_>,
) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let given = args.raw(0).filter(|raw| is_array(raw));
    let given = given.ok_or_else(|| illegal("tuple should be a table"))?;
    let space = call.engine.definition(IdOrName::Name(place.space))?;
    let mut parts = space.index(place.index)?.parts.iter();
    // In a descending index, the largest key comes first.
    let is_last = !parts.next().is_some_and(|first| first.is_descending);
    let last = call.engine.nth(place.space, place.index, is_last, 0)?;
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
    let space = IdOrName::Name(place.space);
    let tuple = &tuple[..];
    execute(call, Body::Insert(Store { space, tuple }))
}

fn first_number(row: &[u8]) -> Option<u64> {
    let mut reader = Reader::new(row);
    reader.read_array_len().ok()?;
    reader.read_uint().ok()
}

/// `:random([seed])`: the same tuple for the same seed, while nothing changes.
pub(super) fn random(call: &mut EngineCall<'_>, place: IndexRef<'_>) -> Result<Outcome, Error> {
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
pub(super) fn edge(
    call: &mut EngineCall<'_>,
    place: IndexRef<'_>,
    of_all: IteratorType,
    of_key: IteratorType,
) -> Result<Outcome, Error> {
    let key = key_arg(&Args::read(call.args)?, 0);
    let space = call.engine.definition(IdOrName::Name(place.space))?;
    let index = space.index(place.index)?;
    if index.kind == IndexKind::Hash {
        let feature = if of_all == IteratorType::Ge {
            "min()"
        } else {
            "max()"
        };
        return Err(errors::index_feature(
            &index.name,
            index.kind,
            &space.name,
            feature,
        ));
    }
    let iterator = if *key == [0x90] { of_all } else { of_key };
    let select = Select {
        key: &key,
        iterator: iterator as u64,
        limit: 1,
        ..everything(place)
    };
    execute(call, Body::Select(select))
}

fn everything(place: IndexRef<'_>) -> Select<'_> {
    Select {
        space: IdOrName::Name(place.space),
        index: place.index,
        limit: u64::from(u32::MAX),
        offset: 0,
        iterator: IteratorType::All as u64,
        key: &[0x90],
        fetch_position: false,
        after: After::Start,
    }
}

/// In Lua a method of an index that is not there is looked for before its arguments are.
fn check_index(call: &EngineCall<'_>, place: IndexRef<'_>) -> Result<(), Error> {
    let space = call.engine.definition(IdOrName::Name(place.space))?;
    space.index(place.index).map(drop)
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
    match options.get("iterator") {
        None if *key == [0x90] => Ok(IteratorType::All as u64),
        None => Ok(IteratorType::Eq as u64),
        Some(LuaValue::Str(name)) => {
            let message = format!("Unknown iterator type '{name}'");
            IteratorType::from_name(name)
                .map(|iterator| iterator as u64)
                .ok_or_else(|| Error::new(ErrorCode::ITERATOR_TYPE, message))
        }
        Some(value) => value
            .as_uint()
            .ok_or_else(|| illegal("Invalid iterator type")),
    }
}
