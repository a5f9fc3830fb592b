//! How the link of a user is found, or opened where there is room for one more.

use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

use super::callers::SessionCaller;
use super::cell::LinkCell;
use super::hub::{Hub, Links};
use super::pause::TurnTime;
use super::refusals::NoLink;
use super::task::live;
use crate::engine::catalog::GUEST;
use crate::limits::{LINKS_BEFORE_BULK_MAX, LINKS_PER_PINNED_MAX, LINKS_PER_UPSTREAM_MAX};
use crate::resources::WorkerCell;
use crate::upstream::{Incarnation, LinkClient, LinkUser, ReadRole, UpstreamLink, UserCredits};

impl Links {
    /// The link of a user, for a request of this session. Where the one for bulk is not there, it
    /// is the other one.
    #[cold]
    pub(super) fn find_link(
        &self,
        hub: &mut Hub,
        client: &LinkClient,
        session: u32,
        target: Incarnation,
        turn: (&Rc<WorkerCell>, &TurnTime),
    ) -> Result<Rc<LinkCell>, NoLink> {
        if !client.is_bulk {
            return self.find_link_of(hub, client, session, target, turn);
        }
        match self.find_ready(hub, client, session, target, turn) {
            Some(link) => Ok(link),
            None => {
                let mut client = client.clone();
                client.is_bulk = false;
                self.find_link_of(hub, &client, session, target, turn)
            }
        }
    }

    /// The link for this client if it is ready to be used; if not, it is for later ones.
    pub(super) fn find_ready(
        &self,
        hub: &mut Hub,
        client: &LinkClient,
        session: u32,
        target: Incarnation,
        turn: (&Rc<WorkerCell>, &TurnTime),
    ) -> Option<Rc<LinkCell>> {
        let found = self.find_link_of(hub, client, session, target, turn);
        found.ok().filter(|own| own.link.borrow().is_ready())
    }

    /// The link for this client, opened if need be.
    fn find_link_of(
        &self,
        hub: &mut Hub,
        client: &LinkClient,
        session: u32,
        target: Incarnation,
        (worker, time): (&Rc<WorkerCell>, &TurnTime),
    ) -> Result<Rc<LinkCell>, NoLink> {
        let key = (target.upstream, client.clone());
        if let Some(link) = hub.links.get(&key) {
            if link.incarnation == target && !link.is_retired.get() {
                return Ok(link.clone());
            }
            // What it has goes on; nothing new goes over it.
            link.retire();
        }
        if *client.user != *GUEST && self.gateway.key(&client.user).is_none() {
            return Err(NoLink::Forgotten(client.user.clone()));
        }
        let now = time.now();
        let pauses = match client.is_bulk {
            true => &hub.bulk_pauses,
            false => &hub.pauses,
        };
        let may_be_had = pauses[target.upstream].is_over(target.number, now)
            && hub.may_set_again(client, session, target, now)
            && hub.has_share(target.upstream, client, session)
            && hub.make_room_for(target.upstream, client);
        if !may_be_had {
            return Err(NoLink::Paused);
        }
        let reads = match self.gateway.config.reads_replicas() {
            true => ReadRole::Writer,
            false => ReadRole::None,
        };
        let cell = self.open_link(hub, client, target, reads, now)?;
        hub.links.insert(key, cell.clone());
        if client.pinned.is_some() {
            let claims = &worker.shared.counters[worker.index].claims;
            hub.begin_pinned(&cell, session, claims);
        }
        Ok(cell)
    }

