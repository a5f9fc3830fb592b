//! Changes that are not in the image yet, and what the data looks like through them.
//!
//! ```text
//!   reader ──▶ ┌ layer   the turn               ┐
//!              │ …       (a transaction, …)     │  the first that knows the key answers
//!              └ image   what is durable        ┘
//! ```
//!
//! A layer says for a key: put, deleted, or nothing.

use std::collections::BTreeMap;

use crate::limits::{LAYER_ENTRY_BYTES, LAYER_KEPT_MAX};
use crate::model::index::PRIMARY;
use crate::model::key::Key;
use crate::model::tuple::Tuple;

/// What becomes of a key: a tuple, or `None` if it is deleted.
pub(crate) type Change = Option<Tuple>;

/// What becomes of a space's keys.
pub(crate) type Changes = BTreeMap<Key, Change>;

/// Changes by space.
#[derive(Debug, Default, Clone)]
pub(crate) struct Layer {
    /// Few in any turn, so that a search from the start is the quickest. Emptied, and a few kept.
    spaces: Vec<(u32, Changes)>,
    /// The same changes by the keys of secondary indexes, each by its space's number and its own.
    secondaries: Vec<((u32, u32), Changes)>,
    is_changed: bool,
    /// What the changes take.
    bytes: usize,
}

/// What a change takes beside its key and its tuple.
fn entry(key: &Key) -> usize {
    LAYER_ENTRY_BYTES + key.heap_bytes()
}

/// What the tuple of a change takes outside of it.
pub(crate) fn tuple_bytes(change: &Change) -> usize {
    change.as_ref().map_or(0, Tuple::heap_bytes)
}

impl Layer {
    pub(crate) fn is_empty(&self) -> bool {
        !self.is_changed
    }

    /// What the changes take in memory, in bytes: keys, tuples, and what it takes to keep them.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sets what becomes of a key, in place of what an earlier change said.
    #[inline]
    pub(crate) fn set(&mut self, space: u32, key: Key, change: Change) {
        self.is_changed = true;
        let entry = entry(&key);
        self.bytes += tuple_bytes(&change);
        match self.spaces.iter_mut().find(|(id, _)| *id == space) {
            Some((_, changes)) => match changes.insert(key, change) {
                Some(old) => self.bytes -= tuple_bytes(&old),
                None => self.bytes += entry,
            },
            None => {
                self.bytes += entry;
                self.spaces.push((space, Changes::from([(key, change)])));
            }
        }
    }

    /// Sets what becomes of a key of a secondary index. The tuple is the one that the primary index
    /// has, so only that one counts.
    pub(crate) fn set_secondary(&mut self, space: u32, index: u32, key: Key, change: Change) {
        let entry = entry(&key);
        let mut all = self.secondaries.iter_mut();
        let old = match all.find(|(id, _)| *id == (space, index)) {
            Some((_, changes)) => changes.insert(key, change),
            None => {
                let changes = Changes::from([(key, change)]);
                self.secondaries.push(((space, index), changes));
                None
            }
        };
        self.bytes += if old.is_none() { entry } else { 0 };
    }

    /// What becomes of a key by these changes; `None`: they say nothing of it.
    pub(crate) fn change_of(&self, space: u32, index: u32, key: &Key) -> Option<&Change> {
        self.changes_of(space, index)?.get(key)
    }

    /// Has the layer say of a key again what it said before, which may have been nothing.
    pub(crate) fn restore(&mut self, space: u32, index: u32, key: Key, before: Option<Change>) {
        let Some(change) = before else {
            return self.forget(space, index, &key);
        };
        if index == PRIMARY {
            self.set(space, key, change);
        } else {
            self.set_secondary(space, index, key, change);
        }
    }

    /// What was changed was undone to the last of it.
    pub(crate) fn note_unchanged(&mut self) {
        self.is_changed = false;
    }

    /// Says nothing of a key any more.
    fn forget(&mut self, space: u32, index: u32, key: &Key) {
        let (changes, counts_tuples) = if index == PRIMARY {
            let found = self.spaces.iter_mut().find(|(id, _)| *id == space);
            (found.map(|(_, changes)| changes), true)
        } else {
            let mut all = self.secondaries.iter_mut();
            let found = all.find(|(id, _)| *id == (space, index));
            (found.map(|(_, changes)| changes), false)
        };
        if let Some(old) = changes.and_then(|changes| changes.remove(key)) {
            self.bytes -= entry(key);
            self.bytes -= if counts_tuples { tuple_bytes(&old) } else { 0 };
        }
    }

    /// The changes of one index.
    pub(super) fn changes_of(&self, space: u32, index: u32) -> Option<&Changes> {
        if index == PRIMARY {
            return self.changes(space);
        }
        let mut all = self.secondaries.iter();
        all.find(|(id, _)| *id == (space, index))
            .map(|(_, changes)| changes)
            .filter(|changes| !changes.is_empty())
    }

    /// The changes of one space.
    #[inline]
    pub(crate) fn changes(&self, space: u32) -> Option<&Changes> {
        let found = self.spaces.iter().find(|(id, _)| *id == space);
        found
            .map(|(_, changes)| changes)
            .filter(|changes| !changes.is_empty())
    }

    /// Every space with changes.
    pub(crate) fn spaces(&self) -> impl Iterator<Item = (u32, &Changes)> {
        let changed = self
            .spaces
            .iter()
            .filter(|(_, changes)| !changes.is_empty());
        changed.map(|(id, changes)| (*id, changes))
    }

    /// Every index with changes, by its space and its own number.
    pub(crate) fn all(&self) -> impl Iterator<Item = ((u32, u32), &Changes)> {
        let secondaries = self.secondaries.iter().map(|(id, changes)| (*id, changes));
        let spaces = self.spaces().map(|(id, changes)| ((id, PRIMARY), changes));
        secondaries.chain(spaces)
    }

    /// How many changes of indexes there are.
    pub(crate) fn changes_len(&self) -> usize {
        let secondaries = self.secondaries.iter().map(|(_, changes)| changes.len());
        let spaces = self.spaces.iter().map(|(_, changes)| changes.len());
        spaces.chain(secondaries).sum()
    }

    /// Takes all changes out: those of secondary indexes, index by index, and then those of primary
    /// ones, space by space.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = ((u32, u32), Changes)> {
        (self.is_changed, self.bytes) = (false, 0);
        if self.spaces.len() > LAYER_KEPT_MAX {
            self.spaces.retain(|(_, changes)| !changes.is_empty());
        }
        if self.secondaries.len() > LAYER_KEPT_MAX {
            self.secondaries.retain(|(_, changes)| !changes.is_empty());
        }
        let secondaries = self.secondaries.iter_mut();
        let secondaries = secondaries.map(|(id, changes)| (*id, std::mem::take(changes)));
        let spaces = self.spaces.iter_mut();
        let spaces = spaces.map(|(id, changes)| ((*id, PRIMARY), std::mem::take(changes)));
        let taken = secondaries.chain(spaces);
        taken.filter(|(_, changes)| !changes.is_empty())
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
