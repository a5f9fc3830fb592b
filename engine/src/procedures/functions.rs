//! `box.schema.func.*`: names of procedures, so that rights can be granted on them. What a name
//! does is written in Rust; a name that nothing stands behind can be made, as in Tarantool, and not
//! called. So can a function with a body, which is kept as it was given.

use std::time::SystemTime;

use vestibule_actors::engine::Outcome;
use vestibule_wire::Error;
use vestibule_wire::request::IdOrName;

use super::args::{Args, LuaValue, Options, illegal};
use super::call::{EngineCall, alter_schema, no_result};
use super::lookup::{function, printed};
use super::remove::{self, object_id};
use crate::errors::access as access_errors;
use crate::privileges::Privileges;
use crate::schema::system::grant_rows::{FuncRow, FuncTraits};
use crate::schema::system::{self, read};

const OPTIONS: [&str; 14] = [
    "setuid",
    "if_not_exists",
    "language",
    "body",
    "is_deterministic",
    "is_sandboxed",
    "is_multikey",
    "takes_raw_args",
    "opts",
    "comment",
    "param_list",
    "returns",
    "aggregate",
    "exports",
];

/// `box.schema.func.create(name [, {setuid = …, body = …, if_not_exists = …}])`
pub(super) fn create(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let name = args.name(0, "name")?;
    let options = args.options(1, &OPTIONS)?;
    if function(call.engine, &LuaValue::Str(name))?.is_some() {
        if options.flag("if_not_exists")? {
            return no_result(call);
        }
        return Err(access_errors::function_exists(name));
    }
    let language = options.text("language")?.unwrap_or("LUA");
    let body = options.text("body")?.unwrap_or_default();
    let traits = read_traits(&options)?;
    call.engine
        .allowed(IdOrName::Id(system::FUNC), Privileges::READ)?;
    let largest = call
        .engine
        .look(|snapshot| read::largest_id(snapshot, system::FUNC))?;
    let row = FuncRow {
        id: largest + 1,
        owner: call.engine.effective_user().id,
        name: name.into(),
        is_setuid: options.flag("setuid")?,
        language: language.to_ascii_uppercase().into(),
        body: body.into(),
    };
    let row = row.encode(&traits, &date_and_time(SystemTime::now()));
    alter_schema(call, |engine, reply| {
        engine.put_system(system::FUNC, &row, reply)
    })
}

/// What is kept of a function and has no effect here.
fn read_traits(options: &Options<'_>) -> Result<FuncTraits, Error> {
    let mut traits = FuncTraits {
        is_deterministic: options.flag("is_deterministic")?,
        is_sandboxed: options.flag("is_sandboxed")?,
        ..FuncTraits::default()
    };
    for (name, place) in [
        ("returns", &mut traits.returns),
        ("aggregate", &mut traits.aggregate),
        ("comment", &mut traits.comment),
    ] {
        if let Some(text) = options.text(name)? {
            *place = text.into();
        }
    }
    for (name, place) in [
        ("param_list", &mut traits.param_list),
        ("exports", &mut traits.exports),
    ] {
        match options.get(name) {
            None => {}
            Some(list @ LuaValue::List(_)) => {
                let mut raw = Vec::new();
                list.write(&mut raw);
                *place = raw.into();
            }
            Some(_) => return Err(wrong_table(name)),
        }
    }
    traits.opts = read_opts(options)?;
    Ok(traits)
}

/// The map `opts`, with the flags that stand beside it and belong there.
fn read_opts(options: &Options<'_>) -> Result<Box<[u8]>, Error> {
    let mut opts = match options.get("opts") {
        None => Vec::new(),
        Some(LuaValue::List(values)) if values.is_empty() => Vec::new(),
        Some(LuaValue::Table(pairs)) => pairs.clone(),
        Some(_) => return Err(wrong_table("opts")),
    };
    for flag in ["is_multikey", "takes_raw_args"] {
        if options.flag(flag)? {
            opts.push((LuaValue::Str(flag), LuaValue::Bool(true)));
        }
    }
    let mut raw = Vec::new();
    LuaValue::Table(opts).write(&mut raw);
    Ok(raw.into())
}

fn wrong_table(name: &str) -> Error {
    illegal(format_args!(
        "options parameter '{name}' should be of type table"
    ))
}

/// `2019-12-29 17:52:51`, in UTC.
fn date_and_time(time: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.replace('T', " ").replace('Z', "")
}

/// `box.schema.func.drop(name [, {if_exists = …}])`
pub(super) fn drop(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let name = args.value(0)?;
    let options = args.options(1, &["if_exists"])?;
    let Some(row) = function(call.engine, &name)? else {
        if options.flag("if_exists")? {
            return no_result(call);
        }
        return Err(access_errors::no_such_function(&printed(&name)));
    };
    let id = object_id(row.id)?;
    alter_schema(call, |engine, reply| remove::function(engine, id, reply))
}

/// `box.schema.func.exists(name)`
pub(super) fn exists(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let name = Args::read(call.args)?.value(0)?;
    let found = function(call.engine, &name)?;
    call.reply.value(&found.is_some())
}
