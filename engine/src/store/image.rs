//! The image: every space with its tuples, as far as they are durable.
//!
//! ```text
//!   journal ── replay ──┐
//!   turn ─── commit ────┴─▶ apply ─▶ spaces ◀── read view
//!                             └ rows of _space, _index, …: spaces are redefined
//! ```
//!
//! It is all that a read view needs, so the definitions live inside it. A clone is a version that
//! stays as it is: it costs a few counts, and shares with the image whatever is not changed.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, OnceLock};

use vestibule_wire::request::IdOrName;
use vestibule_wire::{Error, ErrorCode};

use crate::access::Access;
use crate::access::generations::UserGenerations;
use crate::model::index::PRIMARY;
use crate::model::key::Key;
use crate::model::space::SpaceDef;
use crate::model::tuple::Tuple;
use crate::options::GuestRights;
use crate::schema::build::define;
use crate::schema::system::changes::RowChange;
use crate::schema::system::read::{SystemRows, counted};
use crate::schema::system::{self, bootstrap};
use crate::store::garbage::Garbage;
use crate::store::index_build::Built;
use crate::store::layer::{Changes, Layer};
use crate::store::referrers::Referrers;
use crate::store::shared_map::SharedMap;
use crate::store::side_effects::{SideEffects, is_followed};
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
#[derive(Debug, Clone)]
pub(crate) struct Space {
    pub(crate) def: Arc<SpaceDef>,
    pub(crate) rows: Tree,
    /// The same tuples by the keys of the secondary indexes, each with its number. Recovery leaves
    /// them empty until all tuples are there.
    pub(crate) secondaries: Vec<(u32, Tree)>,
}

impl Space {
    pub(crate) fn new(def: Arc<SpaceDef>) -> Self {
        let secondaries = def.secondaries.iter();
        let secondaries = secondaries.map(|index| (index.id, Tree::default()));
        Self {
            secondaries: secondaries.collect(),
            def,
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

    /// What its tuples and indexes take, in bytes: nodes, keys, and the tuples, which all indexes
    /// share.
    pub(crate) fn bytes(&self) -> usize {
        let secondaries = self.secondaries.iter();
        let secondaries = secondaries.map(|(_, tree)| tree.tally().nodes);
        let rows = self.rows.tally();
        rows.nodes + rows.tuples + secondaries.sum::<usize>()
    }

    pub(crate) fn into_trees(self) -> impl Iterator<Item = Tree> {
        let secondaries = self.secondaries.into_iter().map(|(_, tree)| tree);
        std::iter::once(self.rows).chain(secondaries)
    }
}

/// All spaces.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// Grows with every turn that changed anything.
    pub(crate) version: u64,
    /// Grows with every turn that changed spaces, indexes or users.
    pub(crate) schema_version: u64,
    /// The number of the last journal record that it holds; 0 before the first.
    pub(crate) sequence: u64,
    /// Grows with every new definition of a primary key that moves tuples to other keys.
    pub(crate) rekey_epoch: u64,
    pub(super) spaces: SharedMap<u32, Arc<Space>, BuildHasherDefault<SpaceHasher>>,
    pub(super) names: SharedMap<Box<str>, u32, RandomState>,
    pub(crate) referrers: Referrers,
    /// Who may do what, as the system spaces say. Follows a turn that changes it as the turn is
    /// applied, before anybody hears of it; while the journal is replayed, it waits for the end.
    pub(crate) access: Arc<Access>,
    /// What the spaces take, in bytes.
    bytes: usize,
    left_behind: u64,
}

/// What came of applying a turn.
#[derive(Debug)]
pub(crate) struct Applied {
    /// What nothing holds any more.
    pub(crate) garbage: Garbage,
    /// What became of rows that definitions, rights and the catalog follow from.
    pub(crate) changes: Vec<RowChange>,
}

impl Image {
    /// An image with the system spaces and their first rows: a version of one that is made once.
    pub(crate) fn new() -> Self {
        static BORN: OnceLock<Image> = OnceLock::new();
        BORN.get_or_init(Self::born).clone()
    }

