//! How a client goes from one link to another: because requests go to another upstream, because
//! new connections were asked for, or because the client has links of its own from now on.
//!
//! ```text
//!                    ┌ in a stream that goes on there ────────────────▶ the link before
//!   what waits there ┴ all else ─┐                                       │ has bytes to write?
//!   the next request ────────────┴─▶ the new link: held until they are ◀─┘ written
//! ```
//!
//! So an upstream that stays the same is sent what a client has sent in that order, although it is
//! sent over two connections.

use std::rc::Rc;

use super::callers::{Leaving, SessionCaller, Unwritten};
use super::cell::LinkCell;
use super::hub::{Hub, Links};
use crate::cells::claims::Claims;
use crate::messages::tx::AbortedTransaction;
use crate::upstream::{
    BulkUse, ClientStream, Destination, ForwardBody, KeptRequest, StreamsKept, StreamsLeft,
};

impl Links {
    /// Requests of a caller go over this link from now on, behind what it has sent before and is
    /// not sent from there.
    pub(super) fn enter(
        &self,
        hub: &mut Hub,
        session: u32,
        link: &Rc<LinkCell>,
        claims: &Claims,
        aborted: &mut Vec<AbortedTransaction>,
    ) {
        let Some(caller) = hub.callers.get_mut(session) else {
            return;
        };
        if !caller
            .link
            .as_ref()
            .is_some_and(|own| Rc::ptr_eq(own, link))
        {
            let (key, number) = (caller.key(session, 0), link.link.borrow().number());
            hub.clients.note_move(key, number, hub.last);
        }
        let mut unsent = caller.move_to(self, link, claims, aborted);
        unsent.sort_by_key(|own| own.forward.number);
        for own in unsent {
            let KeptRequest { forward, body, .. } = own;
            if forward.is_of_catalog {
                link.note_catalog(forward.id, &body);
            }
            self.submit_as(hub, link, forward, ForwardBody::Own(body), claims);
        }
    }
}

/// Whether two links are of one user at one upstream.
fn are_alike(one: &LinkCell, other: &LinkCell) -> bool {
    one.incarnation == other.incarnation && one.client.user == other.client.user
}

impl SessionCaller {
    /// Has nothing to do with its links any more: what is open there is rolled back, and so is what
    /// would be behind what waits. Tells of what was aborted by that.
    pub(super) fn leave(
        &mut self,
        why: Leaving,
        claims: &Claims,
        aborted: &mut Vec<AbortedTransaction>,
    ) {
        for link in [self.link.take(), self.leaving.take()] {
            self.leave_link(link, why, claims, aborted);
        }
    }

    /// Replies are written otherwise from now on: what is open is rolled back, and what waits goes
    /// over the next link.
    pub(super) fn leave_for_format(
        &mut self,
        claims: &Claims,
        aborted: &mut Vec<AbortedTransaction>,
    ) {
        self.is_outdated = true;
        for link in [self.link.clone(), self.leaving.clone()] {
            let left = (Leaving::Format, StreamsLeft::Open);
            self.leave_streams(link, left, claims, aborted);
        }
    }

    fn leave_link(
        &mut self,
        link: Option<Rc<LinkCell>>,
        why: Leaving,
        claims: &Claims,
        aborted: &mut Vec<AbortedTransaction>,
    ) {
        self.leave_streams(link, (why, StreamsLeft::All), claims, aborted);
    }

    fn leave_streams(
        &mut self,
        link: Option<Rc<LinkCell>>,
        (why, which): (Leaving, StreamsLeft),
        claims: &Claims,
        aborted: &mut Vec<AbortedTransaction>,
    ) {
        let Some(link) = link else {
            return;
        };
        if link.client.pinned.is_some() {
            // Nobody else has its session.
            link.retire();
        }
        if !self.uses_streams {
            return;
        }
        let connection = self.connection();
        let lost = link.link.borrow_mut().leave(connection, which, claims);
        link.wake();
        if why != Leaving::Gone {
            for own in lost {
                self.lose(own, why.error(), aborted);
            }
        }
    }

