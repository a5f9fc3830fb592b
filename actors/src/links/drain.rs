//! The drain of an upstream, as far as the links of one worker go: what is under way there stays on
//! its links until the deadline, and what is new goes elsewhere. And what else ends links at once.

use std::rc::Rc;

use super::cell::{DRAINED, LinkCell};
use super::hub::{Hub, LinkKey, Links};
use crate::cells::claims::{Claims, RequestId};
use crate::limits::UPSTREAM_USER_FRESH;
use crate::resources::WorkerCell;
use crate::upstream::Destination;

/// Why links end whose upstream is silent for too long.
const SILENT: &str = "it says nothing any more";

/// What is under way at one upstream.
#[derive(Debug, Default)]
pub(crate) struct AtUpstream {
    /// Requests that were sent, and may not be sent again.
    pub(crate) sent: Vec<RequestId>,
    /// Requests that were sent, and may be sent again.
    pub(crate) repeatable: Vec<RequestId>,
    /// Requests that are not sent: parts of what is open.
    pub(crate) unsent: Vec<RequestId>,
    /// Streams in which a transaction may be open.
    pub(crate) transactions: usize,
    /// Transactions whose COMMIT was sent.
    pub(crate) committing: usize,
}

impl Links {
    /// Requests do not go to an upstream any more: what was not sent there is taken back, and what
    /// is left is told.
    pub(crate) fn begin_drain(&self, worker: &Rc<WorkerCell>, upstream: usize) -> AtUpstream {
        let links = self.links_to(upstream);
        for cell in &links {
            cell.retire();
            self.take_back(worker, cell);
        }
        let claims = &worker.shared.counters[worker.index].claims;
        let mut all = AtUpstream::default();
        links.iter().for_each(|own| own.add_to(&mut all, claims));
        all
    }

    /// Whether nothing is under way at an upstream.
    pub(crate) fn is_drained(&self, upstream: usize) -> bool {
        let hub = self.state.borrow();
        let mut links = hub.open[upstream].iter();
        links.all(|own| own.link.borrow().is_idle())
    }

    /// Ends the links to an upstream, whatever is under way there, and tells what that is: it is
    /// answered in a moment.
    pub(crate) fn cut_off(&self, upstream: usize) -> AtUpstream {
        let mut all = AtUpstream::default();
        let Some(worker) = self.worker.upgrade() else {
            return all;
        };
        let claims = &worker.shared.counters[worker.index].claims;
        for cell in self.links_to(upstream) {
            cell.add_to(&mut all, claims);
            cell.end_now(DRAINED);
        }
        all
    }

    /// Ends the links to machines that have vanished, and to upstreams that are silent for long.
    pub(super) fn leave_vanished(&self) {
        let hub = self.state.borrow();
        for cell in hub.open.iter().flatten() {
            let why = if self.gateway.has_vanished(cell.incarnation) {
                "its machine has vanished"
            } else if self.gateway.is_abandoned(cell.incarnation.upstream) {
                SILENT
            } else {
                continue;
            };
            cell.end_now(why);
        }
    }

    /// Nothing new goes over links that are older than the last time that new ones were asked for:
    /// each ends when it has nothing to do.
    pub(super) fn leave_older(&self) {
        let hub = self.state.borrow();
        let reconnects = |own: &LinkCell| self.gateway.reconnects(own.incarnation.upstream);
        let links = hub.open.iter().flatten();
        for cell in links.filter(|own| own.reconnects.get() < reconnects(own)) {
            cell.retire();
        }
    }

    /// The deadline of a demotion: nothing that may change data is sent from now on. What is begun
    /// and still here cannot be taken back, so its link ends.
    pub(crate) fn freeze(&self) {
        let links: Vec<_> = self.state.borrow().open.iter().flatten().cloned().collect();
        for cell in links {
            cell.cut_off_unsent("the server becomes a replica");
        }
    }

    /// Whether what is open on a link may come to its end there, although requests go elsewhere:
    /// over another link, because their client has one of its own by now, or to another upstream.
    pub(super) fn may_finish(&self, cell: &LinkCell) -> bool {
        let is_target = || self.seen.get() == Destination::To(cell.incarnation);
        let stays = self.gateway.is_leaving(cell.incarnation.upstream) || is_target();
        stays && cell.cut_off.get().is_none()
    }

    fn links_to(&self, upstream: usize) -> Vec<Rc<LinkCell>> {
        self.state.borrow().open[upstream].clone()
    }
}

impl LinkCell {
    fn add_to(&self, all: &mut AtUpstream, claims: &Claims) {
        let link = self.link.borrow();
        for own in link.owed_requests().filter(|own| claims.is_started(own.id)) {
            let may_again = own.repeat.may_after_loss();
            let ids = match may_again {
                true => &mut all.repeatable,
                false => &mut all.sent,
            };
            ids.push(own.id);
        }
        all.unsent.extend(link.unsent_requests().map(|own| own.id));
        all.transactions += link.all_open();
        all.committing += link.committing();
    }
}

impl Links {
    /// If the user as whom a link has logged in is not there any more, what is new goes over
    /// another one.
    #[inline]
    pub(super) fn note_gone_user(&self, cell: &LinkCell) {
        if cell.tells_of_gone_user.take() {
            self.replace_for_gone_user(cell);
        }
    }

    #[cold]
    fn replace_for_gone_user(&self, cell: &LinkCell) {
        // One that is a client's alone is its session upstream, which it ends when it likes.
        let Some(worker) = self
            .worker
            .upgrade()
            .filter(|_| cell.client.pinned.is_none())
        else {
            return;
        };
        let now = worker.shared.clock.now();
        let is_old = |at| now.saturating_duration_since(at) >= UPSTREAM_USER_FRESH;
        let mut hub = self.state.borrow_mut();
        if cell.ready_at.get().is_some_and(is_old)
            && !hub.has_retired(cell)
            && hub.gone_users.replace(&cell.key(), now)
        {
            cell.retire();
        }
    }
}

impl Hub {
    /// Whether this link, or another one of its kind, is coming to its end. A transaction may be
    /// open there, which would be lost if its client left one more link behind.
    fn has_retired(&self, cell: &LinkCell) -> bool {
        let mut open = self.open[cell.incarnation.upstream].iter();
        open.any(|own| own.is_retired.get() && own.client == cell.client)
    }
}

impl LinkCell {
    /// What it is for.
    fn key(&self) -> LinkKey {
        (self.incarnation.upstream, self.client.clone())
    }
}
