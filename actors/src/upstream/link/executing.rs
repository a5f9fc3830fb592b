//! EXECUTEs by number that one link has sent, so that nothing is unprepared that is executed. Pure.

use std::collections::HashMap;

/// One that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Executing {
    /// The upstream's number.
    pub(super) id: u32,
    /// The upstream has told that number over this link, for what the client holds.
    pub(super) is_told: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct ExecutedStatements {
    /// By the syncs that they were sent with.
    by_sync: HashMap<u64, Executing>,
    /// How many there are, by the upstream's numbers.
    counts: HashMap<u32, usize>,
}

impl ExecutedStatements {
    /// One is sent.
    pub(super) fn begin(&mut self, sync: u64, own: Executing) {
        *self.counts.entry(own.id).or_default() += 1;
        self.by_sync.insert(sync, own);
    }

    /// The one with this sync, if it is owed.
    pub(super) fn get(&self, sync: u64) -> Option<Executing> {
        self.by_sync.get(&sync).copied()
    }

    /// One is over, if this is one; returns its number if nothing else is executed by that.
    pub(super) fn end(&mut self, sync: u64) -> Option<u32> {
        let Executing { id, .. } = self.by_sync.remove(&sync)?;
        let count = self.counts.get_mut(&id)?;
        *count -= 1;
        let is_last = *count == 0;
        if is_last {
            self.counts.remove(&id);
        }
        is_last.then_some(id)
    }

    /// Whether something by this number of the upstream's is executed.
    pub(super) fn has(&self, id: u32) -> bool {
        self.counts.contains_key(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_by_a_number_tells_of_it() {
        let mut own = ExecutedStatements::default();
        let executing = |id| Executing { id, is_told: true };
        for (sync, id) in [(1, 7), (2, 7), (3, 8)] {
            own.begin(sync, executing(id));
        }
        assert_eq!(own.get(2), Some(executing(7)));
        assert_eq!((own.end(1), own.end(1)), (None, None));
        assert!(own.has(7) && own.has(8) && own.get(1).is_none());
        assert_eq!(
            (own.end(2), own.end(3), own.end(4)),
            (Some(7), Some(8), None)
        );
        assert!(!own.has(7) && own.counts.is_empty());
    }
}
