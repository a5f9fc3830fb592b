//! Errors of index parts.

use std::fmt::Display;

use vestibule_wire::{Error, ErrorCode};

use crate::errors::unsupported;

/// [`ErrorCode::INDEX_PART_TYPE_MISMATCH`]
pub(crate) fn part_type_mismatch(path: &str, one: impl Display, another: impl Display) -> Error {
    let message =
        format!("Field {path} has type '{one}' in one index, but type '{another}' in another");
    Error::new(ErrorCode::INDEX_PART_TYPE_MISMATCH, message)
}

/// [`ErrorCode::FORMAT_MISMATCH_INDEX_PART`]
pub(crate) fn format_mismatch(path: &str, format: impl Display, index: impl Display) -> Error {
    let message = format!(
        "Field {path} has type '{format}' in space format, but type '{index}' in index definition"
    );
    Error::new(ErrorCode::FORMAT_MISMATCH_INDEX_PART, message)
}

/// [`ErrorCode::UNSUPPORTED`], for an array with more elements than a multikey index takes.
pub(crate) fn too_many_elements(place: impl Display, most: u32) -> Error {
    unsupported(&format!(
        "more than {most} elements in tuple field {place} of a multikey index"
    ))
}

/// [`ErrorCode::UNSUPPORTED`], for keys that take more than a multikey index has room for.
pub(crate) fn multikey_too_large(most: usize) -> Error {
    unsupported(&format!(
        "keys of more than {most} bytes of one tuple in a multikey index"
    ))
}

/// [`ErrorCode::ILLEGAL_PARAMS`]
pub(crate) fn position_of_multikey() -> Error {
    Error::illegal_params("Multikey indexes do not support positions by tuple".to_owned())
}

/// [`ErrorCode::WRONG_COLLATION_OPTIONS`], for a field of a format, from 1.
pub(crate) fn wrong_collation(field: usize, why: &str) -> Error {
    let message = format!("Wrong collation options (field {field}): {why}");
    Error::new(ErrorCode::WRONG_COLLATION_OPTIONS, message)
}

/// [`ErrorCode::UNSUPPORTED`], for a collation by its name.
pub(crate) fn unsupported_collation(collation: &str) -> Error {
    unsupported(&format!("collation '{collation}'"))
}

/// [`ErrorCode::UNSUPPORTED`], for a collation by its name, in a build that has none.
#[cfg(not(feature = "collations"))]
pub(crate) fn no_collations(collation: &str) -> Error {
    let message = format!(
        "this build has no collations: '{collation}' needs one with the feature 'collations'"
    );
    Error::new(ErrorCode::UNSUPPORTED, message)
}

/// [`ErrorCode::UNSUPPORTED`], for a primary key whose collation has this name.
pub(crate) fn collated_primary(collation: &str) -> Error {
    unsupported(&format!(
        "collation '{collation}' in a primary index: the journal tells deletions by their key, \
         which another version of Unicode's tables may write otherwise"
    ))
}

/// [`ErrorCode::UNSUPPORTED`], for texts of one key, or of all keys of one tuple, that are longer
/// than what a collation orders.
pub(crate) fn collated_too_long(of: &str, most: usize) -> Error {
    unsupported(&format!(
        "more than {most} bytes of texts with a collation in one {of}"
    ))
}
