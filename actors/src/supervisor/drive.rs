//! Driving transitions: what the machine decides is applied here.

use std::sync::atomic::Ordering;

use actix::{ActorContext, AsyncContext, Context};

use super::actor::Supervisor;
use crate::limits::TRANSITION_CALLERS_MAX;
use crate::messages::Requester;
use crate::messages::tx::Control;
use crate::serving::{Role, TransitionProgress};
use crate::transitions::{
    Action, CallerId, StopReport, TransitionOutcome, TransitionRecord, TransitionReport,
    TransitionRequest, TransitionResult, TransitionTarget,
};

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
                return self.answer(requester, TransitionResult::TimedOut);
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

    pub(super) fn apply(&mut self, actions: Vec<Action>, ctx: &mut Context<Self>) {
        // Before anybody is told of the change, so that a caller who then asks sees it; when one
        // begins, as soon as it has a number.
        if !matches!(actions.first(), Some(Action::Begin(_))) {
            self.show();
        }
        for action in actions {
            match action {
                Action::Begin(request) => {
                    self.begin(&request);
                    self.show();
                }
                Action::Announce => {
                    self.shared.serving.announce_stop(self.shared.clock.now());
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
                Action::WakeAt(time) => {
                    let wait = time.saturating_duration_since(self.shared.clock.now());
                    ctx.run_later(wait, |supervisor, ctx| {
                        let actions = supervisor.machine.on_time(supervisor.shared.clock.now());
                        supervisor.apply(actions, ctx);
                    });
                }
                Action::End(report) => self.end(&report, ctx),
                Action::Answer(caller, result) => {
                    if let Some(requester) = self.requesters.remove(&caller) {
                        self.answer(requester, result);
                    }
                }
            }
        }
        self.show();
    }

    fn begin(&mut self, request: &TransitionRequest) {
        let serving = self.shared.serving.load();
        let from = match request.target {
            TransitionTarget::Stopped => serving.state.name(),
            TransitionTarget::Role(_) => serving.role.name(),
        };
        let to = request.target.name();
        let mut record =
            TransitionRecord::begin(from, to, request.reason.clone(), &request.requested_by);
        record.grace = request.grace.map(|grace| grace.as_secs_f64());
        record.id = self.shared.transitions.push(record.clone());
        log::debug!("{from} to {to} begins: {}", record.reason);
        self.record = Some(record);
    }

    fn is_stop(&self) -> bool {
        self.machine.is_stopping()
    }

    fn quiesce(&mut self) {
        let now = self.shared.clock.now();
        if self.is_stop() {
            self.acceptor.iter().for_each(|acceptor| acceptor.stop());
            self.shared.serving.draining("the server is stopping", now);
        } else {
            self.shared.serving.demoting(now);
        }
        self.tell_tx(Control::CloseIdleReservations);
        let (serial, is_stop) = (self.machine.serial(), self.is_stop());
        // After the cell: whatever a worker admits from then on is of the new state.
        for worker in &self.peers.workers {
            worker.quiesce(serial, is_stop);
        }
    }

    fn cut_off(&mut self) {
        self.raise_fence();
        self.tell_tx(Control::CloseAllReservations);
        let (serial, is_stop) = (self.machine.serial(), self.is_stop());
        for worker in &self.peers.workers {
            worker.cut_off(serial, is_stop);
        }
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
    fn tell_tx(&self, control: Control) {
        if let Some(tx) = &self.tx {
            tx.control(control);
        }
    }

    fn establish(&mut self, target: TransitionTarget) {
        let now = self.shared.clock.now();
        if target != TransitionTarget::Role(Role::Primary) {
            self.raise_fence();
        }
        match target {
            TransitionTarget::Stopped => {
                self.shared.serving.stopped(now);
                // The data are let go, although handles may still be held.
                self.shared.publish_view(None);
            }
            TransitionTarget::Role(role) => {
                self.shared.serving.set_role(role, now);
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
        let left = report.workers_left.iter().map(|worker| {
            let counters = &self.shared.counters[*worker];
            counters.in_flight.load(Ordering::Relaxed)
        });
        let cut_off = &report.cut_off;
        let killed = cut_off.revoked.total() + cut_off.killed.total() + cut_off.unread;
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

    fn answer(&self, requester: Requester, result: TransitionResult) {
        let is_carried_out = result == TransitionResult::Done;
        let outcome = TransitionOutcome {
            result,
            transition: self.record.clone().filter(|_| is_carried_out),
        };
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

    /// Wanted and actual state, for `vestibule.state` and error fields.
    fn show(&self) {
        let id = self.record.as_ref().map_or(0, |record| record.id);
        let under_way = self.machine.under_way();
        let under_way = under_way.map(|(request, phase, deadline)| {
            let progress = TransitionProgress {
                id,
                to: request.target.name(),
                phase: phase.name(),
                reason: request.reason.clone(),
                requested_by: request.requested_by.clone(),
                left: None,
            };
            (progress, deadline)
        });
        let wanted = self.machine.wanted();
        self.shared.serving.show_transition(under_way, wanted);
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
    log::info!(
        "{} to {} {} after {:.0} ms ({}{by}): waited for {} requests and {} transactions, \
         revoked {}, cut off {} with the outcome unknown, aborted {} transactions{unread}{left}",
        record.from,
        record.to,
        record.result,
        record.took * 1000.0,
        record.reason,
        record.waited_for.total(),
        record.waited_for_transactions,
        record.revoked.total(),
        record.outcome_unknown,
        record.aborted_transactions,
    );
}
