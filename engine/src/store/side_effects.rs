//! What follows from changes of the system spaces' rows, for the spaces that they are about.

use crate::model::key::Key;
use crate::schema::system;
use crate::store::layer::Change;

/// What a turn asks for beside the change of its rows.
#[derive(Debug, Default)]
pub(super) struct SideEffects {
    /// Spaces whose definition is another one.
    pub(super) redefined: Vec<u32>,
    /// Spaces that are emptied.
    pub(super) truncated: Vec<u32>,
    /// Clients fetch their schema again.
    pub(super) is_schema_changed: bool,
}

/// Whether definitions, rights or the catalog follow from the rows of a space.
pub(super) fn is_followed(space: u32) -> bool {
    defines_spaces(space)
        || matches!(
            space,
            system::USER | system::PRIV | system::FUNC | system::SEQUENCE
        )
}

/// Whether the rows of a space define the spaces whose numbers they begin with.
pub(crate) fn defines_spaces(space: u32) -> bool {
    matches!(
        space,
        system::SPACE | system::INDEX | system::SPACE_SEQUENCE
    )
}

impl SideEffects {
    /// Takes note of the change of a row.
    pub(super) fn note(&mut self, space: u32, key: &Key, change: &Change) {
        // Keys of these spaces begin with the number of the space that they are about.
        let about = key.first_number() as u32;
        self.is_schema_changed |= is_followed(space);
        if defines_spaces(space) && !self.redefined.contains(&about) {
            self.redefined.push(about);
        }
        if space == system::TRUNCATE && change.is_some() {
            self.truncated.push(about);
        }
    }
}
