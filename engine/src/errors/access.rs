//! Errors of users and rights: Tarantool's codes and texts.

use vestibule_wire::{Error, ErrorCode};

use crate::errors::no_such_user;
use crate::limits::USERS_MAX;
use crate::privileges::ObjectKind;

/// [`ErrorCode::UNKNOWN_SCHEMA_OBJECT`]
pub(crate) fn unknown_object_type(name: &str) -> Error {
    Error::new(
        ErrorCode::UNKNOWN_SCHEMA_OBJECT,
        format!("Unknown object type '{name}'"),
    )
}

/// [`ErrorCode::CREATE_FUNCTION`]
pub(crate) fn cannot_create_function(name: &str, why: &str) -> Error {
    Error::new(
        ErrorCode::CREATE_FUNCTION,
        format!("Failed to create function '{name}': {why}"),
    )
}

/// [`ErrorCode::FUNCTION_LANGUAGE`]
pub(crate) fn function_language(language: &str, name: &str) -> Error {
    Error::new(
        ErrorCode::FUNCTION_LANGUAGE,
        format!("Unsupported language '{language}' specified for function '{name}'"),
    )
}

/// [`ErrorCode::UNSUPPORTED`], for a call of a function that only its own language could run.
pub(crate) fn foreign_function(name: &str) -> Error {
    super::unsupported(&format!(
        "calls of functions in Lua or C: what '{name}' does is kept, and not run"
    ))
}

/// [`ErrorCode::NO_SUCH_FUNCTION`]
pub(crate) fn no_such_function(name: &str) -> Error {
    Error::new(
        ErrorCode::NO_SUCH_FUNCTION,
        format!("Function '{name}' does not exist"),
    )
}

/// [`ErrorCode::FUNCTION_EXISTS`]
pub(crate) fn function_exists(name: &str) -> Error {
    Error::new(
        ErrorCode::FUNCTION_EXISTS,
        format!("Function '{name}' already exists"),
    )
}

/// [`ErrorCode::USER_MAX`]
pub(crate) fn too_many_users() -> Error {
    let message = format!("A limit on the total number of users has been reached: {USERS_MAX}");
    Error::new(ErrorCode::USER_MAX, message)
}

/// [`ErrorCode::DROP_FUNCTION`]
pub(crate) fn cannot_drop_function(id: u64, why: &str) -> Error {
    Error::new(
        ErrorCode::DROP_FUNCTION,
        format!("Can't drop function {id}: {why}"),
    )
}

/// [`ErrorCode::NO_SUCH_ROLE`]
pub(crate) fn no_such_role(role: &str) -> Error {
    Error::new(
        ErrorCode::NO_SUCH_ROLE,
        format!("Role '{role}' is not found"),
    )
}

/// [`ErrorCode::ROLE_EXISTS`]
pub(crate) fn role_exists(role: &str) -> Error {
    Error::new(
        ErrorCode::ROLE_EXISTS,
        format!("Role '{role}' already exists"),
    )
}

/// [`ErrorCode::CREATE_ROLE`]
pub(crate) fn role_with_password(role: &str) -> Error {
    let why = "authentication data can not be set for a role";
    Error::new(
        ErrorCode::CREATE_ROLE,
        format!("Failed to create role '{role}': {why}"),
    )
}

/// [`ErrorCode::NO_SUCH_SPACE`], [`ErrorCode::NO_SUCH_USER`], [`ErrorCode::NO_SUCH_FUNCTION`],
/// [`ErrorCode::NO_SUCH_ROLE`] or [`ErrorCode::NO_SUCH_SEQUENCE`], for an object that something
/// is granted on.
pub(crate) fn no_such_object(kind: ObjectKind, name: &str) -> Error {
    match kind {
        ObjectKind::Universe | ObjectKind::Space => Error::no_such_space(name),
        // Of the last three there are no objects: nobody looks for one.
        ObjectKind::Function | ObjectKind::LuaCall | ObjectKind::LuaEval | ObjectKind::Sql => {
            no_such_function(name)
        }
        ObjectKind::Sequence => Error::new(
            ErrorCode::NO_SUCH_SEQUENCE,
            format!("Sequence '{name}' does not exist"),
        ),
        ObjectKind::Role => no_such_role(name),
        ObjectKind::User => no_such_user(name),
    }
}

/// [`ErrorCode::ROLE_LOOP`]
pub(crate) fn role_loop(role: &str, grantee: &str) -> Error {
    let message = format!("Granting role '{role}' to role '{grantee}' would create a loop");
    Error::new(ErrorCode::ROLE_LOOP, message)
}

/// [`ErrorCode::GRANT`]
pub(crate) fn wrong_grant(why: &str) -> Error {
    Error::new(
        ErrorCode::GRANT,
        format!("Incorrect grant arguments: {why}"),
    )
}

/// [`ErrorCode::PRIV_GRANTED`] or, for a role, [`ErrorCode::ROLE_GRANTED`]. On the
/// universe there is nothing to name.
pub(crate) fn granted(user: &str, privileges: &str, kind: ObjectKind, name: &str) -> Error {
    match kind {
        ObjectKind::Role if is_role(privileges, name) => Error::new(
            ErrorCode::ROLE_GRANTED,
            format!("User '{user}' already has role '{name}'"),
        ),
        ObjectKind::Universe => {
            let message = format!("User '{user}' already has {privileges} access on universe");
            Error::new(ErrorCode::PRIV_GRANTED, message)
        }
        _ => {
            let kind = kind.name();
            let message =
                format!("User '{user}' already has {privileges} access on {kind} '{name}'");
            Error::new(ErrorCode::PRIV_GRANTED, message)
        }
    }
}

/// [`ErrorCode::PRIV_NOT_GRANTED`] or, for a role, [`ErrorCode::ROLE_NOT_GRANTED`]
pub(crate) fn not_granted(user: &str, privileges: &str, kind: ObjectKind, name: &str) -> Error {
    if kind == ObjectKind::Role && is_role(privileges, name) {
        let message = format!("User '{user}' does not have role '{name}'");
        return Error::new(ErrorCode::ROLE_NOT_GRANTED, message);
    }
    let kind = kind.name();
    let message = format!("User '{user}' does not have {privileges} access on {kind} '{name}'");
    Error::new(ErrorCode::PRIV_NOT_GRANTED, message)
}

/// To have a role is to have the right to execute it.
fn is_role(privileges: &str, name: &str) -> bool {
    privileges == "execute" && !name.is_empty()
}

/// [`ErrorCode::GUEST_USER_PASSWORD`]
pub(crate) fn guest_password() -> Error {
    let message = "Setting password for guest user has no effect";
    Error::new(ErrorCode::GUEST_USER_PASSWORD, message)
}

/// [`ErrorCode::UNSUPPORTED_PRIV`]
pub(crate) fn unsupported_privilege(kind: ObjectKind, privileges: &str) -> Error {
    let kind = kind.name();
    let message = format!("Unsupported {kind} privilege '{privileges}'");
    Error::new(ErrorCode::UNSUPPORTED_PRIV, message)
}
