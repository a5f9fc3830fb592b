//! What came about in worlds of a gateway, so that a simulation in which little happens is noticed.

use std::collections::BTreeMap;

use crate::limits::CONNECTION_REPLY_BYTES_MAX;
use crate::serving::UpstreamUse;
use crate::simulation::client::Told;
use crate::transitions::TransitionRecord;

/// Of one world, or the sum of several.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct GatewayStats {
    pub(super) worlds: usize,
    /// What clients were told, and how often.
    pub(super) told: BTreeMap<Told, usize>,
    /// The same of COMMITs, ROLLBACKs and logins.
    pub(super) commits: BTreeMap<Told, usize>,
    pub(super) rollbacks: BTreeMap<Told, usize>,
    pub(super) logins: BTreeMap<Told, usize>,
    /// Drains that were done; transactions that these have cut off; and restores.
    pub(super) drains: usize,
    pub(super) drained_transactions: usize,
    pub(super) restores: usize,
    /// The same of what was to be set.
    pub(super) settings: BTreeMap<Told, usize>,
    /// How often new connections were asked for.
    pub(super) reconnects: usize,
    /// How often clients came to go over the links for bulk.
    pub(super) bulk_moves: u64,
    /// SELECTs that replicas have answered.
    pub(super) by_replicas: usize,
    /// Clients that were closed because nobody knows what became of a request.
    pub(super) closed: usize,
    /// Worlds in which each client has connections upstream of its own.
    pub(super) pinned: usize,
    /// Connections that upstreams have lost at a COMMIT or ROLLBACK: before it, and behind it.
    pub(super) lost_at_ends: [usize; 2],
    /// The most bytes of connections at a time.
    pub(super) memory: usize,
    /// Requests that upstreams have refused, and that they have answered.
    pub(super) refused: usize,
    pub(super) replies: usize,
    /// How often requests went elsewhere, or were held.
    pub(super) changes: usize,
    /// How often they left an upstream that took changes, for the leader of a later election.
    pub(super) later_elections: usize,
    /// Writes that upstreams have done.
    pub(super) committed: u64,
    /// The most requests that one upstream had at a time.
    pub(super) busiest: usize,
    /// The history in one number.
    pub(super) fingerprint: u64,
}

impl GatewayStats {
    pub(super) fn add(&mut self, other: &Self) {
        fn add(sum: &mut BTreeMap<Told, usize>, more: &BTreeMap<Told, usize>) {
            for (told, count) in more {
                *sum.entry(*told).or_default() += count;
            }
        }
        self.worlds += other.worlds;
        add(&mut self.told, &other.told);
        add(&mut self.commits, &other.commits);
        add(&mut self.rollbacks, &other.rollbacks);
        add(&mut self.logins, &other.logins);
        add(&mut self.settings, &other.settings);
        self.reconnects += other.reconnects;
        self.bulk_moves += other.bulk_moves;
        self.drains += other.drains;
        self.drained_transactions += other.drained_transactions;
        self.restores += other.restores;
        self.by_replicas += other.by_replicas;
        self.closed += other.closed;
        self.pinned += other.pinned;
        self.lost_at_ends[0] += other.lost_at_ends[0];
        self.lost_at_ends[1] += other.lost_at_ends[1];
        self.memory = self.memory.max(other.memory);
        self.refused += other.refused;
        self.replies += other.replies;
        self.changes += other.changes;
        self.later_elections += other.later_elections;
        self.committed += other.committed;
        self.busiest = self.busiest.max(other.busiest);
        // Worlds come to their ends in any order.
        self.fingerprint ^= other.fingerprint;
    }

    /// The use of an upstream has changed.
    pub(super) fn count_drain(&mut self, wanted: UpstreamUse, record: Option<&TransitionRecord>) {
        match wanted {
            UpstreamUse::Drained => self.drains += 1,
            UpstreamUse::Used => self.restores += 1,
        }
        self.drained_transactions += record.map_or(0, |own| own.aborted_transactions);
    }

    /// Whether everything that is meant to happen did.
    pub(super) fn check_variety(&self) {
        let refused = [7, 32, 78, 97, 116, 279].map(Told::Refused);
        let unknown = [78, 115].map(Told::Unknown);
        for told in [Told::Done].into_iter().chain(refused).chain(unknown) {
            assert!(self.told.contains_key(&told), "nobody is told {told:?}");
        }
        assert!(self.refused > self.worlds && self.replies > self.worlds);
        assert!(self.changes > self.worlds && self.committed > 0);
        for told in [Told::Done, Told::Refused(97), Told::Unknown(115)] {
            assert!(self.commits.contains_key(&told), "no COMMIT: {told:?}");
        }
        for told in [Told::Done, Told::Refused(47)] {
            assert!(self.logins.contains_key(&told), "no login: {told:?}");
        }
        for told in [Told::Done, Told::Refused(116)] {
            assert!(self.settings.contains_key(&told), "no setting: {told:?}");
        }
        assert!(self.reconnects > 0 && self.later_elections > 0);
        assert!(self.bulk_moves > 0);
        assert!(self.by_replicas > 0 && self.closed > 0);
        assert!(self.rollbacks.contains_key(&Told::Done));
        assert!(self.drains > 0 && self.restores > 0 && self.drained_transactions > 0);
        assert!((1..self.worlds).contains(&self.pinned));
        assert!(self.lost_at_ends.iter().all(|own| *own > 0));
        assert!(self.memory > CONNECTION_REPLY_BYTES_MAX, "all clients read");
    }
}
