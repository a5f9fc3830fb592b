//! The requests that wait for their replies, by sync number.
//!
//! Sync numbers grow and are never given twice: the late reply to a request that nobody waits for
//! any more finds nothing here. They need more than 32 bits from the start, so that each has the
//! same form and stands at the same place of a request.

use std::collections::HashMap;

/// What waits for replies, by sync number.
#[derive(Debug)]
pub(crate) struct Table<T> {
    pending: HashMap<u64, T>,
    last_sync: u64,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            pending: HashMap::new(),
            last_sync: u32::MAX.into(),
        }
    }
}

impl<T> Table<T> {
    /// The next sync number.
    pub(crate) fn next_sync(&mut self) -> u64 {
        self.last_sync += 1;
        self.last_sync
    }

    pub(crate) fn insert(&mut self, sync: u64, waiting: T) {
        self.pending.insert(sync, waiting);
    }

    pub(crate) fn has(&self, sync: u64) -> bool {
        self.pending.contains_key(&sync)
    }

    pub(crate) fn get_mut(&mut self, sync: u64) -> Option<&mut T> {
        self.pending.get_mut(&sync)
    }

    pub(crate) fn remove(&mut self, sync: u64) -> Option<T> {
        self.pending.remove(&sync)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Takes all out.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (u64, T)> + '_ {
        self.pending.drain()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        /// 0 sends, 1 answers the oldest, 2 forgets the newest, 3 answers what is not there.
        #[test]
        fn each_reply_finds_its_request_or_nothing(steps in prop::collection::vec(0..4u8, 0..200)) {
            let mut table = Table::default();
            let mut waiting = Vec::<u64>::new();
            let mut given = HashSet::new();
            for step in steps {
                match step {
                    0 => {
                        let sync = table.next_sync();
                        prop_assert!(given.insert(sync), "a number is given once");
                        table.insert(sync, sync * 2);
                        waiting.push(sync);
                    }
                    1 if !waiting.is_empty() => {
                        let sync = waiting.remove(0);
                        prop_assert_eq!(table.remove(sync), Some(sync * 2));
                    }
                    2 => {
                        if let Some(sync) = waiting.pop() {
                            prop_assert_eq!(table.remove(sync), Some(sync * 2));
                            prop_assert_eq!(table.remove(sync), None);
                        }
                    }
                    _ => prop_assert_eq!(table.remove(0), None),
                }
                prop_assert_eq!(table.len(), waiting.len());
                prop_assert_eq!(table.is_empty(), waiting.is_empty());
            }
            let left: HashSet<u64> = table.drain().map(|(sync, _)| sync).collect();
            prop_assert_eq!(left, waiting.into_iter().collect());
        }
    }
}
