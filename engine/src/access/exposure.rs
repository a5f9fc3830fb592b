//! What is open to everybody without a login, by whatever route guest came to it.
//!
//! ```text
//!   guest ─┬ owns ──────────────────────────────────┐
//!          ├ was granted ─┬ on everything, all of    ├─▶ openings: told one by one
//!          │              └ a kind, one object       │
//!          ├ has roles, `public` among them: the same│
//!          ├ calls what has the rights of its owner ─┤
//!          └ may set the password of a user ─────────┘
//!                   └─▶ who may change all data: not where others reach the server
//! ```
//!
//! What every directory is born with is no opening: a session, the views of the system, the
//! function that everybody may call.

use std::sync::Arc;

use vestibule_wire::Error;

use super::rights::{Function, Rights};
use super::{Access, owned};
use crate::privileges::{Object, ObjectKind, Privileges, granted_role};
use crate::schema::system::changes::RowChange;
use crate::schema::system::grant_rows::{FuncRow, PrivRow};
use crate::schema::system::{self, GUEST};

/// Procedures that change rights, definitions or rows of system spaces, if they are called with
/// enough rights.
const POWERFUL: [&str; 2] = ["box.schema.", "box.space."];

/// Something that everybody may do without a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Whatever an owner may do with an object.
    Owns(ObjectKind, u64),
    /// What was granted on an object or on all of a kind, to guest or to this role.
    Holds(Privileges, Object, Option<Arc<str>>),
    /// A procedure, with the rights of this user.
    Calls(Arc<str>, Arc<str>),
    /// Whatever this user may, with a password of one's own choice.
    Becomes(Arc<str>),
}

impl Opening {
    /// As it is told, with the name of the object that it is about.
    pub(crate) fn text(&self, name: &str) -> String {
        match self {
            Self::Owns(kind, _) => format!("it owns {} '{name}'", kind.name()),
            Self::Holds(privileges, (kind, id), role) => {
                let (names, kind_name) = (privileges.names(), kind.name());
                let on = match (kind, id) {
                    (ObjectKind::Universe, _) => "everything".to_owned(),
                    (_, None) => format!("every {kind_name}"),
                    _ => format!("{kind_name} '{name}'"),
                };
                match role {
                    Some(role) => format!("its role '{role}' may {names} on {on}"),
                    None => format!("it may {names} on {on}"),
                }
            }
            Self::Calls(function, user) => {
                format!("it may call '{function}' with the rights of user '{user}'")
            }
            Self::Becomes(user) => format!("it may set the password of user '{user}'"),
        }
    }

    /// The object that it is about, if its name has to be looked up.
    pub(crate) fn object(&self) -> Option<Object> {
        match self {
            Self::Owns(kind, id) => Some((*kind, Some(*id))),
            Self::Holds(_, object, _) => Some(*object),
            Self::Calls(..) | Self::Becomes(_) => None,
        }
    }
}

/// What of a grant opens anything: to be here at all does not.
fn opening(privileges: Privileges) -> Option<Privileges> {
    let left = privileges.beyond_presence();
    Some(left).filter(|left| !left.is_empty())
}

impl Access {
    /// Everything that is open to everybody beside what was so at the birth of the directory.
    pub(crate) fn openings(&self, born: &Self) -> Vec<Opening> {
        let mut found = Vec::new();
        for one in self.facts.closure(GUEST) {
            let Some(held) = self.facts.of(one) else {
                continue;
            };
            for (object, held) in ObjectKind::ALL
                .into_iter()
                .flat_map(|kind| held.of_kind(kind))
            {
                if let (true, (kind, Some(id))) = (held.is_owned && one == GUEST, object) {
                    found.push(Opening::Owns(kind, id));
                }
                let at_birth = born.facts.of(one).map(|held| held.on(object).granted);
                let granted = held.granted - at_birth.unwrap_or_default();
                found.extend(self.held_opening(one, object, granted));
            }
        }
        let Some(guest) = &self.guest else {
            return found;
        };
        let functions = self.functions.iter();
        found.extend(functions.filter_map(|own| self.call_opening(guest, own)));
        let others = self
            .principals
            .iter()
            .filter(|own| !own.is_role && own.id != GUEST);
        let altered = others.filter(|own| may_set_password(guest, own.id));
        found.extend(altered.map(|own| Opening::Becomes(own.name.clone())));
        found
    }

    /// What of a right of guest, or of a role that guest has, opens anything. What a role of a role
    /// holds is told by itself.
    fn held_opening(&self, one: u64, object: Object, granted: Privileges) -> Option<Opening> {
        let (kind, _) = object;
        let means_something = kind.has_objects() || kind == ObjectKind::Universe;
        if !means_something || granted_role(object, granted).is_some() {
            return None;
        }
        let role = self.principal(one).filter(|own| own.is_role);
        let role = role.map(|own| own.name.clone());
        opening(granted).map(|granted| Opening::Holds(granted, object, role))
    }

