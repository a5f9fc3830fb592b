//! The machine against a world of workers that answer or do not, in every order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::limits::TRANSITION_SLACK;
use crate::serving::{Role, TransitionPhase, UpstreamUse};

const GRACE: Duration = Duration::from_secs(3);
const WAIT: Duration = Duration::from_secs(10);
const DEMOTE: TransitionTarget = TransitionTarget::Role(Role::Replica);
const PROMOTE: TransitionTarget = TransitionTarget::Role(Role::Primary);

fn request(target: TransitionTarget, grace: Option<Duration>) -> TransitionRequest {
    TransitionRequest {
        target,
        lameduck: Duration::ZERO,
        grace,
        asked: AskedTimes {
            lameduck: true,
            grace: true,
        },
        wait: WAIT,
        reason: "test".to_owned(),
        requested_by: "test".to_owned(),
    }
}

/// The machine, a clock, and what came of its actions.
struct Bench {
    machine: Machine,
    start: Instant,
    now: Instant,
    answers: BTreeMap<u64, TransitionResult>,
    reports: Vec<TransitionReport>,
    established: Vec<TransitionTarget>,
    /// What was asked of the workers and of Tx and is not answered.
    kills: usize,
    quiesces: usize,
    tx_stops: usize,
    wakes: BTreeSet<Instant>,
    /// The deadline of the transition under way, with the slack.
    latest: Option<Instant>,
}

impl Bench {
    fn new(workers: usize) -> Self {
        let now = Instant::now();
        Self {
            machine: Machine::new(workers, Role::Primary, TRANSITION_SLACK),
            start: now,
            now,
            answers: BTreeMap::new(),
            reports: Vec::new(),
            established: Vec::new(),
            kills: 0,
            quiesces: 0,
            tx_stops: 0,
            wakes: BTreeSet::new(),
            latest: None,
        }
    }

    fn take(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Begin(request) => {
                    let whole = request
                        .grace
                        .map(|own| own.saturating_add(request.lameduck + TRANSITION_SLACK));
                    self.latest = whole.and_then(|whole| self.now.checked_add(whole));
                }
                Action::Announce => {}
                Action::Shorten(_) => {
                    let (_, _, deadline) = self.machine.under_way().expect("it is under way");
                    self.latest = deadline.map(|own| own.max(self.now) + TRANSITION_SLACK);
                }
                Action::Quiesce => self.quiesces += 1,
                Action::CutOff => self.kills += 1,
                Action::StopTx => self.tx_stops += 1,
                Action::Establish(target) => self.established.push(target),
                Action::WakeAt(time) | Action::WaitUntil(_, time) => drop(self.wakes.insert(time)),
                Action::End(report) => {
                    assert!(self.latest.is_none_or(|latest| self.now <= latest));
                    self.reports.push(*report);
                }
                Action::Answer(caller, result) => {
                    let told = self.answers.insert(caller.0, result);
                    assert_eq!(told, None, "each caller is told once");
                }
            }
        }
    }

    fn ask(&mut self, caller: u64, request: TransitionRequest) {
        let actions = self.machine.request(self.now, CallerId(caller), request);
        self.take(actions);
    }

    fn quiesced(&mut self, worker: usize, waiting: WaitedFor) {
        let serial = self.machine.serial();
        let actions = self
            .machine
            .worker_quiesced(worker, serial, &waiting, self.now);
        self.take(actions);
    }

    fn quiet(&mut self, worker: usize) {
        let serial = self.machine.serial();
        let actions = self.machine.worker_quiet(worker, serial, self.now);
        self.take(actions);
    }

    fn killed(&mut self, worker: usize, cut_off: CutOffCounts) {
        let serial = self.machine.serial();
        let actions = self
            .machine
            .worker_cut_off(worker, serial, &cut_off, self.now);
        self.take(actions);
    }

    fn tx_stopped(&mut self) {
        let actions = self.machine.tx_stopped(self.now);
        self.take(actions);
    }

    /// Time passes, and the machine is woken whenever it asked for it.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.wakes.first().copied().filter(|next| *next <= end) {
            self.wakes.remove(&next);
            self.now = self.now.max(next);
            let actions = self.machine.on_time(self.now);
            self.take(actions);
        }
        self.now = end;
    }

    fn phase(&self) -> Option<TransitionPhase> {
        self.machine.under_way().map(|(_, phase, _)| phase)
    }
}

