//! Pages of a system space.
//!
//! A position is what tells a row's place in an index: its key there and, as keys may be equal, its
//! primary key, as a MessagePack array in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use vestibule_wire::msgpack::{Reader, write_array_len, write_str_bytes, write_uint};
use vestibule_wire::request::{After, Select};
use vestibule_wire::{Error, ErrorCode};

use super::{Layout, Part, SystemRow, read_part};

/// Tells that a request goes on from nowhere.
#[cold]
pub(super) fn invalid() -> Error {
    Error::new(ErrorCode::ITERATOR_POSITION, "Iterator position is invalid")
}

/// The keys of the row that a request goes on after.
///
/// # Errors
///
/// 247 for what is no position of this index.
pub(super) fn after(
    layout: &Layout,
    by_name: bool,
    select: &Select<'_>,
) -> Result<Option<SystemRow>, Error> {
    match select.after {
        After::Start => Ok(None),
        After::Position([]) => Ok(None),
        After::Tuple(tuple) => layout.row(tuple.to_vec()).ok_or_else(invalid).map(Some),
        After::Position(position) => {
            let bytes = STANDARD_NO_PAD.decode(position).map_err(|_| invalid())?;
            read(layout, by_name, &bytes).ok_or_else(invalid).map(Some)
        }
    }
}

fn read(layout: &Layout, by_name: bool, bytes: &[u8]) -> Option<SystemRow> {
    let mut reader = Reader::new(bytes);
    let count = reader.read_array_len().ok()? as usize;
    let own = if by_name { layout.by_name.1.len() } else { 0 };
    if count != own + layout.primary.len() {
        return None;
    }
    let mut parts =
        |count| -> Option<Vec<Part>> { (0..count).map(|_| read_part(&mut reader)).collect() };
    Some(SystemRow {
        by_name: parts(own)?,
        primary: parts(layout.primary.len())?,
        tuple: Vec::new(),
    })
}

/// A row's position.
pub(super) fn position(row: &SystemRow, by_name: bool) -> Vec<u8> {
    let own = if by_name { &row.by_name[..] } else { &[] };
    let mut bytes = Vec::new();
    write_array_len(&mut bytes, (own.len() + row.primary.len()) as u32);
    for part in own.iter().chain(&row.primary) {
        match part {
            Part::Uint(number) => write_uint(&mut bytes, *number),
            Part::Str(text) => write_str_bytes(&mut bytes, text),
        }
    }
    STANDARD_NO_PAD.encode(bytes).into_bytes()
}

/// How many of the rows, in the order of the walk, come before a place or at it.
pub(super) fn passed(
    found: &[&SystemRow],
    after: &SystemRow,
    by_name: bool,
    is_reverse: bool,
) -> usize {
    let after = place(after, by_name);
    found.partition_point(|row| match is_reverse {
        true => place(row, by_name) >= after,
        false => place(row, by_name) <= after,
    })
}

fn place(row: &SystemRow, by_name: bool) -> (&[Part], &[Part]) {
    (row.key(by_name), &row.primary)
}
