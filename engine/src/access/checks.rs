//! Whether rights suffice, and how it is told if they do not.
//!
//! A check never tells whether something exists: who may not know of a space gets the same answer
//! for it as for one that is not there, in the words of the request. (Tarantool answers
//! `NO_SUCH_SPACE` for a space that is not there, and `ACCESS_DENIED` with its name for one that
//! is.) The system's own spaces are no secret.

use vestibule_wire::Error;
use vestibule_wire::request::IdOrName;

use super::rights::{Function, Rights};
use crate::errors;
use crate::privileges::{ObjectKind, Privileges};
use crate::schema::system;

/// A space as a check needs to know it.
pub(crate) type CheckedSpace<'a> = (u32, &'a str);

impl Rights {
    /// Whether data of a space may be read or written.
    ///
    /// # Errors
    ///
    /// `ErrorCode::NO_SUCH_USER` if the user is gone, `ErrorCode::ACCESS_DENIED`, and
    /// `ErrorCode::NO_SUCH_SPACE` for a space that is not there.
    #[cold]
    pub(crate) fn check_space(
        &self,
        needed: Privileges,
        asked: IdOrName<'_>,
        found: Option<CheckedSpace<'_>>,
    ) -> Result<(), Error> {
        self.check_usage(ObjectKind::Space)?;
        match found {
            Some((id, _)) if self.on(ObjectKind::Space, u64::from(id)).contain(needed) => Ok(()),
            Some((id, name)) if system::is_system(id) || self.shows_space(id) => {
                Err(self.denied(needed, ObjectKind::Space, name))
            }
            None if is_system(asked) || self.shows_every_space() => Err(no_such_space(asked)),
            _ => Err(match asked {
                IdOrName::Id(id) => self.denied(needed, ObjectKind::Space, &id.to_string()),
                IdOrName::Name(name) => self.denied(needed, ObjectKind::Space, name),
            }),
        }
    }

    /// Whether a space may be known to exist.
    pub(crate) fn shows_space(&self, id: u32) -> bool {
        self.shows(ObjectKind::Space, u64::from(id)) || self.shows_every_space()
    }

    fn shows_every_space(&self) -> bool {
        let on_all = self.on_all(ObjectKind::Space);
        !(on_all & Privileges::SHOWING).is_empty() || self.reads(system::SPACE)
    }

    /// Whether a system space may be read itself.
    pub(crate) fn reads(&self, space: u32) -> bool {
        let held = self.on(ObjectKind::Space, u64::from(space));
        held.contain(Privileges::READ)
    }

    /// Whether a sequence may be used; `None` for one that is not there, of which only those hear
    /// who may use every one.
    ///
    /// # Errors
    ///
    /// `ErrorCode::ACCESS_DENIED` without the right, `ErrorCode::NO_SUCH_USER` if the user is gone.
    pub(crate) fn check_sequence(
        &self,
        needed: Privileges,
        name: &str,
        found: Option<u32>,
    ) -> Result<(), Error> {
        let kind = ObjectKind::Sequence;
        self.check_usage(kind)?;
        let held = match found {
            Some(id) => self.on(kind, u64::from(id)),
            None => self.on_all(kind),
        };
        if held.contain(needed) {
            return Ok(());
        }
        Err(self.denied(needed, kind, name))
    }

    /// Whether a procedure may be called. It is `None` if it was never made known with
    /// `box.schema.func.create`: then it takes the right on everything.
    ///
    /// # Errors
    ///
    /// `ErrorCode::ACCESS_DENIED` without the right, `ErrorCode::NO_SUCH_USER` if the user is gone.
    pub(crate) fn check_call(
        &self,
        procedure: &str,
        known: Option<&Function>,
    ) -> Result<(), Error> {
        let needed = Privileges::EXECUTE | Privileges::USAGE;
        let missing = needed - self.universe;
        if missing.is_empty() {
            return Ok(());
        }
        self.check_known()?;
        let kind = ObjectKind::Function;
        match known {
            Some(function) if self.on(kind, function.id).contain(needed) => Ok(()),
            Some(_) => Err(self.denied(Privileges::EXECUTE, kind, procedure)),
            None => Err(self.denied(missing, kind, procedure)),
        }
    }

    /// Whether something of the server may be held that others could need (a lock): by a user who
    /// may do anything with data.
    ///
    /// # Errors
    ///
    /// `ErrorCode::ACCESS_DENIED` without any right, `ErrorCode::NO_SUCH_USER` if the user is gone.
    pub(crate) fn check_lock(&self, procedure: &str) -> Result<(), Error> {
        self.check_known()?;
        if self.reach_data() {
            return Ok(());
        }
        Err(self.denied(Privileges::EXECUTE, ObjectKind::Function, procedure))
    }

    /// Whether a transaction may be begun: the same rule.
    ///
    /// # Errors
    ///
    /// Those of [`check_lock`](Self::check_lock).
    pub(crate) fn check_begin(&self) -> Result<(), Error> {
        self.check_known()?;
        if self.reach_data() {
            return Ok(());
        }
        Err(self.denied(Privileges::READ, ObjectKind::Universe, ""))
    }

    /// Whether an object may be made, changed or dropped.
    ///
    /// # Errors
    ///
    /// `ErrorCode::ACCESS_DENIED` without the right, `ErrorCode::NO_SUCH_USER` if the user is gone.
    pub(crate) fn check_ddl(
        &self,
        needed: Privileges,
        kind: ObjectKind,
        id: u64,
        name: &str,
    ) -> Result<(), Error> {
        self.check_usage(kind)?;
        let missing = needed - self.on(kind, id);
        if missing.is_empty() {
            return Ok(());
        }
        Err(self.denied(missing, kind, name))
    }

    /// Whether any right may be used at all.
    ///
    /// # Errors
    ///
    /// `ErrorCode::ACCESS_DENIED` without the right, `ErrorCode::NO_SUCH_USER` if the user is gone.
    pub(crate) fn check_usage(&self, kind: ObjectKind) -> Result<(), Error> {
        self.check_known()?;
        if self.on_all(kind).contain(Privileges::USAGE) {
            return Ok(());
        }
        Err(self.denied(Privileges::USAGE, ObjectKind::Universe, ""))
    }

    /// Whether the user may log in.
    ///
    /// # Errors
    ///
    /// `ErrorCode::ACCESS_DENIED` if not.
    pub(crate) fn check_session(&self) -> Result<(), Error> {
        if self.universe.contain(Privileges::SESSION) {
            return Ok(());
        }
        Err(self.denied(Privileges::SESSION, ObjectKind::Universe, ""))
    }

    fn check_known(&self) -> Result<(), Error> {
        if self.is_known {
            return Ok(());
        }
        Err(errors::no_such_user(&self.name))
    }

    /// `ErrorCode::ACCESS_DENIED` for the first of the missing rights.
    pub(crate) fn denied(&self, missing: Privileges, kind: ObjectKind, name: &str) -> Error {
        Error::access_denied(missing.first_name(), kind.name(), name, &self.name)
    }
}

fn is_system(asked: IdOrName<'_>) -> bool {
    matches!(asked, IdOrName::Id(id) if system::is_system(id))
}

fn no_such_space(asked: IdOrName<'_>) -> Error {
    match asked {
        IdOrName::Id(id) => Error::no_such_space(id),
        IdOrName::Name(name) => Error::no_such_space(name),
    }
}
