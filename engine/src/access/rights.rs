//! The effective rights of each user, a pure function of the grants.
//!
//! ```text
//!   own grants ──────────────────┐
//!   grants of roles, of roles of ├─▶ Rights ─┬ on everything      one word: the fast way
//!   roles, …                     │           ├ on every space, …  one word per kind
//!   what the user owns ──────────┘           └ on single objects
//! ```

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use vestibule_actors::catalog::User;

use crate::privileges::{Object, ObjectKind, Privileges, granted_role};
use crate::schema::system::{ADMIN, PUBLIC_FUNCTION, is_system};

/// A user or a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Principal {
    pub(crate) id: u64,
    pub(crate) name: Arc<str>,
    pub(crate) is_role: bool,
}

/// A function that rights can be granted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) id: u64,
    pub(super) owner: u64,
    pub(super) is_setuid: bool,
    /// Whether there is a body, in a language that is not run here.
    pub(crate) has_body: bool,
}

/// All that rights are made of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) principals: Vec<Principal>,
    /// By grantee.
    grants: HashMap<u64, Vec<(Object, Privileges)>>,
    /// By owner.
    owned: HashMap<u64, Vec<(ObjectKind, u64)>>,
}

impl Facts {
    pub(crate) fn grant(&mut self, grantee: u64, object: Object, privileges: Privileges) {
        let own = self.grants.entry(grantee).or_default();
        own.push((object, privileges));
    }

    pub(crate) fn own(&mut self, owner: u64, kind: ObjectKind, id: u64) {
        self.owned.entry(owner).or_default().push((kind, id));
    }

    /// Whether the role is what the principal is, or has, in however many steps.
    pub(crate) fn has_role(&self, principal: u64, role: u64) -> bool {
        self.closure(principal).contains(&role)
    }

    fn granted_to(&self, principal: u64) -> &[(Object, Privileges)] {
        self.grants.get(&principal).map_or(&[], Vec::as_slice)
    }

    /// A principal and all roles it has.
    fn closure(&self, principal: u64) -> HashSet<u64> {
        let mut found = HashSet::from([principal]);
        let mut open = vec![principal];
        while let Some(next) = open.pop() {
            for (object, privileges) in self.granted_to(next) {
                let role = granted_role(*object, *privileges);
                open.extend(role.filter(|role| found.insert(*role)));
            }
        }
        found
    }

    /// What one principal may do.
    pub(crate) fn rights(&self, principal: &Principal) -> Rights {
        let mut rights = Rights::none(principal.id, principal.name.clone());
        for one in self.closure(principal.id) {
            for (object, privileges) in self.granted_to(one) {
                rights.add(*object, *privileges);
            }
        }
        for (kind, id) in self.owned.get(&principal.id).into_iter().flatten() {
            rights.add((*kind, Some(*id)), Privileges::OF_OWNER);
        }
        rights
    }
}

/// What one user may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rights {
    pub(crate) id: u64,
    pub(crate) name: Arc<str>,
    /// On everything.
    pub(crate) universe: Privileges,
    /// On every object of a kind.
    kinds: [Privileges; ObjectKind::ALL.len()],
    objects: HashMap<(ObjectKind, u64), Privileges>,
    /// May grant what belongs to others.
    pub(crate) is_admin: bool,
    /// There is such a user.
    pub(crate) is_known: bool,
}

impl Rights {
    /// Somebody who may do nothing.
    pub(crate) fn none(id: u64, name: Arc<str>) -> Self {
        Self {
            id,
            name,
            universe: Privileges::NONE,
            kinds: [Privileges::NONE; ObjectKind::ALL.len()],
            objects: HashMap::new(),
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
            generation: 0,
        }
    }

    fn add(&mut self, object: Object, privileges: Privileges) {
        let held = match object {
            (ObjectKind::Universe, _) => &mut self.universe,
            (kind, None) => &mut self.kinds[kind as usize],
            (kind, Some(id)) => self.objects.entry((kind, id)).or_default(),
        };
        *held = *held | privileges;
    }

    /// Whether the user may do anything with data. What every user is born with (a session, views
    /// of the system, [`PUBLIC_FUNCTION`]) does not count.
    pub(super) fn reach_data(&self) -> bool {
        let is_any =
            |held: Privileges| !(held - Privileges::SESSION - Privileges::USAGE).is_empty();
        let is_data = |kind: ObjectKind, id: u64| match kind {
            ObjectKind::Space => !u32::try_from(id).is_ok_and(is_system),
            ObjectKind::Sequence => true,
            ObjectKind::Function => id != PUBLIC_FUNCTION,
            ObjectKind::Universe
            | ObjectKind::User
            | ObjectKind::Role
            | ObjectKind::LuaCall
            | ObjectKind::LuaEval
            | ObjectKind::Sql => false,
        };
        // What is held on Lua and SQL allows nothing.
        let kinds = ObjectKind::ALL.into_iter().zip(&self.kinds);
        let mut kinds = kinds.filter(|(kind, _)| kind.has_objects());
        let mut objects = self.objects.iter();
        is_any(self.universe)
            || kinds.any(|(_, held)| is_any(*held))
            || objects.any(|((kind, id), held)| is_any(*held) && is_data(*kind, *id))
    }

    /// What is held on all objects of a kind.
    pub(crate) fn on_all(&self, kind: ObjectKind) -> Privileges {
        self.universe | self.kinds[kind as usize]
    }

    /// What is held on an object. To use any of it takes USAGE, which nobody has on single objects.
    pub(crate) fn on(&self, kind: ObjectKind, id: u64) -> Privileges {
        let single = self.objects.get(&(kind, id)).copied().unwrap_or_default();
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

    /// Whether everything may be changed, rights included.
    pub(crate) fn is_all_powerful(&self) -> bool {
        self.universe.contain(Privileges::WRITE | Privileges::USAGE)
    }
}
