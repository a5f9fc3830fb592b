//! Errors of data and schema requests: Tarantool's codes and texts, where it has them.

use std::fmt::Display;

use vestibule_wire::msgpack::Reader;
use vestibule_wire::{Error, ErrorCode};

use super::field::{FieldType, found_name};
use super::index::{IndexDef, IndexKind};
use super::print::Printed;

const CREATE_SPACE: ErrorCode = ErrorCode(9);
const SPACE_EXISTS: ErrorCode = ErrorCode(10);
const DROP_SPACE: ErrorCode = ErrorCode(11);
const ALTER_SPACE: ErrorCode = ErrorCode(12);
const INDEX_TYPE: ErrorCode = ErrorCode(13);
const MODIFY_INDEX: ErrorCode = ErrorCode(14);
const DROP_PRIMARY_KEY: ErrorCode = ErrorCode(17);
const TUPLE_NOT_ARRAY: ErrorCode = ErrorCode(22);
const INDEX_PART_TYPE_MISMATCH: ErrorCode = ErrorCode(24);
const MORE_THAN_ONE_TUPLE: ErrorCode = ErrorCode(41);
const CREATE_USER: ErrorCode = ErrorCode(43);
const DROP_USER: ErrorCode = ErrorCode(44);
const USER_EXISTS: ErrorCode = ErrorCode(46);
const NO_SUCH_ENGINE: ErrorCode = ErrorCode(57);
const IDENTIFIER: ErrorCode = ErrorCode(70);
const INDEX_EXISTS: ErrorCode = ErrorCode(85);
const WRONG_INDEX_PARTS: ErrorCode = ErrorCode(107);
const VIEW_IS_RO: ErrorCode = ErrorCode(113);
const WRONG_INDEX_OPTIONS: ErrorCode = ErrorCode(108);
const PARTIAL_KEY: ErrorCode = ErrorCode(136);
const CREATE_SEQUENCE: ErrorCode = ErrorCode(142);
const ALTER_SEQUENCE: ErrorCode = ErrorCode(143);
const DROP_SEQUENCE: ErrorCode = ErrorCode(144);
const NO_SUCH_SEQUENCE: ErrorCode = ErrorCode(145);
const SEQUENCE_EXISTS: ErrorCode = ErrorCode(146);
const SEQUENCE_OVERFLOW: ErrorCode = ErrorCode(147);
const SPACE_FIELD_IS_DUPLICATE: ErrorCode = ErrorCode(149);
const NULLABLE_PRIMARY: ErrorCode = ErrorCode(152);
const SEQUENCE_NOT_STARTED: ErrorCode = ErrorCode(212);

/// The product's name, as the subject of "does not support".
const PRODUCT: &str = "vestibule";

/// A field as errors name it: its number from 1, and its name if it has one.
pub(crate) fn field_path(number: usize, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("{} ({name})", number + 1),
        None => (number + 1).to_string(),
    }
}

/// 3
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

/// 5
pub(crate) fn unsupported(feature: &str) -> Error {
    Error::unsupported(PRODUCT, feature)
}

/// 5, for a collation by its name or number.
pub(crate) fn unsupported_collation(collation: &str) -> Error {
    unsupported(&format!("collation '{collation}'"))
}

/// 5, for an option of a field or of an index part.
pub(crate) fn unsupported_option(of: &str, option: &str) -> Error {
    match option {
        "path" => unsupported("index parts inside a field ('path')"),
        _ => unsupported(&format!("the {of} option '{option}'")),
    }
}

/// 9
pub(crate) fn cannot_create_space(space: &str, why: &str) -> Error {
    Error::new(
        CREATE_SPACE,
        format!("Failed to create space '{space}': {why}"),
    )
}

/// 10
pub(crate) fn space_exists(space: &str) -> Error {
    Error::new(SPACE_EXISTS, format!("Space '{space}' already exists"))
}

/// 11
pub(crate) fn cannot_drop_space(space: &str, why: &str) -> Error {
    Error::new(DROP_SPACE, format!("Can't drop space '{space}': {why}"))
}

/// 12
pub(crate) fn cannot_alter_space(space: &str, why: &str) -> Error {
    Error::new(ALTER_SPACE, format!("Can't modify space '{space}': {why}"))
}

/// 13
pub(crate) fn index_type(index: &str, space: &str) -> Error {
    let message = format!("Unsupported index type supplied for index '{index}' in space '{space}'");
    Error::new(INDEX_TYPE, message)
}

/// 14
pub(crate) fn cannot_modify_index(index: &str, space: &str, why: &str) -> Error {
    let message = format!("Can't create or modify index '{index}' in space '{space}': {why}");
    Error::new(MODIFY_INDEX, message)
}

/// 17
pub(crate) fn cannot_drop_primary(space: &str) -> Error {
    let message = format!("Can't drop primary key in space '{space}' while secondary keys exist");
    Error::new(DROP_PRIMARY_KEY, message)
}

