//! What may be written into the system spaces, checked in one place for `box.schema.*` and for
//! clients that write there themselves.
//!
//! ```text
//!   space:create_index, …  ─▶ row ─┐
//!   REPLACE into _index …  ─▶ row ─┴─▶ check ─▶ turn ─▶ journal ─▶ image redefines the space
//! ```
//!
//! After the checks nothing may fail: the row is journaled, and replay trusts it.
//!
//! | module | what |
//! |---|---|
//! | `foreign_keys` | foreign keys of the space that refers, and of the one referred to |
//! | `grant_checks` | who may change system spaces, and what may stand in `_priv` and `_func` |
//! | `sequence_checks` | what may stand in the spaces of sequences |

pub(crate) mod foreign_keys;
pub(crate) mod grant_checks;
pub(crate) mod sequence_checks;

use vestibule_actors::engine::Reply;
use vestibule_actors::engine::SoloGuard;
use vestibule_wire::Error;
use vestibule_wire::auth::PasswordHash;

use crate::errors::{self, access as access_errors, parts as part_errors};
use crate::limits::{INDEX_ID_MAX, QUIET_CHECKS_MAX, USER_ID_MAX, USERS_MAX};
use crate::model::index::{IndexDef, IndexKind, PRIMARY, Part};
use crate::model::part_path::PathStep;
use crate::model::space::SpaceDef;
use crate::privileges::ObjectKind;
use crate::schema::build::define;
use crate::schema::system::grant_rows::Head;
use crate::schema::system::rows::{IndexRow, Refuse, SpaceRow, UserRow, check_name};
use crate::schema::system::{self, USER_ID_MIN, read, system_key};
use crate::store::index_build::{self, Built, Room};
use crate::store::snapshot::Snapshot;
use foreign_keys::ReferenceChecks;

/// What a check may take: declares Tx busy once it takes long, and bounds the memory of indexes.
pub(crate) struct Busy<'r, 'a> {
    reply: &'r Reply<'a>,
    room: Room,
    guard: Option<SoloGuard>,
}

impl<'r, 'a> Busy<'r, 'a> {
    pub(crate) fn new(reply: &'r Reply<'a>, room: Room) -> Self {
        Self {
            reply,
            room,
            guard: None,
        }
    }

    /// Begins a part of the work, in place of the one before.
    fn begin(&mut self, total: u64, reason: impl FnOnce() -> String) {
        if total > QUIET_CHECKS_MAX {
            // The new guard is there before the old one goes.
            self.guard = Some(self.reply.solo(reason()));
        }
    }

    /// Tells how far it is; false if nobody waits for it any more.
    fn progress(&self, done: u64, total: u64) -> bool {
        if let Some(guard) = &self.guard {
            guard.progress(done, total);
        }
        !self.reply.is_cancelled()
    }
}

/// Checks a change of a row of a system space, and builds the indexes that it asks for.
///
/// # Errors
///
/// Why it may not be made.
pub(crate) fn check(
    snapshot: Snapshot<'_>,
    space: &SpaceDef,
    old: Option<&[u8]>,
    new: Option<&[u8]>,
    references: ReferenceChecks,
    busy: &mut Busy<'_, '_>,
) -> Result<Vec<Built>, Error> {
    let checked = match (space.id, old, new) {
        (_, None, None) => Ok(()),
        (system::SPACE, old, Some(new)) => put_space(snapshot, old, new, references, busy),
        (system::SPACE, Some(old), None) => delete_space(snapshot, old),
        (system::INDEX, _, Some(new)) => return put_index(snapshot, new, busy),
        (system::INDEX, Some(old), None) => delete_index(snapshot, old),
        (system::USER, old, Some(new)) => put_user(snapshot, old, new),
        (system::USER, Some(old), None) => delete_user(snapshot, old),
        (system::PRIV, _, new) => grant_checks::check_priv(snapshot, new),
        (system::FUNC, old, new) => grant_checks::check_func(snapshot, old, new),
        (system::SEQUENCE, old, new) => sequence_checks::check_sequence(snapshot, old, new),
        (system::SEQUENCE_DATA, _, new) => sequence_checks::check_value(snapshot, new),
        (system::SPACE_SEQUENCE, _, new) => sequence_checks::check_attachment(snapshot, new),
        (system::TRUNCATE, _, Some(new)) => put_truncate(snapshot, space, new),
        // The row goes with its space; without it, nothing changes.
        (system::TRUNCATE, Some(_), None) => Ok(()),
        _ => Err(errors::unsupported(&format!(
            "changes of system space '{}'",
            space.name
        ))),
    };
    checked.map(|()| Vec::new())
}

