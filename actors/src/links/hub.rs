//! The links of a worker: to which upstream, for which user, and what becomes of those that end.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use vestibule_wire::features::Features;
use vestibule_wire::{Error, ErrorCode};

use super::callers::{SessionCallers, aborted_by_change, aborted_with_link};
use super::cell::LinkCell;
use super::deliveries::Mailbox;
use super::task::live;
use crate::backoff::Backoff;
use crate::cells::claims::RequestId;
use crate::engine::catalog::User;
use crate::limits::{LINKS_PER_UPSTREAM_MAX, RECONNECT_WAIT_MAX, RECONNECT_WAIT_MIN};
use crate::messages::worker::LinkOver;
use crate::resources::WorkerCell;
use crate::upstream::{
    Credits, EndedLink, GatewayCell, Incarnation, LinkFault, LinkUser, Refusal, UpstreamLink,
};

/// The links of one worker.
pub(crate) struct Links {
    pub(super) worker: Weak<WorkerCell>,
    pub(super) gateway: Arc<GatewayCell>,
    pub(super) mailbox: Mailbox,
    me: Weak<Self>,
    pub(super) state: RefCell<Hub>,
}

/// What they are chosen by.
pub(super) struct Hub {
    pub(super) callers: SessionCallers,
    /// The links that new requests go over.
    links: HashMap<LinkKey, Rc<LinkCell>>,
    /// By upstream.
    credits: Vec<Rc<Credits>>,
    /// By upstream, whether new links may be had.
    pauses: Vec<Pause>,
    pub(super) dirty: Vec<Rc<LinkCell>>,
    /// By upstream, how many there are, with those that are only coming to their ends: such as one
    /// that says nothing keeps for long.
    open: Vec<usize>,
}

/// What a link is for: an upstream, a user, and what the clients that use it can do, of what
/// changes how values are written.
type LinkKey = (usize, Arc<str>, Features);

/// After links that did not come about, new ones are left for a while, each time longer.
#[derive(Debug, Clone)]
struct Pause {
    until: Option<Instant>,
    backoff: Backoff,
}

/// Why a request goes over no link.
pub(super) enum NoLink {
    /// No upstream serves.
    NoUpstream,
    /// What its user has proven is not valid any more.
    Forgotten(User),
    /// Links did not come about just now, or there are as many as there may be.
    Paused,
}

impl Links {
    /// None yet, of a worker of a gateway.
    pub(crate) fn new(worker: &Rc<WorkerCell>, gateway: Arc<GatewayCell>) -> Rc<Self> {
        let shared = &worker.shared;
        let own = &worker.peers.workers[worker.index];
        let mailbox = Mailbox {
            replies: own.replies(),
            pushes: own.pushes(),
        };
        let hub = Hub::new(gateway.config.upstreams.len(), shared.counters.len());
        let state = RefCell::new(hub);
        let targets = gateway.targets();
        let own = Rc::new_cyclic(|me| Self {
            worker: Rc::downgrade(worker),
            gateway,
            mailbox,
            me: me.clone(),
            state,
        });
        actix_rt::spawn(follow(own.me.clone(), targets));
        own
    }

    /// A link to this upstream has come about.
    pub(super) fn on_ready(&self, upstream: usize) {
        self.state.borrow_mut().pauses[upstream] = Pause::default();
    }

    /// A link has ended; with a fault, unless nobody used it any more.
    pub(super) fn on_over(&self, cell: &Rc<LinkCell>, fault: Option<LinkFault>) {
        cell.is_retired.set(true);
        cell.close();
        let (upstream, user) = (cell.incarnation.upstream, &cell.user.name);
        let Some(worker) = self.worker.upgrade() else {
            return;
        };
        let mut hub = self.state.borrow_mut();
        hub.open[upstream] -= 1;
        let is_it = |own: &Rc<LinkCell>| Rc::ptr_eq(own, cell);
        let key = (upstream, user.clone(), cell.user.format);
        if hub.links.get(&key).is_some_and(is_it) {
            hub.links.remove(&key);
        }
        let was_ready = cell.link.borrow().is_ready();
        let is_of_user = fault.as_ref().is_some_and(LinkFault::is_of_user);
        if !was_ready && fault.is_some() && !is_of_user {
            hub.pauses[upstream].fail(worker.shared.clock.now());
        }
        let name = &self.gateway.upstream(upstream).name;
        let trouble = fault.as_ref().map_or(String::new(), ToString::to_string);
        if fault.is_some() {
            log::debug!("the link to {name} for {user:?} has ended: {trouble}");
        }
        let reason = format!("upstream {name}: {trouble}");
        let error = match fault {
            Some(LinkFault::Refused(Refusal::Login(error))) if is_of_user => {
                if let Some(key) = &cell.user.key {
                    self.gateway.forget(user, key);
                }
                error
            }
            _ => not_there(&worker, &reason),
        };
        let EndedLink {
            unsent,
            sent,
            lost,
            committing,
        } = cell.link.borrow_mut().end();
        let mut aborted = Vec::new();
        (hub.callers).lose(lost, &aborted_with_link(name), &mut aborted);
        let unknown = worker.shared.outcome_unknown(ErrorCode::SYSTEM, &reason);
        hub.callers.lose_commits(committing, &unknown);
        drop(hub);
        self.tell_over(&worker, unsent, sent, error, &reason);
        self.tell_aborted(aborted);
    }

