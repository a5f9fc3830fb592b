//! `box.schema.user.*`: who may log in.

use vestibule_actors::engine::{Outcome, Reply};
use vestibule_wire::auth::PasswordHash;
use vestibule_wire::request::Target;
use vestibule_wire::{Error, ErrorCode};

use super::args::{Args, Value, illegal};
use super::{EngineCall, altered, functions, grants, no_result, sequences, spaces};
use crate::access::errors as access_errors;
use crate::access::gate;
use crate::access::privileges::{ObjectKind, Privileges};
use crate::access::rows::PrivRow;
use crate::layer::Sight;
use crate::system::rows::UserRow;
use crate::{EmbeddedEngine, ddl, errors, system};

/// The users and roles that the caller may know of.
pub(super) fn shown(engine: &EmbeddedEngine) -> Result<Vec<UserRow>, Error> {
    engine.look(|sight| {
        let rows = ddl::rows(sight, system::USER);
        let rows = rows.filter(|row| engine.acting().shows_row(system::USER, row));
        rows.map(UserRow::decode).collect()
    })
}

/// The user or role that an argument names or numbers, if the caller may know of it.
pub(super) fn named(
    engine: &EmbeddedEngine,
    name: &Value<'_>,
    kind: ObjectKind,
) -> Result<Option<UserRow>, Error> {
    let is_it = |row: &UserRow| {
        let is_named = match name {
            Value::Str(name) => *row.name == **name,
            other => other.as_uint() == Some(row.id),
        };
        is_named && *row.kind == *kind.name()
    };
    Ok(shown(engine)?.into_iter().find(is_it))
}

/// The same for one that has to be there.
pub(super) fn found(
    engine: &EmbeddedEngine,
    name: &Value<'_>,
    kind: ObjectKind,
) -> Result<UserRow, Error> {
    let row = named(engine, name, kind)?;
    row.ok_or_else(|| access_errors::no_such_object(kind, &printed(name)))
}

/// A name or number as it stands in messages.
pub(super) fn printed(name: &Value<'_>) -> String {
    match name {
        Value::Str(name) => (*name).to_owned(),
        Value::Nil => "nil".to_owned(),
        other => other
            .as_uint()
            .map_or_else(String::new, |id| id.to_string()),
    }
}

/// `box.schema.user.create(name [, {password = …, if_not_exists = …}])`
pub(super) fn create(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let name = args.name(0, "name")?;
    let options = args.options(1, &["password", "if_not_exists"])?;
    if shown(call.engine)?.iter().any(|row| *row.name == *name) {
        if options.flag("if_not_exists")? {
            return no_result(call);
        }
        return Err(errors::user_exists(name));
    }
    let password = options.text("password")?.map(PasswordHash::of);
    let row = new_row(call.engine, name, ObjectKind::User, password)?;
    let (id, own) = (row.id, row.owner);
    let reply = &call.reply;
    let done = call.engine.alter(|engine| {
        engine.put_system(system::USER, &row.encode(), reply)?;
        let grant = |engine: &mut EmbeddedEngine, grantor, object, privileges| {
            let row = PrivRow {
                grantor,
                grantee: id,
                object,
                privileges,
            };
            engine.put_system(system::PRIV, &row.encode(), reply)
        };
        let public = (ObjectKind::Role, Some(system::PUBLIC));
        grant(engine, own, public, Privileges::EXECUTE)?;
        // To change the password or the name.
        grant(engine, own, (ObjectKind::User, Some(id)), Privileges::ALTER)?;
        let (everything, enter) = ((ObjectKind::Universe, Some(0)), grants::ENTER);
        engine.as_admin(|engine| grant(engine, system::ADMIN, everything, enter))
    })?;
    altered(call, done, |call, ()| no_result(call))
}

/// The row of a new user or role, with the next free number.
pub(super) fn new_row(
    engine: &EmbeddedEngine,
    name: &str,
    kind: ObjectKind,
    password: Option<PasswordHash>,
) -> Result<UserRow, Error> {
    engine.allowed(Target::Id(system::USER), Privileges::READ)?;
    let users = engine.look(ddl::users)?;
    let largest = users.iter().map(|user| user.id).max().unwrap_or(0);
    Ok(UserRow {
        id: (largest + 1).max(system::USER_ID_MIN),
        owner: engine.acting().id,
        name: name.into(),
        kind: kind.name().into(),
        password,
    })
}

/// `box.schema.user.drop(name [, {if_exists = …}])`
pub(super) fn drop(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    drop_kind(call, ObjectKind::User)
}

