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
use std::collections::btree_map;
use std::ops::Bound;

use super::image::Image;
use super::index::PRIMARY;
use super::key::{Key, KeyView};
use super::tree::{self, Tree};
use super::tuple::Tuple;

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
    fn changes_of(&self, space: u32, index: u32) -> Option<&Changes> {
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

/// The data as seen through layers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sight<'a> {
    /// From the topmost down.
    pub(crate) layers: &'a [&'a Layer],
    pub(crate) image: &'a Image,
}

impl<'a> Sight<'a> {
    /// The tuple with this key.
    #[inline]
    pub(crate) fn get(&self, space: u32, key: &Key) -> Option<&'a Tuple> {
        for layer in self.layers {
            if let Some(change) = layer.changes(space).and_then(|changes| changes.get(key)) {
                return change.as_ref();
            }
        }
        self.image.space(space)?.rows.get(key)
    }

    /// The tuple with this key in any index.
    pub(crate) fn find(&self, space: u32, index: u32, key: &Key) -> Option<&'a Tuple> {
        if index == PRIMARY {
            return self.get(space, key);
        }
        let mut changes = self.layers.iter();
        let changed = changes.find_map(|layer| layer.changes_of(space, index)?.get(key));
        match changed {
            Some(change) => change.as_ref(),
            None => self.image.space(space)?.tree(index)?.get(key),
        }
    }

    /// Whether what is seen of an index is the image alone.
    fn is_plain(&self, space: u32, index: u32) -> bool {
        self.layers
            .iter()
            .all(|layer| layer.changes_of(space, index).is_none())
    }

    fn tree(&self, space: u32, index: u32) -> Option<&'a Tree> {
        self.image.space(space)?.tree(index)
    }

    /// Tuples of an index.
    pub(crate) fn len(&self, space: u32, index: u32) -> usize {
        let Some(rows) = self.tree(space, index) else {
            return 0;
        };
        if self.is_plain(space, index) {
            return rows.len();
        }
        if let [only] = self.layers {
            let changes = only.changes_of(space, index).into_iter().flatten();
            let difference = changes.fold(0, |sum: isize, (key, change)| {
                sum + isize::from(change.is_some()) - isize::from(rows.get(key).is_some())
            });
            return rows.len().saturating_add_signed(difference);
        }
        self.range(space, index, (Bound::Unbounded, Bound::Unbounded), false)
            .count()
    }

    /// The tuples of an index between two bounds, in either direction.
    pub(crate) fn range(
        &self,
        space: u32,
        index: u32,
        bounds: (Bound<&Key>, Bound<&Key>),
        is_reverse: bool,
    ) -> Walk<'a> {
        let rows = self.tree(space, index);
        let image = rows.map(|rows| rows.range(bounds, is_reverse));
        let mut sources: Vec<Source<'a>> = Vec::new();
        if !self.is_plain(space, index) {
            let layers = self.layers.iter();
            let changes = layers.filter_map(|layer| layer.changes_of(space, index));
            sources.extend(changes.map(|changes| Source {
                changes: changes.range::<Key, _>(bounds),
                next: None,
            }));
        }
        let mut walk = Walk {
            image,
            pending: None,
            sources,
            is_reverse,
        };
        if !walk.sources.is_empty() {
            walk.pending = walk.advance_image();
            for source in &mut walk.sources {
                source.advance(is_reverse);
            }
        }
        walk
    }
}

/// Tuples in order, merged from the image and the layers above it.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    image: Option<tree::Range<'a>>,
    /// The image's next tuple, if there are sources to compare it with.
    pending: Option<(KeyView<'a>, &'a Tuple)>,
    /// From the topmost layer down; empty if there is nothing to merge.
    sources: Vec<Source<'a>>,
    is_reverse: bool,
}

#[derive(Debug)]
struct Source<'a> {
    changes: btree_map::Range<'a, Key, Change>,
    next: Option<(KeyView<'a>, &'a Change)>,
}

impl Source<'_> {
    fn advance(&mut self, is_reverse: bool) {
        let next = if is_reverse {
            self.changes.next_back()
        } else {
            self.changes.next()
        };
        self.next = next.map(|(key, change)| (key.view(), change));
    }
}

impl<'a> Walk<'a> {
    /// The tuples of one tree between two bounds.
    pub(crate) fn over(
        rows: &'a Tree,
        bounds: (Bound<&Key>, Bound<&Key>),
        is_reverse: bool,
    ) -> Self {
        let image = Some(rows.range(bounds, is_reverse));
        Self {
            image,
            pending: None,
            sources: Vec::new(),
            is_reverse,
        }
    }

    #[inline]
    fn advance_image(&mut self) -> Option<(KeyView<'a>, &'a Tuple)> {
        self.image.as_mut()?.next()
    }

    fn next_merged(&mut self) -> Option<(KeyView<'a>, &'a Tuple)> {
        loop {
            let ahead = self
                .sources
                .iter()
                .filter_map(|source| source.next.map(|(key, _)| key));
            let keys = ahead.chain(self.pending.map(|(key, _)| key));
            let key = if self.is_reverse {
                keys.max()?
            } else {
                keys.min()?
            };
            let mut answer: Option<Option<&'a Tuple>> = None;
            for source in &mut self.sources {
                if let Some((_, change)) = source.next.filter(|(own, _)| *own == key) {
                    answer.get_or_insert(change.as_ref());
                    source.advance(self.is_reverse);
                }
            }
            if let Some((_, tuple)) = self.pending.filter(|(own, _)| *own == key) {
                answer.get_or_insert(Some(tuple));
                self.pending = self.advance_image();
            }
            if let Some(tuple) = answer.flatten() {
                return Some((key, tuple));
            }
        }
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = (KeyView<'a>, &'a Tuple);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.sources.is_empty() {
            self.advance_image()
        } else {
            self.next_merged()
        }
    }
}
