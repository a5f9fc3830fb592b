//! A worker's part in the drain of an upstream: what is under way there is waited for, and cut off
//! at the deadline.
//!
//! ```text
//!   Quiesce ─▶ new requests go elsewhere; what was sent and open transactions stay on their links
//!   CutOff ──▶ those links end:  sent ─▶ outcome unknown, or elsewhere if that does no harm
//!                                open ─▶ aborted          not sent ─▶ taken back
//! ```

use super::actor::Worker;
use crate::admission::Class;
use crate::links::AtUpstream;
use crate::transitions::{CutOffCounts, WaitedFor};

impl Worker {
    /// Marks what is under way at an upstream, and counts it.
    pub(super) fn begin_to_drain(&self, upstream: usize) -> WaitedFor {
        let mut waiting = WaitedFor::default();
        let Some(links) = &self.links else {
            return waiting;
        };
        let AtUpstream {
            sent,
            unsent,
            repeatable,
            transactions,
            committing,
        } = links.begin_drain(&self.cell, upstream);
        let in_flight = &mut self.cell.state.borrow_mut().in_flight;
        let all: Vec<_> = [sent, unsent, repeatable].concat();
        in_flight.wait_for_these(&all);
        let requests = in_flight.iter().map(|(_, request)| request);
        for request in requests.filter(|own| own.is_waited_for) {
            waiting.requests.add(request.class);
        }
        waiting.transactions = transactions + committing;
        waiting
    }

    /// Whether nothing is under way at an upstream any more.
    pub(super) fn is_drained(&self, upstream: usize) -> bool {
        let links = self.links.as_ref();
        links.is_none_or(|own| own.is_drained(upstream))
    }

    /// The deadline of a drain: the links to the upstream end, and with them what is under way.
    pub(super) fn cut_off_upstream(&self, upstream: usize) -> CutOffCounts {
        let mut counts = CutOffCounts::default();
        let Some(links) = &self.links else {
            return counts;
        };
        let cut = links.cut_off(upstream);
        let in_flight = &self.cell.state.borrow().in_flight;
        let sent = cut.sent.iter().map(|id| (id, true));
        for (id, was_sent) in sent.chain(cut.unsent.iter().map(|id| (id, false))) {
            let Some(request) = in_flight.get(*id) else {
                continue;
            };
            // Of one that only reads nobody can tell the difference.
            let requests = match was_sent && request.class != Class::Read {
                true => &mut counts.killed,
                false => &mut counts.revoked,
            };
            requests.add(request.class);
            counts.joins(request.class, request.is_waited_for);
        }
        counts.transactions = cut.transactions;
        counts.unknown_transactions = cut.committing;
        counts
    }
}
