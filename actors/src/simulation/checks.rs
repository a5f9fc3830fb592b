//! What has to hold in a world: looked at whenever time has passed, and at its end.

use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::sync::oneshot;

use super::asked::What;
use super::client::{Client, Told};
use super::clock;
use super::engine::{LARGE_REPLY, LARGE_REQUEST};
use super::runtime::MARGIN;
use super::world::World;
use crate::config::{Settings, SoloPolicy};
use crate::limits::WORKER_REQUESTS_MAX;
use crate::serving::{Role, State, StateOrRole};
use crate::shared::WorkerCounters;
use crate::transitions::{RecordedResult, TransitionRecord, TransitionResult};

/// What connections of two workers hold at most.
pub(super) fn memory_bound(settings: &Settings) -> usize {
    // One reply of Tx, and of each worker one while it is handed over, one request that goes
    // beyond the bound, and one without which it would never have room again; buffers double.
    let beyond = 3 * (LARGE_REPLY + 1024) + 2 * 2 * LARGE_REQUEST;
    settings.connection_limits.memory_max + 2 * beyond
}

const TO_REPLICA: StateOrRole = StateOrRole::Role(Role::Replica);

impl World {
    /// Every caller is answered, once and in time.
    pub(super) fn hear_answers(&mut self) {
        let now = clock::now();
        let is_stopped = self.runtime.stopped.borrow().is_some();
        let (stats, engine) = (&mut self.stats, &self.engine);
        let writing = engine.ledger().writing();
        let reading = self
            .runtime
            .clients
            .iter()
            .filter(|own| own.hears_at_once());
        let waits: Vec<u64> = reading.flat_map(Client::writing).collect();
        self.runtime.callers.retain_mut(|caller| {
            let outcome = match caller.answer.try_recv() {
                Ok(outcome) => outcome,
                Err(oneshot::error::TryRecvError::Empty) if now <= caller.due => return true,
                // A Supervisor that has stopped hears nobody.
                Err(oneshot::error::TryRecvError::Closed) if is_stopped => return false,
                Err(fault) => {
                    let late = now.saturating_duration_since(caller.due);
                    let target = caller.target;
                    let fault = format!("the caller of {target:?}: {fault}, {late:?} late");
                    engine.ledger().fault(fault);
                    return false;
                }
            };
            let name = match outcome.result {
                TransitionResult::Done => "done",
                TransitionResult::Unchanged => "unchanged",
                TransitionResult::Superseded => "superseded",
                TransitionResult::TimedOut => "timed out",
            };
            *stats.answers.entry(name).or_default() += 1;
            engine
                .ledger()
                .note(|| format!("told {:?}: {outcome:?}", caller.target));
            let record = outcome.transition.as_ref();
            // It came to its end without a kill.
            let is_early = record.is_some_and(|own| {
                own.to == TO_REPLICA && own.grace.is_some_and(|grace| own.took < grace)
            });
            let unfinished = writing.iter().find(|key| waits.contains(key));
            if let Some(key) = unfinished.filter(|_| is_early) {
                let fault =
                    format!("a demotion did not wait for the write of key {key}: {record:?}");
                engine.ledger().fault(fault);
            }
            false
        });
    }

    /// Every transition ends in time.
    pub(super) fn check_records(&mut self) {
        for record in self.runtime.shared.transitions.rows() {
            let is_role_or_stop = match record.to {
                StateOrRole::Role(_) => true,
                StateOrRole::State(state) => state == State::Stopped,
                StateOrRole::Upstream(_) => false,
            };
            let is_over = record.result != RecordedResult::UnderWay;
            if !is_role_or_stop || !is_over || !self.checked.insert(record.id) {
                continue;
            }
            self.stats.transitions += 1;
            if record.to == TO_REPLICA && record.grace.is_some_and(|grace| record.took >= grace) {
                self.last_cut_off = clock::now();
            }
            self.check_sums(&record);
            let announced = record.phases.announce;
            let bound = announced + record.grace.unwrap_or_default() + MARGIN;
            if record.took > bound {
                self.engine
                    .ledger()
                    .fault(format!("a transition took too long: {record:?}"));
            }
        }
    }

    /// What a record says of requests and transactions adds up, class by class.
    fn check_sums(&mut self, record: &TransitionRecord) {
        let all = record.waited_for.and(&record.joined);
        let told = record.finished.and(&record.revoked).and(&record.killed);
        let told = told.and(&record.left);
        let transactions = record.waited_for_transactions + record.joined_transactions;
        let told_transactions = record.finished_transactions
            + record.aborted_transactions
            + record.unknown_transactions
            + record.left_transactions;
        if all != told || transactions != told_transactions {
            let fault = format!("the sums of a record do not close: {record:?}");
            self.engine.ledger().fault(fault);
        }
        self.stats.aborted += record.aborted_transactions;
        self.stats.joined += record.joined.total();
    }

