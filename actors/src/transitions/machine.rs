//! The machine itself.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::action::{Action, CallerId};
use super::current::{Current, Waiter, WorkerProgress};
use super::outcome::TransitionResult;
use super::report::{CutOffCounts, WaitedFor};
use super::request::{TransitionRequest, TransitionTarget};
use crate::limits::TRANSITION_SLACK;
use crate::serving::{Role, TransitionPhase, UpstreamUse};

/// What is wanted when the transition under way is over.
#[derive(Debug)]
struct Queued {
    request: TransitionRequest,
    waiters: Vec<Waiter>,
    /// The most patient of those who are not to be told any more.
    withdrawn: Option<Waiter>,
}

impl Queued {
    /// Nobody is to be told of it any more by this caller, who wants it still.
    fn withdraw(&mut self, caller: CallerId) {
        let found = self.waiters.iter().position(|own| own.caller == caller);
        let Some(found) = found.map(|at| self.waiters.remove(at)) else {
            return;
        };
        let is_longer = |own: &Waiter| match (found.by, own.by) {
            (None, _) => true,
            (_, None) => false,
            (Some(found), Some(own)) => found > own,
        };
        if self.withdrawn.as_ref().is_none_or(is_longer) {
            self.withdrawn = Some(found);
        }
    }

    /// Tells those who wait for it.
    fn answer(&self, result: TransitionResult, actions: &mut Vec<Action>) {
        let told = self.waiters.iter();
        actions.extend(told.map(|waiter| Action::Answer(waiter.caller, result)));
    }

    /// Whether it is to begin when its turn comes: somebody's time for that is not over.
    fn is_wanted(&self, now: Instant) -> bool {
        let is_in_time = |own: &Waiter| !own.is_overdue(now);
        !self.waiters.is_empty() || self.withdrawn.as_ref().is_some_and(is_in_time)
    }
}

/// Drives transitions, one at a time.
#[derive(Debug)]
pub(crate) struct Machine {
    role: Role,
    /// The upstreams that are drained, by their numbers.
    drained: BTreeSet<usize>,
    /// How long after the deadline of a change of the role it ends at the latest.
    role_slack: Duration,
    /// By worker: its thread has ended, and nothing more is heard of it.
    gone: Vec<bool>,
    serial: u64,
    current: Option<Current>,
    /// In the order in which they begin: the role, and each upstream, at most once.
    queued: VecDeque<Queued>,
    is_stopped: bool,
    tx_stopped: bool,
}

impl Machine {
    /// For this many workers, in this role. A change of the role ends at the latest `role_slack`
    /// after its deadline; a stop always within [`TRANSITION_SLACK`].
    pub(crate) fn new(workers: usize, role: Role, role_slack: Duration) -> Self {
        Self {
            gone: vec![false; workers],
            role,
            drained: BTreeSet::new(),
            role_slack,
            serial: 0,
            current: None,
            queued: VecDeque::new(),
            is_stopped: false,
            tx_stopped: false,
        }
    }

