//! `box.schema.user.*`: who may log in.

use vestibule_actors::engine::Outcome;
use vestibule_wire::auth::PasswordHash;
use vestibule_wire::{Error, ErrorCode};

use super::args::{Args, LuaValue, illegal};
use super::call::{EngineCall, alter_schema, no_result};
use super::lookup::{existing_principal, principal, principal_with_name};
use super::principals::{ENTER, drop_kind, new_row, tell};
use crate::engine::EmbeddedEngine;
use crate::errors;
use crate::privileges::{ObjectKind, Privileges};
use crate::schema::system::grant_rows::PrivRow;
use crate::schema::system::{self, read};

/// `box.schema.user.create(name [, {password = …, if_not_exists = …}])`
pub(super) fn create(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let name = args.name(0, "name")?;
    let options = args.options(1, &["password", "if_not_exists"])?;
    if principal_with_name(call.engine, name)?.is_some() {
        if options.flag("if_not_exists")? {
            return no_result(call);
        }
        return Err(errors::user_exists(name));
    }
    let password = options.text("password")?.map(PasswordHash::of);
    let row = new_row(call.engine, name, ObjectKind::User, password)?;
    let (id, own) = (row.id, row.owner);
    alter_schema(call, |engine, reply| {
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
        let (everything, enter) = ((ObjectKind::Universe, Some(0)), ENTER);
        engine.as_admin(|engine| grant(engine, system::ADMIN, everything, enter))
    })
}

/// `box.schema.user.drop(name [, {if_exists = …}])`
pub(super) fn drop(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    drop_kind(call, ObjectKind::User)
}

/// `box.schema.user.exists(name)`
pub(super) fn exists(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let name = Args::read(call.args)?.value(0)?;
    let found = principal(call.engine, &name, ObjectKind::User)?;
    call.reply.value(&found.is_some())
}

/// `box.schema.user.passwd([user,] password)`
pub(super) fn passwd(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let (first, second) = (args.value(0)?, args.value(1)?);
    if first == LuaValue::Nil {
        let usage = "Usage: box.schema.user.passwd([user,] password)";
        return Err(Error::new(ErrorCode::PROC, usage));
    }
    let own = second == LuaValue::Nil;
    let password = if own { first.as_str() } else { second.as_str() };
    let password = password.ok_or_else(|| illegal("password should be a string"))?;
    let mut row = if own {
        call.engine.check_user(&call.caller.user)?;
        let id = call.caller.user.id;
        let user = call.engine.look(|snapshot| read::user(snapshot, id))?;
        user.ok_or_else(|| errors::no_such_user(&call.caller.user.name))?
    } else {
        existing_principal(call.engine, &first, ObjectKind::User)?
    };
    row.password = Some(PasswordHash::of(password));
    alter_schema(call, |engine, reply| {
        let put =
            |engine: &mut EmbeddedEngine| engine.put_system(system::USER, &row.encode(), reply);
        // Everybody may change the own password.
        if own {
            engine.as_admin(put)
        } else {
            put(engine)
        }
    })
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
        LuaValue::Nil => call.engine.effective_user().id,
        name => existing_principal(call.engine, &name, ObjectKind::User)?.id,
    };
    tell(call, id)
}
