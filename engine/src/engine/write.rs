//! Tuples stored, changed and deleted: checked, and then changed in every index of their space.

use std::sync::Arc;

use vestibule_actors::engine::{Outcome, Reply};
use vestibule_wire::Error;
use vestibule_wire::request::{IdOrName, Store};

use super::EmbeddedEngine;
use crate::errors;
use crate::model::index::{IndexDef, PRIMARY};
use crate::model::key::Key;
use crate::model::space::SpaceDef;
use crate::model::tuple::Tuple;
use crate::privileges::Privileges;
use crate::schema::system;
use crate::transaction::workspace::IndexChange;

/// What happens to a tuple that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    Refuse,
    Replace,
}

impl EmbeddedEngine {
    /// The space that a request changes.
    #[inline]
    pub(super) fn writable(&self, space: IdOrName<'_>) -> Result<&Arc<SpaceDef>, Error> {
        let space = self.allowed(space, Privileges::WRITE)?;
        if system::viewed(space.id).is_some() {
            return Err(errors::view_is_read_only(&space.name));
        }
        // What is not durable may be changed on a replica too, and after the journal failed.
        if !space.is_temporary {
            self.check_writable()?;
        }
        self.workspace.check_room()?;
        Ok(space)
    }

    /// Checks a tuple that is to be stored, its fields before whether there is an index for it.
    #[inline]
    pub(super) fn admit(&self, space: &SpaceDef, tuple: &[u8]) -> Result<Key, Error> {
        space.check(tuple)?;
        let primary = space.primary()?;
        if tuple.len() > self.options.tuple_size_max {
            return Err(errors::tuple_too_large(tuple.len()));
        }
        let key = primary
            .key_of(tuple)
            .map_err(|_| Error::invalid_msgpack("packet body"))?;
        if !space.foreign_keys.is_empty() {
            self.check_parents(space, &key, tuple)?;
        }
        Ok(key)
    }

    /// Everybody may write `_truncate`, which has a row for each space that was ever truncated.
    /// Only who may know of the space finds out whether it has.
    #[inline]
    pub(super) fn check_truncated_is_shown(
        &self,
        space: &SpaceDef,
        key: &Key,
    ) -> Result<(), Error> {
        if space.id != system::TRUNCATE {
            return Ok(());
        }
        let id = u32::try_from(key.first_number()).unwrap_or(u32::MAX);
        if self.user.rights().shows_space(id) {
            return Ok(());
        }
        let rights = self.user.rights();
        rights.check_space(Privileges::WRITE, IdOrName::Id(id), None)
    }

    /// Stores a tuple as it is in a space that may be written.
    #[inline]
    pub(crate) fn store_whole(
        &mut self,
        store: &Store<'_>,
        existing: Existing,
        reply: &mut Reply<'_>,
    ) -> Result<Outcome, Error> {
        let space = self.schema.resolve(store.space)?;
        let key = self.admit(space, store.tuple)?;
        self.check_truncated_is_shown(space, &key)?;
        if existing == Existing::Refuse {
            self.check_free(space, space.primary()?, &key, store.tuple)?;
        }
        let tuple: Tuple = store.tuple.into();
        if system::is_system(space.id) {
            return self.store_system(&space.clone(), key, Some(tuple), reply);
        }
        let needs_old = !space.secondaries.is_empty() || self.is_referred_to(space.id);
        if needs_old || !self.has_memory_for(1, &tuple) {
            let space = space.clone();
            let old = self.stored(space.id, PRIMARY, &key);
            self.change(&space, key, old.as_ref(), Some(tuple.clone()))?;
            return push(&tuple, reply);
        }
        let space = space.id;
        let outcome = push(&tuple, reply);
        self.workspace.put(space, key, Some(tuple));
        outcome
    }

    /// Changes one tuple of a user's space, in every index.
    ///
    /// # Errors
    ///
    /// `ErrorCode::FOREIGN_KEY_INTEGRITY` if others refer to the old tuple and not to the new one,
    /// `ErrorCode::MEMORY_ISSUE` if there is no memory for the new tuple, `ErrorCode::TUPLE_FOUND`
    /// if it has another tuple's key in a unique index; nothing is changed then.
    pub(super) fn change(
        &mut self,
        space: &Arc<SpaceDef>,
        key: Key,
        old: Option<&Tuple>,
        new: Option<Tuple>,
    ) -> Result<(), Error> {
        if let Some(old) = old
            && self.is_referred_to(space.id)
        {
            self.check_children(space, old, new.as_ref())?;
        }
        if let Some(new) = &new {
            self.check_memory(1 + space.secondaries.len(), old, new)?;
        }
        if space.secondaries.is_empty() {
            self.workspace.put(space.id, key, new);
            return Ok(());
        }
        let mut changes = self.workspace.take_list();
        self.secondary_changes(space, (old, new.as_ref()), &mut changes)?;
        // More keys than indexes: those of the elements of an array.
        if let Some(new) = &new
            && changes.len() > 2 * space.secondaries.len()
        {
            self.check_memory(1 + changes.len(), old, new)?;
        }
        changes.push(IndexChange {
            index: PRIMARY,
            key,
            change: new,
        });
        self.workspace.put_together(space.id, changes);
        Ok(())
    }