fn put_space(
    snapshot: Snapshot<'_>,
    old: Option<&[u8]>,
    new: &[u8],
    references: ReferenceChecks,
    busy: &mut Busy<'_, '_>,
) -> Result<(), Error> {
    let refuse: Refuse = match old {
        None => errors::cannot_create_space,
        Some(_) => errors::cannot_alter_space,
    };
    let row = SpaceRow::decode_new(new, refuse)?;
    check_name(&row.name)?;
    if row.id == 0 {
        return Err(refuse(&row.name, "space id 0 is reserved"));
    }
    if system::is_system(row.id) {
        return Err(refuse(&row.name, "numbers 256 to 511 are the system's"));
    }
    match &*row.engine {
        "memtx" => {}
        "vinyl" => return Err(errors::unsupported("engine 'vinyl'")),
        other => return Err(errors::no_such_engine(other)),
    }
    if let Some(stored) = snapshot.image.space(row.id)
        && stored.def.is_temporary != row.options.is_temporary
        && !stored.rows.is_empty()
    {
        let why = "can not switch temporary flag on a non-empty space";
        return Err(refuse(&row.name, why));
    }
    if let Some(same) = read::space_with_name(snapshot, &row.name)?
        && same.id != row.id
    {
        return Err(errors::duplicate("name", "_space", &same.encode(), new));
    }
    let indexes = read::index_rows(snapshot, row.id)?;
    let def = define(&row, &indexes)?;
    if let Some((_, error)) = first_misfit(snapshot, &def, busy) {
        return Err(error);
    }
    foreign_keys::put_space(snapshot, &row, &def, references, busy)
}

/// How many tuples of a space fit its new definition before the first that does not, and why not.
fn first_misfit(
    snapshot: Snapshot<'_>,
    def: &SpaceDef,
    busy: &mut Busy<'_, '_>,
) -> Option<(usize, Error)> {
    let space = snapshot.image.space(def.id)?;
    if space.def.has_same_rules(def) {
        return None;
    }
    let total = space.rows.len() as u64;
    busy.begin(total, || {
        format!(
            "checking the tuples of space '{}' against its new definition",
            def.name
        )
    });
    for (done, tuple) in space.rows.tuples().enumerate() {
        if (done as u64).is_multiple_of(QUIET_CHECKS_MAX) && !busy.progress(done as u64, total) {
            return Some((done, Error::cancelled()));
        }
        if let Err(error) = def.check(tuple) {
            return Some((done, error));
        }
    }
    None
}

fn delete_space(snapshot: Snapshot<'_>, old: &[u8]) -> Result<(), Error> {
    let row = SpaceRow::decode(old)?;
    if system::is_system(row.id) {
        return Err(errors::cannot_drop_space(
            &row.name,
            "the space is a system space",
        ));
    }
    if !read::index_rows(snapshot, row.id)?.is_empty() {
        return Err(errors::cannot_drop_space(
            &row.name,
            "the space has indexes",
        ));
    }
    if grant_checks::has_grants(snapshot, ObjectKind::Space, u64::from(row.id))? {
        return Err(errors::cannot_drop_space(&row.name, "the space has grants"));
    }
    if snapshot
        .get(system::TRUNCATE, &system_key(&[row.id]))
        .is_some()
    {
        let why = "the space has truncate record";
        return Err(errors::cannot_drop_space(&row.name, why));
    }
    foreign_keys::check_drop(snapshot, row.id, &row.name)
}

