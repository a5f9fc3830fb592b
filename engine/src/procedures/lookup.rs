//! Objects that arguments name or number, if the caller may know of them.

use vestibule_wire::Error;

use super::args::{LuaValue, Options};
use crate::engine::EmbeddedEngine;
use crate::errors::{self, access as access_errors};
use crate::model::field::FieldType;
use crate::model::tuple::Tuple;
use crate::privileges::ObjectKind;
use crate::schema::system::grant_rows::FuncRow;
use crate::schema::system::read::{self, sequence_with_name};
use crate::schema::system::rows::UserRow;
use crate::schema::system::{self};

/// The user or role with this name, if the caller may know of it.
pub(super) fn principal_with_name(
    engine: &EmbeddedEngine,
    name: &str,
) -> Result<Option<UserRow>, Error> {
    engine.look(|snapshot| {
        let row = read::with_name(snapshot, system::USER, name);
        let shown = row.filter(|row| engine.effective_user().shows_row(system::USER, row));
        shown.map(UserRow::decode).transpose()
    })
}

/// The user or role that an argument names or numbers, if the caller may know of it.
pub(super) fn principal(
    engine: &EmbeddedEngine,
    name: &LuaValue<'_>,
    kind: ObjectKind,
) -> Result<Option<UserRow>, Error> {
    let found = match name {
        LuaValue::Str(name) => principal_with_name(engine, name)?,
        other => match other.as_uint() {
            Some(id) => engine.look(|snapshot| read::user(snapshot, id))?,
            None => None,
        },
    };
    let rights = engine.effective_user();
    let is_it =
        |row: &UserRow| *row.kind == *kind.name() && rights.shows_row(system::USER, &row.encode());
    Ok(found.filter(is_it))
}

/// The same for one that has to be there.
pub(super) fn existing_principal(
    engine: &EmbeddedEngine,
    name: &LuaValue<'_>,
    kind: ObjectKind,
) -> Result<UserRow, Error> {
    let row = principal(engine, name, kind)?;
    row.ok_or_else(|| access_errors::no_such_object(kind, &printed(name)))
}

/// The number of the user that is told, or else of the caller.
///
/// # Errors
///
/// `ErrorCode::NO_SUCH_USER` for a user that is not there.
pub(super) fn owner(engine: &EmbeddedEngine, options: &Options<'_>) -> Result<u64, Error> {
    match options.get("user") {
        None => Ok(engine.effective_user().id),
        Some(user) => existing_principal(engine, user, ObjectKind::User).map(|row| row.id),
    }
}

/// The function that an argument names or numbers, if the caller may know of it.
pub(super) fn function(
    engine: &EmbeddedEngine,
    name: &LuaValue<'_>,
) -> Result<Option<FuncRow>, Error> {
    engine.look(|snapshot| {
        let row = match name {
            LuaValue::Str(name) => read::with_name(snapshot, system::FUNC, name),
            other => other.as_uint().and_then(|id| read::function(snapshot, id)),
        };
        let shown = row.filter(|row| engine.effective_user().shows_row(system::FUNC, row));
        shown.map(FuncRow::decode).transpose()
    })
}

/// The row of a sequence that is named, or told by its number, if the caller may know of it.
///
/// # Errors
///
/// `ErrorCode::KEY_PART_TYPE` for what is neither a name nor a number.
pub(super) fn sequence(engine: &EmbeddedEngine, by: &LuaValue<'_>) -> Result<Option<Tuple>, Error> {
    let shown = |row: &Tuple| engine.effective_user().shows_row(system::SEQUENCE, row);
    Ok(any_sequence(engine, by)?.filter(shown))
}

/// The same, whatever the caller may know of.
///
/// # Errors
///
/// As [`sequence`].
pub(super) fn any_sequence(
    engine: &EmbeddedEngine,
    by: &LuaValue<'_>,
) -> Result<Option<Tuple>, Error> {
    match by {
        LuaValue::Nil => Ok(None),
        LuaValue::Str(name) => engine.look(|snapshot| {
            let found = sequence_with_name(snapshot, name)?;
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

/// Like [`sequence`].
///
/// # Errors
///
/// Those of [`sequence`], and `ErrorCode::NO_SUCH_SEQUENCE` for what is not there.
pub(super) fn existing_sequence(
    engine: &EmbeddedEngine,
    by: &LuaValue<'_>,
) -> Result<Tuple, Error> {
    sequence(engine, by)?.ok_or_else(|| match by {
        LuaValue::Str(name) => errors::no_such_sequence(name),
        other => match other.as_uint() {
            Some(id) => errors::no_such_sequence(id),
            None => errors::no_such_sequence("nil"),
        },
    })
}

/// A name or number as it stands in messages.
pub(super) fn printed(name: &LuaValue<'_>) -> String {
    match name {
        LuaValue::Str(name) => (*name).to_owned(),
        LuaValue::Nil => "nil".to_owned(),
        other => other
            .as_uint()
            .map_or_else(String::new, |id| id.to_string()),
    }
}
