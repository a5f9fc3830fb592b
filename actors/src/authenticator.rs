//! Logins that somebody else decides, beside the snapshot of users.
//!
//! ```text
//!   AUTH ─▶ of a known form? ─▶ asked ─┬ AcceptedAs ──▶ that user of the catalog, who may log in
//!                                      ├ Refused ─────▶ 47, counted as a wrong login
//!                                      ├ NotMine ─────▶ the snapshot of users decides
//!                                      └ Unavailable ─▶ told so, and not counted
//! ```
//!
//! It is asked on the session's thread, which goes on with everything else while it waits.

mod upstream;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::LocalBoxFuture;
use vestibule_wire::auth::{PasswordHash, SCRAMBLE_SIZE, scramble};
use vestibule_wire::greeting::SALT_SIZE;

use crate::endpoints::PeerAddress;
use crate::limits::AUTHENTICATOR_TIME_DEFAULT;

pub(crate) use upstream::UpstreamLogins;

/// Decides on logins that the engine's users do not: a directory, tokens, a table elsewhere. Given
/// to a runtime by [`RuntimeBuilder::authenticator`](crate::RuntimeBuilder::authenticator).
///
/// Every closure that takes a [`Login`] and returns a future of a [`LoginDecision`] is one.
///
/// ```
/// use std::collections::HashMap;
///
/// use vestibule_actors::testing::{Script, TestServer, config};
/// use vestibule_actors::wire::auth::PasswordHash;
/// use vestibule_actors::{Authenticator, Login, LoginDecision, RuntimeBuilder};
///
/// /// People of another system, who work here as the user `alice`.
/// struct Staff(HashMap<String, PasswordHash>);
///
/// impl Authenticator for Staff {
///     async fn check(&self, login: Login) -> LoginDecision {
///         // Here a directory would be asked, and waited for.
///         match self.0.get(&login.user) {
///             None => LoginDecision::NotMine,
///             Some(hash) if login.proves_hash(hash) => LoginDecision::AcceptedAs("alice".into()),
///             Some(_) => LoginDecision::Refused,
///         }
///     }
/// }
///
/// let staff = Staff(HashMap::from([("zoe".to_owned(), PasswordHash::of("hunter2"))]));
/// let script = Script::default();
/// let builder = RuntimeBuilder::new(config(), move || Ok(script.engine()), Script::procedures())
///     .authenticator(staff);
/// let server = TestServer::start(builder);
///
/// let mut peer = server.connect();
/// assert_eq!(peer.log_in("zoe", "hunter2").code, 0);
/// assert_eq!(peer.log_in("alice", "secret").code, 0, "the engine's own users are there still");
/// assert_eq!(peer.log_in("zoe", "guess").error_code(), Some(47));
/// ```
pub trait Authenticator: Send + Sync + 'static {
    /// Decides on a login. The future is polled on a session thread, with the connections that live
    /// there: it may wait, and must not block. It is dropped where it waits when its connection
    /// ends, when the login is killed, when a stop begins, and when its time is over.
    ///
    /// What is behind it on its connection waits; so does nothing else. How many are under way is
    /// bounded by [`QuotaLimits::waits_max`](crate::config::QuotaLimits::waits_max) and its shares.
    /// The user `guest` is never asked about, nor is a name or a password of more than
    /// [`LOGIN_TEXT_SIZE_MAX`](crate::limits::LOGIN_TEXT_SIZE_MAX) bytes: those are none of its.
    ///
    /// A panic counts as [`LoginDecision::Unavailable`].
    fn check(&self, login: Login) -> impl Future<Output = LoginDecision>;

    /// Whether clients may send passwords as they are (`pap-sha256`), where all who carry the bytes
    /// can read them: for connections that are encrypted or local. Clients do so if they are
    /// told to (`auth_type = 'pap-sha256'`). Without it only `chap-sha1` is understood, which
    /// proves a password without telling it.
    fn takes_plain_passwords(&self) -> bool {
        false
    }

    /// How long a login may take: one that is not decided then is told that its time is over
    /// ([`ErrorCode::TIMEOUT`](vestibule_wire::ErrorCode::TIMEOUT)), and not counted as wrong.
    fn time_limit(&self) -> Duration {
        AUTHENTICATOR_TIME_DEFAULT
    }
}

impl<F, D> Authenticator for F
where
    F: Fn(Login) -> D + Send + Sync + 'static,
    D: Future<Output = LoginDecision>,
{
    fn check(&self, login: Login) -> impl Future<Output = LoginDecision> {
        self(login)
    }
}

