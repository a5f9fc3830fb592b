//! Whose rights the request at hand has: those of its caller, or of the owner of the procedure that
//! it calls.

use std::sync::Arc;

use super::Access;
use super::rights::Rights;

/// The user whose rights are asked for.
#[derive(Debug)]
pub(crate) struct EffectiveUser(Arc<Rights>);

impl EffectiveUser {
    /// A user by the name, who need not be there.
    pub(crate) fn new(user: &Arc<str>, access: &Access) -> Self {
        Self(access.rights_or_none(user))
    }

    /// The rights of the request at hand.
    #[inline]
    pub(crate) fn rights(&self) -> &Rights {
        &self.0
    }

    /// From here on, requests have the rights of this user.
    #[inline]
    pub(crate) fn switch(&mut self, user: &Arc<str>, access: &Access) {
        if !Arc::ptr_eq(user, &self.0.name) && *user != self.0.name {
            self.0 = access.rights_or_none(user);
        }
    }

    /// The same for what a procedure does: it may be one that has the rights of its owner.
    pub(crate) fn switch_for_call(&mut self, user: &Arc<str>, procedure: &str, access: &Access) {
        match access.owner_of_call(procedure) {
            Some(owner) => self.0 = owner.clone(),
            None => self.switch(user, access),
        }
    }

    /// Until the next switch or refresh, everything may be done, whatever was granted. Returns who
    /// it was, to be put back with [`restore`](Self::restore).
    pub(crate) fn switch_to_superuser(&mut self) -> Self {
        Self(std::mem::replace(
            &mut self.0,
            Arc::new(Rights::everything()),
        ))
    }

    /// Undoes a [`switch_to_superuser`](Self::switch_to_superuser).
    pub(crate) fn restore(&mut self, former: Self) {
        *self = former;
    }

    /// The rights changed: the user has the new ones from here on.
    pub(crate) fn refresh(&mut self, access: &Access) {
        self.0 = access.rights_or_none(&self.0.name.clone());
    }
}
