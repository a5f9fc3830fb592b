//! Solo, as an engine declares it: while it holds Tx up, sessions answer alone.

use std::sync::Arc;

use super::progress::Progress;

/// Where declarations of solo stand: the runtime's serving state.
pub(crate) trait SoloBoard: std::fmt::Debug + Send + Sync {
    /// Tells how far the work is that a declaration is about.
    fn set_progress(&self, declaration: u64, progress: Progress);
    /// Takes a declaration back.
    fn withdraw(&self, declaration: u64);
}

/// While it lives, sessions answer without Tx.
#[derive(Debug)]
pub struct SoloGuard {
    /// The board and the number of the declaration on it; `None` if nobody hears of it.
    declared: Option<(Arc<dyn SoloBoard>, u64)>,
}

impl SoloGuard {
    pub(crate) fn new(board: Arc<dyn SoloBoard>, declaration: u64) -> Self {
        Self {
            declared: Some((board, declaration)),
        }
    }

    pub(crate) fn unheard() -> Self {
        Self { declared: None }
    }

    /// Tells how far the work has come: clients see the share and when to come back.
    pub fn progress(&self, done: u64, total: u64) {
        if let Some((board, declaration)) = &self.declared {
            let progress = Progress::of(done, total);
            board.set_progress(*declaration, progress);
        }
    }
}

impl Drop for SoloGuard {
    fn drop(&mut self) {
        if let Some((board, declaration)) = &self.declared {
            board.withdraw(*declaration);
        }
    }
}