/// Who wants to log in, and how that is proven.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Login {
    /// The name, as the client gives it.
    pub user: String,
    /// The number of the connection, unique as long as the runtime lives.
    pub connection: u64,
    /// Where the connection comes from.
    pub peer: PeerAddress,
    /// What the client sent to prove it.
    pub proof: LoginProof,
}

impl Login {
    /// A login, as a test of an authenticator makes it.
    #[must_use]
    pub fn new(user: &str, connection: u64, peer: PeerAddress, proof: LoginProof) -> Self {
        Self {
            user: user.to_owned(),
            connection,
            peer,
            proof,
        }
    }

    /// Whether the client knows this password. The time taken says nothing.
    #[must_use]
    pub fn proves(&self, password: &str) -> bool {
        self.proves_hash(&PasswordHash::of(password))
    }

    /// Whether the client knows the password with this hash, `SHA1(SHA1(password))`: all that a
    /// server has to keep of it. The time taken says nothing.
    #[must_use]
    pub fn proves_hash(&self, hash: &PasswordHash) -> bool {
        match &self.proof {
            LoginProof::ChapSha1 { salt, scramble } => hash.accepts(salt, scramble),
            LoginProof::PapSha256 { password } => hash.accepts(&[], &scramble(password, &[])),
        }
    }
}

/// How a client proves that it knows a password.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoginProof {
    /// By what can be made of the password and the salt of its greeting alone.
    ChapSha1 {
        /// The salt, of which 20 bytes count.
        salt: [u8; SALT_SIZE],
        /// What was made of it.
        scramble: [u8; SCRAMBLE_SIZE],
    },
    /// By the password itself.
    PapSha256 {
        /// The password.
        password: String,
    },
}

impl LoginProof {
    /// The name of the method.
    #[must_use]
    pub const fn method(&self) -> &'static str {
        match self {
            Self::ChapSha1 { .. } => vestibule_wire::features::AUTH_TYPE,
            Self::PapSha256 { .. } => PAP_SHA256,
        }
    }
}

// What proves a password is not for the log.
impl fmt::Debug for LoginProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.method())
    }
}

/// The method by which passwords come as they are.
pub(crate) const PAP_SHA256: &str = "pap-sha256";

/// What an [`Authenticator`] says of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoginDecision {
    /// Right: the connection is this user's from now on: one of the catalog, with what is
    /// granted there. The client is told
    /// [`ErrorCode::NO_SUCH_USER`](vestibule_wire::ErrorCode::NO_SUCH_USER) if there is none, and
    /// what the engine says if that user may not log in.
    AcceptedAs(String),
    /// Wrong. The client is told what it is told of every wrong login
    /// ([`ErrorCode::CREDS_MISMATCH`](vestibule_wire::ErrorCode::CREDS_MISMATCH)), and its next one
    /// waits.
    Refused,
    /// Nothing is known of this user: the engine's users decide.
    NotMine,
    /// Not to be decided at present: a directory does not answer. The client is told so
    /// ([`ErrorCode::SYSTEM`](vestibule_wire::ErrorCode::SYSTEM)), and the login is not counted as
    /// wrong.
    Unavailable,
}

/// An authenticator of any type.
pub(crate) trait AskAuthenticator: Send + Sync {
    fn ask(self: Arc<Self>, login: Login) -> LocalBoxFuture<'static, LoginDecision>;
    fn takes_plain_passwords(&self) -> bool;
    fn time_limit(&self) -> Duration;
}

impl<A: Authenticator> AskAuthenticator for A {
    fn ask(self: Arc<Self>, login: Login) -> LocalBoxFuture<'static, LoginDecision> {
        Box::pin(async move { self.check(login).await })
    }

    fn takes_plain_passwords(&self) -> bool {
        Authenticator::takes_plain_passwords(self)
    }

    fn time_limit(&self) -> Duration {
        Authenticator::time_limit(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(proof: LoginProof) -> Login {
        Login::new("zoe", 1, PeerAddress::Local, proof)
    }

    #[test]
    fn a_password_is_proven_by_either_method_and_no_other_one() {
        let salt = [7; SALT_SIZE];
        let chap = LoginProof::ChapSha1 {
            salt,
            scramble: scramble("secret", &salt),
        };
        let password = "secret".to_owned();
        for proof in [chap, LoginProof::PapSha256 { password }] {
            let own = login(proof);
            assert!(own.proves("secret") && !own.proves("Secret") && !own.proves(""));
        }
    }

    #[test]
    fn a_login_that_is_printed_tells_no_password() {
        let password = "hunter2".to_owned();
        let text = format!("{:?}", login(LoginProof::PapSha256 { password }));
        assert!(text.contains("zoe") && text.contains("pap-sha256") && !text.contains("hunter2"));
    }
}
