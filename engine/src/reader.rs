//! Data for Rust, to look at: tuples read as types by work of the embedder that changes nothing.

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use vestibule_actors::engine::{Detached, Reply};
use vestibule_actors::internal::{key_array, tuple_as};
use vestibule_wire::Error;
use vestibule_wire::msgpack::DecodeError;
use vestibule_wire::request::{After, IdOrName, IteratorType, Select};

use crate::engine::{EmbeddedEngine, tuples_of};
use crate::model::index::PRIMARY;

/// The data of an engine, to look at: everything may be read.
#[derive(Debug, Clone, Copy)]
pub struct DataReader<'a> {
    engine: &'a EmbeddedEngine,
}

impl EmbeddedEngine {
    /// The data, for work of the embedder that changes nothing: everything may be read, whatever
    /// was granted, with what the turn has changed so far.
    ///
    /// ```
    /// use vestibule_actors::wire::request::IteratorType;
    /// use vestibule_actors::{EngineError, RuntimeHandle};
    /// use vestibule_engine::EmbeddedEngine;
    ///
    /// /// The names of at most ten users, beginning with this one.
    /// async fn names(
    ///     runtime: &RuntimeHandle<EmbeddedEngine>,
    ///     from: u64,
    /// ) -> Result<Vec<String>, EngineError> {
    ///     runtime
    ///         .read(move |engine| {
    ///             let users = engine.reader().space::<(u64, String)>("users");
    ///             let rows = users.select(IteratorType::Ge, &from, 10)?;
    ///             Ok(rows.into_iter().map(|(_, name)| name).collect())
    ///         })
    ///         .await
    /// }
    /// ```
    #[must_use]
    pub fn reader(&self) -> DataReader<'_> {
        DataReader { engine: self }
    }
}

impl<'a> DataReader<'a> {
    /// A space, whose tuples are read as this type: a tuple, or a struct with a field for each. It
    /// is looked up when something is read. Indexes are found by [`SpaceReader::index`]; until then
    /// the first one is used.
    #[must_use]
    pub fn space<T>(self, name: &'a str) -> SpaceReader<'a, T> {
        SpaceReader {
            engine: self.engine,
            space: IdOrName::Name(name),
            index: IdOrName::Id(PRIMARY),
            row: PhantomData,
        }
    }
}

/// A space, or an index of it, to look at.
///
/// Keys are a tuple of parts, or one part by itself; `&()` is the one without parts, and so is
/// `&None`: a part that is nil stands in a tuple, `&(None::<u64>,)`. A tuple that is not as its
/// type says fails with [`ErrorCode::PROC`](vestibule_wire::ErrorCode::PROC).
pub struct SpaceReader<'a, T> {
    engine: &'a EmbeddedEngine,
    space: IdOrName<'a>,
    index: IdOrName<'a>,
    row: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for SpaceReader<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpaceReader")
            .field("space", &self.space)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

impl<'a, T> SpaceReader<'a, T> {
    /// Another index of the space, by its name.
    #[must_use]
    pub fn index(self, name: &'a str) -> Self {
        let index = IdOrName::Name(name);
        Self { index, ..self }
    }
}

impl<T: DeserializeOwned> SpaceReader<'_, T> {
    /// The tuple of a whole key of a unique index, if there is one.
    ///
    /// # Errors
    ///
    /// Those of SELECT; [`ErrorCode::EXACT_MATCH`](vestibule_wire::ErrorCode::EXACT_MATCH) for a
    /// key that is not whole,
    /// [`ErrorCode::MORE_THAN_ONE_TUPLE`](vestibule_wire::ErrorCode::MORE_THAN_ONE_TUPLE) if the
    /// index is not unique.
    pub fn get(&self, key: &(impl Serialize + ?Sized)) -> Result<Option<T>, Error> {
        let key = key_array(key)?;
        self.engine.check_whole_key(self.space, self.index, &key)?;
        let found = self.select_raw(IteratorType::Eq, &key, 1)?;
        Ok(found.into_iter().next())
    }

    /// The tuples that an iterator meets, `limit` at most, in the order of the index.
    ///
    /// # Errors
    ///
    /// Those of SELECT.
    pub fn select(
        &self,
        iterator: IteratorType,
        key: &(impl Serialize + ?Sized),
        limit: u32,
    ) -> Result<Vec<T>, Error> {
        self.select_raw(iterator, &key_array(key)?, limit)
    }

    fn select_raw(&self, iterator: IteratorType, key: &[u8], limit: u32) -> Result<Vec<T>, Error> {
        let (mut out, mut context) = (Vec::new(), Detached::default());
        let mut reply = Reply::detached(&mut out, &mut context);
        let select = read_of(self.space, self.index, iterator, key, limit);
        self.engine.select_everything(&select, &mut reply)?;
        tuples(&out)
    }
}

/// A SELECT of `limit` tuples at most.
pub(crate) fn read_of<'a>(
    space: IdOrName<'a>,
    index: IdOrName<'a>,
    iterator: IteratorType,
    key: &'a [u8],
    limit: u32,
) -> Select<'a> {
    Select {
        space,
        index,
        limit: u64::from(limit),
        offset: 0,
        iterator: iterator as u64,
        key,
        fetch_position: false,
        after: After::Start,
    }
}

/// The tuples in the body of a reply, as types.
pub(crate) fn tuples<T: DeserializeOwned>(body: &[u8]) -> Result<Vec<T>, Error> {
    let rows = rows(body).map_err(|_| Error::invalid_msgpack("tuple"))?;
    rows.into_iter().map(tuple_as).collect()
}

fn rows(body: &[u8]) -> Result<Vec<&[u8]>, DecodeError> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    let (count, mut reader) = tuples_of(body)?;
    (0..count).map(|_| reader.skip()).collect()
}
