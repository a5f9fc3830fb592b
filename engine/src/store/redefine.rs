//! Spaces as the rows of `_space` and `_index` define them.
//!
//! ```text
//!   rows ─▶ definition ─▶ space: an index takes ─┬ what was built for it
//!                                                ├ what it had, if its keys are the same
//!                                                └ nothing, until recovery has all tuples
//! ```

use std::ops::Bound;
use std::sync::Arc;

use crate::model::index::{IndexDef, PRIMARY};
use crate::model::space::{Generator, SpaceDef};
use crate::model::tuple::Tuple;
use crate::schema::build::define;
use crate::schema::system::{self, read};
use crate::store::garbage::Garbage;
use crate::store::image::{Image, Space};
use crate::store::index_build::{self, BuildError, Built, Room};
use crate::store::tree::Tree;
use vestibule_wire::Error;

impl Image {
    /// Derives a space from its rows in `_space` and `_index`. An index takes what was built for
    /// it, or else keeps what it has.
    pub(crate) fn redefine(
        &mut self,
        id: u32,
        built: &mut Vec<Built>,
        garbage: &mut Garbage,
    ) -> Result<(), Error> {
        let mut def = read::space(&*self, id)?
            .map(|row| define(&row, &read::index_rows(&*self, id)?))
            .transpose()?;
        if let Some(def) = &mut def {
            let row = read::attachment(&*self, id)?;
            def.generator = row.map(|row| Generator {
                sequence: row.sequence,
                field: row.field,
                is_own: row.is_generated,
            });
        }
        let mut old = self.take(id);
        if let Some(def) = def {
            let mut space = Space::new(Arc::new(def));
            let def = space.def.clone();
            let primaries = old.as_ref().and_then(|old| old.def.primary.as_ref());
            let primaries = primaries.zip(def.primary.as_ref());
            if primaries.is_some_and(|(old, new)| !old.has_same_keys(new)) {
                self.rekey_epoch += 1;
            }
            for index in def.indexes() {
                let tree = match built.iter().position(|own| own.is_for(id, index.id)) {
                    Some(at) => built.swap_remove(at).tree,
                    None => kept(old.as_mut(), &def, index)?,
                };
                *space.tree_mut(index.id).expect("the index is defined") = tree;
            }
            self.add(space);
        }
        self.leave_behind(old.as_ref().map_or(0, Space::bytes));
        garbage
            .0
            .extend(old.into_iter().flat_map(Space::into_trees));
        Ok(())
    }

    /// Derives every space that is not built in.
    pub(crate) fn define_all(&mut self, garbage: &mut Garbage) -> Result<(), Error> {
        let Some(space) = self.space(system::SPACE) else {
            return Ok(());
        };
        let all = (Bound::Unbounded, Bound::Unbounded);
        let ids = space
            .rows
            .range(all, false)
            .map(|(key, _)| key.head() as u32);
        let ids: Vec<u32> = ids.filter(|id| !system::is_system(*id)).collect();
        ids.into_iter()
            .try_for_each(|id| self.redefine(id, &mut Vec::new(), garbage))
    }

    /// Builds every secondary index from the tuples, once recovery has them all. `progress` is told
    /// the work done and in all.
    ///
    /// # Errors
    ///
    /// `ErrorCode::TUPLE_FOUND` for a duplicate; if `force` is set, the later one of the two is
    /// left out of the space.
    pub(crate) fn build_secondaries(
        &mut self,
        force: bool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), Error> {
        let (mut done, total) = (0, self.secondaries_work());
        let ids: Vec<u32> = self.spaces().map(|space| space.def.id).collect();
        for id in ids {
            let Some(space) = self.space_mut(id) else {
                continue;
            };
            let (def, mut at) = (space.def.clone(), 0);
            while let Some(index) = def.secondaries.get(at) {
                let built = build_secondary(space, at, &mut |step| {
                    done = total.min(done + step);
                    progress(done, total);
                });
                match built {
                    Ok(()) => {}
                    Err(BuildError::Duplicates(pairs)) if force => {
                        remove_duplicates(&def, &mut space.rows, &pairs)?;
                        // What was built so far has them too.
                        at = 0;
                        continue;
                    }
                    Err(failure) => {
                        return Err(failure.error(&def, index, def.primary()?));
                    }
                }
                at += 1;
            }
        }
        Ok(())
    }

    /// Steps that building every secondary index takes.
    pub(crate) fn secondaries_work(&self) -> u64 {
        let indexes = self.spaces().flat_map(|space| {
            let indexes = space.def.secondaries.iter();
            indexes.map(|index| index_build::work(index, &space.rows))
        });
        indexes.sum()
    }

