//! The system spaces: data like any other, and at the same time what defines all spaces.
//!
//! ```text
//!   _space 280 ─┐
//!   _index 288 ─┼─▶ definitions of spaces ─▶ image
//!   _space_sequence 340 ─▶ generator of a space ◀─ _sequence 284, _sequence_data 285
//!   _truncate 330 ─▶ empties a space
//!   _user 304, _priv 312, _func 296 ─▶ rights
//!   _user 304, _collation 276, … ─▶ catalog
//! ```
//!
//! They are described in the runtime's catalog, since sessions answer for them. Their own
//! definitions and first rows are built in, put into an empty image before the journal is replayed,
//! and not journaled.
//!
//! | module | what |
//! |---|---|
//! | `rows` | rows of `_space`, `_index`, `_user` and `_collation` |
//! | `grant_rows` | rows of `_priv` and `_func` |
//! | `sequence_rows` | rows of `_sequence`, `_sequence_data` and `_space_sequence` |
//! | `bootstrap` | the rows that the system spaces begin with |
//! | `read` | rows, read from whatever holds them |
//! | `changes` | what a turn changed of them |

pub(crate) mod bootstrap;
pub(crate) mod changes;
pub(crate) mod grant_rows;
pub(crate) mod read;
pub(crate) mod rows;
pub(crate) mod sequence_rows;

pub(crate) use vestibule_actors::catalog::system::{
    COLLATION, FUNC, INDEX, PRIV, SCHEMA, SEQUENCE, SEQUENCE_DATA, SPACE, SPACE_SEQUENCE, TRUNCATE,
    USER, viewed,
};
use vestibule_actors::catalog::{SYSTEM_SPACE_ID_MAX, SYSTEM_SPACE_ID_MIN};
use vestibule_wire::Error;
use vestibule_wire::msgpack::{Reader, write_array_len, write_str, write_uint};

use crate::model::key::Key;

/// The user of connections that have not logged in.
pub(crate) const GUEST: u64 = 0;
/// The user that owns the system.
pub(crate) const ADMIN: u64 = 1;
/// The role that every user has.
pub(crate) const PUBLIC: u64 = 2;
/// The function that everybody may call from the beginning.
pub(crate) const PUBLIC_FUNCTION: u64 = 1;
/// The role that may do everything.
pub(crate) const SUPER: u64 = 31;
/// First number of a user that is not built in.
pub(crate) const USER_ID_MIN: u64 = 32;

/// Key in `_schema` of the largest number of a space so far: none is given twice.
const MAX_ID: &str = "max_id";

/// Whether a space belongs to the system, or its number is kept for one.
pub(crate) const fn is_system(space: u32) -> bool {
    SYSTEM_SPACE_ID_MIN <= space && space <= SYSTEM_SPACE_ID_MAX
}

/// The number that a row begins with.
///
/// # Errors
///
/// `ErrorCode::INVALID_MSGPACK` if it is none of 32 bits.
pub(crate) fn first_id(row: &[u8]) -> Result<u32, Error> {
    let mut reader = Reader::new(row);
    let id = reader.read_array_len().and_then(|_| reader.read_uint());
    let id = id.ok().and_then(|id| u32::try_from(id).ok());
    id.ok_or_else(|| Error::invalid_msgpack("system row"))
}

/// The second field of a row, if it is a number.
pub(crate) fn second_number(row: &[u8]) -> Option<u64> {
    let mut reader = Reader::new(row);
    reader.read_array_len().ok()?;
    reader.skip().ok()?;
    reader.read_uint().ok()
}

/// The row of `_schema` that remembers the largest number that was ever given to a space.
pub(crate) fn max_space_id_row(id: u32) -> Vec<u8> {
    let mut row = Vec::new();
    write_array_len(&mut row, 2);
    write_str(&mut row, MAX_ID);
    write_uint(&mut row, u64::from(id));
    row
}

/// Places in the description of indexes beside the primary one, where the spaces have them.
pub(crate) mod by {
    /// Of spaces, sequences, functions and users: their owner. Of rights: who granted them.
    pub(crate) const OWNER: u32 = 1;
    /// Of spaces, sequences, functions and users: their name.
    pub(crate) const NAME: u32 = 2;
    /// Of rights: what they are on.
    pub(crate) const OBJECT: u32 = 2;
    /// Of attachments: the sequence.
    pub(crate) const SEQUENCE: u32 = 1;
}

/// The key, possibly partial, of a system space whose key parts are numbers.
pub(crate) fn system_key(parts: &[u32]) -> Key {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&u64::from(*part).to_be_bytes());
    }
    Key::from_bytes(&bytes)
}
