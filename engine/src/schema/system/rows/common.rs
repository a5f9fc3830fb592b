//! What rows of several system spaces have in common.

use vestibule_wire::Error;
use vestibule_wire::msgpack::Reader;

use crate::errors;
use crate::limits::NAME_SIZE_MAX;

/// What a row that is no row of its space is told.
pub(super) fn malformed(_: impl std::error::Error) -> Error {
    Error::invalid_msgpack("system row")
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
    if option == "collation" || is_refused_field_option(option) {
        return refuse_option("field", option, reader);
    }
    reader.skip().map(drop).map_err(malformed)
}

/// Options that change nothing here pass, others are refused.
pub(super) fn refuse_option(of: &str, option: &str, reader: &mut Reader<'_>) -> Result<(), Error> {
    let value = reader.skip().map_err(malformed)?;
    let is_harmless = match option {
        // These two order by bytes, as all strings are ordered here.
        "collation" if !matches!(value, [0x00 | 0x03 | 0xc0]) => {
            return Err(errors::unsupported_collation(collation_name(value)));
        }
        "collation" => true,
        "nullable_action" => true,
        _ => matches!(value, [0xc0]),
    };
    if is_harmless {
        return Ok(());
    }
    Err(errors::unsupported_option(of, option))
}

/// The name of a collation, which rows tell by number.
fn collation_name(number: &[u8]) -> &'static str {
    match number {
        [1] => "unicode",
        [2] => "unicode_ci",
        _ => "of a language",
    }
}
