//! Indexes of tuples that are there already: at recovery, and before a change of definitions.
//!
//! ```text
//!   tuples in the primary's order ─▶ (key, tuple) ─▶ sorted ─▶ tree
//!                                                      └ equal neighbors: duplicates
//! ```
//!
//! Sorted keys fill a tree's nodes from left to right, which spares the random walk that inserting
//! them as they come would be. They are there beside the tree until it is full; what they may take
//! is known before, so that an index for which there is no memory is given up at the first key that
//! is too much.

use std::mem::size_of;

use vestibule_wire::Error;

use crate::errors;
use crate::limits::{COLLATED_STEP_BYTES, QUIET_CHECKS_MAX};
use crate::model::index::IndexDef;
use crate::model::key::Key;
use crate::model::space::SpaceDef;
use crate::model::tuple::Tuple;
use crate::store::tree::{Builder, Tree};

/// An index that takes its place once the definition is durable.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) space: u32,
    pub(crate) index: u32,
    pub(crate) tree: Tree,
}

impl Built {
    pub(crate) fn is_for(&self, space: u32, index: u32) -> bool {
        (self.space, self.index) == (space, index)
    }
}

/// Why an index cannot be built.
#[derive(Debug)]
pub(crate) enum BuildError {
    /// Tuples that share a key with the tuple before them, pair by pair.
    Duplicates(Vec<(Tuple, Tuple)>),
    /// A tuple has no key, or keys that are too large.
    NoKey(Error),
    /// Keys or nodes would take more memory than there is for data: this many bytes so far.
    NoMemory(usize, Room),
    /// Nobody waits for the index any more.
    Cancelled,
}

/// The memory that there is for data.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Bytes that are used.
    pub(crate) used: usize,
    /// Bytes that there may be.
    pub(crate) max: usize,
}

impl Room {
    /// Without a bound: for files that are read, and offline work.
    pub(crate) const UNBOUNDED: Self = Self {
        used: 0,
        max: usize::MAX,
    };

    /// Whether this many bytes may be used besides.
    #[inline]
    pub(crate) fn is_for(self, bytes: usize) -> bool {
        bytes <= self.max.saturating_sub(self.used)
    }

    /// What is left beside this many bytes.
    pub(crate) fn beside(self, bytes: usize) -> Self {
        Self {
            used: self.used.saturating_add(bytes),
            ..self
        }
    }

    /// The error of a client that asks for this many bytes and gets none.
    #[cold]
    pub(crate) fn error(self, bytes: usize) -> Error {
        errors::memory_is_full(bytes, self.used, self.max)
    }
}

/// Steps that a build takes: two for each row, and more for texts that a collation orders.
pub(crate) fn work(index: &IndexDef, rows: &Tree) -> u64 {
    2 * rows.len() as u64 + for_texts(index, rows.tally().contents)
}

/// Steps for texts in tuples of this size together, in bytes.
fn for_texts(index: &IndexDef, bytes: usize) -> u64 {
    if index.is_collated {
        (bytes / COLLATED_STEP_BYTES) as u64
    } else {
        0
    }
}

/// Steps of a build so far.
struct Steps<'p> {
    /// Since they were told.
    untold: u64,
    progress: &'p mut dyn FnMut(u64) -> bool,
}

impl Steps<'_> {
    fn take(&mut self, steps: u64) -> Result<(), BuildError> {
        self.untold += steps;
        if self.untold < QUIET_CHECKS_MAX {
            return Ok(());
        }
        let told = std::mem::take(&mut self.untold);
        if (self.progress)(told) {
            Ok(())
        } else {
            Err(BuildError::Cancelled)
        }
    }
}

/// Builds an index of tuples in the primary's order. `progress` is told of steps, and says whether
/// to go on.
///
/// # Errors
///
/// What stands against it.
pub(crate) fn build<'t>(
    index: &IndexDef,
    tuples: impl Iterator<Item = &'t Tuple>,
    room: Room,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Tree, BuildError> {
    let mut steps = Steps {
        untold: 0,
        progress,
    };
    let mut keys: Vec<(Key, &Tuple)> = Vec::new();
    let mut bytes = 0;
    for tuple in tuples {
        for key in index.stored_keys(tuple).map_err(BuildError::NoKey)? {
            bytes += size_of::<(Key, &Tuple)>() + key.heap_bytes();
            keys.push((key, tuple));
        }
        if !room.is_for(bytes) {
            return Err(BuildError::NoMemory(bytes, room));
        }
        steps.take(1 + for_texts(index, tuple.len()))?;
    }
    // Stable: of tuples with one key, the first is the one that the primary index has first.
    keys.sort_by(|(left, _), (right, _)| left.cmp(right));
    let duplicates = duplicates(&keys);
    if !duplicates.is_empty() {
        return Err(BuildError::Duplicates(duplicates));
    }
    let mut tree = Builder::default();
    for (key, tuple) in keys {
        tree.push(key, tuple.clone())
            .expect("the keys are sorted, and none is there twice");
        steps.take(1)?;
    }
    let tree = tree.finish();
    let bytes = tree.tally().nodes;
    if !room.is_for(bytes) {
        return Err(BuildError::NoMemory(bytes, room));
    }
    Ok(tree)
}

fn duplicates(keys: &[(Key, &Tuple)]) -> Vec<(Tuple, Tuple)> {
    let groups = keys.chunk_by(|(left, _), (right, _)| left == right);
    let pairs = groups.flat_map(|group| {
        let (first, later) = group.split_first().expect("a group has a member");
        later
            .iter()
            .map(|(_, tuple)| (first.1.clone(), (*tuple).clone()))
    });
    pairs.collect()
}

impl BuildError {
    /// The error that a client gets: the duplicate that a walk by the old primary index meets
    /// first.
    pub(crate) fn error(self, space: &SpaceDef, index: &IndexDef, walked: &IndexDef) -> Error {
        let pairs = match self {
            Self::Duplicates(pairs) => pairs,
            Self::NoKey(error) => return error,
            Self::NoMemory(bytes, room) => return room.error(bytes),
            Self::Cancelled => return Error::cancelled(),
        };
        let first = pairs.iter().min_by_key(|(_, new)| walked.key_of(new).ok());
        let (old, new) = first.expect("there is a duplicate");
        errors::duplicate(&index.name, &space.name, old, new)
    }
}
