//! Requests that wait in the order in which they came, of all connections. What one of them has
//! there is found without a look at the others, who may be many. Pure.
//!
//! ```text
//!   the next to go ─▶ 1  2  3     5  6  7 ◀─ the last of its connection, by its number
//!                        ▲        ▲     │
//!                        └────────┴─────┘ each knows the one before of its connection
//! ```

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// Of how many connections more than have something in a line it may be known that they had.
const GONE_KEEP_MAX: usize = 64;

/// The line of one link. Invariant: neither its first place is empty nor its last one.
#[derive(Debug)]
pub(super) struct WaitingLine<T> {
    places: VecDeque<LinePlace<T>>,
    /// How many places are empty.
    empty: usize,
    /// The number of the last request of each connection, which may have left at the front.
    last: HashMap<u64, u64, BuildHasherDefault<NumberHasher>>,
}

/// The numbers of connections are ours, and not chosen by an enemy: mixing them is enough.
#[derive(Debug, Default, Clone, Copy)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
    #[inline]
    fn finish(&self) -> u64 {
        // A map begins to look by the low bits, in which numbers do not part that are as many apart
        // as there are session threads.
        self.0.rotate_left(32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        // The golden ratio, so that close numbers part in the high bits.
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[derive(Debug)]
struct LinePlace<T> {
    number: u64,
    connection: u64,
    /// The one before of its connection, which may have left at the front; 0 if there was none.
    before: u64,
    /// `None` if it was taken out.
    request: Option<T>,
}

impl<T> Default for WaitingLine<T> {
    fn default() -> Self {
        Self {
            places: VecDeque::new(),
            empty: 0,
            last: HashMap::default(),
        }
    }
}

impl<T> WaitingLine<T> {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.empty
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// One more waits; its number is larger than those of all before.
    pub(super) fn push(&mut self, number: u64, connection: u64, request: T) {
        let before = self.last.insert(connection, number);
        self.places.push_back(LinePlace {
            number,
            connection,
            before: before.unwrap_or(0),
            request: Some(request),
        });
        self.forget_gone();
    }

    /// The number of the next to go.
    #[inline]
    pub(super) fn first(&self) -> Option<u64> {
        self.places.front().map(|own| own.number)
    }

    /// Takes out the next to go.
    pub(super) fn pop(&mut self) -> Option<T> {
        let request = self.places.pop_front()?.request;
        self.trim();
        request
    }

    /// Whether something of a connection waits.
    pub(super) fn has(&self, connection: u64) -> bool {
        let last = self.last.get(&connection);
        last.zip(self.first())
            .is_some_and(|(own, first)| *own >= first)
    }

    /// Where what waits of a connection is, in its order.
    fn places_of(&self, connection: u64) -> Vec<usize> {
        let mut number = self.last.get(&connection).copied().unwrap_or(0);
        let mut found = Vec::new();
        while let Ok(at) = self.places.binary_search_by_key(&number, |own| own.number) {
            found.push(at);
            number = self.places[at].before;
        }
        found.reverse();
        found
    }

    /// What waits of a connection, in its order.
    pub(super) fn of(&self, connection: u64) -> impl Iterator<Item = &T> {
        let places = self.places_of(connection).into_iter();
        places.filter_map(|at| self.places[at].request.as_ref())
    }

    /// Everything that waits, in its order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().filter_map(|own| own.request.as_ref())
    }

    /// Takes out those of a connection that are meant, in their order.
    pub(super) fn take_of(&mut self, connection: u64, is_meant: impl Fn(&T) -> bool) -> Vec<T> {
        let (mut taken, mut last) = (Vec::new(), 0);
        for at in self.places_of(connection) {
            let place = &mut self.places[at];
            match place.request.take_if(|own| is_meant(own)) {
                Some(own) => taken.push(own),
                None => {
                    place.before = last;
                    last = place.number;
                }
            }
        }
        if !taken.is_empty() {
            self.last.insert(connection, last);
            self.empty += taken.len();
            self.trim();
        }
        taken
    }

    /// Takes out those of all connections that are meant, in their order.
    pub(super) fn take_where(&mut self, is_meant: impl Fn(&T) -> bool) -> Vec<T> {
        let (mut taken, before) = (Vec::new(), std::mem::take(self));
        for own in before.places {
            match own.request {
                Some(request) if is_meant(&request) => taken.push(request),
                Some(request) => self.push(own.number, own.connection, request),
                None => {}
            }
        }
        taken
    }

    /// Drops empty places: those at both ends, and all if they are more than the others.
    fn trim(&mut self) {
        if self.empty == 0 {
            // As mostly: nothing was taken out between others.
            return;
        }
        let is_empty = |own: &LinePlace<T>| own.request.is_none();
        while self.places.front().is_some_and(is_empty) {
            self.places.pop_front();
            self.empty -= 1;
        }
        while self.places.back().is_some_and(is_empty) {
            self.places.pop_back();
            self.empty -= 1;
        }
        if self.empty > self.places.len() / 2 {
            self.places.retain(|own| own.request.is_some());
            self.empty = 0;
        }
    }

    /// Forgets connections of which nothing waits, when they are more than all that waits.
    fn forget_gone(&mut self) {
        if self.last.len() <= 2 * self.len() + GONE_KEEP_MAX {
            return;
        }
        let first = self.first().unwrap_or(u64::MAX);
        self.last.retain(|_, own| *own >= first);
        self.last.shrink_to(2 * self.last.len() + GONE_KEEP_MAX);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// A line of numbers.
    type Numbers = WaitingLine<u64>;

    fn push(own: &mut Numbers, connection: u64, number: u64) {
        own.push(number, connection, number);
    }

    #[test]
    fn connections_part_whatever_is_between_their_numbers() {
        for apart in [1, 2, 3, 64, 1000] {
            let low = (0..1000u64).map(|own| {
                let mut hasher = NumberHasher::default();
                hasher.write_u64(own * apart);
                hasher.finish() % 1024
            });
            let places: BTreeSet<_> = low.collect();
            assert!(places.len() > 500, "{} by {apart}", places.len());
        }
    }

    #[test]
    fn connections_of_which_nothing_waits_are_forgotten() {
        let mut own = Numbers::default();
        push(&mut own, 0, 1);
        for number in 2..10_000 {
            push(&mut own, number, number);
            own.pop();
            assert!(own.last.len() <= GONE_KEEP_MAX + 4, "{number}");
        }
        assert!(own.has(9_999) && !own.has(9_998));
    }

    #[test]
    fn places_of_what_was_taken_out_are_no_more_than_the_others() {
        let mut own = Numbers::default();
        for number in 1..10_000 {
            // What one of them has left is behind what another one keeps.
            push(&mut own, u64::from(number % 100 == 0), number);
            if number % 100 == 0 {
                own.take_of(0, |_| true);
            }
            assert!(own.places.len() <= 2 * own.len() + 1, "{number}");
        }
        assert_eq!(own.of(1).count(), 99);
    }

    #[test]
    fn for_what_one_connection_has_nobody_else_is_looked_at() {
        let mut own = Numbers::default();
        for number in 1..10_000 {
            push(&mut own, u64::from(number % 1000 == 7), number);
        }
        let looked = std::cell::Cell::new(0);
        let taken = own.take_of(1, |own| {
            looked.set(looked.get() + 1);
            *own < 5000
        });
        assert_eq!((taken.len(), looked.get()), (5, 10));
    }

    proptest! {
        /// Against a list of what waits.
        #[test]
        fn what_waits_of_a_connection_is_found_and_in_its_order(
            steps in prop::collection::vec((0..6u32, 0..4u64, any::<u8>()), 0..200),
        ) {
            let (mut own, mut model) = (Numbers::default(), Vec::<(u64, u64)>::new());
            for (number, (step, connection, which)) in (1..).zip(steps) {
                let is_meant = |number: &u64| which >> (number % 8) & 1 == 1;
                let of_one = |own: &mut (u64, u64)| own.0 == connection && is_meant(&own.1);
                let numbers = |of: Vec<(u64, u64)>| of.into_iter().map(|own| own.1).collect();
                match step {
                    0 => {
                        let first = (!model.is_empty()).then(|| model.remove(0).1);
                        prop_assert_eq!(own.pop(), first);
                    }
                    1 => {
                        let taken: Vec<u64> = numbers(model.extract_if(.., of_one).collect());
                        prop_assert_eq!(own.take_of(connection, is_meant), taken);
                    }
                    2 if which > 200 => {
                        let of_all = |own: &mut (u64, u64)| is_meant(&own.1);
                        let taken: Vec<u64> = numbers(model.extract_if(.., of_all).collect());
                        prop_assert_eq!(own.take_where(is_meant), taken);
                    }
                    _ => {
                        push(&mut own, connection, number);
                        model.push((connection, number));
                    }
                }
                prop_assert_eq!((own.len(), own.is_empty()), (model.len(), model.is_empty()));
                prop_assert_eq!(own.first(), model.first().map(|own| own.1));
                prop_assert!(own.iter().eq(model.iter().map(|own| &own.1)));
                for connection in 0..4 {
                    let its = model.iter().filter(|own| own.0 == connection);
                    prop_assert_eq!(own.has(connection), its.clone().count() > 0);
                    prop_assert!(own.of(connection).eq(its.map(|own| &own.1)));
                }
            }
        }
    }
}
