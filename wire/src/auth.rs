//! chap-sha1: the client proves that it knows the password without sending it.
//!
//! ```text
//!  hash1    = SHA1(password)        hash2 = SHA1(hash1)       the server stores hash2
//!  scramble = hash1 XOR SHA1(salt[..20] ‖ hash2)              the client sends this
//!  check:     SHA1(scramble XOR SHA1(salt[..20] ‖ hash2)) == hash2
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

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
        Self(sha1(&[&sha1(&[password.as_bytes()])]))
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
        let hash1 = xor(
            scramble,
            &sha1(&[&salt[..SCRAMBLE_SIZE.min(salt.len())], &self.0]),
        );
        // Compared without an early end, so that the time taken says nothing.
        let difference = xor(&sha1(&[&hash1]), &self.0);
        difference.iter().fold(0, |seen, byte| seen | byte) == 0
    }
}

/// What a client sends for a password and a salt.
#[must_use]
pub fn scramble(password: &str, salt: &[u8]) -> [u8; SCRAMBLE_SIZE] {
    let hash1 = sha1(&[password.as_bytes()]);
    let hash2 = sha1(&[&hash1]);
    xor(
        &hash1,
        &sha1(&[&salt[..SCRAMBLE_SIZE.min(salt.len())], &hash2]),
    )
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
    use super::*;

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
