//! SELECT, and what procedures read like it.

use std::ops::Bound;

use vestibule_actors::catalog::User;
use vestibule_actors::engine::{Outcome, Reply};
use vestibule_wire::Error;
use vestibule_wire::msgpack::{DecodeError, Reader};
use vestibule_wire::reply::Rows;
use vestibule_wire::request::{After, IdOrName, IteratorType, Select};

use super::EmbeddedEngine;
use crate::access::rights::Rights;
use crate::errors;
use crate::limits::REPLY_SIZE_MAX;
use crate::model::index::IndexDef;
use crate::model::space::SpaceDef;
use crate::model::tuple::Tuple;
use crate::privileges::Privileges;
use crate::query::scan::{KeyRange, Plan, check_iterator};
use crate::schema::system;
use crate::store::snapshot::Snapshot;
use crate::transaction::Reads;

impl EmbeddedEngine {
    pub(super) fn select(
        &self,
        select: &Select<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<Outcome, Error> {
        if self.is_shown_by_catalog(select.space) {
            return self.select_shown(select, self.user.user(), reply);
        }
        check_iterator(select)?;
        self.check_read(select.space)?;
        self.look(|snapshot| self.select_rows(snapshot, select, reply))
    }

    /// The same for work of the embedder, outside of transactions: everything may be read, whatever
    /// was granted.
    ///
    /// # Errors
    ///
    /// Those of SELECT, but for rights.
    pub(crate) fn select_everything(
        &self,
        select: &Select<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<Outcome, Error> {
        if self.is_shown_by_catalog(select.space) {
            return self.select_shown(select, &Rights::everything().user(), reply);
        }
        check_iterator(select)?;
        self.look(|snapshot| self.select_rows(snapshot, select, reply))
    }

    /// Some system spaces have indexes that only the catalog knows.
    #[inline]
    fn is_shown_by_catalog(&self, space: IdOrName<'_>) -> bool {
        is_system(space) && self.schema.catalog().has_system_space(space)
    }

    fn select_shown(
        &self,
        select: &Select<'_>,
        user: &User,
        reply: &mut Reply<'_>,
    ) -> Result<Outcome, Error> {
        self.workspace.saw(Reads::add_catalog);
        let catalog = self.schema.catalog();
        catalog.select(select, user, || reply.rows())?;
        Ok(Outcome::Done)
    }

    fn select_rows(
        &self,
        snapshot: Snapshot<'_>,
        select: &Select<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<Outcome, Error> {
        let space = snapshot.image.resolve(select.space)?;
        let plan = Plan::new(&space.def, select)?;
        let (space, index) = (space.def.id, plan.index.id);
        let mut rows = reply.rows();
        let mut last = None;
        match &plan.range {
            KeyRange::Point(key) if plan.offset == 0 && plan.limit > 0 => {
                self.workspace.saw_point(space, index, key);
                let found = snapshot.find(space, index, key);
                found.into_iter().for_each(|tuple| tuple.push_to(&mut rows));
                last = found.map(|tuple| (tuple, key.view()));
            }
            KeyRange::Bounded(range) if plan.limit > 0 => {
                let walk = snapshot.range(space, index, range.bounds(), range.is_reverse);
                let walk = walk.skip(usize::try_from(plan.offset).unwrap_or(usize::MAX));
                let limit = usize::try_from(plan.limit).unwrap_or(usize::MAX);
                let (mut left, mut until) = (limit, None);
                for (key, tuple) in walk.take(limit) {
                    if rows.size() + tuple.len() > REPLY_SIZE_MAX {
                        return Err(errors::reply_too_large(rows.size() + tuple.len()));
                    }
                    tuple.push_to(&mut rows);
                    left -= 1;
                    (last, until) = (Some((tuple, key)), Some(key));
                }
                self.workspace
                    .saw_range(space, index, || range.seen(until.filter(|_| left == 0)));
            }
            KeyRange::Point(_) | KeyRange::Bounded(_) => {}
        }
        let last = last.filter(|_| plan.fetch_position);
        let position = last.map(|(tuple, key)| plan.position_of(tuple, key));
        rows.finish(position.as_deref());
        Ok(Outcome::Done)
    }

    /// How many tuples a SELECT would return.
    ///
    /// # Errors
    ///
    /// Those of the SELECT.
    pub(crate) fn count(&self, select: &Select<'_>) -> Result<usize, Error> {
        if self.is_shown_by_catalog(select.space) {
            return self.count_shown(select);
        }
        self.check_read(select.space)?;
        self.look(|snapshot| {
            let space = snapshot.image.resolve(select.space)?;
            let plan = Plan::new(&space.def, select)?;
            let (space, index) = (space.def.id, plan.index.id);
            match &plan.range {
                KeyRange::Point(key) => self.workspace.saw_point(space, index, key),
                KeyRange::Bounded(range) => {
                    self.workspace.saw_range(space, index, || range.seen(None))
                }
            }
            Ok(match &plan.range {
                KeyRange::Point(key) => usize::from(snapshot.find(space, index, key).is_some()),
                KeyRange::Bounded(range) if range.is_everything() => snapshot.len(space, index),
                KeyRange::Bounded(range) => snapshot
                    .range(space, index, range.bounds(), range.is_reverse)
                    .count(),
            })
        })
    }

    /// A tuple by its place in an index, from either end.
    ///
    /// # Errors
    ///
    /// `ErrorCode::ACCESS_DENIED` without the right to read, `ErrorCode::NO_SUCH_SPACE` if there is
    /// no such space, `ErrorCode::NO_SUCH_INDEX_ID` or `ErrorCode::NO_SUCH_INDEX_NAME` if there is
    /// no such index.
    pub(crate) fn nth(
        &self,
        space: &str,
        index: IdOrName<'_>,
        is_reverse: bool,
        at: usize,
    ) -> Result<Option<Tuple>, Error> {
        let space = self.allowed(IdOrName::Name(space), Privileges::READ)?;
        let index = space.index(index)?;
        if self
            .schema
            .catalog()
            .has_system_space(IdOrName::Id(space.id))
        {
            let count = self.count_shown(&all_rows(space, index))?;
            let at = if is_reverse {
                count.checked_sub(at + 1)
            } else {
                Some(at)
            };
            return at.map_or(Ok(None), |at| self.shown_row(space, index, &[0x90], at));
        }
        let index = index.id;
        let everything = (Bound::Unbounded, Bound::Unbounded);
        self.workspace
            .saw_range(space.id, index, || (Bound::Unbounded, Bound::Unbounded));
        Ok(self.look(|snapshot| {
            let mut walk = snapshot.range(space.id, index, everything, is_reverse);
            walk.nth(at).map(|(_, tuple)| tuple.clone())
        }))
    }

    /// How many rows of a system space are shown to the effective user.
    fn count_shown(&self, select: &Select<'_>) -> Result<usize, Error> {
        let body = self.shown_rows(select)?;
        Ok(tuples_of(&body).map_or(0, |(count, _)| count as usize))
    }

    /// The body of a SELECT on a system space, for the effective user.
    fn shown_rows(&self, select: &Select<'_>) -> Result<Vec<u8>, Error> {
        self.workspace.saw(Reads::add_catalog);
        let (catalog, mut body) = (self.schema.catalog(), Vec::new());
        catalog.select(select, self.user.user(), || Rows::begin(&mut body))?;
        Ok(body)
    }

    /// Checks a key that has to be whole, of a space that the request may read.
    ///
    /// # Errors
    ///
    /// Those of [`check_whole_key`](Self::check_whole_key); `ErrorCode::ACCESS_DENIED` without the
    /// right to read.
    pub(crate) fn check_readable_key(
        &self,
        space: IdOrName<'_>,
        index: IdOrName<'_>,
        key: &[u8],
    ) -> Result<(), Error> {
        let space = self.allowed(space, Privileges::READ)?;
        space.index(index)?.whole_key(key).map(drop)
    }

    /// Checks a key that has to be whole.
    ///
    /// # Errors
    ///
    /// `ErrorCode::NO_SUCH_SPACE`, `ErrorCode::NO_SUCH_INDEX_ID` or `ErrorCode::NO_SUCH_INDEX_NAME`
    /// if there is no such space or index, `ErrorCode::MORE_THAN_ONE_TUPLE` if the index is not
    /// unique, `ErrorCode::EXACT_MATCH` for another number of parts, `ErrorCode::KEY_PART_TYPE` for
    /// a part of another type.
    pub(crate) fn check_whole_key(
        &self,
        space: IdOrName<'_>,
        index: IdOrName<'_>,
        key: &[u8],
    ) -> Result<(), Error> {
        let space = self.schema.resolve(space)?;
        space.index(index)?.whole_key(key).map(drop)
    }

    /// A row of a system space by its place among those that match a key, of those that the
    /// effective user may see.
    pub(super) fn shown_row(
        &self,
        space: &SpaceDef,
        index: &IndexDef,
        key: &[u8],
        at: usize,
    ) -> Result<Option<Tuple>, Error> {
        let body = self.shown_rows(&Select {
            key,
            offset: at as u64,
            limit: 1,
            ..all_rows(space, index)
        })?;
        Ok(match tuples_of(&body) {
            Ok((1, reader)) => Some(reader.rest().into()),
            _ => None,
        })
    }
}

/// How many tuples the body of a reply has, and what stands at the first of them.
pub(crate) fn tuples_of(body: &[u8]) -> Result<(u32, Reader<'_>), DecodeError> {
    let mut reader = Reader::new(body);
    reader.read_map_len()?;
    reader.read_uint()?;
    Ok((reader.read_array_len()?, reader))
}

/// Everything that matches, from the start.
fn all_rows<'a>(space: &SpaceDef, index: &IndexDef) -> Select<'a> {
    Select {
        space: IdOrName::Id(space.id),
        index: IdOrName::Id(index.id),
        limit: u64::from(u32::MAX),
        offset: 0,
        iterator: IteratorType::Eq as u64,
        key: &[0x90],
        fetch_position: false,
        after: After::Start,
    }
}

fn is_system(space: IdOrName<'_>) -> bool {
    match space {
        IdOrName::Id(id) => system::is_system(id),
        // Names of users' spaces may begin like this too; the catalog does not know them then.
        IdOrName::Name(name) => name.starts_with('_'),
    }
}
