//! Spaces as the rows of `_space` and `_index` define them.

use vestibule_wire::Error;

use super::system::rows::{IndexRow, SpaceRow};
use crate::model::index::{IndexDef, IndexKind, PRIMARY, Part};
use crate::model::space::SpaceDef;

/// The definition that rows of `_space` and `_index` give.
///
/// # Errors
///
/// `ErrorCode::INDEX_PART_TYPE_MISMATCH` or `ErrorCode::FORMAT_MISMATCH_INDEX_PART` if they
/// contradict each other.
pub(crate) fn define(space: &SpaceRow, indexes: &[IndexRow]) -> Result<SpaceDef, Error> {
    let primary = indexes.iter().find(|index| index.id == PRIMARY);
    let primary = primary.map_or(&[][..], |primary| &primary.parts);
    let mut def = SpaceDef::new(
        space.id,
        &space.name,
        space.field_count,
        space.format.clone(),
        indexes
            .iter()
            .map(|index| index_def(index, primary))
            .collect(),
    )?;
    def.is_temporary = space.options.is_temporary;
    def.foreign_keys = space.foreign_keys().cloned().collect();
    Ok(def)
}

/// The definition of an index whose space has this primary key.
pub(crate) fn index_def(index: &IndexRow, primary: &[Part]) -> IndexDef {
    let is_own = |part: &&Part| !index.parts.iter().any(|own| own.stands_for(part));
    let is_needed = !index.is_unique || index.parts.iter().any(|part| part.is_nullable);
    let rest = primary.iter().filter(|part| is_needed && is_own(part));
    IndexDef {
        id: index.id,
        name: index.name.clone(),
        kind: IndexKind::from_name(&index.kind).unwrap_or(IndexKind::Tree),
        is_unique: index.is_unique,
        parts: index.parts.clone().into(),
        is_multikey: index.parts.iter().any(Part::is_multikey),
        is_collated: index.parts.iter().any(|part| part.collation.is_some()),
        rest: rest.cloned().collect(),
    }
}
