//! Definitions held against each other: each is checked as if it were made now, beside all others.
//!
//! ```text
//!   row of a system space ─▶ the checks of a client that writes it ─▶ what it names is there,
//!                                                                     and is what it is named as
//! ```
//!
//! What passes can be dumped and loaded again, since a load makes the same checks.

use std::ops::Bound;

use vestibule_actors::engine::{Detached, Reply};
use vestibule_wire::Error;

use super::{Contents, DEFINITIONS};
use crate::ddl::foreign_keys::{ReferenceChecks, check_child};
use crate::ddl::{self, Busy};
use crate::errors::foreign_key as foreign_key_errors;
use crate::model::space::SpaceDef;
use crate::print::Printed;
use crate::schema::system;
use crate::store::image::Image;
use crate::store::index_build::Room;
use crate::store::snapshot::Snapshot;

impl Contents {
    /// Tells each definition that contradicts others: a grant of what is not there, for example.
    pub fn check_references(&mut self, on_damage: &mut dyn FnMut(String)) {
        let unasked = index_definitions(&mut self.image);
        let image = &self.image;
        let snapshot = Snapshot { layers: &[], image };
        let born = Image::new();
        let (mut out, mut context) = (Vec::new(), Detached::default());
        let reply = Reply::detached(&mut out, &mut context);
        for id in DEFINITIONS.into_iter().chain([system::TRUNCATE]) {
            let Some(space) = image.space(id).filter(|_| id != system::SCHEMA) else {
                continue;
            };
            let all = (Bound::Unbounded, Bound::Unbounded);
            for (key, row) in space.rows.range(all, false) {
                let born = born.space(id).and_then(|own| own.rows.get(&key.to_key()));
                if born == Some(row) {
                    continue;
                }
                let mut busy = Busy::new(&reply, Room::UNBOUNDED);
                // Functions are made and dropped, and not changed.
                let old = (id != system::FUNC).then_some(&**row);
                let (def, now) = (&space.def, ReferenceChecks::Now);
                if let Err(error) = ddl::check(snapshot, def, old, Some(row), now, &mut busy) {
                    on_damage(told(row, def, &error));
                }
            }
        }
        orphans(snapshot, &unasked, &mut |orphan| {
            on_damage(orphan);
            true
        });
    }
}

/// Tells each tuple that refers to one that is not there, until `on_orphan` has heard enough.
/// Spaces that are `unasked` count as if everything were there.
pub(super) fn orphans(
    snapshot: Snapshot<'_>,
    unasked: &[u32],
    on_orphan: &mut dyn FnMut(String) -> bool,
) {
    for space in snapshot.image.spaces() {
        let child = &*space.def;
        for key in &child.foreign_keys {
            let id = key.parent(child.id);
            if unasked.contains(&id) {
                continue;
            }
            let Some(parent) = snapshot.image.space(id) else {
                let why = format!("foreign space '{id}' was not found by id");
                let error = foreign_key_errors::cannot_create(&key.name, &child.name, &why);
                if !on_orphan(error.message().to_owned()) {
                    return;
                }
                continue;
            };
            for tuple in space.rows.tuples() {
                if let Err(error) = check_child(snapshot, child, key, &parent.def, tuple)
                    && !on_orphan(told(tuple, child, &error))
                {
                    return;
                }
            }
        }
    }
}

fn told(row: &[u8], space: &SpaceDef, error: &Error) -> String {
    let (row, name) = (Printed(row), &space.name);
    format!("row {row} of space '{name}': {}", error.message())
}

/// Builds the secondary indexes that the checks look things up by: of the system spaces, and of
/// those that foreign keys lead to. Returns the spaces that nothing can be asked of: they are not
/// there, which is told of the definition, or have an index that cannot be built, which is told
/// where keys are checked.
fn index_definitions(image: &mut Image) -> Vec<u32> {
    let referred: Vec<u32> = image.referrers.parents().collect();
    let all = DEFINITIONS.into_iter().chain(referred);
    all.filter(|id| image.space(*id).is_none() || !image.index(*id))
        .collect()
}
