//! Elections in a simulated replica set: each counts one more, who leads takes changes, and who is
//! cut off and does not hear of the next one goes on taking some.
//!
//! ```text
//!   election 4 ──▶ a leads, b and c have heard     requests go to a
//!   election 5 ──▶ b leads, a has not heard        two take changes: requests go to b
//!   a hears    ──▶ a is read-only
//! ```

use std::time::Instant;

use super::model::KNOWN_AFTER;
use super::world::GatewayWorld;
use crate::simulation::clock;
use crate::upstream::Destination;

/// One of this many that are to hear of an election does not.
const CUT_OFF_ONCE_IN: u64 = 2;

impl GatewayWorld {
    /// The first leader is elected, and everybody hears of it.
    pub(super) fn begin_elections(&mut self) {
        self.elections = Some(1);
        let now = clock::now();
        for (at, upstream) in self.upstreams.iter_mut().enumerate() {
            upstream.hear_of_election(1, at == 0, now);
        }
    }

    /// One is elected, if it runs. Others hear of it or not.
    pub(super) fn elect(&mut self, index: usize) {
        if !self.upstreams[index].is_running() {
            return;
        }
        let last = self.elections.expect("there are elections") + 1;
        self.elections = Some(last);
        (self.fates.ledger).note(|| format!("election {last}: {index} leads"));
        let now = clock::now();
        for (at, upstream) in self.upstreams.iter_mut().enumerate() {
            let is_cut_off = at != index && self.random.once_in(CUT_OFF_ONCE_IN);
            if upstream.is_running() && !is_cut_off {
                upstream.hear_of_election(last, at == index, now);
            }
        }
    }

    /// One that was cut off, if it was, hears of the last election.
    pub(super) fn catch_up(&mut self, index: usize) {
        let upstream = &mut self.upstreams[index];
        if upstream.is_running() && upstream.election() < self.elections {
            let last = self.elections.expect("there are elections");
            upstream.hear_of_election(last, false, clock::now());
        }
    }

    /// One that is asked first, and has not heard of the last election, takes changes beside its
    /// leader.
    pub(super) fn keep_a_former_leader(&mut self) {
        let last = self.elections;
        let former = (self.upstreams.iter_mut()).find(|own| own.election() < last);
        if let Some(former) = former {
            former.set_writable(true, clock::now());
        }
    }

    /// Whether one of those to which requests were to go leads a later election than this one knows
    /// of.
    pub(super) fn is_led_later(&self, set: &[Destination], than: usize) -> bool {
        let election = |own: usize| self.upstreams[own].election();
        set.iter().any(|own| match own {
            Destination::To(to) => election(to.upstream) > election(than),
            Destination::Held | Destination::Nowhere => false,
        })
    }

    /// Whether one takes changes, and has for so long that its scout knows.
    pub(super) fn is_seen_to_be_writable(&self, index: usize, now: Instant) -> bool {
        let report = self.gateway.sight.upstreams()[index].report();
        self.upstreams[index].is_known_to_be_writable(now)
            && report.since + KNOWN_AFTER <= now
            && report.condition.is_writable()
    }

    /// Requests do not go to who knows of an earlier election than another one that takes changes,
    /// and has for so long that its scout knows both.
    pub(super) fn check_leader(&mut self) {
        let now = clock::now();
        let Some(target) = self.fates.target() else {
            return;
        };
        let election = self.upstreams[target].election();
        let is_passed_over = |own: &usize| {
            self.upstreams[*own].election() > election && self.is_seen_to_be_writable(*own, now)
        };
        if let Some(leader) = (0..self.upstreams.len()).find(is_passed_over) {
            let fault = format!("requests go to {target}, and {leader} leads a later election");
            self.fates.ledger.fault(fault);
        }
    }
}
