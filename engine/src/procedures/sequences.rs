//! `box.schema.sequence.*` and `box.sequence.<name>:<method>`: definitions of sequences, and their
//! values.

use std::ops::Bound::Unbounded;

use serde::Serialize;
use vestibule_actors::engine::{Outcome, Reply};
use vestibule_wire::msgpack::{Reader, write_f64};
use vestibule_wire::{Error, ErrorCode};

use super::args::{Args, LuaValue, Options};
use super::call::{EngineCall, alter_schema, alter_schema_and_answer, no_result};
use super::lookup::{any_sequence, existing_sequence, sequence};
use super::remove;
use crate::engine::EmbeddedEngine;
use crate::errors;
use crate::model::field::FieldType;
use crate::model::index::PRIMARY;
use crate::privileges::Privileges;
use crate::schema::system;
use crate::schema::system::sequence_rows::SequenceRow;

const OPTIONS: [&str; 6] = ["step", "min", "max", "start", "cache", "cycle"];

/// What `box.schema.sequence.create` returns: the sequence as Tarantool prints it.
#[derive(Debug, Serialize)]
struct CreatedSequence<'a> {
    id: u32,
    uid: u64,
    name: &'a str,
    step: i64,
    min: i64,
    max: i64,
    start: i64,
    cache: i64,
    cycle: bool,
}

impl<'a> CreatedSequence<'a> {
    fn of(row: &SequenceRow<'a>) -> Self {
        Self {
            id: row.id,
            uid: row.owner,
            name: row.name,
            step: row.step,
            min: row.min,
            max: row.max,
            start: row.start,
            cache: row.cache,
            cycle: row.is_cyclic,
        }
    }
}

/// `box.schema.sequence.create(name [, options])`
pub(super) fn create(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let name = args.name(0, "name")?;
    let options = args.options(1, &[&OPTIONS[..], &["if_not_exists"]].concat())?;
    let is_lenient = options.flag("if_not_exists")?;
    if let Some(found) = sequence(call.engine, &LuaValue::Str(name))? {
        if is_lenient {
            let same = SequenceRow::decode(&found)?;
            return call
                .reply
                .values(&(CreatedSequence::of(&same), "not created"));
        }
        return Err(errors::sequence_exists(name));
    }
    let id = next_id(call.engine)?;
    let owner = call.engine.effective_user().id;
    let row = changed(&first_row(id, owner, name, &options)?, &options)?;
    let put = |engine: &mut EmbeddedEngine, reply: &Reply<'_>| {
        engine.put_system(system::SEQUENCE, &row.encode(), reply)
    };
    alter_schema_and_answer(call, put, |call| {
        call.reply.value(&CreatedSequence::of(&row))
    })
}

/// A sequence with nothing said: up from 1, or down from −1.
fn first_row<'a>(
    id: u32,
    owner: u64,
    name: &'a str,
    options: &Options<'_>,
) -> Result<SequenceRow<'a>, Error> {
    let is_ascending = match options.get("step") {
        Some(step) => step.as_number().is_none_or(|step| step > 0.0),
        None => true,
    };
    let (min, max) = if is_ascending {
        (1, i64::MAX)
    } else {
        (i64::MIN, -1)
    };
    let start = if is_ascending {
        number(options, "min", 5)?.unwrap_or(min)
    } else {
        number(options, "max", 6)?.unwrap_or(max)
    };
    Ok(SequenceRow {
        id,
        owner,
        name,
        step: 1,
        min,
        max,
        start,
        cache: 0,
        is_cyclic: false,
    })
}

/// A new sequence that nothing was said about, for a space.
pub(super) fn plain_row<'a>(
    engine: &EmbeddedEngine,
    name: &'a str,
    owner: u64,
) -> Result<SequenceRow<'a>, Error> {
    first_row(next_id(engine)?, owner, name, &Options::default())
}

/// The row with what the options say.
fn changed<'a>(row: &SequenceRow<'a>, options: &Options<'_>) -> Result<SequenceRow<'a>, Error> {
    Ok(SequenceRow {
        step: number(options, "step", 4)?.unwrap_or(row.step),
        min: number(options, "min", 5)?.unwrap_or(row.min),
        max: number(options, "max", 6)?.unwrap_or(row.max),
        start: number(options, "start", 7)?.unwrap_or(row.start),
        cache: number(options, "cache", 8)?.unwrap_or(row.cache),
        is_cyclic: match options.get("cycle") {
            None => row.is_cyclic,
            Some(_) => options.flag("cycle")?,
        },
        ..*row
    })
}

