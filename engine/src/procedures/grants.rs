//! Granting and revoking, to users and to roles.
//!
//! ```text
//!   grant('bob', 'read,write', 'space', 'x')     on one object
//!   grant('bob', 'read', 'space')                on all spaces
//!   grant('bob', 'execute', 'universe')          on everything
//!   grant('bob', 'super')                        a role
//! ```

use vestibule_actors::engine::Outcome;
use vestibule_wire::Error;
use vestibule_wire::request::IdOrName;

use super::args::{Args, LuaValue, Options, illegal};
use super::call::{EngineCall, alter_schema, no_result};
use super::lookup::{self, existing_principal, principal, printed};
use super::principals::ENTER;
use crate::engine::EmbeddedEngine;
use crate::errors::{self, access as access_errors};
use crate::privileges::{ObjectKind, Privileges};
use crate::schema::system::grant_rows::PrivRow;
use crate::schema::system::{self, read};

/// Who gets or loses a right.
#[derive(Debug, Clone)]
pub(super) struct Grantee {
    id: u64,
    /// As the caller wrote it.
    name: String,
}

impl Grantee {
    /// The user or role that the first argument names.
    pub(super) fn read(
        call: &EngineCall<'_>,
        args: &Args<'_>,
        kind: ObjectKind,
    ) -> Result<Self, Error> {
        let name = args.value(0)?;
        Ok(Self {
            id: existing_principal(call.engine, &name, kind)?.id,
            name: printed(&name),
        })
    }
}

/// What a call is about.
struct Asked {
    privileges: Privileges,
    /// As the caller wrote them.
    words: String,
    kind: ObjectKind,
    id: Option<u64>,
    name: String,
}

impl Asked {
    /// Arguments 1 to 3: privileges, kind of object, object; or only a role.
    fn read(engine: &EmbeddedEngine, args: &Args<'_>) -> Result<Self, Error> {
        let (privileges, kind, object) = (args.value(1)?, args.value(2)?, args.value(3)?);
        let (privileges, kind, object) = match (kind, object) {
            (LuaValue::Nil, LuaValue::Nil) => {
                (LuaValue::Str("execute"), LuaValue::Str("role"), privileges)
            }
            (kind, LuaValue::Nil) => (privileges, kind, LuaValue::Str("")),
            both => (privileges, both.0, both.1),
        };
        let kind_name = printed(&kind);
        let kind = ObjectKind::from_name(&kind_name);
        let kind = kind.ok_or_else(|| access_errors::unknown_object_type(&kind_name))?;
        let words = printed(&privileges);
        let privileges = match privileges {
            LuaValue::Str(words) => Privileges::parse(words),
            bits => bits
                .as_uint()
                .and_then(|bits| u32::try_from(bits).ok())
                .map(Privileges),
        };
        let fit = |own: &Privileges| !own.is_empty() && kind.grantable().contain(*own);
        let privileges = privileges
            .filter(fit)
            .ok_or_else(|| access_errors::unsupported_privilege(kind, &words))?;
        if !matches!(
            object,
            LuaValue::Str(_) | LuaValue::Integer(_) | LuaValue::Float(_)
        ) {
            return Err(illegal("wrong object name type"));
        }
        Ok(Self {
            privileges,
            words,
            kind,
            id: resolve(engine, kind, &object)?,
            name: printed(&object),
        })
    }

    /// The row of `_priv` that it changes.
    fn row(&self, engine: &EmbeddedEngine, grantee: &Grantee) -> Result<Option<PrivRow>, Error> {
        engine.look(|snapshot| read::grant(snapshot, grantee.id, (self.kind, self.id)))
    }
}

/// The number of an object that the caller may know of; `None` for all of the kind.
fn resolve(
    engine: &EmbeddedEngine,
    kind: ObjectKind,
    object: &LuaValue<'_>,
) -> Result<Option<u64>, Error> {
    if kind == ObjectKind::Universe {
        return Ok(Some(0));
    }
    if *object == LuaValue::Str("") {
        return Ok(None);
    }
    if !kind.has_objects() {
        let what = format!("grants on one object of kind '{}'", kind.name());
        return Err(errors::unsupported(&what));
    }
    let unknown = || access_errors::no_such_object(kind, &printed(object));
    let id = match kind {
        ObjectKind::Universe | ObjectKind::LuaCall | ObjectKind::LuaEval | ObjectKind::Sql => None,
        ObjectKind::Role | ObjectKind::User => principal(engine, object, kind)?.map(|row| row.id),
        ObjectKind::Space => {
            let target = match object {
                LuaValue::Str(name) => IdOrName::Name(name),
                other => IdOrName::Id(
                    other
                        .as_uint()
                        .and_then(|id| id.try_into().ok())
                        .unwrap_or(0),
                ),
            };
            let found = engine.visible(target, Privileges::READ).ok();
            found.map(|space| u64::from(space.id))
        }
        ObjectKind::Function => lookup::function(engine, object)?.map(|row| row.id),
        ObjectKind::Sequence => sequence(engine, object)?,
    };
    id.map(Some).ok_or_else(unknown)
}

