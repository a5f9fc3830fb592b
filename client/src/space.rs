//! Spaces and indexes, and the tuples in them.

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use vestibule_wire::request::IteratorType;

use crate::error::Error;
use crate::operation::{Action, Identifier, Operation, Selection, Start};
use crate::pack;
use crate::request::{Decode, Request, Route};
use crate::select::{KeyRange, Select};
use crate::update::Update;

/// A space, and what its tuples are read and written as.
pub struct Space<T> {
    route: Route,
    space: Identifier,
    tuple: PhantomData<fn() -> T>,
}

/// An index of a space.
pub struct Index<T> {
    route: Route,
    space: Identifier,
    index: Identifier,
    tuple: PhantomData<fn() -> T>,
}

impl<T> Clone for Space<T> {
    fn clone(&self) -> Self {
        Self::new(self.route.clone(), self.space.clone())
    }
}

impl<T> fmt::Debug for Space<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Space").field(&self.space).finish()
    }
}

impl<T> Clone for Index<T> {
    fn clone(&self) -> Self {
        Self {
            route: self.route.clone(),
            space: self.space.clone(),
            index: self.index.clone(),
            tuple: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Index<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = (&self.space, &self.index);
        f.debug_tuple("Index")
            .field(&names.0)
            .field(&names.1)
            .finish()
    }
}

impl<T> Space<T> {
    pub(crate) fn new(route: Route, space: Identifier) -> Self {
        Self {
            route,
            space,
            tuple: PhantomData,
        }
    }

    /// An index, by name or number.
    #[must_use]
    pub fn index(&self, index: impl Into<Identifier>) -> Index<T> {
        Index {
            route: self.route.clone(),
            space: self.space.clone(),
            index: index.into(),
            tuple: PhantomData,
        }
    }

    /// The primary index.
    fn primary(&self) -> Index<T> {
        self.index(0)
    }

    fn write<R>(&self, action: Result<Action, Error>, decode: Decode<R>) -> Request<R> {
        let operation = action.map(|action| Operation::on(self.space.clone(), None, action));
        Request::new(self.route.clone(), operation, decode)
    }
}

impl<T: Serialize + DeserializeOwned> Space<T> {
    /// Stores a tuple whose key is not there yet; returns it as it was stored.
    pub fn insert(&self, tuple: &T) -> Request<T> {
        let action = pack::tuple(tuple).map(Action::Insert);
        self.write(action, |reply| pack::first(&reply.frame()))
    }

    /// Stores a tuple, in place of the one with its key if there is one; returns it as it was
    /// stored.
    pub fn replace(&self, tuple: &T) -> Request<T> {
        let action = pack::tuple(tuple).map(Action::Replace);
        self.write(action, |reply| pack::first(&reply.frame()))
    }

    /// Stores a tuple whose key is not there yet, or changes the one that is.
    pub fn upsert(&self, tuple: &T, update: Update) -> Request<()> {
        let action = pack::tuple(tuple).and_then(|tuple| {
            let ops = update.into_bytes()?;
            Ok(Action::Upsert { tuple, ops })
        });
        self.write(action, |_| Ok(()))
    }
}

impl<T: DeserializeOwned> Space<T> {
    /// The tuple with this primary key. A key of several parts is a Rust tuple.
    pub fn get(&self, key: impl Serialize) -> Request<Option<T>> {
        self.primary().get(key)
    }

    /// Changes the tuple with this primary key; returns it as it is then, `None` if there is none.
    pub fn update(&self, key: impl Serialize, update: Update) -> Request<Option<T>> {
        self.primary().update(key, update)
    }

    /// Deletes the tuple with this primary key; returns it, `None` if there is none.
    pub fn delete(&self, key: impl Serialize) -> Request<Option<T>> {
        self.primary().delete(key)
    }

    /// Tuples in the order of the primary index: `..` are all of them, and [`KeyRange`] tells the
    /// rest.
    pub fn select(&self, range: impl Into<KeyRange>) -> Select<T> {
        self.primary().select(range)
    }
}

impl<T: DeserializeOwned> Index<T> {
    fn run<R>(&self, action: Result<Action, Error>, decode: Decode<R>) -> Request<R> {
        let operation = action.map(|action| {
            let index = Some(self.index.clone());
            Operation::on(self.space.clone(), index, action)
        });
        Request::new(self.route.clone(), operation, decode)
    }

    /// The tuple with this key of a unique index: of another, the first one with it.
    pub fn get(&self, key: impl Serialize) -> Request<Option<T>> {
        let action = pack::parts(&key).map(|key| {
            Action::Select(Selection {
                limit: 1,
                offset: 0,
                iterator: IteratorType::Eq,
                key,
                fetch_position: false,
                start: Start::First,
            })
        });
        self.run(action, |reply| pack::first(&reply.frame()))
    }

    /// Changes the tuple with this key of a unique index; returns it as it is then, `None` if there
    /// is none.
    pub fn update(&self, key: impl Serialize, update: Update) -> Request<Option<T>> {
        let action = pack::parts(&key).and_then(|key| {
            let ops = update.into_bytes()?;
            Ok(Action::Update { key, ops })
        });
        self.run(action, |reply| pack::first(&reply.frame()))
    }

    /// Deletes the tuple with this key of a unique index; returns it, `None` if there is none.
    pub fn delete(&self, key: impl Serialize) -> Request<Option<T>> {
        let action = pack::parts(&key).map(|key| Action::Delete { key });
        self.run(action, |reply| pack::first(&reply.frame()))
    }

    /// Tuples in the order of the index: `..` are all of them, and [`KeyRange`] tells the rest.
    pub fn select(&self, range: impl Into<KeyRange>) -> Select<T> {
        let route = self.route.clone();
        Select::new(route, self.space.clone(), self.index.clone(), range.into())
    }
}
