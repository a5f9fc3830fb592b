//! Rows put into a directory: all of them, or none.

use std::collections::HashSet;
use std::sync::Arc;

use crate::EngineOptions;
use crate::ddl::foreign_keys::ReferenceChecks;
use crate::ddl::{self, Busy};
use crate::durability::journal::Journal;
use crate::durability::recovery;
use crate::durability::storage::Disk;
use crate::engine::{EmbeddedEngine, Existing};
use crate::errors;
use crate::limits::{IMPORT_TURN_BYTES, IMPORT_TURN_ROWS};
use crate::model::key::Key;
use crate::model::space::{Generator, SpaceDef};
use crate::model::tuple::Tuple;
use crate::offline::references::orphans;
use crate::schema::system;
use crate::store::image::Image;
use crate::store::index_build::Room;
use crate::store::snapshot::Snapshot;
use vestibule_actors::engine::{Detached, Engine, Fault, Outcome, Progress, Reply};
use vestibule_wire::msgpack::Reader;
use vestibule_wire::request::{IdOrName, Store};
use vestibule_wire::{Error, ErrorCode};

#[cfg(test)]
mod tests;

/// Spaces of numbers that only the engine counts: they change without a new schema.
const COUNTERS: [u32; 2] = [system::SCHEMA, system::SEQUENCE_DATA];

/// What became of a row that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The row is new, or in place of another one; or it is gone.
    Written,
    /// The very same row was there already; or there was none to take away.
    Same,
}

/// Puts rows into a directory: all of them, or none.
#[derive(Debug)]
pub struct Import {
    engine: EmbeddedEngine,
    /// The directory's own journal; the engine writes to the one staged beside it.
    base: Journal,
    /// What every directory is born with, and may be changed by a row that is put.
    born: Image,
    replaces: bool,
    /// What is put is what a whole directory, or a whole space, had.
    is_dump: bool,
    /// Sequences whose last values are known: those of the rows are not ahead of them.
    told: HashSet<u64>,
    rows: usize,
    bytes: usize,
}

