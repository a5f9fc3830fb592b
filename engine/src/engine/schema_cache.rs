//! What follows from the system spaces, to be looked up without the image's lock: definitions,
//! rights, and the catalog. Follows the changes of each commit that makes any.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use vestibule_actors::catalog::Catalog;
use vestibule_wire::Error;
use vestibule_wire::request::IdOrName;

use crate::access::Access;
use crate::model::space::SpaceDef;
use crate::query::catalog;
use crate::schema::system;
use crate::schema::system::changes::RowChange;
use crate::store::image::{BySpace, Image};
use crate::store::referrers::Referrers;
use crate::store::side_effects::defines_spaces;

/// Definitions, rights and catalog of one version of the system spaces.
#[derive(Debug)]
pub(super) struct SchemaCache {
    spaces: BySpace<Arc<SpaceDef>>,
    names: HashMap<Box<str>, u32>,
    referrers: Referrers,
    access: Arc<Access>,
    catalog: Arc<Catalog>,
}

impl SchemaCache {
    /// From all rows.
    pub(super) fn of(image: &Image) -> Self {
        Self::with(image, image.access.clone())
    }

    /// From all rows, with these rights.
    pub(super) fn with(image: &Image, access: Arc<Access>) -> Self {
        let (spaces, names) = image.definitions();
        Self {
            spaces,
            names,
            referrers: image.referrers.clone(),
            catalog: Arc::new(catalog::build(image, &access)),
            access,
        }
    }

    /// Follows the changes of a turn that the image has.
    pub(super) fn change(&mut self, image: &Image, changes: &[RowChange]) {
        let defined: BTreeSet<u32> = changes
            .iter()
            .filter(|change| defines_spaces(change.space))
            .filter_map(|change| {
                system::first_id(change.new.as_ref().or(change.old.as_ref())?).ok()
            })
            .collect();
        // All names go before any comes: one may pass from space to space.
        for id in &defined {
            if let Some(old) = self.spaces.remove(id) {
                self.names.remove(&old.name);
            }
        }
        for id in defined {
            if let Some(space) = image.space(id) {
                self.names.insert(space.def.name.clone(), id);
                self.spaces.insert(id, space.def.clone());
            }
        }
        self.referrers = image.referrers.clone();
        self.access = image.access.clone();
        let mut catalog = (*self.catalog).clone();
        catalog::change(&mut catalog, &self.access, changes);
        self.catalog = Arc::new(catalog);
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

    /// Which spaces refer to which.
    #[inline]
    pub(super) fn referrers(&self) -> &Referrers {
        &self.referrers
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

#[cfg(test)]
impl SchemaCache {
    /// Everything in it, in order.
    pub(super) fn told(&self) -> Vec<String> {
        use std::collections::BTreeMap;

        use vestibule_actors::catalog::system::SYSTEM_SPACES;
        use vestibule_wire::reply::Rows;
        use vestibule_wire::request::{After, Select};

        let spaces: BTreeMap<_, _> = self.spaces.iter().collect();
        let names: BTreeMap<_, _> = self.names.iter().collect();
        let mut told: Vec<_> = spaces.iter().map(|own| format!("{own:?}")).collect();
        told.extend(names.iter().map(|own| format!("{own:?}")));
        told.push(format!("{:?}", self.referrers));
        told.extend(self.access.told());
        let admin = self.access.user(system::ADMIN).unwrap();
        for (space, index) in SYSTEM_SPACES
            .iter()
            .filter(|space| space.view.is_some())
            .flat_map(|space| space.indexes.iter().map(move |index| (space.id, index.id)))
        {
            let select = Select {
                space: IdOrName::Id(space),
                index: IdOrName::Id(index),
                limit: u64::from(u32::MAX),
                offset: 0,
                iterator: 2,
                key: &[0x90],
                fetch_position: false,
                after: After::Start,
            };
            let mut rows = Vec::new();
            let told_rows = self
                .catalog
                .select(&select, &admin, || Rows::begin(&mut rows));
            told_rows.unwrap();
            told.push(format!("{space} {index} {rows:?}"));
        }
        let users = self.access.users().map(|user| {
            let found = self.catalog.user(&user.name);
            format!("{user:?} {found:?}")
        });
        told.extend(users);
        told
    }
}
