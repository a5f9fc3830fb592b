//! What a turn left behind, dropped where it keeps nobody waiting.

use crate::limits::DROP_INLINE_MAX;
use crate::store::tree::Tree;

/// Trees that nothing leads to any more, to be dropped when no lock is held.
#[derive(Debug, Default)]
pub(crate) struct Garbage(pub(crate) Vec<Tree>);

impl Garbage {
    /// Drops the trees; large ones on a thread of their own, so that Tx goes on.
    pub(crate) fn discard(self) {
        let size: usize = self.0.iter().map(|tree| tree.len()).sum();
        if size > DROP_INLINE_MAX {
            discard_elsewhere(self);
        }
    }
}

/// Drops something large on a thread of its own.
pub(crate) fn discard_elsewhere<T: Send + 'static>(something: T) {
    // If there is no thread to be had, it was dropped with the closure.
    let _ = std::thread::Builder::new()
        .name("discard".into())
        .spawn(move || drop(something));
}
