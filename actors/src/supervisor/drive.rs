//! Driving transitions: what the machine decides is applied here.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix::{ActorContext, AsyncContext, Context, SpawnHandle};

use super::actor::Supervisor;
use crate::acceptor::AcceptorHandle;
use crate::limits::TRANSITION_CALLERS_MAX;
use crate::messages::Requester;
use crate::messages::supervisor::Withdraw;
use crate::messages::tx::Control;
use crate::serving::{Role, StateOrRole, TransitionProgress, TransitionView, UpstreamUse};
use crate::transitions::{
    Action, CallerId, StopReport, TransitionOutcome, TransitionRecord, TransitionReport,
    TransitionRequest, TransitionResult, TransitionScope, TransitionTarget,
};
use crate::upstream::UpstreamDrain;

impl Supervisor {
    /// Somebody asks for a transition.
    pub(super) fn submit(
        &mut self,
        request: TransitionRequest,
        requester: Requester,
        ctx: &mut Context<Self>,
    ) {
        self.last_caller += 1;
        let caller = CallerId(self.last_caller);
        match requester {
            Requester::Nobody => {}
            Requester::SessionAtStart(reply_to) => self.starting.push(reply_to),
            _ if self.requesters.len() >= TRANSITION_CALLERS_MAX => {
                let outcome = self.outcome(TransitionResult::TimedOut);
                return self.answer(requester, outcome);
            }
            _ => drop(self.requesters.insert(caller, requester)),
        }
        let actions = self
            .machine
            .request(self.shared.clock.now(), caller, request);
        self.apply(actions, ctx);
        // Of one that did not begin, as things are.
        self.tell_started();
    }

    /// A session's call does not wait any longer: nobody is to be told for it.
    pub(super) fn withdraw(&mut self, withdraw: &Withdraw, ctx: &mut Context<Self>) {
        let is_meant = |requester: &Requester| match requester {
            Requester::SessionAtEnd(own) => {
                own.session == withdraw.session && own.wait == withdraw.wait
            }
            _ => false,
        };
        let mut requesters = self.requesters.iter();
        let found = requesters.find(|(_, requester)| is_meant(requester));
        if let Some(caller) = found.map(|(caller, _)| *caller) {
            self.requesters.remove(&caller);
            self.stop_waiting(caller, ctx);
            if let Some(until) = self.machine.withdraw(caller) {
                let timer = self.wake_at(until, ctx);
                if let Some(before) = self.withdrawn.replace(timer) {
                    ctx.cancel_future(before);
                }
            }
        }
    }

    /// A caller is answered, or gone: its time is nobody's matter any more.
    fn stop_waiting(&mut self, caller: CallerId, ctx: &mut Context<Self>) {
        if let Some(timer) = self.patience.remove(&caller) {
            ctx.cancel_future(timer);
        }
    }

    /// Has the machine look at a time.
    fn wake_at(&self, time: Instant, ctx: &mut Context<Self>) -> SpawnHandle {
        #[cfg(feature = "testing")]
        self.wakes.borrow_mut().push(time);
        let wait = time.saturating_duration_since(self.shared.clock.now());
        ctx.run_later(wait, |supervisor, ctx| {
            let actions = supervisor.machine.on_time(supervisor.shared.clock.now());
            supervisor.apply(actions, ctx);
        })
    }

    /// Carries out what the machine has decided. Callers are told at the end, so that one who then
    /// asks for the state sees what it was told.
    pub(super) fn apply(&mut self, actions: Vec<Action>, ctx: &mut Context<Self>) {
        let mut answers = Vec::new();
        for action in actions {
            match action {
                Action::Begin(request) => self.begin(&request),
                Action::Announce => {
                    let (view, now) = (self.view(), self.shared.clock.now());
                    self.shared.serving.announce_stop(view, now);
                    self.tell_started();
                }
                Action::Quiesce => {
                    self.quiesce();
                    self.tell_started();
                }
                Action::CutOff => self.cut_off(),
                Action::StopTx => match &self.tx {
                    Some(tx) => tx.stop(),
                    None => self.tx_gone(ctx),
                },
                Action::Establish(target) => self.establish(target),
                Action::WakeAt(time) => drop(self.wake_at(time, ctx)),
                Action::WaitUntil(caller, time) => {
                    let timer = self.wake_at(time, ctx);
                    self.patience.insert(caller, timer);
                }
                Action::Shorten(grace) => self.shorten(grace),
                Action::End(report) => self.end(&report, ctx),
                Action::Answer(caller, result) => {
                    self.stop_waiting(caller, ctx);
                    if let Some(requester) = self.requesters.remove(&caller) {
                        answers.push((requester, self.outcome(result)));
                    }
                }
            }
        }
        self.shared.serving.show_transition(self.view());
        for (requester, outcome) in answers {
            self.answer(requester, outcome);
        }
    }

