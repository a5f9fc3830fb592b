//! Rows of the system spaces, read from whatever holds them: the image, or the image with changes
//! above it. Each is looked up by an index: what a change of definitions costs does not depend on
//! how many there are.

use vestibule_wire::Error;
use vestibule_wire::msgpack::{Reader, write_str, write_uint};

use super::grant_rows::{Head, PrivRow};
use super::rows::{IndexRow, SpaceRow, UserRow};
use super::sequence_rows::{AttachmentRow, SequenceRow};
use super::{
    FUNC, INDEX, MAX_ID, PRIV, SCHEMA, SEQUENCE, SPACE, SPACE_SEQUENCE, USER, by, system_key,
};
use crate::model::field::FieldType;
use crate::model::index::PRIMARY;
use crate::model::key::{Key, KeyBuilder, encode_part};
use crate::privileges::{Object, ObjectKind, granted_role};

/// What holds rows of system spaces.
pub(crate) trait SystemRows<'a>: Copy {
    /// The row with this key.
    fn row(self, space: u32, key: &Key) -> Option<&'a [u8]>;

    /// The rows whose keys in an index begin with this one, in the order of their keys.
    fn rows_by(self, space: u32, index: u32, prefix: Key) -> impl Iterator<Item = &'a [u8]>;

    /// The same of the primary index.
    fn rows_under(self, space: u32, prefix: Key) -> impl Iterator<Item = &'a [u8]> {
        self.rows_by(space, PRIMARY, prefix)
    }

    /// The last row of a space, by its primary key.
    fn last(self, space: u32) -> Option<&'a [u8]>;
}

#[cfg(test)]
thread_local! {
    /// Rows that were looked at so far.
    pub(crate) static LOOKED_AT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// A row that is looked at on a walk over others, for tests to count.
#[inline]
pub(crate) fn counted(row: &[u8]) -> &[u8] {
    #[cfg(test)]
    LOOKED_AT.with(|count| count.set(count.get() + 1));
    row
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

/// The space with this name.
pub(crate) fn space_with_name<'a>(
    held: impl SystemRows<'a>,
    name: &str,
) -> Result<Option<SpaceRow>, Error> {
    with_name(held, SPACE, name)
        .map(SpaceRow::decode)
        .transpose()
}

/// The row of a space, sequence, function, user or role by its name.
pub(crate) fn with_name<'a>(held: impl SystemRows<'a>, space: u32, name: &str) -> Option<&'a [u8]> {
    let mut key = Vec::new();
    write_str(&mut key, name);
    let key = key_of(&[FieldType::String], &key)?;
    held.rows_by(space, by::NAME, key).next()
}

/// The indexes of a space.
pub(crate) fn index_rows<'a>(
    held: impl SystemRows<'a>,
    space: u32,
) -> Result<Vec<IndexRow>, Error> {
    let own = held.rows_under(INDEX, system_key(&[space]));
    own.map(IndexRow::decode).collect()
}

/// A user or role by its number.
pub(crate) fn user<'a>(held: impl SystemRows<'a>, id: u64) -> Result<Option<UserRow>, Error> {
    let row = by_number(held, USER, id);
    row.map(UserRow::decode).transpose()
}

/// A function by its number.
pub(crate) fn function<'a>(held: impl SystemRows<'a>, id: u64) -> Option<&'a [u8]> {
    by_number(held, FUNC, id)
}

/// What a row of a system space is, if it is something that has an owner.
pub(crate) fn owned_kind(space: u32, row: &[u8]) -> Result<Option<ObjectKind>, Error> {
    Ok(Some(match space {
        SPACE => ObjectKind::Space,
        FUNC => ObjectKind::Function,
        SEQUENCE => ObjectKind::Sequence,
        USER if UserRow::decode(row)?.is_role() => ObjectKind::Role,
        USER => ObjectKind::User,
        _ => return Ok(None),
    }))
}

fn by_number<'a>(held: impl SystemRows<'a>, space: u32, id: u64) -> Option<&'a [u8]> {
    // Keys of system spaces have 32 bits: nothing has a larger number.
    held.row(space, &system_key(&[u32::try_from(id).ok()?]))
}

/// What somebody owns of one kind of objects: the rows of spaces, sequences, functions or users.
pub(crate) fn owned_by<'a>(
    held: impl SystemRows<'a>,
    space: u32,
    owner: u64,
) -> impl Iterator<Item = &'a [u8]> {
    held.rows_by(space, by::OWNER, number_key(owner))
}