mod busy;
mod closing;

#[test]
fn a_quiet_demotion_is_over_before_its_deadline() {
    let mut bench = Bench::new(2);
    bench.ask(1, request(DEMOTE, Some(GRACE)));
    assert_eq!(bench.phase(), Some(TransitionPhase::Quiesce));
    for worker in 0..2 {
        bench.quiesced(worker, WaitedFor::default());
    }
    assert_eq!(bench.phase(), Some(TransitionPhase::Grace));
    bench.quiet(0);
    assert!(bench.established.is_empty(), "all of them");
    bench.quiet(1);
    assert_eq!(bench.established, [DEMOTE]);
    assert_eq!(bench.answers[&1], TransitionResult::Done);
    assert_eq!((bench.kills, bench.tx_stops), (0, 0));
}

/// a worker that does not answer is named, and left behind.
#[test]
fn at_the_deadline_everybody_is_asked_at_once_and_waited_for_no_longer_than_the_slack() {
    let mut bench = Bench::new(2);
    bench.ask(1, request(DEMOTE, Some(GRACE)));
    let waiting = WaitedFor {
        transactions: 1,
        ..WaitedFor::default()
    };
    bench.quiesced(0, waiting);
    bench.quiesced(1, waiting);
    bench.pass(GRACE);
    assert_eq!(
        (bench.kills, bench.phase()),
        (1, Some(TransitionPhase::Abort))
    );
    bench.killed(0, CutOffCounts::default());
    bench.pass(TRANSITION_SLACK);
    assert_eq!(bench.established, [DEMOTE]);
    let report = &bench.reports[0];
    assert_eq!(
        report.workers_left,
        [1],
        "X-06: it is told who did not answer"
    );
    assert_eq!(report.waiting.transactions, 2);
    assert_eq!(report.took(), GRACE + TRANSITION_SLACK);
}

#[test]
fn a_stop_waits_for_tx_within_the_same_deadline() {
    let mut bench = Bench::new(1);
    bench.ask(1, request(TransitionTarget::Stopped, Some(GRACE)));
    bench.quiesced(0, WaitedFor::default());
    bench.quiet(0);
    assert_eq!(
        (bench.tx_stops, bench.phase()),
        (1, Some(TransitionPhase::Settle))
    );
    bench.pass(GRACE + TRANSITION_SLACK);
    assert_eq!(bench.established, [TransitionTarget::Stopped]);
    assert!(!bench.reports[0].tx_stopped);
    bench.tx_stopped();
    assert_eq!(bench.reports.len(), 1, "too late to matter");
}

#[test]
fn a_tx_that_is_gone_already_is_not_waited_for() {
    let mut bench = Bench::new(1);
    bench.tx_stopped();
    bench.ask(1, request(TransitionTarget::Stopped, Some(GRACE)));
    bench.quiesced(0, WaitedFor::default());
    bench.quiet(0);
    bench.killed(0, CutOffCounts::default());
    assert_eq!((bench.tx_stops, bench.established.len()), (0, 1));
}

#[test]
fn the_lameduck_comes_before_the_grace() {
    let mut bench = Bench::new(1);
    let stop = TransitionRequest {
        lameduck: GRACE,
        ..request(TransitionTarget::Stopped, Some(GRACE))
    };
    bench.ask(1, stop);
    assert_eq!(
        (bench.phase(), bench.quiesces),
        (Some(TransitionPhase::Announce), 0)
    );
    bench.pass(GRACE);
    assert_eq!(
        (bench.phase(), bench.quiesces),
        (Some(TransitionPhase::Quiesce), 1)
    );
    bench.pass(GRACE + TRANSITION_SLACK);
    assert_eq!(bench.established, [TransitionTarget::Stopped]);
    assert_eq!(
        bench.reports[0].times[TransitionPhase::Announce as usize],
        GRACE
    );
}