fn put_index(
    snapshot: Snapshot<'_>,
    new: &[u8],
    busy: &mut Busy<'_, '_>,
) -> Result<Vec<Built>, Error> {
    let (id, index, name) = IndexRow::identity(new)?;
    let space = snapshot.get(system::SPACE, &system_key(&[id]));
    let space = SpaceRow::decode(space.ok_or_else(|| Error::no_such_space(id))?)?;
    let mut indexes = read::index_rows(snapshot, id)?;
    let is_taken = |other: &&IndexRow| *other.name == *name && other.id != index;
    if let Some(same) = indexes.iter().find(is_taken) {
        return Err(errors::duplicate("name", "_index", &same.encode(), new));
    }
    if index != PRIMARY && indexes.iter().all(|other| other.id != PRIMARY) {
        let why = "can not add a secondary key before primary";
        return Err(errors::cannot_alter_space(&space.name, why));
    }
    let row = IndexRow::decode_new(new)?;
    if system::is_system(id) {
        let why = "indexes of system spaces are fixed";
        return Err(errors::cannot_modify_index(&row.name, &space.name, why));
    }
    check_name(&row.name)?;
    check_index(&space, &row)?;
    indexes.retain(|other| other.id != row.id);
    if row.id == PRIMARY
        && let Some(attachment) = read::attachment(snapshot, row.space)?
    {
        sequence_checks::check_index(&space.name, &row, attachment.field)?;
    }
    // What is new contradicts what is there, not the other way round; but the primary index is
    // first.
    let at = if row.id == PRIMARY { 0 } else { indexes.len() };
    indexes.insert(at, row);
    define(&space, &indexes)?;
    // As recovery finds them.
    indexes.sort_by_key(|index| index.id);
    let def = define(&space, &indexes)?;
    // Of a tuple that does not fit and a duplicate, the one that a walk meets first is told.
    let (fit, error) = match first_misfit(snapshot, &def, busy) {
        Some((fit, error)) => (fit, Err(error)),
        None => (usize::MAX, Ok(())),
    };
    let built = build_indexes(snapshot, &def, fit, busy)?;
    error.map(|()| built)
}

/// Builds the indexes of a definition whose keys are not those of the indexes that are there, from
/// the first `count` tuples.
fn build_indexes(
    snapshot: Snapshot<'_>,
    def: &SpaceDef,
    count: usize,
    busy: &mut Busy<'_, '_>,
) -> Result<Vec<Built>, Error> {
    let stored = snapshot.image.space(def.id);
    let Some(stored) = stored.filter(|stored| !stored.rows.is_empty()) else {
        return Ok(Vec::new());
    };
    let old_primary = stored.def.primary()?;
    let is_new = |index: &&IndexDef| {
        let mut old = stored.def.indexes();
        !old.any(|old| old.id == index.id && old.has_same_keys(index))
    };
    let wanted: Vec<_> = def.indexes().filter(is_new).collect();
    let mut room = busy.room;
    let build = |index: &IndexDef| {
        let total = index_build::work(index, &stored.rows);
        busy.begin(total, || {
            format!("building index '{}' of space '{}'", index.name, def.name)
        });
        let mut done = 0;
        let tuples = stored.rows.tuples().take(count);
        let built = index_build::build(index, tuples, room, &mut |step| {
            done += step;
            busy.progress(done, total)
        });
        let tree = built.map_err(|failure| failure.error(def, index, old_primary))?;
        room = room.beside(tree.tally().nodes);
        let (space, index) = (def.id, index.id);
        Ok(Built { space, index, tree })
    };
    wanted.into_iter().map(build).collect()
}

