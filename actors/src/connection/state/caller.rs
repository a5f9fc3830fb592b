//! The caller of a connection, and what the caller watches.

use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use vestibule_wire::features::Features;
use vestibule_wire::greeting::SALT_SIZE;
use vestibule_wire::reply::write_event;

use super::ConnectionState;
use crate::authenticator::LoginProof;
use crate::cells::live::Follower;
use crate::config::Settings;
use crate::connection::login::{Checked, LoginCheck, LoginWait};
use crate::connection::watches::Watches;
use crate::engine::Caller;
use crate::engine::catalog::User;
use crate::serving::Events;
use crate::serving::events::Board;
use crate::shared::Shared;
use crate::upstream::WatchedKeys;

impl ConnectionState {
    /// Who calls.
    #[inline]
    pub(crate) fn caller(&self) -> &Caller {
        self.identity.caller()
    }

    /// Who calls, to be kept.
    pub(crate) fn shared_caller(&self) -> Arc<Caller> {
        self.identity.shared_caller()
    }

    /// Whether the caller is refused if guest may do everything.
    #[inline]
    pub(crate) fn is_watched_guest(&self) -> bool {
        self.identity.is_watched_guest()
    }

    /// Tells the audit log of a login as this user; `why` it failed, if it did.
    pub(crate) fn audit_login(&mut self, shared: &Shared, user: &str, why: Option<&str>) {
        let (all, now) = (shared.audit_bounds(), shared.clock.now());
        self.identity.audit_login(user, why, all, now);
    }

    /// Tells the audit log that the caller was denied something.
    #[cold]
    pub(crate) fn audit_denied(&mut self, shared: &Shared, what: &str) {
        let (all, now) = (shared.audit_bounds(), shared.clock.now());
        self.identity.audit_denied(what, all, now);
    }

    /// The salt of the greeting.
    pub(crate) fn salt(&self) -> &[u8; SALT_SIZE] {
        self.identity.salt()
    }

    /// The login at hand waits, because of wrong ones: its frame is left until then.
    pub(crate) fn begin_login_wait(&mut self, wait: LoginWait) {
        self.login_wait = Some(wait);
        self.intake.on_login_early();
    }

    /// Lets a login go on whose time has come by `now`, or in any case; true if one does.
    pub(crate) fn end_login_wait(&mut self, now: Option<Instant>) -> bool {
        let is_due = |own: &LoginWait| now.is_none_or(|now| own.until <= now);
        let ends = self.login_wait.as_ref().is_some_and(is_due);
        if ends {
            self.intake.on_login_due();
        }
        ends
    }

    /// Whether a login waits because of wrong ones.
    #[inline]
    pub(crate) fn has_login_wait(&self) -> bool {
        self.login_wait.is_some()
    }

    /// What the login at hand, which is taken again, has waited for.
    pub(crate) fn take_login_wait(&mut self) -> Option<LoginWait> {
        self.login_wait.take()
    }

    /// A login is checked by somebody else: its frame is left until that is decided.
    pub(crate) fn begin_login_check(&mut self, check: Box<LoginCheck>) {
        self.login = Some(check);
        self.intake.on_login_early();
    }

    /// Goes on with the check of a login.
    pub(crate) fn poll_login_check(&mut self, cx: &mut Context<'_>) {
        if self.login.as_mut().is_some_and(|own| own.poll(cx)) {
            self.intake.on_login_due();
        }
    }

    /// The sync of the login that is checked, if one is.
    pub(crate) fn login_under_way(&self) -> Option<u64> {
        let login = self.login.as_ref().filter(|own| own.is_under_way());
        login.map(|own| own.sync())
    }

    /// Ends the check of a login, if one is under way: true if that was so. Its frame is taken
    /// again, and answered.
    pub(crate) fn end_login_check(&mut self, with: Checked) -> bool {
        let has_ended = self.login.as_mut().is_some_and(|own| own.end(with));
        if has_ended {
            self.intake.on_login_due();
        }
        has_ended
    }

    /// Whether a login is checked by somebody else, or was and has not been answered.
    #[inline]
    pub(crate) fn has_login_check(&self) -> bool {
        self.login.is_some()
    }

    /// Until when the login that is checked may take.
    pub(crate) fn login_deadline(&self) -> Option<Instant> {
        self.login.as_ref()?.deadline()
    }

    /// When its worker is to look at its login.
    pub(crate) fn login_look(&self) -> Option<Instant> {
        let wait = self
            .login_wait
            .as_ref()
            .filter(|_| self.intake.waits_for_login());
        wait.map(|own| own.until).or_else(|| self.login_deadline())
    }

