//! The links of a worker: to which upstream, for which user, and what becomes of those that end.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use vestibule_wire::{Error, ErrorCode};

use super::again::{Again, follow};
use super::callers::{SessionCallers, aborted_by_change, aborted_by_drain, aborted_with_link};
use super::cell::{DRAINED, LinkCell};
use super::deliveries::Mailbox;
use super::gone_users::GoneUsers;
use super::pause::Pause;
use super::refusals::{NoLink, not_there};
use crate::admission::Class;
use crate::cells::claims::{Claims, RequestId, RequestPhase};
use crate::cells::live::Follower;
use crate::memory::Memory;
use crate::messages::worker::LinkOver;
use crate::resources::WorkerCell;
use crate::upstream::{
    ClientStatements, ClientStream, Clients, Credits, Destination, EndedLink, Forward, ForwardBody,
    GatewayCell, Incarnation, LinkClient, LinkCounters, LinkFault, LinkMode, LostStream, ReadRole,
    ReadSet, Refusal, UserCredits,
};

/// The links of one worker.
pub(crate) struct Links {
    pub(super) worker: Weak<WorkerCell>,
    pub(super) gateway: Arc<GatewayCell>,
    pub(super) mailbox: Mailbox,
    pub(super) me: Weak<Self>,
    pub(super) state: RefCell<Hub>,
    /// What is to be sent again.
    pub(super) again: RefCell<Again>,
    /// Who answers SELECTs beside the one that takes changes, as of the last batch.
    pub(super) reads: RefCell<Follower<ReadSet>>,
    /// Where requests went when this thread looked last: it acts on that, and not on a change that
    /// it has not seen.
    pub(super) seen: Cell<Destination>,
    /// How many requests were taken back when it was looked last for those that wait in links.
    pub(super) taken_back: Cell<u64>,
}

/// What they are chosen by.
pub(super) struct Hub {
    /// The number of the last request.
    pub(super) last: u64,
    pub(super) callers: SessionCallers,
    /// The links that new requests go over; in an order, so that what is done with all of them is.
    pub(super) links: BTreeMap<LinkKey, Rc<LinkCell>>,
    /// Links to replicas, which answer SELECTs alone.
    pub(super) read_links: BTreeMap<LinkKey, Rc<LinkCell>>,
    /// By upstream.
    pub(super) credits: Vec<Rc<Credits>>,
    /// As users have them, for as long as there are links of theirs.
    pub(super) of_users: HashMap<(usize, Arc<str>), Weak<UserCredits>>,
    pub(super) clients: Rc<Clients>,
    pub(super) statements: Rc<ClientStatements>,
    /// By upstream, whether new links may be had.
    pub(super) pauses: Vec<Pause>,
    /// The same of those to replicas.
    pub(super) read_pauses: Vec<Pause>,
    /// The same of those for bulk: where these do not come about, the others may.
    pub(super) bulk_pauses: Vec<Pause>,
    pub(super) gone_users: GoneUsers,
    pub(super) dirty: Vec<Rc<LinkCell>>,
    /// By upstream, all that there are, with those that are only coming to their ends: such as one
    /// that says nothing keeps for long.
    pub(super) open: Vec<Vec<Rc<LinkCell>>>,
    /// By upstream, what is counted for others to see.
    pub(super) counters: Vec<Arc<LinkCounters>>,
    /// Whose links are, unless something else makes them one client's.
    pub(super) mode: LinkMode,
    /// Whether a client has, or had, links of its own.
    pub(super) has_pins: bool,
}

/// What a link is for: an upstream, and as whom it is asked there.
pub(super) type LinkKey = (usize, LinkClient);

impl Links {
    /// None yet, of a worker of a gateway.
    pub(crate) fn new(worker: &Rc<WorkerCell>, gateway: Arc<GatewayCell>) -> Rc<Self> {
        let shared = &worker.shared;
        let own = &worker.peers.workers[worker.index];
        let mailbox = Mailbox {
            replies: own.replies(),
            pushes: own.pushes(),
        };
        let state = RefCell::new(Hub::new(
            &gateway,
            (worker.index, shared.counters.len()),
            shared.memory.clone(),
        ));
        let held = gateway.sight.held_on(worker.index).clone();
        let hold = gateway.config.failover_hold;
        let again = RefCell::new(Again::new(shared.counters.len(), hold, held));
        let destinations = gateway.destinations();
        let reads = RefCell::new(gateway.reads.follow());
        let own = Rc::new_cyclic(|me| Self {
            worker: Rc::downgrade(worker),
            gateway,
            mailbox,
            me: me.clone(),
            state,
            again,
            reads,
            seen: Cell::new(Destination::Nowhere),
            taken_back: Cell::new(0),
        });
        actix_rt::spawn(follow(own.me.clone(), destinations));
        own
    }

