//! The image: every space with its tuples, as far as they are durable.
//!
//! ```text
//!   journal ── replay ──┐
//!   turn ─── commit ────┴─▶ apply ─▶ spaces ◀── read view
//!                             └ rows of _space, _index, …: spaces are redefined
//! ```
//!
//! It is all that a read view needs, so the definitions live inside it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use vestibule_wire::Error;
use vestibule_wire::request::IdOrName;

use crate::access::Access;
use crate::model::index::PRIMARY;
use crate::model::key::Key;
use crate::model::space::SpaceDef;
use crate::model::tuple::Tuple;
use crate::options::GuestRights;
use crate::schema::build::define;
use crate::schema::system::read::SystemRows;
use crate::schema::system::{self, bootstrap};
use crate::store::garbage::Garbage;
use crate::store::index_build::Built;
use crate::store::layer::{Change, Changes, Layer};
use crate::store::tree::Tree;
use std::ops::Bound;

/// Everything by the number of a space.
pub(crate) type BySpace<T> = HashMap<u32, T, BuildHasherDefault<SpaceHasher>>;

/// Numbers of spaces are few and not chosen by an enemy at scale: mixing them is enough.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct SpaceHasher(u64);

impl Hasher for SpaceHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    #[inline]
    fn write_u32(&mut self, number: u32) {
        // The golden ratio, so that close numbers part in the high bits as well.
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// A space with its tuples.
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) def: Arc<SpaceDef>,
    pub(crate) rows: Tree,
    /// The same tuples by the keys of the secondary indexes, each with its number. Recovery leaves
    /// them empty until all tuples are there.
    pub(crate) secondaries: Vec<(u32, Tree)>,
}

impl Space {
    pub(crate) fn new(def: SpaceDef) -> Self {
        let secondaries = def.secondaries.iter();
        let secondaries = secondaries.map(|index| (index.id, Tree::default()));
        Self {
            secondaries: secondaries.collect(),
            def: Arc::new(def),
            rows: Tree::default(),
        }
    }

    /// The tuples by the keys of one index.
    #[inline]
    pub(crate) fn tree(&self, index: u32) -> Option<&Tree> {
        if index == PRIMARY {
            return Some(&self.rows);
        }
        let found = self.secondaries.iter().find(|(id, _)| *id == index);
        found.map(|(_, tree)| tree)
    }

    pub(crate) fn tree_mut(&mut self, index: u32) -> Option<&mut Tree> {
        if index == PRIMARY {
            return Some(&mut self.rows);
        }
        let found = self.secondaries.iter_mut().find(|(id, _)| *id == index);
        found.map(|(_, tree)| tree)
    }

    pub(crate) fn into_trees(self) -> impl Iterator<Item = Tree> {
        let secondaries = self.secondaries.into_iter().map(|(_, tree)| tree);
        std::iter::once(self.rows).chain(secondaries)
    }
}

/// All spaces.
#[derive(Debug)]
pub(crate) struct Image {
    /// Grows with every turn that changed anything.
    pub(crate) version: u64,
    /// Grows with every turn that changed spaces, indexes or users.
    pub(crate) schema_version: u64,
    /// The number of the last journal record that it holds; 0 before the first.
    pub(crate) sequence: u64,
    /// Grows with every new definition of a primary key that moves tuples to other keys.
    pub(crate) rekey_epoch: u64,
    pub(super) spaces: BySpace<Space>,
    pub(super) names: HashMap<Box<str>, u32>,
    /// Who may do what, as the system spaces say. Computed once a turn that changed it is applied,
    /// before anybody hears of it.
    pub(crate) access: Arc<Access>,
    guest: GuestRights,
}

/// What a turn asks for beside the change of its rows.
#[derive(Debug, Default)]
struct SideEffects {
    redefined: Vec<u32>,
    truncated: Vec<u32>,
    is_schema_changed: bool,
}

