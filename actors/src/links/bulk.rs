//! The second link of a user, for bulk: clients with large requests or replies go over it, so that
//! the others of their user do not wait behind these.
//!
//! ```text
//!   a large reply begins, or a large request comes ─▶ the link for bulk is opened
//!   a request, nothing of its client is under way ─┬─ it is ready ────────▶ over that from now on
//!                                                  ├─ nothing large lately ▶ back again
//!                                                  └─ else ───────────────▶ as before
//! ```
//!
//! Nobody waits for it: what is not there, or may not be had, is not used.

use std::rc::Rc;

use super::callers::{SessionCaller, session_of};
use super::cell::LinkCell;
use super::hub::{Hub, Links};
use super::pause::TurnTime;
use super::taking::Taking;
use crate::resources::WorkerCell;
use crate::upstream::{BulkUse, Destination, Incarnation, LinkClient};

impl Links {
    /// Notes whose large replies come over a link, and has another one be there for these clients.
    #[inline]
    pub(super) fn note_large(&self, worker: &Rc<WorkerCell>, cell: &LinkCell) {
        let large = cell.link.borrow_mut().take_large();
        if large.is_empty() {
            return;
        }
        let mut hub = self.state.borrow_mut();
        let turn = (worker, &TurnTime::new(worker.shared.clock));
        let is_used = self.seen.get() == Destination::To(cell.incarnation);
        let target = is_used.then_some(cell.incarnation);
        for key in large {
            if hub.callers.of(session_of(key)).is_some() {
                self.begin_bulk(&mut hub, key.session, target, turn);
            }
        }
    }

    /// A client sends something large, or is sent it. The link for bulk is opened for what follows,
    /// at the upstream that requests go to.
    fn begin_bulk(
        &self,
        hub: &mut Hub,
        session: u32,
        target: Option<Incarnation>,
        turn: (&Rc<WorkerCell>, &TurnTime),
    ) {
        let caller = hub.callers.get_mut(session);
        let Some(caller) = caller.filter(|own| !own.is_pinned()) else {
            return;
        };
        caller.bulk.note(turn.1.now());
        if let Some(target) = target.filter(|_| !caller.is_bulk) {
            let client = LinkClient {
                is_bulk: true,
                ..caller.client()
            };
            // It is ready for the next request, mostly.
            let _ = self.find_ready(hub, &client, session, target, turn);
        }
    }
}

impl Taking<'_> {
    /// A client has sent something large.
    #[cold]
    pub(super) fn note_large_request(&mut self, session: u32) {
        let target = match self.destination {
            Destination::To(target) => Some(target),
            Destination::Held | Destination::Nowhere => None,
        };
        let turn = (self.worker, self.time);
        (self.links).begin_bulk(self.hub, session, target, turn);
    }

    /// A client goes over the link for bulk from now on, or over that of all others again, if it
    /// should, that link is ready, and nothing of it is under way on the one that it has: so that
    /// nothing it sends is ahead of what it has sent before.
    pub(super) fn go_by_size(&mut self, session: u32, target: Incarnation) {
        let (links, hub) = (self.links, &mut *self.hub);
        let Some(caller) = hub.callers.get_mut(session) else {
            return;
        };
        let has_more = caller.is_outdated || caller.leaving.is_some() || caller.is_pinned();
        if caller.bulk.is_small() || has_more {
            return;
        }
        let turn = (self.worker, self.time);
        let wants_bulk = (caller.bulk).wants_bulk(links.gateway.bulk, self.time.now());
        let Some(client) = caller.link_by_size(wants_bulk, target) else {
            return;
        };
        let found = links.find_ready(hub, &client, session, target, turn);
        // What takes longest is looked at last: not for each request while that link is not there.
        let caller = found.and_then(|_| hub.callers.get_mut(session));
        if let Some(caller) = caller.filter(|own| own.is_quiet()) {
            caller.set_bulk(wants_bulk);
            let moves = u64::from(wants_bulk);
            hub.counters[target.upstream].bulk_moves.add(moves);
        }
    }
}

impl SessionCaller {
    /// For whom the link is that it is to go over from now on, if that is another one than it has.
    fn link_by_size(&mut self, wants_bulk: bool, target: Incarnation) -> Option<LinkClient> {
        let is_good = |own: &&Rc<LinkCell>| own.incarnation == target && !own.is_retired.get();
        let link = self.link.as_ref().filter(is_good);
        if wants_bulk == self.is_bulk || link.is_none() {
            // If it has none, it gets one in any case.
            if !wants_bulk {
                self.set_bulk(false);
            }
            return None;
        }
        Some(LinkClient {
            is_bulk: wants_bulk,
            ..self.client()
        })
    }

    /// Whether nothing of it is under way on the link that it has.
    fn is_quiet(&self) -> bool {
        let connection = self.connection();
        let link = self.link.as_ref();
        link.is_some_and(|own| !own.link.borrow().has_any_of(connection))
    }

    fn set_bulk(&mut self, is_bulk: bool) {
        self.is_bulk = is_bulk;
        if !is_bulk {
            self.bulk = BulkUse::Small;
        }
    }
}
