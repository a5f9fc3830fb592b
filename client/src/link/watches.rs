//! Keys that are watched, and their last values.
//!
//! The server tells a change only when the one before it was acknowledged, so a key has one value
//! here and no queue.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::error::{Error, ErrorKind};
use crate::limits::WATCHES_MAX;

/// What was last told of a key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observed {
    /// How often it was told.
    pub(crate) count: u64,
    /// As MessagePack; `None` if the key has no value.
    pub(crate) value: Option<Bytes>,
    /// The server refused to tell it.
    pub(crate) fault: Option<Error>,
}

#[derive(Debug)]
struct Watch {
    observers: usize,
    told: watch::Sender<Observed>,
    /// The sync number of the last WATCH, to know an error by.
    sync: u64,
}

/// All watched keys of a connection.
#[derive(Debug, Default)]
pub(crate) struct Watches(HashMap<Arc<str>, Watch>);

impl Watches {
    /// Adds an observer; tells whether the key is new to the server.
    pub(crate) fn add(
        &mut self,
        key: &Arc<str>,
    ) -> Result<(watch::Receiver<Observed>, bool), Error> {
        if !self.0.contains_key(key) && self.0.len() >= WATCHES_MAX {
            let text = format!("more than {WATCHES_MAX} keys are watched");
            return Err(Error::not_sent(ErrorKind::Limit, text));
        }
        let watch = self.0.entry(Arc::clone(key)).or_insert_with(|| Watch {
            observers: 0,
            told: watch::Sender::default(),
            sync: 0,
        });
        watch.observers += 1;
        let mut receiver = watch.told.subscribe();
        if receiver.borrow().count > 0 {
            // What is known already is news to the newest observer.
            receiver.mark_changed();
        }
        Ok((receiver, watch.observers == 1))
    }

    /// Removes an observer; tells whether it was the last one of the key.
    pub(crate) fn remove(&mut self, key: &str) -> bool {
        let Some(watch) = self.0.get_mut(key) else {
            return false;
        };
        watch.observers -= 1;
        let is_last = watch.observers == 0;
        if is_last {
            self.0.remove(key);
        }
        is_last
    }

    /// Remembers under which number a key was last asked for.
    pub(crate) fn sent(&mut self, key: &str, sync: u64) {
        if let Some(watch) = self.0.get_mut(key) {
            watch.sync = sync;
        }
    }

    pub(crate) fn keys(&self) -> Vec<Arc<str>> {
        self.0.keys().cloned().collect()
    }

    /// Tells a value to the observers of its key; returns whether there are any.
    pub(crate) fn tell(&mut self, key: &str, value: Option<Bytes>) -> bool {
        let Some(watch) = self.0.get(key) else {
            return false;
        };
        watch.told.send_modify(|told| {
            told.count += 1;
            told.value = value;
            told.fault = None;
        });
        true
    }

    /// Tells an error to the observers of the key that was asked for under this number.
    pub(crate) fn fail(&mut self, sync: u64, fault: &Error) {
        let found = self.0.values().find(|watch| watch.sync == sync);
        if let Some(watch) = found {
            watch.told.send_modify(|told| {
                told.count += 1;
                told.fault = Some(fault.clone());
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Arc<str> {
        text.into()
    }

    #[test]
    fn the_last_observer_ends_the_watch() {
        let mut watches = Watches::default();
        let (mut first, is_new) = watches.add(&key("k")).unwrap();
        assert!(is_new);
        assert!(watches.tell("k", Some(Bytes::from_static(&[1]))));
        assert!(first.has_changed().unwrap());
        assert_eq!(first.borrow_and_update().value.as_deref(), Some(&[1][..]));
        let (second, is_new) = watches.add(&key("k")).unwrap();
        assert!(
            !is_new && second.has_changed().unwrap(),
            "what is known is told"
        );
        assert!(!watches.remove("k"));
        assert!(watches.remove("k") && !watches.remove("k"));
        assert!(!watches.tell("k", None));
    }

    #[test]
    fn an_error_reaches_those_who_watch_its_key() {
        let mut watches = Watches::default();
        let (own, _) = watches.add(&key("a")).unwrap();
        let (other, _) = watches.add(&key("b")).unwrap();
        watches.sent("a", 9);
        watches.fail(9, &Error::not_sent(ErrorKind::Server, "no"));
        assert!(own.borrow().fault.is_some() && other.borrow().fault.is_none());
    }

    #[test]
    fn keys_are_bounded() {
        let mut watches = Watches::default();
        for at in 0..WATCHES_MAX {
            watches.add(&key(&at.to_string())).unwrap();
        }
        let error = watches.add(&key("one more")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert!(watches.add(&key("0")).is_ok());
    }
}
