//! Who is connected, and who has to go. Pure.
//!
//! ```text
//!   place free? ─┬ yes ─▶ taken
//!                └ no ──▶ the oldest that has asked nothing yet is closed ─┬▶ its place
//!                         └ all have asked ──────────────────────────────▶ none
//! ```
//!
//! Those who hold connections without a word keep nobody out: a probe sends its request at once.

use std::collections::BTreeMap;

/// The number of a connection.
pub(super) type Number = u64;

/// The connections, each with what closes it.
#[derive(Debug)]
pub(super) struct Places<C> {
    max: usize,
    next: Number,
    taken: BTreeMap<Number, Taken<C>>,
}

#[derive(Debug)]
struct Taken<C> {
    close: C,
    has_asked: bool,
}

impl<C> Places<C> {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            next: 0,
            taken: BTreeMap::new(),
        }
    }

    /// A place for another connection, which this closes, and what closes the one that had to go
    /// for it, if one had to; `None` if there is none.
    pub(super) fn take(&mut self, close: C) -> Option<(Number, Option<C>)> {
        let mut gone = None;
        if self.taken.len() >= self.max {
            let silent = self.taken.iter().find(|(_, own)| !own.has_asked);
            let (number, _) = silent?;
            let number = *number;
            gone = self.taken.remove(&number).map(|own| own.close);
        }
        let number = self.next;
        self.next += 1;
        let taken = Taken {
            close,
            has_asked: false,
        };
        self.taken.insert(number, taken);
        Some((number, gone))
    }

    /// A connection has asked something.
    pub(super) fn on_request(&mut self, number: Number) {
        if let Some(own) = self.taken.get_mut(&number) {
            own.has_asked = true;
        }
    }

    /// A connection has ended.
    pub(super) fn leave(&mut self, number: Number) {
        self.taken.remove(&number);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_that_has_asked_nothing_makes_room() {
        let mut places = Places::new(3);
        for name in ["a", "b", "c"] {
            assert!(matches!(places.take(name), Some((_, None))));
        }
        places.on_request(0);
        assert_eq!(places.take("d"), Some((3, Some("b"))));
        assert_eq!(places.take("e"), Some((4, Some("c"))));
        places.on_request(3);
        places.on_request(4);
        assert_eq!(places.take("f"), None, "all of them wait for an answer");
        places.leave(0);
        assert_eq!(places.take("f"), Some((5, None)));
        // One that had to go leaves nothing when it ends.
        places.leave(1);
        for number in [3, 4, 5] {
            places.leave(number);
        }
        assert!(places.is_empty());
    }
}
