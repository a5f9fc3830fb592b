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

use crate::model::index::PRIMARY;
use crate::model::key::Key;
use crate::model::tuple::Tuple;

/// What becomes of a key: a tuple, or `None` if it is deleted.
pub(crate) type Change = Option<Tuple>;

/// What becomes of a space's keys.
pub(crate) type Changes = BTreeMap<Key, Change>;

/// Changes by space.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    /// Few in any turn, so that a search from the start is the quickest. Emptied and kept.
    spaces: Vec<(u32, Changes)>,
    /// The same changes by the keys of secondary indexes, each by its space's number and its own.
    secondaries: Vec<((u32, u32), Changes)>,
    is_changed: bool,
}

impl Layer {
    pub(crate) fn is_empty(&self) -> bool {
        !self.is_changed
    }

    /// Sets what becomes of a key, in place of what an earlier change said.
    #[inline]
    pub(crate) fn set(&mut self, space: u32, key: Key, change: Change) {
        self.is_changed = true;
        match self.spaces.iter_mut().find(|(id, _)| *id == space) {
            Some((_, changes)) => drop(changes.insert(key, change)),
            None => self.spaces.push((space, Changes::from([(key, change)]))),
        }
    }

    /// Sets what becomes of a key of a secondary index.
    pub(crate) fn set_secondary(&mut self, space: u32, index: u32, key: Key, change: Change) {
        let mut all = self.secondaries.iter_mut();
        match all.find(|(id, _)| *id == (space, index)) {
            Some((_, changes)) => drop(changes.insert(key, change)),
            None => {
                let changes = Changes::from([(key, change)]);
                self.secondaries.push(((space, index), changes));
            }
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

    /// Every secondary index with changes.
    pub(crate) fn secondaries(&self) -> impl Iterator<Item = ((u32, u32), &Changes)> {
        self.secondaries.iter().map(|(id, changes)| (*id, changes))
    }

    /// How many changes of indexes there are.
    pub(crate) fn changes_len(&self) -> usize {
        let secondaries = self.secondaries.iter().map(|(_, changes)| changes.len());
        let spaces = self.spaces.iter().map(|(_, changes)| changes.len());
        spaces.chain(secondaries).sum()
    }

    /// Takes all changes out, space by space.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = (u32, Changes)> {
        self.is_changed = false;
        self.spaces
            .iter_mut()
            .map(|(id, changes)| (*id, std::mem::take(changes)))
    }

    /// Takes the changes of secondary indexes out, index by index.
    pub(crate) fn take_secondaries(&mut self) -> impl Iterator<Item = ((u32, u32), Changes)> {
        let all = self.secondaries.iter_mut();
        all.map(|(id, changes)| (*id, std::mem::take(changes)))
    }

    pub(crate) fn clear(&mut self) {
        self.take().for_each(drop);
        self.take_secondaries().for_each(drop);
    }
}
