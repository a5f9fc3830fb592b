//! The effective rights of each user, a pure function of the grants.
//!
//! ```text
//!   own grants ──────────────────┐
//!   grants of roles, of roles of ├─▶ Rights ─┬ on everything      one word: the fast way
//!   roles, …                     │           ├ on every space, …  one word per kind
//!   what the user owns ──────────┘           └ on single objects  looked up, role by role
//! ```
//!
//! What is held on single objects is not summed up: a right on one more space costs the same with
//! ten spaces and with ten thousand, for everybody who has the role that got it.

use std::sync::Arc;

use vestibule_actors::catalog::User;

use crate::access::holdings::{self, Facts, Holdings};
use crate::privileges::{Object, ObjectKind, Privileges};
use crate::schema::system::{ADMIN, PUBLIC_FUNCTION, is_system};

/// A user or a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Principal {
    pub(crate) id: u64,
    pub(crate) name: Arc<str>,
    pub(crate) is_role: bool,
    /// Which one of this number.
    pub(crate) generation: u64,
}

/// A function that rights can be granted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Function {
    pub(super) name: Arc<str>,
    pub(crate) id: u64,
    pub(super) owner: u64,
    pub(super) is_setuid: bool,
    /// Whether there is a body, in a language that is not run here.
    pub(crate) has_body: bool,
}

/// What one user may do.
#[derive(Debug, Clone)]
pub(crate) struct Rights {
    pub(crate) id: u64,
    pub(crate) name: Arc<str>,
    /// Which user of this number.
    pub(crate) generation: u64,
    /// On everything.
    pub(crate) universe: Privileges,
    /// On every object of a kind.
    kinds: [Privileges; ObjectKind::ALL.len()],
    /// On single objects.
    own: Arc<Holdings>,
    /// The same of each role.
    roles: Box<[Arc<Holdings>]>,
    /// May grant what belongs to others.
    pub(crate) is_admin: bool,
    /// There is such a user.
    pub(crate) is_known: bool,
}

impl Rights {
    /// What follows for one principal.
    pub(crate) fn of(principal: &Principal, facts: &Facts) -> Self {
        let mut rights = Self {
            generation: principal.generation,
            ..Self::none(principal.id, principal.name.clone())
        };
        let mut roles = Vec::new();
        for one in facts.closure(principal.id) {
            let Some(held) = facts.of(one) else { continue };
            let (universe, kinds) = holdings::on_all(held);
            rights.universe = rights.universe | universe;
            for (sum, own) in rights.kinds.iter_mut().zip(kinds) {
                *sum = *sum | own;
            }
            if one == principal.id {
                rights.own = held.clone();
            } else {
                roles.push(held.clone());
            }
        }
        rights.roles = roles.into();
        rights
    }

    /// Somebody who may do nothing.
    pub(crate) fn none(id: u64, name: Arc<str>) -> Self {
        Self {
            id,
            name,
            generation: 0,
            universe: Privileges::NONE,
            kinds: [Privileges::NONE; ObjectKind::ALL.len()],
            own: Arc::default(),
            roles: Box::default(),
            is_admin: false,
            is_known: true,
        }
    }

    /// `admin` as every directory is born with it, whatever was taken from it since.
    pub(crate) fn everything() -> Self {
        Self {
            universe: Privileges::ALL,
            is_admin: true,
            ..Self::none(ADMIN, "admin".into())
        }
    }

    /// Whose rights they are.
    pub(crate) fn user(&self) -> User {
        User {
            name: self.name.clone(),
            id: self.id,
            generation: self.generation,
        }
    }

    /// Whether the user may do anything with data. What every user is born with (a session, views
    /// of the system, [`PUBLIC_FUNCTION`]) does not count.
    pub(super) fn reach_data(&self) -> bool {
        let is_any = |held: Privileges| !held.beyond_presence().is_empty();
        let is_data = |object: Object| match object {
            (ObjectKind::Space, Some(id)) => !u32::try_from(id).is_ok_and(is_system),
            (ObjectKind::Sequence, Some(_)) => true,
            (ObjectKind::Function, Some(id)) => id != PUBLIC_FUNCTION,
            _ => false,
        };
        let holds_any = |held: &Arc<Holdings>| {
            let kinds = [
                ObjectKind::Space,
                ObjectKind::Sequence,
                ObjectKind::Function,
            ];
            let mut objects = kinds.into_iter().flat_map(|kind| held.of_kind(kind));
            objects.any(|(object, held)| is_data(object) && (held.is_owned || is_any(held.granted)))
        };
        // What is held on Lua and SQL allows nothing.
        let kinds = ObjectKind::ALL.into_iter().zip(&self.kinds);
        let mut kinds = kinds.filter(|(kind, _)| kind.has_objects());
        is_any(self.universe)
            || kinds.any(|(_, held)| is_any(*held))
            || holds_any(&self.own)
            || self.roles.iter().any(holds_any)
    }

    /// What is held on all objects of a kind.
    pub(crate) fn on_all(&self, kind: ObjectKind) -> Privileges {
        self.universe | self.kinds[kind as usize]
    }

    /// What is held on an object. To use any of it takes USAGE, which nobody has on single objects.
    pub(crate) fn on(&self, kind: ObjectKind, id: u64) -> Privileges {
        let object = (kind, Some(id));
        let own = self.own.on(object);
        let mut single = own.granted;
        if own.is_owned {
            single = single | Privileges::OF_OWNER;
        }
        for role in &self.roles {
            single = single | role.on(object).granted;
        }
        self.on_all(kind) | (single - Privileges::USAGE)
    }

    /// Whether an object may be known to exist.
    pub(crate) fn shows(&self, kind: ObjectKind, id: u64) -> bool {
        let showing = match kind {
            ObjectKind::Function | ObjectKind::Sequence => {
                Privileges::SHOWING | Privileges::EXECUTE
            }
            _ => Privileges::SHOWING,
        };
        !(self.on(kind, id) & showing).is_empty()
    }

    /// Whether what belongs to `owner` may be given away: by the owner, `admin`, and users who may
    /// do everything.
    pub(crate) fn may_act_for(&self, owner: u64) -> bool {
        self.id == owner || self.is_admin || self.universe == Privileges::ALL
    }

    /// Whether all data may be changed.
    pub(super) fn is_all_powerful(&self) -> bool {
        let needed = Privileges::WRITE | Privileges::USAGE;
        self.on_all(ObjectKind::Space).contain(needed)
    }

    /// Whether an object is the user's own.
    pub(super) fn owns(&self, object: Object) -> bool {
        self.own.on(object).is_owned
    }
}

#[cfg(test)]
impl Rights {
    /// Everything in it, in order.
    pub(super) fn told(&self) -> String {
        let held = std::iter::once(&self.own).chain(&self.roles);
        let held: Vec<_> = held
            .map(|own| ObjectKind::ALL.map(|kind| own.of_kind(kind).collect::<Vec<_>>()))
            .collect();
        let (universe, kinds, is_admin) = (self.universe, self.kinds, self.is_admin);
        let user = self.user();
        format!("{user:?} {universe:?} {kinds:?} {is_admin} {held:?}")
    }
}
