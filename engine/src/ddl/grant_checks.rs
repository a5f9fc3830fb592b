//! Who may change a row of a system space, and what may stand in `_priv` and `_func`.
//!
//! ```text
//!   a change ─▶ may the space be written?
//!                 └▶ may the object be made, changed, dropped, granted? ─▶ ddl::check
//! ```
//!
//! The same for procedures and for clients that write there themselves.

use std::collections::BTreeSet;

use vestibule_wire::Error;
use vestibule_wire::request::IdOrName;

use crate::access::OWNED;
use crate::access::rights::Rights;
use crate::errors::{self, access as access_errors};
use crate::limits::FUNCTION_ID_MAX;
use crate::model::space::SpaceDef;
use crate::privileges::{Object, ObjectKind, Privileges, granted_role};
use crate::schema::system::grant_rows::{FuncRow, Head, PrivRow};
use crate::schema::system::rows::{SpaceRow, check_name};
use crate::schema::system::sequence_rows::AttachmentRow;
use crate::schema::system::{self, PUBLIC, read, system_key};
use crate::store::snapshot::Snapshot;

/// Checks whether somebody may change a row of a system space.
///
/// # Errors
///
/// `ErrorCode::NO_SUCH_USER` if the user is gone, `ErrorCode::ACCESS_DENIED`, and what is wrong
/// with a row that names what is not there.
pub(crate) fn authorize(
    rights: &Rights,
    snapshot: Snapshot<'_>,
    space: &SpaceDef,
    old: Option<&[u8]>,
    new: Option<&[u8]>,
) -> Result<(), Error> {
    if rights.is_admin && rights.universe == Privileges::ALL {
        return Ok(());
    }
    let (id, name) = (space.id, &*space.name);
    rights.check_space(Privileges::WRITE, IdOrName::Id(id), Some((id, name)))?;
    let Some(row) = new.or(old) else {
        return Ok(());
    };
    let needed = match (old, new) {
        (None, _) => Privileges::CREATE,
        (Some(_), None) => Privileges::DROP,
        (Some(_), Some(_)) => Privileges::ALTER,
    };
    if let Some(kind) = read::owned_kind(id, row)? {
        of_head(rights, needed, kind, row)?;
        check_owner(rights, needed, kind, old, new)?;
        return match new.filter(|_| kind == ObjectKind::Space) {
            Some(new) => of_parents(rights, snapshot, old, new),
            None => Ok(()),
        };
    }
    match id {
        system::INDEX => of_space(rights, snapshot, needed, row),
        system::SPACE_SEQUENCE => {
            of_attachment(rights, snapshot, needed, row)?;
            of_space(rights, snapshot, Privileges::ALTER, row)
        }
        system::TRUNCATE => truncation(rights, snapshot, row),
        system::PRIV => {
            let doing = if new.is_some() {
                Privileges::GRANT
            } else {
                Privileges::REVOKE
            };
            grant(rights, snapshot, doing, &PrivRow::decode(row)?)
        }
        _ => Ok(()),
    }
}

/// An owner may do everything with an object and give rights on it to others, and a setuid function
/// has the rights of its owner. So to alter an object is not enough to give it to somebody, oneself
/// for example, nor is to create functions enough to make one that acts for `admin`. (Tarantool
/// lets both pass.)
fn check_owner(
    rights: &Rights,
    needed: Privileges,
    kind: ObjectKind,
    old: Option<&[u8]>,
    new: Option<&[u8]>,
) -> Result<(), Error> {
    let Some(row) = new else { return Ok(()) };
    let head = Head::decode(row)?;
    let is_fine = match old {
        Some(old) => {
            let owner = Head::decode(old)?.owner;
            owner == head.owner || rights.may_act_for(owner)
        }
        None if kind == ObjectKind::Function && FuncRow::decode(row)?.is_setuid => {
            rights.may_act_for(head.owner)
        }
        None => true,
    };
    if is_fine {
        return Ok(());
    }
    Err(rights.denied(needed, kind, head.name))
}

