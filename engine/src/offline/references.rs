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

use super::{Contents, DEFINITIONS};
use crate::ddl::{self, Busy};
use crate::print::Printed;
use crate::schema::system;
use crate::store::image::Image;
use crate::store::index_build;
use crate::store::snapshot::Snapshot;

impl Contents {
    /// Tells each definition that contradicts others: a grant of what is not there, for example.
    pub fn check_references(&mut self, on_damage: &mut dyn FnMut(String)) {
        index_definitions(&mut self.image);
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
                let mut busy = Busy::new(&reply);
                // Functions are made and dropped, and not changed.
                let old = (id != system::FUNC).then_some(&**row);
                if let Err(error) = ddl::check(snapshot, &space.def, old, Some(row), &mut busy) {
                    on_damage(format!(
                        "row {} of space '{}': {}",
                        Printed(row),
                        space.def.name,
                        error.message()
                    ));
                }
            }
        }
    }
}

/// Builds the secondary indexes of the system spaces, by which the checks look things up. One that
/// has a key twice stays empty: that is told where keys are checked.
fn index_definitions(image: &mut Image) {
    for id in DEFINITIONS {
        let Some(space) = image.space_mut(id) else {
            continue;
        };
        let def = space.def.clone();
        for index in &def.secondaries {
            let built = index_build::build(index, space.rows.tuples(), &mut |_| true);
            if let (Ok(tree), Some(own)) = (built, space.tree_mut(index.id)) {
                *own = tree;
            }
        }
    }
}
