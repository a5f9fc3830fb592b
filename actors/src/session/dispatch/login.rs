//! AUTH, answered from a snapshot of the users, its checks in the protocol's order.
//!
//! The order matters: until the password was found right, existing, disabled and unknown users get
//! the same answers, after the same work.

use vestibule_wire::Error;
use vestibule_wire::auth::{PasswordHash, SCRAMBLE_SIZE};
use vestibule_wire::features::AUTH_TYPE;
use vestibule_wire::greeting::SALT_SIZE;
use vestibule_wire::msgpack::{Kind, Reader};
use vestibule_wire::request::Auth;

use crate::authenticator::{LoginProof, PAP_SHA256};
use crate::engine::catalog::{Catalog, GUEST, User};

/// What a client asks for by AUTH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// The way back to guest, which needs no password.
    Guest,
    Proof(LoginProof),
}

/// Reads what a client asks for. `takes_plain`: passwords may come as they are.
///
/// # Errors
///
/// * [`INVALID_MSGPACK`] if the request is no array of a method and a proof.
/// * [`UNKNOWN_AUTH_METHOD`] if the method is not `chap-sha1`, or `pap-sha256` where that is taken.
/// * [`INVALID_AUTH_REQUEST`] if the scramble is no string of its size, or the password none.
///
/// [`INVALID_MSGPACK`]: vestibule_wire::ErrorCode::INVALID_MSGPACK
/// [`UNKNOWN_AUTH_METHOD`]: vestibule_wire::ErrorCode::UNKNOWN_AUTH_METHOD
/// [`INVALID_AUTH_REQUEST`]: vestibule_wire::ErrorCode::INVALID_AUTH_REQUEST
pub(crate) fn read_attempt(
    auth: &Auth<'_>,
    salt: &[u8; SALT_SIZE],
    takes_plain: bool,
) -> Result<Attempt, Error> {
    let mut reader = Reader::new(auth.tuple);
    let count = reader.read_array_len().unwrap_or(0);
    if count == 0 && auth.user == GUEST {
        return Ok(Attempt::Guest);
    }
    let malformed = || Error::invalid_msgpack("authentication request body");
    if count < 2 {
        return Err(malformed());
    }
    let method = reader.read_str().map_err(|_| malformed())?;
    let proof = match method {
        AUTH_TYPE => LoginProof::ChapSha1 {
            salt: *salt,
            scramble: read_scramble(&mut reader)?,
        },
        PAP_SHA256 if takes_plain => {
            let password = reader.read_str().map(str::to_owned);
            let what = "password must be string";
            let wrong = |_| Error::invalid_auth_request(PAP_SHA256, what);
            let password = password.map_err(wrong)?;
            LoginProof::PapSha256 { password }
        }
        _ => return Err(Error::unknown_auth_method(method)),
    };
    Ok(Attempt::Proof(proof))
}

fn read_scramble(reader: &mut Reader<'_>) -> Result<[u8; SCRAMBLE_SIZE], Error> {
    let scramble = match reader.peek() {
        Ok(Kind::Str) => reader.read_str_bytes(),
        Ok(Kind::Bin) => reader.read_bin(),
        _ => {
            return Err(Error::invalid_auth_request(
                AUTH_TYPE,
                "scramble must be string",
            ));
        }
    };
    scramble
        .ok()
        .and_then(|scramble| scramble.try_into().ok())
        .ok_or_else(|| Error::invalid_auth_request(AUTH_TYPE, "invalid scramble size"))
}

/// Checks a login by the snapshot of users, and returns the user.
///
/// # Errors
///
/// * [`CREDS_MISMATCH`] if there is no such user, or the password is wrong. The users that the
///   engine knows have no passwords that come as they are.
/// * [`ACCESS_DENIED`] if the password is right, and the user may not log in.
///
/// [`CREDS_MISMATCH`]: vestibule_wire::ErrorCode::CREDS_MISMATCH
/// [`ACCESS_DENIED`]: vestibule_wire::ErrorCode::ACCESS_DENIED
pub(crate) fn by_catalog(user: &str, proof: &LoginProof, catalog: &Catalog) -> Result<User, Error> {
    let (user, hash) = catalog.user(user).unzip();
    // Compared in any case, with nobody's hash if need be, so that the time taken tells nothing.
    let nobody = PasswordHash::default();
    let LoginProof::ChapSha1 { salt, scramble } = proof else {
        return Err(Error::credentials_mismatch());
    };
    let is_right = hash.flatten().unwrap_or(nobody).accepts(salt, scramble);
    match user {
        Some(user) if is_right && hash.flatten().is_some() => {
            catalog.may_log_in(&user)?;
            Ok(user)
        }
        _ => Err(Error::credentials_mismatch()),
    }
}

