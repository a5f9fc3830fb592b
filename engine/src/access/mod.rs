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
//! | `holdings` | what was granted to each user and role, and what each owns |
//! | `rights` | what a user may do, as a pure function of that |
//! | `checks` | whether it suffices, and the error if not |
//! | `effective_user` | whose rights the request at hand has |
//! | `exposure` | what is open to everybody without a login |
//! | `generations` | which user of a number is meant |
//! | `visibility` | which rows of the system views are shown to whom |
//!
//! Rights follow each change of them when it is committed, so a request costs a look-up and, for
//! users who may do everything, one comparison. A change costs what it changes, however much else
//! there is: [`Access`] is a copy of the one before, with which it shares the rest. A user is known
//! by number and generation: one who is dropped has no rights from the next request on, whatever
//! the next user is called.

pub(crate) mod checks;
pub(crate) mod effective_user;
pub(crate) mod exposure;
pub(crate) mod generations;
pub(crate) mod holdings;
pub(crate) mod rights;
#[cfg(test)]
mod rights_tests;
mod visibility;

use std::collections::HashSet;
use std::sync::Arc;

use vestibule_actors::catalog::User;
use vestibule_actors::internal::SharedTree;
use vestibule_wire::Error;
use vestibule_wire::request::IdOrName;

use crate::errors::no_such_user;
use crate::options::GuestRights;
use crate::privileges::{Object, Privileges};
use crate::schema::system::changes::RowChange;
use crate::schema::system::grant_rows::{FuncRow, Head, PrivRow};
use crate::schema::system::read::{self, SystemRows};
use crate::schema::system::rows::UserRow;
use crate::schema::system::{self, GUEST};
use checks::CheckedSpace;
use generations::UserGenerations;
use holdings::Facts;
use rights::{Function, Principal, Rights};

/// The rights of every user, as of one version of the system spaces. To clone it takes the same
/// time whatever it holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Access {
    /// By number; roles are none.
    users: SharedTree<Arc<Rights>>,
    /// One of them, the most frequent one.
    guest: Option<Arc<Rights>>,
    /// Users and roles, by number.
    principals: SharedTree<Principal>,
    facts: Facts,
    /// By name.
    functions: SharedTree<Function>,
    /// What guest may do beside.
    guest_rights: GuestRights,
    generations: UserGenerations,
}