/// Drops a user or a role with all that it owns and all rights that it has.
pub(super) fn drop_kind(call: &mut EngineCall<'_>, kind: ObjectKind) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let name = args.value(0)?;
    let options = args.options(1, &["if_exists"])?;
    let Some(row) = named(call.engine, &name, kind)? else {
        if options.flag("if_exists")? {
            return no_result(call);
        }
        return Err(access_errors::no_such_object(kind, &printed(&name)));
    };
    if row.id < system::USER_ID_MIN {
        let why = "the user or the role is a system";
        return Err(errors::cannot_drop_user(&row.name, why));
    }
    if row.id == call.engine.acting().id || *row.name == *call.caller.user {
        let why = "the user is active in the current session";
        return Err(errors::cannot_drop_user(&row.name, why));
    }
    let reply = &call.reply;
    let done = call.engine.alter(|engine| remove(engine, &row, reply))?;
    altered(call, done, |call, ()| no_result(call))
}

fn remove(engine: &mut EmbeddedEngine, row: &UserRow, reply: &Reply<'_>) -> Result<(), Error> {
    let spaces = engine.look(ddl::spaces)?;
    for space in spaces.iter().filter(|space| space.owner == row.id) {
        spaces::remove(engine, space.id, reply)?;
    }
    let sequences = engine.look(|sight| functions::owned_by(sight, system::SEQUENCE, row.id))?;
    for sequence in sequences {
        sequences::remove(engine, sequence, reply)?;
    }
    for function in engine.look(|sight| functions::owned_by(sight, system::FUNC, row.id))? {
        functions::remove(engine, function, reply)?;
    }
    engine.as_admin(|engine| {
        for grant in engine.look(gate::grants)? {
            if grant.grantee == row.id || gate::is_on_user(&grant, row.id) {
                engine.delete_system(system::PRIV, &grant.encode(), reply)?;
            }
        }
        Ok(())
    })?;
    engine.delete_system(system::USER, &row.encode(), reply)
}

/// `box.schema.user.exists(name)`
pub(super) fn exists(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let name = Args::read(call.args)?.value(0)?;
    let found = named(call.engine, &name, ObjectKind::User)?;
    call.reply.value(&found.is_some())
}

/// `box.schema.user.passwd([user,] password)`
pub(super) fn passwd(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let (first, second) = (args.value(0)?, args.value(1)?);
    if first == Value::Nil {
        let usage = "Usage: box.schema.user.passwd([user,] password)";
        return Err(Error::new(ErrorCode::PROC, usage));
    }
    let own = second == Value::Nil;
    let password = if own { first.as_str() } else { second.as_str() };
    let password = password.ok_or_else(|| illegal("password should be a string"))?;
    let mut row = if own {
        let users = call.engine.look(ddl::users)?;
        let user = users.into_iter().find(|row| *row.name == *call.caller.user);
        user.ok_or_else(|| errors::no_such_user(&call.caller.user))?
    } else {
        found(call.engine, &first, ObjectKind::User)?
    };
    row.password = Some(PasswordHash::of(password));
    let reply = &call.reply;
    let put = |engine: &mut EmbeddedEngine| engine.put_system(system::USER, &row.encode(), reply);
    // Everybody may change the own password.
    let done = call.engine.alter(|engine| match own {
        true => engine.as_admin(put),
        false => put(engine),
    })?;
    altered(call, done, |call, ()| no_result(call))
}

/// `box.schema.user.password(password)`: the hash that `_user` keeps.
pub(super) fn password(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let hash = PasswordHash::of(Args::read(call.args)?.name(0, "password")?);
    call.reply.value(&hash.to_base64())
}

/// `box.schema.user.info([name])`
pub(super) fn info(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let name = Args::read(call.args)?.value(0)?;
    let id = match name {
        Value::Nil => call.engine.acting().id,
        name => found(call.engine, &name, ObjectKind::User)?.id,
    };
    tell(call, id)
}

/// What was granted to somebody, as far as the caller may know: `{{'read', 'space', 'x'}, …}`.
pub(super) fn tell(call: &mut EngineCall<'_>, grantee: u64) -> Result<Outcome, Error> {
    let rights = call.engine.acting();
    let told = call.engine.look(|sight: Sight<'_>| {
        let rows = gate::grants(sight)?.into_iter();
        let rows = rows
            .filter(|row| row.grantee == grantee && rights.shows_row(system::PRIV, &row.encode()));
        rows.map(|row| {
            let name = gate::name_of(sight, row.object)?;
            Ok((row.privileges.names(), row.object.0.name(), name))
        })
        .collect::<Result<Vec<_>, Error>>()
    })?;
    call.reply.value(&told)
}
