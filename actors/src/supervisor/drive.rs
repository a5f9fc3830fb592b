//! Driving transitions: what the machine decides is carried out here.

use std::sync::atomic::Ordering;

use actix::{ActorContext, AsyncContext, Context};

use super::actor::Supervisor;
use super::log::{StopReport, TransitionRecord};
use super::messages::{Ask, Asker};
use super::outcome::{TransitionOutcome, TransitionResult};
use super::transition::{Action, CallerId, Order, Report, Target, Verdict};
use crate::limits::TRANSITION_CALLERS_MAX;
use crate::serving::{Role, Underway};
use crate::tx::messages::Control;

impl Supervisor {
    /// Somebody asks for a transition.
    pub(super) fn take_up(&mut self, ask: Ask, ctx: &mut Context<Self>) {
        let config = &self.shared.config;
        self.last_caller += 1;
        let caller = CallerId(self.last_caller);
        let grace = ask.grace.unwrap_or(config.shutdown_grace_period);
        let order = Order {
            target: ask.target,
            lameduck: ask.lameduck.unwrap_or(config.lameduck),
            grace: self.shared.resolve_grace(grace),
            wait: ask.wait,
            caller,
            from: ask.from,
            reason: ask.reason,
            requested_by: ask.requested_by,
        };
        if !matches!(ask.asker, Asker::Nobody) {
            if self.askers.len() >= TRANSITION_CALLERS_MAX {
                return self.tell(ask.asker, Verdict::TimedOut);
            }
            self.askers.insert(caller, ask.asker);
        }
        let actions = self.machine.request(crate::clock::now(), order);
        self.carry_out(actions, ctx);
    }

    pub(super) fn carry_out(&mut self, actions: Vec<Action>, ctx: &mut Context<Self>) {
        // Before anybody is told of the change, so that whoever then asks sees it; when one begins, as
        // soon as it has a number.
        if !matches!(actions.first(), Some(Action::Begin(_))) {
            self.show();
        }
        for action in actions {
            match action {
                Action::Begin(order) => {
                    self.begin(&order);
                    self.show();
                }
                Action::Announce => self.shared.cell.announce_stop(crate::clock::now()),
                Action::Quiesce => self.quiesce(),
                Action::Kill => self.kill(),
                Action::StopTx => match &self.tx {
                    Some(tx) => tx.stop(),
                    None => self.tx_gone(ctx),
                },
                Action::Settle(target) => self.settle(target),
                Action::WakeAt(time) => {
                    let wait = time.saturating_duration_since(crate::clock::now());
                    ctx.run_later(wait, |supervisor, ctx| {
                        let actions = supervisor.machine.on_time(crate::clock::now());
                        supervisor.carry_out(actions, ctx);
                    });
                }
                Action::End(report) => self.end(&report, ctx),
                Action::Answer(caller, verdict) => {
                    if let Some(asker) = self.askers.remove(&caller) {
                        self.tell(asker, verdict);
                    }
                }
            }
        }
        self.show();
    }

    fn begin(&mut self, order: &Order) {
        let from = match order.target {
            Target::Stopped => order.from,
            // Another change may have come between the question and its turn.
            Target::Role(_) => self.shared.cell.load().role.name(),
        };
        let to = order.target.name();
        let mut record =
            TransitionRecord::begin(from, to, order.reason.clone(), &order.requested_by);
        record.grace = order.grace.map(|grace| grace.as_secs_f64());
        record.id = self.shared.transitions.push(record.clone());
        log::debug!("{from} to {to} begins: {}", record.reason);
        self.record = Some(record);
    }

    fn is_stop(&self) -> bool {
        self.machine.is_stopping()
    }