/// A number, which goes into this field of `_sequence`, from 1.
fn number(options: &Options<'_>, name: &str, field: usize) -> Result<Option<i64>, Error> {
    let Some(value) = options.number(name)? else {
        return Ok(None);
    };
    value.as_signed().map(Some).ok_or_else(|| {
        let mut found = Vec::new();
        write_f64(&mut found, value.as_number().unwrap_or_default());
        let path = errors::field_path(field - 1, Some(name));
        errors::field_type(&path, FieldType::Integer, &Reader::new(&found))
    })
}

/// One beyond the largest number of a sequence.
fn next_id(engine: &EmbeddedEngine) -> Result<u32, Error> {
    engine.look(|snapshot| {
        let mut all = snapshot.range(system::SEQUENCE, PRIMARY, (Unbounded, Unbounded), true);
        let last = all.next().map(|(_, row)| system::first_id(row));
        let last = last.transpose()?.unwrap_or(0);
        let next = last.checked_add(1);
        next.ok_or_else(|| errors::cannot_create_sequence("", "there are no numbers left"))
    })
}

/// `box.schema.sequence.alter(name, options)`
pub(super) fn alter(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let options = args.options(1, &ALTERED_OPTIONS)?;
    let row = existing_sequence(call.engine, &args.value(0)?)?;
    alter_row(call, &row, &options)
}

const ALTERED_OPTIONS: [&str; 7] = ["step", "min", "max", "start", "cache", "cycle", "name"];

fn alter_row(
    call: &mut EngineCall<'_>,
    row: &[u8],
    options: &Options<'_>,
) -> Result<Outcome, Error> {
    let mut row = changed(&SequenceRow::decode(row)?, options)?;
    if let Some(name) = options.text("name")? {
        row.name = name;
    }
    alter_schema(call, |engine, reply| {
        engine.put_system(system::SEQUENCE, &row.encode(), reply)
    })
}

/// `box.schema.sequence.drop(name [, {if_exists = …}])`
pub(super) fn drop(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let options = args.options(1, &["if_exists"])?;
    let name = args.value(0)?;
    if options.flag("if_exists")? && sequence(call.engine, &name)?.is_none() {
        return no_result(call);
    }
    let row = existing_sequence(call.engine, &name)?;
    drop_row(call, system::first_id(&row)?)
}

fn drop_row(call: &mut EngineCall<'_>, id: u32) -> Result<Outcome, Error> {
    alter_schema(call, |engine, reply| remove::sequence(engine, id, reply))
}

/// `box.sequence.<name>:<method>(…)`
pub(super) fn call(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let whole = call.name;
    let unknown = || Error::no_such_procedure(whole);
    let path = whole.strip_prefix("box.sequence.").ok_or_else(unknown)?;
    let (name, method) = path.rsplit_once(':').ok_or_else(unknown)?;
    // As in Lua: where there is no sequence, there is no method of it.
    let row = any_sequence(call.engine, &LuaValue::Str(name))?;
    let id = row.as_deref().map(system::first_id).transpose()?;
    let needed = match method {
        "next" | "set" | "reset" => Privileges::WRITE,
        "alter" => Privileges::ALTER,
        "drop" => Privileges::DROP,
        _ => Privileges::READ,
    };
    call.engine
        .effective_user()
        .check_sequence(needed, name, id)?;
    let (row, id) = row.zip(id).ok_or_else(unknown)?;
    match method {
        "next" => {
            let next = call.engine.next_value(id)?;
            call.reply.value(&next)
        }
        "current" => match call.engine.last_value(id)? {
            Some(last) => call.reply.value(&last),
            None => Err(errors::sequence_not_started(name)),
        },
        "set" => {
            let given = Args::read(call.args)?.value(0)?.as_signed();
            let wrong = || Error::new(ErrorCode::PROC, "expected int64_t as 2 argument");
            call.engine.set_value(id, Some(given.ok_or_else(wrong)?))?;
            no_result(call)
        }
        "reset" => {
            call.engine.set_value(id, None)?;
            no_result(call)
        }
        "alter" => {
            let options = Args::read(call.args)?.options(0, &ALTERED_OPTIONS)?;
            alter_row(call, &row, &options)
        }
        "drop" => drop_row(call, id),
        _ => Err(unknown()),
    }
}