    fn begin(&mut self, request: &TransitionRequest) {
        let serving = self.shared.serving.load();
        let from = match request.target {
            TransitionTarget::Stopped => StateOrRole::State(serving.state),
            TransitionTarget::Role(_) => StateOrRole::Role(serving.role),
            TransitionTarget::Upstream(_, UpstreamUse::Used) => UpstreamUse::Drained.into(),
            TransitionTarget::Upstream(_, UpstreamUse::Drained) => UpstreamUse::Used.into(),
        };
        let to = request.target.leads_to();
        let mut record =
            TransitionRecord::begin(from, to, request.reason.clone(), &request.requested_by);
        record.grace = request.grace;
        record.upstream = self.upstream_of(request.target);
        record.id = self.shared.transitions.push(record.clone());
        log::debug!("{from} to {to} begins: {}", record.reason);
        self.record = Some(record);
    }

    /// A stop is given less time than it had.
    fn shorten(&mut self, grace: Duration) {
        if let Some(record) = &mut self.record {
            record.grace = Some(grace);
            self.shared.transitions.replace(record);
        }
        log::info!("the stop is given {:.1} s in all", grace.as_secs_f64());
    }

    fn is_stop(&self) -> bool {
        self.machine.is_stopping()
    }

    /// The name of the upstream that a transition is about.
    fn upstream_of(&self, target: TransitionTarget) -> Option<String> {
        let gateway = self.shared.gateway.as_ref()?;
        match target {
            TransitionTarget::Upstream(own, _) => Some(gateway.upstream(own).name.clone()),
            _ => None,
        }
    }

    /// What the transition under way is about.
    fn scope(&self) -> TransitionScope {
        let under_way = self.machine.under_way();
        under_way.map_or(TransitionScope::Everything, |(own, ..)| own.target.scope())
    }

    /// Takes an upstream out of use, or back: where requests go is decided when this returns.
    fn drain_upstream(&self, upstream: usize, drain: UpstreamDrain) {
        if let Some(drain_upstream) = &self.drain_upstream {
            drain_upstream(upstream, drain);
        }
    }

    fn quiesce(&mut self) {
        let now = self.shared.clock.now();
        if let TransitionScope::Upstream(upstream) = self.scope() {
            self.drain_upstream(upstream, UpstreamDrain::UnderWay);
        } else if self.is_stop() {
            self.acceptor.iter().for_each(AcceptorHandle::stop);
            let view = self.view();
            self.shared
                .serving
                .draining("the server is stopping", view, now);
        } else {
            self.shared.serving.demoting(self.view(), now);
        }
        self.tell_tx(Control::CloseIdleReservations);
        let (serial, scope) = (self.machine.serial(), self.scope());
        // After the cell: whatever a worker admits from then on is of the new state.
        for worker in &self.peers.workers {
            worker.quiesce(serial, scope);
        }
        self.jobs.quiesce(serial, scope);
    }

    fn cut_off(&mut self) {
        let (serial, scope) = (self.machine.serial(), self.scope());
        if !matches!(scope, TransitionScope::Upstream(_)) {
            self.raise_fence();
            self.tell_tx(Control::CloseAllReservations);
        }
        for worker in &self.peers.workers {
            worker.cut_off(serial, scope);
        }
        self.jobs.cut_off(serial, scope);
    }

    /// Nothing that was admitted so far is written from now on.
    fn raise_fence(&mut self) {
        let shared = &self.shared;
        let is_write_under_way = shared.raise_fence();
        if let Some(record) = &mut self.record {
            record.write_under_way |= is_write_under_way;
        }
        // It aborts what is open, if it hears.
        self.tell_tx(Control::SyncFence);
    }

    /// Nobody waits for it: Tx may be blocked for long.
    pub(super) fn tell_tx(&self, control: Control) {
        if let Some(tx) = &self.tx {
            tx.control(control);
        }
    }

    fn establish(&mut self, target: TransitionTarget) {
        let now = self.shared.clock.now();
        use TransitionTarget::{Stopped, Upstream};
        if matches!(target, Stopped | TransitionTarget::Role(Role::Replica)) {
            self.raise_fence();
        }
        match target {
            Upstream(upstream, UpstreamUse::Drained) => {
                self.drain_upstream(upstream, UpstreamDrain::Done);
            }
            Upstream(upstream, UpstreamUse::Used) => {
                self.drain_upstream(upstream, UpstreamDrain::None);
            }
            Stopped => {
                self.shared.serving.stopped(self.settled_view(), now);
                // The data are let go, although handles may still be held.
                self.shared.publish_view(None);
                self.shared.publish_statistics(None);
            }
            TransitionTarget::Role(role) => {
                self.shared.serving.set_role(role, self.settled_view(), now);
                self.tell_tx(Control::ReopenReservations);
            }
        }
    }

