//! What may be written into `_sequence`, `_sequence_data` and `_space_sequence`.

use vestibule_wire::Error;

use crate::ddl::grant_checks;
use crate::errors;
use crate::model::field::FieldType;
use crate::model::index::{PRIMARY, Part};
use crate::privileges::ObjectKind;
use crate::schema::system::read::{self, index_rows};
use crate::schema::system::rows::{IndexRow, SpaceRow, check_name};
use crate::schema::system::sequence_rows::{AttachmentRow, SequenceRow, decode_value};
use crate::schema::system::{self, system_key};
use crate::store::snapshot::Snapshot;

/// Checks a change of a row of `_sequence`.
///
/// # Errors
///
/// `ErrorCode::IDENTIFIER` for a name that cannot be one, `ErrorCode::CREATE_SEQUENCE` or
/// `ErrorCode::ALTER_SEQUENCE` for bounds that contradict each other, `ErrorCode::TUPLE_FOUND` for
/// a name that is taken, `ErrorCode::DROP_SEQUENCE` for a sequence that is in use.
pub(crate) fn check_sequence(
    snapshot: Snapshot<'_>,
    old: Option<&[u8]>,
    new: Option<&[u8]>,
) -> Result<(), Error> {
    let Some(new) = new else {
        return old.map_or(Ok(()), |old| check_unused(snapshot, old));
    };
    let row = SequenceRow::decode(new)?;
    check_name(row.name)?;
    let why = if row.step == 0 {
        "step option must be non-zero"
    } else if row.min > row.max {
        "max must be greater than or equal to min"
    } else if !(row.min..=row.max).contains(&row.start) {
        "start must be between min and max"
    } else {
        return check_name_is_free(snapshot, &row, new);
    };
    Err(match old {
        None => errors::cannot_create_sequence(row.name, why),
        Some(_) => errors::cannot_alter_sequence(row.name, why),
    })
}

fn check_name_is_free(
    snapshot: Snapshot<'_>,
    row: &SequenceRow<'_>,
    new: &[u8],
) -> Result<(), Error> {
    match read::sequence_with_name(snapshot, row.name)? {
        Some((other, same)) if other.id != row.id => {
            Err(errors::duplicate("name", "_sequence", same, new))
        }
        _ => Ok(()),
    }
}

fn check_unused(snapshot: Snapshot<'_>, old: &[u8]) -> Result<(), Error> {
    let row = SequenceRow::decode(old)?;
    if read::attachments_of(snapshot, row.id).next().is_some() {
        return Err(errors::cannot_drop_sequence(
            row.name,
            "the sequence is in use",
        ));
    }
    if grant_checks::has_grants(snapshot, ObjectKind::Sequence, u64::from(row.id))? {
        return Err(errors::cannot_drop_sequence(
            row.name,
            "the sequence has grants",
        ));
    }
    if snapshot
        .get(system::SEQUENCE_DATA, &system_key(&[row.id]))
        .is_some()
    {
        return Err(errors::cannot_drop_sequence(
            row.name,
            "the sequence has data",
        ));
    }
    Ok(())
}

/// Checks a change of a row of `_sequence_data`.
///
/// # Errors
///
/// `ErrorCode::NO_SUCH_SEQUENCE` if there is no such sequence.
pub(crate) fn check_value(snapshot: Snapshot<'_>, new: Option<&[u8]>) -> Result<(), Error> {
    let Some(new) = new else {
        return Ok(());
    };
    decode_value(new)?;
    let id = system::first_id(new)?;
    match snapshot.get(system::SEQUENCE, &system_key(&[id])) {
        Some(_) => Ok(()),
        None => Err(errors::no_such_sequence(id)),
    }
}

/// Checks a change of a row of `_space_sequence`.
///
/// # Errors
///
/// `ErrorCode::NO_SUCH_SPACE` or `ErrorCode::NO_SUCH_SEQUENCE` if there is no such space or
/// sequence, `ErrorCode::NO_SUCH_INDEX_ID` if the space has no primary index,
/// `ErrorCode::MODIFY_INDEX` if the field is no integer part of it, `ErrorCode::ALTER_SPACE` for a
/// sequence that was made for another space.
pub(crate) fn check_attachment(snapshot: Snapshot<'_>, new: Option<&[u8]>) -> Result<(), Error> {
    let Some(new) = new else {
        return Ok(());
    };
    let row = AttachmentRow::decode(new)?;
    let space = snapshot.get(system::SPACE, &system_key(&[row.space]));
    let space = SpaceRow::decode(space.ok_or_else(|| Error::no_such_space(row.space))?)?;
    if system::is_system(row.space) {
        return Err(errors::unsupported("sequences of system spaces"));
    }
    if snapshot
        .get(system::SEQUENCE, &system_key(&[row.sequence]))
        .is_none()
    {
        return Err(errors::no_such_sequence(row.sequence));
    }
    for other in read::attachments_of(snapshot, row.sequence) {
        let other = other?;
        if other.space == row.space {
            continue;
        }
        if other.is_generated {
            let why = "can not attach generated sequence";
            return Err(errors::cannot_alter_space(&space.name, why));
        }
        if row.is_generated {
            let why = "a sequence that others are attached to cannot be generated";
            return Err(errors::cannot_alter_space(&space.name, why));
        }
    }
    let indexes = index_rows(snapshot, row.space)?;
    let primary = indexes.iter().find(|index| index.id == PRIMARY);
    let primary =
        primary.ok_or_else(|| Error::no_such_index_id(u64::from(PRIMARY), &space.name))?;
    check_index(&space.name, primary, row.field)
}

/// Checks that a primary index has a field that a sequence gives values to.
///
/// # Errors
///
/// `ErrorCode::MODIFY_INDEX` if the field is no integer part of the index.
pub(crate) fn check_index(space: &str, index: &IndexRow, field: u32) -> Result<(), Error> {
    let part = index.parts.iter().find(|part| part.field == field);
    let why = match part {
        Some(part) if part.path.is_some() => {
            return Err(errors::unsupported("sequences inside a field ('path')"));
        }
        None => "sequence field must be a part of the index",
        Some(part) if !is_integer(part) => "sequence cannot be used with a non-integer key",
        Some(_) => return Ok(()),
    };
    Err(errors::cannot_modify_index(&index.name, space, why))
}

fn is_integer(part: &Part) -> bool {
    matches!(part.kind, FieldType::Unsigned | FieldType::Integer)
}
