//! The bound on the memory of data: what would grow them is refused when it is reached.
//!
//! ```text
//!   image (exact, as of the last commit) + turn and open transactions (about) ── beyond the bound:
//!     ├ a new tuple, a longer one, an index ─▶ error 2
//!     ├ a tuple that is no longer than the one it replaces ─▶ goes on, outside of transactions
//!     └ a read, a deletion, TRUNCATE, DROP ─▶ go on
//! ```

use std::sync::Arc;

use vestibule_actors::engine::DataMemory;
use vestibule_wire::Error;

use super::EmbeddedEngine;
use crate::limits::LAYER_ENTRY_BYTES;
use crate::model::tuple::Tuple;
use crate::store::index_build::Room;

/// What data may take, and what they took at the last commit.
#[derive(Debug)]
pub(super) struct DataBound {
    /// What others are told.
    told: Arc<DataMemory>,
    /// Of the image.
    committed: usize,
    /// The log says that there is little room left.
    is_warned: bool,
}

impl DataBound {
    /// The one that others are told.
    pub(super) fn new(told: Arc<DataMemory>) -> Self {
        Self {
            told,
            committed: 0,
            is_warned: false,
        }
    }

    pub(super) fn told(&self) -> &Arc<DataMemory> {
        &self.told
    }

    /// As of now; [`usize::MAX`] for none.
    #[inline]
    fn max(&self) -> usize {
        match self.told.max() {
            0 => usize::MAX,
            max => max,
        }
    }

    /// The image takes this many bytes now. Warns when 7/8 of the bound are used, once until there
    /// is room again.
    #[inline]
    pub(super) fn note(&mut self, committed: usize, uncommitted: usize) {
        self.committed = committed;
        let (used, max) = (committed + uncommitted, self.max());
        self.told.set_used(used);
        let is_scarce = used > max - max / 8;
        if is_scarce != self.is_warned && (is_scarce || used <= max - max / 4) {
            self.is_warned = is_scarce;
            self.tell(used, max);
        }
    }

    #[cold]
    fn tell(&self, used: usize, max: usize) {
        if used > max {
            log::warn!(
                "data take {used} bytes of {max} (--memory-max): what would grow is refused"
            );
        } else if self.is_warned {
            log::warn!("data take {used} bytes of {max} (--memory-max): little room is left");
        } else {
            log::info!("data take {used} bytes of {max} (--memory-max): there is room again");
        }
    }
}

impl EmbeddedEngine {
    /// Checks whether there is memory for a tuple in place of another one.
    ///
    /// # Errors
    ///
    /// `ErrorCode::MEMORY_ISSUE` if there is none, and the data would grow.
    #[inline]
    pub(super) fn check_memory(
        &self,
        indexes: usize,
        old: Option<&Tuple>,
        new: &Tuple,
    ) -> Result<(), Error> {
        if self.has_memory_for(indexes, new) {
            return Ok(());
        }
        let grows = old.is_none_or(|old| old.len() < new.len());
        if grows || self.workspace.is_in_transaction() {
            return Err(self.room().error(cost(indexes, new)));
        }
        Ok(())
    }

    /// Whether there is memory for another tuple in this number of indexes.
    #[inline]
    pub(super) fn has_memory_for(&self, indexes: usize, new: &Tuple) -> bool {
        self.room().is_for(cost(indexes, new))
    }

    /// The memory that there is for data, with what is not committed in use.
    #[inline]
    pub(super) fn room(&self) -> Room {
        Room {
            used: self.memory.committed + self.workspace.uncommitted_bytes(),
            max: self.memory.max(),
        }
    }
}

/// What a tuple takes in this number of indexes until it is committed, in bytes, about; in the
/// image it is no more.
#[inline]
fn cost(indexes: usize, tuple: &Tuple) -> usize {
    tuple.heap_bytes() + indexes * LAYER_ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_says_once_that_little_room_is_left_and_again_after_there_was_some() {
        let mut bound = DataBound::new(Arc::new(DataMemory::new(800)));
        let said = |bound: &mut DataBound, committed, uncommitted| {
            bound.note(committed, uncommitted);
            bound.is_warned
        };
        assert!(!said(&mut bound, 600, 100));
        assert!(said(&mut bound, 600, 101), "more than 7/8");
        assert!(said(&mut bound, 800, 1));
        assert!(said(&mut bound, 650, 0), "not for a few bytes less");
        assert!(!said(&mut bound, 600, 0));
        assert_eq!(bound.told().used(), 600);
        let mut unbounded = DataBound::new(Arc::new(DataMemory::new(0)));
        assert!(!said(&mut unbounded, usize::MAX / 2, 0));
    }
}