/// 18
pub(crate) fn key_part_type(part: usize, expected: FieldType) -> Error {
    let message = format!(
        "Supplied key type of part {part} does not match index part type: expected {expected}"
    );
    Error::new(ErrorCode::KEY_PART_TYPE, message)
}

/// 19
pub(crate) fn exact_match(expected: usize, found: u32) -> Error {
    let message =
        format!("Invalid key part count in an exact match (expected {expected}, got {found})");
    Error::new(ErrorCode::EXACT_MATCH, message)
}

/// 22
pub(crate) fn tuple_not_array() -> Error {
    Error::new(TUPLE_NOT_ARRAY, "Tuple/Key must be MsgPack array")
}

/// 23
#[cold]
pub(crate) fn field_type(path: &str, expected: FieldType, found: &Reader<'_>) -> Error {
    let message = format!(
        "Tuple field {path} type does not match one required by operation: expected {expected}, \
         got {}",
        found_name(found)
    );
    Error::new(ErrorCode::FIELD_TYPE, message)
}

/// 24
pub(crate) fn part_type_mismatch(path: &str, one: FieldType, another: FieldType) -> Error {
    let message =
        format!("Field {path} has type '{one}' in one index, but type '{another}' in another");
    Error::new(INDEX_PART_TYPE_MISMATCH, message)
}

/// 27
pub(crate) fn format_mismatch(path: &str, format: FieldType, index: FieldType) -> Error {
    let message = format!(
        "Field {path} has type '{format}' in space format, but type '{index}' in index definition"
    );
    Error::new(ErrorCode::FORMAT_MISMATCH_INDEX_PART, message)
}

/// 31
pub(crate) fn key_part_count(most: usize, found: u32) -> Error {
    let message = format!("Invalid key part count (expected [0..{most}], got {found})");
    Error::new(ErrorCode::KEY_PART_COUNT, message)
}

/// 38
#[cold]
pub(crate) fn exact_field_count(found: u32, expected: u32) -> Error {
    let message = format!("Tuple field count {found} does not match space field count {expected}");
    Error::new(ErrorCode::EXACT_FIELD_COUNT, message)
}

/// 39
#[cold]
pub(crate) fn field_missing(path: &str) -> Error {
    let message = format!("Tuple field {path} required by space format is missing");
    Error::new(ErrorCode::FIELD_MISSING, message)
}

/// 41
pub(crate) fn more_than_one_tuple() -> Error {
    let message = "Get() doesn't support partial keys and non-unique indexes";
    Error::new(MORE_THAN_ONE_TUPLE, message)
}

/// 44
pub(crate) fn cannot_drop_user(user: &str, why: &str) -> Error {
    Error::new(
        DROP_USER,
        format!("Failed to drop user or role '{user}': {why}"),
    )
}

/// 43
pub(crate) fn cannot_create_user(user: &str, why: &str) -> Error {
    Error::new(
        CREATE_USER,
        format!("Failed to create user '{user}': {why}"),
    )
}

/// 45
pub(crate) fn no_such_user(user: &str) -> Error {
    Error::new(
        ErrorCode::NO_SUCH_USER,
        format!("User '{user}' is not found"),
    )
}

/// 46
pub(crate) fn user_exists(user: &str) -> Error {
    Error::new(USER_EXISTS, format!("User '{user}' already exists"))
}

/// 57
pub(crate) fn no_such_engine(engine: &str) -> Error {
    Error::new(
        NO_SUCH_ENGINE,
        format!("Space engine '{engine}' does not exist"),
    )
}

/// 70
pub(crate) fn identifier(name: &str) -> Error {
    let message =
        format!("Invalid identifier '{name}' (expected printable symbols only or it is too long)");
    Error::new(IDENTIFIER, message)
}

/// 85
pub(crate) fn index_exists(index: &str) -> Error {
    Error::new(INDEX_EXISTS, format!("Index '{index}' already exists"))
}

/// 94
pub(crate) fn primary_key_update(space: &str) -> Error {
    let message = format!(
        "Attempt to modify a tuple field which is part of primary index in space '{space}'"
    );
    Error::new(ErrorCode::CANT_UPDATE_PRIMARY_KEY, message)
}

/// 97
#[cold]
pub(crate) fn conflict() -> Error {
    let message = "Transaction has been aborted by conflict";
    Error::new(ErrorCode::TRANSACTION_CONFLICT, message)
}

/// 107
pub(crate) fn wrong_index_parts(why: &str) -> Error {
    let message =
        format!("Wrong index parts: {why}; expected field1 id (number), field1 type (string), ...");
    Error::new(WRONG_INDEX_PARTS, message)
}

/// 108
pub(crate) fn wrong_index_options(field: usize, why: &str) -> Error {
    let message = format!("Wrong index options (field {field}): {why}");
    Error::new(WRONG_INDEX_OPTIONS, message)
}