    /// What the check of this login has come to, if there was one.
    pub(crate) fn take_login_check(
        &mut self,
        sync: u64,
        user: &str,
        proof: &LoginProof,
    ) -> Option<Checked> {
        let check = *self.login.take()?;
        check.into_checked(sync, user, proof)
    }

    /// Drops the check of a login, and tells the audit log why; the sync of what is not answered
    /// then.
    pub(crate) fn refuse_login_check(&mut self, shared: &Shared, why: &str) -> Option<u64> {
        let login = self.login.take()?;
        self.audit_login(shared, login.user(), Some(why));
        Some(login.sync())
    }

    /// A user has logged in.
    pub(crate) fn log_in(&mut self, user: User, is_administrator: bool) {
        self.identity.log_in(user, is_administrator);
    }

    /// Judges again whether the caller is an administrator, if the settings are others.
    #[inline]
    pub(crate) fn follow_settings(&mut self, settings: &Follower<Settings>) {
        if self.settings_version != settings.version() {
            self.settings_version = settings.version();
            let caller = self.identity.caller();
            let includes = settings
                .administrators
                .includes(&caller.user.name, self.identity.peer());
            self.identity.set_administrator(includes);
        }
    }

    /// Whom the Tx of this generation has to be told of before the next request.
    #[inline]
    pub(crate) fn take_caller_update(&mut self, generation: u64) -> Option<Arc<Caller>> {
        self.identity.take_update(generation)
    }

    /// The client has told what it can do, of what changes how values are written.
    pub(crate) fn set_format(&mut self, format: Features) {
        self.identity.set_format(format);
    }

    /// The same, as it is now.
    pub(crate) fn format(&self) -> Features {
        self.identity.format()
    }

    /// Whether a Tx has to be told when the connection is gone.
    pub(crate) fn is_known_to_tx(&self) -> bool {
        self.identity.is_known_to_tx()
    }

    /// Watches a key, or acknowledges its last event; false if too many are watched.
    #[must_use]
    pub(crate) fn watch(&mut self, key: &str, sync: u64) -> bool {
        self.watches.get_or_insert_default().watch(key, sync)
    }

    /// The same of a key that is watched upstream.
    #[must_use]
    pub(crate) fn watch_upstream(&mut self, key: &str, sync: u64, all: &Arc<WatchedKeys>) -> bool {
        let user = &self.identity.caller().user.name;
        let watches = self.watches.get_or_insert_default();
        watches.watch_passed(key, sync, || all.watch(key, user).map(Some))
    }

    pub(crate) fn unwatch(&mut self, key: &str) {
        if let Some(watches) = &mut self.watches {
            watches.unwatch(key);
        }
    }

    /// Whether its watches have not seen this version of the events.
    pub(crate) fn awaits_events(&self, version: u64) -> bool {
        self.watches.is_some() && self.events_seen != version
    }

    /// Whether it is owed an EVENT of a board of this version. Nothing is looked at again until
    /// that changes.
    pub(crate) fn is_owed_events(&mut self, version: u64, board: &Board) -> bool {
        let is_owed = |watches: &Watches| watches.has_due(|key| board.get(key).version);
        let is_owed = self.watches.as_deref().is_some_and(is_owed);
        if !is_owed {
            self.events_seen = version;
        }
        is_owed
    }

    /// Whether EVENTs wait until its client has read what is there already.
    #[inline]
    pub(crate) fn owes_events(&self) -> bool {
        self.owes_events
    }

    /// Whether the EVENTs that wait may be sent.
    #[inline]
    pub(crate) fn may_send_events(&self) -> bool {
        self.owes_events && !self.is_output_full()
    }

    /// Appends every EVENT that it is owed, as far as its client reads: the rest waits for that.
    pub(crate) fn send_events(&mut self, events: &Events) {
        let Some(mut watches) = self.watches.take() else {
            self.owes_events = false;
            return;
        };
        let board = events.board();
        self.events_seen = events.version();
        let current = |key: &str| {
            let event = board.get(key);
            (event.version, event.value.as_deref())
        };
        let mut has_room = !self.is_output_full();
        if has_room {
            has_room = watches.take_due(current, |due| {
                write_event(self.output.buffer(), due.sync, due.key, due.value);
                !self.is_output_full()
            });
        }
        self.owes_events = !has_room;
        if !watches.is_empty() {
            self.watches = Some(watches);
        }
    }
}
