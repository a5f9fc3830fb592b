//! Foreign keys where definitions change, of the space that refers and of the one referred to.
//!
//! ```text
//!   a definition ─▶ its foreign keys lead to spaces ─▶ what they newly ask is true of all tuples
//!                ─▶ those that lead to it go on to mean what they meant, or else the same
//!   a space goes, or is emptied ─▶ no other space refers to it, or those that do are empty
//! ```

use std::sync::Arc;

use vestibule_wire::Error;

use super::Busy;
use crate::errors::{self, foreign_key as foreign_key_errors};
use crate::limits::{FOREIGN_KEYS_MAX, QUIET_CHECKS_MAX, REFERRERS_MAX};
use crate::model::foreign_key::ForeignKey;
use crate::model::index::PRIMARY;
use crate::model::space::SpaceDef;
use crate::schema::system::rows::SpaceRow;
use crate::schema::system::{self, read, system_key};
use crate::store::snapshot::Snapshot;

/// When foreign keys are held against what they refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReferenceChecks {
    /// With each change.
    Now,
    /// All together, when everything is there: rows come in no order.
    Later,
}

/// Checks the foreign keys of a space that is put with this definition, and those that lead to it.
pub(super) fn put_space(
    snapshot: Snapshot<'_>,
    row: &SpaceRow,
    def: &SpaceDef,
    when: ReferenceChecks,
    busy: &mut Busy<'_, '_>,
) -> Result<(), Error> {
    if def.foreign_keys.len() > FOREIGN_KEYS_MAX {
        return Err(errors::cannot_alter_space(
            &def.name,
            "too many foreign keys",
        ));
    }
    if when == ReferenceChecks::Later {
        return Ok(());
    }
    for key in &def.foreign_keys {
        check_parent(snapshot, row, def, key)?;
    }
    for (child, key) in leading_to(snapshot, def.id) {
        if def.is_temporary && !child.is_temporary {
            let why = format!(
                "foreign key '{}' from non-data-temporary space '{}' can't refer to \
                 data-temporary space",
                key.name, child.name
            );
            return Err(errors::cannot_alter_space(&def.name, &why));
        }
    }
    check_data(snapshot, def, busy)
}

/// Checks whether a foreign key leads to a space that it may lead to.
fn check_parent(
    snapshot: Snapshot<'_>,
    row: &SpaceRow,
    def: &SpaceDef,
    key: &ForeignKey,
) -> Result<(), Error> {
    let id = key.parent(def.id);
    if id == def.id {
        return Ok(());
    }
    let refuse = |why: &str| Err(foreign_key_errors::cannot_create(&key.name, &def.name, why));
    let Some(parent) = read::space(snapshot, id)? else {
        return refuse(&format!("foreign space '{id}' was not found by id"));
    };
    if system::is_system(id) {
        return refuse("a foreign key can't refer to a system space");
    }
    if parent.options.is_temporary && !def.is_temporary {
        let why = "foreign key from non-data-temporary space can't refer to data-temporary space";
        return refuse(why);
    }
    if parent.options.is_local() && !row.options.is_local() {
        return refuse("foreign key from non-local space can't refer to local space");
    }
    let others = snapshot.image.referrers.of(id);
    if others.filter(|other| *other != def.id).count() >= REFERRERS_MAX {
        return refuse("too many spaces refer to that space");
    }
    Ok(())
}

/// Checks tuples against foreign keys that ask something else than before.
fn check_data(
    snapshot: Snapshot<'_>,
    def: &SpaceDef,
    busy: &mut Busy<'_, '_>,
) -> Result<(), Error> {
    let Some(old) = snapshot.image.space(def.id).map(|space| &space.def) else {
        return Ok(());
    };
    let parent_of = |key: &ForeignKey, own| definition(snapshot, key.parent(def.id), def.id, own);
    for key in &def.foreign_keys {
        let Some(parent) = parent_of(key, def) else {
            continue;
        };
        let asked = (parent.id, key.resolved(def, parent));
        let is_old = old.foreign_keys.iter().any(|before| {
            let parent = parent_of(before, old);
            parent.is_some_and(|parent| (parent.id, before.resolved(old, parent)) == asked)
        });
        if !is_old {
            check_children(snapshot, def, key, parent, busy)?;
        }
    }
    for (child, key) in leading_to(snapshot, def.id) {
        let asked = key.resolved(child, def);
        if asked.is_some() && asked != key.resolved(child, old) {
            check_children(snapshot, child, key, def, busy)?;
        }
    }
    Ok(())
}

