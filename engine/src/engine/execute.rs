//! Data requests, on Tx's thread, inside a turn.
//!
//! ```text
//!   space ─▶ may it be written? ─▶ index ─▶ key, tuple ─▶ look through the turn ─▶ change the turn
//!    36         7, 113             35, 148   18, 19, 23…        3
//! ```

use std::ops::Bound;
use std::sync::Arc;

use vestibule_actors::engine::{Outcome, Reply};
use vestibule_wire::Error;
use vestibule_wire::msgpack::Reader;
use vestibule_wire::request::{Body, Delete, IdOrName, Select, Store, Update, Upsert};

use crate::engine::EmbeddedEngine;
use crate::errors;
use crate::limits::REPLY_SIZE_MAX;
use crate::model::index::{IndexDef, PRIMARY};
use crate::model::key::Key;
use crate::model::space::SpaceDef;
use crate::model::tuple::Tuple;
use crate::query::scan::{KeyRange, Plan, check_iterator};
use crate::query::update::{self, Mode};
use crate::schema::privileges::Privileges;
use crate::schema::system;
use crate::store::snapshot::Snapshot;
use crate::transaction::Reads;

/// What happens to a tuple that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    Refuse,
    Replace,
}

impl EmbeddedEngine {
    #[inline]
    pub(crate) fn dispatch(
        &mut self,
        body: &Body<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<Outcome, Error> {
        match body {
            Body::Select(select) => self.select(select, reply),
            Body::Insert(store) => self.store(store, Existing::Refuse, reply),
            Body::Replace(store) => self.store(store, Existing::Replace, reply),
            Body::Update(update) => self.update(update, reply),
            Body::Delete(delete) => self.delete(delete, reply),
            Body::Upsert(upsert) => self.upsert(upsert, reply),
            _ => Err(errors::unsupported("this request in the engine")),
        }
    }

    fn select(&self, select: &Select<'_>, reply: &mut Reply<'_>) -> Result<Outcome, Error> {
        // These have indexes that only the catalog knows.
        if is_system(select.space) && self.catalog.has_system_space(select.space) {
            self.saw(Reads::add_catalog);
            let user = &self.effective_user().name;
            self.catalog.select(select, user, reply.body())?;
            return Ok(Outcome::Done);
        }
        check_iterator(select)?;
        self.check_read(select.space)?;
        self.look(|snapshot| self.select_rows(snapshot, select, reply))
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
                self.saw_point(space, index, key);
                last = snapshot.find(space, index, key);
                last.into_iter().for_each(|tuple| rows.push(tuple));
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
                    rows.push(tuple);
                    left -= 1;
                    (last, until) = (Some(tuple), Some(key));
                }
                self.saw_range(space, index, || range.seen(until.filter(|_| left == 0)));
            }
            KeyRange::Point(_) | KeyRange::Bounded(_) => {}
        }
        let last = last.filter(|_| plan.fetch_position);
        rows.finish(last.map(|tuple| plan.position_of(tuple)).as_deref());
        Ok(Outcome::Done)
    }

    /// How many tuples a SELECT would return.
    ///
    /// # Errors
    ///
    /// Those of the SELECT.
    pub(crate) fn count(&self, select: &Select<'_>) -> Result<usize, Error> {
        if is_system(select.space) && self.catalog.has_system_space(select.space) {
            return self.count_shown(select);
        }
        self.check_read(select.space)?;
        self.look(|snapshot| {
            let space = snapshot.image.resolve(select.space)?;
            let plan = Plan::new(&space.def, select)?;
            let (space, index) = (space.def.id, plan.index.id);
            match &plan.range {
                KeyRange::Point(key) => self.saw_point(space, index, key),
                KeyRange::Bounded(range) => self.saw_range(space, index, || range.seen(None)),
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
    /// 42, 36, 35, 148.
    pub(crate) fn nth(
        &self,
        space: &str,
        index: IdOrName<'_>,
        is_reverse: bool,
        at: usize,
    ) -> Result<Option<Tuple>, Error> {
        let space = self.allowed(IdOrName::Name(space), Privileges::READ)?;
        let index = space.index(index)?.id;
        let everything = (Bound::Unbounded, Bound::Unbounded);
        self.saw_range(space.id, index, || (Bound::Unbounded, Bound::Unbounded));
        Ok(self.look(|snapshot| {
            let mut walk = snapshot.range(space.id, index, everything, is_reverse);
            walk.nth(at).map(|(_, tuple)| tuple.clone())
        }))
    }

    /// How many rows of a system space are shown to the effective user.
    fn count_shown(&self, select: &Select<'_>) -> Result<usize, Error> {
        self.saw(Reads::add_catalog);
        let mut body = Vec::new();
        self.catalog
            .select(select, &self.effective_user().name, &mut body)?;
        let mut reader = Reader::new(&body);
        let count = reader
            .read_map_len()
            .and_then(|_| reader.read_uint())
            .and_then(|_| reader.read_array_len());
        Ok(count.map_or(0, |count| count as usize))
    }

    /// Checks a key that has to be whole.
    ///
    /// # Errors
    ///
    /// 36, 35, 41, 19, 18.
    pub(crate) fn check_whole_key(
        &self,
        space: IdOrName<'_>,
        index: IdOrName<'_>,
        key: &[u8],
    ) -> Result<(), Error> {
        let index = self.allowed(space, Privileges::READ)?.index(index)?;
        index.whole_key(key).map(drop)
    }

    /// The space that a request changes.
    #[inline]
    fn writable(&self, space: IdOrName<'_>) -> Result<&Arc<SpaceDef>, Error> {
        let space = self.allowed(space, Privileges::WRITE)?;
        if system::viewed(space.id).is_some() {
            return Err(errors::view_is_read_only(&space.name));
        }
        self.check_writable()?;
        if let Some(own) = &self.active {
            self.transactions.check_room(own)?;
        }
        Ok(space)
    }

    /// Checks a tuple that is to be stored, its fields before whether there is an index for it.
    #[inline]
    fn admit(&self, space: &SpaceDef, tuple: &[u8]) -> Result<Key, Error> {
        space.check(tuple)?;
        let primary = space.primary()?;
        if tuple.len() > self.options.tuple_size_max {
            return Err(errors::tuple_too_large(tuple.len()));
        }
        primary
            .key_of(tuple)
            .map_err(|_| Error::invalid_msgpack("packet body"))
    }

    /// Everybody may write `_truncate`, which has a row for each space that was ever truncated. Only
    /// who may know of the space finds out whether it has.
    #[inline]
    fn check_truncated_is_shown(&self, space: &SpaceDef, key: &Key) -> Result<(), Error> {
        if space.id != system::TRUNCATE {
            return Ok(());
        }
        let id = u32::try_from(key.first_number()).unwrap_or(u32::MAX);
        if self.effective_user().shows_space(id) {
            return Ok(());
        }
        let rights = self.effective_user();
        rights.check_space(Privileges::WRITE, IdOrName::Id(id), None)
    }

    #[inline]
    fn store(
        &mut self,
        store: &Store<'_>,
        existing: Existing,
        reply: &mut Reply<'_>,
    ) -> Result<Outcome, Error> {
        let Some(generator) = self.writable(store.space)?.generator else {
            return self.store_whole(store, existing, reply);
        };
        self.check_generator(generator)?;
        let filled = self.generate(generator, store.tuple)?;
        let tuple = filled.as_deref().unwrap_or(store.tuple);
        self.store_whole(&Store { tuple, ..*store }, existing, reply)
    }

    /// Stores a tuple as it is in a space that may be written.
    #[inline]
    pub(crate) fn store_whole(
        &mut self,
        store: &Store<'_>,
        existing: Existing,
        reply: &mut Reply<'_>,
    ) -> Result<Outcome, Error> {
        let space = self.definitions.resolve(store.space)?;
        let key = self.admit(space, store.tuple)?;
        self.check_truncated_is_shown(space, &key)?;
        if existing == Existing::Refuse {
            self.check_free(space, space.primary()?, &key, store.tuple)?;
        }
        let tuple: Tuple = store.tuple.into();
        if system::is_system(space.id) {
            return self.store_system(&space.clone(), key, Some(tuple), reply);
        }
        if !space.secondaries.is_empty() {
            let space = space.clone();
            let old = self.stored(space.id, PRIMARY, &key);
            self.change(&space, key, old.as_ref(), Some(tuple))?;
            return push(store.tuple, reply);
        }
        let space = space.id;
        self.put(space, key, Some(tuple));
        push(store.tuple, reply)
    }

    /// Changes one tuple of a user's space, in every index.
    ///
    /// # Errors
    ///
    /// 3 if the new tuple has another tuple's key in a unique index; nothing is changed then.
    fn change(
        &mut self,
        space: &Arc<SpaceDef>,
        key: Key,
        old: Option<&Tuple>,
        new: Option<Tuple>,
    ) -> Result<(), Error> {
        if !space.secondaries.is_empty() {
            self.change_secondaries(space, old, new.as_ref())?;
        }
        self.put(space.id, key, new);
        Ok(())
    }

    /// The tuple with this key in an index.
    fn stored(&self, space: u32, index: u32, key: &Key) -> Option<Tuple> {
        self.saw_point(space, index, key);
        self.look(|snapshot| snapshot.find(space, index, key).cloned())
    }

    fn change_secondaries(
        &mut self,
        space: &SpaceDef,
        old: Option<&Tuple>,
        new: Option<&Tuple>,
    ) -> Result<(), Error> {
        let mut moves = Vec::with_capacity(space.secondaries.len());
        for index in &space.secondaries {
            let key_of = |tuple: Option<&Tuple>| {
                let key = tuple.map(|tuple| index.stored_key(tuple)).transpose();
                key.map(Option::flatten)
                    .map_err(|_| Error::invalid_msgpack("packet body"))
            };
            let (from, to) = (key_of(old)?, key_of(new)?);
            if let (Some(key), Some(tuple)) = (&to, new)
                && index.is_unique
                && from != to
            {
                self.check_free(space, index, key, tuple)?;
            }
            moves.push((index.id, from, to));
        }
        for (index, from, to) in moves {
            if let Some(from) = from.filter(|from| to.as_ref() != Some(from)) {
                self.put_secondary(space.id, index, from, None);
            }
            if let Some(to) = to {
                self.put_secondary(space.id, index, to, new.cloned());
            }
        }
        Ok(())
    }

    /// Checks that no tuple has this key.
    fn check_free(
        &self,
        space: &SpaceDef,
        index: &IndexDef,
        key: &Key,
        tuple: &[u8],
    ) -> Result<(), Error> {
        self.saw_point(space.id, index.id, key);
        self.look(|snapshot| match snapshot.find(space.id, index.id, key) {
            Some(old) => {
                let error = errors::duplicate(&index.name, &space.name, old, tuple);
                Err(self.without_rows(space, key, error))
            }
            None => Ok(()),
        })
    }

    /// A change of a system space by a client: the only one of its turn.
    fn store_system(
        &mut self,
        space: &SpaceDef,
        key: Key,
        new: Option<Tuple>,
        reply: &mut Reply<'_>,
    ) -> Result<Outcome, Error> {
        let changed = self.alter(|engine| engine.change_system(space, key, new.clone(), reply))?;
        let Some(old) = changed else {
            return Ok(Outcome::CommitFirst);
        };
        match new.or(old) {
            Some(tuple) => push(&tuple, reply),
            None => nothing(reply),
        }
    }

    fn update(&mut self, update: &Update<'_>, reply: &mut Reply<'_>) -> Result<Outcome, Error> {
        let space = self.writable(update.space)?;
        let Some((key, old)) = self.locate(space, update.index, update.key)? else {
            return nothing(reply);
        };
        let names = |name: &str| space.field_number(name);
        let new = update::apply(&old, update.ops, update.index_base, &names, Mode::Update)?;
        let new_key = self.admit(space, &new)?;
        if new_key != key {
            self.check_free(space, space.primary()?, &new_key, &new)?;
            return Err(errors::primary_key_update(&space.name));
        }
        let space = space.clone();
        if system::is_system(space.id) {
            return self.store_system(&space, key, Some(new.into()), reply);
        }
        self.change(&space, key, Some(&old), Some(new.as_slice().into()))?;
        push(&new, reply)
    }

    /// The tuple that a client's whole key leads to, with its key in the primary index.
    fn locate(
        &self,
        space: &SpaceDef,
        index: IdOrName<'_>,
        key: &[u8],
    ) -> Result<Option<(Key, Tuple)>, Error> {
        let index = space.index(index)?;
        let key = index.whole_key(key)?;
        self.check_truncated_is_shown(space, &key)?;
        let Some(tuple) = self.stored(space.id, index.id, &key) else {
            return Ok(None);
        };
        if index.id == PRIMARY {
            return Ok(Some((key, tuple)));
        }
        let key = space.primary()?.key_of(&tuple);
        let key = key.map_err(|_| Error::invalid_msgpack("packet body"))?;
        Ok(Some((key, tuple)))
    }

    fn delete(&mut self, delete: &Delete<'_>, reply: &mut Reply<'_>) -> Result<Outcome, Error> {
        let space = self.writable(delete.space)?;
        let Some((key, old)) = self.locate(space, delete.index, delete.key)? else {
            return nothing(reply);
        };
        let space = space.clone();
        if system::is_system(space.id) {
            return self.store_system(&space, key, None, reply);
        }
        self.change(&space, key, Some(&old), None)?;
        push(&old, reply)
    }

    fn upsert(&mut self, upsert: &Upsert<'_>, reply: &mut Reply<'_>) -> Result<Outcome, Error> {
        let space = self.writable(upsert.space)?;
        let key = self.admit(space, upsert.tuple)?;
        self.check_truncated_is_shown(space, &key)?;
        let names = |name: &str| space.field_number(name);
        let old = self.stored(space.id, PRIMARY, &key);
        let new = match &old {
            None => {
                update::check(upsert.ops, upsert.index_base, &names)?;
                upsert.tuple.to_vec()
            }
            Some(old) => {
                let base = upsert.index_base;
                let new = update::apply(old, upsert.ops, base, &names, Mode::Upsert)?;
                if self.admit(space, &new)? != key {
                    log::debug!("{}", errors::primary_key_update(&space.name));
                    return nothing(reply);
                }
                new
            }
        };
        let space = space.clone();
        if system::is_system(space.id) {
            let start = reply.body().len();
            let done = self.store_system(&space, key, Some(new.into()), reply)?;
            // UPSERT does not tell what it stored.
            reply.body().truncate(start);
            return if done == Outcome::Done {
                nothing(reply)
            } else {
                Ok(done)
            };
        }
        self.change(&space, key, old.as_ref(), Some(new.into()))?;
        nothing(reply)
    }
}

fn is_system(space: IdOrName<'_>) -> bool {
    match space {
        IdOrName::Id(id) => system::is_system(id),
        // Names of users' spaces may begin like this too; the catalog does not know them then.
        IdOrName::Name(name) => name.starts_with('_'),
    }
}

#[inline]
fn push(tuple: &[u8], reply: &mut Reply<'_>) -> Result<Outcome, Error> {
    let mut rows = reply.rows();
    rows.push(tuple);
    rows.finish(None);
    Ok(Outcome::Done)
}

#[inline]
fn nothing(reply: &mut Reply<'_>) -> Result<Outcome, Error> {
    reply.rows().finish(None);
    Ok(Outcome::Done)
}
