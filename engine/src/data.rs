//! Data for Rust: tuples read and written as types, by procedures and by work of the embedder.
//!
//! ```text
//!   procedure ─▶ call.data() ──── rights of the caller ──┐
//!   RuntimeHandle::write ─▶ engine.data() ── all rights ─┴▶ space::<T>(…) ─▶ get, insert, …
//!   RuntimeHandle::read ─▶ engine.reader() ── all rights ──▶ space::<T>(…) ─▶ get, select
//! ```
//!
//! The same way as a client's requests: into the turn, or into the call's transaction.

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use vestibule_actors::engine::{Detached, EngineWrapper, Outcome, Reply, TransactionId};
use vestibule_actors::internal::key_array;
use vestibule_actors::procedures::ProcedureCall;
use vestibule_wire::msgpack::Reader;
use vestibule_wire::request::{Body, Delete, IdOrName, IteratorType, Store, Update, Upsert};
use vestibule_wire::{Error, ErrorCode};

use crate::engine::EmbeddedEngine;
use crate::errors;
use crate::model::index::PRIMARY;
use crate::reader::{read_of, tuples};
use crate::schema::system;

/// The data of an engine, with somebody's rights.
#[derive(Debug)]
pub struct Data<'a> {
    engine: &'a mut EmbeddedEngine,
    transaction: Option<TransactionId>,
    /// Everything may be done.
    is_superuser: bool,
}

impl EmbeddedEngine {
    /// The data, for work of the embedder: everything may be done, whatever was granted. What is
    /// written is part of the turn: durable when the work's result is told. An error undoes what
    /// its own call would have changed, not what came before it. Work that changes nothing gets
    /// the engine to look at: see [`reader`](Self::reader).
    ///
    /// ```
    /// use vestibule_actors::{EngineError, RuntimeHandle};
    /// use vestibule_engine::EmbeddedEngine;
    ///
    /// /// Stores a user, and returns the one that was there.
    /// async fn store(
    ///     runtime: &RuntimeHandle<EmbeddedEngine>,
    ///     user: (u64, String),
    /// ) -> Result<Option<(u64, String)>, EngineError> {
    ///     runtime
    ///         .write(move |engine| {
    ///             let mut data = engine.data();
    ///             let mut users = data.space::<(u64, String)>("users");
    ///             let before = users.get(&user.0)?;
    ///             users.replace(&user)?;
    ///             Ok(before)
    ///         })
    ///         .await
    /// }
    /// ```
    pub fn data(&mut self) -> Data<'_> {
        Data {
            engine: self,
            transaction: None,
            is_superuser: true,
        }
    }
}

/// The data, for a procedure.
pub trait CallData {
    /// The data, with the rights of the caller, or of the procedure's owner if it was created with
    /// `setuid`; inside of the call's transaction, if there is one.
    ///
    /// ```
    /// use vestibule_actors::Procedures;
    /// use vestibule_engine::{CallData, EmbeddedEngine, procedures};
    ///
    /// fn with_visits() -> Procedures<EmbeddedEngine> {
    ///     procedures::standard().atomic("visit", |call| {
    ///         let (page,): (String,) = call.parse()?;
    ///         let mut data = call.data();
    ///         let mut visits = data.space::<(String, u64)>("visits");
    ///         let count = match visits.update(&page, &[("+", 1, 1)])? {
    ///             Some((_, count)) => count,
    ///             None => visits.insert(&(page, 1))?.1,
    ///         };
    ///         call.reply.value(&count)
    ///     })
    /// }
    /// ```
    fn data(&mut self) -> Data<'_>;
}

impl CallData for ProcedureCall<'_, EmbeddedEngine> {
    fn data(&mut self) -> Data<'_> {
        self.engine
            .switch_user_for_call(&self.caller.user, self.name);
        Data {
            engine: self.engine,
            transaction: self.transaction,
            is_superuser: false,
        }
    }
}

/// In what is around an engine as well.
impl<W: EngineWrapper<Inner = EmbeddedEngine>> CallData for ProcedureCall<'_, W> {
    fn data(&mut self) -> Data<'_> {
        let engine = self.engine.inner_mut();
        engine.switch_user_for_call(&self.caller.user, self.name);
        Data {
            engine,
            transaction: self.transaction,
            is_superuser: false,
        }
    }
}

