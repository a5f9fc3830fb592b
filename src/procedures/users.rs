//! `box.schema.user.*`: who may log in. Rights come with the next step.

use vestibule_actors::engine::Outcome;
use vestibule_wire::Error;
use vestibule_wire::auth::PasswordHash;
use vestibule_wire::request::Target;

use super::args::{Args, Value, illegal};
use super::{EngineCall, altered, no_result};
use crate::engine::define::system_key;
use crate::engine::system::rows::UserRow;
use crate::engine::{EmbeddedEngine, ddl, errors, system};

fn find(engine: &EmbeddedEngine, name: &str) -> Result<Option<UserRow>, Error> {
    let users = engine.look(ddl::users)?;
    Ok(users.into_iter().find(|user| *user.name == *name))
}

/// `box.schema.user.create(name [, {password = …, if_not_exists = …}])`
pub(super) fn create(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let name = args.name(0, "name")?;
    let options = args.options(1, &["password", "if_not_exists"])?;
    if find(call.engine, name)?.is_some() {
        if options.flag("if_not_exists")? {
            return no_result(call);
        }
        return Err(errors::user_exists(name));
    }
    let password = options.text("password")?.map(PasswordHash::of);
    let users = call.engine.look(ddl::users)?;
    let largest = users.iter().map(|user| user.id).max().unwrap_or(0);
    let id = (largest + 1).max(system::USER_ID_MIN);
    let owner = users.iter().find(|user| *user.name == *call.caller.user);
    let owner = owner.map_or(system::ADMIN, |user| user.id);
    put(
        call,
        &UserRow {
            id,
            owner,
            name: name.into(),
            kind: "user".into(),
            password,
        },
    )
}

fn put(call: &mut EngineCall<'_>, row: &UserRow) -> Result<Outcome, Error> {
    let reply = &call.reply;
    let done = call
        .engine
        .alter(|engine| engine.put_system(system::USER, &row.encode(), reply))?;
    altered(call, done, |call, ()| no_result(call))
}

/// `box.schema.user.drop(name [, {if_exists = …}])`
pub(super) fn drop(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let name = args.name(0, "name")?;
    let options = args.options(1, &["if_exists"])?;
    let Some(row) = find(call.engine, name)?.filter(|row| *row.kind == *"user") else {
        if options.flag("if_exists")? {
            return no_result(call);
        }
        return Err(errors::no_such_user(name));
    };
    let id = u32::try_from(row.id).map_err(|_| errors::no_such_user(name))?;
    let reply = &call.reply;
    let done = call.engine.alter(|engine| {
        let users = engine.definition(Target::Id(system::USER))?;
        engine.change_system(&users, system_key(&[id]), None, reply)
    })?;
    altered(call, done, |call, _| no_result(call))
}

/// `box.schema.user.exists(name)`
pub(super) fn exists(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let found = find(call.engine, args.name(0, "name")?)?;
    call.reply
        .value(&found.is_some_and(|row| *row.kind == *"user"))
}

/// `box.schema.user.passwd([user,] password)`
pub(super) fn passwd(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let first = args.name(0, "user name or password")?;
    let (name, password) = match args.value(1)? {
        Value::Nil => (&*call.caller.user, first),
        Value::Str(password) => (first, password),
        _ => return Err(illegal("password should be a string")),
    };
    let row = find(call.engine, name)?.filter(|row| *row.kind == *"user");
    let mut row = row.ok_or_else(|| errors::no_such_user(name))?;
    row.password = Some(PasswordHash::of(password));
    put(call, &row)
}