    fn end(&mut self, report: &TransitionReport, ctx: &mut Context<Self>) {
        let is_stop = self.is_stop() && !report.is_superseded;
        let Some(record) = &mut self.record else {
            return;
        };
        record.complete(report);
        if is_stop && !report.tx_stopped {
            record.left_behind.push("tx".to_owned());
        }
        self.shared.transitions.replace(record);
        log_end(record);
        if is_stop {
            self.finish(report);
            ctx.stop();
        }
    }

    /// The runtime is stopped: tells those who wait for it.
    fn finish(&mut self, report: &TransitionReport) {
        // Jobs are none of it: those are cut off here, and never left.
        let left = report.workers_left.iter();
        let left = left.filter_map(|worker| self.shared.counters.get(*worker));
        let left = left.map(|counters| counters.in_flight.load(Ordering::Relaxed));
        let cut_off = &report.cut_off;
        let killed = cut_off.revoked.total() + cut_off.killed.total() + cut_off.unread;
        // Administrators could come in until now.
        self.acceptor.iter().for_each(AcceptorHandle::close);
        for worker in &self.workers {
            worker.stop();
        }
        self.tx_arbiter.stop();
        let report = StopReport {
            killed: killed + left.sum::<usize>(),
            aborted_transactions: cut_off.transactions,
            tx_stopped: report.tx_stopped,
            took: report.took(),
            failure: self.failure.clone(),
        };
        // Nobody listening is no fault: an embedder may have dropped its handle.
        let _ = self.stopped.send(Some(report));
    }

    /// Answers those who wait for no more than the start of a transition.
    fn tell_started(&mut self) {
        for reply_to in self.starting.drain(..) {
            if let Some(worker) = self.peers.workers.get(reply_to.worker) {
                worker.transition_started(reply_to);
            }
        }
    }

    /// What a caller is told, as things are.
    fn outcome(&self, result: TransitionResult) -> TransitionOutcome {
        let is_carried_out = result == TransitionResult::Done;
        TransitionOutcome {
            result,
            transition: self.record.clone().filter(|_| is_carried_out),
        }
    }

    fn answer(&self, requester: Requester, outcome: TransitionOutcome) {
        match requester {
            Requester::Nobody | Requester::SessionAtStart(_) => {}
            Requester::SessionAtEnd(reply_to) => {
                if let Some(worker) = self.peers.workers.get(reply_to.worker) {
                    worker.transition_over(reply_to, outcome);
                }
            }
            // It may have lost interest.
            Requester::Embedder(told) => drop(told.send(outcome)),
        }
    }

    /// Wanted and actual state, for `vestibule.state` and error fields: published in one with the
    /// state, whenever that changes.
    fn view(&self) -> TransitionView {
        let id = self.record.as_ref().map_or(0, |record| record.id);
        let under_way = self.machine.under_way();
        let under_way = under_way.map(|(request, phase, deadline)| {
            let progress = TransitionProgress {
                id,
                to: request.target.leads_to(),
                upstream: self.upstream_of(request.target),
                phase,
                reason: request.reason.clone(),
                requested_by: request.requested_by.clone(),
                left: None,
            };
            (progress, deadline)
        });
        TransitionView {
            under_way,
            wanted: self.machine.wanted(),
        }
    }

    /// The same when a transition is done: the next one, if one waits, has not begun yet.
    fn settled_view(&self) -> TransitionView {
        TransitionView {
            under_way: None,
            wanted: self.machine.wanted(),
        }
    }
}

/// One line for each transition.
fn log_end(record: &TransitionRecord) {
    let by = match record.requested_by.as_str() {
        "" => String::new(),
        by => format!(", by {by}"),
    };
    let left = match record.left_behind.is_empty() {
        true => String::new(),
        false => format!(", left behind: {}", record.left_behind.join(", ")),
    };
    let unread = match record.unread_connections {
        0 => String::new(),
        unread => format!(", threw away the replies of {unread} connections that did not read"),
    };
    let upstream = record.upstream.as_deref();
    let upstream = upstream.map_or(String::new(), |own| format!("upstream {own}: "));
    log::info!(
        "{upstream}{} to {} {} after {:.0} ms ({}{by}): waited for {} requests and {} \
         transactions, revoked {}, cut off {} with the outcome unknown, aborted {} \
         transactions{unread}{left}",
        record.from,
        record.to,
        record.result.name(),
        record.took.as_secs_f64() * 1000.0,
        record.reason,
        record.waited_for.total(),
        record.waited_for_transactions,
        record.revoked.total(),
        record.outcome_unknown,
        record.aborted_transactions,
    );
}
