//! SELECTs on the catalog, in steps: sessions answer them, who have others to see to.
//!
//! ```text
//!   step: plan (index, key, who sees what) ─▶ walk from behind the last row that was looked at
//!                                              ├ enough rows looked at, enough bytes ─▶ later
//!                                              └ the limit, the end ─▶ done
//! ```
//!
//! A step looks at a bounded number of rows, whether they are shown, skipped or hidden. Between two
//! of them the scan keeps the snapshot that it began with.

use std::sync::Arc;

use vestibule_wire::reply::{ReplySink, Rows};
use vestibule_wire::request::{IdOrName, IteratorType, Select};
use vestibule_wire::{Error, ErrorCode};

use super::row::{self, Part, SystemRow};
use super::table::Table;
use super::user::User;
use super::{Catalog, RowVisibility, Shown, paging};
use crate::engine::body::ReplyBody;
use crate::limits::{CATALOG_STEP_BYTES_MAX, CATALOG_STEP_ROWS_MAX};

/// A SELECT on the catalog, and where it stands.
#[derive(Debug)]
pub(crate) struct CatalogScan {
    /// As the first step saw it.
    catalog: Arc<Catalog>,
    place: Place,
    has_begun: bool,
    /// Rows written so far.
    written: u32,
}

/// Where a walk stands.
#[derive(Debug, Default)]
struct Place {
    /// The last row that was looked at.
    seen: Option<SystemRow>,
    /// The last one that was written.
    last: Option<SystemRow>,
    /// Rows skipped so far, for the offset.
    skipped: u64,
}

/// What one step may take.
struct StepBounds {
    rows: usize,
    bytes: usize,
}

impl StepBounds {
    const STEP: Self = Self {
        rows: CATALOG_STEP_ROWS_MAX,
        bytes: CATALOG_STEP_BYTES_MAX,
    };
    const ALL: Self = Self {
        rows: usize::MAX,
        bytes: usize::MAX,
    };
}

impl CatalogScan {
    /// Before its first step.
    pub(crate) fn new(catalog: Arc<Catalog>) -> Self {
        Self {
            catalog,
            place: Place::default(),
            has_begun: false,
            written: 0,
        }
    }

    /// One bounded step of a SELECT by this user, appending to the reply's body. It is the same
    /// SELECT and the same user each time, and the body has what was written before. True: it is
    /// complete.
    ///
    /// # Errors
    ///
    /// Those of [`Catalog::select`].
    pub(crate) fn step(
        &mut self,
        select: &Select<'_>,
        user: &User,
        body: &mut ReplyBody<'_>,
    ) -> Result<bool, Error> {
        let plan = self.catalog.plan(select, user)?;
        let mut rows = if self.has_begun {
            Rows::resume(body, 0, self.written)
        } else {
            Rows::begin(body)
        };
        self.has_begun = true;
        if !plan.walk(&mut self.place, &mut rows, &StepBounds::STEP) {
            self.written = rows.count();
            return Ok(false);
        }
        rows.finish(plan.position(&self.place).as_deref());
        Ok(true)
    }
}

impl Catalog {
    /// Answers a SELECT on a system space, with what this user may see. It looks at the rows that
    /// it returns or skips, and at those between them that the user may not see.
    ///
    /// # Errors
    ///
    /// In the order in which they are looked for:
    /// * [`ErrorCode::NO_SUCH_SPACE`] if sessions do not answer for the space,
    /// * [`ErrorCode::ACCESS_DENIED`] if the user may not read it,
    /// * [`ErrorCode::NO_SUCH_INDEX_NAME`] if it has no index of the name,
    /// * [`ErrorCode::ILLEGAL_PARAMS`] for an iterator that does not exist,
    /// * [`ErrorCode::NO_SUCH_INDEX_ID`] if it has no index of the number,
    /// * [`ErrorCode::KEY_PART_COUNT`] or [`ErrorCode::KEY_PART_TYPE`] for a key that does not fit,
    /// * [`ErrorCode::UNSUPPORTED_INDEX_FEATURE`] for an iterator of other kinds of indexes,
    /// * [`ErrorCode::ITERATOR_POSITION`] for a position outside of the range.
    pub fn select<'a, S: ReplySink + 'a>(
        &self,
        select: &Select<'_>,
        user: &User,
        begin: impl FnOnce() -> Rows<'a, S>,
    ) -> Result<(), Error> {
        let plan = self.plan(select, user)?;
        let (mut rows, mut place) = (begin(), Place::default());
        plan.walk(&mut place, &mut rows, &StepBounds::ALL);
        rows.finish(plan.position(&place).as_deref());
        Ok(())
    }

