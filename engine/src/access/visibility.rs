//! What the catalog shows to whom: rows of the system views, as Tarantool filters them.
//!
//! | view | shows |
//! |---|---|
//! | `_vspace`, `_vindex`, `_vspace_sequence` | spaces owned, read, written, altered or dropped |
//! | `_vuser` | the user, users and roles it made, and `public` |
//! | `_vpriv` | rights that were granted by or to the user |
//! | `_vfunc`, `_vsequence` | what the user owns or has rights on |
//! | `_vcollation` | everything |
//!
//! A view also shows everything to users who may read, write, alter or drop everything, and to
//! those who may read the space behind it.

use vestibule_actors::catalog::{RowVisibility, User, Visibility};
use vestibule_wire::Error;
use vestibule_wire::msgpack::Reader;
use vestibule_wire::request::IdOrName;

use crate::access::Access;
use crate::access::rights::Rights;
use crate::errors;
use crate::privileges::{ObjectKind, Privileges};
use crate::schema::system::{self, PUBLIC};

impl Visibility for Access {
    fn rows(&self, user: &User, space: u32, name: &str) -> Result<RowVisibility<'_>, Error> {
        let Some(rights) = self.rights(user) else {
            return Err(errors::no_such_user(&user.name));
        };
        if rights
            .universe
            .contain(Privileges::READ | Privileges::USAGE)
        {
            return Ok(RowVisibility::Everything);
        }
        rights.check_space(Privileges::READ, IdOrName::Id(space), Some((space, name)))?;
        Ok(match system::viewed(space) {
            Some(source) if !rights.sees_all_of(source) => {
                RowVisibility::Rows(Box::new(move |row| {
                    rights.sees(source, row).unwrap_or(false)
                }))
            }
            _ => RowVisibility::Everything,
        })
    }

    fn guest_power(&self) -> Option<String> {
        self.route_to_power()
    }

    fn may_log_in(&self, user: &User) -> Result<(), Error> {
        match self.rights(user) {
            Some(rights) => rights.check_session(),
            None => Err(errors::no_such_user(&user.name)),
        }
    }
}

/// What the rows of a system space are about.
fn kind_of(source: u32) -> ObjectKind {
    match source {
        system::FUNC => ObjectKind::Function,
        system::SEQUENCE => ObjectKind::Sequence,
        system::USER | system::PRIV => ObjectKind::User,
        _ => ObjectKind::Space,
    }
}

impl Rights {
    /// Whether the view on a system space shows a row of it.
    pub(crate) fn shows_row(&self, source: u32, row: &[u8]) -> bool {
        self.sees_all_of(source) || self.sees(source, row).unwrap_or(false)
    }

    /// Whether an object may be known to exist. What the system is born with is no secret.
    pub(crate) fn knows_of(&self, kind: ObjectKind, id: u64) -> bool {
        let is_born_with = match kind {
            ObjectKind::Space => u32::try_from(id).is_ok_and(system::is_system),
            ObjectKind::User | ObjectKind::Role => id < system::USER_ID_MIN,
            _ => false,
        };
        is_born_with || self.shows(kind, id) || self.knows_every(kind)
    }

    /// Whether every object of a kind may be known.
    pub(crate) fn knows_every(&self, kind: ObjectKind) -> bool {
        self.sees_all_of(match kind {
            ObjectKind::Universe | ObjectKind::Space => system::SPACE,
            ObjectKind::Function => system::FUNC,
            ObjectKind::Sequence => system::SEQUENCE,
            ObjectKind::Role | ObjectKind::User => system::USER,
            // There are no objects of these kinds.
            ObjectKind::LuaCall | ObjectKind::LuaEval | ObjectKind::Sql => return false,
        })
    }

    fn sees_all_of(&self, source: u32) -> bool {
        if source == system::COLLATION || self.reads(source) {
            return true;
        }
        let (held, showing) = match kind_of(source) {
            // Rights on all users show none of them.
            ObjectKind::User => (self.universe, Privileges::SHOWING),
            kind @ (ObjectKind::Function | ObjectKind::Sequence) => {
                (self.on_all(kind), Privileges::SHOWING | Privileges::EXECUTE)
            }
            kind => (self.on_all(kind), Privileges::SHOWING),
        };
        !(held & showing).is_empty()
    }

    /// Whether a row is shown; `None` for a row that is none of the space's.
    fn sees(&self, source: u32, row: &[u8]) -> Option<bool> {
        let mut reader = Reader::new(row);
        reader.read_array_len().ok()?;
        let first = reader.read_uint().ok()?;
        Some(match source {
            system::USER => {
                let owner = reader.read_uint().ok()?;
                first == self.id || owner == self.id || first == PUBLIC
            }
            system::PRIV => {
                let grantee = reader.read_uint().ok()?;
                first == self.id || grantee == self.id
            }
            _ => self.shows(kind_of(source), first),
        })
    }
}