impl Data<'_> {
    /// A space, whose tuples are read as this type: a tuple, or a struct with a field for each. It
    /// is looked up when something is done with it. Indexes are found by
    /// [`SpaceData::index`]; until then the first one is used.
    pub fn space<'a, T>(&'a mut self, name: &'a str) -> SpaceData<'a, T> {
        SpaceData {
            data: Data {
                engine: self.engine,
                ..*self
            },
            space: IdOrName::Name(name),
            index: IdOrName::Id(PRIMARY),
            row: PhantomData,
        }
    }

    /// Does work whose changes are made all or not at all: an error undoes those of this work, and
    /// of nothing before it. Outside of a transaction it is one of its own, which becomes a part of
    /// the turn when it succeeds; inside of one, or of other such work, it is a savepoint.
    ///
    /// A savepoint costs what is changed after it, to be put back; that counts as changed by the
    /// transaction as long as one is set. In a turn nothing comes between the steps of the work:
    /// there are no conflicts.
    ///
    /// ```
    /// use vestibule_actors::{EngineError, RuntimeHandle};
    /// use vestibule_engine::EmbeddedEngine;
    ///
    /// /// Moves money, and notes it if there is room for notes.
    /// async fn transfer(runtime: &RuntimeHandle<EmbeddedEngine>) -> Result<(), EngineError> {
    ///     runtime
    ///         .write(|engine| {
    ///             engine.data().atomic(|data| {
    ///                 let mut accounts = data.space::<(String, i64)>("accounts");
    ///                 accounts.update("ann", &[("-", 1, 10)])?;
    ///                 accounts.update("ben", &[("+", 1, 10)])?;
    ///                 // What fails here is undone by itself, and the rest is kept.
    ///                 let _noted = data.atomic(|data| {
    ///                     data.space::<(u64, String)>("notes").insert(&(1, "ann to ben"))
    ///                 });
    ///                 Ok(())
    ///             })
    ///         })
    ///         .await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// That of the work; those of COMMIT, for work that is in no transaction: nothing is changed
    /// then.
    pub fn atomic<R>(
        &mut self,
        work: impl FnOnce(&mut Data<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let is_superuser = self.is_superuser;
        let inside = |engine: &mut EmbeddedEngine, id| {
            work(&mut Data {
                engine,
                transaction: Some(id),
                is_superuser,
            })
        };
        match self.transaction {
            Some(id) => self.engine.in_savepoint(id, |engine| inside(engine, id)),
            None => self.engine.in_transaction(inside),
        }
    }

    fn run<R>(
        &mut self,
        work: impl FnOnce(&mut EmbeddedEngine) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let entered = self.engine.enter(self.transaction)?;
        let result = match self.is_superuser {
            true => self.engine.as_admin(work),
            false => work(self.engine),
        };
        self.engine.leave(entered);
        result
    }
}

/// A space, or an index of it.
///
/// Keys are a tuple of parts, or one part by itself; `&()` is the one without parts, and so is
/// `&None`: a part that is nil stands in a tuple, `&(None::<u64>,)`. Tuples to be stored are a
/// tuple, a sequence, or a struct with a field for each. Errors are those of a client's requests; a
/// tuple that is not as its type says fails with [`ErrorCode::PROC`].
pub struct SpaceData<'a, T> {
    data: Data<'a>,
    space: IdOrName<'a>,
    index: IdOrName<'a>,
    row: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for SpaceData<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpaceData")
            .field("space", &self.space)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

impl<'a, T> SpaceData<'a, T> {
    /// Another index of the space, by its name.
    #[must_use]
    pub fn index(self, name: &'a str) -> Self {
        let index = IdOrName::Name(name);
        Self { index, ..self }
    }
}