    fn plan(&self, select: &Select<'_>, user: &User) -> Result<Plan<'_>, Error> {
        let space = self.find(select.space).ok_or_else(|| match select.space {
            IdOrName::Id(id) => Error::no_such_space(id),
            IdOrName::Name(name) => Error::no_such_space(name),
        })?;
        let (table, system) = (space.table, space.table.system);
        let visible = self.visibility.rows(user, space.id, space.name)?;
        if let IdOrName::Id(_) = select.index {
            IteratorType::from_code(select.iterator)?;
        }
        let at = space.resolve_index(select.index)?;
        let iterator = IteratorType::from_code(select.iterator)?;
        let key = row::read_key(system, at, select.key)?;
        space.check_iterator(at, iterator)?;
        let after = paging::after(system, at, select)?;
        if after
            .as_ref()
            .is_some_and(|row| !row.matches(at, iterator, &key))
        {
            return Err(paging::invalid());
        }
        Ok(Plan {
            table,
            visible,
            at,
            iterator,
            key,
            after,
            offset: select.offset,
            limit: select.limit,
            fetches_position: select.fetch_position,
        })
    }
}

/// What a SELECT comes to.
struct Plan<'a> {
    table: &'a Table,
    visible: RowVisibility<'a>,
    /// The index's place in the description.
    at: usize,
    iterator: IteratorType,
    key: Vec<Part>,
    /// The row that it begins behind.
    after: Option<SystemRow>,
    offset: u64,
    limit: u64,
    fetches_position: bool,
}

impl Plan<'_> {
    /// Walks on from a place, until all is done (true) or the bounds are reached.
    fn walk<S: ReplySink>(
        &self,
        place: &mut Place,
        rows: &mut Rows<'_, S>,
        bounds: &StepBounds,
    ) -> bool {
        let after = place.seen.as_ref().or(self.after.as_ref());
        let mut walk = self.table.walk(self.at, self.iterator, &self.key, after);
        let bytes_max = rows.size().saturating_add(bounds.bytes);
        let (mut looked_at, mut seen, mut last) = (0, None, None);
        let mut is_done = true;
        while u64::from(rows.count()) < self.limit {
            if looked_at >= bounds.rows || rows.size() >= bytes_max {
                is_done = false;
                break;
            }
            let Some(row) = walk.next() else { break };
            looked_at += 1;
            seen = Some(row);
            if !self.visible.shows(&row.tuple) {
                continue;
            }
            if place.skipped < self.offset {
                place.skipped += 1;
                continue;
            }
            rows.push(&row.tuple);
            last = Some(row);
        }
        drop(walk);
        if let Some(row) = seen.cloned() {
            place.seen = Some(row);
        }
        if let Some(row) = last.cloned() {
            place.last = Some(row);
        }
        is_done
    }

    /// The position of the last row that was written, if it is asked for.
    fn position(&self, place: &Place) -> Option<Vec<u8>> {
        let last = place.last.as_ref().filter(|_| self.fetches_position);
        last.map(|row| paging::position(row, self.at))
    }
}

