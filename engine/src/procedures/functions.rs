//! `box.schema.func.*`: names of procedures, so that rights can be granted on them. What a name
//! does is written in Rust; a name that nothing stands behind can be made, as in Tarantool, and not
//! called.

use std::time::SystemTime;

use vestibule_actors::engine::{Outcome, Reply};
use vestibule_wire::Error;
use vestibule_wire::request::Target;

use super::args::{Args, Value};
use super::{EngineCall, altered, no_result, users};
use crate::access::errors as access_errors;
use crate::access::gate;
use crate::access::privileges::{ObjectKind, Privileges};
use crate::access::rows::{FuncRow, Head};
use crate::define::system_key;
use crate::layer::Sight;
use crate::{EmbeddedEngine, ddl, errors, system};

/// The function that an argument names or numbers, if the caller may know of it.
pub(super) fn named(engine: &EmbeddedEngine, name: &Value<'_>) -> Result<Option<FuncRow>, Error> {
    let is_it = |row: &FuncRow| match name {
        Value::Str(name) => *row.name == **name,
        other => other.as_uint() == Some(row.id),
    };
    engine.look(|sight| {
        for row in ddl::rows(sight, system::FUNC) {
            let decoded = FuncRow::decode(row)?;
            if is_it(&decoded) && engine.acting().shows_row(system::FUNC, row) {
                return Ok(Some(decoded));
            }
        }
        Ok(None)
    })
}

/// `box.schema.func.create(name [, {setuid = …, if_not_exists = …}])`
pub(super) fn create(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    const OPTIONS: [&str; 4] = ["setuid", "if_not_exists", "language", "body"];
    let args = Args::read(call.args)?;
    let name = args.name(0, "name")?;
    let options = args.options(1, &OPTIONS)?;
    if named(call.engine, &Value::Str(name))?.is_some() {
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
        .allowed(Target::Id(system::FUNC), Privileges::READ)?;
    let ids = call.engine.look(|sight| {
        let heads = ddl::rows(sight, system::FUNC).map(Head::decode);
        heads
            .map(|head| head.map(|head| head.id))
            .collect::<Result<Vec<_>, _>>()
    })?;
    let row = FuncRow {
        id: ids.into_iter().max().unwrap_or(0) + 1,
        owner: call.engine.acting().id,
        name: name.into(),
        is_setuid: options.flag("setuid")?,
    };
    let row = row.encode(&date_and_time(SystemTime::now()));
    let reply = &call.reply;
    let done = call
        .engine
        .alter(|engine| engine.put_system(system::FUNC, &row, reply))?;
    altered(call, done, |call, ()| no_result(call))
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
    let Some(row) = named(call.engine, &name)? else {
        if options.flag("if_exists")? {
            return no_result(call);
        }
        return Err(access_errors::no_such_function(&users::printed(&name)));
    };
    let reply = &call.reply;
    let id = number(row.id)?;
    let done = call.engine.alter(|engine| remove(engine, id, reply))?;
    altered(call, done, |call, ()| no_result(call))
}

/// `box.schema.func.exists(name)`
pub(super) fn exists(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let name = Args::read(call.args)?.value(0)?;
    let found = named(call.engine, &name)?;
    call.reply.value(&found.is_some())
}

/// Numbers of the functions or sequences that somebody owns.
pub(super) fn owned_by(sight: Sight<'_>, space: u32, owner: u64) -> Result<Vec<u32>, Error> {
    let heads = ddl::rows(sight, space).map(Head::decode);
    let own = heads.filter(|head| head.as_ref().map_or(true, |head| head.owner == owner));
    own.map(|head| number(head?.id)).collect()
}

/// Drops a function with the rights that others have on it. For use inside `alter`.
pub(super) fn remove(engine: &mut EmbeddedEngine, id: u32, reply: &Reply<'_>) -> Result<(), Error> {
    revoke_all(engine, ObjectKind::Function, u64::from(id), reply)?;
    let def = engine.definition(Target::Id(system::FUNC))?;
    engine
        .change_system(&def, system_key(&[id]), None, reply)
        .map(|_| ())
}

/// The number of an object, which the system's rows keep in 32 bits.
fn number(id: u64) -> Result<u32, Error> {
    u32::try_from(id).map_err(|_| Error::invalid_msgpack("system row"))
}

/// Takes back every right on an object that is about to go: whoever may drop it need not have
/// granted them. If it may not be dropped after all, the whole change is forgotten.
pub(super) fn revoke_all(
    engine: &mut EmbeddedEngine,
    kind: ObjectKind,
    id: u64,
    reply: &Reply<'_>,
) -> Result<(), Error> {
    engine.as_admin(|engine| {
        for grant in engine.look(gate::grants)? {
            if grant.object == (kind, Some(id)) {
                engine.delete_system(system::PRIV, &grant.encode(), reply)?;
            }
        }
        Ok(())
    })
}
