//! Users of the upstream, as far as they have to do with the gateway: the hashes of their
//! passwords, and the keys that their logins have proven.
//!
//! ```text
//!   login ─▶ judge ─┬ fresh, or nobody can be asked ─▶ decided by the hash that is known
//!                   └ else ─▶ asked ─▶ learn ─▶ judged again, by that
//! ```
//!
//! Where users are listed, nobody is asked, and the list is what is known.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vestibule_wire::auth::{PasswordHash, PasswordKey, SCRAMBLE_SIZE};

use crate::limits::{UPSTREAM_USER_FRESH, UPSTREAM_USER_LOOKUPS_PER_SECOND, UPSTREAM_USERS_MAX};

/// What is known of one user.
#[derive(Debug)]
struct KnownUser {
    hash: PasswordHash,
    /// Fits the hash, always.
    key: Option<Arc<PasswordKey>>,
    since: Instant,
}

/// What a login has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgment {
    /// Right.
    Accepted,
    /// The password is wrong.
    Wrong,
    /// There is no such user.
    Unknown,
    /// The upstream has to be asked.
    Ask,
    /// The upstream has to be asked, and was asked for too many: not before this time.
    AskAt(Instant),
    /// The upstream has to be asked, and cannot be.
    Unavailable,
}

/// Whether the upstream can be asked for a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asking {
    /// To ask is possible.
    Possible,
    /// To ask is not possible: what is known has to do.
    Impossible,
    /// The upstream was asked: what is known is the answer.
    Done,
}

/// The users that are known.
#[derive(Debug)]
pub(crate) struct Users {
    known: HashMap<Arc<str>, KnownUser>,
    /// Whether the list of them is whole: hashes are neither asked for nor forgotten.
    is_list: bool,
    /// When the questions of strangers that were asked so far would all have been due.
    strangers_until: Instant,
}

impl Users {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            known: HashMap::new(),
            is_list: false,
            strangers_until: now,
        }
    }

    /// The users of this list, and no others.
    pub(crate) fn of_list<'a>(
        list: impl Iterator<Item = (&'a str, PasswordHash)>,
        now: Instant,
    ) -> Self {
        let mut own = Self::new(now);
        list.for_each(|(name, hash)| own.learn(name, Some(hash), now));
        Self {
            is_list: true,
            ..own
        }
    }

    /// What is known is this from now on. A key that was proven stays, where the hash is the same;
    /// where hashes are asked for, what was known counts for as long as an answer would.
    pub(crate) fn become_as(&mut self, mut next: Self) {
        if !next.is_list {
            self.is_list = false;
            return;
        }
        for (name, known) in &mut next.known {
            let before = self.known.get_mut(name);
            let before = before.filter(|own| own.hash == known.hash);
            known.key = before.and_then(|own| own.key.take());
        }
        *self = next;
    }

    /// What a login comes to.
    pub(crate) fn judge(
        &mut self,
        name: &str,
        salt: &[u8],
        scramble: &[u8; SCRAMBLE_SIZE],
        asking: Asking,
        now: Instant,
    ) -> Judgment {
        // The list has said all that there is to say.
        let asking = match self.is_list {
            true => Asking::Done,
            false => asking,
        };
        let Some(known) = self.known.get_mut(name) else {
            return match asking {
                Asking::Possible => self.ask_for_stranger(now),
                Asking::Impossible => Judgment::Unavailable,
                Asking::Done => Judgment::Unknown,
            };
        };
        let is_fresh = now.saturating_duration_since(known.since) < UPSTREAM_USER_FRESH;
        if asking == Asking::Possible && !is_fresh {
            return Judgment::Ask;
        }
        match known.hash.recover(salt, scramble) {
            Some(key) => {
                known.key.get_or_insert_with(|| Arc::new(key));
                Judgment::Accepted
            }
            // It may have been changed a moment ago.
            None if asking == Asking::Possible => self.ask_for_stranger(now),
            None => Judgment::Wrong,
        }
    }

    /// Has somebody ask who may be anybody.
    fn ask_for_stranger(&mut self, now: Instant) -> Judgment {
        const EACH: Duration =
            Duration::from_nanos(1_000_000_000 / UPSTREAM_USER_LOOKUPS_PER_SECOND as u64);
        // A second's worth at once, then one after the other.
        let earliest = self
            .strangers_until
            .max(now.checked_sub(SECOND).unwrap_or(now));
        if earliest > now {
            return Judgment::AskAt(earliest);
        }
        self.strangers_until = earliest + EACH;
        Judgment::Ask
    }

    /// The upstream's answer: the hash of a user's password, or that there is no such user.
    pub(crate) fn learn(&mut self, name: &str, hash: Option<PasswordHash>, now: Instant) {
        // It was asked before a reload brought the list, which decides alone.
        if self.is_list {
            return;
        }
        let Some(hash) = hash else {
            self.known.remove(name);
            return;
        };
        if let Some(known) = self.known.get_mut(name) {
            known.key.take_if(|_| known.hash != hash);
            (known.hash, known.since) = (hash, now);
            return;
        }
        if self.known.len() >= UPSTREAM_USERS_MAX {
            let oldest = self.known.iter().min_by_key(|(_, own)| own.since);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.known.remove(&oldest);
            }
        }
        let (key, since) = (None, now);
        self.known
            .insert(name.into(), KnownUser { hash, key, since });
    }

    /// The upstream has refused this key of a user: it is forgotten with its hash, unless that is
    /// listed, or another one has been proven meanwhile.
    pub(crate) fn forget_key(&mut self, name: &str, key: &Arc<PasswordKey>) {
        let Some(known) = self.known.get_mut(name) else {
            return;
        };
        let is_it = known.key.as_ref().is_some_and(|own| Arc::ptr_eq(own, key));
        match is_it {
            false => {}
            true if self.is_list => known.key = None,
            true => drop(self.known.remove(name)),
        }
    }

    /// The key by which a user who has logged in here logs in upstream.
    pub(crate) fn key(&self, name: &str) -> Option<Arc<PasswordKey>> {
        self.known.get(name)?.key.clone()
    }
}

