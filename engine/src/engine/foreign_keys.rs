//! Foreign keys where tuples change: what they refer to is there, and nothing refers to what goes.
//!
//! What was looked up counts as seen: of two transactions, one that stores a child and one that
//! deletes its parent, only one commits.

use std::ops::Bound;

use vestibule_wire::Error;
use vestibule_wire::request::IdOrName;

use super::EmbeddedEngine;
use crate::ddl::foreign_keys::ReferenceChecks;
use crate::errors::foreign_key as foreign_key_errors;
use crate::model::foreign_key::ForeignKey;
use crate::model::index::IndexDef;
use crate::model::key::Key;
use crate::model::space::SpaceDef;
use crate::model::tuple::Tuple;

impl EmbeddedEngine {
    /// Whether foreign keys lead to a space, so that its tuples may not just go.
    #[inline]
    pub(super) fn is_referred_to(&self, space: u32) -> bool {
        self.schema.referrers().has(space) && self.references == ReferenceChecks::Now
    }

    /// Checks that what a tuple refers to is there, and stays there when the tuple is stored under
    /// this key.
    ///
    /// # Errors
    ///
    /// `ErrorCode::FIELD_FOREIGN_KEY_FAILED` or `ErrorCode::COMPLEX_FOREIGN_KEY_FAILED` if not.
    pub(super) fn check_parents(
        &self,
        space: &SpaceDef,
        key: &Key,
        tuple: &[u8],
    ) -> Result<(), Error> {
        if self.references == ReferenceChecks::Later {
            return Ok(());
        }
        for foreign in &space.foreign_keys {
            self.check_parent(space, foreign, key, tuple)?;
        }
        Ok(())
    }

    fn check_parent(
        &self,
        space: &SpaceDef,
        foreign: &ForeignKey,
        key: &Key,
        tuple: &[u8],
    ) -> Result<(), Error> {
        let id = foreign.parent(space.id);
        let other;
        let parent = if id == space.id {
            space
        } else {
            let found = self.schema.resolve(IdOrName::Id(id));
            other = found.map_err(|_| foreign.failed(space, "foreign space was not found"))?;
            &**other
        };
        let Some((index, wanted)) = foreign.needed(space, parent, tuple)? else {
            return Ok(());
        };
        let found = self.stored(parent.id, index.id, &wanted);
        // A tuple may refer to the one in whose place it comes, if it has the same key there.
        let is_there = found.is_some_and(|found| {
            let goes = id == space.id
                && space
                    .primary()
                    .is_ok_and(|own| own.key_of(&found).as_ref() == Ok(key));
            !goes || index.key_of(tuple).as_ref() == Ok(&wanted)
        });
        if is_there {
            return Ok(());
        }
        Err(foreign.failed(space, "foreign tuple was not found"))
    }

    /// Checks that nothing refers to a tuple that goes, or to the key that it has no more.
    ///
    /// # Errors
    ///
    /// `ErrorCode::FOREIGN_KEY_INTEGRITY` if something does, or if that cannot be told.
    pub(super) fn check_children(
        &self,
        space: &SpaceDef,
        old: &Tuple,
        new: Option<&Tuple>,
    ) -> Result<(), Error> {
        for id in self.schema.referrers().of(space.id) {
            let Ok(child) = self.schema.resolve(IdOrName::Id(id)) else {
                continue;
            };
            let keys = child.foreign_keys.iter();
            for foreign in keys.filter(|key| key.parent(child.id) == space.id) {
                let new = new.map(|new| &**new);
                if let Some((index, key)) = foreign.referring(child, space, old, new)?
                    && self.has_any(child.id, index, key)
                {
                    let why = "tuple is referenced";
                    return Err(foreign_key_errors::integrity(&foreign.name, why));
                }
            }
        }
        Ok(())
    }

    /// Whether any tuple of an index has a key without nulls, given in all its parts.
    fn has_any(&self, space: u32, index: &IndexDef, key: Key) -> bool {
        if index.is_unique {
            return self.stored(space, index.id, &key).is_some();
        }
        let beyond = key.after_prefix();
        let bounds = (
            Bound::Included(key),
            beyond.map_or(Bound::Unbounded, Bound::Excluded),
        );
        self.workspace.saw_range(space, index.id, || bounds.clone());
        self.look(|snapshot| {
            let bounds = (bounds.0.as_ref(), bounds.1.as_ref());
            let mut found = snapshot.range(space, index.id, bounds, false);
            found.next().is_some()
        })
    }
}
