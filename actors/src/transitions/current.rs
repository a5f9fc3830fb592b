//! The transition under way: how far it and each worker have come.

use std::time::Instant;

use super::action::{Action, CallerId};
use super::report::{CutOffCounts, PhaseTimes, TransitionReport, WaitedFor};
use super::request::{TransitionRequest, TransitionTarget};
use crate::limits::TRANSITION_SLACK;
use crate::serving::TransitionPhase;

/// Somebody to answer, at the latest at a time of their own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiter {
    pub(super) caller: CallerId,
    pub(super) by: Option<Instant>,
}

impl Waiter {
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.by.is_some_and(|by| now >= by)
    }
}

/// How far a worker has come.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WorkerProgress {
    /// What it waits for, from when it has seen the new state.
    waiting: Option<WaitedFor>,
    is_quiet: bool,
    cut_off: Option<CutOffCounts>,
    /// The worker's thread has ended: nobody waits for it.
    is_gone: bool,
}

/// The transition under way.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) serial: u64,
    pub(super) request: TransitionRequest,
    pub(super) phase: TransitionPhase,
    entered: Instant,
    times: PhaseTimes,
    pub(super) quiesce_at: Instant,
    /// When what still runs is cut off; `None` never.
    pub(super) deadline: Option<Instant>,
    /// When nobody is waited for any longer; `None` before that is known, or never.
    pub(super) end: Option<Instant>,
    /// Every worker was asked to answer its clients.
    has_cut_off: bool,
    workers: Vec<WorkerProgress>,
    pub(super) waiters: Vec<Waiter>,
}

impl Current {
    /// One that begins now and quiesces at that time. `gone`: whose threads have ended, by worker.
    pub(super) fn new(
        serial: u64,
        request: TransitionRequest,
        gone: &[bool],
        now: Instant,
        quiesce_at: Instant,
        waiters: Vec<Waiter>,
    ) -> Self {
        Self {
            serial,
            phase: TransitionPhase::Announce,
            entered: now,
            times: PhaseTimes::default(),
            quiesce_at,
            // A grace too long to be added to a clock is no deadline at all.
            deadline: request
                .grace
                .and_then(|grace| quiesce_at.checked_add(grace)),
            end: None,
            has_cut_off: false,
            workers: gone.iter().map(WorkerProgress::first).collect(),
            waiters,
            request,
        }
    }

    /// A later caller of a stop gives it less time, if it asks for less than is left.
    pub(super) fn shorten(
        &mut self,
        now: Instant,
        request: &TransitionRequest,
        actions: &mut Vec<Action>,
    ) {
        let before = (self.quiesce_at, self.deadline);
        let announced_until = now.checked_add(request.lameduck);
        let is_sooner = |at: &Instant| request.asked.lameduck && *at < self.quiesce_at;
        if let Some(at) = announced_until.filter(is_sooner)
            && self.phase == TransitionPhase::Announce
        {
            // What was given from then on is given still, from the new beginning.
            let grace = self.deadline.map(|own| own - self.quiesce_at);
            self.deadline = grace.and_then(|grace| at.checked_add(grace));
            self.quiesce_at = at;
        }
        let grace = request.grace.filter(|_| request.asked.grace);
        let deadline = grace.and_then(|own| self.quiesce_at.max(now).checked_add(own));
        let is_sooner = |at: &Instant| self.deadline.is_none_or(|own| *at < own);
        if let Some(at) = deadline.filter(is_sooner) {
            self.deadline = Some(at);
            if self.phase == TransitionPhase::Settle {
                // What was left of the grace was Tx's.
                let end = at + TRANSITION_SLACK;
                self.end = Some(self.end.map_or(end, |own| own.min(end)));
                actions.extend(self.end.map(Action::WakeAt));
            }
        }
        if before != (self.quiesce_at, self.deadline) {
            actions.push(Action::WakeAt(self.quiesce_at));
            actions.extend(self.deadline.map(Action::WakeAt));
            let grace = self.deadline.map(|own| own - self.quiesce_at);
            actions.extend(grace.map(Action::Shorten));
        }
    }

