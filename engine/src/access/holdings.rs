//! What users and roles hold, each by itself: what was granted to it, and what it owns.
//!
//! Ordered by object, in trees whose copies share their nodes: a grant changes what one holds by
//! one entry, however many others there are, and readers keep the copy that they have.

use std::sync::Arc;

use vestibule_actors::internal::SharedTree;

use crate::privileges::{Object, ObjectKind, Privileges, granted_role};

/// What one user or role holds, without what its roles do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Holdings(SharedTree<(Object, Held)>);

/// What is held on one object, or on all objects of a kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) granted: Privileges,
    pub(crate) is_owned: bool,
}

/// Objects of one kind stand together, and all of the kind before single ones.
fn place((kind, id): Object) -> (usize, Option<u64>) {
    (kind as usize, id)
}

impl Holdings {
    /// What is held on one object.
    #[inline]
    pub(crate) fn on(&self, object: Object) -> Held {
        let found = self.0.get(|(own, _)| place(*own).cmp(&place(object)));
        found.map_or_else(Held::default, |(_, held)| *held)
    }

    /// Everything that is held on objects of a kind, by number.
    pub(crate) fn of_kind(&self, kind: ObjectKind) -> impl Iterator<Item = (Object, Held)> {
        let first = place((kind, None));
        let found = self.0.from(|(own, _)| place(*own) < first);
        found.take_while(move |((own, _), _)| *own == kind).copied()
    }

    /// What was granted on everything.
    fn on_universe(&self) -> Privileges {
        let all = self.of_kind(ObjectKind::Universe);
        all.fold(Privileges::NONE, |sum, (_, held)| sum | held.granted)
    }

    fn roles(&self) -> impl Iterator<Item = u64> {
        let held = self.of_kind(ObjectKind::Role);
        held.filter_map(|(object, held)| granted_role(object, held.granted))
    }

    fn change(&mut self, object: Object, change: impl FnOnce(&mut Held)) {
        let mut held = self.on(object);
        change(&mut held);
        let at = |(own, _): &(Object, Held)| place(*own).cmp(&place(object));
        if held == Held::default() {
            self.0.remove(at);
        } else {
            self.0.insert((object, held), at);
        }
    }
}

/// What everybody holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts(SharedTree<(u64, Arc<Holdings>)>);

impl Facts {
    /// Says what is granted to somebody on an object, in place of what was.
    pub(crate) fn set_grant(&mut self, grantee: u64, object: Object, granted: Privileges) {
        self.change(grantee, object, |held| held.granted = granted);
    }

    /// Says whether somebody owns an object.
    pub(crate) fn set_owned(&mut self, owner: u64, object: Object, is_owned: bool) {
        self.change(owner, object, |held| held.is_owned = is_owned);
    }

    fn change(&mut self, principal: u64, object: Object, change: impl FnOnce(&mut Held)) {
        let at = |(own, _): &(u64, Arc<Holdings>)| own.cmp(&principal);
        // In its place: what no copy shares is not copied either.
        let is_empty = if let Some((_, holdings)) = self.0.get_mut(at) {
            let holdings = Arc::make_mut(holdings);
            holdings.change(object, change);
            holdings.0.is_empty()
        } else {
            let mut holdings = Holdings::default();
            holdings.change(object, change);
            let is_empty = holdings.0.is_empty();
            self.0.insert((principal, Arc::new(holdings)), at);
            is_empty
        };
        if is_empty {
            self.0.remove(at);
        }
    }

    /// What a principal holds, if anything.
    pub(crate) fn of(&self, principal: u64) -> Option<&Arc<Holdings>> {
        let found = self.0.get(|(own, _)| own.cmp(&principal));
        found.map(|(_, holdings)| holdings)
    }

    /// A principal and all roles that it has, in however many steps: itself first.
    pub(crate) fn closure(&self, principal: u64) -> Vec<u64> {
        let (mut found, mut at) = (vec![principal], 0);
        while let Some(next) = found.get(at).copied() {
            at += 1;
            for role in self.of(next).into_iter().flat_map(|held| held.roles()) {
                if !found.contains(&role) {
                    found.push(role);
                }
            }
        }
        found
    }
}

/// What somebody holds on everything, and on all objects of each kind.
pub(super) fn on_all(held: &Holdings) -> (Privileges, [Privileges; ObjectKind::ALL.len()]) {
    let kinds = ObjectKind::ALL.map(|kind| held.on((kind, None)).granted);
    (held.on_universe(), kinds)
}