fn of_head(rights: &Rights, needed: Privileges, kind: ObjectKind, row: &[u8]) -> Result<(), Error> {
    let head = Head::decode(row)?;
    // Of a row that goes, the name is not the caller's own word.
    if needed == Privileges::DROP && !rights.knows_of(kind, head.id) {
        return rights.check_ddl(needed, kind, head.id, &head.id.to_string());
    }
    rights.check_ddl(needed, kind, head.id, head.name)
}

/// A foreign key tells which keys another space has, and keeps its tuples from going: who makes one
/// must be able to read and write that space. (Tarantool asks for nothing.)
fn of_parents(
    rights: &Rights,
    snapshot: Snapshot<'_>,
    old: Option<&[u8]>,
    new: &[u8],
) -> Result<(), Error> {
    // What is wrong with a row is told where it is checked.
    let Ok(row) = SpaceRow::decode(new) else {
        return Ok(());
    };
    let parents = |row: &SpaceRow| -> BTreeSet<u32> {
        let keys = row.foreign_keys().map(|key| key.parent(row.id));
        keys.filter(|parent| *parent != row.id).collect()
    };
    let old = old.map(SpaceRow::decode).transpose()?;
    let old = old.as_ref().map(parents).unwrap_or_default();
    for parent in parents(&row).difference(&old) {
        let (kind, id) = (ObjectKind::Space, u64::from(*parent));
        let name = told_name(rights, snapshot, (kind, Some(id)))?;
        rights.check_ddl(Privileges::READ, kind, id, &name)?;
        rights.check_ddl(Privileges::WRITE, kind, id, &name)?;
    }
    Ok(())
}

/// A row that begins with the number of the space that it belongs to.
fn of_space(
    rights: &Rights,
    snapshot: Snapshot<'_>,
    needed: Privileges,
    row: &[u8],
) -> Result<(), Error> {
    let id = first_number(row)?;
    let name = told_name(rights, snapshot, (ObjectKind::Space, Some(id)))?;
    rights.check_ddl(needed, ObjectKind::Space, id, &name)
}

/// A user who attaches a sequence must be able to read and write it; one that was made for the
/// space, and one that is detached, is changed with its own rights.
fn of_attachment(
    rights: &Rights,
    snapshot: Snapshot<'_>,
    needed: Privileges,
    row: &[u8],
) -> Result<(), Error> {
    let row = AttachmentRow::decode(row)?;
    let (kind, id) = (ObjectKind::Sequence, u64::from(row.sequence));
    let name = told_name(rights, snapshot, (kind, Some(id)))?;
    if row.is_generated || needed == Privileges::DROP {
        return rights.check_ddl(needed, kind, id, &name);
    }
    rights.check_ddl(Privileges::READ, kind, id, &name)?;
    rights.check_ddl(Privileges::WRITE, kind, id, &name)
}

fn truncation(rights: &Rights, snapshot: Snapshot<'_>, row: &[u8]) -> Result<(), Error> {
    let id = u32::try_from(first_number(row)?).unwrap_or(u32::MAX);
    let name = name_of(snapshot, (ObjectKind::Space, Some(u64::from(id)))).ok();
    let found = name.as_deref().map(|name| (id, name));
    rights.check_space(Privileges::WRITE, IdOrName::Id(id), found)
}

fn first_number(row: &[u8]) -> Result<u64, Error> {
    let mut reader = vestibule_wire::msgpack::Reader::new(row);
    let number = reader.read_array_len().and_then(|_| reader.read_uint());
    number.map_err(|_| Error::invalid_msgpack("system row"))
}

