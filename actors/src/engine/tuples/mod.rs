//! Tuples, keys and ordered rows, for engines of one's own: what every one of them would write
//! again.
//!
//! ```text
//!   a struct ◀── from_tuple ── tuple ── KeyDef::of ──▶ Key ─▶ rows in a BTreeMap
//!            ─── to_tuple ───▶                                   │  under layers of changes:
//!   SELECT ── OrderedRows::select, ::step ◀──────────────────────┘  the turn's, a transaction's
//! ```
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use vestibule_actors::engine::tuples::{Changes, KeyDef, OrderedRows, TupleTable, to_tuple};
//! use vestibule_actors::wire::request::IteratorType;
//!
//! let by_name = KeyDef::new(&[(1, "string"), (0, "unsigned")]);
//! let (mut committed, mut turn) = (TupleTable::new(), Changes::new());
//! for row in [(1u64, "ann"), (2, "bob"), (3, "bob")] {
//!     let tuple = to_tuple(&row)?;
//!     committed.insert(by_name.of(&tuple)?, tuple);
//! }
//! // This turn deletes one of them, which is not committed yet.
//! turn.insert(by_name.read(&to_tuple(&("bob", 2u64))?)?, None);
//!
//! let key = by_name.read(&to_tuple(&("bob",))?)?;
//! let seen = OrderedRows::of(&committed).under(&turn);
//! let found: Vec<_> = seen.scan(IteratorType::Eq, &key)?.collect();
//! assert_eq!(found, [&to_tuple(&(3u64, "bob"))?]);
//! # Ok::<(), vestibule_actors::wire::Error>(())
//! ```
//!
//! | file | what |
//! |---|---|
//! | `key` | keys, and which fields of a tuple they are made of |
//! | `number` | numbers of any kind in one order |
//! | `rows` | rows in the order of their keys, under layers of changes |

mod key;
mod number;
mod rows;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use vestibule_wire::msgpack::{Kind, Reader};
use vestibule_wire::{Error, ErrorCode};

pub use key::{Key, KeyDef};
pub use rows::{OrderedRows, STEP_ROWS_MAX};

/// A tuple as raw MessagePack: an array.
pub type Tuple = Arc<[u8]>;
/// Rows by their keys.
pub type TupleTable = BTreeMap<Key, Tuple>;
/// What becomes of rows: another tuple in their place, or none.
pub type Changes = BTreeMap<Key, Option<Tuple>>;

/// A value as a tuple: a struct becomes an array of its fields, in their order.
///
/// # Errors
///
/// [`ErrorCode::TUPLE_NOT_ARRAY`] for a value that is no struct, tuple or sequence,
/// [`ErrorCode::PROC`] for one that MessagePack cannot hold.
pub fn to_tuple<T: Serialize + ?Sized>(value: &T) -> Result<Tuple, Error> {
    let bytes = rmp_serde::to_vec(value);
    let bytes = bytes.map_err(|fault| Error::new(ErrorCode::PROC, fault.to_string()))?;
    check_tuple(&bytes)?;
    Ok(bytes.into())
}

/// The value of a tuple: a struct takes the fields in their order.
///
/// # Errors
///
/// [`ErrorCode::FIELD_TYPE`] if the fields are others.
pub fn from_tuple<T: DeserializeOwned>(tuple: &[u8]) -> Result<T, Error> {
    let value = rmp_serde::from_slice(tuple);
    value.map_err(|fault| {
        let text = format!("The tuple does not fit: {fault}");
        Error::new(ErrorCode::FIELD_TYPE, text)
    })
}

/// Lets tuples pass.
///
/// # Errors
///
/// [`ErrorCode::TUPLE_NOT_ARRAY`] for what is no array.
pub fn check_tuple(bytes: &[u8]) -> Result<(), Error> {
    match Reader::new(bytes).peek() {
        Ok(Kind::Array) => Ok(()),
        _ => Err(Error::new(
            ErrorCode::TUPLE_NOT_ARRAY,
            "Tuple/Key must be MsgPack array",
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Job {
        id: u64,
        name: String,
        tried: Option<u32>,
    }

    #[test]
    fn a_struct_is_a_tuple_of_its_fields() {
        let job = Job {
            id: 7,
            name: "x".to_owned(),
            tried: None,
        };
        let tuple = to_tuple(&job).unwrap();
        assert_eq!(tuple[..], [0x93, 7, 0xa1, b'x', 0xc0]);
        assert_eq!(from_tuple::<Job>(&tuple).unwrap(), job);
        let told = from_tuple::<Job>(&[0x91, 7]).unwrap_err();
        assert_eq!(told.code(), ErrorCode::FIELD_TYPE);
        assert_eq!(to_tuple(&7).unwrap_err().code(), ErrorCode::TUPLE_NOT_ARRAY);
    }
}
