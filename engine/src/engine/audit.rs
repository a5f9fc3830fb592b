//! Changes of users, roles, rights and spaces, told to the audit log once they are durable.
//!
//! ```text
//!   request that changes definitions, alone in its turn ─▶ its caller is noted
//!   turn durable ─▶ rows that it changed ─▶ a line for each, with that caller
//! ```

use vestibule_actors::audit::{AuditEvent, AuditedBy, audit};
use vestibule_actors::engine::Caller;

use super::EmbeddedEngine;
use super::author::Author;
use crate::ddl::grant_checks::name_of;
use crate::model::tuple::Tuple;
use crate::privileges::{Object, Privileges};
use crate::schema::system::changes::RowChange;
use crate::schema::system::grant_rows::PrivRow;
use crate::schema::system::rows::{SpaceRow, UserRow};
use crate::schema::system::{self, read};

/// What there is to say of a change.
type Told = (AuditEvent, Vec<(&'static str, Box<str>)>);

impl EmbeddedEngine {
    /// The request at hand may have changed definitions: if it has, this is whose it was.
    #[inline]
    pub(crate) fn note_author(&mut self, caller: &Caller) {
        if self.workspace.turn().is_ddl() {
            self.author = Some(Author::of(caller));
        }
    }

    /// Tells of the rows that a turn has changed.
    pub(super) fn audit_changes(&self, changes: &[RowChange], author: Option<&Author>) {
        let peer = author.map_or_else(String::new, |own| own.peer.to_string());
        let by = author.map(|own| AuditedBy {
            connection: own.connection,
            peer: &peer,
            user: &own.user,
        });
        for (event, about) in changes.iter().filter_map(|own| self.told(own, changes)) {
            let about: Vec<_> = about.iter().map(|(key, text)| (*key, &**text)).collect();
            audit(event, by, &about);
        }
    }

    /// What is told of a change. A row that cannot be read was refused before.
    fn told(&self, change: &RowChange, all: &[RowChange]) -> Option<Told> {
        match change.space {
            system::USER => user_told(change),
            system::PRIV => self.rights_told(change, all),
            system::SPACE => space_told(change),
            _ => None,
        }
    }

    fn rights_told(&self, change: &RowChange, all: &[RowChange]) -> Option<Told> {
        let row = |tuple: &Option<Tuple>| PrivRow::decode(tuple.as_ref()?).ok();
        let (old, new) = (row(&change.old), row(&change.new));
        let own = new.or(old)?;
        let held = old.map_or(Privileges::NONE, |own| own.privileges);
        let holds = new.map_or(Privileges::NONE, |own| own.privileges);
        let (granted, revoked) = (holds - held, held - holds);
        let (name, is_role) = self.grantee(own.grantee, all);
        let (event, rights) = match (granted.is_empty(), is_role) {
            (false, false) => (AuditEvent::UserGrantRights, granted),
            (false, true) => (AuditEvent::RoleGrantRights, granted),
            (true, false) => (AuditEvent::UserRevokeRights, revoked),
            (true, true) => (AuditEvent::RoleRevokeRights, revoked),
        };
        let about = vec![
            ("name", name),
            ("rights", rights.names().into()),
            ("object_type", own.object.0.name().into()),
            ("object", self.object_name(own.object)),
        ];
        Some((event, about))
    }

    /// The name of who was granted something, who may be gone with the same change, and whether it
    /// is a role.
    fn grantee(&self, id: u64, all: &[RowChange]) -> (Box<str>, bool) {
        let gone = all.iter().filter(|own| own.space == system::USER);
        let gone = gone.filter_map(|own| UserRow::decode(own.old.as_ref()?).ok());
        let user = gone.into_iter().find(|own| own.id == id).or_else(|| {
            self.look(|snapshot| read::user(snapshot, id))
                .ok()
                .flatten()
        });
        match user {
            Some(user) => {
                let is_role = user.is_role();
                (user.name, is_role)
            }
            None => (id.to_string().into(), false),
        }
    }

    fn object_name(&self, object: Object) -> Box<str> {
        let name = self.look(|snapshot| name_of(snapshot, object));
        let number = || object.1.map_or_else(String::new, |id| id.to_string());
        name.unwrap_or_else(|_| number().into())
    }
}

fn user_told(change: &RowChange) -> Option<Told> {
    let old = change
        .old
        .as_ref()
        .and_then(|row| UserRow::decode(row).ok());
    let new = change
        .new
        .as_ref()
        .and_then(|row| UserRow::decode(row).ok());
    let is_role = new.as_ref().or(old.as_ref())?.is_role();
    let event = match (&old, &new) {
        (None, Some(_)) if is_role => AuditEvent::RoleCreate,
        (None, Some(_)) => AuditEvent::UserCreate,
        (Some(_), None) if is_role => AuditEvent::RoleDrop,
        (Some(_), None) => AuditEvent::UserDrop,
        (Some(old), Some(new)) if old.password != new.password => AuditEvent::PasswordChange,
        _ => return None,
    };
    Some((event, vec![("name", new.or(old)?.name)]))
}

fn space_told(change: &RowChange) -> Option<Told> {
    let name = |tuple: Option<&Tuple>| {
        let row = SpaceRow::decode(tuple?).ok()?;
        Some(row.name)
    };
    let (old, new) = (name(change.old.as_ref()), name(change.new.as_ref()));
    let event = match (&old, &new) {
        (None, Some(_)) => AuditEvent::SpaceCreate,
        (Some(_), Some(_)) => AuditEvent::SpaceAlter,
        _ => AuditEvent::SpaceDrop,
    };
    Some((event, vec![("name", new.or(old)?)]))
}
