//! The definitions of all spaces, to be looked at without the image's lock.

use std::collections::HashMap;
use std::sync::Arc;

use vestibule_wire::Error;
use vestibule_wire::request::IdOrName;

use crate::model::space::SpaceDef;
use crate::store::image::{BySpace, Image};

/// Spaces by number and by name.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    by_id: BySpace<Arc<SpaceDef>>,
    names: HashMap<Box<str>, u32>,
}

impl Definitions {
    pub(crate) fn of(image: &Image) -> Self {
        let (by_id, names) = image.definitions();
        Self { by_id, names }
    }

    /// The definition of the space that a request names.
    ///
    /// # Errors
    ///
    /// 36 if there is none.
    #[inline]
    pub(crate) fn resolve(&self, target: IdOrName<'_>) -> Result<&Arc<SpaceDef>, Error> {
        let found = match target {
            IdOrName::Id(id) => self.by_id.get(&id),
            IdOrName::Name(name) => self.names.get(name).and_then(|id| self.by_id.get(id)),
        };
        found.ok_or_else(|| match target {
            IdOrName::Id(id) => Error::no_such_space(id),
            IdOrName::Name(name) => Error::no_such_space(name),
        })
    }
}
