//! `box.schema.sequence.*` and `box.sequence.<name>:<method>`: definitions of sequences, and their
//! values.

use std::ops::Bound::Unbounded;

use serde::Serialize;
use vestibule_actors::engine::{Outcome, Reply};
use vestibule_wire::msgpack::{Reader, write_f64};
use vestibule_wire::request::Target;
use vestibule_wire::{Error, ErrorCode};

use super::args::{Args, Options, Value, illegal};
use super::{EngineCall, altered, functions, no_result};
use crate::access::privileges::{ObjectKind, Privileges};
use crate::define::system_key;
use crate::field::FieldType;
use crate::index::PRIMARY;
use crate::sequence::checks::sequence_with_name;
use crate::sequence::rows::SequenceRow;
use crate::tuple::Tuple;
use crate::{EmbeddedEngine, errors, system};

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
    if let Some(found) = find(call.engine, &Value::Str(name))? {
        if is_lenient {
            let same = SequenceRow::decode(&found)?;
            return call
                .reply
                .values(&(CreatedSequence::of(&same), "not created"));
        }
        return Err(errors::sequence_exists(name));
    }
    let id = next_id(call.engine)?;
    let owner = call.engine.acting().id;
    let row = changed(&first_row(id, owner, name, &options)?, &options)?;
    let done = put(call, &row)?;
    altered(call, done, |call, ()| {
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
    engine.look(|sight| {
        let mut all = sight.range(system::SEQUENCE, PRIMARY, (Unbounded, Unbounded), true);
        let last = all.next().map(|(_, row)| system::first_id(row));
        let last = last.transpose()?.unwrap_or(0);
        let next = last.checked_add(1);
        next.ok_or_else(|| errors::cannot_create_sequence("", "there are no numbers left"))
    })
}

/// The row of a sequence that is named, or told by its number, if the caller may know of it.
///
/// # Errors
///
/// 18 for what is neither.
pub(super) fn find(engine: &EmbeddedEngine, by: &Value<'_>) -> Result<Option<Tuple>, Error> {
    let shown = |row: &Tuple| engine.acting().shows_row(system::SEQUENCE, row);
    Ok(find_any(engine, by)?.filter(shown))
}

fn find_any(engine: &EmbeddedEngine, by: &Value<'_>) -> Result<Option<Tuple>, Error> {
    match by {
        Value::Nil => Ok(None),
        Value::Str(name) => engine.look(|sight| {
            let found = sequence_with_name(sight, name)?;
            Ok(found.map(|(_, row)| Tuple::from(row)))
        }),
        other => {
            let id = other.as_uint();
            let id = id.ok_or_else(|| errors::key_part_type(0, FieldType::Unsigned))?;
            let row = u32::try_from(id).map(|id| engine.sequence_row(id));
            Ok(row.ok().and_then(Result::ok))
        }
    }
}

/// Like [`find`], with 145 for what is not there.
pub(super) fn existing(engine: &EmbeddedEngine, by: &Value<'_>) -> Result<Tuple, Error> {
    find(engine, by)?.ok_or_else(|| match by {
        Value::Str(name) => errors::no_such_sequence(name),
        other => match other.as_uint() {
            Some(id) => errors::no_such_sequence(id),
            None => errors::no_such_sequence("nil"),
        },
    })
}

fn put(call: &mut EngineCall<'_>, row: &SequenceRow<'_>) -> Result<Option<()>, Error> {
    let reply = &call.reply;
    call.engine
        .alter(|engine| engine.put_system(system::SEQUENCE, &row.encode(), reply))
}

/// `box.schema.sequence.alter(name, options)`
pub(super) fn alter(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let options = args.options(1, &ALTERED_OPTIONS)?;
    let row = existing(call.engine, &args.value(0)?)?;
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
    let done = put(call, &row)?;
    altered(call, done, |call, ()| no_result(call))
}

/// `box.schema.sequence.drop(name [, {if_exists = …}])`
pub(super) fn drop(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let options = args.options(1, &["if_exists"])?;
    let name = args.value(0)?;
    if options.flag("if_exists")? && find(call.engine, &name)?.is_none() {
        return no_result(call);
    }
    let row = existing(call.engine, &name)?;
    drop_row(call, system::first_id(&row)?)
}

fn drop_row(call: &mut EngineCall<'_>, id: u32) -> Result<Outcome, Error> {
    let reply = &call.reply;
    let done = call.engine.alter(|engine| remove(engine, id, reply))?;
    altered(call, done, |call, ()| no_result(call))
}

/// Removes a sequence and its value. For use inside [`EmbeddedEngine::alter`].
pub(super) fn remove(engine: &mut EmbeddedEngine, id: u32, reply: &Reply<'_>) -> Result<(), Error> {
    functions::revoke_all(engine, ObjectKind::Sequence, u64::from(id), reply)?;
    let key = system_key(&[id]);
    let values = engine.definition(Target::Id(system::SEQUENCE_DATA))?;
    engine.as_admin(|engine| engine.change_system(&values, key.clone(), None, reply))?;
    let sequences = engine.definition(Target::Id(system::SEQUENCE))?;
    engine
        .change_system(&sequences, key, None, reply)
        .map(|_| ())
}

/// `box.sequence.<name>:<method>(…)`
pub(super) fn call(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let whole = call.name;
    let unknown = || Error::no_such_procedure(whole);
    let path = whole.strip_prefix("box.sequence.").ok_or_else(unknown)?;
    let (name, method) = path.rsplit_once(':').ok_or_else(unknown)?;
    // As in Lua: where there is no sequence, there is no method of it.
    let row = find_any(call.engine, &Value::Str(name))?;
    let id = row.as_deref().map(system::first_id).transpose()?;
    let needed = match method {
        "next" | "set" | "reset" => Privileges::WRITE,
        "alter" => Privileges::ALTER,
        "drop" => Privileges::DROP,
        _ => Privileges::READ,
    };
    call.engine.acting().check_sequence(needed, name, id)?;
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

/// What the option `sequence` of an index asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Wish<'a> {
    /// Nothing is said.
    Keep,
    /// `false`
    Detach,
    /// `true`, a name, a number, or a table with both or one of `id` and `field`.
    Attach {
        sequence: Option<Value<'a>>,
        field: Option<Value<'a>>,
    },
}

impl<'a> Wish<'a> {
    pub(super) fn read(options: &Options<'a>) -> Result<Self, Error> {
        let wish = |sequence, field| Self::Attach { sequence, field };
        Ok(match options.get("sequence") {
            None => Self::Keep,
            Some(Value::Bool(false)) => Self::Detach,
            Some(Value::Bool(true)) => wish(None, None),
            // A table without names.
            Some(Value::List(_)) => wish(None, None),
            Some(table @ Value::Table(_)) => {
                wish(table.get("id").cloned(), table.get("field").cloned())
            }
            Some(id @ (Value::Str(_) | Value::Integer(_) | Value::Float(_))) => {
                wish(Some(id.clone()), None)
            }
            Some(_) => {
                let kinds = "boolean, number, string, table";
                return Err(illegal(format_args!(
                    "options parameter 'sequence' should be one of types: {kinds}"
                )));
            }
        })
    }
}