/// SM-13, SM-16: what is cut off when, and that no deadline is none.
#[test]
fn no_grace_kills_at_once_and_no_deadline_never() {
    let mut bench = Bench::new(1);
    bench.ask(1, request(DEMOTE, Some(Duration::ZERO)));
    assert_eq!(bench.kills, 1);
    let mut bench = Bench::new(1);
    bench.ask(1, request(DEMOTE, None));
    bench.quiesced(0, WaitedFor::default());
    bench.pass(Duration::from_secs(1_000_000));
    assert_eq!(
        (bench.kills, bench.phase()),
        (0, Some(TransitionPhase::Grace))
    );
    bench.quiet(0);
    assert_eq!(bench.established, [DEMOTE]);
    let mut bench = Bench::new(1);
    bench.ask(1, request(DEMOTE, Some(Duration::MAX)));
    assert_eq!(bench.machine.under_way().map(|(_, _, at)| at), Some(None));
}

/// SM-10: the same again touches nothing.
#[test]
fn what_is_so_or_under_way_is_not_done_twice() {
    let mut bench = Bench::new(1);
    bench.ask(1, request(PROMOTE, Some(GRACE)));
    assert_eq!(bench.answers[&1], TransitionResult::Unchanged);
    bench.ask(2, request(DEMOTE, Some(GRACE)));
    bench.ask(3, request(DEMOTE, Some(Duration::ZERO)));
    assert_eq!(
        (bench.quiesces, bench.kills),
        (1, 0),
        "the first deadline holds"
    );
    bench.quiesced(0, WaitedFor::default());
    bench.quiet(0);
    assert_eq!(
        (bench.answers[&2], bench.answers[&3]),
        (TransitionResult::Done, TransitionResult::Done)
    );
}

/// SM-21: a wish that comes during a transition waits for its end, and then wins.
#[test]
fn the_latest_wanted_role_wins() {
    let mut bench = Bench::new(1);
    bench.ask(1, request(DEMOTE, Some(GRACE)));
    bench.ask(2, request(PROMOTE, Some(GRACE)));
    assert_eq!(bench.machine.wanted(), Some(Role::Primary));
    bench.ask(3, request(DEMOTE, Some(GRACE)));
    assert_eq!(bench.machine.wanted(), Some(Role::Replica));
    assert_eq!(bench.answers[&2], TransitionResult::Superseded);
    bench.ask(4, request(PROMOTE, Some(GRACE)));
    bench.quiesced(0, WaitedFor::default());
    bench.quiet(0);
    assert_eq!(bench.established, [DEMOTE, PROMOTE]);
    assert_eq!(
        (bench.answers[&1], bench.answers[&4]),
        (TransitionResult::Done, TransitionResult::Done)
    );
    assert_eq!(bench.machine.wanted(), Some(Role::Primary));
}

/// a wish that waits is answered within its own time, and is then no wish any more.
#[test]
fn whoever_waits_is_told_when_their_time_is_over() {
    let mut bench = Bench::new(1);
    bench.ask(1, request(DEMOTE, None));
    bench.ask(2, request(PROMOTE, Some(GRACE)));
    bench.ask(3, request(DEMOTE, None));
    bench.ask(4, request(PROMOTE, Some(GRACE)));
    bench.pass(WAIT);
    assert_eq!(
        (bench.answers[&3], bench.answers[&4]),
        (TransitionResult::TimedOut, TransitionResult::TimedOut)
    );
    assert_eq!(bench.machine.wanted(), Some(Role::Replica));
    bench.quiesced(0, WaitedFor::default());
    bench.quiet(0);
    assert_eq!(bench.established, [DEMOTE]);
}

