//! `box.schema.func.*`: names of procedures, so that rights can be granted on them. What a name
//! does is written in Rust; a name that nothing stands behind can be made, as in Tarantool, and not
//! called.

use std::time::SystemTime;

use vestibule_actors::engine::Outcome;
use vestibule_wire::Error;
use vestibule_wire::request::IdOrName;

use super::args::{Args, LuaValue};
use super::call::{EngineCall, alter_schema, no_result};
use super::lookup::{function, printed};
use super::remove::{self, object_id};
use crate::errors::{self, access as access_errors};
use crate::privileges::Privileges;
use crate::schema::system::grant_rows::{FuncRow, Head};
use crate::schema::system::{self, read};

/// `box.schema.func.create(name [, {setuid = …, if_not_exists = …}])`
pub(super) fn create(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    const OPTIONS: [&str; 4] = ["setuid", "if_not_exists", "language", "body"];
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
    if !language.eq_ignore_ascii_case("LUA") {
        return Err(errors::unsupported(
            "functions in other languages than 'LUA'",
        ));
    }
    if options.text("body")?.is_some_and(|body| !body.is_empty()) {
        return Err(errors::unsupported("functions with a body"));
    }
    call.engine
        .allowed(IdOrName::Id(system::FUNC), Privileges::READ)?;
    let ids = call.engine.look(|snapshot| {
        let heads = read::rows(snapshot, system::FUNC).map(Head::decode);
        heads
            .map(|head| head.map(|head| head.id))
            .collect::<Result<Vec<_>, _>>()
    })?;
    let row = FuncRow {
        id: ids.into_iter().max().unwrap_or(0) + 1,
        owner: call.engine.effective_user().id,
        name: name.into(),
        is_setuid: options.flag("setuid")?,
    };
    let row = row.encode(&date_and_time(SystemTime::now()));
    alter_schema(call, |engine, reply| {
        engine.put_system(system::FUNC, &row, reply)
    })
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