fn sequence(engine: &EmbeddedEngine, object: &LuaValue<'_>) -> Result<Option<u64>, Error> {
    let row = lookup::sequence(engine, object)?;
    let id = row.as_deref().map(system::first_id).transpose()?;
    Ok(id.map(u64::from))
}

const OPTIONS: [&str; 3] = ["if_not_exists", "if_exists", "grantor"];

/// `box.schema.user.grant(user, …)`
pub(super) fn grant_user(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let user = Grantee::read(call, &Args::read(call.args)?, ObjectKind::User)?;
    grant(call, &user)
}

/// `box.schema.user.revoke(user, …)`
pub(super) fn revoke_user(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let user = Grantee::read(call, &Args::read(call.args)?, ObjectKind::User)?;
    revoke(call, &user)
}

/// `(…, privileges [, kind [, object [, {if_not_exists = …, grantor = …}]]])` or `(…, role)`
pub(super) fn grant(call: &mut EngineCall<'_>, grantee: &Grantee) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let options = args.options(4, &OPTIONS)?;
    let asked = Asked::read(call.engine, &args)?;
    let old = asked.row(call.engine, grantee)?;
    let held = old.map_or(Privileges::NONE, |row| row.privileges);
    if held.contain(asked.privileges) {
        if options.flag("if_not_exists")? {
            return no_result(call);
        }
        let (words, kind) = (&asked.words, asked.kind);
        return Err(access_errors::granted(
            &grantee.name,
            words,
            kind,
            &asked.name,
        ));
    }
    let row = PrivRow {
        grantor: grantor(call.engine, &options)?,
        grantee: grantee.id,
        object: (asked.kind, asked.id),
        privileges: held | asked.privileges,
    };
    write(call, &row)
}

fn grantor(engine: &EmbeddedEngine, options: &Options<'_>) -> Result<u64, Error> {
    let Some(name) = options.get("grantor") else {
        return Ok(engine.effective_user().id);
    };
    existing_principal(engine, name, ObjectKind::User).map(|row| row.id)
}

/// `(…, privileges [, kind [, object [, {if_exists = …}]]])` or `(…, role)`
pub(super) fn revoke(call: &mut EngineCall<'_>, grantee: &Grantee) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let options = args.options(4, &OPTIONS)?;
    let asked = Asked::read(call.engine, &args)?;
    let old = asked.row(call.engine, grantee)?;
    let old = old.filter(|row| !(row.privileges & asked.privileges).is_empty());
    let Some(mut row) = old else {
        if options.flag("if_exists")? {
            return no_result(call);
        }
        let (words, kind) = (&asked.words, asked.kind);
        return Err(access_errors::not_granted(
            &grantee.name,
            words,
            kind,
            &asked.name,
        ));
    };
    row.privileges = row.privileges - asked.privileges;
    write(call, &row)
}

/// Stores a row of `_priv`, or takes away one that grants nothing.
fn write(call: &mut EngineCall<'_>, row: &PrivRow) -> Result<Outcome, Error> {
    alter_schema(call, |engine, reply| {
        if row.privileges.is_empty() {
            engine.delete_system(system::PRIV, &row.encode(), reply)
        } else {
            engine.put_system(system::PRIV, &row.encode(), reply)
        }
    })
}

/// `box.schema.user.enable(name)`, `box.schema.user.disable(name)`: whether a user may log in.
pub(super) fn enable(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    set_enabled(call, true)
}

/// See [`enable`].
pub(super) fn disable(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    set_enabled(call, false)
}

fn set_enabled(call: &mut EngineCall<'_>, is_enabled: bool) -> Result<Outcome, Error> {
    let user = Grantee::read(call, &Args::read(call.args)?, ObjectKind::User)?;
    let asked = Asked {
        privileges: ENTER,
        words: ENTER.names(),
        kind: ObjectKind::Universe,
        id: Some(0),
        name: String::new(),
    };
    let old = asked.row(call.engine, &user)?;
    let held = old.map_or(Privileges::NONE, |row| row.privileges);
    let wanted = if is_enabled {
        held | ENTER
    } else {
        held - ENTER
    };
    if wanted == held {
        return no_result(call);
    }
    let grantor = match old {
        Some(row) if !is_enabled => row.grantor,
        _ => call.engine.effective_user().id,
    };
    let row = PrivRow {
        grantor,
        grantee: user.id,
        object: (ObjectKind::Universe, Some(0)),
        privileges: wanted,
    };
    write(call, &row)
}
