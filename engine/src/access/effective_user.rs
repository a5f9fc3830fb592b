//! Whose rights the request at hand has: those of its caller, or of the owner of the procedure that
//! it calls.

use std::sync::Arc;

use vestibule_actors::catalog::User;

use super::Access;
use super::rights::Rights;

/// The user whose rights are asked for.
#[derive(Debug)]
pub(crate) struct EffectiveUser {
    user: User,
    rights: Arc<Rights>,
}

impl EffectiveUser {
    /// A user, who need not be there.
    pub(crate) fn new(user: User, access: &Access) -> Self {
        Self {
            rights: access.rights_or_none(&user),
            user,
        }
    }

    /// The rights of the request at hand.
    #[inline]
    pub(crate) fn rights(&self) -> &Rights {
        &self.rights
    }

    /// Whose rights these are.
    #[inline]
    pub(crate) fn user(&self) -> &User {
        &self.user
    }

    /// From here on, requests have the rights of this user.
    #[inline]
    pub(crate) fn switch(&mut self, user: &User, access: &Access) {
        if (user.id, user.generation) != (self.user.id, self.user.generation) {
            *self = Self::new(user.clone(), access);
        }
    }

    /// The same for what a procedure does: it may be one that has the rights of its owner.
    pub(crate) fn switch_for_call(&mut self, user: &User, procedure: &str, access: &Access) {
        match access.owner_of_call(procedure) {
            Some(owner) => {
                self.user = owner.user();
                self.rights = owner.clone();
            }
            None => self.switch(user, access),
        }
    }

    /// Until the next switch or refresh, everything may be done, whatever was granted. Returns who
    /// it was, to be put back with [`restore`](Self::restore).
    pub(crate) fn switch_to_superuser(&mut self) -> Self {
        let rights = Arc::new(Rights::everything());
        let user = rights.user();
        std::mem::replace(self, Self { user, rights })
    }

    /// Undoes a [`switch_to_superuser`](Self::switch_to_superuser).
    pub(crate) fn restore(&mut self, former: Self) {
        *self = former;
    }

    /// The rights changed: the user has the new ones from here on.
    pub(crate) fn refresh(&mut self, access: &Access) {
        self.rights = access.rights_or_none(&self.user);
    }
}
