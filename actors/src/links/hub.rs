//! Takes the batches of a worker: who calls, and over which link.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

use vestibule_wire::{Error, ErrorCode};

use super::cell::LinkCell;
use super::deliveries::Mailbox;
use super::task::live;
use crate::admission::Class;
use crate::cells::claims::RequestId;
use crate::engine::catalog::User;
use crate::limits::{LINKS_PER_SESSION_THREAD_MAX, RECONNECT_WAIT_MAX, RECONNECT_WAIT_MIN};
use crate::messages::tx::{Batch, BatchEntry, CallerUpdate, LargeRequest};
use crate::messages::worker::LinkOver;
use crate::resources::WorkerCell;
use crate::resources::outgoing::TakeBatch;
use crate::upstream::{
    Credits, Forward, ForwardBody, GatewayCell, Incarnation, Kind, LinkFault, LinkUser, Refusal,
    UpstreamLink,
};

/// The links of one worker.
pub(crate) struct Links {
    pub(super) worker: Weak<WorkerCell>,
    pub(super) gateway: Arc<GatewayCell>,
    pub(super) mailbox: Mailbox,
    me: Weak<Self>,
    state: RefCell<Hub>,
}

struct Hub {
    /// Who calls, by the session's number.
    callers: Vec<Option<SessionCaller>>,
    /// By upstream and user: those that new requests go over.
    links: HashMap<(usize, Arc<str>), Rc<LinkCell>>,
    /// By upstream.
    credits: Vec<Rc<Credits>>,
    /// By upstream, whether new links may be had.
    pauses: Vec<Pause>,
    dirty: Vec<Rc<LinkCell>>,
    /// How many there are, with those that are only coming to their ends.
    open: usize,
}

/// Who calls from a session, and the link that was used last.
struct SessionCaller {
    user: User,
    link: Option<Rc<LinkCell>>,
}

/// After links that did not come about, new ones are left for a while, each time longer.
#[derive(Debug, Clone, Default)]
struct Pause {
    until: Option<Instant>,
    failures: u32,
}