impl Image {
    /// An image with the system spaces and their first rows.
    pub(crate) fn new() -> Self {
        let mut image = Self {
            version: 1,
            schema_version: 1,
            sequence: 0,
            rekey_epoch: 0,
            spaces: BySpace::default(),
            names: HashMap::new(),
            access: Arc::default(),
            guest: GuestRights::default(),
        };
        for (space, indexes) in bootstrap::spaces() {
            let def = define(&space, &indexes).expect("the system's own definitions are valid");
            image.names.insert(space.name.clone(), space.id);
            let empty = Space::new(def);
            image.spaces.insert(space.id, empty);
        }
        for (space, tuple) in bootstrap::tuples() {
            image
                .put(space, tuple.into())
                .expect("the system's own rows are valid");
        }
        let access = image.rights();
        image.access = access.expect("the system's own rows are valid");
        image
    }

    /// Says what guest may do, and computes all rights again, once recovery has all rows.
    ///
    /// # Errors
    ///
    /// Those of [`rights`](Self::rights).
    pub(crate) fn set_guest(&mut self, guest: GuestRights) -> Result<(), Error> {
        self.guest = guest;
        self.access = self.rights()?;
        Ok(())
    }

    /// Computes who may do what, from the rows that say it.
    ///
    /// # Errors
    ///
    /// `ErrorCode::INVALID_MSGPACK` or `ErrorCode::UNKNOWN_SCHEMA_OBJECT` for a row that makes no
    /// sense.
    pub(crate) fn rights(&self) -> Result<Arc<Access>, Error> {
        Access::of(self, self.guest).map(Arc::new)
    }

    /// A space by its number.
    #[inline]
    pub(crate) fn space(&self, id: u32) -> Option<&Space> {
        self.spaces.get(&id)
    }

    /// A space to be filled, by its number.
    pub(crate) fn space_mut(&mut self, id: u32) -> Option<&mut Space> {
        self.spaces.get_mut(&id)
    }

    /// Every space, in no order.
    pub(crate) fn spaces(&self) -> impl Iterator<Item = &Space> {
        self.spaces.values()
    }

    /// The space that a request names. A view leads to the space whose rows it shows.
    ///
    /// # Errors
    ///
    /// `ErrorCode::NO_SUCH_SPACE` if there is none.
    #[inline]
    pub(crate) fn resolve(&self, target: IdOrName<'_>) -> Result<&Space, Error> {
        let id = match target {
            IdOrName::Id(id) => Some(id),
            IdOrName::Name(name) => self.names.get(name).copied(),
        };
        let id = id.map(|id| {
            if system::is_system(id) {
                system::viewed(id).unwrap_or(id)
            } else {
                id
            }
        });
        id.and_then(|id| self.space(id))
            .ok_or_else(|| match target {
                IdOrName::Id(id) => Error::no_such_space(id),
                IdOrName::Name(name) => Error::no_such_space(name),
            })
    }

    /// Every definition, for look-ups that take no lock.
    pub(crate) fn definitions(&self) -> (BySpace<Arc<SpaceDef>>, HashMap<Box<str>, u32>) {
        let defs = self
            .spaces
            .iter()
            .map(|(id, space)| (*id, space.def.clone()))
            .collect();
        (defs, self.names.clone())
    }

    /// Puts one tuple, without side effects.
    pub(crate) fn put(&mut self, space: u32, tuple: Tuple) -> Result<Key, ReplayError> {
        let space = self
            .spaces
            .get_mut(&space)
            .ok_or(ReplayError::Space(space))?;
        let key = space
            .def
            .primary
            .as_ref()
            .and_then(|primary| primary.key_of(&tuple).ok());
        let key = key.ok_or_else(|| ReplayError::Tuple(space.def.name.to_string()))?;
        space.rows.insert(key.clone(), tuple);
        Ok(key)
    }

    /// Applies the changes of one turn, the record of this number, space by space, and takes what
    /// was built for it.
    pub(crate) fn apply(&mut self, sequence: u64, turn: &mut Layer, built: Vec<Built>) -> Garbage {
        self.sequence = sequence;
        let mut side_effects = SideEffects::default();
        for (id, changes) in turn.take() {
            if changes.is_empty() {
                continue;
            }
            if system::is_system(id) {
                changes
                    .iter()
                    .for_each(|(key, change)| side_effects.note(id, key, change));
            }
            let rows = self.spaces.get_mut(&id).map(|space| &mut space.rows);
            merge(rows, changes);
        }
        for ((space, index), changes) in turn.take_secondaries() {
            if !changes.is_empty() {
                let space = self.spaces.get_mut(&space);
                merge(space.and_then(|space| space.tree_mut(index)), changes);
            }
        }
        self.finish(side_effects, built)
            .expect("a definition was checked before it was journaled")
    }

