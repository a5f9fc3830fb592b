//! The rows of a system space, in the order of each of its indexes.

use std::cmp::Ordering;

use vestibule_wire::request::IteratorType;

use super::row::{self, Part, SystemRow};
use super::system::SystemSpace;
use crate::shared_tree::{Ascending, Descending, SharedTree};

/// The rows of a system space. To clone it takes the same time whatever it holds.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) system: &'static SystemSpace,
    /// As the description lists them.
    indexes: Box<[SharedTree<SystemRow>]>,
}

impl Table {
    /// Of a space without rows.
    pub(super) fn of(system: &'static SystemSpace) -> Self {
        let indexes = system.indexes.iter().map(|_| SharedTree::default());
        Self {
            system,
            indexes: indexes.collect(),
        }
    }

    /// Puts a row in place of the one with its primary key; one without keys is left out.
    pub(super) fn put(&mut self, tuple: &[u8]) {
        let Some(row) = row::row(self.system, tuple) else {
            return;
        };
        self.take(&row);
        for (at, index) in self.indexes.iter_mut().enumerate() {
            index.insert(row.clone(), |own| place(own, at).cmp(&place(&row, at)));
        }
    }

    /// Removes the row with the primary key of this one.
    pub(super) fn remove(&mut self, tuple: &[u8]) {
        if let Some(row) = row::row(self.system, tuple) {
            self.take(&row);
        }
    }

    fn take(&mut self, row: &SystemRow) {
        let Some((primary, others)) = self.indexes.split_first_mut() else {
            return;
        };
        if let Some(old) = primary.remove(|own| own.keys[0].cmp(&row.keys[0])) {
            for (index, at) in others.iter_mut().zip(1..) {
                index.remove(|own| place(own, at).cmp(&place(&old, at)));
            }
        }
    }

    /// The rows that an index has for a key, in the order of the iterator, from behind a row that
    /// was seen already. It begins where the first of them is.
    pub(super) fn walk<'a>(
        &'a self,
        at: usize,
        iterator: IteratorType,
        key: &'a [Part],
        after: Option<&SystemRow>,
    ) -> impl Iterator<Item = &'a SystemRow> {
        let rows = &self.indexes[at];
        let is_reverse = matches!(
            iterator,
            IteratorType::Req | IteratorType::Lt | IteratorType::Le | IteratorType::PreviousPrefix
        );
        let after = after.map(|row| place(row, at));
        let walk = if is_reverse {
            Walk::Descending(rows.until(|row| {
                row.side(at, iterator, key) != Ordering::Greater
                    && after.is_none_or(|after| place(row, at) < after)
            }))
        } else {
            Walk::Ascending(rows.from(|row| {
                row.side(at, iterator, key) == Ordering::Less
                    || after.is_some_and(|after| place(row, at) <= after)
            }))
        };
        walk.take_while(move |row| row.matches(at, iterator, key))
    }
}

/// Where a row stands in an index: no two stand at one place.
fn place(row: &SystemRow, at: usize) -> (&[Part], &[Part]) {
    (&row.keys[at], &row.keys[0])
}

enum Walk<'a> {
    Ascending(Ascending<'a, SystemRow>),
    Descending(Descending<'a, SystemRow>),
}

impl<'a> Iterator for Walk<'a> {
    type Item = &'a SystemRow;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Ascending(rows) => rows.next(),
            Self::Descending(rows) => rows.next(),
        }
    }
}