    /// Clients read what has come.
    pub(super) fn receive(&mut self, last_look: Instant) {
        let mut ledger = self.engine.ledger();
        let stats = &mut self.stats;
        let mut clients = std::mem::take(&mut self.runtime.clients);
        let mut count = |what: What, own: Told| {
            *stats.told.entry(own).or_default() += 1;
            if matches!(what, What::Commit(_)) {
                *stats.commits.entry(own).or_default() += 1;
            }
        };
        let ends = &mut self.half_closed_ends;
        let mut chunked = Vec::new();
        clients.retain_mut(|client| {
            let stays = !client.is_reading || client.receive(&mut ledger, &mut count);
            if !stays {
                chunked.push(client.chunked);
                if client.has_ended {
                    let unanswered = client.waiting();
                    ends.push((client.connection, unanswered));
                }
            }
            stays
        });
        chunked.iter().for_each(|own| stats.count_chunks(own));
        for begun in clients.iter_mut().flat_map(|own| own.cut_off.drain(..)) {
            if begun > self.last_cut_off {
                ledger.fault("a transaction was cut off by no demotion's deadline".to_owned());
            }
        }
        let overdue = clients.iter().filter(|own| own.is_reading);
        let faults: Vec<_> = overdue.filter_map(|own| own.overdue(last_look)).collect();
        faults.into_iter().for_each(|fault| ledger.fault(fault));
        self.runtime.clients = clients;
    }

    /// A stop that cut nothing off has let every client hear its answers that still listened,
    /// though it had no more to say.
    pub(super) fn check_half_closed(&mut self) {
        let ends = std::mem::take(&mut self.half_closed_ends);
        let is_heard = |own: &&(u64, usize)| own.1 == 0;
        self.stats.half_closed += ends.iter().filter(is_heard).count();
        let settings = self.runtime.settings();
        let policies = [settings.solo_policy, settings.solo_policy_new];
        let report = self.runtime.stopped.borrow().clone();
        let Some(report) = report.filter(|own| own.killed == 0 && own.aborted_transactions == 0)
        else {
            return;
        };
        if policies.contains(&SoloPolicy::Close) || !report.tx_stopped {
            return;
        }
        let is_cut = |own: &&(u64, usize)| own.1 > 0 && !self.victims.contains(&own.0);
        if let Some((connection, count)) = ends.iter().find(is_cut) {
            let text = format!("{count} requests of {connection} were forgotten: {report:?}");
            self.engine.ledger().fault(text);
        }
    }

    /// No worker has more on its way than it may, and connections hold no more than the bound, and
    /// one reply and two requests of each thread.
    pub(super) fn check_bounds(&self) {
        let has_too_many = |worker: &WorkerCounters| {
            worker.in_flight.load(Ordering::Relaxed) > WORKER_REQUESTS_MAX
        };
        if self.runtime.shared.counters.iter().any(has_too_many) {
            self.engine
                .ledger()
                .fault("more requests than there may be".to_owned());
        }
        let most = memory_bound(&self.runtime.settings());
        let used = self.runtime.shared.memory.used();
        if used > most {
            let fault = format!("{used} bytes for connections, of {most} that there may be");
            self.engine.ledger().fault(fault);
        }
    }

    /// Ends the world if anything was wrong.
    pub(super) fn fail_on_faults(&self) {
        let ledger = self.engine.ledger();
        if let Some(fault) = ledger.faults().first() {
            let serving = self.runtime.shared.serving.load();
            let (fault, parked) = (fault.clone(), self.tx.parked);
            drop(ledger);
            panic!("{fault}; {serving:?}, Tx stands at {parked:?}");
        }
    }

    /// After a stop.
    pub(super) fn check_nothing_is_left(&self) {
        let waiting: usize = self.runtime.clients.iter().map(Client::waiting).sum();
        assert_eq!(
            (self.runtime.clients.len(), waiting),
            (0, 0),
            "connections, requests"
        );
        assert!(self.runtime.callers.is_empty(), "every caller is answered");
        let in_flight = self.runtime.shared.in_flight_count();
        assert_eq!(in_flight, 0, "requests on their way");
        assert_eq!(self.runtime.shared.queued_count(), 0, "requests queued");
        assert_eq!(self.runtime.shared.connection_count(), 0, "slots");
        assert_eq!(self.runtime.shared.memory.used(), 0, "memory");
        let reservations = self.runtime.shared.reservations.rows(clock::now());
        assert_eq!(reservations.len(), 0, "reservations");
    }
}