impl Import {
    /// Recovers the directory, which is made if it is not there. `replaces` lets rows take the
    /// place of others with their key.
    ///
    /// # Errors
    ///
    /// What recovery fails with.
    pub fn begin(
        options: EngineOptions,
        replaces: bool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, Fault> {
        let recovered = recovery::recover(Arc::new(Disk), &options, progress)?;
        let base = recovered.journal;
        let engine = EmbeddedEngine::offline(options, recovered.image, base.stage()?)?;
        Ok(Self {
            engine,
            base,
            born: Image::new(),
            replaces,
            is_dump: false,
            told: HashSet::new(),
            rows: 0,
            bytes: 0,
        })
    }

    /// What is put from now on is a dump: a sequence that comes without a last value has none, and
    /// does not go on behind the values that rows bring with them.
    pub fn expect_dump(&mut self) {
        self.is_dump = true;
    }

    /// Puts one row, a MessagePack array.
    ///
    /// # Errors
    ///
    /// Why it may not be there, as for a client that sends it: `ErrorCode::INVALID_MSGPACK` for
    /// bytes that are no value, or hold an extension value whose content is not of its type.
    /// `ErrorCode::TUPLE_FOUND` for a row whose key another one has.
    pub fn put(&mut self, space: IdOrName<'_>, tuple: &[u8]) -> Result<Put, Error> {
        let whole = Reader::new(tuple).skip_checked();
        whole.map_err(|_| Error::invalid_msgpack("packet body"))?;
        let def = self.engine.definition(space)?;
        if def.is_temporary {
            let told = format!("space '{}' is temporary: its tuples are not kept", def.name);
            return Err(Error::new(ErrorCode::ILLEGAL_PARAMS, told));
        }
        def.check(tuple)?;
        let key = def.primary()?.key_of(tuple);
        let key = key.map_err(|_| Error::invalid_msgpack("packet body"))?;
        let is_value = def.id == system::SEQUENCE_DATA;
        if is_value || (self.is_dump && def.id == system::SEQUENCE) {
            self.told.insert(key.first_number());
        }
        let old = self
            .engine
            .look(|snapshot| snapshot.get(def.id, &key).cloned());
        match &old {
            Some(old) if **old == *tuple => return Ok(Put::Same),
            Some(old) if !self.replaces && self.born_row(def.id, &key) != Some(old) => {
                return Err(self.taken(&def, old, tuple));
            }
            _ => {}
        }
        if system::is_system(def.id) {
            self.define(&def, key, Some(tuple), old.as_deref())?;
        } else {
            self.store(&def, tuple)?;
        }
        Ok(Put::Written)
    }

    /// Takes away a row of a system space that every directory is born with.
    ///
    /// # Errors
    ///
    /// Why it has to be there, as for a client that deletes it. `ErrorCode::TUPLE_FOUND` for a row
    /// whose key another one has.
    pub fn delete(&mut self, space: IdOrName<'_>, tuple: &[u8]) -> Result<Put, Error> {
        let def = self.engine.definition(space)?;
        def.check(tuple)?;
        let key = def.primary()?.key_of(tuple);
        let key = key.map_err(|_| Error::invalid_msgpack("packet body"))?;
        if self.born_row(def.id, &key).is_none() {
            let space = &def.name;
            let told = format!("no directory is born with this row of space '{space}'");
            return Err(Error::new(ErrorCode::ILLEGAL_PARAMS, told));
        }
        let old = self
            .engine
            .look(|snapshot| snapshot.get(def.id, &key).cloned());
        match old {
            None => return Ok(Put::Same),
            Some(old) if !self.replaces && *old != *tuple => {
                return Err(self.taken(&def, &old, tuple));
            }
            Some(old) => self.define(&def, key, None, Some(&old))?,
        }
        Ok(Put::Written)
    }

    fn born_row(&self, space: u32, key: &Key) -> Option<&Tuple> {
        self.born.space(space)?.rows.get(key)
    }

    fn taken(&self, space: &SpaceDef, old: &[u8], new: &[u8]) -> Error {
        let index = space.primary.as_ref().map_or("", |primary| &*primary.name);
        errors::duplicate(index, &space.name, old, new)
    }

    /// A change of definitions: a turn of its own, through the same checks as a client's.
    fn define(
        &mut self,
        space: &SpaceDef,
        key: Key,
        tuple: Option<&[u8]>,
        old: Option<&[u8]>,
    ) -> Result<(), Error> {
        self.commit()?;
        if COUNTERS.contains(&space.id) {
            // Never back: a number that was given once is not given again.
            let is_behind =
                tuple.and_then(system::second_number) <= old.and_then(system::second_number);
            if space.id == system::SCHEMA && old.is_some() && is_behind {
                return Ok(());
            }
            if space.id != system::SCHEMA {
                self.check(space, old, tuple)?;
            }
            self.engine
                .set_in_turn(space.id, key, tuple.map(Tuple::from));
        } else {
            let mut out = Vec::new();
            let mut context = Detached::default();
            let reply = Reply::detached(&mut out, &mut context);
            let tuple = tuple.map(Tuple::from);
            // A function is made and dropped, and not changed. In a directory where the one that
            // it was born with was dropped, another may have got its number.
            let is_born = space.id == system::FUNC && self.born_row(space.id, &key).is_some();
            let changed = self.engine.alter(|engine| match (tuple, is_born) {
                (Some(tuple), true) => engine.put_anew(space, key, tuple, &reply),
                (tuple, _) => engine.change_system(space, key, tuple, &reply).map(drop),
            })?;
            changed.expect("the turn before it is committed");
        }
        self.rows += 1;
        self.commit()
    }

    fn check(&self, space: &SpaceDef, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<(), Error> {
        let (mut out, mut context) = (Vec::new(), Detached::default());
        let reply = Reply::detached(&mut out, &mut context);
        let mut busy = Busy::new(&reply, Room::UNBOUNDED);
        let checked = |snapshot: Snapshot<'_>| {
            ddl::check(snapshot, space, old, new, ReferenceChecks::Later, &mut busy)
        };
        self.engine.look(checked).map(drop)
    }

    fn store(&mut self, space: &SpaceDef, tuple: &[u8]) -> Result<(), Error> {
        let mut out = Vec::new();
        let mut context = Detached::default();
        let mut reply = Reply::detached(&mut out, &mut context);
        let store = Store {
            space: IdOrName::Id(space.id),
            tuple,
        };
        let is_told = |own: Generator| self.told.contains(&own.sequence.into());
        let existing = if self.replaces {
            Existing::Replace
        } else {
            Existing::Refuse
        };
        let outcome = if space.generator.is_some_and(is_told) {
            self.engine.store_whole(&store, existing, &mut reply)?
        } else {
            self.engine.store_again(&store, existing, &mut reply)?
        };
        assert_eq!(outcome, Outcome::Done, "rows of users' spaces share a turn");
        self.rows += 1;
        self.bytes += tuple.len();
        if self.rows >= IMPORT_TURN_ROWS || self.bytes >= IMPORT_TURN_BYTES {
            self.commit()?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Error> {
        (self.rows, self.bytes) = (0, 0);
        // An error 40 says less than the journal's own words.
        self.engine.commit().map_err(|error| {
            let reason = self.engine.take_journal_failure();
            reason.map_or(error, |reason| Error::new(ErrorCode::WAL_IO, reason))
        })?;
        // What was loaded may have taken rights from `admin`.
        self.engine.switch_to_superuser();
        Ok(())
    }

    /// Makes everything that was put part of the directory, and durable.
    ///
    /// # Errors
    ///
    /// The disk's, or a tuple refers to one that is not there: nothing of it is there then.
    pub fn finish(mut self) -> Result<(), Fault> {
        let committed = self.commit().map_err(|error| error.message().to_owned());
        if let Err(reason) = committed.and_then(|()| self.check_references()) {
            self.abandon()?;
            return Err(reason.into());
        }
        let staged = self.engine.into_journal();
        self.base.adopt(staged.ok_or("there is no journal")?)?;
        Ok(())
    }

    /// Foreign keys, now that everything is there.
    fn check_references(&self) -> Result<(), String> {
        let mut first = Ok(());
        self.engine.look(|snapshot| {
            orphans(snapshot, &[], &mut |reason| {
                first = Err(reason);
                false
            });
        });
        first
    }

    /// Leaves the directory as it was.
    ///
    /// # Errors
    ///
    /// The disk's: what is left over counts for nothing.
    pub fn abandon(self) -> Result<(), Fault> {
        let staged = self.engine.into_journal();
        staged.map_or(Ok(()), Journal::discard)?;
        Ok(())
    }
}
