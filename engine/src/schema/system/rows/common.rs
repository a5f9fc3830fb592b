//! What rows of several system spaces have in common.

use vestibule_wire::msgpack::{Kind, Reader};
use vestibule_wire::{Error, ErrorCode};

use crate::errors;
use crate::limits::NAME_SIZE_MAX;
use crate::model::collation::{Collation, KnownCollation};

/// What a row that is no row of its space is told.
pub(super) fn malformed(_: impl std::error::Error) -> Error {
    Error::invalid_msgpack("system row")
}

/// The error of a stored row, with a name for what the row defines: another build has stored what
/// this one does not support.
pub(super) fn stored_elsewhere(error: Error, what: impl FnOnce() -> Option<String>) -> Error {
    if error.code() != ErrorCode::UNSUPPORTED {
        return error;
    }
    match what() {
        Some(what) => Error::new(error.code(), format!("{what}: {}", error.message())),
        None => error,
    }
}

/// Reads a number of at most `most`.
pub(super) fn number(reader: &mut Reader<'_>, most: u64) -> Result<u32, Error> {
    let value = reader.read_uint().map_err(malformed)?;
    if value > most {
        return Err(Error::illegal_params(format!(
            "{value} is out of range, at most {most}"
        )));
    }
    u32::try_from(value).map_err(malformed)
}

/// A name of a space, index, field or user.
///
/// # Errors
///
/// `ErrorCode::IDENTIFIER` if it is empty, too long or not printable.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    // Separators of lines and of paragraphs are not printable either.
    let is_printable = !name.contains(|character: char| {
        character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
    });
    if name.is_empty() || name.len() > NAME_SIZE_MAX || !is_printable {
        return Err(errors::identifier(name));
    }
    Ok(())
}

/// Whether an option of a field would ask something of its values that is not asked here. What
/// nobody knows is the client's own, and kept.
pub(crate) fn is_refused_field_option(option: &str) -> bool {
    matches!(option, "compression" | "constraint" | "default_func")
}

/// Refuses options of a field that would ask something of its values, unless they are nil.
pub(super) fn refuse_field_option(option: &str, reader: &mut Reader<'_>) -> Result<(), Error> {
    let value = reader.skip().map_err(malformed)?;
    if is_refused_field_option(option) && !is_nil(value) {
        return Err(errors::unsupported_option("field", option));
    }
    Ok(())
}

fn is_nil(value: &[u8]) -> bool {
    matches!(value, [0xc0])
}

/// Reads a collation, by its number; `None` for the order of bytes.
///
/// # Errors
///
/// What `wrong` makes of a value that is no number, what `unknown` makes of the number of no
/// collation, `ErrorCode::UNSUPPORTED` for a collation that is not there.
pub(super) fn read_collation(
    reader: &mut Reader<'_>,
    wrong: impl Fn(&str) -> Error,
    unknown: impl Fn(&str) -> Error,
) -> Result<Option<Collation>, Error> {
    let mut value = Reader::new(reader.skip().map_err(malformed)?);
    if value.peek() == Ok(Kind::Nil) {
        return Ok(None);
    }
    let number = value.read_uint();
    let number = number.map_err(|_| wrong("'collation' must be unsigned"))?;
    let known = KnownCollation::with_number(number);
    let known = known.ok_or_else(|| unknown("collation was not found by ID"))?;
    known.order()
}