/// Only the owner of an object and `admin` grant rights on it and take them back, only `admin`
/// those on more than one object. Everybody may grant the role `public`.
fn grant(
    rights: &Rights,
    snapshot: Snapshot<'_>,
    doing: Privileges,
    row: &PrivRow,
) -> Result<(), Error> {
    if rights.is_admin {
        return Ok(());
    }
    let (kind, id) = row.object;
    let name = told_name(rights, snapshot, row.object)?;
    let is_own = match (kind, id) {
        (ObjectKind::Universe, _) | (_, None) => false,
        (kind, Some(id)) => {
            let is_public = granted_role(row.object, row.privileges) == Some(PUBLIC)
                && row.privileges == Privileges::EXECUTE;
            is_public || owner_of(snapshot, kind, id)? == Some(rights.id)
        }
    };
    if is_own && row.grantor == rights.id {
        return Ok(());
    }
    Err(rights.denied(doing, kind, &name))
}

fn owner_of(snapshot: Snapshot<'_>, kind: ObjectKind, id: u64) -> Result<Option<u64>, Error> {
    Ok(head_of(snapshot, kind, id)?.map(|head| head.owner))
}

fn head_of(snapshot: Snapshot<'_>, kind: ObjectKind, id: u64) -> Result<Option<Head<'_>>, Error> {
    let space = match kind {
        ObjectKind::Universe | ObjectKind::LuaCall | ObjectKind::LuaEval | ObjectKind::Sql => {
            return Ok(None);
        }
        ObjectKind::Space => system::SPACE,
        ObjectKind::Function => system::FUNC,
        ObjectKind::Sequence => system::SEQUENCE,
        ObjectKind::Role | ObjectKind::User => system::USER,
    };
    let Ok(key) = u32::try_from(id) else {
        return Ok(None);
    };
    let row = snapshot.get(space, &system_key(&[key]));
    row.map(|row| Head::decode(row)).transpose()
}

/// What somebody is told an object is called: who may not know of it hears the number that was
/// asked for, whether it is there or not.
fn told_name(rights: &Rights, snapshot: Snapshot<'_>, object: Object) -> Result<Box<str>, Error> {
    let name = name_of(snapshot, object);
    let (kind, Some(id)) = object else {
        return name;
    };
    match name {
        Ok(name) if rights.knows_of(kind, id) => Ok(name),
        Err(error) if rights.knows_every(kind) => Err(error),
        _ => Ok(id.to_string().into()),
    }
}

/// The name of what something is granted on.
///
/// # Errors
///
/// `ErrorCode::NO_SUCH_SPACE`, `ErrorCode::NO_SUCH_USER`, `ErrorCode::NO_SUCH_FUNCTION`,
/// `ErrorCode::NO_SUCH_ROLE` or `ErrorCode::NO_SUCH_SEQUENCE` if it is not there.
pub(crate) fn name_of(snapshot: Snapshot<'_>, (kind, id): Object) -> Result<Box<str>, Error> {
    let Some(id) = id.filter(|_| kind.has_objects()) else {
        return Ok("".into());
    };
    let found = head_of(snapshot, kind, id)?;
    let is_role = || {
        let found = read::user(snapshot, id)?;
        Ok::<_, Error>(found.is_some_and(|user| user.is_role()))
    };
    let is_right_kind = match kind {
        ObjectKind::Role => is_role()?,
        ObjectKind::User => !is_role()?,
        _ => true,
    };
    match found {
        Some(head) if is_right_kind => Ok(head.name.into()),
        Some(head) => Err(access_errors::no_such_object(kind, head.name)),
        None => Err(access_errors::no_such_object(kind, &id.to_string())),
    }
}

/// Checks a change of a row of `_priv`.
///
/// # Errors
///
/// `ErrorCode::NO_SUCH_USER` if one of the two is not there, `ErrorCode::NO_SUCH_SPACE`,
/// `ErrorCode::NO_SUCH_FUNCTION`, `ErrorCode::NO_SUCH_ROLE` or `ErrorCode::NO_SUCH_SEQUENCE` if the
/// object is not, `ErrorCode::ROLE_LOOP` for a role that would have itself, `ErrorCode::GRANT` for
/// a grant of nothing.
pub(crate) fn check_priv(snapshot: Snapshot<'_>, new: Option<&[u8]>) -> Result<(), Error> {
    let Some(new) = new else { return Ok(()) };
    let row = PrivRow::decode(new)?;
    let find = |id: u64| {
        let found = read::user(snapshot, id)?;
        found.ok_or_else(|| errors::no_such_user(&id.to_string()))
    };
    find(row.grantor)?;
    let grantee = find(row.grantee)?;
    let name = name_of(snapshot, row.object)?;
    if let Some(role) = granted_role(row.object, row.privileges)
        && read::has_role(snapshot, role, grantee.id)?
    {
        return Err(access_errors::role_loop(&name, &grantee.name));
    }
    if row.privileges.is_empty() {
        return Err(access_errors::wrong_grant(
            "the grant tuple has no privileges",
        ));
    }
    Ok(())
}

/// Checks a change of a row of `_func`.
///
/// # Errors
///
/// `ErrorCode::UNSUPPORTED` for what is not supported, `ErrorCode::CREATE_FUNCTION` for a number
/// that is too large, `ErrorCode::FUNCTION_LANGUAGE` for a language that there is not,
/// `ErrorCode::FUNCTION_EXISTS` for a name that is taken, `ErrorCode::DROP_FUNCTION` for a function
/// that others have rights on.
pub(crate) fn check_func(
    snapshot: Snapshot<'_>,
    old: Option<&[u8]>,
    new: Option<&[u8]>,
) -> Result<(), Error> {
    match (old, new) {
        (Some(_), Some(_)) => Err(Error::unsupported("function", "alter")),
        (None, Some(new)) => {
            let row = FuncRow::decode(new)?;
            check_name(&row.name)?;
            match &*row.language {
                "LUA" | "C" => {}
                "SQL_BUILTIN" => {
                    let why = "given built-in is not predefined";
                    return Err(access_errors::cannot_create_function(&row.name, why));
                }
                other => return Err(access_errors::function_language(other, &row.name)),
            }
            if row.id > FUNCTION_ID_MAX {
                let why = "function id is too big";
                return Err(access_errors::cannot_create_function(&row.name, why));
            }
            match read::with_name(snapshot, system::FUNC, &row.name) {
                Some(other) if Head::decode(other)?.id != row.id => {
                    Err(access_errors::function_exists(&row.name))
                }
                _ => Ok(()),
            }
        }
        (Some(old), None) => {
            let id = Head::decode(old)?.id;
            if has_grants(snapshot, ObjectKind::Function, id)? {
                return Err(access_errors::cannot_drop_function(
                    id,
                    "function has grants",
                ));
            }
            Ok(())
        }
        (None, None) => Ok(()),
    }
}

/// Whether somebody has rights on an object.
pub(crate) fn has_grants(snapshot: Snapshot<'_>, kind: ObjectKind, id: u64) -> Result<bool, Error> {
    Ok(!read::grants_on(snapshot, kind, id)?.is_empty())
}

/// The rights on a user or role.
///
/// # Errors
///
/// None, while the system's rows are whole.
pub(crate) fn grants_on_user(snapshot: Snapshot<'_>, id: u64) -> Result<Vec<PrivRow>, Error> {
    let mut found = read::grants_on(snapshot, ObjectKind::User, id)?;
    found.extend(read::grants_on(snapshot, ObjectKind::Role, id)?);
    Ok(found)
}

/// Whether a user or role owns anything, or has anything to do with a grant. A right on it would
/// pass to the next one that gets its number.
pub(crate) fn is_in_use(snapshot: Snapshot<'_>, id: u64) -> Result<bool, Error> {
    let mut owned = OWNED.iter();
    Ok(
        owned.any(|space| read::owned_by(snapshot, *space, id).next().is_some())
            || read::grants_by(snapshot, id).next().is_some()
            || !read::grants_of(snapshot, id)?.is_empty()
            || !grants_on_user(snapshot, id)?.is_empty(),
    )
}