    /// A link has come about.
    pub(super) fn on_ready(&self, cell: &LinkCell) {
        if let Some(worker) = self.worker.upgrade() {
            cell.ready_at.set(Some(worker.shared.clock.now()));
        }
        *self.state.borrow_mut().pause_of(cell) = Pause::default();
    }

    /// A link has ended; with a fault, unless nobody used it any more.
    pub(super) fn on_over(&self, cell: &Rc<LinkCell>, fault: Option<LinkFault>) {
        cell.is_retired.set(true);
        cell.close();
        let (upstream, user) = (cell.incarnation.upstream, &cell.user.name);
        let Some(worker) = self.worker.upgrade() else {
            return;
        };
        self.send_elsewhere(&worker, cell);
        let mut hub = self.state.borrow_mut();
        let is_it = |own: &Rc<LinkCell>| Rc::ptr_eq(own, cell);
        hub.open[upstream].retain(|own| !is_it(own));
        hub.count_links(upstream);
        let key = (upstream, cell.client.clone());
        for links in hub.all_links() {
            if links.get(&key).is_some_and(is_it) {
                links.remove(&key);
            }
        }
        let was_ready = cell.link.borrow().is_ready();
        let is_replica = cell.reads == ReadRole::Replica;
        // One that a replica does not know, or not as he is by now, is known elsewhere.
        let is_of_user = !is_replica && fault.as_ref().is_some_and(LinkFault::is_of_user);
        if let Some(fault) = fault.as_ref().filter(|_| !was_ready && !is_of_user) {
            hub.pause_after(cell, fault, worker.shared.clock.now());
        }
        let name = &self.gateway.upstream(upstream).name;
        let trouble = fault.as_ref().map_or(String::new(), ToString::to_string);
        if fault.is_some() {
            log::debug!("the link to {name} for {user:?} has ended: {trouble}");
        }
        let reason = format!("upstream {name}: {trouble}");
        let EndedLink {
            again,
            sent,
            lost,
            committing,
        } = cell.link.borrow_mut().end();
        let of_lost = streams_of(&lost, &committing);
        let mut aborted = Vec::new();
        let why = match cell.cut_off.get() {
            Some(DRAINED) => aborted_by_drain(name),
            _ => aborted_with_link(name),
        };
        (hub.callers).lose(lost, &why, &mut aborted);
        let unknown = worker.shared.outcome_unknown(ErrorCode::SYSTEM, &reason);
        hub.callers.lose_commits(committing, &unknown);
        let lost = of_unknown_outcome(&worker, &sent);
        hub.counters[upstream].unknown.add(lost as u64);
        drop(hub);
        match fault {
            Some(LinkFault::Refused(Refusal::Login(error))) if is_of_user => {
                if let Some(key) = &cell.user.key {
                    self.gateway.forget(user, key);
                }
                let unsent = again.iter().map(|own| own.forward.id).collect();
                self.tell_over(&worker, unsent, sent, error, &reason);
            }
            _ => {
                let error = not_there(&worker, &reason);
                self.tell_over(&worker, Vec::new(), sent, error.clone(), &reason);
                self.send_again(&worker, cell, again, &error);
                self.answer_parked(&worker, &of_lost);
                self.settle(&worker);
            }
        }
        self.tell_aborted(aborted);
        self.tell_drain(&worker, upstream);
    }

    /// A link has ended: it may be the last that the drain of its upstream waits for.
    fn tell_drain(&self, worker: &WorkerCell, upstream: usize) {
        if self.gateway.is_leaving(upstream) {
            worker.peers.workers[worker.index].link_over(LinkOver {
                unsent: Vec::new(),
                sent: Vec::new(),
                error: not_there(worker, ""),
                reason: String::new(),
            });
        }
    }

    /// Where requests go. If that has changed, what waits in any link is taken back before anything
    /// goes there: it came before. A link's own task may run too late for that.
    pub(super) fn look(&self, worker: &Rc<WorkerCell>) -> Destination {
        let destination = self.gateway.destination();
        if self.seen.replace(destination) != destination {
            let links: Vec<_> = self.state.borrow().open.iter().flatten().cloned().collect();
            for cell in links {
                if cell.is_behind(destination) {
                    // Other links lead there from now on, which are not to be ahead of it.
                    cell.cut_off_unsent("requests come back to its upstream");
                }
                self.take_unsent(worker, &cell, destination);
                cell.wake();
            }
        }
        destination
    }