    /// Requests go over this link from now on. Returns what others have not sent, and is to be sent
    /// over this one first.
    fn move_to(
        &mut self,
        links: &Links,
        link: &Rc<LinkCell>,
        claims: &Claims,
        aborted: &mut Vec<AbortedTransaction>,
    ) -> Vec<KeptRequest> {
        self.is_outdated = false;
        self.is_bulk = link.client.is_bulk;
        if link.client.pinned.is_some() {
            // Nobody else waits behind it any more.
            self.bulk = BulkUse::Small;
        }
        if self.link.as_ref().is_some_and(|own| Rc::ptr_eq(own, link)) {
            return self.take_from_leaving(links, link);
        }
        let (before, older) = (self.link.replace(link.clone()), self.leaving.take());
        self.behind.retain(|own| own.is_left_of(link));
        let mut unsent = Vec::new();
        // A link is left by one connection for one other at a time: what was open on the older one
        // is lost.
        for own in [before, older] {
            unsent.extend(self.leave_behind(links, own, link, claims, aborted));
        }
        self.follow_on(link);
        unsent
    }

    /// Sends nothing over a link before others have written what comes before that.
    fn follow_on(&self, link: &Rc<LinkCell>) {
        let connection = self.connection();
        (self.behind.iter()).for_each(|own| own.be_followed(connection, link));
    }

    /// Goes on over a link from now on, and over this one no more, but for what comes to its end
    /// there. Returns what that has not sent.
    fn leave_behind(
        &mut self,
        links: &Links,
        own: Option<Rc<LinkCell>>,
        link: &LinkCell,
        claims: &Claims,
        aborted: &mut Vec<AbortedTransaction>,
    ) -> Vec<KeptRequest> {
        // Nothing is left where it goes on: one that was left before may be the next one again.
        let Some(own) = own.filter(|own| !std::ptr::eq(&raw const **own, link)) else {
            return Vec::new();
        };
        let may_stay = self.leaving.is_none() && self.may_go_on(links, &own);
        let kept = match may_stay {
            true => self.kept_on(&own, links.seen.get()),
            false => StreamsKept::Open,
        };
        let unsent = match are_alike(&own, link) {
            true => self.take_from(&own, kept),
            false => Vec::new(),
        };
        if may_stay && self.has_left_on(&own, links.seen.get()) {
            self.looked = own.link.borrow().ended_of(self.connection());
            self.leaving = Some(own);
        } else {
            let why = match own.client.format == self.format {
                true => Leaving::Target,
                false => Leaving::Format,
            };
            self.leave_link(Some(own), why, claims, aborted);
        }
        unsent
    }

    /// What waits on the link before in streams that do not go on there any more.
    fn take_from_leaving(&mut self, links: &Links, link: &Rc<LinkCell>) -> Vec<KeptRequest> {
        let Some(own) = self.leaving.clone().filter(|own| are_alike(own, link)) else {
            return Vec::new();
        };
        let ended = own.link.borrow().ended_of(self.connection());
        if ended.is_some() && ended == self.looked {
            // As with most requests that come while something waits there.
            return Vec::new();
        }
        self.looked = ended;
        let unsent = self.take_from(&own, self.kept_on(&own, links.seen.get()));
        if !unsent.is_empty() {
            self.behind.retain(|own| own.is_left_of(link));
            self.follow_on(link);
        }
        unsent
    }

    /// Takes what a link has not sent, but for what is in these streams. What it has begun is to be
    /// written before.
    fn take_from(&mut self, own: &Rc<LinkCell>, kept: StreamsKept) -> Vec<KeptRequest> {
        let connection = self.connection();
        let unsent = own.link.borrow_mut().take_back_of(connection, kept);
        if !unsent.is_empty() {
            // What stays may have waited for that alone, and nobody else has it looked at.
            own.wake();
        }
        if let Some(until) = own.link.borrow().unwritten_of(connection) {
            let link = Rc::downgrade(own);
            self.behind.retain(|own| !own.link.ptr_eq(&link));
            self.behind.push(Unwritten { link, until });
        }
        unsent
    }

