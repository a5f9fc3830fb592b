//! Drains of upstreams, one after another with changes of the role.

use std::time::{Duration, Instant};

use super::*;
use crate::limits::TRANSITION_SLACK;
use crate::serving::{Role, UpstreamUse};

const DEMOTE: TransitionTarget = TransitionTarget::Role(Role::Replica);

fn drain(upstream: usize) -> TransitionTarget {
    TransitionTarget::Upstream(upstream, UpstreamUse::Drained)
}

fn restore(upstream: usize) -> TransitionTarget {
    TransitionTarget::Upstream(upstream, UpstreamUse::Used)
}

/// A machine of one worker, and what it has established and answered.
struct Bench {
    machine: Machine,
    now: Instant,
    established: Vec<TransitionTarget>,
    answers: Vec<(u64, TransitionResult)>,
}

impl Bench {
    fn new() -> Self {
        Self {
            machine: Machine::new(1, Role::Primary, TRANSITION_SLACK),
            now: Instant::now(),
            established: Vec::new(),
            answers: Vec::new(),
        }
    }

    fn take(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Establish(target) => self.established.push(target),
                Action::Answer(caller, result) => self.answers.push((caller.0, result)),
                _ => {}
            }
        }
    }

    fn ask(&mut self, caller: u64, target: TransitionTarget) {
        let request = TransitionRequest {
            target,
            lameduck: Duration::ZERO,
            grace: Some(Duration::from_secs(3)),
            asked: AskedTimes::default(),
            wait: Duration::from_secs(10),
            reason: "test".to_owned(),
            requested_by: "test".to_owned(),
        };
        let actions = self.machine.request(self.now, CallerId(caller), request);
        self.take(actions);
    }

    /// Nothing is left that the one under way waits for.
    fn finish(&mut self) {
        let serial = self.machine.serial();
        let waiting = WaitedFor::default();
        let actions = self.machine.worker_quiesced(0, serial, &waiting, self.now);
        self.take(actions);
        let actions = self.machine.worker_quiet(0, serial, self.now);
        self.take(actions);
    }

    fn told(&mut self) -> Vec<(u64, TransitionResult)> {
        std::mem::take(&mut self.answers)
    }
}

#[test]
fn of_each_upstream_and_of_the_role_the_latest_wanted_wins() {
    use TransitionResult::{Done, Superseded, Unchanged};
    let mut own = Bench::new();
    own.ask(1, restore(0));
    assert_eq!(own.told(), [(1, Unchanged)]);
    own.ask(2, drain(0));
    // Nobody else's matter, and so already.
    own.ask(3, restore(1));
    assert_eq!(own.told(), [(3, Unchanged)]);
    own.ask(4, drain(0));
    own.ask(5, restore(0));
    own.ask(6, drain(1));
    own.ask(7, DEMOTE);
    own.ask(8, restore(1));
    assert_eq!(own.told(), [(6, Superseded)], "by the one of its upstream");
    assert_eq!(own.machine.wanted(), Some(Role::Replica));
    own.finish();
    // Restoring takes no time, and then it is the role's turn.
    assert_eq!(own.told(), [(2, Done), (4, Done), (5, Done)]);
    own.finish();
    assert_eq!(own.told(), [(7, Done), (8, Unchanged)]);
    assert_eq!(own.established, [drain(0), restore(0), DEMOTE]);
    assert!(own.machine.under_way().is_none());
}

#[test]
fn who_wants_the_one_under_way_after_all_joins_it() {
    use TransitionResult::{Done, Superseded};
    let mut own = Bench::new();
    own.ask(1, drain(0));
    own.ask(2, restore(0));
    own.ask(3, DEMOTE);
    own.ask(4, drain(0));
    assert_eq!(own.told(), [(2, Superseded)], "and not the role");
    own.finish();
    assert_eq!(own.told(), [(1, Done), (4, Done)]);
    own.finish();
    assert_eq!(own.told(), [(3, Done)]);
}

#[test]
fn a_stop_comes_before_all_that_waits() {
    use TransitionResult::Superseded;
    let mut own = Bench::new();
    own.ask(1, drain(0));
    own.ask(2, drain(1));
    own.ask(3, DEMOTE);
    own.ask(4, TransitionTarget::Stopped);
    let mut told = own.told();
    told.sort_by_key(|(caller, _)| *caller);
    assert_eq!(told, [1, 2, 3].map(|caller| (caller, Superseded)));
    assert!(own.machine.is_stopping());
    own.ask(5, drain(1));
    assert_eq!(own.told(), [(5, Superseded)]);
}

#[test]
fn a_drain_ends_in_time_whatever_its_worker_does() {
    let mut own = Bench::new();
    own.ask(1, drain(0));
    for time in [Duration::from_secs(3), TRANSITION_SLACK] {
        assert!(own.established.is_empty());
        own.now += time;
        let actions = own.machine.on_time(own.now);
        own.take(actions);
    }
    assert_eq!(own.established, [drain(0)]);
}
