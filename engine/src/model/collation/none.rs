//! Collations of a build without them: there is none.

use vestibule_wire::Error;

use super::KnownCollation;
use crate::errors::parts as part_errors;

/// A collation that orders texts: none can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoCollation {}

impl NoCollation {
    /// # Errors
    ///
    /// `ErrorCode::UNSUPPORTED`
    pub(super) fn new(known: KnownCollation) -> Result<Self, Error> {
        Err(part_errors::no_collations(&known.name()))
    }

    pub(crate) fn known(self) -> KnownCollation {
        match self {}
    }

    pub(crate) fn with_sort_key(self, _text: &[u8], _take: impl FnOnce(&[u8])) {
        match self {}
    }
}
