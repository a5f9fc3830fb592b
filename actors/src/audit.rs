//! Lines of the log about who logged in, what was refused, and who changed rights: a record for
//! those who have to know afterwards.
//!
//! ```text
//!   session ─ logins, what was denied ─▶ bounded ─┐
//!   engine ── users, roles, rights, spaces ───────┴▶ log, target `vestibule::audit`, level info
//! ```
//!
//! A line is the name of what happened, as Tarantool calls it, with key-values: `connection`,
//! `peer`, `user`, and what else there is to say. What strangers can bring about is bounded: for
//! each connection and for all of them together; how many lines were left out stands in the next
//! one. What changes definitions takes a commit, and is never left out.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::kv::Value;
use log::{Level, Record};

use crate::endpoints::PeerAddress;
use crate::limits::{AUDIT_LINES, AUDIT_LINES_PER_CONNECTION, AUDIT_TEXT_MAX, LOGGED_NAME_MAX};

/// The target of the log that these lines have.
pub const AUDIT_TARGET: &str = "vestibule::audit";

macro_rules! events {
    ($($(#[$doc:meta])* $event:ident = $name:literal,)+) => {
        /// What is told.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum AuditEvent {
            $($(#[$doc])* $event,)+
        }

        impl AuditEvent {
            /// The name of it, as in Tarantool's audit log.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$event => $name,)+
                }
            }
        }
    };
}

events! {
    /// A login was accepted.
    AuthOk = "auth_ok",
    /// A login was refused.
    AuthFail = "auth_fail",
    /// A request was refused for want of rights.
    AccessDenied = "access_denied",
    /// A user was made.
    UserCreate = "user_create",
    /// A user was dropped.
    UserDrop = "user_drop",
    /// A user's password was set, changed or taken away.
    PasswordChange = "password_change",
    /// A role was made.
    RoleCreate = "role_create",
    /// A role was dropped.
    RoleDrop = "role_drop",
    /// A user was granted something.
    UserGrantRights = "user_grant_rights",
    /// Something was revoked from a user.
    UserRevokeRights = "user_revoke_rights",
    /// A role was granted something.
    RoleGrantRights = "role_grant_rights",
    /// Something was revoked from a role.
    RoleRevokeRights = "role_revoke_rights",
    /// A space was made.
    SpaceCreate = "space_create",
    /// A space's definition was changed.
    SpaceAlter = "space_alter",
    /// A space was dropped.
    SpaceDrop = "space_drop",
}

/// Who did it. Work of the server itself has nobody.
#[derive(Debug, Clone, Copy)]
pub struct AuditedBy<'a> {
    /// The connection's number.
    pub connection: u64,
    /// Where it comes from.
    pub peer: &'a str,
    /// As which user, or as which user somebody wanted to log in.
    pub user: &'a str,
}

/// Writes a line; `about` is what else there is to say, by keys.
pub fn audit(event: AuditEvent, by: Option<AuditedBy<'_>>, about: &[(&str, &str)]) {
    write(event, by, about, 0);
}

