//! The means to declare solo: a guard that holds the state as long as it lives.

use std::sync::Arc;

use super::Role;
use super::cell::ServingCell;
use super::solo::{Declarer, Solo};
use crate::engine::Progress;

/// The means to declare solo, for whoever makes Tx busy. Cheap to clone, usable from any thread.
#[derive(Debug, Clone)]
pub struct Solos(Arc<ServingCell>);

impl Solos {
    /// Declares solo on this cell.
    #[must_use]
    pub fn new(cell: Arc<ServingCell>) -> Self {
        Self(cell)
    }

    /// A handle whose declarations nobody hears, for an engine's own tests.
    #[must_use]
    pub fn unheard() -> Self {
        Self(ServingCell::new(Role::Primary, crate::clock::now()))
    }

    /// Declares solo until the guard is dropped.
    #[must_use = "the state returns to assist when the guard is dropped"]
    pub fn enter(&self, reason: impl Into<String>) -> SoloGuard {
        let now = crate::clock::now();
        let mut id = 0;
        self.0.change(now, |details| {
            details.guards += 1;
            id = details.guards;
            details.push(Declarer::Guard(id), reason.into(), now);
        });
        SoloGuard {
            cell: self.0.clone(),
            id,
        }
    }
}

/// While it lives, sessions answer without Tx.
#[derive(Debug)]
pub struct SoloGuard {
    cell: Arc<ServingCell>,
    id: u64,
}

impl SoloGuard {
    /// Tells how far the work has come: clients see the share and when to come back.
    pub fn progress(&self, done: u64, total: u64) {
        let mut details = self.cell.details();
        let own = |solo: &&mut Solo| solo.by == Declarer::Guard(self.id);
        if let Some(solo) = details.solos.iter_mut().find(own) {
            solo.progress = Some(Progress {
                done,
                total,
                ..Progress::default()
            });
        }
    }
}

impl Drop for SoloGuard {
    fn drop(&mut self) {
        let own = Declarer::Guard(self.id);
        self.cell.change(crate::clock::now(), |details| {
            details.solos.retain(|solo| solo.by != own)
        });
    }
}