/// 110
#[cold]
pub(crate) fn tuple_too_large(size: usize) -> Error {
    let message = format!(
        "Failed to allocate {size} bytes for tuple: tuple is too large. Check \
         'memtx_max_tuple_size' configuration option."
    );
    Error::new(ErrorCode::TUPLE_TOO_LARGE, message)
}

/// 112
pub(crate) fn index_feature(index: &IndexDef, space: &str, feature: &str) -> Error {
    let (name, kind) = (&index.name, index.kind);
    let message =
        format!("Index '{name}' ({kind}) of space '{space}' (memtx) does not support {feature}");
    Error::new(ErrorCode::UNSUPPORTED_INDEX_FEATURE, message)
}

/// 113
pub(crate) fn view_is_read_only(space: &str) -> Error {
    Error::new(VIEW_IS_RO, format!("View '{space}' is read-only"))
}

/// 136
pub(crate) fn partial_key(kind: IndexKind, expected: usize, found: usize) -> Error {
    let message = format!(
        "{kind} index  does not support selects via a partial key (expected {expected} parts, got \
         {found}). Please Consider changing index type to TREE."
    );
    Error::new(PARTIAL_KEY, message)
}

/// 142
pub(crate) fn cannot_create_sequence(sequence: &str, why: &str) -> Error {
    let message = format!("Failed to create sequence '{sequence}': {why}");
    Error::new(CREATE_SEQUENCE, message)
}

/// 143
pub(crate) fn cannot_alter_sequence(sequence: &str, why: &str) -> Error {
    let message = format!("Can't modify sequence '{sequence}': {why}");
    Error::new(ALTER_SEQUENCE, message)
}

/// 144
pub(crate) fn cannot_drop_sequence(sequence: &str, why: &str) -> Error {
    let message = format!("Can't drop sequence '{sequence}': {why}");
    Error::new(DROP_SEQUENCE, message)
}

/// 145
pub(crate) fn no_such_sequence(sequence: impl Display) -> Error {
    let message = format!("Sequence '{sequence}' does not exist");
    Error::new(NO_SUCH_SEQUENCE, message)
}

/// 146
pub(crate) fn sequence_exists(sequence: &str) -> Error {
    let message = format!("Sequence '{sequence}' already exists");
    Error::new(SEQUENCE_EXISTS, message)
}

/// 147
pub(crate) fn sequence_overflow(sequence: &str) -> Error {
    let message = format!("Sequence '{sequence}' has overflowed");
    Error::new(SEQUENCE_OVERFLOW, message)
}

/// 148
pub(crate) fn no_such_index_name(index: &str, space: &str) -> Error {
    let message = format!("No index '{index}' is defined in space '{space}'");
    Error::new(ErrorCode::NO_SUCH_INDEX_NAME, message)
}

/// 149
pub(crate) fn duplicate_field(name: &str) -> Error {
    Error::new(
        SPACE_FIELD_IS_DUPLICATE,
        format!("Space field '{name}' is duplicate"),
    )
}

/// 152
pub(crate) fn nullable_primary(space: &str) -> Error {
    let message = format!("Primary index of space '{space}' can not contain nullable parts");
    Error::new(NULLABLE_PRIMARY, message)
}

/// 212
pub(crate) fn sequence_not_started(sequence: &str) -> Error {
    let message = format!("Sequence '{sequence}' is not started");
    Error::new(SEQUENCE_NOT_STARTED, message)
}

/// 247
pub(crate) fn iterator_position() -> Error {
    Error::new(ErrorCode::ITERATOR_POSITION, "Iterator position is invalid")
}

/// 2, for a transaction beyond
/// [`TRANSACTION_BYTES_MAX`](super::limits::TRANSACTION_BYTES_MAX).
#[cold]
pub(crate) fn transaction_too_large(size: usize) -> Error {
    let message = format!(
        "Failed to allocate {size} bytes in transaction for changes: commit in smaller steps"
    );
    Error::new(ErrorCode::MEMORY_ISSUE, message)
}

/// 2, for all open transactions beyond
/// [`TRANSACTIONS_BYTES_MAX`](super::limits::TRANSACTIONS_BYTES_MAX).
#[cold]
pub(crate) fn transactions_too_large(size: usize) -> Error {
    let message = format!(
        "Failed to allocate {size} bytes in open transactions for changes: try again when others \
         have ended"
    );
    Error::new(ErrorCode::MEMORY_ISSUE, message)
}

/// 2, in Tarantool's form, for a result beyond [`REPLY_SIZE_MAX`](super::limits::REPLY_SIZE_MAX).
pub(crate) fn reply_too_large(size: impl Display) -> Error {
    let message = format!(
        "Failed to allocate {size} bytes in reply for select: fetch the result page by page, \
         with a limit"
    );
    Error::new(ErrorCode::MEMORY_ISSUE, message)
}

/// 120.
pub(crate) fn checkpoint_in_progress() -> Error {
    Error::new(
        ErrorCode::CHECKPOINT_IN_PROGRESS,
        "Snapshot is already in progress",
    )
}
