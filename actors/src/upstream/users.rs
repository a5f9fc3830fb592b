//! Users of the upstream, as far as they have to do with the gateway: the hashes of their
//! passwords, and the keys that their logins have proven.
//!
//! ```text
//!   login ─▶ judge ─┬ it fits a fresh answer, or nobody can be asked ─▶ decided by what is known
//!                   ├ asked since it came ────────────────────────────▶ decided by the answer
//!                   └ else ─▶ asked, or waits for who has asked ─▶ judged again
//! ```
//!
//! Where users are listed, nobody is asked, and the list is what is known.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use vestibule_wire::auth::{PasswordHash, PasswordKey, SCRAMBLE_SIZE};
use vestibule_wire::greeting::SALT_SIZE;

use super::lookups::{Lookup, Lookups, UserQuestion};
use super::schema::Incarnation;
use crate::limits::{UPSTREAM_USER_FRESH, UPSTREAM_USERS_MAX};

/// What is known of one user.
#[derive(Debug)]
struct KnownUser {
    hash: PasswordHash,
    /// Fits the hash, always.
    key: Option<Arc<PasswordKey>>,
    /// When it was asked for: all that was so before is in it.
    since: Instant,
}

/// A login that is to be judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoginAttempt<'a> {
    pub(crate) user: &'a str,
    pub(crate) salt: &'a [u8; SALT_SIZE],
    pub(crate) scramble: &'a [u8; SCRAMBLE_SIZE],
    /// An answer to what was asked since then decides.
    pub(crate) came: Instant,
}

/// What a login has come to.
#[derive(Debug)]
pub(crate) enum Judgment {
    /// Right.
    Accepted,
    /// The password is wrong.
    Wrong,
    /// There is no such user.
    Unknown,
    /// The upstream has to say.
    LookUp(Lookup),
    /// The upstream has to say, and cannot be asked.
    Unavailable,
}

/// The users that are known.
#[derive(Debug)]
pub(crate) struct Users {
    known: HashMap<Arc<str>, KnownUser>,
    /// Whether the list of them is whole: hashes are neither asked for nor forgotten.
    is_list: bool,
    lookups: Lookups,
}

impl Users {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            known: HashMap::new(),
            is_list: false,
            lookups: Lookups::new(now),
        }
    }

    /// The users of this list, and no others.
    pub(crate) fn of_list<'a>(
        list: impl Iterator<Item = (&'a str, PasswordHash)>,
        now: Instant,
    ) -> Self {
        let mut own = Self::new(now);
        list.for_each(|(name, hash)| own.keep(name, hash, now));
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

    /// What a login comes to, where this upstream can be asked, or none.
    pub(crate) fn judge(
        &mut self,
        login: LoginAttempt<'_>,
        target: Option<Incarnation>,
        now: Instant,
    ) -> Judgment {
        // The list has said all that there is to say.
        let to_ask = target.filter(|_| !self.is_list);
        let Some(known) = self.known.get_mut(login.user) else {
            return self.judge_unknown(login, to_ask, now);
        };
        let to_ask = to_ask.filter(|_| known.since < login.came);
        let key = known.hash.recover(login.salt, login.scramble);
        let is_fresh = now.saturating_duration_since(known.since) < UPSTREAM_USER_FRESH;
        if let Some(target) = to_ask.filter(|_| !is_fresh && key.is_some())
            && let Some(lookup) = self.lookups.look_up_known(login.user, target, now)
        {
            return Judgment::LookUp(lookup);
        }
        match (key, to_ask) {
            (Some(key), _) => {
                known.key.get_or_insert_with(|| Arc::new(key));
                Judgment::Accepted
            }
            // It may have been changed a moment ago.
            (None, Some(target)) => {
                Judgment::LookUp(self.lookups.look_up_stranger(login.user, target, now))
            }
            (None, None) => Judgment::Wrong,
        }
    }

    /// What a login comes to of whom nothing is known.
    fn judge_unknown(
        &mut self,
        login: LoginAttempt<'_>,
        to_ask: Option<Incarnation>,
        now: Instant,
    ) -> Judgment {
        let none_since = self.lookups.none_since(login.user);
        if self.is_list || none_since.is_some_and(|since| since >= login.came) {
            return Judgment::Unknown;
        }
        match to_ask {
            Some(target) => {
                Judgment::LookUp(self.lookups.look_up_stranger(login.user, target, now))
            }
            None => Judgment::Unavailable,
        }
    }

    /// The upstream's answer: the hash of a user's password, or that there is no such user.
    pub(crate) fn learn(&mut self, question: UserQuestion, hash: Option<PasswordHash>) {
        let (name, began) = (&*question.name, question.began);
        let told = self.known.get(name).map(|own| own.since);
        let is_outdated = told.max(self.lookups.none_since(name)) > Some(began);
        // A list that a reload has brought meanwhile decides alone.
        if !self.is_list && !is_outdated {
            match hash {
                Some(hash) => self.keep(name, hash, began),
                None => {
                    self.known.remove(name);
                    self.lookups.note_none(&question);
                }
            }
        }
        question.end();
    }

    fn keep(&mut self, name: &str, hash: PasswordHash, since: Instant) {
        if let Some(known) = self.known.get_mut(name) {
            known.key.take_if(|_| known.hash != hash);
            (known.hash, known.since) = (hash, since);
            return;
        }
        if self.known.len() >= UPSTREAM_USERS_MAX {
            let oldest = self.known.iter().min_by_key(|(_, own)| own.since);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.known.remove(&oldest);
            }
        }
        let key = None;
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

#[cfg(test)]
mod tests;
