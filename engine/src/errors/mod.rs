//! Errors of data and schema requests: Tarantool's codes and texts, where it has them.
//!
//! | module | what |
//! |---|---|
//! | `access` | errors of users and rights |
//! | `foreign_key` | errors of foreign keys |
//! | `parts` | errors of index parts |

pub(crate) mod access;
pub(crate) mod foreign_key;
pub(crate) mod parts;

use std::fmt::Display;
use std::path::Path;

use vestibule_wire::msgpack::{Kind, Reader};
use vestibule_wire::{Error, ErrorCode};

use crate::print::Printed;

/// The product's name, as the subject of "does not support".
const PRODUCT: &str = "vestibule";

/// A field as errors name it: its number from 1, and its name if it has one.
pub(crate) fn field_path(number: usize, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("{} ({name})", number + 1),
        None => (number + 1).to_string(),
    }
}

/// A text of the journal or a checkpoint for users: files by their names, without the path of the
/// data directory. The log has it.
pub(crate) fn without_directory(text: &str, directory: &Path) -> String {
    let path = directory.display().to_string();
    match path.trim_end_matches('/') {
        "" => text.to_owned(),
        path => text
            .replace(&format!("{path}/"), "")
            .replace(path, "the data directory"),
    }
}

/// [`ErrorCode::TUPLE_FOUND`]
pub(crate) fn duplicate(index: &str, space: &str, old: &[u8], new: &[u8]) -> Error {
    Error::new(
        ErrorCode::TUPLE_FOUND,
        format!(
            "Duplicate key exists in unique index \"{index}\" in space \"{space}\" with old tuple \
             - {} and new tuple - {}",
            Printed(old),
            Printed(new)
        ),
    )
}

/// [`ErrorCode::UNSUPPORTED`]
pub(crate) fn unsupported(feature: &str) -> Error {
    Error::unsupported(PRODUCT, feature)
}

/// [`ErrorCode::UNSUPPORTED`], for an option of a field or of an index part.
pub(crate) fn unsupported_option(of: &str, option: &str) -> Error {
    unsupported(&format!("the {of} option '{option}'"))
}

/// [`ErrorCode::CREATE_SPACE`]
pub(crate) fn cannot_create_space(space: &str, why: &str) -> Error {
    Error::new(
        ErrorCode::CREATE_SPACE,
        format!("Failed to create space '{space}': {why}"),
    )
}

/// [`ErrorCode::SPACE_EXISTS`]
pub(crate) fn space_exists(space: &str) -> Error {
    Error::new(
        ErrorCode::SPACE_EXISTS,
        format!("Space '{space}' already exists"),
    )
}

/// [`ErrorCode::DROP_SPACE`]
pub(crate) fn cannot_drop_space(space: &str, why: &str) -> Error {
    Error::new(
        ErrorCode::DROP_SPACE,
        format!("Can't drop space '{space}': {why}"),
    )
}

/// [`ErrorCode::ALTER_SPACE`]
pub(crate) fn cannot_alter_space(space: &str, why: &str) -> Error {
    Error::new(
        ErrorCode::ALTER_SPACE,
        format!("Can't modify space '{space}': {why}"),
    )
}

/// [`ErrorCode::INDEX_TYPE`]
pub(crate) fn index_type(index: &str, space: &str) -> Error {
    let message = format!("Unsupported index type supplied for index '{index}' in space '{space}'");
    Error::new(ErrorCode::INDEX_TYPE, message)
}

/// [`ErrorCode::MODIFY_INDEX`]
pub(crate) fn cannot_modify_index(index: &str, space: &str, why: &str) -> Error {
    let message = format!("Can't create or modify index '{index}' in space '{space}': {why}");
    Error::new(ErrorCode::MODIFY_INDEX, message)
}

/// [`ErrorCode::DROP_PRIMARY_KEY`]
pub(crate) fn cannot_drop_primary(space: &str) -> Error {
    let message = format!("Can't drop primary key in space '{space}' while secondary keys exist");
    Error::new(ErrorCode::DROP_PRIMARY_KEY, message)
}

/// [`ErrorCode::KEY_PART_TYPE`]
pub(crate) fn key_part_type(part: usize, expected: impl Display) -> Error {
    let message = format!(
        "Supplied key type of part {part} does not match index part type: expected {expected}"
    );
    Error::new(ErrorCode::KEY_PART_TYPE, message)
}

/// [`ErrorCode::EXACT_MATCH`]
pub(crate) fn exact_match(expected: usize, found: u32) -> Error {
    let message =
        format!("Invalid key part count in an exact match (expected {expected}, got {found})");
    Error::new(ErrorCode::EXACT_MATCH, message)
}

