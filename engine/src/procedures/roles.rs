//! `box.schema.role.*`: rights that are granted together.

use vestibule_actors::engine::Outcome;
use vestibule_wire::Error;

use super::args::{Args, LuaValue};
use super::call::{EngineCall, alter_schema, no_result};
use super::grants;
use super::lookup::{existing_principal, principal, principal_with_name};
use super::principals::{self, ENTER};
use crate::errors::access as access_errors;
use crate::privileges::ObjectKind;
use crate::schema::system;

/// `box.schema.role.create(name [, {if_not_exists = …}])`
pub(super) fn create(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let name = args.name(0, "name")?;
    let options = args.options(1, &["if_not_exists"])?;
    if principal_with_name(call.engine, name)?.is_some() {
        if options.flag("if_not_exists")? {
            return no_result(call);
        }
        return Err(access_errors::role_exists(name));
    }
    let row = principals::new_row(call.engine, name, ObjectKind::Role, None)?;
    alter_schema(call, |engine, reply| {
        engine.put_system(system::USER, &row.encode(), reply)
    })
}

/// `box.schema.role.drop(name [, {if_exists = …}])`
pub(super) fn drop(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    principals::drop_kind(call, ObjectKind::Role)
}

/// `box.schema.role.exists(name)`
pub(super) fn exists(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let name = Args::read(call.args)?.value(0)?;
    let found = principal(call.engine, &name, ObjectKind::Role)?;
    call.reply.value(&found.is_some())
}

/// `box.schema.role.info(name)`
pub(super) fn info(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let name = Args::read(call.args)?.value(0)?;
    let role = existing_principal(call.engine, &name, ObjectKind::Role)?;
    principals::tell(call, role.id)
}

/// `box.schema.role.grant(role, …)`, with what [`grants::grant`] takes.
pub(super) fn grant(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let role = grantee(call)?;
    grants::grant(call, &role)
}

/// `box.schema.role.revoke(role, …)`
pub(super) fn revoke(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let role = grantee(call)?;
    grants::revoke(call, &role)
}

/// The role, if what it is about to get or to lose is for roles.
fn grantee(call: &EngineCall<'_>) -> Result<grants::Grantee, Error> {
    let args = Args::read(call.args)?;
    let role = grants::Grantee::read(call, &args, ObjectKind::Role)?;
    let is_for_users = match args.value(1)? {
        LuaValue::Str(words) => {
            let words = words.to_ascii_lowercase();
            words.contains("session") || words.contains("usage")
        }
        other => other
            .as_uint()
            .is_some_and(|bits| bits & u64::from(ENTER.0) != 0),
    };
    if is_for_users {
        let why = "system privilege can not be granted to role";
        return Err(access_errors::wrong_grant(why));
    }
    Ok(role)
}
