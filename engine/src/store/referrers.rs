//! Which spaces refer to which, by foreign keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::space::SpaceDef;

/// The spaces whose foreign keys refer to a space, by its number; a space may refer to itself. To
/// clone it takes the same time whatever it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Referrers(Arc<BTreeMap<u32, BTreeSet<u32>>>);

impl Referrers {
    /// Whether any space refers to this one.
    #[inline]
    pub(crate) fn has(&self, parent: u32) -> bool {
        !self.0.is_empty() && self.0.contains_key(&parent)
    }

    /// The spaces that refer to one.
    pub(crate) fn of(&self, parent: u32) -> impl Iterator<Item = u32> {
        self.0.get(&parent).into_iter().flatten().copied()
    }

    /// The spaces that others refer to, or they themselves.
    pub(crate) fn parents(&self) -> impl Iterator<Item = u32> {
        self.0.keys().copied()
    }

    /// Takes note of a space.
    pub(super) fn add(&mut self, child: &SpaceDef) {
        for key in &child.foreign_keys {
            let all = Arc::make_mut(&mut self.0);
            all.entry(key.parent(child.id))
                .or_default()
                .insert(child.id);
        }
    }

    /// Forgets a space, with the definition that was taken note of.
    pub(super) fn remove(&mut self, child: &SpaceDef) {
        for key in &child.foreign_keys {
            let (all, parent) = (Arc::make_mut(&mut self.0), key.parent(child.id));
            if let Some(children) = all.get_mut(&parent) {
                children.remove(&child.id);
                if children.is_empty() {
                    all.remove(&parent);
                }
            }
        }
    }
}
