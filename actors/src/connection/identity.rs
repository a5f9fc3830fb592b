//! Who calls on a connection, and whether Tx knows.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use vestibule_wire::features::Features;
use vestibule_wire::greeting::SALT_SIZE;

use crate::audit::{AuditBounds, AuditEvent, SessionAudit};
use crate::endpoints::PeerAddress;
use crate::engine::Caller;
use crate::engine::catalog::{GUEST, User};

/// The caller of one connection.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Of the greeting: what passwords are scrambled with.
    salt: [u8; SALT_SIZE],
    caller: Arc<Caller>,
    /// Where the connection comes from.
    peer: PeerAddress,
    audit: SessionAudit,
    has_logged_in: bool,
    /// The connection comes from another machine: guest is refused if it may do everything.
    is_watched: bool,
    /// The same, and the caller is guest.
    is_watched_guest: bool,
    /// The Tx that knows this caller, by generation; 0 for none.
    known_to: u64,
    /// Changed since Tx was told.
    is_changed: bool,
    /// How its replies are written, of what an upstream may write.
    format: Features,
}

impl Identity {
    /// Of a new connection.
    pub(crate) fn guest(
        connection: u64,
        peer: PeerAddress,
        salt: [u8; SALT_SIZE],
        is_administrator: bool,
    ) -> Self {
        let caller = Caller {
            connection,
            user: User::guest(),
            peer,
            is_administrator,
        };
        Self {
            audit: SessionAudit::new(connection, peer),
            salt,
            caller: Arc::new(caller),
            peer,
            has_logged_in: false,
            is_watched: false,
            is_watched_guest: false,
            known_to: 0,
            is_changed: true,
            format: Features::NONE,
        }
    }

    /// The caller's client has told what it can do, of what changes how values are written.
    /// An upstream hears of it with the next request.
    pub(crate) fn set_format(&mut self, format: Features) {
        self.is_changed |= self.format != format;
        self.format = format;
    }

    /// What the caller's client can do, of what changes how values are written.
    pub(crate) fn format(&self) -> Features {
        self.format
    }

    /// From another machine: guest is refused there if it may do everything.
    pub(crate) fn watch_guest(&mut self) {
        self.is_watched = true;
        self.is_watched_guest = self.caller.user.is_guest();
    }

    /// Whether the caller is refused if guest may do everything.
    #[inline]
    pub(crate) fn is_watched_guest(&self) -> bool {
        self.is_watched_guest
    }

    pub(crate) fn peer(&self) -> PeerAddress {
        self.peer
    }

    pub(crate) fn salt(&self) -> &[u8; SALT_SIZE] {
        &self.salt
    }

    #[inline]
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The caller, to be kept.
    pub(crate) fn shared_caller(&self) -> Arc<Caller> {
        self.caller.clone()
    }

    /// Tells the audit log of a login as this user; `why` it failed, if it did.
    pub(crate) fn audit_login(
        &mut self,
        user: &str,
        why: Option<&str>,
        all: &Mutex<AuditBounds>,
        now: Instant,
    ) {
        let event = match why {
            Some(_) => AuditEvent::AuthFail,
            None => AuditEvent::AuthOk,
        };
        let is_known = why.is_none() && user != GUEST;
        let about = why.map(|why| ("reason", why));
        let about = about.as_slice();
        self.audit.tell(event, (user, is_known), about, all, now);
    }

    /// Tells the audit log that the caller was denied something.
    pub(crate) fn audit_denied(&mut self, what: &str, all: &Mutex<AuditBounds>, now: Instant) {
        let user = &self.caller.user;
        let (who, about) = ((&*user.name, !user.is_guest()), [("reason", what)]);
        self.audit
            .tell(AuditEvent::AccessDenied, who, &about, all, now);
    }

    /// Whether anybody but the guest has ever logged in.
    pub(crate) fn has_logged_in(&self) -> bool {
        self.has_logged_in
    }

    /// A user's password was right. Tx hears of it with the next request.
    pub(crate) fn log_in(&mut self, user: User, is_administrator: bool) {
        // Tx may have the old one: a request that waits keeps its caller.
        let caller = Arc::make_mut(&mut self.caller);
        caller.is_administrator = is_administrator;
        self.has_logged_in |= !user.is_guest();
        self.is_watched_guest = self.is_watched && user.is_guest();
        caller.user = user;
        self.is_changed = true;
    }

    /// Whether the caller is an administrator was judged again. Tx hears of it with the next
    /// request, if it is another.
    pub(crate) fn set_administrator(&mut self, is_administrator: bool) {
        if self.caller.is_administrator != is_administrator {
            Arc::make_mut(&mut self.caller).is_administrator = is_administrator;
            self.is_changed = true;
        }
    }

    /// Whether a Tx has to be told when the connection is gone.
    pub(crate) fn is_known_to_tx(&self) -> bool {
        self.known_to != 0
    }

    /// Whom the Tx of this generation has to be told of before the next request, once per Tx and
    /// login.
    #[inline]
    pub(crate) fn take_update(&mut self, generation: u64) -> Option<Arc<Caller>> {
        if self.known_to == generation && !self.is_changed {
            return None;
        }
        self.is_changed = false;
        self.known_to = generation;
        Some(self.caller.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tx_is_told_once_per_login() {
        let mut identity = Identity::guest(7, PeerAddress::Local, [0; SALT_SIZE], false);
        let user = |caller: Option<Arc<Caller>>| caller.map(|own| own.user.to_string());
        assert!(!identity.is_known_to_tx());
        assert_eq!(user(identity.take_update(1)).as_deref(), Some(GUEST));
        assert_eq!(user(identity.take_update(1)), None);
        assert!(identity.is_known_to_tx());
        assert_eq!(user(identity.take_update(2)).as_deref(), Some(GUEST));
        identity.log_in(User::named("alice"), false);
        assert_eq!(user(identity.take_update(2)).as_deref(), Some("alice"));
        assert_eq!(user(identity.take_update(2)), None);
    }

    #[test]
    fn guest_is_watched_before_a_login_and_after_the_way_back() {
        let mut identity = Identity::guest(7, PeerAddress::Local, [0; SALT_SIZE], false);
        assert!(!identity.is_watched_guest());
        identity.watch_guest();
        assert!(identity.is_watched_guest());
        identity.log_in(User::named("alice"), false);
        assert!(!identity.is_watched_guest());
        identity.log_in(User::guest(), false);
        assert!(identity.is_watched_guest());
    }

    #[test]
    fn the_guest_is_nobody_who_has_logged_in() {
        let mut identity = Identity::guest(7, PeerAddress::Local, [0; SALT_SIZE], true);
        identity.log_in(User::guest(), false);
        assert!(!identity.has_logged_in() && !identity.caller().is_administrator);
        identity.log_in(User::named("alice"), true);
        identity.log_in(User::guest(), true);
        assert!(identity.has_logged_in() && identity.caller().is_administrator);
    }
}