/// The user as whom somebody was accepted elsewhere.
///
/// # Errors
///
/// [`NO_SUCH_USER`] if there is none, [`ACCESS_DENIED`] if the user may not log in.
///
/// [`NO_SUCH_USER`]: vestibule_wire::ErrorCode::NO_SUCH_USER
/// [`ACCESS_DENIED`]: vestibule_wire::ErrorCode::ACCESS_DENIED
pub(crate) fn accepted(name: &str, catalog: &Catalog) -> Result<User, Error> {
    let user = match name {
        GUEST => User::guest(),
        _ => {
            catalog
                .user(name)
                .ok_or_else(|| Error::no_such_user(name))?
                .0
        }
    };
    catalog.may_log_in(&user)?;
    Ok(user)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vestibule_wire::auth::{PasswordHash, scramble};
    use vestibule_wire::msgpack::{write_array_len, write_bin, write_str, write_str_bytes};

    use super::*;
    use crate::engine::catalog::{CatalogBuilder, Visibility};

    const SALT: [u8; 32] = [7; 32];

    fn log_in(auth: &Auth<'_>, salt: &[u8; SALT_SIZE], catalog: &Catalog) -> Result<User, Error> {
        match read_attempt(auth, salt, false)? {
            Attempt::Guest => accepted(GUEST, catalog),
            Attempt::Proof(proof) => by_catalog(auth.user, &proof, catalog),
        }
    }

    fn users() -> Catalog {
        CatalogBuilder::new()
            .user("alice", Some(PasswordHash::of("secret")))
            .user("disabled", None)
            .build()
    }

    fn tuple(method: &str, scramble: &[u8]) -> Vec<u8> {
        let mut tuple = Vec::new();
        write_array_len(&mut tuple, 2);
        write_str(&mut tuple, method);
        write_str_bytes(&mut tuple, scramble);
        tuple
    }

    fn attempt(user: &str, tuple: &[u8]) -> Result<Arc<str>, (u16, String)> {
        log_in(&Auth { user, tuple }, &SALT, &users())
            .map(|user| user.name)
            .map_err(|error| (error.code().0, error.message().to_owned()))
    }

    #[test]
    fn the_right_password_logs_in_as_string_or_binary() {
        let good = scramble("secret", &SALT);
        assert_eq!(
            attempt("alice", &tuple("chap-sha1", &good)),
            Ok("alice".into())
        );
        let mut binary = vec![0x92];
        write_str(&mut binary, "chap-sha1");
        write_bin(&mut binary, &good);
        assert_eq!(attempt("alice", &binary), Ok("alice".into()));
    }

    #[test]
    fn guest_needs_no_scramble_and_accepts_the_empty_password() {
        assert_eq!(attempt("guest", &[0x90]), Ok("guest".into()));
        let empty = scramble("", &SALT);
        assert_eq!(
            attempt("guest", &tuple("chap-sha1", &empty)),
            Ok("guest".into())
        );
    }

    #[test]
    fn unknown_disabled_and_wrong_are_told_alike() {
        let wrong = tuple("chap-sha1", &scramble("wrong", &SALT));
        let text = "User not found or supplied credentials are invalid".to_owned();
        for user in ["alice", "disabled", "nobody"] {
            assert_eq!(attempt(user, &wrong), Err((47, text.clone())));
        }
    }

    #[derive(Debug)]
    struct NoSession;

    impl Visibility for NoSession {
        fn may_log_in(&self, user: &User) -> Result<(), Error> {
            Err(Error::access_denied("Session", "universe", "", &user.name))
        }
    }

    /// Only who knows the password learns that there is such a user.
    #[test]
    fn a_user_who_may_not_log_in_is_told_so_after_the_password() {
        let users = CatalogBuilder::new()
            .user("alice", Some(PasswordHash::of("secret")))
            .visibility(Arc::new(NoSession))
            .build();
        let code = |user, password| {
            let tuple = tuple("chap-sha1", &scramble(password, &SALT));
            let told = log_in(
                &Auth {
                    user,
                    tuple: &tuple,
                },
                &SALT,
                &users,
            );
            told.map_err(|error| error.code().0)
        };
        assert_eq!(code("alice", "secret"), Err(42));
        assert_eq!(code("alice", "wrong"), Err(47));
        assert_eq!(code("nobody", "secret"), Err(47));
    }

    #[test]
    fn a_password_comes_as_it_is_only_where_that_is_taken() {
        let tuple = tuple("pap-sha256", b"secret");
        let (user, tuple) = ("alice", &*tuple);
        let read = |takes| read_attempt(&Auth { user, tuple }, &SALT, takes);
        assert_eq!(read(false).unwrap_err().code().0, 249);
        let password = "secret".to_owned();
        let proof = LoginProof::PapSha256 { password };
        assert_eq!(read(true), Ok(Attempt::Proof(proof.clone())));
        // Not for users of the engine: what they prove is a hash.
        let told = by_catalog("alice", &proof, &users()).unwrap_err();
        assert_eq!(told.code().0, 47);
        let number = [&tuple[..tuple.len() - 7], &[5]].concat();
        let tuple = &*number;
        let told = read_attempt(&Auth { user, tuple }, &SALT, true).unwrap_err();
        let text = "Invalid 'pap-sha256' request: password must be string";
        assert_eq!((told.code().0, told.message()), (251, text));
    }

    #[test]
    fn malformed_requests_get_the_same_answer_whoever_is_named() {
        for user in ["alice", "disabled", "nobody"] {
            assert_eq!(attempt(user, &[0x90]).unwrap_err().0, 20);
            assert_eq!(attempt(user, &[0x92, 1, 2]).unwrap_err().0, 20);
            assert_eq!(
                attempt(user, &tuple("pap", b"x")).unwrap_err(),
                (249, "Unknown authentication method 'pap'".to_owned())
            );
            assert_eq!(
                attempt(user, &tuple("chap-sha1", b"short")).unwrap_err(),
                (
                    251,
                    "Invalid 'chap-sha1' request: invalid scramble size".to_owned()
                )
            );
            let mut number = vec![0x92];
            write_str(&mut number, "chap-sha1");
            number.push(5);
            assert_eq!(
                attempt(user, &number).unwrap_err(),
                (
                    251,
                    "Invalid 'chap-sha1' request: scramble must be string".to_owned()
                )
            );
        }
    }
}