/// What it asked for comes about, whether it was under way or waited for its turn.
#[test]
fn a_caller_that_withdraws_is_not_told_and_changes_nothing() {
    let mut bench = Bench::new(1);
    bench.ask(1, request(DEMOTE, None));
    bench.ask(2, request(DEMOTE, None));
    bench.ask(3, request(PROMOTE, None));
    assert_eq!(bench.machine.withdraw(CallerId(2)), None);
    let until = bench.machine.withdraw(CallerId(3));
    assert_eq!(until, bench.now.checked_add(WAIT));
    bench.pass(WAIT / 2);
    bench.quiesced(0, WaitedFor::default());
    bench.quiet(0);
    assert_eq!(bench.established[..], [DEMOTE, PROMOTE]);
    assert_eq!(
        bench.answers.into_iter().collect::<Vec<_>>(),
        [(1, TransitionResult::Done)]
    );
}

/// As if they still waited, so that a wish is not carried out long after it was one.
#[test]
fn what_nobody_waits_for_does_not_wait_for_its_turn_any_longer_than_they_would_have() {
    let mut bench = Bench::new(1);
    bench.ask(1, request(DEMOTE, None));
    bench.ask(2, request(PROMOTE, None));
    bench.ask(3, request(PROMOTE, None));
    for caller in [3, 2] {
        bench.machine.withdraw(CallerId(caller));
    }
    assert_eq!(bench.machine.wanted(), Some(Role::Primary));
    bench.pass(WAIT);
    assert_eq!(bench.machine.wanted(), Some(Role::Replica));
    bench.quiesced(0, WaitedFor::default());
    bench.quiet(0);
    assert_eq!(bench.established[..], [DEMOTE]);
}

#[test]
fn a_stop_wins_at_once_and_nothing_follows_it() {
    let mut bench = Bench::new(1);
    bench.ask(1, request(DEMOTE, None));
    bench.ask(2, request(PROMOTE, Some(GRACE)));
    let serial = bench.machine.serial();
    bench.ask(3, request(TransitionTarget::Stopped, Some(GRACE)));
    for caller in [1, 2] {
        assert_eq!(bench.answers[&caller], TransitionResult::Superseded);
    }
    assert!(bench.reports[0].is_superseded);
    bench.ask(4, request(PROMOTE, Some(GRACE)));
    assert_eq!(bench.answers[&4], TransitionResult::Superseded);
    // Late news of the demotion says nothing about the stop.
    let late = bench.machine.worker_quiet(0, serial, bench.now);
    assert_eq!(late, []);
    bench.ask(5, request(TransitionTarget::Stopped, Some(Duration::ZERO)));
    bench.pass(GRACE + TRANSITION_SLACK);
    assert_eq!(
        (bench.answers[&3], bench.answers[&5]),
        (TransitionResult::Done, TransitionResult::Done)
    );
    bench.ask(6, request(DEMOTE, Some(GRACE)));
    assert_eq!(bench.answers[&6], TransitionResult::Superseded);
    assert_eq!(bench.established, [TransitionTarget::Stopped]);
    assert_eq!(bench.machine.wanted(), None);
}

