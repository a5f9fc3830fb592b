//! Rows of the system spaces, read from whatever holds them: the image, or the image with changes
//! above it.

use vestibule_wire::Error;
use vestibule_wire::msgpack::{Reader, write_str};

use super::grant_rows::PrivRow;
use super::rows::{IndexRow, SpaceRow, UserRow};
use super::sequence_rows::{AttachmentRow, SequenceRow};
use super::{INDEX, MAX_ID, PRIV, SCHEMA, SEQUENCE, SPACE, SPACE_SEQUENCE, USER, system_key};
use crate::model::field::FieldType;
use crate::model::key::{Key, KeyBuilder, encode_part};

/// What holds rows of system spaces.
pub(crate) trait SystemRows<'a>: Copy {
    /// The row with this key.
    fn row(self, space: u32, key: &Key) -> Option<&'a [u8]>;

    /// The rows whose keys begin with this one, in the order of their keys.
    fn rows_under(self, space: u32, prefix: Key) -> impl Iterator<Item = &'a [u8]>;
}

/// The rows of a system space, by its primary key.
pub(crate) fn rows<'a>(held: impl SystemRows<'a>, space: u32) -> impl Iterator<Item = &'a [u8]> {
    held.rows_under(space, Key::from_bytes(&[]))
}

/// The row of `_space` of a space.
pub(crate) fn space<'a>(held: impl SystemRows<'a>, id: u32) -> Result<Option<SpaceRow>, Error> {
    let row = held.row(SPACE, &system_key(&[id]));
    row.map(SpaceRow::decode).transpose()
}

/// Every space.
pub(crate) fn spaces<'a>(held: impl SystemRows<'a>) -> Result<Vec<SpaceRow>, Error> {
    rows(held, SPACE).map(SpaceRow::decode).collect()
}

/// The space with this name.
pub(crate) fn space_with_name<'a>(
    held: impl SystemRows<'a>,
    name: &str,
) -> Result<Option<SpaceRow>, Error> {
    let mut found = rows(held, SPACE).filter(|row| SpaceRow::name_of(row) == Ok(name));
    found.next().map(SpaceRow::decode).transpose()
}

/// The indexes of a space.
pub(crate) fn index_rows<'a>(
    held: impl SystemRows<'a>,
    space: u32,
) -> Result<Vec<IndexRow>, Error> {
    let own = held.rows_under(INDEX, system_key(&[space]));
    own.map(IndexRow::decode).collect()
}

/// Every user and role.
pub(crate) fn users<'a>(held: impl SystemRows<'a>) -> Result<Vec<UserRow>, Error> {
    rows(held, USER).map(UserRow::decode).collect()
}

/// Every row of `_priv`.
pub(crate) fn grants<'a>(held: impl SystemRows<'a>) -> Result<Vec<PrivRow>, Error> {
    rows(held, PRIV).map(PrivRow::decode).collect()
}

/// The sequence with this name, and its row as it is stored.
///
/// # Errors
///
/// None, while the system's rows are whole.
pub(crate) fn sequence_with_name<'a>(
    held: impl SystemRows<'a>,
    name: &str,
) -> Result<Option<(SequenceRow<'a>, &'a [u8])>, Error> {
    for row in rows(held, SEQUENCE) {
        let decoded = SequenceRow::decode(row)?;
        if decoded.name == name {
            return Ok(Some((decoded, row)));
        }
    }
    Ok(None)
}

/// What is attached to a space.
///
/// # Errors
///
/// None, while the system's rows are whole.
pub(crate) fn attachment<'a>(
    held: impl SystemRows<'a>,
    space: u32,
) -> Result<Option<AttachmentRow>, Error> {
    let row = held.row(SPACE_SEQUENCE, &system_key(&[space]));
    row.map(AttachmentRow::decode).transpose()
}

/// The largest number that was ever given to a space, if any was.
pub(crate) fn max_space_id<'a>(held: impl SystemRows<'a>) -> Option<u32> {
    let mut key = KeyBuilder::default();
    let mut name = Vec::new();
    write_str(&mut name, MAX_ID);
    encode_part(FieldType::String, &mut Reader::new(&name), &mut key).ok()?;
    let mut row = Reader::new(held.row(SCHEMA, &key.finish())?);
    row.read_array_len().ok()?;
    row.skip().ok()?;
    u32::try_from(row.read_uint().ok()?).ok()
}