    pub(super) fn enter(&mut self, phase: TransitionPhase, now: Instant) {
        let spent = now.saturating_duration_since(self.entered);
        self.times[self.phase as usize] += spent;
        self.entered = self.entered.max(now);
        self.phase = phase;
    }

    /// Every worker is to answer its clients now.
    pub(super) fn cut_off(&mut self, actions: &mut Vec<Action>) {
        self.has_cut_off = true;
        actions.push(Action::CutOff);
    }

    /// Of a stop for which nothing was under way when Tx was asked to close its engine: whether
    /// nobody but the workers is left to answer what administrators have asked for since. Tx hears
    /// none of that, and has closed, or its time is over.
    pub(super) fn is_left_unanswered(&self, tx_stopped: bool, now: Instant) -> bool {
        let is_over = || self.deadline.is_some_and(|deadline| now >= deadline);
        self.is_stop() && !self.has_cut_off && (tx_stopped || is_over())
    }

    /// Of a stop: whether Tx, or a worker that answers its clients, is waited for still.
    pub(super) fn is_closing(&self, tx_stopped: bool, now: Instant) -> bool {
        let is_over = self.end.is_some_and(|end| now >= end);
        self.is_stop() && !is_over && !(tx_stopped && self.have_all_cut_off())
    }

    fn is_stop(&self) -> bool {
        self.request.target == TransitionTarget::Stopped
    }

    /// The progress of a worker, if there is such a one.
    pub(super) fn worker(&mut self, worker: usize) -> Option<&mut WorkerProgress> {
        self.workers.get_mut(worker)
    }

    pub(super) fn have_all_quiesced(&self) -> bool {
        self.workers
            .iter()
            .all(|own| own.is_gone || own.waiting.is_some())
    }

    pub(super) fn are_all_quiet(&self) -> bool {
        self.workers.iter().all(|own| own.is_gone || own.is_quiet)
    }

    pub(super) fn have_all_cut_off(&self) -> bool {
        self.workers
            .iter()
            .all(|own| own.is_gone || own.cut_off.is_some())
    }

    /// How it went, if it ends now.
    pub(super) fn report(&self, is_superseded: bool, tx_stopped: bool) -> TransitionReport {
        let mut report = TransitionReport {
            times: self.times,
            waiting: WaitedFor::default(),
            cut_off: CutOffCounts::default(),
            left: WaitedFor::default(),
            is_superseded,
            workers_left: Vec::new(),
            tx_stopped,
        };
        for (index, worker) in self.workers.iter().enumerate() {
            let waiting = worker.waiting.unwrap_or_default();
            report.waiting.merge(&waiting);
            report.cut_off.merge(&worker.cut_off.unwrap_or_default());
            if worker.cut_off.is_none() {
                if !worker.is_quiet {
                    report.left.merge(&waiting);
                }
                if self.has_cut_off && !worker.is_gone {
                    report.workers_left.push(index);
                }
            }
        }
        report
    }
}

impl WorkerProgress {
    /// At the beginning, of a worker that is gone or not.
    fn first(is_gone: &bool) -> Self {
        Self {
            is_gone: *is_gone,
            ..Self::default()
        }
    }

    /// The worker's thread has ended.
    pub(super) fn gone(&mut self) {
        self.is_gone = true;
    }

    /// The worker has seen the new state.
    pub(super) fn quiesced(&mut self, waiting: WaitedFor) {
        self.waiting.get_or_insert(waiting);
    }

    /// The worker has nothing left to wait for.
    pub(super) fn quiet(&mut self) {
        self.is_quiet = true;
    }

    /// The worker waits for something again.
    pub(super) fn busy(&mut self) {
        self.is_quiet = false;
    }

    /// The worker has answered its clients.
    pub(super) fn cut_off(&mut self, counts: CutOffCounts) {
        self.cut_off.get_or_insert(counts);
    }
}
