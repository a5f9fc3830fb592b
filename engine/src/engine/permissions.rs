//! What the request at hand may do, as the rights of its effective user say.

use std::sync::Arc;

use vestibule_actors::catalog::User;
use vestibule_actors::engine::procedures::{LOCK, RUNTIME_PREFIX};
use vestibule_wire::Error;
use vestibule_wire::request::IdOrName;

use super::EmbeddedEngine;
use crate::access::rights::Rights;
use crate::errors::no_such_user;
use crate::model::space::SpaceDef;
use crate::privileges::{ObjectKind, Privileges};

impl EmbeddedEngine {
    /// The rights of the request at hand.
    pub(crate) fn effective_user(&self) -> &Rights {
        self.user.rights()
    }

    /// From here on, requests have the rights of this user, or, if the procedure that is called has
    /// the rights of its owner, those.
    pub(crate) fn switch_user_for_call(&mut self, user: &User, procedure: &str) {
        self.user
            .switch_for_call(user, procedure, self.schema.access());
    }

    /// Until rights are changed or another user's request comes, everything may be done, whatever
    /// was granted: for data that comes from elsewhere, while nobody is served.
    pub(crate) fn switch_to_superuser(&mut self) {
        self.user.switch_to_superuser();
    }

    /// Does something with the rights of `admin`, for what follows from an act that was allowed.
    pub(crate) fn as_admin<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let former = self.user.switch_to_superuser();
        let result = work(self);
        self.user.restore(former);
        result
    }

    /// Whether a procedure may be called.
    ///
    /// # Errors
    ///
    /// `ErrorCode::ACCESS_DENIED` if not, `ErrorCode::NO_SUCH_USER` if the user is gone.
    pub(super) fn check_call(&self, user: &User, procedure: &str) -> Result<(), Error> {
        if procedure.starts_with(RUNTIME_PREFIX) {
            return self.check_runtime_call(user, procedure);
        }
        let needed = Privileges::EXECUTE | Privileges::USAGE;
        let access = self.schema.access();
        let rights = access.rights(user);
        if rights.is_some_and(|rights| rights.universe.contain(needed)) {
            return Ok(());
        }
        let known = access.function(procedure);
        match rights {
            Some(rights) => rights.check_call(procedure, known),
            None => access.rights_or_none(user).check_call(procedure, known),
        }
    }

    /// Rights on data say little about the runtime's own procedures: locks are for users who have
    /// any, `set` is for everybody, each other one asks for an administrator by itself.
    fn check_runtime_call(&self, user: &User, procedure: &str) -> Result<(), Error> {
        if procedure != LOCK {
            return Ok(());
        }
        let rights = self.schema.access().rights_or_none(user);
        rights.check_lock(procedure)
    }

    /// Whether a user is there still.
    ///
    /// # Errors
    ///
    /// `ErrorCode::NO_SUCH_USER` if not.
    pub(crate) fn check_user(&self, user: &User) -> Result<(), Error> {
        let found = self.schema.access().rights(user);
        found.map(drop).ok_or_else(|| no_such_user(&user.name))
    }

    /// Whether a transaction may be begun.
    ///
    /// # Errors
    ///
    /// `ErrorCode::ACCESS_DENIED` for a user without any right on data, `ErrorCode::NO_SUCH_USER`
    /// if the user is gone.
    pub(super) fn check_begin(&self, user: &User) -> Result<(), Error> {
        match self.schema.access().rights(user) {
            Some(rights) => rights.check_begin(),
            None => Err(no_such_user(&user.name)),
        }
    }

    /// The definition of a space on which the request has this right.
    ///
    /// # Errors
    ///
    /// `ErrorCode::ACCESS_DENIED` without the right, `ErrorCode::NO_SUCH_USER` if the user is
    /// gone, `ErrorCode::NO_SUCH_SPACE` for a space that is not there.
    #[inline]
    pub(crate) fn allowed(
        &self,
        asked: IdOrName<'_>,
        needed: Privileges,
    ) -> Result<&Arc<SpaceDef>, Error> {
        let found = self.schema.resolve(asked);
        let rights = self.user.rights();
        if rights.universe.contain(needed | Privileges::USAGE) {
            return found;
        }
        let known = found.as_ref().ok().map(|def| (def.id, &*def.name));
        rights.check_space(needed, asked, known)?;
        found
    }

    /// Whether the request may read a space. Says nothing about one that is not there to a user who
    /// may read everything.
    ///
    /// # Errors
    ///
    /// Those of [`allowed`](Self::allowed).
    #[inline]
    pub(super) fn check_read(&self, asked: IdOrName<'_>) -> Result<(), Error> {
        let needed = Privileges::READ;
        if self
            .user
            .rights()
            .universe
            .contain(needed | Privileges::USAGE)
        {
            return Ok(());
        }
        self.allowed(asked, needed).map(drop)
    }

    /// The definition of a space that the request may know of; a user who may not is told that this
    /// right is missing.
    ///
    /// # Errors
    ///
    /// Those of [`allowed`](Self::allowed).
    pub(crate) fn visible(
        &self,
        asked: IdOrName<'_>,
        needed: Privileges,
    ) -> Result<&Arc<SpaceDef>, Error> {
        let rights = self.user.rights();
        match self.schema.resolve(asked) {
            Ok(def) if rights.shows_space(def.id) => {
                rights.check_usage(ObjectKind::Space)?;
                Ok(def)
            }
            found => {
                let known = found.as_ref().ok().map(|def| (def.id, &*def.name));
                rights.check_space(needed, asked, known)?;
                found
            }
        }
    }
}
