//! What users and roles have in common.

use vestibule_actors::engine::Outcome;
use vestibule_wire::Error;
use vestibule_wire::auth::PasswordHash;
use vestibule_wire::request::IdOrName;

use super::args::Args;
use super::call::{EngineCall, alter_schema, no_result};
use super::lookup::{principal, printed};
use super::remove;
use crate::ddl::grant_checks;
use crate::engine::EmbeddedEngine;
use crate::errors::{self, access as access_errors};
use crate::privileges::{ObjectKind, Privileges};
use crate::schema::system::rows::UserRow;
use crate::schema::system::{self, read};
use crate::store::snapshot::Snapshot;

/// What every user has on everything, to be here at all.
pub(super) const ENTER: Privileges = Privileges(Privileges::SESSION.0 | Privileges::USAGE.0);

/// The row of a new user or role, with the next free number.
pub(super) fn new_row(
    engine: &EmbeddedEngine,
    name: &str,
    kind: ObjectKind,
    password: Option<PasswordHash>,
) -> Result<UserRow, Error> {
    engine.allowed(IdOrName::Id(system::USER), Privileges::READ)?;
    let largest = engine.look(|snapshot| read::largest_id(snapshot, system::USER))?;
    Ok(UserRow {
        id: (largest + 1).max(system::USER_ID_MIN),
        owner: engine.effective_user().id,
        name: name.into(),
        kind: kind.name().into(),
        password,
    })
}

/// Drops a user or a role with all that it owns and all rights that it has.
pub(super) fn drop_kind(call: &mut EngineCall<'_>, kind: ObjectKind) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let name = args.value(0)?;
    let options = args.options(1, &["if_exists"])?;
    let Some(row) = principal(call.engine, &name, kind)? else {
        if options.flag("if_exists")? {
            return no_result(call);
        }
        return Err(access_errors::no_such_object(kind, &printed(&name)));
    };
    if row.id < system::USER_ID_MIN {
        let why = "the user or the role is a system";
        return Err(errors::cannot_drop_user(&row.name, why));
    }
    if row.id == call.engine.effective_user().id || row.id == call.caller.user.id {
        let why = "the user is active in the current session";
        return Err(errors::cannot_drop_user(&row.name, why));
    }
    alter_schema(call, |engine, reply| remove::principal(engine, &row, reply))
}

/// What was granted to somebody, as far as the caller may know: `{{'read', 'space', 'x'}, …}`.
pub(super) fn tell(call: &mut EngineCall<'_>, grantee: u64) -> Result<Outcome, Error> {
    let rights = call.engine.effective_user();
    let told = call.engine.look(|snapshot: Snapshot<'_>| {
        let rows = read::grants_of(snapshot, grantee)?.into_iter();
        let rows = rows.filter(|row| rights.shows_row(system::PRIV, &row.encode()));
        rows.map(|row| {
            let name = grant_checks::name_of(snapshot, row.object)?;
            Ok((row.privileges.names(), row.object.0.name(), name))
        })
        .collect::<Result<Vec<_>, Error>>()
    })?;
    call.reply.value(&told)
}