impl Access {
    /// Computes all rights.
    ///
    /// # Errors
    ///
    /// `ErrorCode::INVALID_MSGPACK` for a malformed row; rows are checked before they are stored.
    pub(crate) fn of<'a>(
        held: impl SystemRows<'a>,
        guest_rights: GuestRights,
        generations: &UserGenerations,
    ) -> Result<Self, Error> {
        let mut access = Self {
            guest_rights,
            generations: generations.clone(),
            ..Self::default()
        };
        let mut touched = HashSet::new();
        for space in SAYING {
            for row in read::rows(held, space) {
                access.follow(space, None, Some(row), &mut touched)?;
            }
        }
        generations.retain(|id| access.principal(id).is_some_and(|own| !own.is_role));
        access.renew(&touched);
        Ok(access)
    }

    /// Follows changes of rows, one turn's. Rights of others than those whom they are about, and of
    /// those who have a role that they are about, are not looked at.
    ///
    /// # Errors
    ///
    /// Those of [`of`](Self::of).
    pub(crate) fn change(&mut self, changes: &[RowChange]) -> Result<(), Error> {
        let mut touched = HashSet::new();
        for change in changes {
            let (old, new) = (change.old.as_deref(), change.new.as_deref());
            self.follow(change.space, old, new, &mut touched)?;
        }
        self.renew(&touched);
        Ok(())
    }

    /// Follows the change of one row. `touched` are those whose rights it changes.
    fn follow(
        &mut self,
        space: u32,
        old: Option<&[u8]>,
        new: Option<&[u8]>,
        touched: &mut HashSet<u64>,
    ) -> Result<(), Error> {
        if space == system::PRIV {
            for (row, is_there) in [(old, false), (new, true)] {
                if let Some(row) = row.map(PrivRow::decode).transpose()? {
                    let granted = if is_there {
                        row.privileges
                    } else {
                        Privileges::NONE
                    };
                    self.facts.set_grant(row.grantee, row.object, granted);
                    touched.insert(row.grantee);
                }
            }
            return Ok(());
        }
        let (old_owned, new_owned) = (owned(space, old)?, owned(space, new)?);
        if old_owned != new_owned {
            for (owned, is_there) in [(old_owned, false), (new_owned, true)] {
                if let Some((owner, object)) = owned {
                    self.facts.set_owned(owner, object, is_there);
                    touched.insert(owner);
                }
            }
        }
        match space {
            system::FUNC => self.follow_function(old, new),
            system::USER => self.follow_user(old, new, touched),
            _ => Ok(()),
        }
    }

    fn follow_function(&mut self, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<(), Error> {
        if let Some(old) = old.map(Head::decode).transpose()? {
            self.functions.remove(|own| (*own.name).cmp(old.name));
        }
        if let Some(new) = new.map(FuncRow::decode).transpose()? {
            let function = Function {
                name: (*new.name).into(),
                id: new.id,
                owner: new.owner,
                is_setuid: new.is_setuid,
                has_body: !new.is_name(),
            };
            self.functions
                .insert(function, |own| (*own.name).cmp(&*new.name));
        }
        Ok(())
    }

    fn follow_user(
        &mut self,
        old: Option<&[u8]>,
        new: Option<&[u8]>,
        touched: &mut HashSet<u64>,
    ) -> Result<(), Error> {
        let old = old.map(UserRow::decode).transpose()?;
        let new = new.map(UserRow::decode).transpose()?;
        if let Some(old) = &old {
            if !old.is_role() && new.as_ref().is_none_or(UserRow::is_role) {
                self.generations.end(old.id);
            }
            self.principals.remove(|own| own.id.cmp(&old.id));
            touched.insert(old.id);
        }
        if let Some(new) = new {
            let is_role = new.is_role();
            let principal = Principal {
                id: new.id,
                name: (*new.name).into(),
                is_role,
                generation: if is_role {
                    0
                } else {
                    self.generations.of(new.id)
                },
            };
            self.principals.insert(principal, |own| own.id.cmp(&new.id));
            touched.insert(new.id);
        }
        Ok(())
    }

    fn principal(&self, id: u64) -> Option<&Principal> {
        self.principals.get(|own| own.id.cmp(&id))
    }

    /// Computes the rights of those whose own holdings, or those of a role they have, are others.
    fn renew(&mut self, touched: &HashSet<u64>) {
        let is_role = |id: &u64| self.principal(*id).is_some_and(|own| own.is_role);
        let mut renewed: Vec<u64> = touched.iter().copied().collect();
        if touched.iter().any(is_role) {
            let all = self.principals.iter().map(|own| own.id);
            renewed.extend(all.filter(|id| {
                let reaches = |own: &u64| touched.contains(own);
                !reaches(id) && self.facts.closure(*id).iter().any(reaches)
            }));
        }
        for id in renewed {
            let at = |own: &Arc<Rights>| own.id.cmp(&id);
            match self.principal(id).filter(|own| !own.is_role) {
                Some(principal) => {
                    let rights = Arc::new(self.rights_of(principal));
                    self.users.insert(rights, at);
                }
                None => drop(self.users.remove(at)),
            }
        }
        self.guest = self.users.get(|own| own.id.cmp(&GUEST)).cloned();
    }

    fn rights_of(&self, principal: &Principal) -> Rights {
        let mut rights = Rights::of(principal, &self.facts);
        rights.is_admin = principal.id == system::ADMIN;
        if self.guest_rights == GuestRights::Super && principal.id == GUEST {
            rights.universe = Privileges::ALL;
            rights.is_admin = true;
        }
        rights
    }

    /// What a user may do; `None` if that user is gone.
    #[inline]
    pub(crate) fn rights(&self, user: &User) -> Option<&Arc<Rights>> {
        if user.id == GUEST {
            return self.guest.as_ref();
        }
        let found = self.users.get(|own| own.id.cmp(&user.id));
        found.filter(|own| own.generation == user.generation)
    }

    /// The same, for users that are gone as well.
    pub(crate) fn rights_or_none(&self, user: &User) -> Arc<Rights> {
        self.rights(user).cloned().unwrap_or_else(|| {
            let mut none = Rights::none(u64::MAX, user.name.clone());
            none.is_known = false;
            Arc::new(none)
        })
    }

    /// Who a user is, as a login finds it.
    pub(crate) fn user(&self, id: u64) -> Option<User> {
        let found = self.users.get(|own| own.id.cmp(&id));
        found.map(|rights| rights.user())
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
        user: &User,
        asked: IdOrName<'_>,
        found: Option<CheckedSpace<'_>>,
    ) -> Result<(), Error> {
        let needed = Privileges::READ;
        match self.rights(user) {
            Some(rights) if rights.universe.contain(needed | Privileges::USAGE) => Ok(()),
            Some(rights) => rights.check_space(needed, asked, found),
            None => Err(no_such_user(&user.name)),
        }
    }

    /// The function that rights on a procedure are granted by.
    pub(crate) fn function(&self, name: &str) -> Option<&Function> {
        self.functions.get(|own| (*own.name).cmp(name))
    }

    /// Whose rights a call of a procedure has, if not the caller's.
    pub(crate) fn owner_of_call(&self, procedure: &str) -> Option<&Arc<Rights>> {
        let function = self.function(procedure).filter(|own| own.is_setuid)?;
        self.users.get(|own| own.id.cmp(&function.owner))
    }
}

#[cfg(test)]
impl Access {
    pub(crate) fn users(&self) -> impl Iterator<Item = User> {
        self.users.iter().map(|own| own.user())
    }

    /// Everything in it, in order.
    pub(crate) fn told(&self) -> Vec<String> {
        let users = self.users.iter().map(|own| own.told());
        let principals = self.principals.iter().map(|own| format!("{own:?}"));
        let functions = self.functions.iter().map(|own| format!("{own:?}"));
        users.chain(principals).chain(functions).collect()
    }
}

/// The owner of what a row of a system space is about, if it is something that has one.
fn owned(space: u32, row: Option<&[u8]>) -> Result<Option<(u64, Object)>, Error> {
    let Some(row) = row else { return Ok(None) };
    let Some(kind) = read::owned_kind(space, row)? else {
        return Ok(None);
    };
    let head = Head::decode(row)?;
    Ok(Some((head.owner, (kind, Some(head.id)))))
}

/// Spaces whose rows say who may do what.
const SAYING: [u32; 5] = [
    system::USER,
    system::PRIV,
    system::SPACE,
    system::FUNC,
    system::SEQUENCE,
];

/// Spaces with objects that have an owner, users and roles apart.
pub(crate) const OWNED: [u32; 3] = [system::SPACE, system::FUNC, system::SEQUENCE];
