//! What tests of other rooms look at.

use std::sync::{Arc, Mutex, RwLockReadGuard};

use super::EmbeddedEngine;
use crate::durability::journal::Journal;
use crate::store::image::Image;
use crate::store::shared_image::SharedImage;

impl EmbeddedEngine {
    pub(crate) fn image(&self) -> RwLockReadGuard<'_, Image> {
        self.image.read()
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

    pub(crate) fn is_turn_empty(&self) -> bool {
        self.workspace.turn().is_empty()
    }

    /// Lets the open transactions forget what they have seen, so that no conflict is found.
    pub(crate) fn forget_reads(&mut self) {
        self.workspace.forget_reads();
    }
}
