//! AUTH: who decides, when, and what becomes of it.
//!
//! ```text
//!   AUTH ─▶ too early after wrong ones? ─▶ left, and taken again at its time
//!     └▶ an authenticator? ─┬ no, or not its ─▶ the snapshot of users decides, now
//!                           └ yes ─▶ left, and taken again when it is decided
//!   wrong, as many before it ─▶ left, and taken again to be told so
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use vestibule_wire::request::Auth;
use vestibule_wire::{Error, ErrorCode};

use super::login::{Attempt, accepted, by_catalog, read_attempt};
use crate::authenticator::{AskAuthenticator, Login, LoginDecision, LoginProof};
use crate::cells::traffic::{Counter, LoginResult};
use crate::connection::login::{Checked, LoginCheck, LoginWait};
use crate::connection::state::ConnectionState;
use crate::engine::catalog::{Catalog, CatalogBuilder, GUEST, User};
use crate::limits::{LOGGED_NAME_MAX, LOGIN_TEXT_SIZE_MAX, LOGIN_WORK};
use crate::session::dispatch::{DecodedRequest, Dispatcher};
use crate::shared::Shared;
use crate::timeouts::after;

/// The end of a stop: answers the login of a connection that is checked and not answered; false if
/// there is none.
pub(crate) fn answer_login(shared: &Shared, state: &mut ConnectionState) -> bool {
    let error = shared.serving.status(shared.clock.now());
    let error = error.error(ErrorCode::SHUTDOWN);
    let Some(sync) = state.refuse_login_check(shared, error.message()) else {
        return false;
    };
    state.reply_error(shared, sync, &error);
    true
}

impl<'a> Dispatcher<'a> {
    pub(super) fn answer_auth(&mut self, request: &DecodedRequest<'_>, auth: &Auth<'_>) {
        let waited = self.session.take_login_wait();
        let catalog = match &self.shared.gateway {
            None => self.worker.published.catalog(self.shared),
            // The upstream knows the users.
            Some(_) => Some(Arc::new(CatalogBuilder::new().build())),
        };
        let Some(catalog) = catalog else {
            self.reject_as_judged(request, ErrorCode::LOADING);
            return;
        };
        let authenticator = self.shared.additions.authenticator.as_ref();
        let takes_plain = authenticator.is_some_and(|own| own.takes_plain_passwords());
        let attempt = read_attempt(auth, self.session.salt(), takes_plain);
        if let Ok(Attempt::Proof(proof)) = &attempt
            && let Some(checked) = (self.session).take_login_check(request.sync, auth.user, proof)
        {
            return self.on_login_checked(request, auth.user, proof, checked, &catalog);
        }
        match waited {
            Some(LoginWait {
                refused: Some(error),
                ..
            }) => return self.refuse_login(request.sync, &error),
            Some(_) => {}
            None if self.has_to_wait(auth) => return,
            None => {}
        }
        self.worker.turns.spend(LOGIN_WORK);
        let proof = match attempt {
            Ok(Attempt::Proof(proof)) => proof,
            Ok(Attempt::Guest) => {
                return self.end_login(request.sync, GUEST, accepted(GUEST, &catalog));
            }
            Err(error) => return self.fail_login(request.sync, auth.user, &error),
        };
        if let Some(authenticator) = self.authenticator_of(auth.user, &proof) {
            return self.ask_elsewhere(request.sync, auth.user, proof, authenticator);
        }
        let checked = by_catalog(auth.user, &proof, &catalog);
        if checked.is_err()
            && let Some(gateway) = &self.shared.gateway
        {
            // Guest is there upstream as well; no other name comes here that could be.
            let error = gateway.wrong_login(auth.user, auth.user == GUEST);
            return self.refuse_wrong_login(request.sync, auth.user, error);
        }
        self.end_login(request.sync, auth.user, checked);
    }

    /// Whether a login waits because of wrong ones before it; then its frame is not taken. The way
    /// back to guest needs no password, and a stop waits for nobody's.
    fn has_to_wait(&mut self, auth: &Auth<'_>) -> bool {
        let is_stopping = self.shared.serving.load().is_stopping();
        if auth.user == GUEST || is_stopping {
            return false;
        }
        let (address, since) = (self.cell.peer.ip(), self.cell.since);
        let limits = &self.worker.settings.login_limits;
        let logins = self.shared.failed_logins();
        let until = logins.wait_until(address, since, limits, self.now);
        drop(logins);
        if let Some(until) = until {
            self.delay_login(until, None);
        }
        until.is_some()
    }

