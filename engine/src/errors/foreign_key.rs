//! Errors of foreign keys: Tarantool's codes and texts.

use vestibule_wire::{Error, ErrorCode, error::Field};

/// The name of the foreign key, for programs.
const NAME: &str = "name";

/// [`ErrorCode::CREATE_FOREIGN_KEY`]
pub(crate) fn cannot_create(name: &str, space: &str, why: &str) -> Error {
    let message = format!("Failed to create foreign key '{name}' in space '{space}': {why}");
    Error::new(ErrorCode::CREATE_FOREIGN_KEY, message)
}

/// [`ErrorCode::FIELD_FOREIGN_KEY_FAILED`], for the foreign key of one field.
#[cold]
pub(crate) fn field_failed(name: &str, path: &str, why: &str) -> Error {
    let message = format!("Foreign key constraint '{name}' failed for field '{path}': {why}");
    let error = Error::new(ErrorCode::FIELD_FOREIGN_KEY_FAILED, message);
    error.with_field(NAME, Field::Str(name.to_owned().into()))
}

/// [`ErrorCode::COMPLEX_FOREIGN_KEY_FAILED`], for one of a whole tuple.
#[cold]
pub(crate) fn tuple_failed(name: &str, why: &str) -> Error {
    let message = format!("Foreign key constraint '{name}' failed: {why}");
    let error = Error::new(ErrorCode::COMPLEX_FOREIGN_KEY_FAILED, message);
    error.with_field(NAME, Field::Str(name.to_owned().into()))
}

/// [`ErrorCode::FOREIGN_KEY_INTEGRITY`]
#[cold]
pub(crate) fn integrity(name: &str, why: &str) -> Error {
    let message = format!("Foreign key '{name}' integrity check failed: {why}");
    let error = Error::new(ErrorCode::FOREIGN_KEY_INTEGRITY, message);
    error.with_field(NAME, Field::Str(name.to_owned().into()))
}

/// [`ErrorCode::ALTER_SPACE`], for what may not happen to a space that others refer to.
pub(crate) fn is_referenced(space: &str) -> Error {
    super::cannot_alter_space(space, "space is referenced by foreign key")
}
