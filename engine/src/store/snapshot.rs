//! The data as seen through layers: the image, and the changes above it that are not durable yet.

use std::collections::btree_map;
use std::ops::Bound;

use super::image::Image;
use super::layer::{Change, Layer};
use super::tree::{self, Tree};
use crate::model::index::PRIMARY;
use crate::model::key::{Key, KeyView};
use crate::model::tuple::Tuple;
use crate::schema::system::read::{SystemRows, counted};

/// The data as seen through layers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Snapshot<'a> {
    /// From the topmost down.
    pub(crate) layers: &'a [&'a Layer],
    pub(crate) image: &'a Image,
}

impl<'a> Snapshot<'a> {
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
    ) -> MergedRange<'a> {
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
        let mut merged = MergedRange {
            image,
            pending: None,
            sources,
            is_reverse,
        };
        if !merged.sources.is_empty() {
            merged.pending = merged.advance_image();
            for source in &mut merged.sources {
                source.advance(is_reverse);
            }
        }
        merged
    }
}

impl<'a> SystemRows<'a> for Snapshot<'a> {
    fn row(self, space: u32, key: &Key) -> Option<&'a [u8]> {
        self.get(space, key).map(|row| &**row)
    }

    fn rows_by(self, space: u32, index: u32, prefix: Key) -> impl Iterator<Item = &'a [u8]> {
        let bounds = (Bound::Included(&prefix), Bound::Unbounded);
        let rows = self.range(space, index, bounds, false);
        rows.take_while(move |(key, _)| prefix.is_prefix_of(*key))
            .map(|(_, row)| counted(row))
    }

    fn last(self, space: u32) -> Option<&'a [u8]> {
        let mut rows = self.range(space, PRIMARY, (Bound::Unbounded, Bound::Unbounded), true);
        rows.next().map(|(_, row)| counted(row))
    }
}

/// Tuples in order, merged from the image and the layers above it.
#[derive(Debug)]
pub(crate) struct MergedRange<'a> {
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

impl<'a> MergedRange<'a> {
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

impl<'a> Iterator for MergedRange<'a> {
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