    /// Applies one turn as it stands in the journal: tuples put, keys deleted.
    ///
    /// # Errors
    ///
    /// What of it does not fit the state that the turns before it led to.
    pub(crate) fn replay<'r>(
        &mut self,
        sequence: u64,
        turn: impl Iterator<Item = (u32, Replayed<'r>)>,
    ) -> Result<(), ReplayError> {
        self.sequence = sequence;
        let mut side_effects = SideEffects::default();
        for (id, change) in turn {
            let (key, change) = match change {
                Replayed::Put(tuple) => {
                    let tuple = Tuple::from(tuple);
                    (self.put(id, tuple.clone())?, Some(tuple))
                }
                Replayed::Delete(key) => {
                    let key = Key::from_bytes(key);
                    let space = self.spaces.get_mut(&id).ok_or(ReplayError::Space(id))?;
                    space.rows.remove(&key);
                    (key, None)
                }
            };
            if system::is_system(id) {
                side_effects.note(id, &key, &change);
            }
        }
        let finished = self.finish(side_effects, Vec::new());
        finished.map(drop).map_err(ReplayError::Definition)
    }

    fn finish(
        &mut self,
        side_effects: SideEffects,
        mut built: Vec<Built>,
    ) -> Result<Garbage, Error> {
        let mut garbage = Garbage::default();
        for id in side_effects.truncated {
            if let Some(space) = self.spaces.get_mut(&id) {
                let secondaries = space.secondaries.iter_mut().map(|(_, tree)| tree);
                let trees = std::iter::once(&mut space.rows).chain(secondaries);
                garbage.0.extend(trees.map(std::mem::take));
            }
        }
        for id in side_effects.redefined {
            self.redefine(id, &mut built, &mut garbage)?;
        }
        self.version += 1;
        self.schema_version += u64::from(side_effects.is_schema_changed);
        Ok(garbage)
    }
}

impl<'a> SystemRows<'a> for &'a Image {
    fn row(self, space: u32, key: &Key) -> Option<&'a [u8]> {
        self.space(space)?.rows.get(key).map(|row| &**row)
    }

    fn rows_under(self, space: u32, prefix: Key) -> impl Iterator<Item = &'a [u8]> {
        let bounds = (Bound::Included(&prefix), Bound::Unbounded);
        let rows = self
            .space(space)
            .map(|space| space.rows.range(bounds, false));
        let rows = rows.into_iter().flatten();
        rows.take_while(move |(key, _)| prefix.is_prefix_of(*key))
            .map(|(_, row)| &**row)
    }
}

/// Puts the changes of an index into its tree.
fn merge(tree: Option<&mut Tree>, changes: Changes) {
    let tree = tree.expect("a change was checked against its space in the same turn");
    for (key, change) in changes {
        match change {
            Some(tuple) => drop(tree.insert(key, tuple)),
            None => drop(tree.remove(&key)),
        }
    }
}

impl SideEffects {
    fn note(&mut self, space: u32, key: &Key, change: &Change) {
        // Keys of these spaces begin with the number of the space that they are about.
        let about = key.first_number() as u32;
        match space {
            system::SPACE | system::INDEX | system::SPACE_SEQUENCE => {
                self.is_schema_changed = true;
                if !self.redefined.contains(&about) {
                    self.redefined.push(about);
                }
            }
            system::TRUNCATE if change.is_some() => self.truncated.push(about),
            system::USER | system::PRIV | system::FUNC | system::SEQUENCE => {
                self.is_schema_changed = true;
            }
            _ => {}
        }
    }
}

/// A change as it stands in the journal.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Replayed<'a> {
    /// A tuple.
    Put(&'a [u8]),
    /// The encoded key of a tuple.
    Delete(&'a [u8]),
}

/// What of a journaled turn does not fit.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    /// The bytes are not a turn.
    #[error("the record is not a turn of this engine")]
    Record,
    /// No such space.
    #[error("no space {0} at this point of the journal")]
    Space(u32),
    /// The tuple has no key in this space.
    #[error("a tuple does not fit the key of space '{0}'")]
    Tuple(String),
    /// The definition of a space.
    #[error("a definition is not valid: {0}")]
    Definition(Error),
}