    fn born() -> Self {
        let mut image = Self {
            version: 1,
            schema_version: 1,
            sequence: 0,
            rekey_epoch: 0,
            spaces: SharedMap::default(),
            names: SharedMap::default(),
            referrers: Referrers::default(),
            access: Arc::default(),
            bytes: 0,
            left_behind: 0,
        };
        for (space, indexes) in bootstrap::spaces() {
            let def = define(&space, &indexes).expect("the system's own definitions are valid");
            image.add(Space::new(Arc::new(def)));
        }
        for (space, tuple) in bootstrap::tuples() {
            image
                .put(space, tuple.into())
                .expect("the system's own rows are valid");
        }
        image
            .build_secondaries(false, &mut |_, _| ())
            .and_then(|()| image.set_guest(GuestRights::default(), &UserGenerations::default()))
            .expect("the system's own rows are valid");
        image
    }

    /// What the spaces take, in bytes: nodes of all indexes, keys, and tuples. Exact for what turns
    /// change; what recovery puts in counts from [`recount`](Self::recount) on.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What tuples take that stand beside the nodes of their indexes, in bytes.
    pub(crate) fn data_bytes(&self) -> usize {
        self.spaces().map(|space| space.rows.tally().tuples).sum()
    }

    /// Grows by what older versions are left with, in bytes, whether there are any or not: all that
    /// was copied, replaced or dropped since a version began is the most that it keeps alone.
    pub(crate) fn left_behind(&self) -> u64 {
        self.left_behind
    }

    /// This many bytes more are older versions' alone.
    pub(crate) fn leave_behind(&mut self, bytes: usize) {
        self.left_behind += bytes as u64;
    }

    /// A part of the spaces took so much before, and takes so much now. Modulo 2⁶⁴: in a recovery
    /// what goes may not have been counted when it came, until [`recount`](Self::recount).
    fn count(&mut self, before: usize, after: usize) {
        self.bytes = self.bytes.wrapping_add(after).wrapping_sub(before);
    }

    /// Counts again what the spaces take.
    pub(crate) fn recount(&mut self) {
        self.bytes = self.spaces().map(Space::bytes).sum();
    }

    /// Says what guest may do, and computes all rights, once recovery has all rows.
    ///
    /// # Errors
    ///
    /// `ErrorCode::INVALID_MSGPACK` or `ErrorCode::UNKNOWN_SCHEMA_OBJECT` for a row that makes no
    /// sense.
    pub(crate) fn set_guest(
        &mut self,
        guest: GuestRights,
        generations: &UserGenerations,
    ) -> Result<(), Error> {
        self.access = Arc::new(Access::of(&*self, guest, generations)?);
        self.recount();
        Ok(())
    }

    /// A space by its number.
    #[inline]
    pub(crate) fn space(&self, id: u32) -> Option<&Space> {
        self.spaces.get(&id).map(|space| &**space)
    }

    /// A space to be changed, by its number.
    pub(crate) fn space_mut(&mut self, id: u32) -> Option<&mut Space> {
        let space = self.spaces.get_mut(&id, &mut self.left_behind)?;
        if Arc::get_mut(space).is_none() {
            self.left_behind += size_of::<Space>() as u64;
        }
        Some(Arc::make_mut(space))
    }

    /// Every space, in no order.
    pub(crate) fn spaces(&self) -> impl Iterator<Item = &Space> {
        self.spaces.iter().map(|(_, space)| &**space)
    }

    /// Puts a space where there is none, under its number and its name.
    pub(super) fn add(&mut self, space: Space) {
        let (id, name) = (space.def.id, space.def.name.clone());
        self.count(0, space.bytes());
        self.referrers.add(&space.def);
        self.names.insert(name, id, &mut self.left_behind);
        self.spaces
            .insert(id, Arc::new(space), &mut self.left_behind);
    }

    /// Takes a space out.
    pub(super) fn take(&mut self, id: u32) -> Option<Space> {
        let space = self.spaces.remove(&id, &mut self.left_behind)?;
        self.names.remove(&*space.def.name, &mut self.left_behind);
        self.referrers.remove(&space.def);
        self.count(space.bytes(), 0);
        Some(Arc::unwrap_or_clone(space))
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
        let all = || self.spaces().map(|space| &space.def);
        let defs = all().map(|def| (def.id, def.clone())).collect();
        (defs, all().map(|def| (def.name.clone(), def.id)).collect())
    }

    /// Puts one tuple, without side effects.
    pub(crate) fn put(&mut self, space: u32, tuple: Tuple) -> Result<Key, ReplayError> {
        let space = self.space_mut(space).ok_or(ReplayError::Space(space))?;
        let key = space
            .def
            .primary
            .as_ref()
            .and_then(|primary| primary.key_of(&tuple).ok());
        let key = key.ok_or_else(|| ReplayError::Tuple(space.def.name.to_string()))?;
        space.rows.insert(key.clone(), tuple);
        Ok(key)
    }