/// A step of the world.
#[derive(Debug, Clone, Copy)]
enum Step {
    Ask(TransitionTarget, u64),
    Quiesced(usize),
    Quiet(usize),
    Busy(usize),
    Killed(usize),
    /// News of a transition that is over.
    Late(usize),
    TxStopped,
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let target = prop_oneof![
        4 => Just(DEMOTE),
        4 => Just(PROMOTE),
        1 => Just(TransitionTarget::Stopped),
        4 => (0usize..2).prop_map(|own| TransitionTarget::Upstream(own, UpstreamUse::Drained)),
        4 => (0usize..2).prop_map(|own| TransitionTarget::Upstream(own, UpstreamUse::Used)),
    ];
    let step = prop_oneof![
        3 => (target, 0u64..5000).prop_map(|(target, grace)| Step::Ask(target, grace)),
        3 => (0usize..2).prop_map(Step::Quiesced),
        3 => (0usize..2).prop_map(Step::Quiet),
        1 => (0usize..2).prop_map(Step::Busy),
        2 => (0usize..2).prop_map(Step::Killed),
        1 => (0usize..2).prop_map(Step::Late),
        1 => Just(Step::TxStopped),
        6 => (0u64..2000).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whatever the workers, Tx and the callers do: each transition ends in time (that is asserted
    /// at its end), its phases are all of its time, each caller is told once, and the last wish is
    /// what comes.
    #[test]
    fn every_transition_ends_in_time_and_every_caller_is_told(steps in steps()) {
        let mut bench = Bench::new(2);
        let (mut asked, mut last_role, mut stopped) = (0, Role::Primary, false);
        let mut uses = [UpstreamUse::Used; 2];
        for step in steps {
            match step {
                Step::Ask(target, grace) => {
                    asked += 1;
                    // What waits has its turn in time: of the role, and of each upstream, one.
                    let wait = Duration::from_secs(60);
                    let asks = request(target, Some(Duration::from_millis(grace)));
                    bench.ask(asked, TransitionRequest { wait, ..asks });
                    match target {
                        TransitionTarget::Stopped => stopped = true,
                        TransitionTarget::Role(role) if !stopped => last_role = role,
                        TransitionTarget::Upstream(at, wanted) if !stopped => uses[at] = wanted,
                        TransitionTarget::Role(_) | TransitionTarget::Upstream(..) => {}
                    }
                }
                Step::Quiesced(worker) => bench.quiesced(worker, WaitedFor::default()),
                Step::Quiet(worker) => bench.quiet(worker),
                Step::Busy(worker) => bench.machine.worker_busy(worker),
                Step::Killed(worker) => bench.killed(worker, CutOffCounts::default()),
                Step::Late(worker) => {
                    let serial = bench.machine.serial() + 1;
                    let actions = bench.machine.worker_quiet(worker, serial, bench.now);
                    prop_assert_eq!(actions, []);
                }
                // Only a Tx that was asked stops for good.
                Step::TxStopped if bench.tx_stops > 0 => bench.tx_stopped(),
                Step::TxStopped => {}
                Step::Pass(ms) => bench.pass(Duration::from_millis(ms)),
            }
            let wanted = (!stopped).then_some(last_role);
            prop_assert_eq!(bench.machine.wanted(), wanted, "the latest wish wins");
        }
        // One of each at most is left: nobody answers any more.
        bench.pass(Duration::from_secs(60));
        prop_assert!(bench.machine.under_way().is_none(), "it always ends");
        prop_assert_eq!(bench.answers.len() as u64, asked, "everybody is told");
        prop_assert_eq!(bench.established.contains(&TransitionTarget::Stopped), stopped);
        let sum: Duration = bench.reports.iter().map(TransitionReport::took).sum();
        prop_assert!(sum <= bench.now - bench.start, "one at a time");
        if !stopped {
            let first = TransitionTarget::Role(Role::Primary);
            let is_role = |own: &&TransitionTarget| matches!(own, TransitionTarget::Role(_));
            let role = bench.established.iter().rev().find(is_role).copied();
            prop_assert_eq!(role.unwrap_or(first), TransitionTarget::Role(last_role));
            for (at, wanted) in uses.into_iter().enumerate() {
                let is_its = |own: &&TransitionTarget| own.scope() == TransitionScope::Upstream(at);
                let last = bench.established.iter().rev().find(is_its).copied();
                let used = TransitionTarget::Upstream(at, UpstreamUse::Used);
                let wanted = TransitionTarget::Upstream(at, wanted);
                prop_assert_eq!(last.unwrap_or(used), wanted);
            }
        }
    }
}
