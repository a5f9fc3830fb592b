//! What the threads of sessions count of their traffic, for those who look from other threads.
//!
//! Each worker has one of its own and is the only one that adds to it, so that an addition is a
//! plain one: a load and a store, and no word that two processors write.

use std::sync::atomic::{AtomicU64, Ordering};

use vestibule_wire::keys::RequestType;

/// Counters by request type: the first is for those without one of their own.
const REQUEST_COUNTERS: usize = 17;

/// How many counters there are.
pub(crate) const COUNTERS: usize = REQUEST_COUNTERS + 5;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counter(usize);

impl Counter {
    /// Requests that are no requests, and those that are not counted by type.
    pub(crate) const OTHER: Self = Self(0);
    /// Bytes that clients have sent.
    pub(crate) const RECEIVED: Self = Self(REQUEST_COUNTERS);
    /// Bytes that were sent to clients.
    pub(crate) const SENT: Self = Self(REQUEST_COUNTERS + 1);
    /// Connections that were taken in.
    pub(crate) const CONNECTIONS: Self = Self(REQUEST_COUNTERS + 2);
    /// Replies that tell an error.
    pub(crate) const ERRORS: Self = Self(REQUEST_COUNTERS + 3);
    /// Streams in which a transaction was begun.
    pub(crate) const STREAMS: Self = Self(REQUEST_COUNTERS + 4);

    /// Requests of the type with this number.
    #[inline]
    pub(crate) fn of_code(code: u64) -> Self {
        if code < REQUEST_COUNTERS as u64 {
            Self(code as usize)
        } else {
            Self::OTHER
        }
    }

    /// Requests of a type.
    pub(crate) fn of(request_type: RequestType) -> Self {
        Self::of_code(request_type as u64)
    }

    /// Counters whose sum is all requests.
    pub(crate) fn requests() -> impl Iterator<Item = Self> {
        (0..REQUEST_COUNTERS).map(Self)
    }
}

/// Since the start of the runtime, and per second in the last few of them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) total: u64,
    /// Thousandths per second.
    pub(crate) rate: u64,
}

impl Counted {
    /// Both of them together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            total: self.total + other.total,
            rate: self.rate + other.rate,
        }
    }
}

/// The counters of one worker. They have cache lines of their own.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct TrafficCounts {
    totals: [AtomicU64; COUNTERS],
    rates: [AtomicU64; COUNTERS],
}

impl TrafficCounts {
    pub(crate) fn new() -> Self {
        let zeros = || std::array::from_fn(|_| AtomicU64::new(0));
        Self {
            totals: zeros(),
            rates: zeros(),
        }
    }

    /// Adds to it. For the thread alone whose counters they are.
    #[inline]
    pub(crate) fn add(&self, counter: Counter, more: u64) {
        let total = &self.totals[counter.0];
        let sum = total.load(Ordering::Relaxed).wrapping_add(more);
        total.store(sum, Ordering::Relaxed);
    }

    /// One more. For the thread alone whose counters they are.
    #[inline]
    pub(crate) fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// All totals, in the order that [`set_rates`](Self::set_rates) takes.
    pub(crate) fn totals(&self) -> [u64; COUNTERS] {
        std::array::from_fn(|at| self.totals[at].load(Ordering::Relaxed))
    }

    /// How many there were per second in the last few, in thousandths.
    pub(crate) fn set_rates(&self, rates: [u64; COUNTERS]) {
        for (own, rate) in self.rates.iter().zip(rates) {
            own.store(rate, Ordering::Relaxed);
        }
    }

    /// What one counter says.
    pub(crate) fn get(&self, counter: Counter) -> Counted {
        Counted {
            total: self.totals[counter.0].load(Ordering::Relaxed),
            rate: self.rates[counter.0].load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_that_monitoring_shows_has_a_counter_of_its_own() {
        let traffic = TrafficCounts::new();
        for request_type in RequestType::ALL {
            traffic.count(Counter::of(*request_type));
        }
        let own = |one: &&RequestType| Counter::of(**one) != Counter::OTHER;
        let counted: Vec<_> = RequestType::ALL.iter().filter(own).collect();
        assert!(counted.contains(&&RequestType::Select));
        assert!(counted.contains(&&RequestType::Rollback));
        for request_type in &counted {
            assert_eq!(traffic.get(Counter::of(**request_type)).total, 1);
        }
        let others = RequestType::ALL.len() - counted.len();
        assert_eq!(traffic.get(Counter::OTHER).total, others as u64);
        let all = Counter::requests().map(|own| traffic.get(own).total);
        assert_eq!(all.sum::<u64>(), RequestType::ALL.len() as u64);
        assert_eq!(Counter::of_code(u64::MAX), Counter::OTHER);
    }

    #[test]
    fn totals_and_rates_are_kept_apart() {
        let traffic = TrafficCounts::new();
        traffic.add(Counter::SENT, 5);
        traffic.add(Counter::SENT, 7);
        traffic.set_rates(traffic.totals().map(|total| total * 100));
        let sent = Counted {
            total: 12,
            rate: 1200,
        };
        assert_eq!(traffic.get(Counter::SENT), sent);
        assert_eq!(traffic.get(Counter::RECEIVED), Counted::default());
        assert_eq!(sent.and(sent).total, 24);
    }
}
