//! Users of a world of upstreams, as all of them have them at once, and what an upstream says of
//! them.

use vestibule_wire::auth::{PasswordHash, SCRAMBLE_SIZE};
use vestibule_wire::msgpack::Reader;

use super::model::SALT;
use crate::simulation::random::Random;
use crate::testing::user_reply;
use crate::upstream::{GatewayAccount, ListedUsers, UpstreamUsers};

/// Who reads `_user` for the gateway.
const READER: &str = "gateway";

/// Who may log in.
pub(super) const USERS: [&str; 2] = ["alice", "bob"];

/// Their passwords.
#[derive(Debug)]
pub(super) struct Accounts {
    passwords: [String; USERS.len()],
    /// Whether anybody logs in.
    pub(super) are_used: bool,
}

impl Accounts {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            passwords: [(); USERS.len()].map(|()| random.next().to_string()),
            are_used: random.once_in(2),
        }
    }

    /// The account of the gateway.
    pub(super) fn reader() -> GatewayAccount {
        GatewayAccount::new(READER, READER)
    }

    /// By what a gateway knows them: by what upstreams say, or by a list that knows of no change.
    pub(super) fn source(&self, random: &mut Random) -> UpstreamUsers {
        if !random.once_in(3) {
            return UpstreamUsers::Ask;
        }
        let line = |(user, password): (&str, &String)| {
            format!("{user}:{}\n", PasswordHash::of(password).to_base64())
        };
        let lines: String = USERS.into_iter().zip(&self.passwords).map(line).collect();
        let list: ListedUsers = lines.parse().expect("each line has a hash");
        UpstreamUsers::Listed(list)
    }

    /// One of them changes a password.
    pub(super) fn change(&mut self, random: &mut Random) {
        self.passwords[random.index(USERS.len())] = random.next().to_string();
    }

    /// Somebody who logs in, by a password that is mostly right.
    pub(super) fn any(&self, random: &mut Random) -> (&'static str, String) {
        let index = random.index(USERS.len());
        let password = match random.once_in(6) {
            true => "wrong",
            false => &self.passwords[index],
        };
        (USERS[index], password.to_owned())
    }

    fn hash(&self, user: &str) -> Option<PasswordHash> {
        if user == READER {
            return Some(PasswordHash::of(READER));
        }
        let index = USERS.iter().position(|own| *own == user)?;
        Some(PasswordHash::of(&self.passwords[index]))
    }

    /// Whether an upstream accepts a login.
    pub(super) fn accepts(&self, user: &str, tuple: &[u8]) -> bool {
        let mut reader = Reader::new(tuple);
        let _ = (reader.read_array_len(), reader.read_str());
        let scramble = reader.read_str_bytes().expect("a gateway sends one");
        let scramble: [u8; SCRAMBLE_SIZE] = scramble.try_into().expect("it is whole");
        let hash = self.hash(user);
        hash.is_some_and(|own| own.accepts(&SALT, &scramble))
    }

    /// The reply to a SELECT of `_user` by a name.
    pub(super) fn row(&self, key: &[u8]) -> Vec<u8> {
        let mut reader = Reader::new(key);
        let _ = reader.read_array_len();
        let name = reader.read_str().expect("a name");
        user_reply(name, self.hash(name))
    }

    /// Whether a user is the gateway itself.
    pub(super) fn is_reader(user: &str) -> bool {
        user == READER
    }
}
