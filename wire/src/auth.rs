//! chap-sha1: the client proves that it knows the password without sending it.
//!
//! ```text
//!  hash1    = SHA1(password)        hash2 = SHA1(hash1)       the server stores hash2
//!  scramble = hash1 XOR SHA1(salt[..20] ‖ hash2)              the client sends this
//!  check:     SHA1(scramble XOR SHA1(salt[..20] ‖ hash2)) == hash2
//! ```
//!
//! What the check takes out of a right scramble is hash1, which answers the salt of any other
//! server that knows the user: a gateway logs its clients in with it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use zeroize::Zeroize as _;

/// Size of a hash and of a scramble, in bytes.
pub const SCRAMBLE_SIZE: usize = 20;

/// What a server keeps of a password: `SHA1(SHA1(password))`. The default is no password's hash, as
/// far as anybody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PasswordHash([u8; SCRAMBLE_SIZE]);

impl PasswordHash {
    /// The hash of a password.
    #[must_use]
    pub fn of(password: &str) -> Self {
        PasswordKey::of(password).hash()
    }

    /// As it is stored in `_user`: base64, 28 characters.
    #[must_use]
    pub fn to_base64(self) -> String {
        STANDARD.encode(self.0)
    }

    /// The inverse of [`to_base64`](Self::to_base64).
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// Whether the scramble was made from this password and this salt (of which 20 bytes count).
    #[must_use]
    pub fn accepts(&self, salt: &[u8], scramble: &[u8; SCRAMBLE_SIZE]) -> bool {
        self.recover(salt, scramble).is_some()
    }

    /// The key of the password that the scramble was made from; `None` if it is another password,
    /// or another salt.
    #[must_use]
    pub fn recover(&self, salt: &[u8], scramble: &[u8; SCRAMBLE_SIZE]) -> Option<PasswordKey> {
        let key = PasswordKey(xor(scramble, &self.mask(salt)));
        // Compared without an early end, so that the time taken says nothing.
        let difference = xor(&key.hash().0, &self.0);
        (difference.iter().fold(0, |seen, byte| seen | byte) == 0).then_some(key)
    }

    /// What stands between key and scramble.
    fn mask(&self, salt: &[u8]) -> [u8; SCRAMBLE_SIZE] {
        sha1(&[&salt[..SCRAMBLE_SIZE.min(salt.len())], &self.0])
    }
}

/// What a client has of a password: `SHA1(password)`. To know it is to know the password, as far as
/// `chap-sha1` goes: it is not printed, and wiped when it is dropped.
#[derive(PartialEq, Eq)]
pub struct PasswordKey([u8; SCRAMBLE_SIZE]);

impl PasswordKey {
    /// The key of a password.
    #[must_use]
    pub fn of(password: &str) -> Self {
        Self(sha1(&[password.as_bytes()]))
    }

    /// What a server keeps of the same password.
    #[must_use]
    pub fn hash(&self) -> PasswordHash {
        PasswordHash(sha1(&[&self.0]))
    }

    /// What a client sends for this salt (of which 20 bytes count).
    #[must_use]
    pub fn scramble(&self, salt: &[u8]) -> [u8; SCRAMBLE_SIZE] {
        xor(&self.0, &self.hash().mask(salt))
    }
}

impl Drop for PasswordKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for PasswordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordKey")
    }
}

/// What a client sends for a password and a salt.
#[must_use]
pub fn scramble(password: &str, salt: &[u8]) -> [u8; SCRAMBLE_SIZE] {
    PasswordKey::of(password).scramble(salt)
}

fn sha1(parts: &[&[u8]]) -> [u8; SCRAMBLE_SIZE] {
    let mut hasher = Sha1::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

fn xor(left: &[u8; SCRAMBLE_SIZE], right: &[u8; SCRAMBLE_SIZE]) -> [u8; SCRAMBLE_SIZE] {
    std::array::from_fn(|at| left[at] ^ right[at])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What one server has accepted, every other one that knows the user accepts.
        #[test]
        fn a_key_that_a_scramble_proves_answers_any_salt(
            password: String, other: String, salts: [[u8; 32]; 2]
        ) {
            let stored = PasswordHash::of(&password);
            let key = stored.recover(&salts[0], &scramble(&password, &salts[0]));
            let key = key.expect("the password is right");
            prop_assert_eq!(key.hash(), stored);
            prop_assert_eq!(key.scramble(&salts[1]), scramble(&password, &salts[1]));
            prop_assert!(stored.accepts(&salts[1], &key.scramble(&salts[1])));
            let wrong = stored.recover(&salts[0], &scramble(&other, &salts[0]));
            prop_assert_eq!(wrong.is_some(), password == other);
        }
    }

    #[test]
    fn a_key_is_not_printed() {
        let key = PasswordKey::of("secret");
        assert_eq!(
            format!("{key:?} {:?}", Some(&key)),
            "PasswordKey Some(PasswordKey)"
        );
    }

    /// Salt and vectors of Tarantool's sample greeting.
    fn salt() -> Vec<u8> {
        STANDARD
            .decode("Fn5jMWKTvy/Xz4z/A2CYcxsBQhQTL0Ynd8wyqy0hZrs=")
            .unwrap()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn known_passwords_give_the_known_hashes_and_scrambles() {
        for (password, hash2, expected) in [
            (
                "",
                "vhvewKp0tNyweZQ+cFKAlsyphfg=",
                "cc5b5cb93c9a981365cf3e85633447c060ffe7d3",
            ),
            (
                "secret",
                "FOZVZ6vbUTXQz9mnCzAywXmknuc=",
                "252211a7368582339c56626a7b81086d58e1faf3",
            ),
            (
                "1111",
                "ica1MKp4aV4lflXWPACm7JrT6Xc=",
                "b1c9215330cbb98e7d1f6aa710403421d93e4376",
            ),
        ] {
            assert_eq!(PasswordHash::of(password).to_base64(), hash2);
            assert_eq!(hex(&scramble(password, &salt())), expected);
            let stored = PasswordHash::from_base64(hash2).unwrap();
            assert!(stored.accepts(&salt(), &scramble(password, &salt())));
            assert!(!stored.accepts(&salt(), &scramble("other", &salt())));
            assert!(!stored.accepts(&[0; 32], &scramble(password, &salt())));
        }
    }
}