/// The rights of one user or role.
pub(crate) fn grants_of<'a>(
    held: impl SystemRows<'a>,
    grantee: u64,
) -> Result<Vec<PrivRow>, Error> {
    let rows = held.rows_under(PRIV, number_key(grantee));
    rows.map(PrivRow::decode).collect()
}

/// The rights that somebody has granted.
pub(crate) fn grants_by<'a>(
    held: impl SystemRows<'a>,
    grantor: u64,
) -> impl Iterator<Item = &'a [u8]> {
    owned_by(held, PRIV, grantor)
}

/// The rights on an object, of all who have any.
pub(crate) fn grants_on<'a>(
    held: impl SystemRows<'a>,
    kind: ObjectKind,
    id: u64,
) -> Result<Vec<PrivRow>, Error> {
    let mut key = Vec::new();
    write_str(&mut key, kind.name());
    write_uint(&mut key, id);
    let key = key_of(&[FieldType::String, FieldType::Scalar], &key);
    let rows = key.into_iter();
    rows.flat_map(|key| held.rows_by(PRIV, by::OBJECT, key))
        .map(PrivRow::decode)
        .collect()
}

/// The right of somebody on an object, or on all objects of a kind.
pub(crate) fn grant<'a>(
    held: impl SystemRows<'a>,
    grantee: u64,
    (kind, id): Object,
) -> Result<Option<PrivRow>, Error> {
    let mut key = Vec::new();
    write_uint(&mut key, grantee);
    write_str(&mut key, kind.name());
    match id {
        Some(id) => write_uint(&mut key, id),
        None => write_str(&mut key, ""),
    }
    let parts = [FieldType::Unsigned, FieldType::String, FieldType::Scalar];
    let row = key_of(&parts, &key).and_then(|key| held.row(PRIV, &key));
    row.map(PrivRow::decode).transpose()
}

/// Whether the role is what the principal is, or has, in however many steps.
///
/// # Errors
///
/// None, while the system's rows are whole.
pub(crate) fn has_role<'a>(
    held: impl SystemRows<'a>,
    principal: u64,
    role: u64,
) -> Result<bool, Error> {
    let (mut found, mut at) = (vec![principal], 0);
    while let Some(next) = found.get(at).copied() {
        if next == role {
            return Ok(true);
        }
        at += 1;
        let mut key = Vec::new();
        write_uint(&mut key, next);
        write_str(&mut key, ObjectKind::Role.name());
        let key = key_of(&[FieldType::Unsigned, FieldType::String], &key);
        for row in key.into_iter().flat_map(|key| held.rows_under(PRIV, key)) {
            let row = PrivRow::decode(row)?;
            let role = granted_role(row.object, row.privileges);
            found.extend(role.filter(|role| !found.contains(role)));
        }
    }
    Ok(false)
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
    let row = with_name(held, SEQUENCE, name);
    row.map(|row| Ok((SequenceRow::decode(row)?, row)))
        .transpose()
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

/// Where a sequence is attached.
///
/// # Errors
///
/// None, while the system's rows are whole.
pub(crate) fn attachments_of<'a>(
    held: impl SystemRows<'a>,
    sequence: u32,
) -> impl Iterator<Item = Result<AttachmentRow, Error>> {
    let rows = held.rows_by(SPACE_SEQUENCE, by::SEQUENCE, system_key(&[sequence]));
    rows.map(AttachmentRow::decode)
}

/// The largest number of a function, user or role.
///
/// # Errors
///
/// None, while the system's rows are whole.
pub(crate) fn largest_id<'a>(held: impl SystemRows<'a>, space: u32) -> Result<u64, Error> {
    let last = held.last(space).map(Head::decode).transpose()?;
    Ok(last.map_or(0, |head| head.id))
}

fn number_key(number: u64) -> Key {
    Key::from_bytes(&number.to_be_bytes())
}

/// The key, possibly partial, of these values as MessagePack, one after the other.
fn key_of(parts: &[FieldType], values: &[u8]) -> Option<Key> {
    let (mut key, mut reader) = (KeyBuilder::default(), Reader::new(values));
    for part in parts {
        encode_part(*part, &mut reader, &mut key).ok()?;
    }
    Some(key.finish())
}

/// The largest number that was ever given to a space, if any was.
pub(crate) fn max_space_id<'a>(held: impl SystemRows<'a>) -> Option<u32> {
    let mut name = Vec::new();
    write_str(&mut name, MAX_ID);
    let key = key_of(&[FieldType::String], &name)?;
    let mut row = Reader::new(held.row(SCHEMA, &key)?);
    row.read_array_len().ok()?;
    row.skip().ok()?;
    u32::try_from(row.read_uint().ok()?).ok()
}
