//! Whose rights the request at hand has: those of its caller, or of the owner of the function that
//! it calls.

use std::sync::Arc;

use vestibule_actors::engine::procedures::RUNTIME_PREFIX;
use vestibule_actors::engine::{Outcome, Reply, Request};
use vestibule_wire::Error;
use vestibule_wire::request::IdOrName;

use crate::access::rights::Rights;
use crate::ddl::grant_checks;
use crate::engine::EmbeddedEngine;
use crate::model::key::Key;
use crate::model::space::SpaceDef;
use crate::model::tuple::Tuple;
use crate::schema::privileges::{ObjectKind, Privileges};
use crate::schema::system;

impl EmbeddedEngine {
    /// From here on, requests have the rights of this user.
    #[inline]
    pub(crate) fn switch_user(&mut self, user: &Arc<str>) {
        if !Arc::ptr_eq(user, &self.effective_user.name) && *user != self.effective_user.name {
            self.effective_user = self.access.rights_or_none(user);
        }
    }

    /// The same for what a procedure does: it may be one that has the rights of its owner.
    pub(crate) fn switch_user_for_call(&mut self, user: &Arc<str>, procedure: &str) {
        match self.access.owner_of_call(procedure) {
            Some(owner) => self.effective_user = owner.clone(),
            None => self.switch_user(user),
        }
    }

    /// Executes a request, with the rights that were settled before: for procedures, which call it
    /// for their callers.
    #[inline]
    pub(crate) fn execute_as_effective_user(
        &mut self,
        request: &Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<Outcome, Error> {
        if request.transaction.is_none() {
            return self.dispatch(&request.body, reply);
        }
        let entered = self.enter(request.transaction)?;
        let outcome = self.dispatch(&request.body, reply);
        self.leave(entered);
        outcome
    }

    /// Does something with the rights of `admin`, for what follows from an act that was allowed.
    pub(crate) fn as_admin<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let own = std::mem::replace(&mut self.effective_user, Arc::new(Rights::everything()));
        let result = work(self);
        self.effective_user = own;
        result
    }

    /// Until rights are changed or somebody else acts, everything may be done, whatever was
    /// granted: for data that comes from elsewhere, while nobody is served.
    pub(crate) fn switch_to_superuser(&mut self) {
        self.effective_user = Arc::new(Rights::everything());
    }

    /// The rights of the request at hand.
    pub(crate) fn effective_user(&self) -> &Rights {
        &self.effective_user
    }

    /// The rights changed: the effective user has the new ones from here on.
    pub(crate) fn refresh_effective_user(&mut self) {
        let access = self.image().access.clone();
        self.access = access;
        let name = self.effective_user.name.clone();
        self.effective_user = self.access.rights_or_none(&name);
    }

    /// Whether a procedure may be called.
    pub(crate) fn check_call(&self, user: &Arc<str>, procedure: &str) -> Result<(), Error> {
        // Rights on data say nothing about the runtime's own procedures: `vestibule.lock`, `unlock` and
        // `set` are for everybody, each other one asks for an administrator by itself.
        if procedure.starts_with(RUNTIME_PREFIX) {
            return Ok(());
        }
        let needed = Privileges::EXECUTE | Privileges::USAGE;
        let rights = self.access.rights(user);
        if rights.is_some_and(|rights| rights.universe.contain(needed)) {
            return Ok(());
        }
        let known = self.access.function(procedure);
        match rights {
            Some(rights) => rights.check_call(procedure, known),
            None => self
                .access
                .rights_or_none(user)
                .check_call(procedure, known),
        }
    }

    /// The definition of a space on which the request has this right.
    #[inline]
    pub(crate) fn allowed(
        &self,
        asked: IdOrName<'_>,
        needed: Privileges,
    ) -> Result<&Arc<SpaceDef>, Error> {
        let found = self.definitions.resolve(asked);
        if self
            .effective_user
            .universe
            .contain(needed | Privileges::USAGE)
        {
            return found;
        }
        let known = found.as_ref().ok().map(|def| (def.id, &*def.name));
        self.effective_user.check_space(needed, asked, known)?;
        found
    }

    /// Whether the request may read a space. Says nothing about one that is not there to a user
    /// who may read everything.
    #[inline]
    pub(crate) fn check_read(&self, asked: IdOrName<'_>) -> Result<(), Error> {
        let needed = Privileges::READ;
        if self
            .effective_user
            .universe
            .contain(needed | Privileges::USAGE)
        {
            return Ok(());
        }
        self.allowed(asked, needed).map(drop)
    }

    /// The definition of a space that the request may know of; who may not is told that this right
    /// is missing.
    pub(crate) fn visible(
        &self,
        asked: IdOrName<'_>,
        needed: Privileges,
    ) -> Result<&Arc<SpaceDef>, Error> {
        match self.definitions.resolve(asked) {
            Ok(def) if self.effective_user.shows_space(def.id) => {
                self.effective_user.check_usage(ObjectKind::Space)?;
                Ok(def)
            }
            found => {
                let known = found.as_ref().ok().map(|def| (def.id, &*def.name));
                self.effective_user.check_space(needed, asked, known)?;
                found
            }
        }
    }

    /// Takes a row out of a system space, found by its key. For use inside [`alter`](Self::alter).
    pub(crate) fn delete_system(
        &mut self,
        space: u32,
        row: &[u8],
        reply: &Reply<'_>,
    ) -> Result<(), Error> {
        let def = self.definition(IdOrName::Id(space))?;
        let key = def.primary()?.key_of(row);
        let key = key.map_err(|_| Error::invalid_msgpack("system row"))?;
        self.change_system(&def, key, None, reply).map(drop)
    }

    /// A duplicate in a system space shows the row that is in the way to those only who may read it;
    /// one in `_index`, or in the index to be built, to those who may read the space that it is of.
    #[cold]
    pub(crate) fn without_rows(&self, space: &SpaceDef, key: &Key, error: Error) -> Error {
        let of = match space.id {
            system::INDEX => u32::try_from(key.first_number()).unwrap_or(u32::MAX),
            id => id,
        };
        if !system::is_system(space.id) || self.effective_user.reads(of) {
            return error;
        }
        let told = error.message().split_once(" with old tuple - ");
        match told.map(|(told, _)| told.to_owned()) {
            Some(told) => Error::new(error.code(), told),
            None => error,
        }
    }

    /// Whether the request may change this row of a system space.
    pub(crate) fn authorize(
        &self,
        space: &SpaceDef,
        old: Option<&Tuple>,
        new: Option<&Tuple>,
    ) -> Result<(), Error> {
        self.look(|snapshot| {
            let (old, new) = (old.map(|row| &**row), new.map(|row| &**row));
            grant_checks::authorize(&self.effective_user, snapshot, space, old, new)
        })
    }
}
