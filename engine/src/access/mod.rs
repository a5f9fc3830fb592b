//! Users and rights: who may do what.
//!
//! ```text
//!   _user, _priv, _func, owners ─▶ Facts ─▶ Access: the rights of every user
//!                                           ├ Tx: every request, every change of a definition
//!                                           ├ read view: every SELECT
//!                                           └ catalog: logins, rows of _vspace, _vuser, …
//! ```
//!
//! | module | what |
//! |---|---|
//! | `rights` | what a user may do, as a pure function of the grants |
//! | `checks` | whether it suffices, and the error if not |
//! | `effective_user` | whose rights the request at hand has |
//! | `visibility` | which rows of the system views are shown to whom |
//!
//! Rights are computed when a change of them is committed, so a request costs a look-up and, for
//! users who may do everything, one comparison. A user is known by the name: a dropped user has no
//! rights from the next request on, and a new user of the same name has the rights of the new user.

pub(crate) mod checks;
pub(crate) mod effective_user;
pub(crate) mod rights;
#[cfg(test)]
mod rights_tests;
mod visibility;

use std::collections::HashMap;
use std::sync::Arc;

use vestibule_actors::catalog::GUEST;
use vestibule_actors::engine::Fault;
use vestibule_wire::Error;
use vestibule_wire::request::IdOrName;

use crate::errors::no_such_user;
use crate::options::GuestRights;
use crate::privileges::{ObjectKind, Privileges};
use crate::schema::system;
use crate::schema::system::grant_rows::{FuncRow, Head, PrivRow};
use crate::schema::system::read::{self, SystemRows};
use checks::CheckedSpace;
use rights::{Facts, Function, Principal, Rights};

/// The rights of every user, as of one version of the system spaces.
#[derive(Debug, Default)]
pub(crate) struct Access {
    users: HashMap<Arc<str>, Arc<Rights>>,
    /// One of them, the most frequent one.
    guest: Option<Arc<Rights>>,
    functions: HashMap<Box<str>, Function>,
}

impl Access {
    /// Computes all rights.
    ///
    /// # Errors
    ///
    /// `ErrorCode::INVALID_MSGPACK` for a malformed row; rows are checked before they are stored.
    pub(crate) fn of<'a>(held: impl SystemRows<'a>, guest: GuestRights) -> Result<Self, Error> {
        let facts = facts(held)?;
        let mut users = HashMap::new();
        for user in facts.principals.iter().filter(|one| !one.is_role) {
            let mut rights = facts.rights(user);
            rights.is_admin = user.id == system::ADMIN;
            if guest == GuestRights::Super && *user.name == *GUEST {
                rights.universe = Privileges::ALL;
                rights.is_admin = true;
            }
            users.insert(user.name.clone(), Arc::new(rights));
        }
        let mut functions = HashMap::new();
        for row in read::rows(held, system::FUNC) {
            let row = FuncRow::decode(row)?;
            let function = Function {
                id: row.id,
                owner: row.owner,
                is_setuid: row.is_setuid,
                has_body: !row.is_name(),
            };
            functions.insert(row.name, function);
        }
        Ok(Self {
            guest: users.get(GUEST).cloned(),
            users,
            functions,
        })
    }

    /// What a user may do; `None` if there is no such user.
    #[inline]
    pub(crate) fn rights(&self, user: &str) -> Option<&Arc<Rights>> {
        match &self.guest {
            Some(guest) if *guest.name == *user => Some(guest),
            _ => self.users.get(user),
        }
    }

    /// The same, for users that are gone as well.
    pub(crate) fn rights_or_none(&self, user: &Arc<str>) -> Arc<Rights> {
        self.rights(user).cloned().unwrap_or_else(|| {
            let mut none = Rights::none(u64::MAX, user.clone());
            none.is_known = false;
            Arc::new(none)
        })
    }

    /// Whether a user may read a space.
    ///
    /// # Errors
    ///
    /// `ErrorCode::NO_SUCH_USER` if the user is gone, `ErrorCode::ACCESS_DENIED` without the right,
    /// `ErrorCode::NO_SUCH_SPACE` for a space that is not there.
    #[inline]
    pub(crate) fn check_read(
        &self,
        user: &Arc<str>,
        asked: IdOrName<'_>,
        found: Option<CheckedSpace<'_>>,
    ) -> Result<(), Error> {
        let needed = Privileges::READ;
        match self.rights(user) {
            Some(rights) if rights.universe.contain(needed | Privileges::USAGE) => Ok(()),
            Some(rights) => rights.check_space(needed, asked, found),
            None => Err(no_such_user(user)),
        }
    }

    /// Refuses a guest who may do everything, for a server that other machines reach.
    ///
    /// # Errors
    ///
    /// What to do about it.
    pub(crate) fn check_guest(&self) -> Result<(), Fault> {
        match self.rights(GUEST) {
            Some(rights) if rights.is_all_powerful() => Err(Fault::from(
                "the user 'guest', who needs no password, was granted to write everything, and \
                 other machines reach this server: listen on 127.0.0.1 and revoke it, for example \
                 with box.schema.user.revoke('guest', 'super') or \
                 box.schema.user.revoke('guest', 'write', 'universe')",
            )),
            _ => Ok(()),
        }
    }

    /// The function that rights on a procedure are granted by.
    pub(crate) fn function(&self, name: &str) -> Option<&Function> {
        self.functions.get(name)
    }

    /// Whose rights a call of a procedure has, if not the caller's.
    pub(crate) fn owner_of_call(&self, procedure: &str) -> Option<&Arc<Rights>> {
        let function = self.function(procedure).filter(|own| own.is_setuid)?;
        self.users.values().find(|user| user.id == function.owner)
    }
}

/// What the system spaces say.
pub(crate) fn facts<'a>(held: impl SystemRows<'a>) -> Result<Facts, Error> {
    let mut facts = Facts::default();
    for user in read::users(held)? {
        let is_role = *user.kind == *"role";
        let kind = if is_role {
            ObjectKind::Role
        } else {
            ObjectKind::User
        };
        facts.own(user.owner, kind, user.id);
        facts.principals.push(Principal {
            id: user.id,
            name: (*user.name).into(),
            is_role,
        });
    }
    for row in read::rows(held, system::PRIV) {
        let row = PrivRow::decode(row)?;
        facts.grant(row.grantee, row.object, row.privileges);
    }
    for (space, kind) in OWNED {
        for row in read::rows(held, space) {
            let head = Head::decode(row)?;
            facts.own(head.owner, kind, head.id);
        }
    }
    Ok(facts)
}

/// Spaces with objects that have an owner, users and roles apart.
pub(crate) const OWNED: [(u32, ObjectKind); 3] = [
    (system::SPACE, ObjectKind::Space),
    (system::FUNC, ObjectKind::Function),
    (system::SEQUENCE, ObjectKind::Sequence),
];
