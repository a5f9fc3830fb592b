//! The means to declare solo: a guard that holds the state as long as it lives.

use std::sync::Arc;

use super::cell::ServingCell;
use super::solo::{Declarer, Solo};
use crate::engine::{Progress, SoloBoard, SoloGuard};

/// The means to declare solo, for the work that makes Tx busy. Cheap to clone, usable from any
/// thread.
#[derive(Debug, Clone)]
pub(crate) struct Solos(Arc<ServingCell>);

impl Solos {
    /// Declares solo on this cell.
    #[must_use]
    pub(crate) fn new(cell: Arc<ServingCell>) -> Self {
        Self(cell)
    }

    /// Declares solo until the guard is dropped.
    #[must_use = "the state returns to assist when the guard is dropped"]
    pub(crate) fn enter(&self, reason: impl Into<String>) -> SoloGuard {
        let (reason, now) = (reason.into(), self.0.clock().now());
        let mut id = 0;
        self.0.change(now, |details| {
            details.guards += 1;
            id = details.guards;
            details.push(Declarer::Guard(id), &reason, now);
        });
        SoloGuard::new(self.0.clone(), id)
    }
}

impl SoloBoard for ServingCell {
    fn set_progress(&self, declaration: u64, progress: Progress) {
        let mut details = self.details();
        let own = |solo: &&mut Solo| solo.by == Declarer::Guard(declaration);
        if let Some(solo) = details.solos.iter_mut().find(own) {
            solo.progress = Some(progress);
        }
    }

    fn withdraw(&self, declaration: u64) {
        let own = Declarer::Guard(declaration);
        self.change(self.clock().now(), |details| {
            details.solos.retain(|solo| solo.by != own)
        });
    }
}