    /// Requests go elsewhere by now: what this link has not sent it never sends, for its upstream
    /// may wake and take changes still.
    pub(super) fn take_back(&self, worker: &Rc<WorkerCell>, cell: &LinkCell) {
        let destination = self.look(worker);
        if self.take_unsent(worker, cell, destination) {
            self.settle(worker);
        }
    }

    /// The same, but that nothing is sent elsewhere yet. Whether there is something.
    fn take_unsent(
        &self,
        worker: &Rc<WorkerCell>,
        cell: &LinkCell,
        destination: Destination,
    ) -> bool {
        match destination {
            // Nothing waits in those, and where changes go is not their concern.
            _ if cell.reads == ReadRole::Replica => return false,
            Destination::To(target) if target == cell.incarnation => {
                cell.is_left.set(false);
                return false;
            }
            // It says nothing, and may come back: the policy decides what becomes of them.
            Destination::Nowhere => return false,
            Destination::To(_) => cell.is_retired.set(true),
            // It may be where they go next: behind what it has sent, then.
            Destination::Held => cell.is_left.set(true),
        }
        let claims = &worker.shared.counters[worker.index].claims;
        let (unsent, lost) = {
            let mut link = cell.link.borrow_mut();
            match self.may_finish(cell) {
                true => (link.take_back_unbound(), Vec::new()),
                // In this order: what is rolled back was sent.
                false => (link.take_back(), link.leave_all(claims)),
            }
        };
        let of_lost = streams_of(&lost, &[]);
        if !lost.is_empty() {
            let mut aborted = Vec::new();
            let callers = &mut self.state.borrow_mut().callers;
            callers.lose(lost, &aborted_by_change(), &mut aborted);
            self.tell_aborted(aborted);
        }
        let is_some = !unsent.is_empty();
        if is_some {
            let error = not_there(worker, "requests go to another upstream by now");
            self.send_again(worker, cell, unsent, &error);
        }
        self.answer_parked(worker, &of_lost);
        is_some
    }

    /// Puts a request into a link.
    ///
    /// # Errors
    ///
    /// There is another catalog by now than the one that its client knows, who has told that.
    #[inline]
    pub(super) fn submit(
        &self,
        hub: &mut Hub,
        worker: &WorkerCell,
        link: &Rc<LinkCell>,
        mut forward: Forward,
        body: ForwardBody<'_>,
    ) -> Result<(), Error> {
        if forward.is_of_catalog {
            link.note_catalog(forward.id, body.bytes());
        }
        if forward.catalog != 0 {
            // Seen before the version is looked at, which is told before it can be seen: it never
            // goes with the number of a catalog that its client does not know.
            let seen = self.gateway.schema_seen();
            check_catalog(worker, &forward)?;
            let is_followed = Destination::To(link.incarnation) == self.seen.get();
            forward.schema_version = match is_followed && seen > 0 {
                true => seen,
                false => link.link.borrow().schema_version(),
            };
        }
        let claims = &worker.shared.counters[worker.index].claims;
        self.submit_as(hub, link, forward, body, claims);
        Ok(())
    }

    /// The same of one that has its upstream's number of the catalog, if its client has told one.
    #[inline]
    pub(super) fn submit_as(
        &self,
        hub: &mut Hub,
        link: &Rc<LinkCell>,
        forward: Forward,
        body: ForwardBody<'_>,
        claims: &Claims,
    ) {
        link.link.borrow_mut().submit(forward, body, claims);
        if !link.is_dirty.replace(true) {
            hub.dirty.push(link.clone());
        }
    }

    /// Has those go on who have waited for memory, if there is some again: nobody else would tell
    /// their links.
    pub(crate) fn look_at_memory(&self) {
        let hub = self.state.borrow();
        let waiting = hub.clients.take_short();
        waiting.into_iter().for_each(|own| hub.has_read(own));
    }

    /// Has the sockets take what was put into the links.
    pub(super) fn flush(&self) {
        let mut dirty = std::mem::take(&mut self.state.borrow_mut().dirty);
        for link in dirty.drain(..) {
            link.is_dirty.set(false);
            link.flush();
        }
        // Its memory is kept for the next batch.
        self.state.borrow_mut().dirty = dirty;
    }

    pub(super) fn tell_over(
        &self,
        worker: &WorkerCell,
        unsent: Vec<RequestId>,
        sent: Vec<RequestId>,
        error: Error,
        reason: &str,
    ) {
        if unsent.is_empty() && sent.is_empty() {
            return;
        }
        worker.peers.workers[worker.index].link_over(LinkOver {
            unsent,
            sent,
            error,
            reason: reason.to_owned(),
        });
    }

    /// Answers requests that go over no link.
    pub(super) fn refuse(&self, worker: &WorkerCell, refused: Vec<(RequestId, NoLink)>) {
        for (id, why) in refused {
            let error = why.error(worker, &self.gateway);
            self.tell_over(worker, vec![id], Vec::new(), error, "");
        }
    }
}