    /// Changes a row in the turn, without any check: for numbers that only the engine counts.
    pub(crate) fn set_in_turn(&mut self, space: u32, key: Key, new: Option<Tuple>) {
        self.workspace.put_in_turn(space, key, new);
    }

    /// The tuple with this key in an index.
    pub(super) fn stored(&self, space: u32, index: u32, key: &Key) -> Option<Tuple> {
        self.workspace.saw_point(space, index, key);
        self.look(|snapshot| snapshot.find(space, index, key).cloned())
    }

    /// Adds what becomes of the keys of the secondary indexes, and makes room for one change more.
    pub(super) fn secondary_changes(
        &self,
        space: &SpaceDef,
        (old, new): (Option<&Tuple>, Option<&Tuple>),
        changes: &mut Vec<IndexChange>,
    ) -> Result<(), Error> {
        changes.reserve(2 * space.secondaries.len() + 1);
        for index in &space.secondaries {
            if index.is_multikey {
                self.multikey_changes(space, index, (old, new), changes)?;
                continue;
            }
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
            let from = from.filter(|from| to.as_ref() != Some(from));
            let (gone, put) = (
                from.map(|key| (key, None)),
                to.map(|key| (key, new.cloned())),
            );
            changes.extend(
                gone.into_iter()
                    .chain(put)
                    .map(|(key, change)| IndexChange {
                        index: index.id,
                        key,
                        change,
                    }),
            );
        }
        Ok(())
    }

    /// What becomes of the keys of a multikey index.
    fn multikey_changes(
        &self,
        space: &SpaceDef,
        index: &IndexDef,
        (old, new): (Option<&Tuple>, Option<&Tuple>),
        changes: &mut Vec<IndexChange>,
    ) -> Result<(), Error> {
        let keys_of = |tuple: Option<&Tuple>| match tuple {
            Some(tuple) => index.stored_keys(tuple),
            None => Ok(Vec::new()),
        };
        let (from, to) = (keys_of(old)?, keys_of(new)?);
        let change = |key, change| IndexChange {
            index: index.id,
            key,
            change,
        };
        let gone = from.iter().filter(|key| to.binary_search(key).is_err());
        changes.extend(gone.map(|key| change(key.clone(), None)));
        for key in to {
            if let Some(tuple) = new.filter(|_| index.is_unique)
                && from.binary_search(&key).is_err()
            {
                self.check_free(space, index, &key, tuple)?;
            }
            changes.push(change(key, new.cloned()));
        }
        Ok(())
    }

    /// Checks that no tuple has this key.
    pub(super) fn check_free(
        &self,
        space: &SpaceDef,
        index: &IndexDef,
        key: &Key,
        tuple: &[u8],
    ) -> Result<(), Error> {
        self.workspace.saw_point(space.id, index.id, key);
        self.look(|snapshot| match snapshot.find(space.id, index.id, key) {
            Some(old) => {
                let error = errors::duplicate(&index.name, &space.name, old, tuple);
                Err(self.without_rows(space, key, error))
            }
            None => Ok(()),
        })
    }

    /// A change of a system space by a client: the only one of its turn.
    pub(super) fn store_system(
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

    /// The tuple that a client's whole key leads to, with its key in the primary index.
    pub(super) fn locate(
        &self,
        space: &SpaceDef,
        index: IdOrName<'_>,
        key: &[u8],
    ) -> Result<Option<(Key, Tuple)>, Error> {
        let index = space.index(index)?;
        let whole = index.whole_key(key)?;
        self.check_truncated_is_shown(space, &whole)?;
        let is_shown = |id| self.schema.catalog().has_system_space(IdOrName::Id(id));
        let found = match self.stored(space.id, index.id, &whole) {
            Some(tuple) if index.id == PRIMARY => return Ok(Some((whole, tuple))),
            // By a name, those only find a row who may see it.
            Some(_) if is_shown(space.id) => self.shown_row(space, index, key, 0)?,
            found => found,
        };
        let Some(tuple) = found else {
            return Ok(None);
        };
        let key = space.primary()?.key_of(&tuple);
        let key = key.map_err(|_| Error::invalid_msgpack("packet body"))?;
        Ok(Some((key, tuple)))
    }
}

#[inline]
pub(super) fn push(tuple: &Tuple, reply: &mut Reply<'_>) -> Result<Outcome, Error> {
    let mut rows = reply.rows();
    tuple.push_to(&mut rows);
    rows.finish(None);
    Ok(Outcome::Done)
}

#[inline]
pub(super) fn nothing(reply: &mut Reply<'_>) -> Result<Outcome, Error> {
    reply.rows().finish(None);
    Ok(Outcome::Done)
}
