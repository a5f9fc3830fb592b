//! Errors of users and rights: Tarantool's codes and texts.

use vestibule_wire::{Error, ErrorCode};

use super::privileges::ObjectKind;
use crate::errors::no_such_user;
use crate::limits::USERS_MAX;

const UNKNOWN_SCHEMA_OBJECT: ErrorCode = ErrorCode(49);
const CREATE_FUNCTION: ErrorCode = ErrorCode(50);
const NO_SUCH_FUNCTION: ErrorCode = ErrorCode(51);
const FUNCTION_EXISTS: ErrorCode = ErrorCode(52);
const USER_MAX: ErrorCode = ErrorCode(56);
const DROP_FUNCTION: ErrorCode = ErrorCode(71);
const NO_SUCH_ROLE: ErrorCode = ErrorCode(82);
const ROLE_EXISTS: ErrorCode = ErrorCode(83);
const CREATE_ROLE: ErrorCode = ErrorCode(84);
const ROLE_LOOP: ErrorCode = ErrorCode(87);
const GRANT: ErrorCode = ErrorCode(88);
const PRIV_GRANTED: ErrorCode = ErrorCode(89);
const ROLE_GRANTED: ErrorCode = ErrorCode(90);
const PRIV_NOT_GRANTED: ErrorCode = ErrorCode(91);
const ROLE_NOT_GRANTED: ErrorCode = ErrorCode(92);
const GUEST_USER_PASSWORD: ErrorCode = ErrorCode(96);
const UNSUPPORTED_PRIV: ErrorCode = ErrorCode(98);
const NO_SUCH_SEQUENCE: ErrorCode = ErrorCode(145);

/// 49
pub(crate) fn unknown_object_type(name: &str) -> Error {
    Error::new(
        UNKNOWN_SCHEMA_OBJECT,
        format!("Unknown object type '{name}'"),
    )
}

/// 50
pub(crate) fn cannot_create_function(name: &str, why: &str) -> Error {
    Error::new(
        CREATE_FUNCTION,
        format!("Failed to create function '{name}': {why}"),
    )
}

/// 51
pub(crate) fn no_such_function(name: &str) -> Error {
    Error::new(
        NO_SUCH_FUNCTION,
        format!("Function '{name}' does not exist"),
    )
}

/// 52
pub(crate) fn function_exists(name: &str) -> Error {
    Error::new(FUNCTION_EXISTS, format!("Function '{name}' already exists"))
}

/// 56
pub(crate) fn too_many_users() -> Error {
    let message = format!("A limit on the total number of users has been reached: {USERS_MAX}");
    Error::new(USER_MAX, message)
}

/// 71
pub(crate) fn cannot_drop_function(id: u64, why: &str) -> Error {
    Error::new(DROP_FUNCTION, format!("Can't drop function {id}: {why}"))
}

/// 82
pub(crate) fn no_such_role(role: &str) -> Error {
    Error::new(NO_SUCH_ROLE, format!("Role '{role}' is not found"))
}

/// 83
pub(crate) fn role_exists(role: &str) -> Error {
    Error::new(ROLE_EXISTS, format!("Role '{role}' already exists"))
}

/// 84
pub(crate) fn role_with_password(role: &str) -> Error {
    let why = "authentication data can not be set for a role";
    Error::new(
        CREATE_ROLE,
        format!("Failed to create role '{role}': {why}"),
    )
}

/// 36, 45, 51, 82 or 145, for an object that something is granted on.
pub(crate) fn no_such_object(kind: ObjectKind, name: &str) -> Error {
    match kind {
        ObjectKind::Universe | ObjectKind::Space => Error::no_such_space(name),
        ObjectKind::Function => no_such_function(name),
        ObjectKind::Sequence => Error::new(
            NO_SUCH_SEQUENCE,
            format!("Sequence '{name}' does not exist"),
        ),
        ObjectKind::Role => no_such_role(name),
        ObjectKind::User => no_such_user(name),
    }
}

/// 87
pub(crate) fn role_loop(role: &str, grantee: &str) -> Error {
    let message = format!("Granting role '{role}' to role '{grantee}' would create a loop");
    Error::new(ROLE_LOOP, message)
}

/// 88
pub(crate) fn wrong_grant(why: &str) -> Error {
    Error::new(GRANT, format!("Incorrect grant arguments: {why}"))
}

/// 89 or, for a role, 90. On the universe there is nothing to name.
pub(crate) fn granted(user: &str, privileges: &str, kind: ObjectKind, name: &str) -> Error {
    match kind {
        ObjectKind::Role if is_role(privileges, name) => Error::new(
            ROLE_GRANTED,
            format!("User '{user}' already has role '{name}'"),
        ),
        ObjectKind::Universe => {
            let message = format!("User '{user}' already has {privileges} access on universe");
            Error::new(PRIV_GRANTED, message)
        }
        _ => {
            let kind = kind.name();
            let message =
                format!("User '{user}' already has {privileges} access on {kind} '{name}'");
            Error::new(PRIV_GRANTED, message)
        }
    }
}

/// 91 or, for a role, 92
pub(crate) fn not_granted(user: &str, privileges: &str, kind: ObjectKind, name: &str) -> Error {
    if kind == ObjectKind::Role && is_role(privileges, name) {
        let message = format!("User '{user}' does not have role '{name}'");
        return Error::new(ROLE_NOT_GRANTED, message);
    }
    let kind = kind.name();
    let message = format!("User '{user}' does not have {privileges} access on {kind} '{name}'");
    Error::new(PRIV_NOT_GRANTED, message)
}

/// To have a role is to have the right to execute it.
fn is_role(privileges: &str, name: &str) -> bool {
    privileges == "execute" && !name.is_empty()
}

/// 96
pub(crate) fn guest_password() -> Error {
    let message = "Setting password for guest user has no effect";
    Error::new(GUEST_USER_PASSWORD, message)
}

/// 98
pub(crate) fn unsupported_privilege(kind: ObjectKind, privileges: &str) -> Error {
    let kind = kind.name();
    let message = format!("Unsupported {kind} privilege '{privileges}'");
    Error::new(UNSUPPORTED_PRIV, message)
}
