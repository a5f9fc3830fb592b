//! The keys of events that clients of a gateway watch: one WATCH upstream for each, whatever the
//! number of those who watch it.
//!
//! A key is charged to the user who was first to watch it, so that none takes the room of all.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::limits::{UPSTREAM_KEYS_MAX, UPSTREAM_KEYS_OF_USER_MAX};

#[derive(Debug)]
struct WatchedCount {
    count: usize,
    /// Who was first.
    user: Arc<str>,
}

#[derive(Debug, Default)]
struct Watched {
    keys: BTreeMap<Arc<str>, WatchedCount>,
    by_user: HashMap<Arc<str>, usize>,
}

/// The keys that are watched.
#[derive(Debug, Default)]
pub(crate) struct WatchedKeys {
    watched: Mutex<Watched>,
    /// Grows when a key is watched that was not, or is not any more.
    version: AtomicU64,
    changed: Notify,
}

/// A key is watched as long as this is kept.
#[derive(Debug)]
pub(crate) struct WatchedKey {
    all: Arc<WatchedKeys>,
    key: Arc<str>,
}

impl WatchedKeys {
    /// A client watches a key; `None` if as many keys are watched as may be, by this user or by
    /// all.
    pub(crate) fn watch(self: &Arc<Self>, key: &str, user: &Arc<str>) -> Option<WatchedKey> {
        let mut watched = self.lock();
        let known = watched.keys.get_key_value(key).map(|(key, _)| key.clone());
        let is_new = known.is_none();
        let key = known.unwrap_or_else(|| key.into());
        if is_new {
            let of_user = watched.by_user.get(user).copied().unwrap_or(0);
            if watched.keys.len() >= UPSTREAM_KEYS_MAX || of_user >= UPSTREAM_KEYS_OF_USER_MAX {
                return None;
            }
            *watched.by_user.entry(user.clone()).or_default() += 1;
        }
        let first = || WatchedCount {
            count: 0,
            user: user.clone(),
        };
        watched.keys.entry(key.clone()).or_insert_with(first).count += 1;
        drop(watched);
        if is_new {
            self.tell();
        }
        let all = self.clone();
        Some(WatchedKey { all, key })
    }

    /// The keys that are watched now, and the version of that.
    pub(crate) fn all(&self) -> (BTreeSet<Arc<str>>, u64) {
        let watched = self.lock();
        let version = self.version();
        (watched.keys.keys().cloned().collect(), version)
    }

    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Waits until others are watched than before.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn tell(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
        // Each upstream has a scout that looks.
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WatchedKey {
    fn drop(&mut self) {
        let mut watched = self.all.lock();
        let Some(own) = watched.keys.get_mut(&self.key) else {
            return;
        };
        own.count -= 1;
        if own.count > 0 {
            return;
        }
        let user = own.user.clone();
        watched.keys.remove(&self.key);
        if let Some(count) = watched.by_user.get_mut(&user) {
            *count -= 1;
            if *count == 0 {
                watched.by_user.remove(&user);
            }
        }
        drop(watched);
        self.all.tell();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(all: &Arc<WatchedKeys>) -> Vec<String> {
        all.all().0.iter().map(|key| key.to_string()).collect()
    }

    #[test]
    fn a_key_is_watched_once_and_until_the_last_one_has_gone() {
        let all = Arc::new(WatchedKeys::default());
        let [alice, bob]: [Arc<str>; 2] = ["alice", "bob"].map(Into::into);
        let first = all.watch("a", &alice).unwrap();
        let version = all.version();
        let second = all.watch("a", &bob).unwrap();
        assert_eq!((keys(&all), all.version()), (vec!["a".to_owned()], version));
        drop(first);
        assert_eq!(keys(&all), ["a"]);
        drop(second);
        assert!(keys(&all).is_empty() && all.version() > version);
        assert!(all.lock().by_user.is_empty());
    }

    #[test]
    fn one_user_does_not_take_the_room_of_all() {
        let all = Arc::new(WatchedKeys::default());
        let [alice, bob]: [Arc<str>; 2] = ["alice", "bob"].map(Into::into);
        let watch = |user: &Arc<str>| {
            let keys = (0..).map(|number| format!("{user} {number}"));
            let watched: Vec<_> = keys.map_while(|key| all.watch(&key, user)).collect();
            watched
        };
        let first = watch(&alice);
        assert_eq!(first.len(), UPSTREAM_KEYS_OF_USER_MAX);
        assert!(
            all.watch("alice 0", &bob).is_some(),
            "it is watched already"
        );
        let second = watch(&bob);
        assert_eq!(first.len() + second.len(), UPSTREAM_KEYS_MAX);
        drop(first);
        assert!(all.watch("alice 0", &alice).is_some());
    }
}
