//! Objects are dropped with all that hangs on them. Everything here is for use inside
//! [`EmbeddedEngine::alter`].

use std::collections::BTreeSet;

use vestibule_actors::engine::Reply;
use vestibule_wire::Error;
use vestibule_wire::request::IdOrName;

use crate::ddl::grant_checks;
use crate::engine::EmbeddedEngine;
use crate::privileges::ObjectKind;
use crate::schema::system::grant_rows::Head;
use crate::schema::system::read::{self, attachment as attachment_of};
use crate::schema::system::rows::UserRow;
use crate::schema::system::{self, system_key};
use crate::store::snapshot::Snapshot;

/// Takes back every right on an object that is about to go: who may drop it need not have granted
/// them. If it may not be dropped after all, the whole change is forgotten.
fn revoke_all(
    engine: &mut EmbeddedEngine,
    kind: ObjectKind,
    id: u64,
    reply: &Reply<'_>,
) -> Result<(), Error> {
    engine.as_admin(|engine| {
        for grant in engine.look(|snapshot| read::grants_on(snapshot, kind, id))? {
            engine.delete_system(system::PRIV, &grant.encode(), reply)?;
        }
        Ok(())
    })
}

/// Detaches what is attached to a space; a sequence that was made for it goes too.
///
/// # Errors
///
/// Those of the checks of `_sequence`.
pub(super) fn attached_sequence(
    engine: &mut EmbeddedEngine,
    space: u32,
    reply: &Reply<'_>,
) -> Result<(), Error> {
    let Some(old) = engine.look(|snapshot| attachment_of(snapshot, space))? else {
        return Ok(());
    };
    attachment(engine, space, reply)?;
    if old.is_generated {
        sequence(engine, old.sequence, reply)?;
    }
    Ok(())
}

/// Detaches the sequence of a space, and leaves the sequence as it is.
pub(super) fn attachment(
    engine: &mut EmbeddedEngine,
    space: u32,
    reply: &Reply<'_>,
) -> Result<(), Error> {
    let attachments = engine.definition(IdOrName::Id(system::SPACE_SEQUENCE))?;
    let key = system_key(&[space]);
    engine
        .change_system(&attachments, key, None, reply)
        .map(drop)
}

/// Drops a space with its indexes and the rights that others have on it.
pub(super) fn space(engine: &mut EmbeddedEngine, id: u32, reply: &Reply<'_>) -> Result<(), Error> {
    let [indexes, spaces, truncations] = [system::INDEX, system::SPACE, system::TRUNCATE]
        .map(|id| engine.definition(IdOrName::Id(id)));
    let (indexes, spaces, truncations) = (indexes?, spaces?, truncations?);
    attached_sequence(engine, id, reply)?;
    // The primary index goes last: the others need it.
    let rows = engine.look(|snapshot| read::index_rows(snapshot, id))?;
    for index in rows.iter().rev() {
        let key = system_key(&[id, index.id]);
        engine.change_system(&indexes, key, None, reply)?;
    }
    revoke_all(engine, ObjectKind::Space, u64::from(id), reply)?;
    let key = system_key(&[id]);
    engine.as_admin(|engine| engine.change_system(&truncations, key.clone(), None, reply))?;
    engine.change_system(&spaces, key, None, reply).map(|_| ())
}

/// Drops an index. What is attached to a primary one is detached before.
pub(super) fn index(
    engine: &mut EmbeddedEngine,
    space: u32,
    index: u32,
    reply: &Reply<'_>,
) -> Result<(), Error> {
    let indexes = engine.definition(IdOrName::Id(system::INDEX))?;
    engine
        .change_system(&indexes, system_key(&[space, index]), None, reply)
        .map(|_| ())
}