    /// Requests go elsewhere by now: what this link has not sent it never sends, for its upstream
    /// may wake and take changes still.
    pub(super) fn take_back(&self, worker: &WorkerCell, cell: &LinkCell) {
        let target = self.gateway.target();
        if target.is_none_or(|own| own == cell.incarnation) {
            return;
        }
        cell.is_retired.set(true);
        let claims = &worker.shared.counters[worker.index].claims;
        let (unsent, lost) = {
            let mut link = cell.link.borrow_mut();
            // In this order: what is rolled back was sent.
            (link.take_back(), link.leave_all(claims))
        };
        if !lost.is_empty() {
            let mut aborted = Vec::new();
            let callers = &mut self.state.borrow_mut().callers;
            callers.lose(lost, &aborted_by_change(), &mut aborted);
            self.tell_aborted(aborted);
        }
        if !unsent.is_empty() {
            let error = not_there(worker, "requests go to another upstream by now");
            self.tell_over(worker, unsent, Vec::new(), error, "");
        }
    }

    fn tell_over(
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
            let error = match why {
                NoLink::NoUpstream => not_there(worker, "no upstream serves"),
                NoLink::Paused => not_there(worker, "no connection to the upstream can be had now"),
                NoLink::Forgotten(user) => self.gateway.wrong_login(&user.name, true),
            };
            self.tell_over(worker, vec![id], Vec::new(), error, "");
        }
    }
}

/// Has links that requests do not go over any more look at what they have not sent.
async fn follow(links: Weak<Links>, mut targets: watch::Receiver<Option<Incarnation>>) {
    while targets.changed().await.is_ok() {
        let target = *targets.borrow_and_update();
        let Some(links) = links.upgrade() else { return };
        if let Some(target) = target {
            links.state.borrow().follow(target);
        }
    }
}

/// The error for what is not sent because an upstream is not there, which is known before the
/// serving state says so.
fn not_there(worker: &WorkerCell, why: &str) -> Error {
    let shared = &worker.shared;
    let status = shared.serving.status(shared.clock.now());
    if !status.reason.is_empty() {
        return status.error(ErrorCode::LOADING);
    }
    let retry_after = status.retry_after.as_secs_f64();
    let text = format!("{why}, retry after {retry_after:.1} s");
    status.error_with_text(ErrorCode::LOADING, text)
}

impl Default for Pause {
    fn default() -> Self {
        Self {
            until: None,
            backoff: Backoff::new(RECONNECT_WAIT_MIN, RECONNECT_WAIT_MAX),
        }
    }
}

impl Pause {
    fn fail(&mut self, now: Instant) {
        self.until = Some(now + self.backoff.pause());
    }

    fn is_over(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now >= until)
    }
}

impl Hub {
    /// None yet, of one of this number of workers.
    fn new(upstreams: usize, workers: usize) -> Self {
        let credits = |_| Rc::new(Credits::of_one(workers));
        Self {
            callers: SessionCallers::default(),
            links: HashMap::new(),
            credits: (0..upstreams).map(credits).collect(),
            pauses: vec![Pause::default(); upstreams],
            dirty: Vec::new(),
            open: vec![0; upstreams],
        }
    }

    /// Requests go to this one from now on: links elsewhere look at what they have not sent.
    fn follow(&self, target: Incarnation) {
        let others = self.links.values();
        let others = others.filter(|own| own.incarnation != target);
        others.for_each(|own| own.retire());
    }

    /// Whether there may be one more link to an upstream; the one that was used longest ago is
    /// closed for it, of those that nobody uses.
    fn make_room(&mut self, upstream: usize) -> bool {
        if self.open[upstream] < LINKS_PER_UPSTREAM_MAX {
            return true;
        }
        let idle_since = |own: &LinkCell| own.link.borrow().idle_since();
        let links = self.links.iter().filter(|(key, _)| key.0 == upstream);
        let idle = links.filter_map(|(key, own)| Some((idle_since(own)?, key)));
        let oldest = idle
            .min_by_key(|(since, _)| *since)
            .map(|(_, key)| key.clone());
        let Some(link) = oldest.and_then(|key| self.links.remove(&key)) else {
            return false;
        };
        link.retire();
        // Its descriptor is free in a moment: there is one to spare.
        true
    }
}

impl Links {
    /// The link of a user.
    #[cold]
    pub(super) fn find_link(
        &self,
        hub: &mut Hub,
        user: &User,
        format: Features,
        target: Incarnation,
        worker: &Rc<WorkerCell>,
    ) -> Result<Rc<LinkCell>, NoLink> {
        let key = (target.upstream, user.name.clone(), format);
        if let Some(link) = hub.links.get(&key) {
            if link.incarnation == target && !link.is_retired.get() {
                return Ok(link.clone());
            }
            // What it has goes on; nothing new goes over it.
            link.retire();
        }
        let login = match user.is_guest() {
            true => None,
            false => {
                let key = self.gateway.key(&user.name);
                Some(key.ok_or_else(|| NoLink::Forgotten(user.clone()))?)
            }
        };
        let now = worker.shared.clock.now();
        if !hub.pauses[target.upstream].is_over(now) || !hub.make_room(target.upstream) {
            return Err(NoLink::Paused);
        }
        let link_user = LinkUser {
            name: user.name.clone(),
            key: login,
            format,
        };
        let credits = hub.credits[target.upstream].clone();
        let link = UpstreamLink::new(link_user.clone(), credits, now);
        let cell = Rc::new(LinkCell::new(target, link_user, link));
        hub.links.insert(key, cell.clone());
        hub.open[target.upstream] += 1;
        if let Some(own) = self.me.upgrade() {
            actix_rt::spawn(live(own, cell.clone()));
        }
        Ok(cell)
    }
}
