//! What Tx counts, for those who look from other threads: also while it is in a turn that does not
//! end.
//!
//! ```text
//!   busy:   between turns  the sum of all turns
//!           in a turn      IN_TURN + (when it began - that sum): what is added is seen as it goes
//! ```
//!
//! One word says both, so that what is read never falls. Only one Tx lives at a time, and one that
//! died in a turn has it ended.

use std::time::Duration;

use serde::Serialize;

use crate::counting::counter::OwnCounter;
use crate::counting::durations::{DurationCounts, DurationHistogram};

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TransactionEnd {
    /// The transaction is committed.
    Committed,
    /// Rolled back by its client, by a refusal of the engine, or with a turn that was not written.
    RolledBack,
    /// Another transaction committed first.
    Conflict,
    /// The time of the transaction was over.
    Timeout,
    /// A demotion or a stop came first.
    Transition,
    /// An operator or the embedder has killed a request of it.
    Killed,
    /// The connection was gone.
    Disconnected,
    /// Tx has died.
    TxDeath,
}

impl TransactionEnd {
    /// Every one.
    pub const ALL: [Self; 8] = [
        Self::Committed,
        Self::RolledBack,
        Self::Conflict,
        Self::Timeout,
        Self::Transition,
        Self::Killed,
        Self::Disconnected,
        Self::TxDeath,
    ];

    /// As it is serialized.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::RolledBack => "rolled_back",
            Self::Conflict => "conflict",
            Self::Timeout => "timeout",
            Self::Transition => "transition",
            Self::Killed => "killed",
            Self::Disconnected => "disconnected",
            Self::TxDeath => "tx_death",
        }
    }
}

/// The bit of `busy` that says that there is a turn.
const IN_TURN: u64 = 1 << 63;

/// The counts of Tx. They have cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct TxCounts {
    busy: OwnCounter,
    began_ns: OwnCounter,
    turns: DurationCounts,
    longest: Longest,
    ends: [OwnCounter; TransactionEnd::ALL.len()],
}

/// The longest turns of a second and of the one before.
#[derive(Debug, Default)]
struct Longest {
    second: OwnCounter,
    now_ns: OwnCounter,
    before_ns: OwnCounter,
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX) & !IN_TURN
}

impl TxCounts {
    /// A turn begins, so long after the start of the runtime.
    #[inline]
    pub(crate) fn begin_turn(&self, at: Duration) {
        let at = nanos(at);
        self.began_ns.set(at);
        // It has not been busy for longer than there was time.
        self.busy.set(IN_TURN | at.saturating_sub(self.busy.get()));
    }

    /// The turn ends, if there is one. `at` is not before its beginning.
    #[inline]
    pub(crate) fn end_turn(&self, at: Duration) {
        let busy = self.busy.get();
        if busy & IN_TURN == 0 {
            return;
        }
        let at = nanos(at);
        self.busy.set(at.saturating_sub(busy & !IN_TURN));
        let took = at.saturating_sub(self.began_ns.get());
        self.turns.add(Duration::from_nanos(took));
        self.longest.note(at, took);
    }

    /// A transaction has ended, or some have.
    pub(crate) fn ended(&self, how: TransactionEnd, count: usize) {
        self.ends[how as usize].add(count as u64);
    }

    /// How many transactions have ended so.
    pub(crate) fn ends(&self, how: TransactionEnd) -> u64 {
        self.ends[how as usize].get()
    }

    /// How long all turns together took, the one that is under way included.
    pub(crate) fn busy(&self, now: Duration) -> Duration {
        let busy = self.busy.get();
        let busy_ns = match busy & IN_TURN {
            0 => busy,
            _ => nanos(now).saturating_sub(busy & !IN_TURN),
        };
        Duration::from_nanos(busy_ns)
    }

    /// How long turns took that have ended.
    pub(crate) fn turns(&self) -> DurationHistogram {
        self.turns.histogram()
    }

    /// How long the turn under way has taken, if there is one.
    pub(crate) fn under_way(&self, now: Duration) -> Option<Duration> {
        let is_in_turn = self.busy.get() & IN_TURN != 0;
        let took = nanos(now).saturating_sub(self.began_ns.get());
        is_in_turn.then(|| Duration::from_nanos(took))
    }

    /// The longest turn that ended within about the last second, or the one under way, if that is
    /// longer by now.
    pub(crate) fn longest(&self, now: Duration) -> Duration {
        let ended = Duration::from_nanos(self.longest.at(nanos(now)));
        ended.max(self.under_way(now).unwrap_or_default())
    }
}

impl Longest {
    #[inline]
    fn note(&self, now: u64, took: u64) {
        let second = now / 1_000_000_000;
        let last = self.second.get();
        if second == last {
            self.now_ns.set(took.max(self.now_ns.get()));
            return;
        }
        let before = match second == last + 1 {
            true => self.now_ns.get(),
            false => 0,
        };
        self.before_ns.set(before);
        self.now_ns.set(took);
        self.second.set(second);
    }

    fn at(&self, now: u64) -> u64 {
        let second = now / 1_000_000_000;
        match second.saturating_sub(self.second.get()) {
            0 => self.now_ns.get().max(self.before_ns.get()),
            1 => self.now_ns.get(),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    #[test]
    fn the_turn_under_way_counts_as_it_goes_and_nothing_is_counted_twice() {
        let tx = TxCounts::default();
        assert_eq!(tx.busy(ms(50)), ms(0));
        tx.begin_turn(ms(100));
        assert_eq!((tx.busy(ms(100)), tx.busy(ms(5100))), (ms(0), ms(5000)));
        assert_eq!(tx.longest(ms(5100)), ms(5000));
        assert_eq!(tx.under_way(ms(5100)), Some(ms(5000)));
        tx.end_turn(ms(5200));
        assert_eq!((tx.busy(ms(5200)), tx.busy(ms(9000))), (ms(5100), ms(5100)));
        tx.begin_turn(ms(9000));
        assert_eq!(tx.busy(ms(9001)), ms(5101));
        tx.end_turn(ms(9010));
        assert_eq!(tx.under_way(ms(9010)), None);
        // One that has ended does not end again.
        tx.end_turn(ms(9999));
        assert_eq!(tx.busy(ms(9999)), ms(5110));
        let turns = tx.turns();
        assert_eq!((turns.count(), turns.sum), (2, ms(5110)));
    }

    #[test]
    fn the_longest_turn_is_that_of_the_last_second() {
        let tx = TxCounts::default();
        let turn = |began: u64, ended: u64| {
            tx.begin_turn(ms(began));
            tx.end_turn(ms(ended));
        };
        turn(100, 130);
        turn(200, 210);
        assert_eq!(tx.longest(ms(900)), ms(30));
        assert_eq!(tx.longest(ms(1900)), ms(30));
        assert_eq!(tx.longest(ms(2100)), ms(0));
        turn(1500, 1502);
        assert_eq!(tx.longest(ms(1600)), ms(30));
        turn(5000, 5005);
        assert_eq!(tx.longest(ms(5900)), ms(5));
    }
}