    /// Applies the changes of one turn, the record of this number if there is one, space by space,
    /// and takes what was built for it. Definitions and rights follow what is changed, and nothing
    /// else.
    pub(crate) fn apply(
        &mut self,
        sequence: Option<u64>,
        turn: &mut Layer,
        built: Vec<Built>,
    ) -> Applied {
        self.sequence = sequence.unwrap_or(self.sequence);
        let (mut side_effects, mut rows) = (SideEffects::default(), Vec::new());
        // Primary indexes come last: a tuple that somebody else holds then is held by a version.
        for ((id, index), changes) in turn.take() {
            if index == PRIMARY && system::is_system(id) {
                changes
                    .iter()
                    .for_each(|(key, change)| side_effects.note(id, key, change));
            }
            if index == PRIMARY && is_followed(id) {
                self.note_rows(id, &changes, &mut rows);
            }
            self.merge(id, index, changes);
        }
        let garbage = self
            .finish(side_effects, built)
            .expect("a definition was checked before it was journaled");
        if !rows.is_empty() {
            Arc::make_mut(&mut self.access)
                .change(&rows)
                .expect("a row was checked before it was journaled");
        }
        Applied {
            garbage,
            changes: rows,
        }
    }

    /// Notes what changes of a system space replace, and by what.
    fn note_rows(&self, space: u32, changes: &Changes, noted: &mut Vec<RowChange>) {
        let rows = self.space(space).map(|space| &space.rows);
        noted.extend(changes.iter().map(|(key, new)| RowChange {
            space,
            old: rows.and_then(|rows| rows.get(key)).cloned(),
            new: new.clone(),
        }));
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
                    let space = self.space_mut(id).ok_or(ReplayError::Space(id))?;
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

    /// Puts the changes of an index into its tree.
    fn merge(&mut self, space: u32, index: u32, changes: Changes) {
        let space = self.space_mut(space);
        let tree = space.and_then(|space| space.tree_mut(index));
        let tree = tree.expect("a change was checked against its space in the same turn");
        let before = *tree.tally();
        let mut tuples_left_behind = 0;
        for (key, change) in changes {
            let old = match change {
                Some(tuple) => tree.insert(key, tuple),
                None => tree.remove(&key),
            };
            tuples_left_behind += old.map_or(0, |old| old.shared_bytes());
        }
        let after = *tree.tally();
        self.count(before.nodes, after.nodes);
        self.left_behind += after.left_behind - before.left_behind;
        if index == PRIMARY {
            self.count(before.tuples, after.tuples);
            self.left_behind += tuples_left_behind as u64;
        }
    }

    fn finish(
        &mut self,
        side_effects: SideEffects,
        mut built: Vec<Built>,
    ) -> Result<Garbage, Error> {
        let mut garbage = Garbage::default();
        for id in side_effects.truncated {
            if let Some(space) = self.space_mut(id) {
                let empty = Space::new(space.def.clone());
                let full = std::mem::replace(space, empty.clone());
                self.count(full.bytes(), empty.bytes());
                self.leave_behind(full.bytes());
                garbage.0.extend(full.into_trees());
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

    fn rows_by(self, space: u32, index: u32, prefix: Key) -> impl Iterator<Item = &'a [u8]> {
        let bounds = (Bound::Included(&prefix), Bound::Unbounded);
        let tree = self.space(space).and_then(|space| space.tree(index));
        let rows = tree.map(|tree| tree.range(bounds, false));
        let rows = rows.into_iter().flatten();
        rows.take_while(move |(key, _)| prefix.is_prefix_of(*key))
            .map(|(_, row)| counted(row))
    }

    fn last(self, space: u32) -> Option<&'a [u8]> {
        let everything = (Bound::Unbounded, Bound::Unbounded);
        let mut rows = self.space(space)?.rows.range(everything, true);
        rows.next().map(|(_, row)| counted(row))
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

impl ReplayError {
    /// Whether it is sound, and only another build of this program can hold it. Nothing is done
    /// without it then, forced or not.
    pub(crate) fn is_of_another_build(&self) -> bool {
        matches!(self, Self::Definition(error) if error.code() == ErrorCode::UNSUPPORTED)
    }
}
