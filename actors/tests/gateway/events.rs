//! What an upstream tells those who watch it.

use std::collections::HashMap;
use std::sync::mpsc::Sender;

use vestibule_actors::wire::reply::write_event;

/// The values of events, and who watches them.
#[derive(Default)]
pub(crate) struct Events {
    pub(crate) values: HashMap<String, Vec<u8>>,
    /// By connection and key.
    pub(crate) watchers: HashMap<(usize, String), Watcher>,
    /// Nobody is told anything, until another value is there.
    pub(crate) is_mute: bool,
}

pub(crate) struct Watcher {
    answers: Sender<Vec<u8>>,
    sync: u64,
    /// What it was told last, if it was told anything.
    told: Option<Option<Vec<u8>>>,
    is_armed: bool,
}

impl Events {
    /// Tells those who have to be told.
    pub(crate) fn tell(&mut self) {
        if self.is_mute {
            return;
        }
        for ((_, key), own) in &mut self.watchers {
            let value = self.values.get(key).cloned();
            if own.is_armed && own.told.as_ref() != Some(&value) {
                let mut bytes = Vec::new();
                write_event(&mut bytes, own.sync, key, value.as_deref());
                let _ = own.answers.send(bytes);
                (own.told, own.is_armed) = (Some(value), false);
            }
        }
    }

    /// A connection watches a key, or has taken its last event.
    pub(crate) fn watch(&mut self, watcher: (usize, String), answers: Sender<Vec<u8>>, sync: u64) {
        let own = self.watchers.entry(watcher).or_insert_with(|| Watcher {
            answers,
            sync: 0,
            told: None,
            is_armed: false,
        });
        (own.sync, own.is_armed) = (sync, true);
        self.tell();
    }
}
