//! The texts of PREPAREs that are on their way, of all links of a worker: what they take, of each
//! connection and together. Pure, but for the charge.
//!
//! ```text
//!   sent ─▶ on its way, counts ─┬─ answered, lost ─▶ gone
//!                  ▲            └─ held by its client ─▶ counts there, and here no more ─┐
//!                  └──────────────────── let go ◀───────────────────────────────────────┘
//! ```
//!
//! One charge for all: a text of less than 16 KiB by itself would be none of its business.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::memory::{Memory, MemoryCharge};

/// What each takes at least, beside its text.
pub(super) const ENTRY_SIZE: usize = 128;

/// What a text takes.
pub(super) fn size_of(text: &[u8]) -> usize {
    ENTRY_SIZE + text.len()
}

/// Texts on their way, of one worker.
#[derive(Debug)]
pub(super) struct PreparingTexts {
    /// By the number of the connection, which is never used again.
    clients: HashMap<u64, ClientPreparing>,
    /// What counts, of all.
    bytes: usize,
    charge: MemoryCharge,
}

/// Texts on their way, of one connection.
#[derive(Debug, Default)]
struct ClientPreparing {
    texts: HashMap<Bytes, TextPreparing>,
    /// What counts.
    bytes: usize,
}

/// One text of a connection.
#[derive(Debug, Clone, Copy)]
struct TextPreparing {
    /// How many PREPAREs of it are on their way.
    count: usize,
    /// Whether its client holds it, and it takes no room beside that.
    is_held: bool,
}

impl PreparingTexts {
    /// None yet.
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        Self {
            clients: HashMap::new(),
            bytes: 0,
            charge: MemoryCharge::new(memory),
        }
    }

    /// What those of a connection take beside what it holds.
    pub(super) fn bytes_of(&self, connection: u64) -> usize {
        self.clients.get(&connection).map_or(0, |own| own.bytes)
    }

    /// One more PREPARE of a text is on its way, if there is one already; returns the text.
    pub(super) fn join(&mut self, connection: u64, text: &[u8]) -> Option<Bytes> {
        let texts = &mut self.clients.get_mut(&connection)?.texts;
        let own = texts.get_key_value(text).map(|(text, _)| text.clone())?;
        texts.get_mut(text)?.count += 1;
        Some(own)
    }

    /// The first PREPARE of a text is on its way, which its client holds already or not.
    pub(super) fn begin(&mut self, connection: u64, text: Bytes, is_held: bool) {
        let size = size_of(&text);
        let one = TextPreparing { count: 1, is_held };
        let own = self.clients.entry(connection).or_default();
        own.texts.insert(text, one);
        if !is_held {
            own.bytes += size;
            self.count(size, 0);
        }
    }

    /// A PREPARE is not on its way any more.
    pub(super) fn end(&mut self, connection: u64, text: &[u8]) {
        let Some(own) = self.clients.get_mut(&connection) else {
            return;
        };
        let Some(one) = own.texts.get_mut(text) else {
            return;
        };
        one.count -= 1;
        if one.count > 0 {
            return;
        }
        let freed = if one.is_held { 0 } else { size_of(text) };
        own.bytes -= freed;
        own.texts.remove(text);
        if own.texts.is_empty() {
            self.clients.remove(&connection);
        }
        self.count(0, freed);
    }

    /// A client holds this text from now on, or no more.
    pub(super) fn set_held(&mut self, connection: u64, text: &[u8], is_held: bool) {
        let Some(own) = self.clients.get_mut(&connection) else {
            return;
        };
        let Some(one) = own.texts.get_mut(text) else {
            return;
        };
        if std::mem::replace(&mut one.is_held, is_held) == is_held {
            return;
        }
        let size = size_of(text);
        let (more, less) = if is_held { (0, size) } else { (size, 0) };
        own.bytes = own.bytes + more - less;
        self.count(more, less);
    }

    /// A client is gone, and holds nothing.
    pub(super) fn on_gone(&mut self, connection: u64) {
        let Some(own) = self.clients.get(&connection) else {
            return;
        };
        let held = own.texts.iter().filter(|(_, one)| one.is_held);
        let held: Vec<_> = held.map(|(text, _)| text.clone()).collect();
        for text in held {
            self.set_held(connection, &text, false);
        }
    }

    fn count(&mut self, more: usize, less: usize) {
        self.bytes = self.bytes + more - less;
        self.charge.set(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MEMORY_SMALL;

    fn text(byte: u8, size: usize) -> Bytes {
        Bytes::from(vec![byte; size - ENTRY_SIZE])
    }

    #[test]
    fn small_texts_are_charged_by_what_they_take_together() {
        let memory = Arc::new(Memory::new(usize::MAX));
        let mut own = PreparingTexts::new(memory.clone());
        let size = MEMORY_SMALL / 4;
        for connection in 0..8 {
            own.begin(connection, text(b'a', size), false);
        }
        assert_eq!((memory.used(), own.bytes_of(7)), (8 * size, size));
        for connection in 0..8 {
            own.end(connection, &text(b'a', size));
        }
        assert_eq!((memory.used(), own.bytes_of(7)), (0, 0));
        assert!(own.clients.is_empty());
    }

    #[test]
    fn a_text_counts_once_of_each_connection_and_not_beside_what_is_held() {
        let memory = Arc::new(Memory::new(usize::MAX));
        let mut own = PreparingTexts::new(memory.clone());
        let (size, text) = (MEMORY_SMALL, text(b'a', MEMORY_SMALL));
        assert_eq!(own.join(1, &text), None);
        own.begin(1, text.clone(), false);
        assert_eq!(own.join(1, &text), Some(text.clone()));
        own.begin(2, text.clone(), true);
        assert_eq!((own.bytes_of(1), own.bytes_of(2)), (size, 0));
        own.set_held(1, &text, true);
        own.set_held(1, &text, true);
        assert_eq!((own.bytes_of(1), memory.used()), (0, 0));
        own.end(1, &text);
        own.set_held(1, &text, false);
        assert_eq!((own.bytes_of(1), memory.used()), (size, size));
        own.on_gone(2);
        assert_eq!((own.bytes_of(2), memory.used()), (size, 2 * size));
        own.end(2, &text);
        own.end(1, &text);
        assert_eq!(memory.used(), 0);
        own.end(1, &text);
        own.set_held(1, &text, true);
        own.on_gone(1);
        assert!(own.clients.is_empty(), "there is none");
    }
}