/// Removes a sequence and its value.
pub(super) fn sequence(
    engine: &mut EmbeddedEngine,
    id: u32,
    reply: &Reply<'_>,
) -> Result<(), Error> {
    revoke_all(engine, ObjectKind::Sequence, u64::from(id), reply)?;
    let key = system_key(&[id]);
    let values = engine.definition(IdOrName::Id(system::SEQUENCE_DATA))?;
    engine.as_admin(|engine| engine.change_system(&values, key.clone(), None, reply))?;
    let sequences = engine.definition(IdOrName::Id(system::SEQUENCE))?;
    engine
        .change_system(&sequences, key, None, reply)
        .map(|_| ())
}

/// Drops a function with the rights that others have on it.
pub(super) fn function(
    engine: &mut EmbeddedEngine,
    id: u32,
    reply: &Reply<'_>,
) -> Result<(), Error> {
    revoke_all(engine, ObjectKind::Function, u64::from(id), reply)?;
    let def = engine.definition(IdOrName::Id(system::FUNC))?;
    engine
        .change_system(&def, system_key(&[id]), None, reply)
        .map(|_| ())
}

/// Drops a user or a role with all that it owns and all rights that it has.
pub(super) fn principal(
    engine: &mut EmbeddedEngine,
    row: &UserRow,
    reply: &Reply<'_>,
) -> Result<(), Error> {
    let spaces = engine.look(|snapshot| {
        owned_by(snapshot, system::SPACE, row.id).map(|own| children_first(snapshot, own))
    })?;
    for space in spaces {
        self::space(engine, space, reply)?;
    }
    let sequences = engine.look(|snapshot| owned_by(snapshot, system::SEQUENCE, row.id))?;
    for sequence in sequences {
        self::sequence(engine, sequence, reply)?;
    }
    for function in engine.look(|snapshot| owned_by(snapshot, system::FUNC, row.id))? {
        self::function(engine, function, reply)?;
    }
    engine.as_admin(|engine| {
        for grant in engine.look(|snapshot| read::grants_of(snapshot, row.id))? {
            engine.delete_system(system::PRIV, &grant.encode(), reply)?;
        }
        for grant in engine.look(|snapshot| grant_checks::grants_on_user(snapshot, row.id))? {
            engine.delete_system(system::PRIV, &grant.encode(), reply)?;
        }
        Ok(())
    })?;
    engine.delete_system(system::USER, &row.encode(), reply)
}

/// Spaces in an order in which they can be dropped: those whose foreign keys lead to others go
/// before these. Those that lead around in a circle come last.
fn children_first(snapshot: Snapshot<'_>, spaces: Vec<u32>) -> Vec<u32> {
    let image = snapshot.image;
    let mut left: BTreeSet<u32> = spaces.into_iter().collect();
    let is_other = |space: u32, left: &BTreeSet<u32>| {
        let mut children = image.referrers.of(space);
        children.any(|child| child != space && left.contains(&child))
    };
    let is_free = |space: &u32| !is_other(*space, &left);
    let (free, rest) = left.iter().copied().partition::<Vec<u32>, _>(is_free);
    let mut order = free;
    left = rest.into_iter().collect();
    let mut at = 0;
    while let Some(space) = order.get(at).copied() {
        at += 1;
        let def = image.space(space).map(|space| space.def.clone());
        for key in def.iter().flat_map(|def| &def.foreign_keys) {
            let parent = key.parent(space);
            if left.contains(&parent) && !is_other(parent, &left) {
                left.remove(&parent);
                order.push(parent);
            }
        }
    }
    order.extend(left);
    order
}

/// Numbers of the spaces, functions or sequences that somebody owns.
fn owned_by(snapshot: Snapshot<'_>, space: u32, owner: u64) -> Result<Vec<u32>, Error> {
    let own = read::owned_by(snapshot, space, owner);
    own.map(|row| object_id(Head::decode(row)?.id)).collect()
}

/// The number of an object, which the system's rows keep in 32 bits.
pub(super) fn object_id(id: u64) -> Result<u32, Error> {
    u32::try_from(id).map_err(|_| Error::invalid_msgpack("system row"))
}