    fn quiesce(&mut self) {
        let now = crate::clock::now();
        if self.is_stop() {
            self.acceptor.iter().for_each(|acceptor| acceptor.stop());
            self.shared.cell.draining("the server is stopping", now);
        } else {
            self.shared.cell.demoting(now);
        }
        self.tell_tx(Control::CloseIdleReservations);
        let (serial, is_stop) = (self.machine.serial(), self.is_stop());
        // After the cell: whatever an arbiter admits from then on is of the new state.
        for worker in &self.peers.workers {
            worker.quiesce(serial, is_stop);
        }
    }

    fn kill(&mut self) {
        self.fence_off();
        self.tell_tx(Control::CloseAllReservations);
        let (serial, is_stop) = (self.machine.serial(), self.is_stop());
        for worker in &self.peers.workers {
            worker.cut_off(serial, is_stop);
        }
    }

    /// Nothing that was admitted so far is written from now on.
    fn fence_off(&mut self) {
        let shared = &self.shared;
        let is_write_under_way = shared.raise_fence();
        if let Some(record) = &mut self.record {
            record.write_under_way |= is_write_under_way;
        }
        // It aborts what is open, if it hears.
        self.tell_tx(Control::HeedFence);
    }

    /// Nobody waits for it: Tx may be deaf for long.
    fn tell_tx(&self, control: Control) {
        if let Some(tx) = &self.tx {
            tx.control(control);
        }
    }

    fn settle(&mut self, target: Target) {
        let now = crate::clock::now();
        if target != Target::Role(Role::Primary) {
            self.fence_off();
        }
        match target {
            Target::Stopped => {
                self.shared.cell.stopped(now);
                // The data are let go, whoever still holds a handle.
                self.shared.publish_view(None);
            }
            Target::Role(role) => {
                self.shared.cell.settle_role(role, now);
                self.tell_tx(Control::ReopenReservations);
            }
        }
    }

    fn end(&mut self, report: &Report, ctx: &mut Context<Self>) {
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

    /// The runtime is stopped: tells whoever waits for it.
    fn finish(&mut self, report: &Report) {
        let left = report.workers_left.iter().map(|worker| {
            let counters = &self.shared.counters[*worker];
            counters.in_flight.load(Ordering::Relaxed)
        });
        let toll = &report.toll;
        let cut_off =
            toll.revoked.total() + toll.killed.total() + toll.unread + left.sum::<usize>();
        for worker in &self.workers {
            worker.stop();
        }
        self.tx_arbiter.stop();
        let report = StopReport {
            killed: cut_off,
            aborted_transactions: toll.transactions,
            tx_stopped: report.tx_stopped,
            took: report.took(),
            failure: self.failure.clone(),
        };
        // Nobody listening is no fault: an embedder may have dropped its handle.
        let _ = self.stopped.send(Some(report));
    }

    fn tell(&self, asker: Asker, verdict: Verdict) {
        let result = TransitionResult::from(verdict);
        let is_carried_out = result == TransitionResult::Done;
        let outcome = TransitionOutcome {
            result,
            transition: self.record.clone().filter(|_| is_carried_out),
        };
        match asker {
            Asker::Nobody => {}
            Asker::Session(reply_to) => {
                if let Some(worker) = self.peers.workers.get(reply_to.worker) {
                    worker.transition_over(reply_to, outcome);
                }
            }
            // It may have lost interest.
            Asker::Embedder(told) => drop(told.send(outcome)),
        }
    }

    /// Wanted and actual state, for `vestibule.state` and error fields.
    fn show(&self) {
        let id = self.record.as_ref().map_or(0, |record| record.id);
        let under_way = self.machine.under_way();
        let under_way = under_way.map(|(order, phase, deadline)| Underway {
            id,
            to: order.target.name(),
            phase: phase.name(),
            reason: order.reason.clone(),
            requested_by: order.requested_by.clone(),
            deadline,
        });
        let wanted = self.machine.wanted();
        self.shared.cell.show_transition(under_way, wanted);
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
        "{} to {} {} after {:.0} ms ({}{by}): waited for {} requests and {} transactions, revoked {}, \
         cut off {} with the outcome unknown, aborted {} transactions{unread}{left}",
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