    /// Leaves the frame of a login until then.
    fn delay_login(&mut self, until: Instant, refused: Option<Box<Error>>) {
        self.session.begin_login_wait(LoginWait { until, refused });
        self.session.count(Counter::login(LoginResult::Delayed));
        self.look_by(Some(until));
    }

    /// The authenticator, if it is asked about this login.
    fn authenticator_of(
        &self,
        user: &str,
        proof: &LoginProof,
    ) -> Option<&'a Arc<dyn AskAuthenticator>> {
        let is_short = |text: &str| text.len() <= LOGIN_TEXT_SIZE_MAX;
        let is_proof_short = match proof {
            LoginProof::ChapSha1 { .. } => true,
            LoginProof::PapSha256 { password } => is_short(password),
        };
        let shared = self.shared;
        let authenticator = shared.additions.authenticator.as_ref();
        authenticator.filter(|_| user != GUEST && is_short(user) && is_proof_short)
    }

    /// Begins the check of a login by an authenticator; its frame is left.
    fn ask_elsewhere(
        &mut self,
        sync: u64,
        user: &str,
        proof: LoginProof,
        authenticator: &Arc<dyn AskAuthenticator>,
    ) {
        if self.session.is_stopped_by(self.shared.serving.load()) {
            return self.turn_login_away(sync, user, ErrorCode::SHUTDOWN);
        }
        let caller = self.session.shared_caller();
        let bytes = 2 * LOGIN_TEXT_SIZE_MAX;
        let charge = match self.shared.quotas.charge_wait(&caller, bytes) {
            Ok(charge) => charge,
            Err(error) => return self.fail_login(sync, user, &error),
        };
        let deadline = after(self.now, authenticator.time_limit());
        let (connection, peer) = (self.cell.id.connection, self.cell.peer);
        let login = Login::new(user, connection, peer, proof.clone());
        let check = authenticator.clone().ask(login);
        let check = LoginCheck::new(sync, user, proof, deadline, check, charge);
        self.session.begin_login_check(Box::new(check));
        self.look_by(deadline);
        // It is polled with the session.
        self.cell.wake();
    }

    fn on_login_checked(
        &mut self,
        request: &DecodedRequest<'_>,
        user: &str,
        proof: &LoginProof,
        checked: Checked,
        catalog: &Catalog,
    ) {
        let sync = request.sync;
        let decision = match checked {
            Checked::Decided(decision) => decision,
            Checked::Killed => return self.fail_login(sync, user, &Error::cancelled()),
            Checked::Stopping => {
                return self.turn_login_away(sync, user, ErrorCode::SHUTDOWN);
            }
            Checked::Late => {
                self.tell_undecided(user, "its time is over");
                return self.fail_login(sync, user, &Error::timeout());
            }
            Checked::Panicked => {
                self.tell_undecided(user, "the authenticator panicked");
                return self.fail_login(sync, user, &undecided());
            }
        };
        if let Some(gateway) = &self.shared.gateway {
            return self.end_upstream_login(sync, user, &decision, gateway);
        }
        let checked = match decision {
            LoginDecision::AcceptedAs(name) => accepted(&name, catalog),
            LoginDecision::Refused => Err(Error::credentials_mismatch()),
            LoginDecision::NotMine => by_catalog(user, proof, catalog),
            LoginDecision::Unavailable => {
                self.tell_undecided(user, "the authenticator cannot tell");
                return self.fail_login(sync, user, &undecided());
            }
        };
        self.end_login(sync, user, checked);
    }

    /// Answers a login, and counts it if it is wrong.
    pub(super) fn end_login(&mut self, sync: u64, name: &str, checked: Result<User, Error>) {
        match checked {
            Ok(user) => {
                let administrators = &self.worker.settings.administrators;
                let is_administrator = administrators.includes(&user.name, self.cell.peer);
                if !user.is_guest() {
                    self.cell.slot.confirm_login();
                }
                self.session.audit_login(self.shared, &user.name, None);
                self.refuse_held_of_another(&user.name);
                self.session.log_in(user, is_administrator);
                self.session.count(Counter::login(LoginResult::Ok));
                self.header(sync).write_empty(self.session.output());
            }
            Err(error) => {
                if error.code() == ErrorCode::CREDS_MISMATCH {
                    return self.refuse_wrong_login(sync, name, error);
                }
                self.fail_login(sync, name, &error);
            }
        }
    }

    /// Refuses a login that is wrong: later, if many from its address were. The audit log is told
    /// now.
    pub(super) fn refuse_wrong_login(&mut self, sync: u64, user: &str, error: Error) {
        (self.session).audit_login(self.shared, user, Some(error.message()));
        match self.count_wrong_login(user) {
            Some(delay) if !self.shared.serving.load().is_stopping() => {
                self.delay_login(self.now + delay, Some(error.into()));
            }
            _ => self.refuse_login(sync, &error),
        }
    }

    /// Refuses a login for another reason than that it is wrong.
    pub(super) fn fail_login(&mut self, sync: u64, user: &str, error: &Error) {
        (self.session).audit_login(self.shared, user, Some(error.message()));
        self.refuse_login(sync, error);
    }

    /// Refuses a login because of the state, which is no failure of it.
    pub(super) fn turn_login_away(&mut self, sync: u64, user: &str, code: ErrorCode) {
        let error = self.shared.serving.status(self.now).error(code);
        (self.session).audit_login(self.shared, user, Some(error.message()));
        self.refuse(sync, &error);
    }

    /// Tells the audit log of a login that is refused for the state, before somebody has looked at
    /// it or after.
    #[cold]
    pub(super) fn audit_refused_login(&mut self, user: &str, error: &Error) {
        let why = error.message();
        self.session.take_login_wait();
        let checked = self.session.refuse_login_check(self.shared, why);
        if checked.is_none() {
            self.session.audit_login(self.shared, user, Some(why));
        }
    }

    /// Answers a login that the audit log was told of.
    fn refuse_login(&mut self, sync: u64, error: &Error) {
        self.session.count(Counter::login(LoginResult::Failed));
        self.refuse(sync, error);
    }

    /// Counts a wrong login; how long its answer waits.
    fn count_wrong_login(&mut self, user: &str) -> Option<Duration> {
        let peer = self.cell.peer;
        if let Some(times) = self.worker.logins.count_wrong(self.now) {
            let user = logged(user);
            log::warn!("wrong logins{times}, the last as {user:?} from {peer}");
        }
        let limits = &self.worker.settings.login_limits;
        let mut logins = self.shared.failed_logins();
        logins.count(peer.ip(), limits, self.now)
    }

    pub(super) fn tell_undecided(&mut self, user: &str, why: &str) {
        if let Some(times) = self.worker.logins.count_undecided(self.now) {
            let (user, peer) = (logged(user), self.cell.peer);
            log::warn!("logins were not decided{times}, the last as {user:?} from {peer}: {why}");
        }
    }

    /// Ends the login that an authenticator has taken too long for.
    pub(super) fn expire_login(&mut self) {
        let deadline = self.session.login_deadline();
        if deadline.is_some_and(|at| at <= self.now) {
            self.session.end_login_check(Checked::Late);
        }
    }

    /// Ends the login that an authenticator decides, if it has this sync, or whatever it has with
    /// its connection; returns how many that is.
    pub(crate) fn kill_login(&mut self, sync: Option<u64>) -> usize {
        let Some(own) = self.session.login_under_way() else {
            return 0;
        };
        match sync {
            // No frame is taken any more.
            None => {
                let error = Error::cancelled();
                (self.session).refuse_login_check(self.shared, error.message());
                self.refuse(own, &error);
                1
            }
            Some(sync) if sync == own => usize::from(self.session.end_login_check(Checked::Killed)),
            Some(_) => 0,
        }
    }
}

/// The error for a login that nobody decides.
pub(super) fn undecided() -> Error {
    Error::new(ErrorCode::SYSTEM, "The login cannot be checked at present")
}

/// As much of a name as the log shows.
fn logged(user: &str) -> String {
    user.chars().take(LOGGED_NAME_MAX).collect()
}