fn write(event: AuditEvent, by: Option<AuditedBy<'_>>, about: &[(&str, &str)], left_out: u64) {
    if !log::log_enabled!(target: AUDIT_TARGET, Level::Info) {
        return;
    }
    let shown = by.map(|own| (own, shortened(own.user, LOGGED_NAME_MAX)));
    let about: Vec<_> = about
        .iter()
        .map(|own| (own.0, shortened(own.1, AUDIT_TEXT_MAX)))
        .collect();
    let mut pairs: Vec<(&str, Value<'_>)> = Vec::new();
    if let Some((own, user)) = &shown {
        pairs.push(("connection", own.connection.into()));
        pairs.push(("peer", own.peer.into()));
        pairs.push(("user", (*user).into()));
    }
    pairs.extend(about.iter().map(|(key, text)| (*key, Value::from(*text))));
    if left_out > 0 {
        pairs.push(("left_out", left_out.into()));
    }
    log::logger().log(
        &Record::builder()
            .level(Level::Info)
            .target(AUDIT_TARGET)
            .module_path_static(Some(module_path!()))
            .args(format_args!("{}", event.name()))
            .key_values(&pairs.as_slice())
            .build(),
    );
}

/// The first characters of a text, at most `most`.
fn shortened(text: &str, most: usize) -> &str {
    let end = text.char_indices().nth(most);
    end.map_or(text, |(end, _)| &text[..end])
}

/// How many lines there may be of what others bring about: some at once, then one in each period.
#[derive(Debug)]
struct Bound {
    burst: u32,
    period: Duration,
    left: u32,
    since: Option<Instant>,
    left_out: u64,
}

impl Bound {
    const fn new((burst, period): (u32, Duration)) -> Self {
        Self {
            burst,
            period,
            left: burst,
            since: None,
            left_out: 0,
        }
    }

    /// Whether one more may be written at `now`.
    fn takes(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let periods = now.saturating_duration_since(since).as_nanos() / self.period.as_nanos();
        if periods > 0 {
            let more = u32::try_from(periods).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(more).min(self.burst);
            self.since = Some(now);
        }
        let takes = self.left > 0;
        self.left -= u32::from(takes);
        takes
    }
}

/// The lines of all connections of a runtime that strangers bring about, and those of users who
/// have logged in: none of the ones hides the others.
#[derive(Debug)]
pub(crate) struct AuditBounds([Bound; 2]);

impl Default for AuditBounds {
    fn default() -> Self {
        Self([Bound::new(AUDIT_LINES), Bound::new(AUDIT_LINES)])
    }
}

/// The lines of one connection.
#[derive(Debug)]
pub(crate) struct SessionAudit {
    peer: PeerAddress,
    connection: u64,
    bound: Bound,
}

impl SessionAudit {
    pub(crate) fn new(connection: u64, peer: PeerAddress) -> Self {
        Self {
            peer,
            connection,
            bound: Bound::new(AUDIT_LINES_PER_CONNECTION),
        }
    }

    /// Writes a line about `user`, who is somebody whom the server knows if `is_known`, unless
    /// there are too many.
    pub(crate) fn tell(
        &mut self,
        event: AuditEvent,
        (user, is_known): (&str, bool),
        about: &[(&str, &str)],
        all: &Mutex<AuditBounds>,
        now: Instant,
    ) {
        let left_out = {
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            let all = &mut all.0[usize::from(is_known)];
            if !self.bound.takes(now) || !all.takes(now) {
                all.left_out += 1;
                return;
            }
            std::mem::take(&mut all.left_out)
        };
        // The lock is free: a log that is slow holds up those alone who write to it.
        let by = AuditedBy {
            connection: self.connection,
            peer: &self.peer.to_string(),
            user,
        };
        write(event, Some(by), about, left_out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_lines_are_written_at_once_and_then_one_in_each_period() {
        let start = Instant::now();
        let period = Duration::from_secs(10);
        let mut bound = Bound::new((3, period));
        let mut written = |at: u64| {
            let now = start + Duration::from_secs(at);
            (0..5).filter(|_| bound.takes(now)).count()
        };
        assert_eq!(
            [0, 9, 10, 19, 40, 4000].map(&mut written),
            [3, 0, 1, 0, 3, 3]
        );
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(shortened("añb", 2), "añ");
        assert_eq!(shortened("añb", 3), "añb");
        assert_eq!(shortened("", 3), "");
    }

    /// Who connects again and again, and who stays, writes a bounded number of lines.
    #[test]
    fn strangers_write_a_bounded_number_of_lines_and_hide_no_user() {
        let now = Instant::now();
        let all = Mutex::<AuditBounds>::default();
        let peer = PeerAddress::Local;
        for connection in 0..10 * u64::from(AUDIT_LINES.0) {
            let mut own = SessionAudit::new(connection, peer);
            for _ in 0..2 * AUDIT_LINES_PER_CONNECTION.0 {
                own.tell(AuditEvent::AuthFail, ("x", false), &[], &all, now);
            }
        }
        let [strangers, known] = all.into_inner().unwrap().0;
        assert_eq!(strangers.left, 0);
        assert!(strangers.left_out > u64::from(AUDIT_LINES.0));
        assert_eq!((known.left, known.left_out), (AUDIT_LINES.0, 0));
    }
}