/// For how long the questions of strangers may come at once.
const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use vestibule_wire::auth::scramble;

    use super::*;

    const SALT: [u8; 32] = [9; 32];

    fn judge(
        users: &mut Users,
        name: &str,
        password: &str,
        asking: Asking,
        now: Instant,
    ) -> Judgment {
        users.judge(name, &SALT, &scramble(password, &SALT), asking, now)
    }

    #[test]
    fn a_list_decides_alone_and_stays_when_an_upstream_refuses_a_key() {
        let now = Instant::now();
        let list = [("alice", PasswordHash::of("secret"))].into_iter();
        let mut users = Users::of_list(list, now);
        let later = now + 1000 * UPSTREAM_USER_FRESH;
        for asking in [Asking::Possible, Asking::Impossible] {
            let mut told = |name, password| judge(&mut users, name, password, asking, later);
            assert_eq!(told("alice", "secret"), Judgment::Accepted);
            assert_eq!(told("alice", "wrong"), Judgment::Wrong);
            assert_eq!(told("bob", "secret"), Judgment::Unknown);
        }
        let key = users.key("alice").unwrap();
        users.forget_key("alice", &key);
        assert!(users.key("alice").is_none(), "it is of no use upstream");
        let again = judge(&mut users, "alice", "secret", Asking::Possible, later);
        assert_eq!(again, Judgment::Accepted);
    }

    #[test]
    fn by_another_list_keys_stay_of_those_whose_hash_is_the_same() {
        let now = Instant::now();
        let of = |list: &[(&'static str, &str)]| {
            let hashes = list.iter();
            Users::of_list(
                hashes.map(|(name, password)| (*name, PasswordHash::of(password))),
                now,
            )
        };
        let mut users = of(&[("alice", "secret"), ("bob", "secret"), ("carol", "secret")]);
        for name in ["alice", "bob", "carol"] {
            let told = judge(&mut users, name, "secret", Asking::Impossible, now);
            assert_eq!(told, Judgment::Accepted);
        }
        users.become_as(of(&[
            ("alice", "secret"),
            ("bob", "new"),
            ("dave", "secret"),
        ]));
        let known = ["alice", "bob", "carol", "dave"].map(|name| users.key(name).is_some());
        assert_eq!(known, [true, false, false, false]);
        let mut told = |name, password| judge(&mut users, name, password, Asking::Impossible, now);
        assert_eq!(told("bob", "secret"), Judgment::Wrong);
        assert_eq!(told("bob", "new"), Judgment::Accepted);
        assert_eq!(told("carol", "secret"), Judgment::Unknown);
        assert_eq!(told("dave", "secret"), Judgment::Accepted);
        // Where they are asked for, now or as before.
        for _ in 0..2 {
            users.become_as(Users::new(now));
            assert!(users.key("alice").is_some());
            let later = now + UPSTREAM_USER_FRESH;
            let told = judge(&mut users, "alice", "secret", Asking::Possible, later);
            assert_eq!(told, Judgment::Ask);
        }
    }

    #[test]
    fn an_answer_to_what_was_asked_before_a_list_came_changes_nothing_of_it() {
        let now = Instant::now();
        let mut users = Users::new(now);
        let told = judge(&mut users, "bob", "secret", Asking::Possible, now);
        assert_eq!(told, Judgment::Ask);
        let list = [("alice", PasswordHash::of("secret"))].into_iter();
        users.become_as(Users::of_list(list, now));
        users.learn("bob", Some(PasswordHash::of("secret")), now);
        users.learn("alice", None, now);
        let mut told = |name| judge(&mut users, name, "secret", Asking::Possible, now);
        assert_eq!(told("bob"), Judgment::Unknown);
        assert_eq!(told("alice"), Judgment::Accepted);
    }

    #[test]
    fn a_fresh_answer_decides_and_an_older_one_is_asked_for_again() {
        let now = Instant::now();
        let mut users = Users::new(now);
        let login = |users: &mut Users, at| judge(users, "alice", "secret", Asking::Possible, at);
        assert_eq!(login(&mut users, now), Judgment::Ask);
        users.learn("alice", Some(PasswordHash::of("secret")), now);
        assert!(users.key("alice").is_none(), "nobody has proven anything");
        assert_eq!(login(&mut users, now), Judgment::Accepted);
        let key = users.key("alice").expect("it was proven");
        assert_eq!(*key, PasswordKey::of("secret"));
        assert_eq!(login(&mut users, now + UPSTREAM_USER_FRESH), Judgment::Ask);
    }

    #[test]
    fn while_nobody_can_be_asked_what_was_known_decides() {
        let now = Instant::now();
        let mut users = Users::new(now);
        users.learn("alice", Some(PasswordHash::of("secret")), now);
        let later = now + 1000 * UPSTREAM_USER_FRESH;
        let mut login =
            |name, password| judge(&mut users, name, password, Asking::Impossible, later);
        assert_eq!(login("alice", "secret"), Judgment::Accepted);
        assert_eq!(login("alice", "wrong"), Judgment::Wrong);
        assert_eq!(login("bob", "secret"), Judgment::Unavailable);
    }

    #[test]
    fn a_changed_password_makes_the_key_that_was_proven_void() {
        let now = Instant::now();
        let mut users = Users::new(now);
        users.learn("alice", Some(PasswordHash::of("secret")), now);
        judge(&mut users, "alice", "secret", Asking::Possible, now);
        // Right after the change: the answer that is fresh does not know of it.
        assert_eq!(
            judge(&mut users, "alice", "new", Asking::Possible, now),
            Judgment::Ask
        );
        users.learn("alice", Some(PasswordHash::of("new")), now);
        assert!(users.key("alice").is_none());
        assert_eq!(
            judge(&mut users, "alice", "secret", Asking::Done, now),
            Judgment::Wrong
        );
        assert_eq!(
            judge(&mut users, "alice", "new", Asking::Done, now),
            Judgment::Accepted
        );
        users.learn("alice", None, now);
        assert_eq!(
            judge(&mut users, "alice", "new", Asking::Done, now),
            Judgment::Unknown
        );
    }

    #[test]
    fn a_key_that_is_refused_goes_and_a_newer_one_stays() {
        let now = Instant::now();
        let mut users = Users::new(now);
        let prove = |users: &mut Users, password| {
            users.learn("alice", Some(PasswordHash::of(password)), now);
            judge(users, "alice", password, Asking::Done, now);
            users.key("alice").expect("it was proven")
        };
        let old = prove(&mut users, "secret");
        let new = prove(&mut users, "new");
        users.forget_key("alice", &old);
        assert!(users.key("alice").is_some(), "that was the one before");
        users.forget_key("alice", &new);
        assert!(users.key("alice").is_none());
    }

    #[test]
    fn strangers_ask_a_few_times_at_once_and_then_one_after_the_other() {
        let now = Instant::now();
        let mut users = Users::new(now);
        let mut asked = 0;
        let at = loop {
            match judge(
                &mut users,
                &format!("user {asked}"),
                "x",
                Asking::Possible,
                now,
            ) {
                Judgment::Ask => asked += 1,
                Judgment::AskAt(at) => break at,
                other => panic!("{other:?}"),
            }
        };
        assert!((1..=UPSTREAM_USER_LOOKUPS_PER_SECOND).contains(&asked));
        assert!(at > now && at <= now + SECOND);
        assert_eq!(
            judge(&mut users, "another", "x", Asking::Possible, at),
            Judgment::Ask
        );
        let next = judge(&mut users, "one more", "x", Asking::Possible, at);
        assert!(matches!(next, Judgment::AskAt(next) if next > at));
    }

    #[test]
    fn no_more_users_are_known_than_there_may_be() {
        let now = Instant::now();
        let mut users = Users::new(now);
        for count in 0..UPSTREAM_USERS_MAX + 2 {
            let at = now + Duration::from_millis(count as u64);
            users.learn(&count.to_string(), Some(PasswordHash::default()), at);
        }
        assert_eq!(users.known.len(), UPSTREAM_USERS_MAX);
        assert!(!users.known.contains_key("1") && users.known.contains_key("2"));
    }
}
