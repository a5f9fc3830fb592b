//! Changes of the system spaces: by procedures, and by clients that write there themselves.
//!
//! ```text
//!   alter ─▶ nothing else in the turn ─▶ row ─▶ may this user? ─▶ may this row? ─▶ turn
//!              └ or else: commit first                              └▶ indexes built for it
//! ```

use std::sync::Arc;

use vestibule_actors::engine::Reply;
use vestibule_wire::Error;
use vestibule_wire::request::IdOrName;

use super::EmbeddedEngine;
use crate::ddl::{self, Busy, grant_checks};
use crate::errors;
use crate::model::index::PRIMARY;
use crate::model::key::Key;
use crate::model::space::SpaceDef;
use crate::model::tuple::Tuple;
use crate::privileges::Privileges;
use crate::schema::system;
use crate::store::index_build::Built;
use crate::transaction::workspace::IndexChange;

impl EmbeddedEngine {
    /// The definition of a space.
    ///
    /// # Errors
    ///
    /// `ErrorCode::NO_SUCH_SPACE` if there is none.
    pub(crate) fn definition(&self, space: IdOrName<'_>) -> Result<Arc<SpaceDef>, Error> {
        self.schema.resolve(space).cloned()
    }

    /// Whether the turn has to be committed before anything else: it changes definitions, or enough
    /// of it was copied for readers.
    pub(crate) fn is_turn_full(&self) -> bool {
        self.workspace.turn().is_full()
    }

