//! What operators see of the links of a worker.

use std::time::Instant;

use super::cell::LinkCell;
use super::hub::Links;
use crate::monitoring::{LinkInfo, LinkState};

impl Links {
    /// Drops what waits in links and nobody waits for any more, if there may be something: it
    /// would be shown, and kept, until its turn comes.
    pub(crate) fn drop_unwanted(&self) {
        let Some(worker) = self.worker.upgrade() else {
            return;
        };
        let taken_back = worker.state.borrow().in_flight.taken_back();
        if self.taken_back.replace(taken_back) == taken_back {
            return;
        }
        let claims = &worker.shared.counters[worker.index].claims;
        for cell in self.state.borrow().open.iter().flatten() {
            if cell.link.borrow_mut().drop_unwanted(claims) {
                // It may have nothing to do by now.
                cell.wake();
            }
        }
    }

    /// All that there are, at most `limit`, with those that are only coming to their ends.
    pub(crate) fn rows(&self, now: Instant, limit: usize) -> Vec<LinkInfo> {
        let thread = self.worker.upgrade().map_or(0, |own| own.index);
        let row = |cell: &LinkCell| {
            let link = cell.link.borrow();
            LinkInfo {
                upstream: self
                    .gateway
                    .upstream(cell.incarnation.upstream)
                    .name
                    .clone(),
                user: cell.user.name.to_string(),
                features: cell.user.format.codes().collect(),
                thread,
                is_bulk: cell.client.is_bulk,
                state: match link.is_logged_in() {
                    _ if cell.is_retired.get() => LinkState::Ending,
                    true => LinkState::Ready,
                    false => LinkState::Connecting,
                },
                in_flight: link.owed(),
                queued: link.waiting(),
                transactions: link.all_open(),
                statements: link.statements().len(),
                unsent_bytes: link.unsent_bytes(),
                age: now.saturating_duration_since(cell.since),
            }
        };
        let hub = self.state.borrow();
        let all = hub.open.iter().flatten();
        all.take(limit).map(|own| row(own)).collect()
    }
}