fn check_index(space: &SpaceRow, row: &IndexRow) -> Result<(), Error> {
    let refuse = |why: &str| Err(errors::cannot_modify_index(&row.name, &space.name, why));
    check_paths(row)?;
    if row.id >= INDEX_ID_MAX {
        return refuse("index id too big");
    }
    if row.id == PRIMARY && !row.is_unique {
        return refuse("primary key must be unique");
    }
    if row.parts.is_empty() {
        return refuse("part count must be positive");
    }
    if row.id == PRIMARY
        && let Some(collation) = row.parts.iter().find_map(|part| part.collation)
    {
        return Err(part_errors::collated_primary(&collation.known().name()));
    }
    for (at, part) in row.parts.iter().enumerate() {
        if part.exclude_null && !part.is_nullable {
            let why = "exclude_null=true and is_nullable=false are incompatible";
            return Err(errors::wrong_index_options(at + 1, why));
        }
        let mut earlier = row.parts[..at].iter();
        if earlier.any(|earlier| earlier.is_same_place(part)) {
            return refuse("same key part is indexed twice");
        }
    }
    check_multikey(space, row)?;
    check_index_kind(space, row)
}

/// What is asked of paths that take every element of an array, in Tarantool's words.
fn check_paths(row: &IndexRow) -> Result<(), Error> {
    let mut first = None;
    for (at, part) in row.parts.iter().enumerate() {
        let wrong = |why: &str| Err(errors::wrong_index_options(at + 1, why));
        let path = part.path.as_ref().and_then(|path| path.around_any());
        let Some((outside, inside)) = path else {
            continue;
        };
        if *first.get_or_insert((part.field, outside)) != (part.field, outside) {
            return wrong("incompatable multikey index path");
        }
        if inside.contains(&PathStep::Any) {
            return wrong("no more than one array index placeholder [*] is allowed in JSON path");
        }
    }
    Ok(())
}

/// Which indexes have no keys of several elements.
fn check_multikey(space: &SpaceRow, row: &IndexRow) -> Result<(), Error> {
    let refuse = |why: &str| Err(errors::cannot_modify_index(&row.name, &space.name, why));
    if !row.parts.iter().any(Part::is_multikey) {
        return Ok(());
    }
    if row.id == PRIMARY {
        return refuse("primary key cannot be multikey");
    }
    if IndexKind::from_name(&row.kind) == Some(IndexKind::Hash) {
        return refuse("HASH index cannot be multikey");
    }
    Ok(())
}

/// What only one kind of index asks.
fn check_index_kind(space: &SpaceRow, row: &IndexRow) -> Result<(), Error> {
    let refuse = |why: &str| Err(errors::cannot_modify_index(&row.name, &space.name, why));
    let kind = IndexKind::from_name(&row.kind);
    if row.parts.iter().any(|part| part.is_nullable) {
        if row.id == PRIMARY {
            return Err(errors::nullable_primary(&space.name));
        }
        if kind == Some(IndexKind::Hash) {
            return Err(Error::unsupported("HASH", "nullable parts"));
        }
    }
    let descending = row.parts.iter().position(|part| part.is_descending);
    if let Some(at) = descending.filter(|_| kind == Some(IndexKind::Hash)) {
        let why = "unordered indexes do not support sort_order";
        return Err(errors::wrong_index_options(at + 1, why));
    }
    match kind {
        None => return Err(errors::index_type(&row.name, &space.name)),
        Some(IndexKind::Hash) if !row.is_unique => return refuse("HASH index must be unique"),
        Some(IndexKind::Hash) if row.options.flag("hint") => {
            return refuse("hint is only reasonable with memtx tree index");
        }
        Some(_) => {}
    }
    match row.parts.iter().find(|part| !part.kind.is_indexable()) {
        Some(part) => refuse(&format!("field type '{}' is not supported", part.kind)),
        None => Ok(()),
    }
}

