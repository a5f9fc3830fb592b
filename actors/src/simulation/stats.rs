//! What came about in worlds, so that a simulation in which little happens is noticed.

use std::collections::BTreeMap;

use super::chunks::Chunked;
use super::client::Told;

/// Of one world, or the sum of several.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stats {
    /// Transitions that were carried out.
    pub(super) transitions: usize,
    /// What callers of transitions were told.
    pub(super) answers: BTreeMap<&'static str, usize>,
    /// What clients were told, and how often.
    pub(super) told: BTreeMap<Told, usize>,
    /// The same of COMMITs.
    pub(super) commits: BTreeMap<Told, usize>,
    /// Where Tx stood still.
    pub(super) parked: BTreeMap<&'static str, usize>,
    /// Times that Tx recovered after a death.
    pub(super) deaths: u64,
    /// Writes in the journal.
    pub(super) committed: u64,
    /// Transactions that deadlines aborted, and requests that came after the beginning and were cut
    /// off.
    pub(super) aborted: usize,
    pub(super) joined: usize,
    /// Clients that had closed their half and were answered to the end.
    pub(super) half_closed: usize,
    /// Replies in chunks that became whole, replies that were not taken, and requests that were
    /// given up while they were sent.
    pub(super) chunked: usize,
    pub(super) stopped: usize,
    pub(super) given_up: usize,
    /// The history in one number.
    pub(super) fingerprint: u64,
}

impl Stats {
    pub(super) fn add(&mut self, other: &Self) {
        fn add<K: Copy + Ord>(sum: &mut BTreeMap<K, usize>, more: &BTreeMap<K, usize>) {
            for (key, count) in more {
                *sum.entry(*key).or_default() += count;
            }
        }
        self.transitions += other.transitions;
        add(&mut self.answers, &other.answers);
        add(&mut self.told, &other.told);
        add(&mut self.commits, &other.commits);
        add(&mut self.parked, &other.parked);
        self.deaths += other.deaths;
        self.committed += other.committed;
        self.half_closed += other.half_closed;
        self.chunked += other.chunked;
        self.stopped += other.stopped;
        self.given_up += other.given_up;
        self.aborted += other.aborted;
        self.joined += other.joined;
        // Worlds come to their ends in any order.
        self.fingerprint ^= other.fingerprint;
    }

    /// What a client that is gone had of chunks.
    pub(super) fn count_chunks(&mut self, chunked: &Chunked) {
        self.chunked += chunked.replies;
        self.stopped += chunked.stopped;
        self.given_up += chunked.given_up;
    }

    /// Whether everything that is meant to happen did.
    pub(super) fn check_variety(&self) {
        for answer in ["done", "unchanged", "superseded", "timed out"] {
            assert!(
                self.answers.contains_key(answer),
                "no caller is told {answer}"
            );
        }
        let refused = [7, 32, 40, 78, 116, 231, 279].map(Told::Refused);
        let unknown = [32, 78, 115, 279].map(Told::Unknown);
        for told in [Told::Done].into_iter().chain(refused).chain(unknown) {
            assert!(self.told.contains_key(&told), "nobody is told {told:?}");
        }
        for told in [Told::Done, Told::Refused(7), Told::Unknown(115)] {
            assert!(
                self.commits.contains_key(&told),
                "no COMMIT is told {told:?}"
            );
        }
        for halt in ["recovery", "request", "commit", "close"] {
            assert!(
                self.parked.contains_key(halt),
                "Tx never stands at a {halt}"
            );
        }
        assert!(self.aborted > 0 && self.joined > 0);
        assert!(self.deaths > 0 && self.committed > 0 && self.half_closed > 0);
        assert!(self.chunked > 0 && self.stopped > 0 && self.given_up > 0);
    }
}