/// [`ErrorCode::TUPLE_NOT_ARRAY`]
pub(crate) fn tuple_not_array() -> Error {
    Error::new(
        ErrorCode::TUPLE_NOT_ARRAY,
        "Tuple/Key must be MsgPack array",
    )
}

/// What the next value is, as errors call it.
fn found_name(reader: &Reader<'_>) -> &'static str {
    match reader.peek() {
        Ok(Kind::Nil) => "nil",
        Ok(Kind::Bool) => "boolean",
        Ok(Kind::Uint) => "unsigned",
        Ok(Kind::Int) => "integer",
        Ok(Kind::Float) => "float",
        Ok(Kind::Double) => "double",
        Ok(Kind::Str) => "string",
        Ok(Kind::Bin) => "varbinary",
        Ok(Kind::Array) => "array",
        Ok(Kind::Map) => "map",
        Ok(Kind::Ext) | Err(_) => "extension",
    }
}

/// [`ErrorCode::FIELD_TYPE`]
#[cold]
pub(crate) fn field_type(path: &str, expected: impl Display, found: &Reader<'_>) -> Error {
    let message = format!(
        "Tuple field {path} type does not match one required by operation: expected {expected}, \
         got {}",
        found_name(found)
    );
    Error::new(ErrorCode::FIELD_TYPE, message)
}

/// [`ErrorCode::DEFAULT_VALUE_TYPE`]
pub(crate) fn default_type(path: &str, expected: impl Display, default: &[u8]) -> Error {
    let message = format!(
        "Type of the default value does not match tuple field {path} type: expected {expected}, \
         got {}",
        found_name(&Reader::new(default))
    );
    Error::new(ErrorCode::DEFAULT_VALUE_TYPE, message)
}

/// [`ErrorCode::FIELD_VALUE_OUT_OF_RANGE`]
#[cold]
pub(crate) fn field_out_of_range(
    path: &str,
    expected: impl Display,
    (least, greatest): (i64, u64),
    found: i128,
) -> Error {
    let message = format!(
        "The value of field {path} exceeds the supported range for type '{expected}': expected \
         [{least}..{greatest}], got {found}"
    );
    Error::new(ErrorCode::FIELD_VALUE_OUT_OF_RANGE, message)
}

/// [`ErrorCode::KEY_PART_COUNT`]
pub(crate) fn key_part_count(most: usize, found: u32) -> Error {
    let message = format!("Invalid key part count (expected [0..{most}], got {found})");
    Error::new(ErrorCode::KEY_PART_COUNT, message)
}

/// [`ErrorCode::EXACT_FIELD_COUNT`]
#[cold]
pub(crate) fn exact_field_count(found: u32, expected: u32) -> Error {
    let message = format!("Tuple field count {found} does not match space field count {expected}");
    Error::new(ErrorCode::EXACT_FIELD_COUNT, message)
}

/// [`ErrorCode::FIELD_MISSING`]
#[cold]
pub(crate) fn field_missing(path: &str) -> Error {
    let message = format!("Tuple field {path} required by space format is missing");
    Error::new(ErrorCode::FIELD_MISSING, message)
}

/// [`ErrorCode::MORE_THAN_ONE_TUPLE`]
pub(crate) fn more_than_one_tuple() -> Error {
    let message = "Get() doesn't support partial keys and non-unique indexes";
    Error::new(ErrorCode::MORE_THAN_ONE_TUPLE, message)
}

/// [`ErrorCode::DROP_USER`]
pub(crate) fn cannot_drop_user(user: &str, why: &str) -> Error {
    Error::new(
        ErrorCode::DROP_USER,
        format!("Failed to drop user or role '{user}': {why}"),
    )
}

/// [`ErrorCode::CREATE_USER`]
pub(crate) fn cannot_create_user(user: &str, why: &str) -> Error {
    Error::new(
        ErrorCode::CREATE_USER,
        format!("Failed to create user '{user}': {why}"),
    )
}

/// [`ErrorCode::NO_SUCH_USER`]
pub(crate) fn no_such_user(user: &str) -> Error {
    Error::no_such_user(user)
}

/// [`ErrorCode::USER_EXISTS`]
pub(crate) fn user_exists(user: &str) -> Error {
    Error::new(
        ErrorCode::USER_EXISTS,
        format!("User '{user}' already exists"),
    )
}

/// [`ErrorCode::NO_SUCH_ENGINE`]
pub(crate) fn no_such_engine(engine: &str) -> Error {
    Error::new(
        ErrorCode::NO_SUCH_ENGINE,
        format!("Space engine '{engine}' does not exist"),
    )
}

/// [`ErrorCode::IDENTIFIER`]
pub(crate) fn identifier(name: &str) -> Error {
    let message =
        format!("Invalid identifier '{name}' (expected printable symbols only or it is too long)");
    Error::new(ErrorCode::IDENTIFIER, message)
}

/// [`ErrorCode::INDEX_EXISTS`]
pub(crate) fn index_exists(index: &str) -> Error {
    Error::new(
        ErrorCode::INDEX_EXISTS,
        format!("Index '{index}' already exists"),
    )
}

/// [`ErrorCode::CANT_UPDATE_PRIMARY_KEY`]
pub(crate) fn primary_key_update(space: &str) -> Error {
    let message = format!(
        "Attempt to modify a tuple field which is part of primary index in space '{space}'"
    );
    Error::new(ErrorCode::CANT_UPDATE_PRIMARY_KEY, message)
}

/// [`ErrorCode::TRANSACTION_CONFLICT`]
#[cold]
pub(crate) fn conflict() -> Error {
    let message = "Transaction has been aborted by conflict";
    Error::new(ErrorCode::TRANSACTION_CONFLICT, message)
}

/// [`ErrorCode::WRONG_INDEX_PARTS`]
pub(crate) fn wrong_index_parts(why: &str) -> Error {
    let message =
        format!("Wrong index parts: {why}; expected field1 id (number), field1 type (string), ...");
    Error::new(ErrorCode::WRONG_INDEX_PARTS, message)
}

/// [`ErrorCode::WRONG_INDEX_OPTIONS`]
pub(crate) fn wrong_index_options(field: usize, why: &str) -> Error {
    let message = format!("Wrong index options (field {field}): {why}");
    Error::new(ErrorCode::WRONG_INDEX_OPTIONS, message)
}

/// [`ErrorCode::WRONG_SPACE_OPTIONS`]
pub(crate) fn wrong_space_options(why: &str) -> Error {
    let message = format!("Wrong space options (field 5): {why}");
    Error::new(ErrorCode::WRONG_SPACE_OPTIONS, message)
}

/// [`ErrorCode::WRONG_SPACE_FORMAT`], for a field of the format, from 1.
pub(crate) fn wrong_space_format(field: usize, why: &str) -> Error {
    let message = format!("Wrong space format (field {field}): {why}");
    Error::new(ErrorCode::WRONG_SPACE_FORMAT, message)
}

/// [`ErrorCode::TUPLE_TOO_LARGE`]
#[cold]
pub(crate) fn tuple_too_large(size: usize) -> Error {
    let message = format!(
        "Failed to allocate {size} bytes for tuple: tuple is too large. Check \
         'memtx_max_tuple_size' configuration option."
    );
    Error::new(ErrorCode::TUPLE_TOO_LARGE, message)
}

/// [`ErrorCode::UNSUPPORTED_INDEX_FEATURE`]
pub(crate) fn index_feature(index: &str, kind: impl Display, space: &str, feature: &str) -> Error {
    let message =
        format!("Index '{index}' ({kind}) of space '{space}' (memtx) does not support {feature}");
    Error::new(ErrorCode::UNSUPPORTED_INDEX_FEATURE, message)
}

/// [`ErrorCode::VIEW_IS_RO`]
pub(crate) fn view_is_read_only(space: &str) -> Error {
    Error::new(
        ErrorCode::VIEW_IS_RO,
        format!("View '{space}' is read-only"),
    )
}

/// [`ErrorCode::PARTIAL_KEY`]
pub(crate) fn partial_key(kind: impl Display, expected: usize, found: usize) -> Error {
    let message = format!(
        "{kind} index  does not support selects via a partial key (expected {expected} parts, got \
         {found}). Please Consider changing index type to TREE."
    );
    Error::new(ErrorCode::PARTIAL_KEY, message)
}

/// [`ErrorCode::CREATE_SEQUENCE`]
pub(crate) fn cannot_create_sequence(sequence: &str, why: &str) -> Error {
    let message = format!("Failed to create sequence '{sequence}': {why}");
    Error::new(ErrorCode::CREATE_SEQUENCE, message)
}

/// [`ErrorCode::ALTER_SEQUENCE`]
pub(crate) fn cannot_alter_sequence(sequence: &str, why: &str) -> Error {
    let message = format!("Can't modify sequence '{sequence}': {why}");
    Error::new(ErrorCode::ALTER_SEQUENCE, message)
}

/// [`ErrorCode::DROP_SEQUENCE`]
pub(crate) fn cannot_drop_sequence(sequence: &str, why: &str) -> Error {
    let message = format!("Can't drop sequence '{sequence}': {why}");
    Error::new(ErrorCode::DROP_SEQUENCE, message)
}

/// [`ErrorCode::NO_SUCH_SEQUENCE`]
pub(crate) fn no_such_sequence(sequence: impl Display) -> Error {
    let message = format!("Sequence '{sequence}' does not exist");
    Error::new(ErrorCode::NO_SUCH_SEQUENCE, message)
}

/// [`ErrorCode::SEQUENCE_EXISTS`]
pub(crate) fn sequence_exists(sequence: &str) -> Error {
    let message = format!("Sequence '{sequence}' already exists");
    Error::new(ErrorCode::SEQUENCE_EXISTS, message)
}

/// [`ErrorCode::SEQUENCE_OVERFLOW`]
pub(crate) fn sequence_overflow(sequence: &str) -> Error {
    let message = format!("Sequence '{sequence}' has overflowed");
    Error::new(ErrorCode::SEQUENCE_OVERFLOW, message)
}

/// [`ErrorCode::NO_SUCH_INDEX_NAME`]
pub(crate) fn no_such_index_name(index: &str, space: &str) -> Error {
    let message = format!("No index '{index}' is defined in space '{space}'");
    Error::new(ErrorCode::NO_SUCH_INDEX_NAME, message)
}

/// [`ErrorCode::SPACE_FIELD_IS_DUPLICATE`]
pub(crate) fn duplicate_field(name: &str) -> Error {
    Error::new(
        ErrorCode::SPACE_FIELD_IS_DUPLICATE,
        format!("Space field '{name}' is duplicate"),
    )
}

/// [`ErrorCode::NULLABLE_PRIMARY`]
pub(crate) fn nullable_primary(space: &str) -> Error {
    let message = format!("Primary index of space '{space}' can not contain nullable parts");
    Error::new(ErrorCode::NULLABLE_PRIMARY, message)
}

/// [`ErrorCode::SEQUENCE_NOT_STARTED`]
pub(crate) fn sequence_not_started(sequence: &str) -> Error {
    let message = format!("Sequence '{sequence}' is not started");
    Error::new(ErrorCode::SEQUENCE_NOT_STARTED, message)
}

/// [`ErrorCode::ITERATOR_POSITION`]
pub(crate) fn iterator_position() -> Error {
    Error::new(ErrorCode::ITERATOR_POSITION, "Iterator position is invalid")
}

/// [`ErrorCode::MEMORY_ISSUE`], for a transaction beyond
/// [`TRANSACTION_BYTES_MAX`](super::limits::TRANSACTION_BYTES_MAX).
#[cold]
pub(crate) fn transaction_too_large(size: usize) -> Error {
    let message = format!(
        "Failed to allocate {size} bytes in transaction for changes: commit in smaller steps"
    );
    Error::new(ErrorCode::MEMORY_ISSUE, message)
}

/// [`ErrorCode::MEMORY_ISSUE`], for data beyond their bound.
#[cold]
pub(crate) fn memory_is_full(size: usize, used: usize, max: usize) -> Error {
    let message = format!(
        "Failed to allocate {size} bytes in memory of data for tuple: {used} of {max} are used"
    );
    Error::new(ErrorCode::MEMORY_ISSUE, message)
}

/// [`ErrorCode::MEMORY_ISSUE`], for all open transactions beyond
/// [`TRANSACTIONS_BYTES_MAX`](super::limits::TRANSACTIONS_BYTES_MAX).
#[cold]
pub(crate) fn transactions_too_large(size: usize) -> Error {
    let message = format!(
        "Failed to allocate {size} bytes in open transactions for changes: try again when others \
         have ended"
    );
    Error::new(ErrorCode::MEMORY_ISSUE, message)
}

/// [`ErrorCode::MEMORY_ISSUE`], for the open transactions of one caller beyond the share of the
/// user, of the address, or of the user at the address.
#[cold]
pub(crate) fn share_of_transactions_too_large(size: usize) -> Error {
    let message = format!(
        "Failed to allocate {size} bytes in open transactions of this user or address for changes: \
         end others of them first"
    );
    Error::new(ErrorCode::MEMORY_ISSUE, message)
}

/// [`ErrorCode::MEMORY_ISSUE`], in Tarantool's form, for a result beyond
/// [`REPLY_SIZE_MAX`](super::limits::REPLY_SIZE_MAX).
pub(crate) fn reply_too_large(size: impl Display) -> Error {
    let message = format!(
        "Failed to allocate {size} bytes in reply for select: fetch the result page by page, \
         with a limit"
    );
    Error::new(ErrorCode::MEMORY_ISSUE, message)
}

/// [`ErrorCode::CHECKPOINT_IN_PROGRESS`].
pub(crate) fn checkpoint_in_progress() -> Error {
    Error::new(
        ErrorCode::CHECKPOINT_IN_PROGRESS,
        "Snapshot is already in progress",
    )
}

/// `ErrorCode::LOADING`, before recovery is done.
pub(crate) fn loading() -> Error {
    Error::new(ErrorCode::LOADING, "Instance bootstrap hasn't finished yet")
}