fn delete_index(snapshot: Snapshot<'_>, old: &[u8]) -> Result<(), Error> {
    let row = IndexRow::decode(old)?;
    let space = snapshot.get(system::SPACE, &system_key(&[row.space]));
    let space = SpaceRow::decode(space.ok_or_else(|| Error::no_such_space(row.space))?)?;
    if system::is_system(row.space) {
        let why = "indexes of system spaces are fixed";
        return Err(errors::cannot_modify_index(&row.name, &space.name, why));
    }
    if row.id == PRIMARY && read::index_rows(snapshot, row.space)?.len() > 1 {
        return Err(errors::cannot_drop_primary(&space.name));
    }
    if row.id == PRIMARY && read::attachment(snapshot, row.space)?.is_some() {
        let why = "can not drop primary key while space sequence exists";
        return Err(errors::cannot_alter_space(&space.name, why));
    }
    if row.id == PRIMARY {
        foreign_keys::check_truncate(snapshot, row.space, &space.name)?;
    }
    Ok(())
}

fn put_user(snapshot: Snapshot<'_>, old: Option<&[u8]>, new: &[u8]) -> Result<(), Error> {
    let row = UserRow::decode(new)?;
    check_name(&row.name)?;
    if !matches!(&*row.kind, "user" | "role") {
        return Err(errors::cannot_create_user(&row.name, "unknown user type"));
    }
    if row.id > USER_ID_MAX {
        return Err(errors::cannot_create_user(&row.name, "user id is too big"));
    }
    if let Some(same) = read::with_name(snapshot, system::USER, &row.name)
        && Head::decode(same)?.id != row.id
    {
        return Err(errors::user_exists(&row.name));
    }
    if row.is_role() && row.password.is_some() {
        return Err(access_errors::role_with_password(&row.name));
    }
    if row.id == system::GUEST && row.password != Some(PasswordHash::of("")) {
        return Err(access_errors::guest_password());
    }
    if old.is_none() && snapshot.len(system::USER, PRIMARY) >= USERS_MAX {
        return Err(access_errors::too_many_users());
    }
    let Some(old) = old.map(UserRow::decode).transpose()? else {
        return Ok(());
    };
    if old.id < USER_ID_MIN && (old.name != row.name || old.kind != row.kind) {
        return Err(errors::unsupported("renaming the system's users"));
    }
    let was = if old.is_role() {
        ObjectKind::Role
    } else {
        ObjectKind::User
    };
    if old.kind != row.kind && grant_checks::has_grants(snapshot, was, old.id)? {
        let why = format!("it is granted as a {}", old.kind);
        return Err(errors::cannot_create_user(&row.name, &why));
    }
    Ok(())
}

fn delete_user(snapshot: Snapshot<'_>, old: &[u8]) -> Result<(), Error> {
    let row = UserRow::decode(old)?;
    if row.id < USER_ID_MIN {
        return Err(errors::cannot_drop_user(
            &row.name,
            "the user or the role is a system",
        ));
    }
    if grant_checks::is_in_use(snapshot, row.id)? {
        return Err(errors::cannot_drop_user(&row.name, "the user has objects"));
    }
    Ok(())
}

fn put_truncate(snapshot: Snapshot<'_>, space: &SpaceDef, new: &[u8]) -> Result<(), Error> {
    let key = space.primary()?.key_of(new);
    let key = key.map_err(|_| Error::invalid_msgpack("system row"))?;
    let id = u32::try_from(key.first_number()).unwrap_or(u32::MAX);
    let Some(truncated) = read::space(snapshot, id)? else {
        return Err(Error::no_such_space(id));
    };
    if system::is_system(id) {
        return Err(errors::unsupported("truncating a system space"));
    }
    foreign_keys::check_truncate(snapshot, id, &truncated.name)
}
