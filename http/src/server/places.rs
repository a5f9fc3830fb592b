//! Who is connected, and who has to go. Pure.
//!
//! ```text
//!   place free? ─┬ yes ─▶ taken
//!                └ no ──▶ the oldest that has asked nothing yet is closed ──┬▶ its place
//!                         └ none: the oldest that has not read its answer ──┤
//!                           └ none: all read events ────────────────────────▶ no place
//! ```
//!
//! Those who hold connections without a word keep nobody out, nor do those who ask and do not read:
//! a probe sends its request at once, and has its answer at once. Streams of events are bounded,
//! and go on.

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
    stage: Stage,
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing was asked.
    Silent,
    /// Something was asked, and not all of the answer is read.
    Asked,
    /// Events are read.
    Reads,
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
            let oldest = |stage| {
                let mut all = self.taken.iter();
                all.find(|(_, own)| own.stage == stage).map(|own| *own.0)
            };
            let number = oldest(Stage::Silent).or_else(|| oldest(Stage::Asked))?;
            gone = self.taken.remove(&number).map(|own| own.close);
        }
        let number = self.next;
        self.next += 1;
        let taken = Taken {
            close,
            stage: Stage::Silent,
        };
        self.taken.insert(number, taken);
        Some((number, gone))
    }

    /// A connection has asked something.
    pub(super) fn on_request(&mut self, number: Number) {
        self.set(number, Stage::Asked);
    }

    /// A connection is told events.
    pub(super) fn on_events(&mut self, number: Number) {
        self.set(number, Stage::Reads);
    }

    fn set(&mut self, number: Number, stage: Stage) {
        if let Some(own) = self.taken.get_mut(&number) {
            own.stage = stage;
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
    fn the_oldest_makes_room_of_those_that_have_asked_nothing_or_do_not_read() {
        let mut places = Places::new(3);
        for name in ["a", "b", "c"] {
            assert!(matches!(places.take(name), Some((_, None))));
        }
        places.on_request(0);
        assert_eq!(places.take("d"), Some((3, Some("b"))));
        assert_eq!(places.take("e"), Some((4, Some("c"))));
        places.on_request(3);
        places.on_request(4);
        places.on_events(3);
        assert_eq!(places.take("f"), Some((5, Some("a"))));
        places.on_request(5);
        assert_eq!(places.take("g"), Some((6, Some("e"))));
        places.on_events(5);
        places.on_events(6);
        assert_eq!(places.take("h"), None, "all of them read events");
        places.leave(5);
        assert_eq!(places.take("h"), Some((7, None)));
        // One that had to go leaves nothing when it ends.
        places.leave(1);
        for number in [3, 6, 7] {
            places.leave(number);
        }
        assert!(places.is_empty());
    }
}
