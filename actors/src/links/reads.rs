//! SELECTs that replicas answer: over which link, and what becomes of them when a replica does not.
//!
//! ```text
//!   a SELECT ─▶ a replica with all that its connection has seen ─▶ a link that is there ─▶ sent
//!                 └ none                                            └ none: opened for later
//!                    ▼                                                ▼
//!                 the upstream that takes changes  ◀── an error, no room, the link has ended
//! ```
//!
//! Nothing waits in these links: what cannot be sent at once goes to the upstream that takes
//! changes.

use std::rc::Rc;
use std::time::Instant;

use super::cell::LinkCell;
use super::hub::{Hub, Links};
use super::pause::TurnTime;
use super::refusals::not_there;
use crate::limits::LINKS_PER_UPSTREAM_MAX;
use crate::resources::WorkerCell;
use crate::upstream::{
    ClientStream, Destination, Incarnation, KeptRequest, Kind, LinkClient, ReadPlace, ReadRole,
    ReplicaRead,
};

/// Why links of replicas end that do not serve any more.
const LEFT: &str = "it does not serve any more";

impl Links {
    /// The link to a replica that answers this SELECT, and the replica's own number of its catalog;
    /// `None`: the upstream that takes changes answers it.
    #[cold]
    pub(super) fn link_for_read(
        &self,
        hub: &mut Hub,
        time: &TurnTime,
        destination: Destination,
        (session, read): (u32, ReplicaRead),
    ) -> Option<(Rc<LinkCell>, u64)> {
        let caller = hub.callers.get(session)?;
        let (mut client, key) = (caller.client(), caller.key(session, 0));
        // There is one for each user: what is sent to replicas waits for nothing.
        client.is_bulk = false;
        if client.pinned.is_some() {
            // Its session upstream is its own.
            return None;
        }
        let found = self.find_replica(hub, time, destination, (&client, key, read));
        let place = match &found {
            Some((link, _)) => {
                hub.counters[link.incarnation.upstream].replica_reads.add(1);
                ReadPlace::Replica(link.incarnation)
            }
            None => ReadPlace::Writer,
        };
        hub.clients.set_read_place(key, place);
        found
    }

    fn find_replica(
        &self,
        hub: &mut Hub,
        time: &TurnTime,
        destination: Destination,
        (client, key, read): (&LinkClient, ClientStream, ReplicaRead),
    ) -> Option<(Rc<LinkCell>, u64)> {
        let Destination::To(writer) = destination else {
            return None;
        };
        let set = self.reads.borrow();
        // A newer catalog is told with the reply to what has changed it.
        if set.writer != Some(writer) || set.number != self.gateway.schema_seen() {
            return None;
        }
        let (marks, now) = (hub.clients.marks(key), time.now());
        let staleness_max = self.gateway.config.staleness_max;
        let may_read = |own: &_| marks.may_read(own, read, staleness_max, now);
        let order = |own| marks.order(own, key.connection, set.replicas.len());
        let mut asked = None;
        loop {
            // The first is the last as well, mostly: there is nothing to sort.
            let replicas = set.replicas.iter().enumerate();
            let replicas = replicas.filter(|(_, own)| may_read(own));
            let replicas = replicas.map(|own| (order(own), own.1));
            let left = replicas.filter(|(at, _)| Some(*at) > asked);
            let (at, own) = left.min_by_key(|(at, _)| *at)?;
            asked = Some(at);
            let Some(link) = self.read_link(hub, client, own.incarnation, now) else {
                continue;
            };
            // It leads to the very process that was asked, for that has answered since.
            let is_proven = link.ready_at.get().is_some_and(|at| at < own.proven);
            if is_proven && link.link.borrow().may_send(key, Kind::Other) {
                return Some((link, own.number));
            }
        }
    }

    /// The link to a replica, opened if need be.
    fn read_link(
        &self,
        hub: &mut Hub,
        client: &LinkClient,
        replica: Incarnation,
        now: Instant,
    ) -> Option<Rc<LinkCell>> {
        let key = (replica.upstream, client.clone());
        if let Some(link) = hub.read_links.get(&key) {
            if link.incarnation == replica && !link.is_retired.get() {
                return Some(link.clone());
            }
            link.retire();
        }
        let may_be_had = hub.read_pauses[replica.upstream].is_over(replica.number, now)
            && hub.open[replica.upstream].len() < LINKS_PER_UPSTREAM_MAX;
        if !may_be_had {
            return None;
        }
        let link = self
            .open_link(hub, client, replica, ReadRole::Replica, now)
            .ok()?;
        hub.read_links.insert(key, link.clone());
        Some(link)
    }

    /// What replicas do not answer goes to the upstream that takes changes.
    pub(super) fn on_returned(
        &self,
        worker: &Rc<WorkerCell>,
        cell: &LinkCell,
        returned: Vec<KeptRequest>,
    ) {
        if !returned.is_empty() {
            let error = not_there(worker, "a replica does not answer");
            self.send_again(worker, cell, returned, &error);
            self.settle(worker);
        }
    }

    /// Ends the links to replicas that do not serve any more: what they owe is asked elsewhere.
    pub(super) fn leave_replicas(&self) {
        let hub = self.state.borrow();
        if hub.read_links.is_empty() {
            return;
        }
        let set = self.gateway.reads.load();
        let is_left = |own: &&Rc<LinkCell>| !set.serving.contains(&own.incarnation);
        for cell in hub.read_links.values().filter(is_left) {
            cell.end_now(LEFT);
        }
    }
}