impl<T: DeserializeOwned> SpaceData<'_, T> {
    /// The tuple of a whole key of a unique index, if there is one.
    ///
    /// # Errors
    ///
    /// Those of SELECT; [`ErrorCode::EXACT_MATCH`] for a key that is not whole,
    /// [`ErrorCode::MORE_THAN_ONE_TUPLE`] if the index is not unique.
    pub fn get(&mut self, key: &(impl Serialize + ?Sized)) -> Result<Option<T>, Error> {
        let key = key_array(key)?;
        let (space, index) = (self.space, self.index);
        self.data
            .run(|engine| engine.check_readable_key(space, index, &key))?;
        let found = self.select_raw(IteratorType::Eq, &key, 1)?;
        Ok(found.into_iter().next())
    }

    /// The tuples that an iterator meets, `limit` at most, in the order of the index.
    ///
    /// # Errors
    ///
    /// Those of SELECT.
    pub fn select(
        &mut self,
        iterator: IteratorType,
        key: &(impl Serialize + ?Sized),
        limit: u32,
    ) -> Result<Vec<T>, Error> {
        self.select_raw(iterator, &key_array(key)?, limit)
    }

    fn select_raw(
        &mut self,
        iterator: IteratorType,
        key: &[u8],
        limit: u32,
    ) -> Result<Vec<T>, Error> {
        let select = read_of(self.space, self.index, iterator, key, limit);
        self.execute(Body::Select(select))
    }

    /// Stores a tuple that is not there yet. Returns it as it was stored: sequences and defaults
    /// may have filled fields of it.
    ///
    /// # Errors
    ///
    /// Those of INSERT: [`ErrorCode::TUPLE_FOUND`] if one is there.
    pub fn insert(&mut self, tuple: &(impl Serialize + ?Sized)) -> Result<T, Error> {
        let (space, tuple) = (self.space, &*row_bytes(tuple)?);
        self.change(Body::Insert(Store { space, tuple }))
            .and_then(the_one)
    }

    /// Stores a tuple, in the place of the one with its key if there is one. Returns it as it was
    /// stored.
    ///
    /// # Errors
    ///
    /// Those of REPLACE.
    pub fn replace(&mut self, tuple: &(impl Serialize + ?Sized)) -> Result<T, Error> {
        let (space, tuple) = (self.space, &*row_bytes(tuple)?);
        self.change(Body::Replace(Store { space, tuple }))
            .and_then(the_one)
    }

    /// Changes the tuple of a whole key of a unique index, and returns the new one if there is one.
    /// The operations are a tuple or sequence of tuples, as `(("+", 1, 5), ("=", "name", "x"))`:
    /// fields by their numbers from 0 on, or by their names.
    ///
    /// # Errors
    ///
    /// Those of UPDATE.
    pub fn update(
        &mut self,
        key: &(impl Serialize + ?Sized),
        operations: &(impl Serialize + ?Sized),
    ) -> Result<Option<T>, Error> {
        let (key, ops) = (&*key_array(key)?, &*row_bytes(operations)?);
        let (space, index) = (self.space, self.index);
        let changed = self.change(Body::Update(Update {
            space,
            index,
            key,
            ops,
            index_base: 0,
        }))?;
        Ok(changed.into_iter().next())
    }

    /// Stores a tuple, or, if one with its key is there, changes that one as
    /// [`update`](Self::update) does.
    ///
    /// # Errors
    ///
    /// Those of UPSERT.
    pub fn upsert(
        &mut self,
        tuple: &(impl Serialize + ?Sized),
        operations: &(impl Serialize + ?Sized),
    ) -> Result<(), Error> {
        let (tuple, ops) = (&*row_bytes(tuple)?, &*row_bytes(operations)?);
        self.change(Body::Upsert(Upsert {
            space: self.space,
            tuple,
            ops,
            index_base: 0,
        }))
        .map(drop)
    }

    /// Deletes the tuple of a whole key of a unique index, and returns it if there was one.
    ///
    /// # Errors
    ///
    /// Those of DELETE.
    pub fn delete(&mut self, key: &(impl Serialize + ?Sized)) -> Result<Option<T>, Error> {
        let key = &*key_array(key)?;
        let (space, index) = (self.space, self.index);
        let deleted = self.change(Body::Delete(Delete { space, index, key }))?;
        Ok(deleted.into_iter().next())
    }

    /// Changes data, and no definitions: those need a turn of their own.
    fn change(&mut self, body: Body<'_>) -> Result<Vec<T>, Error> {
        let found = self.data.engine.definition(self.space);
        if found.is_ok_and(|space| system::is_system(space.id)) {
            return Err(errors::unsupported("changes of definitions from Rust"));
        }
        self.execute(body)
    }

    fn execute(&mut self, body: Body<'_>) -> Result<Vec<T>, Error> {
        let (mut out, mut context) = (Vec::new(), Detached::default());
        let outcome = self.data.run(|engine| {
            let mut reply = Reply::detached(&mut out, &mut context);
            engine.dispatch(&body, &mut reply)
        })?;
        // Definitions alone need a turn of their own.
        if outcome != Outcome::Done {
            return Err(errors::unsupported("changes of definitions from Rust"));
        }
        tuples(&out)
    }
}

/// What was stored is told.
fn the_one<T>(rows: Vec<T>) -> Result<T, Error> {
    let row = rows.into_iter().next();
    row.ok_or_else(|| Error::new(ErrorCode::SYSTEM, "The engine does not tell what it stored"))
}

/// Structs become arrays.
fn row_bytes(value: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, Error> {
    let bytes = rmp_serde::to_vec(value);
    let bytes = bytes.map_err(|fault| Error::illegal_params(fault.to_string()))?;
    match Reader::new(&bytes).read_array_len() {
        Ok(_) => Ok(bytes),
        Err(_) => Err(errors::tuple_not_array()),
    }
}