    fn call_opening(&self, guest: &Rights, function: &Function) -> Option<Opening> {
        let is_open = function.is_setuid
            && function.owner != GUEST
            && guest.check_call(&function.name, Some(function)).is_ok();
        let owner = self.user(function.owner).filter(|_| is_open)?;
        Some(Opening::Calls(function.name.clone(), owner.name))
    }

    /// What the change of a row of a system space opens to everybody.
    ///
    /// # Errors
    ///
    /// None, while the system's rows are whole.
    pub(crate) fn opened_by(&self, change: &RowChange) -> Result<Vec<Opening>, Error> {
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        let mut found = Vec::new();
        let Some(new) = new else { return Ok(found) };
        if change.space == system::PRIV {
            let row = PrivRow::decode(new)?;
            let before = old.map(PrivRow::decode).transpose()?;
            let before = before.map_or(Privileges::NONE, |before| before.privileges);
            if self.facts.closure(GUEST).contains(&row.grantee) {
                let granted = row.privileges - before;
                match granted_role(row.object, granted) {
                    // All that the role holds is guest's from here on.
                    Some(_) => found.push(Opening::Holds(granted, row.object, None)),
                    None => found.extend(self.held_opening(row.grantee, row.object, granted)),
                }
            }
        }
        if let Some((GUEST, (kind, Some(id)))) = owned(change.space, Some(new))?
            && owned(change.space, old)?.is_none_or(|(owner, _)| owner != GUEST)
        {
            found.push(Opening::Owns(kind, id));
        }
        if change.space == system::FUNC
            && let (Some(guest), Some(function)) =
                (&self.guest, self.function(&FuncRow::decode(new)?.name))
        {
            found.extend(self.call_opening(guest, function));
        }
        Ok(found)
    }

    /// How guest comes to change all data, if there is a way: by itself, as a user whose password
    /// it may set, by a role that it owns, or by a procedure that has the rights of its owner; or
    /// as the one that it is then.
    pub(crate) fn route_to_power(&self) -> Option<String> {
        let own_rights = "by its own rights".to_owned();
        let mut reached = vec![(self.guest.clone()?, own_rights)];
        let mut at = 0;
        while let Some((rights, route)) = reached.get(at).cloned() {
            if rights.is_all_powerful() {
                return Some(route);
            }
            at += 1;
            for (next, how) in self.next_to(&rights) {
                if reached.iter().all(|(known, _)| known.id != next.id) {
                    reached.push((next, how));
                }
            }
        }
        None
    }

    /// Whose rights somebody can come to have, and how.
    fn next_to(&self, rights: &Rights) -> Vec<(Arc<Rights>, String)> {
        let mut next = Vec::new();
        let (takes, sets) = (may_take_roles(rights), may_set_passwords(rights));
        // Most may do neither, and then it does not matter how many users there are.
        let principals = (takes || sets).then(|| self.principals.iter());
        for own in principals.into_iter().flatten() {
            if own.is_role && takes && rights.owns((ObjectKind::Role, Some(own.id))) {
                let mut both = Rights::of(own, &self.facts);
                both.universe = both.universe | rights.universe;
                let how = format!("by the role '{}', which it may grant", own.name);
                next.push((Arc::new(both), how));
            } else if let Some(user) = self.users.get(|user| user.id.cmp(&own.id))
                && sets
                && may_alter_user(rights, own.id)
            {
                let how = format!("by setting the password of user '{}'", own.name);
                next.push((user.clone(), how));
            }
        }
        let powerful = POWERFUL.iter().flat_map(|start| {
            let from = self.functions.from(|own| *own.name < **start);
            from.take_while(move |own| own.name.starts_with(start))
        });
        for function in powerful.filter(|own| own.is_setuid) {
            if rights.check_call(&function.name, Some(function)).is_ok()
                && let Some(owner) = self.users.get(|own| own.id.cmp(&function.owner))
            {
                let how = format!("by calling '{}' as its owner", function.name);
                next.push((owner.clone(), how));
            }
        }
        next
    }
}

/// Whether somebody may give a user another password, and log in as that user.
fn may_set_password(rights: &Rights, user: u64) -> bool {
    may_set_passwords(rights) && may_alter_user(rights, user)
}

/// Whether somebody may give users that it may alter another password.
fn may_set_passwords(rights: &Rights) -> bool {
    writes(rights, system::USER)
}

fn may_alter_user(rights: &Rights, user: u64) -> bool {
    rights.on(ObjectKind::User, user).contain(Privileges::ALTER)
}

/// Whether somebody may take the roles that it owns.
fn may_take_roles(rights: &Rights) -> bool {
    writes(rights, system::PRIV)
}

fn writes(rights: &Rights, space: u32) -> bool {
    let held = rights.on(ObjectKind::Space, u64::from(space));
    held.contain(Privileges::WRITE) && rights.check_usage(ObjectKind::Space).is_ok()
}