/// Why a request goes over no link.
enum NoLink {
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
        let upstreams = gateway.config.upstreams.len();
        let credits = || Rc::new(Credits::of_one(shared.counters.len()));
        let state = RefCell::new(Hub {
            callers: Vec::new(),
            links: HashMap::new(),
            credits: (0..upstreams).map(|_| credits()).collect(),
            pauses: vec![Pause::default(); upstreams],
            dirty: Vec::new(),
            open: 0,
        });
        Rc::new_cyclic(|me| Self {
            worker: Rc::downgrade(worker),
            gateway,
            mailbox,
            me: me.clone(),
            state,
        })
    }

    /// A link to this upstream has come about.
    pub(super) fn on_ready(&self, upstream: usize) {
        self.state.borrow_mut().pauses[upstream] = Pause::default();
    }

    /// A link has ended; with a fault, unless nobody used it any more.
    pub(super) fn on_over(&self, cell: &Rc<LinkCell>, fault: Option<LinkFault>) {
        cell.retire();
        let (upstream, user) = (cell.incarnation.upstream, &cell.user.name);
        let Some(worker) = self.worker.upgrade() else {
            return;
        };
        let mut hub = self.state.borrow_mut();
        hub.open -= 1;
        let is_it = |own: &Rc<LinkCell>| Rc::ptr_eq(own, cell);
        let key = (upstream, user.clone());
        if hub.links.get(&key).is_some_and(is_it) {
            hub.links.remove(&key);
        }
        let was_ready = cell.link.borrow().is_ready();
        let is_login = matches!(fault, Some(LinkFault::Refused(Refusal::Login(_))));
        if !was_ready && fault.is_some() && !is_login {
            hub.pauses[upstream].fail(worker.shared.clock.now());
        }
        drop(hub);
        let (unsent, sent) = cell.link.borrow_mut().end();
        let name = &self.gateway.upstream(upstream).name;
        let trouble = fault.as_ref().map_or(String::new(), ToString::to_string);
        if fault.is_some() {
            log::debug!("the link to {name} for {user:?} has ended: {trouble}");
        }
        let error = match fault {
            Some(LinkFault::Refused(Refusal::Login(error))) => {
                self.gateway.forget(user);
                error
            }
            _ => not_there(&worker, &format!("upstream {name}: {trouble}")),
        };
        self.tell_over(
            &worker,
            unsent,
            sent,
            error,
            &format!("upstream {name}: {trouble}"),
        );
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
    fn refuse(&self, worker: &WorkerCell, refused: Vec<(RequestId, NoLink)>) {
        for (id, why) in refused {
            let error = match why {
                NoLink::NoUpstream => not_there(worker, "no upstream serves"),
                NoLink::Paused => not_there(worker, "the upstream takes no more connections"),
                NoLink::Forgotten(user) => self.gateway.wrong_login(&user.name, true),
            };
            self.tell_over(worker, vec![id], Vec::new(), error, "");
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

impl Pause {
    fn fail(&mut self, now: Instant) {
        let wait = RECONNECT_WAIT_MIN.saturating_mul(1 << self.failures.min(16));
        self.failures += 1;
        self.until = Some(now + wait.min(RECONNECT_WAIT_MAX));
    }

    fn is_over(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now >= until)
    }
}

impl Hub {
    fn set_caller(&mut self, update: &CallerUpdate) {
        let index = update.session as usize;
        if self.callers.len() <= index {
            self.callers.resize_with(index + 1, || None);
        }
        let user = update.caller.user.clone();
        self.callers[index] = Some(SessionCaller { user, link: None });
    }

    /// Whether there may be one more link; the one that was used longest ago is closed for it, of
    /// those that nobody uses.
    fn make_room(&mut self) -> bool {
        if self.open < LINKS_PER_SESSION_THREAD_MAX {
            return true;
        }
        let idle_since = |own: &LinkCell| own.link.borrow().idle_since();
        let idle = self
            .links
            .iter()
            .filter_map(|(key, own)| Some((idle_since(own)?, key)));
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

impl TakeBatch for Links {
    fn take(&self, batch: &mut Batch) {
        let Some(worker) = self.worker.upgrade() else {
            return;
        };
        let claims = &worker.shared.counters[worker.index].claims;
        let target = self.gateway.target();
        let mut refused = Vec::new();
        let mut hub = self.state.borrow_mut();
        let mut large = batch.large.drain(..).peekable();
        for (index, entry) in batch.entries.iter().enumerate() {
            while let Some(update) = batch.caller_updates.front()
                && update.before <= index
            {
                hub.set_caller(update);
                batch.caller_updates.pop_front();
            }
            let large = large.next_if(|own| own.index == index);
            match self.link_of(&mut hub, entry.session, target, &worker) {
                Ok(link) => {
                    let body = body_of(&batch.bytes, entry, large);
                    link.link.borrow_mut().submit(forward(entry), body, claims);
                    if !link.is_dirty.replace(true) {
                        hub.dirty.push(link);
                    }
                }
                Err(why) => refused.push((entry.id, why)),
            }
        }
        drop(large);
        for update in batch.caller_updates.drain(..) {
            hub.set_caller(&update);
        }
        for session in &batch.disconnects {
            if let Some(caller) = hub.callers.get_mut(session.index as usize) {
                *caller = None;
            }
        }
        let mut dirty = std::mem::take(&mut hub.dirty);
        drop(hub);
        for link in dirty.drain(..) {
            link.is_dirty.set(false);
            link.flush();
        }
        // Its memory is kept for the next batch.
        self.state.borrow_mut().dirty = dirty;
        self.refuse(&worker, refused);
    }
}

impl Links {
    /// The link that a session's request goes over, opened if need be.
    #[inline]
    fn link_of(
        &self,
        hub: &mut Hub,
        session: u32,
        target: Option<Incarnation>,
        worker: &Rc<WorkerCell>,
    ) -> Result<Rc<LinkCell>, NoLink> {
        let target = target.ok_or(NoLink::NoUpstream)?;
        let caller = hub.callers.get(session as usize).and_then(Option::as_ref);
        let caller = caller.ok_or(NoLink::NoUpstream)?;
        let is_good = |own: &&Rc<LinkCell>| own.incarnation == target && !own.is_retired.get();
        if let Some(link) = caller.link.as_ref().filter(is_good) {
            return Ok(link.clone());
        }
        let user = caller.user.clone();
        let link = self.find_link(hub, &user, target, worker)?;
        if let Some(Some(caller)) = hub.callers.get_mut(session as usize) {
            caller.link = Some(link.clone());
        }
        Ok(link)
    }

    /// The link of a user.
    #[cold]
    fn find_link(
        &self,
        hub: &mut Hub,
        user: &User,
        target: Incarnation,
        worker: &Rc<WorkerCell>,
    ) -> Result<Rc<LinkCell>, NoLink> {
        let key = (target.upstream, user.name.clone());
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
        if !hub.pauses[target.upstream].is_over(now) || !hub.make_room() {
            return Err(NoLink::Paused);
        }
        let link_user = LinkUser {
            name: user.name.clone(),
            key: login,
        };
        let credits = hub.credits[target.upstream].clone();
        let link = UpstreamLink::new(link_user.clone(), credits, now);
        let cell = Rc::new(LinkCell::new(target, link_user, link));
        hub.links.insert(key, cell.clone());
        hub.open += 1;
        if let Some(own) = self.me.upgrade() {
            actix_rt::spawn(live(own, cell.clone()));
        }
        Ok(cell)
    }
}

fn forward(entry: &BatchEntry) -> Forward {
    Forward {
        id: entry.id,
        session: entry.session,
        request: entry.request,
        kind: match entry.class {
            Class::Call => Kind::Call,
            _ => Kind::Other,
        },
        sync: entry.sync,
        is_versioned: entry.is_versioned,
    }
}

fn body_of<'a>(
    bytes: &'a [u8],
    entry: &BatchEntry,
    large: Option<LargeRequest>,
) -> ForwardBody<'a> {
    let (start, end) = (entry.start as usize, entry.end as usize);
    match large {
        Some(large) => ForwardBody::Own(large.frame, start),
        None => ForwardBody::Part(&bytes[start..end]),
    }
}
