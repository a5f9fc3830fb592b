//! What came about in worlds of a gateway, so that a simulation in which little happens is noticed.

use std::collections::BTreeMap;

use crate::simulation::client::Told;

/// Of one world, or the sum of several.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct GatewayStats {
    pub(super) worlds: usize,
    /// What clients were told, and how often.
    pub(super) told: BTreeMap<Told, usize>,
    /// Requests that upstreams have refused, and that they have answered.
    pub(super) refused: usize,
    pub(super) replies: usize,
    /// How often requests went elsewhere, or were held.
    pub(super) changes: usize,
    /// Writes that upstreams have done.
    pub(super) committed: u64,
    /// The most requests that one upstream had at a time.
    pub(super) busiest: usize,
    /// The history in one number.
    pub(super) fingerprint: u64,
}

impl GatewayStats {
    pub(super) fn add(&mut self, other: &Self) {
        self.worlds += other.worlds;
        for (told, count) in &other.told {
            *self.told.entry(*told).or_default() += count;
        }
        self.refused += other.refused;
        self.replies += other.replies;
        self.changes += other.changes;
        self.committed += other.committed;
        self.busiest = self.busiest.max(other.busiest);
        // Worlds come to their ends in any order.
        self.fingerprint ^= other.fingerprint;
    }

    /// Whether everything that is meant to happen did.
    pub(super) fn check_variety(&self) {
        let refused = [7, 78, 97, 116, 279].map(Told::Refused);
        let unknown = [78, 115].map(Told::Unknown);
        for told in [Told::Done].into_iter().chain(refused).chain(unknown) {
            assert!(self.told.contains_key(&told), "nobody is told {told:?}");
        }
        assert!(self.refused > self.worlds && self.replies > self.worlds);
        assert!(self.changes > self.worlds && self.committed > 0);
    }
}
