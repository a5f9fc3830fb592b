//! Pages of a system space.
//!
//! A position is what tells a row's place in an index: its primary key and, of another index, its
//! key there, as one MessagePack array in base64.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use vestibule_wire::msgpack::{Reader, write_array_len, write_str_bytes, write_uint};
use vestibule_wire::request::{After, Select};
use vestibule_wire::{Error, ErrorCode};

use super::row::{self, Part, SystemRow, read_part};
use super::system::SystemSpace;

/// Tells that a request goes on from nowhere.
#[cold]
pub(super) fn invalid() -> Error {
    Error::new(ErrorCode::ITERATOR_POSITION, "Iterator position is invalid")
}

/// The row that a request goes on after, by the keys that matter.
///
/// # Errors
///
/// [`ErrorCode::ITERATOR_POSITION`] for what is no position of this index.
pub(super) fn after(
    space: &SystemSpace,
    at: usize,
    select: &Select<'_>,
) -> Result<Option<SystemRow>, Error> {
    match select.after {
        After::Start | After::Position([]) => Ok(None),
        After::Tuple(tuple) => row::row(space, tuple).ok_or_else(invalid).map(Some),
        After::Position(position) => {
            let bytes = STANDARD_NO_PAD.decode(position).map_err(|_| invalid())?;
            read(space, at, &bytes).ok_or_else(invalid).map(Some)
        }
    }
}

fn read(space: &SystemSpace, at: usize, bytes: &[u8]) -> Option<SystemRow> {
    let mut reader = Reader::new(bytes);
    let sizes = space.indexes.iter().map(|index| index.fields.len());
    let mut keys = vec![Vec::new(); space.indexes.len()];
    let mut rest = reader.read_array_len().ok()? as usize;
    for (own, size) in sizes.enumerate().filter(|(own, _)| [0, at].contains(own)) {
        rest = rest.checked_sub(size)?;
        let parts = (0..size).map(|_| read_part(&mut reader));
        keys[own] = parts.collect::<Option<_>>()?;
    }
    (rest == 0).then(|| SystemRow {
        keys: keys.into(),
        tuple: Arc::default(),
    })
}

/// A row's position.
pub(super) fn position(row: &SystemRow, at: usize) -> Vec<u8> {
    let own = if at > 0 { &row.keys[at][..] } else { &[] };
    let mut bytes = Vec::new();
    write_array_len(&mut bytes, (row.keys[0].len() + own.len()) as u32);
    for part in row.keys[0].iter().chain(own) {
        match part {
            Part::Uint(number) => write_uint(&mut bytes, *number),
            Part::Str(text) => write_str_bytes(&mut bytes, text),
        }
    }
    STANDARD_NO_PAD.encode(bytes).into_bytes()
}