    /// Whether a stop has begun: nothing follows it.
    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopped || self.target() == Some(TransitionTarget::Stopped)
    }

    fn target(&self) -> Option<TransitionTarget> {
        self.current.as_ref().map(|current| current.request.target)
    }

    /// Names the transition under way, for messages of workers about it.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// The transition under way: what was ordered, its phase and its deadline.
    pub(crate) fn under_way(
        &self,
    ) -> Option<(&TransitionRequest, TransitionPhase, Option<Instant>)> {
        let current = self.current.as_ref()?;
        Some((&current.request, current.phase, current.deadline))
    }

    /// The role that is wanted in the end; `None` for a stop.
    pub(crate) fn wanted(&self) -> Option<Role> {
        if self.is_stopping() {
            return None;
        }
        let queued = self.queued.iter().map(|own| own.request.target);
        let role = |target| match target {
            TransitionTarget::Role(role) => Some(role),
            _ => None,
        };
        let mut wanted = queued.chain(self.target()).filter_map(role);
        Some(wanted.next().unwrap_or(self.role))
    }

    /// Whether it is as a transition to this would have it.
    fn is_so(&self, target: TransitionTarget) -> bool {
        match target {
            TransitionTarget::Stopped => self.is_stopped,
            TransitionTarget::Role(role) => role == self.role,
            TransitionTarget::Upstream(upstream, wanted) => {
                let is_drained = self.drained.contains(&upstream);
                is_drained == (wanted == UpstreamUse::Drained)
            }
        }
    }

    /// Whether what a transition is about is the matter of the one under way, or of one that waits.
    fn is_changing(&self, target: TransitionTarget) -> bool {
        let queued = self.queued.iter().map(|own| own.request.target);
        let mut all = queued.chain(self.target());
        all.any(|own| own.is_about_same(target))
    }

    /// Somebody asks for a transition.
    pub(crate) fn request(
        &mut self,
        now: Instant,
        caller: CallerId,
        request: TransitionRequest,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        let waiter = Waiter {
            caller,
            by: now.checked_add(request.wait),
        };
        // Of a transition that begins at once, its end is waited for, which has a time of its own.
        let first = vec![Waiter { caller, by: None }];
        if self.is_stopping() {
            match &mut self.current {
                Some(stop) if request.target == TransitionTarget::Stopped => {
                    actions.extend(waiter.by.map(|by| Action::WaitUntil(caller, by)));
                    stop.waiters.push(waiter);
                    stop.shorten(now, &request, &mut actions);
                    self.advance(now, &mut actions);
                }
                _ => actions.push(Action::Answer(caller, TransitionResult::Superseded)),
            }
            return actions;
        }
        match (self.target(), request.target) {
            (Some(_), TransitionTarget::Stopped) => {
                self.supersede_queued(|_| true, &mut actions);
                self.end(now, true, &mut actions);
                self.begin(now, request, first, &mut actions);
            }
            (_, target) if self.is_so(target) && !self.is_changing(target) => {
                actions.push(Action::Answer(caller, TransitionResult::Unchanged));
            }
            (Some(under_way), target) => {
                actions.extend(waiter.by.map(|by| Action::WaitUntil(caller, by)));
                self.wait_behind(under_way, target, request, waiter, &mut actions);
            }
            (None, _) => self.begin(now, request, first, &mut actions),
        }
        actions
    }

    /// A caller is not to be told any more. What it asked for goes on; if that waits for its turn,
    /// it does so for as long as the caller would have. Returns until when, if it is for nobody
    /// else: [`on_time`](Self::on_time) is to be called then.
    pub(crate) fn withdraw(&mut self, caller: CallerId) -> Option<Instant> {
        if let Some(current) = &mut self.current {
            current.waiters.retain(|waiter| waiter.caller != caller);
        }
        let is_its = |own: &&mut Queued| own.waiters.iter().any(|own| own.caller == caller);
        let queued = self.queued.iter_mut().find(is_its)?;
        queued.withdraw(caller);
        let withdrawn = queued.withdrawn.filter(|_| queued.waiters.is_empty());
        withdrawn.and_then(|own| own.by)
    }

    /// A transition that is no stop is asked for while one is under way: of the role, and of each
    /// upstream, the latest wanted wins.
    fn wait_behind(
        &mut self,
        under_way: TransitionTarget,
        target: TransitionTarget,
        request: TransitionRequest,
        waiter: Waiter,
        actions: &mut Vec<Action>,
    ) {
        if target == under_way {
            self.supersede_queued(|own| own.is_about_same(target), actions);
            if let Some(current) = &mut self.current {
                current.waiters.push(waiter);
            }
            return;
        }
        let mut queued = self.queued.iter_mut();
        match queued.find(|own| own.request.target == target) {
            Some(queued) => queued.waiters.push(waiter),
            None => {
                self.supersede_queued(|own| own.is_about_same(target), actions);
                self.queued.push_back(Queued {
                    request,
                    waiters: vec![waiter],
                    withdrawn: None,
                });
            }
        }
    }

    /// Queued transitions that are meant do not begin any more.
    fn supersede_queued(
        &mut self,
        is_meant: impl Fn(TransitionTarget) -> bool,
        actions: &mut Vec<Action>,
    ) {
        self.queued.retain(|own| {
            let is_meant = is_meant(own.request.target);
            if is_meant {
                own.answer(TransitionResult::Superseded, actions);
            }
            !is_meant
        });
    }

    fn begin(
        &mut self,
        now: Instant,
        request: TransitionRequest,
        waiters: Vec<Waiter>,
        actions: &mut Vec<Action>,
    ) {
        self.serial += 1;
        let lameduck = match request.target {
            TransitionTarget::Stopped => request.lameduck,
            TransitionTarget::Role(_) | TransitionTarget::Upstream(..) => Duration::ZERO,
        };
        let quiesce_at = now.checked_add(lameduck).unwrap_or(now);
        actions.push(Action::Begin(Box::new(request.clone())));
        let serial = self.serial;
        let gone = &self.gone;
        let current = Current::new(serial, request, gone, now, quiesce_at, waiters);
        self.current = Some(current);
        if quiesce_at > now {
            actions.extend([Action::Announce, Action::WakeAt(quiesce_at)]);
        }
        self.advance(now, actions);
    }

    /// A worker has seen the new state and tells what it waits for.
    pub(crate) fn worker_quiesced(
        &mut self,
        worker: usize,
        serial: u64,
        waiting: &WaitedFor,
        now: Instant,
    ) -> Vec<Action> {
        self.worker_event(worker, serial, now, |own| own.quiesced(*waiting))
    }

    /// A worker has nothing left to wait for. Of a stop, it has no session left.
    pub(crate) fn worker_quiet(&mut self, worker: usize, serial: u64, now: Instant) -> Vec<Action> {
        self.worker_event(worker, serial, now, WorkerProgress::quiet)
    }

    /// A worker that was quiet has something under way again, of an administrator. A stop that has
    /// come no further than to wait waits for that as well, until its deadline.
    pub(crate) fn worker_busy(&mut self, worker: usize) {
        if let Some(current) = &mut self.current
            && current.request.target == TransitionTarget::Stopped
            && current.phase < TransitionPhase::Abort
            && let Some(worker) = current.worker(worker)
        {
            worker.busy();
        }
    }

    /// A worker has answered its clients.
    pub(crate) fn worker_cut_off(
        &mut self,
        worker: usize,
        serial: u64,
        cut_off: &CutOffCounts,
        now: Instant,
    ) -> Vec<Action> {
        self.worker_event(worker, serial, now, |own| own.cut_off(*cut_off))
    }

    fn worker_event(
        &mut self,
        worker: usize,
        serial: u64,
        now: Instant,
        note: impl FnOnce(&mut WorkerProgress),
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some(current) = &mut self.current
            && serial == current.serial
            && let Some(worker) = current.worker(worker)
        {
            note(worker);
            self.advance(now, &mut actions);
        }
        actions
    }

    /// A worker's thread has ended: nobody waits for it, in this transition or a later one.
    pub(crate) fn worker_gone(&mut self, worker: usize, now: Instant) -> Vec<Action> {
        if let Some(is_gone) = self.gone.get_mut(worker) {
            *is_gone = true;
        }
        self.worker_event(worker, self.serial, now, WorkerProgress::gone)
    }

    /// Tx is gone for good, asked or not.
    pub(crate) fn tx_stopped(&mut self, now: Instant) -> Vec<Action> {
        self.tx_stopped = true;
        let mut actions = Vec::new();
        self.advance(now, &mut actions);
        actions
    }

    /// A time that was asked for is here.
    pub(crate) fn on_time(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        // First what is due anyway: its caller hears of its end rather than of its delay.
        self.advance(now, &mut actions);
        let mut overdue = |waiters: &mut Vec<Waiter>| {
            waiters.retain(|waiter| {
                if waiter.is_overdue(now) {
                    actions.push(Action::Answer(waiter.caller, TransitionResult::TimedOut));
                }
                !waiter.is_overdue(now)
            });
        };
        if let Some(current) = &mut self.current {
            overdue(&mut current.waiters);
        }
        for queued in &mut self.queued {
            overdue(&mut queued.waiters);
        }
        self.queued.retain(|own| own.is_wanted(now));
        actions
    }

    /// Goes on as far as it can.
    fn advance(&mut self, now: Instant, actions: &mut Vec<Action>) {
        while self.step(now, actions) {}
    }

    fn step(&mut self, now: Instant, actions: &mut Vec<Action>) -> bool {
        let tx_stopped = self.tx_stopped;
        let role_slack = self.role_slack;
        let Some(current) = &mut self.current else {
            return false;
        };
        let is_over = |time: Option<Instant>| time.is_some_and(|time| now >= time);
        let target = current.request.target;
        match current.phase {
            TransitionPhase::Announce if now >= current.quiesce_at => {
                if target.is_at_once() {
                    // Of a promotion: what was begun read-only stays so.
                    current.enter(TransitionPhase::Settle, now);
                    return true;
                }
                current.enter(TransitionPhase::Quiesce, now);
                actions.push(Action::Quiesce);
                actions.extend(current.deadline.map(Action::WakeAt));
                true
            }
            TransitionPhase::Quiesce | TransitionPhase::Grace if is_over(current.deadline) => {
                current.enter(TransitionPhase::Abort, now);
                current.cut_off(actions);
                let end = now + slack_of(target, role_slack);
                current.end = Some(end);
                // Tx has the slack too: its engine may have a journal to write out.
                if target == TransitionTarget::Stopped {
                    actions.push(Action::StopTx);
                }
                actions.push(Action::WakeAt(end));
                true
            }
            TransitionPhase::Quiesce if current.have_all_quiesced() => {
                current.enter(TransitionPhase::Grace, now);
                true
            }
            TransitionPhase::Grace if current.are_all_quiet() => {
                current.enter(TransitionPhase::Settle, now);
                if target == TransitionTarget::Stopped {
                    // What is left of the grace is Tx's.
                    current.end = current
                        .deadline
                        .map(|deadline| deadline.max(now) + TRANSITION_SLACK);
                    actions.extend((!tx_stopped).then_some(Action::StopTx));
                    actions.extend(current.end.map(Action::WakeAt));
                }
                true
            }
            TransitionPhase::Abort if current.have_all_cut_off() || is_over(current.end) => {
                current.enter(TransitionPhase::Settle, now);
                true
            }
            TransitionPhase::Settle if current.is_left_unanswered(tx_stopped, now) => {
                current.cut_off(actions);
                true
            }
            TransitionPhase::Settle if current.is_closing(tx_stopped, now) => false,
            TransitionPhase::Settle => {
                self.establish(now, actions);
                true
            }
            _ => false,
        }
    }

    /// The new state holds, and what waited may begin.
    fn establish(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let Some(target) = self.target() else { return };
        actions.push(Action::Establish(target));
        match target {
            TransitionTarget::Stopped => self.is_stopped = true,
            TransitionTarget::Role(role) => self.role = role,
            TransitionTarget::Upstream(upstream, UpstreamUse::Drained) => {
                self.drained.insert(upstream);
            }
            TransitionTarget::Upstream(upstream, UpstreamUse::Used) => {
                self.drained.remove(&upstream);
            }
        }
        self.end(now, false, actions);
        while self.current.is_none()
            && let Some(queued) = self.queued.pop_front()
        {
            if self.is_so(queued.request.target) {
                queued.answer(TransitionResult::Unchanged, actions);
                continue;
            }
            // It waits for its end now, which has a time of its own.
            let mut waiters = queued.waiters;
            waiters.iter_mut().for_each(|waiter| waiter.by = None);
            self.begin(now, queued.request, waiters, actions);
        }
    }

    fn end(&mut self, now: Instant, is_superseded: bool, actions: &mut Vec<Action>) {
        let Some(mut current) = self.current.take() else {
            return;
        };
        let phase = current.phase;
        current.enter(phase, now);
        let report = current.report(is_superseded, self.tx_stopped);
        actions.push(Action::End(Box::new(report)));
        let result = if is_superseded {
            TransitionResult::Superseded
        } else {
            TransitionResult::Done
        };
        let told = current.waiters.iter();
        actions.extend(told.map(|waiter| Action::Answer(waiter.caller, result)));
    }
}

/// How long after its deadline a transition ends at the latest.
fn slack_of(target: TransitionTarget, role_slack: Duration) -> Duration {
    match target {
        TransitionTarget::Stopped => TRANSITION_SLACK,
        TransitionTarget::Role(_) | TransitionTarget::Upstream(..) => role_slack,
    }
}