    /// Builds the secondary indexes of one space. One that cannot be built stays as it is; returns
    /// whether there is none of those.
    pub(crate) fn index(&mut self, id: u32) -> bool {
        let Some(space) = self.space_mut(id) else {
            return true;
        };
        let mut are_built = true;
        for at in 0..space.secondaries.len() {
            are_built &= build_secondary(space, at, &mut |_| ()).is_ok();
        }
        are_built
    }
}

/// Builds a secondary index, by its place, from the tuples of its space. `progress` is told of
/// steps.
fn build_secondary(
    space: &mut Space,
    at: usize,
    progress: &mut dyn FnMut(u64),
) -> Result<(), BuildError> {
    let index = &space.def.secondaries[at];
    let tuples = space.rows.tuples();
    let built = index_build::build(index, tuples, Room::UNBOUNDED, &mut |step| {
        progress(step);
        true
    });
    space.secondaries[at].1 = built?;
    Ok(())
}

/// What an index had under the old definition, if its keys are the same still. During recovery, the
/// tuples are put into another order here; before a change that Tx makes, that was done already.
fn kept(old: Option<&mut Space>, def: &SpaceDef, index: &IndexDef) -> Result<Tree, Error> {
    let Some(old) = old else {
        return Ok(Tree::default());
    };
    let old_def = old.def.clone();
    let Some(own) = old_def.indexes().find(|own| own.id == index.id) else {
        return Ok(Tree::default());
    };
    if own.has_same_keys(index) {
        return Ok(old
            .tree_mut(index.id)
            .map(std::mem::take)
            .unwrap_or_default());
    }
    if index.id != PRIMARY {
        return Ok(Tree::default());
    }
    index_build::build(index, old.rows.tuples(), Room::UNBOUNDED, &mut |_| true)
        .map_err(|failure| failure.error(def, index, own))
}

fn remove_duplicates(
    def: &SpaceDef,
    rows: &mut Tree,
    pairs: &[(Tuple, Tuple)],
) -> Result<(), Error> {
    for (old, new) in pairs {
        log::error!(
            "space '{}': tuple {new:?} is left out, a unique index has its key from {old:?}",
            def.name
        );
        let key = def.primary()?.key_of(new);
        rows.remove(&key.map_err(|_| Error::invalid_msgpack("packet body"))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::field::FieldType;
    use crate::model::index::Part;
    use crate::schema::system::rows::{IndexRow, RowOptions, SpaceOptions, SpaceRow};
    use crate::store::image::Replayed;

    /// A damaged journal may have lost what made room for a tuple.
    #[test]
    fn a_duplicate_fails_recovery_unless_it_is_forced() {
        let (mut image, id) = (Image::new(), 512);
        let space = SpaceRow {
            id,
            owner: system::ADMIN,
            name: "s".into(),
            engine: "memtx".into(),
            field_count: 0,
            options: SpaceOptions::default(),
            format: Vec::new(),
        };
        let part = |field| Part::new(field, FieldType::Unsigned);
        let index = |index: u32| IndexRow {
            space: id,
            id: index,
            name: format!("i{index}").into(),
            kind: "tree".into(),
            is_unique: true,
            options: RowOptions::unique(true),
            parts: vec![part(index)],
        };
        let (space, first, second) = (space.encode(), index(0).encode(), index(1).encode());
        let definition = [
            (system::SPACE, Replayed::Put(&space)),
            (system::INDEX, Replayed::Put(&first)),
            (system::INDEX, Replayed::Put(&second)),
        ];
        image.replay(1, definition.into_iter()).unwrap();
        let rows = [[0x92, 1, 7], [0x92, 2, 8], [0x92, 3, 7]];
        let puts = rows.iter().map(|row| (id, Replayed::Put(row)));
        image.replay(2, puts).unwrap();
        let told = image.build_secondaries(false, &mut |_, _| ()).unwrap_err();
        assert!(
            told.message()
                .ends_with("with old tuple - [1, 7] and new tuple - [3, 7]"),
            "{told}"
        );
        image.build_secondaries(true, &mut |_, _| ()).unwrap();
        let space = image.space(id).unwrap();
        for index in [0, 1] {
            let left: Vec<_> = space.tree(index).unwrap().tuples().collect();
            assert_eq!(left.len(), 2, "index {index}");
            assert!(left[0][..] == rows[0] && left[1][..] == rows[1]);
        }
    }
}