impl Shown<'_> {
    /// The index's place in the description.
    fn resolve_index(&self, index: IdOrName<'_>) -> Result<usize, Error> {
        let mut indexes = self.table.system.indexes.iter();
        let found = match index {
            IdOrName::Id(id) => indexes.position(|own| own.id == id),
            IdOrName::Name(name) => indexes.position(|own| own.name == name),
        };
        found.ok_or_else(|| match index {
            IdOrName::Id(id) => Error::no_such_index_id(u64::from(id), self.name),
            IdOrName::Name(name) => Error::new(
                ErrorCode::NO_SUCH_INDEX_NAME,
                format!("No index '{name}' is defined in space '{}'", self.name),
            ),
        })
    }

    /// System spaces have indexes of one kind.
    fn check_iterator(&self, at: usize, iterator: IteratorType) -> Result<(), Error> {
        use IteratorType::{BitsAllNotSet, BitsAllSet, BitsAnySet, Neighbor, Overlaps};
        if !matches!(
            iterator,
            BitsAllSet | BitsAnySet | BitsAllNotSet | Overlaps | Neighbor
        ) {
            return Ok(());
        }
        let index = self.table.system.indexes[at].name;
        // A view has the indexes of its space.
        let space = self.table.system.name;
        Err(Error::new(
            ErrorCode::UNSUPPORTED_INDEX_FEATURE,
            format!(
                "Index '{index}' (TREE) of space '{space}' (memtx) does not support requested \
                 iterator type"
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use vestibule_wire::msgpack::write_str;

    use super::*;
    use crate::engine::catalog::tests::{ByName, all, many_spaces, name_of, space_row};

    /// Steps to the end of a SELECT, each of which looks at few rows and writes few bytes.
    fn stepped(catalog: Catalog, user: &User, select: &Select<'_>) -> (Vec<u8>, usize) {
        let mut scan = CatalogScan::new(Arc::new(catalog));
        let (mut out, mut steps) = (Vec::new(), 0);
        loop {
            let before = out.len();
            row::LOOKED_AT.set(0);
            let mut body = ReplyBody::in_buffer(&mut out);
            let is_done = scan.step(select, user, &mut body).unwrap();
            steps += 1;
            let looked_at = row::LOOKED_AT.get();
            // A look-up, and each row once.
            assert!(looked_at <= CATALOG_STEP_ROWS_MAX + 64, "{looked_at} rows");
            assert!(out.len() - before <= CATALOG_STEP_BYTES_MAX + 4096);
            if is_done {
                return (out, steps);
            }
            assert!(steps < 1000, "it has to end");
        }
    }

    #[test]
    fn a_walk_through_everything_is_done_in_small_steps_with_the_same_end() {
        let catalog = many_spaces(2000);
        let mut steps = 0;
        for (iterator, index) in [
            (IteratorType::All, 0),
            (IteratorType::Le, 0),
            (IteratorType::Ge, 2),
            (IteratorType::Lt, 1),
        ] {
            for (offset, limit) in [
                (0, u64::MAX),
                (1500, 10),
                (3, 700),
                (5000, 5),
                (0, 0),
                (0, 128),
            ] {
                let select = Select {
                    index: IdOrName::Id(index),
                    iterator: iterator as u64,
                    offset,
                    limit,
                    fetch_position: true,
                    ..all(281)
                };
                let mut whole = Vec::new();
                let guest = User::guest();
                let done = catalog.select(&select, &guest, || Rows::begin(&mut whole));
                done.unwrap();
                let (found, count) = stepped(catalog.clone(), &guest, &select);
                assert!(found == whole, "{iterator:?} {index} {offset} {limit}");
                steps = steps.max(count);
            }
        }
        assert_eq!(steps, 2000 / CATALOG_STEP_ROWS_MAX + 1);
    }

    #[test]
    fn rows_that_are_hidden_and_rows_that_are_large_end_a_step_too() {
        let mut catalog = many_spaces(1000);
        catalog.set_visibility(Arc::new(ByName));
        let (found, steps) = stepped(catalog, &User::named("bob"), &all(281));
        let one = [
            &[0x81, 0x30, 0xdd, 0, 0, 0, 1][..],
            &space_row(5, 2, &name_of(5)),
        ]
        .concat();
        assert_eq!((found, steps), (one, 1000 / CATALOG_STEP_ROWS_MAX + 1));
        let mut catalog = Catalog::default();
        for id in 0..100 {
            let mut tuple = space_row(id, 1, &name_of(id));
            tuple[0] = 0x94;
            write_str(&mut tuple, &"x".repeat(4000));
            catalog.put_row(280, tuple);
        }
        let (found, steps) = stepped(catalog, &User::guest(), &all(281));
        assert!(found.len() > 400_000 && steps >= 5, "{steps} steps");
    }
}