/// Whether the catalog is the one that the client of a request knows, who has told that.
///
/// # Errors
///
/// It is another one by now.
pub(super) fn check_catalog(worker: &WorkerCell, forward: &Forward) -> Result<(), Error> {
    let current = worker.shared.schema_version();
    match forward.catalog == current {
        true => Ok(()),
        false => Err(Error::wrong_schema_version(current, forward.catalog)),
    }
}

/// The streams of transactions that are lost, or whose COMMIT is.
fn streams_of(lost: &[LostStream], committing: &[ClientStream]) -> BTreeSet<ClientStream> {
    let lost = lost.iter().map(|own| own.key);
    lost.chain(committing.iter().copied()).collect()
}

/// How many of these requests, which were sent over a link that is lost, may have happened or not.
fn of_unknown_outcome(worker: &WorkerCell, sent: &[RequestId]) -> usize {
    let claims = &worker.shared.counters[worker.index].claims;
    let state = worker.state.borrow();
    let is_one = |id: &&RequestId| {
        let own = state.in_flight.get(**id);
        // Of one that only reads nobody can tell the difference.
        let may_write = own.is_some_and(|own| own.class != Class::Read);
        may_write && claims.phase(**id) == Some(RequestPhase::Started)
    };
    sent.iter().filter(is_one).count()
}

impl Hub {
    /// None yet, of one of this number of workers.
    fn new(gateway: &GatewayCell, (worker, workers): (usize, usize), memory: Arc<Memory>) -> Self {
        let upstreams = gateway.sight.upstreams();
        let counters = upstreams.iter().map(|own| own.links_on(worker).clone());
        let counters: Vec<_> = counters.collect();
        let upstreams = counters.len();
        let (keeps, bounds) = (gateway.holds(), gateway.config.request_bounds());
        let credits = |own: &Arc<LinkCounters>| {
            let credits = Credits::of_one(bounds, workers, keeps, own.clone());
            Rc::new(credits)
        };
        let clients = Rc::new(Clients::new(memory.clone()));
        Self {
            last: 0,
            callers: SessionCallers::new(clients.clone(), gateway.config.mode),
            links: BTreeMap::new(),
            read_links: BTreeMap::new(),
            credits: counters.iter().map(credits).collect(),
            of_users: HashMap::new(),
            clients,
            statements: Rc::new(ClientStatements::new(memory)),
            pauses: vec![Pause::default(); upstreams],
            read_pauses: vec![Pause::default(); upstreams],
            bulk_pauses: vec![Pause::default(); upstreams],
            gone_users: GoneUsers::default(),
            dirty: Vec::new(),
            open: vec![Vec::new(); upstreams],
            counters,
            mode: gateway.config.mode,
            has_pins: gateway.config.mode == LinkMode::Pinned,
        }
    }

    pub(super) fn count_links(&self, upstream: usize) {
        let count = self.open[upstream].len() as u64;
        self.counters[upstream].links.set(count);
    }

    /// Requests go to this one from now on, or to none yet: links elsewhere look at what they have
    /// not sent.
    pub(super) fn follow(&self, target: Option<Incarnation>) {
        let others = self.links.values();
        let others = others.filter(|own| Some(own.incarnation) != target);
        others.for_each(|own| match target {
            Some(_) => own.retire(),
            None => own.wake(),
        });
    }

    /// A client is gone, and with it the link that was its own.
    pub(super) fn unpin(&mut self, connection: u64) {
        self.links.retain(|(_, client), link| {
            let is_its = client.pinned == Some(connection);
            if is_its {
                link.retire();
            }
            !is_its
        });
    }

    /// A client has read replies, or is gone: what waits for that goes on.
    pub(super) fn has_read(&self, connection: u64) {
        for own in self.open.iter().flatten() {
            if own.link.borrow_mut().has_read(connection) {
                own.wake();
            }
        }
    }

    /// The links that new requests go over, of both kinds.
    pub(super) fn all_links(&mut self) -> [&mut BTreeMap<LinkKey, Rc<LinkCell>>; 2] {
        [&mut self.links, &mut self.read_links]
    }

    /// Whether links like this one may be had.
    pub(super) fn pause_of(&mut self, cell: &LinkCell) -> &mut Pause {
        let pauses = match cell.reads {
            ReadRole::Replica => &mut self.read_pauses,
            _ if cell.client.is_bulk => &mut self.bulk_pauses,
            ReadRole::Writer | ReadRole::None => &mut self.pauses,
        };
        &mut pauses[cell.incarnation.upstream]
    }
}