/// The definition of a space, which is `own_def` for the one that is about to be put.
fn definition<'a>(
    snapshot: Snapshot<'a>,
    id: u32,
    own: u32,
    own_def: &'a SpaceDef,
) -> Option<&'a SpaceDef> {
    if id == own {
        return Some(own_def);
    }
    snapshot.image.space(id).map(|space| &*space.def)
}

/// Checks whether all tuples of a space have what one of its foreign keys asks for.
fn check_children(
    snapshot: Snapshot<'_>,
    child: &SpaceDef,
    key: &ForeignKey,
    parent: &SpaceDef,
    busy: &mut Busy<'_, '_>,
) -> Result<(), Error> {
    let Some(space) = snapshot.image.space(child.id) else {
        return Ok(());
    };
    let total = space.rows.len() as u64;
    busy.begin(total, || {
        format!(
            "checking the tuples of space '{}' against foreign key '{}'",
            child.name, key.name
        )
    });
    for (done, tuple) in (0..).zip(space.rows.tuples()) {
        if u64::is_multiple_of(done, QUIET_CHECKS_MAX) && !busy.progress(done, total) {
            return Err(Error::cancelled());
        }
        check_child(snapshot, child, key, parent, tuple)?;
    }
    Ok(())
}

/// Checks whether a tuple has what a foreign key asks for.
///
/// # Errors
///
/// `ErrorCode::FIELD_FOREIGN_KEY_FAILED` or `ErrorCode::COMPLEX_FOREIGN_KEY_FAILED` if not.
pub(crate) fn check_child(
    snapshot: Snapshot<'_>,
    child: &SpaceDef,
    key: &ForeignKey,
    parent: &SpaceDef,
    tuple: &[u8],
) -> Result<(), Error> {
    match key.needed(child, parent, tuple)? {
        Some((index, wanted)) if snapshot.find(parent.id, index.id, &wanted).is_none() => {
            Err(key.failed(child, "foreign tuple was not found"))
        }
        _ => Ok(()),
    }
}

/// Foreign keys of other spaces that lead to one, with the spaces' definitions. A space that the
/// same turn drops does not count any more.
fn leading_to(
    snapshot: Snapshot<'_>,
    parent: u32,
) -> impl Iterator<Item = (&Arc<SpaceDef>, &ForeignKey)> {
    let others = snapshot.image.referrers.of(parent);
    let others = others.filter(move |child| *child != parent);
    let there = others.filter(move |child| {
        let row = snapshot.get(system::SPACE, &system_key(&[*child]));
        row.is_some()
    });
    let defs = there.filter_map(move |child| snapshot.image.space(child).map(|space| &space.def));
    defs.flat_map(move |child| {
        let keys = child.foreign_keys.iter();
        let leading = keys.filter(move |key| key.parent(child.id) == parent);
        leading.map(move |key| (child, key))
    })
}

/// Checks whether a space may go: no other space refers to it.
pub(super) fn check_drop(snapshot: Snapshot<'_>, space: u32, name: &str) -> Result<(), Error> {
    match leading_to(snapshot, space).next() {
        Some(_) => Err(foreign_key_errors::is_referenced(name)),
        None => Ok(()),
    }
}

/// Checks whether a space may be emptied: what refers to it is empty.
pub(super) fn check_truncate(snapshot: Snapshot<'_>, space: u32, name: &str) -> Result<(), Error> {
    let mut children = leading_to(snapshot, space).map(|(child, _)| child.id);
    if children.any(|child| snapshot.len(child, PRIMARY) > 0) {
        return Err(foreign_key_errors::is_referenced(name));
    }
    Ok(())
}
