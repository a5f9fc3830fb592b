//! What tests of other rooms look at.

use std::sync::{Arc, Mutex, RwLockReadGuard};

use super::EmbeddedEngine;
use super::schema_cache::SchemaCache;
use crate::access::Access;
use crate::durability::journal::Journal;
use crate::store::image::Image;
use crate::store::shared_image::SharedImage;
use crate::transaction::turn::Turn;

impl EmbeddedEngine {
    pub(crate) fn image(&self) -> RwLockReadGuard<'_, Image> {
        self.image.read()
    }

    /// Definitions, rights and catalog, in order: as they followed the changes, and as all rows
    /// say that they are.
    pub(crate) fn schema_told(&self) -> [Vec<String>; 2] {
        let image = &*self.image.read();
        let access = Access::of(image, self.options.guest, &self.generations).unwrap();
        let anew = SchemaCache::with(image, Arc::new(access));
        [self.schema.told(), anew.told()]
    }

    pub(crate) fn access(&self) -> &Access {
        self.schema.access()
    }

    pub(crate) fn shared_image(&self) -> SharedImage {
        self.image.clone()
    }

    pub(crate) fn versions_kept(&self) -> usize {
        self.image.versions_kept()
    }

    pub(crate) fn journal(&self) -> Arc<Mutex<Journal>> {
        self.log.journal()
    }

    /// The turn under construction.
    pub(crate) fn turn(&self) -> &Turn {
        self.workspace.turn()
    }

    pub(crate) fn is_turn_empty(&self) -> bool {
        self.workspace.turn().is_empty()
    }

    /// Lets the open transactions forget what they have seen, so that no conflict is found.
    pub(crate) fn forget_reads(&mut self) {
        self.workspace.forget_reads();
    }
}
