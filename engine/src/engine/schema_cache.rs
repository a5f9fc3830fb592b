//! What follows from the system spaces, to be looked up without the image's lock: definitions,
//! rights, and the catalog. Made again after each commit that changes a definition.

use std::collections::HashMap;
use std::sync::Arc;

use vestibule_actors::catalog::Catalog;
use vestibule_wire::Error;
use vestibule_wire::request::IdOrName;

use crate::access::Access;
use crate::model::space::SpaceDef;
use crate::query::catalog;
use crate::store::image::{BySpace, Image};

/// Definitions, rights and catalog of one version of the system spaces.
#[derive(Debug)]
pub(super) struct SchemaCache {
    spaces: BySpace<Arc<SpaceDef>>,
    names: HashMap<Box<str>, u32>,
    access: Arc<Access>,
    catalog: Arc<Catalog>,
}

impl SchemaCache {
    pub(super) fn of(image: &Image) -> Self {
        let (spaces, names) = image.definitions();
        Self {
            spaces,
            names,
            access: image.access.clone(),
            catalog: Arc::new(catalog::build(image)),
        }
    }

    /// The definition of the space that a request names.
    ///
    /// # Errors
    ///
    /// `ErrorCode::NO_SUCH_SPACE` if there is none.
    #[inline]
    pub(super) fn resolve(&self, target: IdOrName<'_>) -> Result<&Arc<SpaceDef>, Error> {
        let found = match target {
            IdOrName::Id(id) => self.spaces.get(&id),
            IdOrName::Name(name) => self.names.get(name).and_then(|id| self.spaces.get(id)),
        };
        found.ok_or_else(|| match target {
            IdOrName::Id(id) => Error::no_such_space(id),
            IdOrName::Name(name) => Error::no_such_space(name),
        })
    }

    /// Whether what the space holds is not durable.
    #[inline]
    pub(super) fn is_temporary(&self, space: u32) -> bool {
        self.spaces.get(&space).is_some_and(|def| def.is_temporary)
    }

    /// The rights of every user.
    #[inline]
    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    /// What sessions answer schema requests and AUTH from.
    pub(super) fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }
}