    /// Changes system spaces, as the only thing of a turn: all that `work` writes, or nothing.
    /// `None` means that the turn so far has to be committed first.
    ///
    /// # Errors
    ///
    /// `ErrorCode::UNSUPPORTED` inside a transaction, `ErrorCode::READONLY` if nothing can be
    /// written, and what `work` fails with.
    pub(crate) fn alter<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        if self.workspace.is_in_transaction() {
            return Err(errors::unsupported(
                "changes of definitions in a transaction",
            ));
        }
        if !self.workspace.turn().is_empty() {
            return Ok(None);
        }
        self.check_writable()?;
        let result = work(self);
        match &result {
            Ok(_) => self.workspace.end_ddl(),
            Err(_) => self.workspace.discard_turn().discard(),
        }
        result.map(Some)
    }

    /// Puts a row into a system space, after it passed the checks for it. For use inside
    /// [`alter`](Self::alter).
    ///
    /// # Errors
    ///
    /// Why the row may not be there.
    pub(crate) fn put_system(
        &mut self,
        space: u32,
        row: &[u8],
        reply: &Reply<'_>,
    ) -> Result<(), Error> {
        let def = self.definition(IdOrName::Id(space))?;
        def.check(row)?;
        let key = system_row_key(&def, row)?;
        self.change_system(&def, key, Some(row.into()), reply)
            .map(drop)
    }

    /// Takes a row out of a system space, found by its key. For use inside [`alter`](Self::alter).
    ///
    /// # Errors
    ///
    /// Why the row may not go.
    pub(crate) fn delete_system(
        &mut self,
        space: u32,
        row: &[u8],
        reply: &Reply<'_>,
    ) -> Result<(), Error> {
        let def = self.definition(IdOrName::Id(space))?;
        let key = system_row_key(&def, row)?;
        self.change_system(&def, key, None, reply).map(drop)
    }

    /// Changes one row of a system space and returns what stood there.
    ///
    /// # Errors
    ///
    /// Why the row may not be changed like this.
    pub(crate) fn change_system(
        &mut self,
        space: &SpaceDef,
        key: Key,
        new: Option<Tuple>,
        reply: &Reply<'_>,
    ) -> Result<Option<Tuple>, Error> {
        let old = self.look(|snapshot| snapshot.get(space.id, &key).cloned());
        self.authorize(space, old.as_ref(), new.as_ref())?;
        let room = self.room();
        let built = self.look(|snapshot| {
            let mut busy = Busy::new(reply, room);
            let (old, new) = (old.as_deref(), new.as_deref());
            ddl::check(snapshot, space, old, new, self.references, &mut busy)
        });
        let built = built.map_err(|error| self.without_rows(space, &key, error))?;
        // Emptying a space needs a row there.
        if let Some(new) = new.as_ref().filter(|_| space.id != system::TRUNCATE) {
            self.check_memory(1, old.as_ref(), new)?;
        }
        if old.is_some() || new.is_some() {
            self.define(space, key, old.as_ref(), new, built)?;
        }
        Ok(old)
    }

    /// Puts a row into a system space as if none with its key had been there. For use inside
    /// [`alter`](Self::alter).
    ///
    /// # Errors
    ///
    /// Why the row may not be there.
    pub(crate) fn put_anew(
        &mut self,
        space: &SpaceDef,
        key: Key,
        new: Tuple,
        reply: &Reply<'_>,
    ) -> Result<(), Error> {
        self.authorize(space, None, Some(&new))?;
        let room = self.room();
        let built = self.look(|snapshot| {
            let mut busy = Busy::new(reply, room);
            ddl::check(
                snapshot,
                space,
                None,
                Some(&*new),
                self.references,
                &mut busy,
            )
        })?;
        let old = self.look(|snapshot| snapshot.get(space.id, &key).cloned());
        self.define(space, key, old.as_ref(), Some(new), built)
    }

    /// Puts what was checked into the turn, in every index.
    fn define(
        &mut self,
        space: &SpaceDef,
        key: Key,
        old: Option<&Tuple>,
        new: Option<Tuple>,
        built: Vec<Built>,
    ) -> Result<(), Error> {
        let mut changes = Vec::new();
        self.secondary_changes(space, (old, new.as_ref()), &mut changes)?;
        changes.push(IndexChange {
            index: PRIMARY,
            key,
            change: new,
        });
        self.workspace.put_definition(space.id, changes, built);
        Ok(())
    }

    /// Remembers a value that only the engine writes, such as the largest number of a space.
    ///
    /// # Errors
    ///
    /// `ErrorCode::ACCESS_DENIED` if the user may not write there.
    pub(crate) fn put_counter(&mut self, row: &[u8]) -> Result<(), Error> {
        let def = self.allowed(IdOrName::Id(system::SCHEMA), Privileges::WRITE)?;
        let (space, key) = (def.id, system_row_key(def, row)?);
        self.workspace.put_in_turn(space, key, Some(row.into()));
        Ok(())
    }

    /// Whether the request may change this row of a system space.
    fn authorize(
        &self,
        space: &SpaceDef,
        old: Option<&Tuple>,
        new: Option<&Tuple>,
    ) -> Result<(), Error> {
        self.look(|snapshot| {
            let (old, new) = (old.map(|row| &**row), new.map(|row| &**row));
            grant_checks::authorize(self.user.rights(), snapshot, space, old, new)
        })
    }

    /// A duplicate in a system space shows the row that is in the way to those only who may read
    /// it; one in `_index`, or in the index to be built, to those who may read the space that it is
    /// of.
    #[cold]
    pub(super) fn without_rows(&self, space: &SpaceDef, key: &Key, error: Error) -> Error {
        let of = match space.id {
            system::INDEX => u32::try_from(key.first_number()).unwrap_or(u32::MAX),
            id => id,
        };
        if !system::is_system(space.id) || self.user.rights().reads(of) {
            return error;
        }
        let told = error.message().split_once(" with old tuple - ");
        match told.map(|(told, _)| told.to_owned()) {
            Some(told) => Error::new(error.code(), told),
            None => error,
        }
    }
}

fn system_row_key(space: &SpaceDef, row: &[u8]) -> Result<Key, Error> {
    let key = space.primary()?.key_of(row);
    key.map_err(|_| Error::invalid_msgpack("system row"))
}