    /// Whether what it has on a link may come to its end there.
    fn may_go_on(&self, links: &Links, own: &LinkCell) -> bool {
        own.client.format == self.format && links.may_finish(own)
    }

    /// Which of its streams go on over a link that it has left, or leaves, where requests go to
    /// this destination.
    fn kept_on(&self, cell: &LinkCell, seen: Destination) -> StreamsKept {
        let is_target = seen == Destination::To(cell.incarnation);
        match is_target && self.is_client(&cell.client) {
            true => StreamsKept::UnderWay,
            false => StreamsKept::Open,
        }
    }

    /// Whether something of its streams goes on over a link that it has left.
    fn has_left_on(&self, own: &LinkCell, seen: Destination) -> bool {
        let kept = self.kept_on(own, seen);
        own.link.borrow().keeps_any(self.connection(), kept)
    }

    /// What was open on the link before has come to its end, if it has, or may not any more: that
    /// link is forgotten, so that the session's requests are looked at no longer than before, and
    /// nothing is taken for open there that never goes on.
    pub(super) fn leave_finished(
        &mut self,
        seen: Destination,
        may_finish: impl Fn(&LinkCell) -> bool,
        claims: &Claims,
        aborted: &mut Vec<AbortedTransaction>,
    ) {
        let stays = |own: &Rc<LinkCell>| may_finish(own) && self.has_left_on(own, seen);
        if !self.leaving.as_ref().is_some_and(stays) {
            let over = self.leaving.take();
            self.leave_link(over, Leaving::Target, claims, aborted);
        }
    }

    /// The links that it has something on.
    pub(super) fn links(&self) -> impl Iterator<Item = &Rc<LinkCell>> {
        [&self.leaving, &self.link].into_iter().flatten()
    }

    /// The link over which a stream goes on, if there is one that it is bound to.
    pub(super) fn bound_to(&self, links: &Links, key: ClientStream) -> Option<&Rc<LinkCell>> {
        let keeps = |own: &&Rc<LinkCell>| {
            let kept = self.kept_on(own, links.seen.get());
            own.link.borrow().keeps(key, kept)
        };
        self.links()
            .find(keeps)
            .filter(|own| self.may_go_on(links, own))
    }

    /// Whether a stream may have a transaction open.
    pub(super) fn may_be_open(&self, key: ClientStream) -> bool {
        let mut links = self.links();
        links.any(|own| own.link.borrow().may_be_open(key))
    }

    /// Whether transactions may be open in fewer streams on links than this.
    pub(super) fn has_open_below(&self, max: usize) -> bool {
        let connection = self.connection();
        let most = |own: &Rc<LinkCell>| own.link.borrow().open_of_at_most(connection);
        let all = |own: &Rc<LinkCell>| own.link.borrow().open_of(connection);
        // Who is far from it need not be looked at closely.
        self.links().map(most).sum::<usize>() < max || self.links().map(all).sum::<usize>() < max
    }
}

impl Unwritten {
    /// Whether something is left that comes before all that goes over this link, or over another
    /// one like it.
    fn is_left_of(&self, link: &LinkCell) -> bool {
        let own = self.link.upgrade();
        own.is_some_and(|own| own.has_to_write(self.until) && are_alike(&own, link))
    }

    /// Has a link send nothing of its connection before; one need not wait for itself.
    fn be_followed(&self, connection: u64, link: &Rc<LinkCell>) {
        if let Some(own) = self.link.upgrade().filter(|own| !Rc::ptr_eq(own, link)) {
            own.be_followed(link, connection, self.until);
        }
    }
}

#[cfg(test)]
mod tests;
