//! A worker's own copies of the snapshots that the engine publishes: while the version is the same,
//! they are read without a lock.

use std::sync::Arc;

use crate::engine::ReadView;
use crate::engine::catalog::Catalog;
use crate::shared::Shared;

/// The catalog and the read view, as of the last look.
#[derive(Default)]
pub(crate) struct Published {
    catalog: Option<Arc<Catalog>>,
    catalog_version: u64,
    /// How guest comes to do everything by this catalog, once that was asked for.
    guest_power: Option<Option<String>>,
    view: Option<Arc<dyn ReadView>>,
    view_version: u64,
}

impl Published {
    /// The catalog as it is now; `None` until an engine has recovered.
    pub(crate) fn catalog(&mut self, shared: &Shared) -> Option<Arc<Catalog>> {
        let version = shared.schema_version();
        if self.catalog.is_none() || self.catalog_version != version {
            self.catalog = shared.catalog();
            self.catalog_version = version;
            self.guest_power = None;
        }
        self.catalog.clone()
    }

    /// How guest comes to do everything now, if there is a way to it.
    pub(crate) fn guest_power(&mut self, shared: &Shared) -> Option<&str> {
        let catalog = self.catalog(shared)?;
        let power = self
            .guest_power
            .get_or_insert_with(|| catalog.guest_power());
        power.as_deref()
    }

    /// Takes over the read view that is published now; false if the engine gives none.
    pub(crate) fn refresh_view(&mut self, shared: &Shared) -> bool {
        let version = shared.view_version();
        if self.view_version != version {
            self.view = shared.view();
            self.view_version = version;
        }
        self.view.is_some()
    }

    /// The read view that [`refresh_view`](Self::refresh_view) took over last.
    #[inline]
    pub(crate) fn view(&self) -> Option<&Arc<dyn ReadView>> {
        self.view.as_ref()
    }

    /// Which view that is.
    #[inline]
    pub(crate) fn view_version(&self) -> u64 {
        self.view_version
    }
}