    /// One more link of a user.
    pub(super) fn open_link(
        &self,
        hub: &mut Hub,
        client: &LinkClient,
        target: Incarnation,
        reads: ReadRole,
        now: Instant,
    ) -> Result<Rc<LinkCell>, NoLink> {
        let user = &client.user;
        let key = match **user == *GUEST {
            true => None,
            false => {
                let key = self.gateway.key(user);
                Some(key.ok_or_else(|| NoLink::Forgotten(user.clone()))?)
            }
        };
        let link_user = LinkUser {
            name: user.clone(),
            key,
            format: client.format,
        };
        let credits = hub.credits_of(target.upstream, user);
        let link = UpstreamLink::new(link_user.clone(), credits, hub.clients.clone(), now);
        // Who reads from a replica, or has the link alone, keeps nobody from another one.
        let bulk_bytes_min = match reads == ReadRole::Replica || client.pinned.is_some() {
            true => usize::MAX,
            false => self.gateway.bulk.bytes_min,
        };
        let link = link.with_reads(reads).with_bulk(bulk_bytes_min);
        let link = link.with_statements(hub.statements.clone());
        let cell = Rc::new(LinkCell::new(target, link_user, client.clone(), link, now));
        let reconnects = self.gateway.reconnects(target.upstream);
        cell.reconnects.set(reconnects);
        hub.open[target.upstream].push(cell.clone());
        hub.count_links(target.upstream);
        hub.counters[target.upstream].opened.add(1);
        if let Some(own) = self.me.upgrade() {
            actix_rt::spawn(live(own, cell.clone()));
        }
        Ok(cell)
    }
}

impl Hub {
    /// The credits at an upstream as a user has them.
    fn credits_of(&mut self, upstream: usize, user: &Arc<str>) -> Rc<UserCredits> {
        let key = (upstream, user.clone());
        if let Some(own) = self.of_users.get(&key).and_then(Weak::upgrade) {
            return own;
        }
        self.of_users.retain(|_, own| own.strong_count() > 0);
        let own = Rc::new(UserCredits::of(self.credits[upstream].clone()));
        self.of_users.insert(key, Rc::downgrade(&own));
        own
    }

    /// Whether this client may have one more link to an upstream, if its links are its own. Those
    /// that it has as another user than now, or for other values, come to their ends for that: some
    /// were opened for what was held, and nothing else would close them while it stays.
    fn has_share(&self, upstream: usize, client: &LinkClient, session: u32) -> bool {
        if client.pinned.is_none() {
            return true;
        }
        let open = self.open[upstream].iter();
        let its = open.filter(|own| own.client.pinned == client.pinned);
        if its.clone().count() < LINKS_PER_PINNED_MAX {
            return self.has_place(upstream, client, session);
        }
        let now = self.callers.get(session).map(SessionCaller::client);
        let outdated = its.filter(|own| now.as_ref() != Some(&own.client));
        outdated.for_each(|own| own.retire());
        false
    }

    /// Whether there may be one more link to an upstream, for this client. What is only for bulk
    /// takes no place that others may need.
    fn make_room_for(&mut self, upstream: usize, client: &LinkClient) -> bool {
        match client.is_bulk {
            true => self.open[upstream].len() < LINKS_BEFORE_BULK_MAX,
            false => self.make_room(upstream),
        }
    }

    /// Whether there may be one more link to an upstream; the one that was used longest ago is
    /// closed for it, of those that nobody uses.
    fn make_room(&mut self, upstream: usize) -> bool {
        if self.open[upstream].len() < LINKS_PER_UPSTREAM_MAX {
            return true;
        }
        let idle_since = |own: &LinkCell| own.link.borrow().idle_since();
        // What clients have of their own, their sessions upstream, is not taken from them.
        let is_shared = |own: &LinkClient| own.pinned.is_none();
        let links = self.all_links().into_iter().flat_map(|own| own.iter());
        let links = links.filter(|((own, client), _)| *own == upstream && is_shared(client));
        // One that has been closed for somebody else already makes no room twice.
        let links = links.filter(|(_, own)| !own.is_retired.get());
        let idle = links.filter_map(|(_, own)| Some((idle_since(own)?, own)));
        let oldest = idle.min_by_key(|(since, _)| *since);
        let Some((_, link)) = oldest else {
            return false;
        };
        link.retire();
        // Its descriptor is free in a moment: there is one to spare.
        true
    }
}
