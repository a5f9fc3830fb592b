//! Which events one connection watches, and what it is owed.
//!
//! ```text
//!   WATCH ──▶ Armed ── the value changes, or was never told ──▶ EVENT ──▶ Told
//!               ▲                                                          │
//!               └────────────────── WATCH again: the acknowledgement ──────┘
//! ```
//!
//! Between an EVENT and its acknowledgement changes coalesce: the client then gets the last value,
//! once.

use crate::limits::WATCHES_PER_CONNECTION_MAX;
use crate::upstream::WatchedKey;

/// The version of a key of which nothing is known.
const NOTHING_KNOWN: u64 = 0;

#[derive(Debug)]
struct Watch {
    key: Box<str>,
    /// Sync of the last WATCH: that of the next EVENT.
    sync: u64,
    /// Version that was told last; `None` before the first EVENT.
    told: Option<u64>,
    armed: bool,
    /// Of a key that is watched upstream, as long as it is watched here.
    _passed: Option<WatchedKey>,
}

/// The watches of one connection.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    watches: Vec<Watch>,
}

/// An EVENT to send.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Due<'a> {
    pub(crate) key: &'a str,
    pub(crate) sync: u64,
    pub(crate) value: Option<&'a [u8]>,
}

impl Watches {
    /// Registers or acknowledges; false if the connection watches too many keys already.
    #[must_use]
    pub(crate) fn watch(&mut self, key: &str, sync: u64) -> bool {
        self.watch_passed(key, sync, || Some(None))
    }

    /// The same of a key that is watched upstream, if `passed` gives it: its first EVENT waits for
    /// what the upstream tells of it.
    #[must_use]
    pub(crate) fn watch_passed(
        &mut self,
        key: &str,
        sync: u64,
        passed: impl FnOnce() -> Option<Option<WatchedKey>>,
    ) -> bool {
        if let Some(watch) = self.watches.iter_mut().find(|watch| &*watch.key == key) {
            (watch.sync, watch.armed) = (sync, true);
            return true;
        }
        if self.watches.len() >= WATCHES_PER_CONNECTION_MAX {
            return false;
        }
        let Some(passed) = passed() else {
            return false;
        };
        self.watches.push(Watch {
            key: key.into(),
            sync,
            told: passed.as_ref().map(|_| NOTHING_KNOWN),
            armed: true,
            _passed: passed,
        });
        true
    }

    pub(crate) fn unwatch(&mut self, key: &str) {
        self.watches.retain(|watch| &*watch.key != key);
    }

    pub(crate) fn is_watching(&self, key: &str) -> bool {
        self.watches.iter().any(|watch| &*watch.key == key)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.watches.is_empty()
    }

    /// Whether an EVENT is owed. `current` gives the version of a key.
    pub(crate) fn has_due(&self, current: impl Fn(&str) -> u64) -> bool {
        let mut armed = self.watches.iter().filter(|watch| watch.armed);
        armed.any(|watch| watch.told != Some(current(&watch.key)))
    }

    /// Hands out every EVENT that is owed, until `send` says that there is no room for more: false
    /// if some may be left. `current` gives the version and value of a key.
    pub(crate) fn take_due<'a>(
        &mut self,
        current: impl Fn(&str) -> (u64, Option<&'a [u8]>),
        mut send: impl FnMut(Due<'_>) -> bool,
    ) -> bool {
        for watch in self.watches.iter_mut().filter(|watch| watch.armed) {
            let (version, value) = current(&watch.key);
            if watch.told != Some(version) {
                (watch.told, watch.armed) = (Some(version), false);
                let due = Due {
                    key: &watch.key,
                    sync: watch.sync,
                    value,
                };
                if !send(due) {
                    return false;
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use vestibule_wire::events;

    use super::*;

    fn due(watches: &mut Watches, version: u64) -> Vec<u64> {
        let mut syncs = Vec::new();
        let is_owed = watches.has_due(|_| version);
        let all = watches.take_due(
            |_| (version, None),
            |due| {
                syncs.push(due.sync);
                true
            },
        );
        assert!(all && !watches.has_due(|_| version));
        assert_eq!(is_owed, !syncs.is_empty());
        syncs
    }

    #[test]
    fn the_first_watch_is_answered_at_once_even_without_a_value() {
        let mut watches = Watches::default();
        assert!(watches.watch(events::SHUTDOWN, 7));
        assert_eq!(due(&mut watches, 0), [7]);
        assert_eq!(due(&mut watches, 0), []);
    }

    #[test]
    fn nothing_is_sent_until_the_event_is_acknowledged() {
        let mut watches = Watches::default();
        assert!(watches.watch("k", 1));
        assert_eq!(due(&mut watches, 1), [1]);
        assert_eq!(due(&mut watches, 2), []);
        assert_eq!(due(&mut watches, 3), []);
        assert!(watches.watch("k", 9));
        assert_eq!(
            due(&mut watches, 3),
            [9],
            "both changes in one event, with the last sync"
        );
        assert!(watches.watch("k", 10));
        assert_eq!(due(&mut watches, 3), [], "acknowledged, and nothing new");
        assert_eq!(due(&mut watches, 4), [10]);
    }

    #[test]
    fn what_there_is_no_room_for_is_sent_later() {
        let mut watches = Watches::default();
        for (sync, key) in ["a", "b", "c"].into_iter().enumerate() {
            assert!(watches.watch(key, sync as u64));
        }
        let mut syncs = Vec::new();
        let mut one = |watches: &mut Watches| {
            let send = |due: Due<'_>| {
                syncs.push(due.sync);
                false
            };
            watches.take_due(|_| (1, None), send)
        };
        for _ in 0..3 {
            assert!(!one(&mut watches));
        }
        assert!(one(&mut watches), "nothing is left");
        assert_eq!(syncs, [0, 1, 2]);
    }

    #[test]
    fn what_is_not_watched_any_more_is_not_sent() {
        let mut watches = Watches::default();
        assert!(watches.watch("k", 1));
        watches.unwatch("k");
        watches.unwatch("never watched");
        assert!(watches.is_empty());
        assert_eq!(due(&mut watches, 1), []);
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let mut watches = Watches::default();
        for key in 0..WATCHES_PER_CONNECTION_MAX {
            assert!(watches.watch(&key.to_string(), 0));
        }
        assert!(!watches.watch("one more", 0));
        assert!(
            watches.watch("0", 1),
            "a known key is acknowledged all the same"
        );
    }
}
