//! The machine against a world of arbiters that answer or do not, in every order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const GRACE: Duration = Duration::from_secs(3);
const WAIT: Duration = Duration::from_secs(10);
const DEMOTE: Target = Target::Role(Role::Replica);
const PROMOTE: Target = Target::Role(Role::Primary);

fn order(target: Target, caller: u64, grace: Option<Duration>) -> Order {
    Order {
        target,
        lameduck: Duration::ZERO,
        grace,
        wait: WAIT,
        caller: CallerId(caller),
        from: "assist",
        reason: "test".to_owned(),
        requested_by: "test".to_owned(),
    }
}

/// The machine, a clock, and what came of its actions.
struct Bench {
    machine: Machine,
    start: Instant,
    now: Instant,
    answers: BTreeMap<u64, Verdict>,
    reports: Vec<Report>,
    settled: Vec<Target>,
    /// What was asked of the arbiters and of Tx and is not answered.
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
            machine: Machine::new(workers, Role::Primary),
            start: now,
            now,
            answers: BTreeMap::new(),
            reports: Vec::new(),
            settled: Vec::new(),
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
                Action::Begin(order) => {
                    let whole = order
                        .grace
                        .map(|own| own.saturating_add(order.lameduck + SLACK));
                    self.latest = whole.and_then(|whole| self.now.checked_add(whole));
                }
                Action::Announce => {}
                Action::Quiesce => self.quiesces += 1,
                Action::Kill => self.kills += 1,
                Action::StopTx => self.tx_stops += 1,
                Action::Settle(target) => self.settled.push(target),
                Action::WakeAt(time) => drop(self.wakes.insert(time)),
                Action::End(report) => {
                    assert!(self.latest.is_none_or(|latest| self.now <= latest));
                    self.reports.push(*report);
                }
                Action::Answer(caller, verdict) => {
                    let told = self.answers.insert(caller.0, verdict);
                    assert_eq!(told, None, "each caller is told once");
                }
            }
        }
    }

    fn ask(&mut self, order: Order) {
        let actions = self.machine.request(self.now, order);
        self.take(actions);
    }

    fn quiesced(&mut self, worker: usize, waiting: Waiting) {
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

    fn killed(&mut self, worker: usize, toll: Toll) {
        let serial = self.machine.serial();
        let actions = self.machine.worker_killed(worker, serial, &toll, self.now);
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

    fn phase(&self) -> Option<Phase> {
        self.machine.under_way().map(|(_, phase, _)| phase)
    }
}

#[test]
fn a_quiet_demotion_is_over_before_its_deadline() {
    let mut bench = Bench::new(2);
    bench.ask(order(DEMOTE, 1, Some(GRACE)));
    assert_eq!(bench.phase(), Some(Phase::Quiesce));
    for worker in 0..2 {
        bench.quiesced(worker, Waiting::default());
    }
    assert_eq!(bench.phase(), Some(Phase::Grace));
    bench.quiet(0);
    assert!(bench.settled.is_empty(), "all of them");
    bench.quiet(1);
    assert_eq!(bench.settled, [DEMOTE]);
    assert_eq!(bench.answers[&1], Verdict::Done);
    assert_eq!((bench.kills, bench.tx_stops), (0, 0));
}

/// whoever does not answer is named, and left behind.
#[test]
fn at_the_deadline_everybody_is_asked_at_once_and_waited_for_no_longer_than_the_slack() {
    let mut bench = Bench::new(2);
    bench.ask(order(DEMOTE, 1, Some(GRACE)));
    let waiting = Waiting {
        transactions: 1,
        ..Waiting::default()
    };
    bench.quiesced(0, waiting);
    bench.quiesced(1, waiting);
    bench.pass(GRACE);
    assert_eq!((bench.kills, bench.phase()), (1, Some(Phase::Kill)));
    bench.killed(0, Toll::default());
    bench.pass(SLACK);
    assert_eq!(bench.settled, [DEMOTE]);
    let report = &bench.reports[0];
    assert_eq!(
        report.workers_left,
        [1],
        "X-06: it is told who did not answer"
    );
    assert_eq!(report.waiting.transactions, 2);
    assert_eq!(report.took(), GRACE + SLACK);
}

#[test]
fn a_stop_waits_for_tx_within_the_same_deadline() {
    let mut bench = Bench::new(1);
    bench.ask(order(Target::Stopped, 1, Some(GRACE)));
    bench.quiesced(0, Waiting::default());
    bench.quiet(0);
    assert_eq!((bench.tx_stops, bench.phase()), (1, Some(Phase::Settle)));
    bench.pass(GRACE + SLACK);
    assert_eq!(bench.settled, [Target::Stopped]);
    assert!(!bench.reports[0].tx_stopped);
    bench.tx_stopped();
    assert_eq!(bench.reports.len(), 1, "too late to matter");
}

#[test]
fn a_tx_that_is_gone_already_is_not_waited_for() {
    let mut bench = Bench::new(1);
    bench.tx_stopped();
    bench.ask(order(Target::Stopped, 1, Some(GRACE)));
    bench.quiesced(0, Waiting::default());
    bench.quiet(0);
    assert_eq!((bench.tx_stops, bench.settled.len()), (0, 1));
}

#[test]
fn the_lameduck_comes_before_the_grace() {
    let mut bench = Bench::new(1);
    bench.ask(Order {
        lameduck: GRACE,
        ..order(Target::Stopped, 1, Some(GRACE))
    });
    assert_eq!((bench.phase(), bench.quiesces), (Some(Phase::Announce), 0));
    bench.pass(GRACE);
    assert_eq!((bench.phase(), bench.quiesces), (Some(Phase::Quiesce), 1));
    bench.pass(GRACE + SLACK);
    assert_eq!(bench.settled, [Target::Stopped]);
    assert_eq!(bench.reports[0].times[Phase::Announce as usize], GRACE);
}

/// SM-13, SM-16: what is cut off when, and that no deadline is none.
#[test]
fn no_grace_kills_at_once_and_no_deadline_never() {
    let mut bench = Bench::new(1);
    bench.ask(order(DEMOTE, 1, Some(Duration::ZERO)));
    assert_eq!(bench.kills, 1);
    let mut bench = Bench::new(1);
    bench.ask(order(DEMOTE, 1, None));
    bench.quiesced(0, Waiting::default());
    bench.pass(Duration::from_secs(1_000_000));
    assert_eq!((bench.kills, bench.phase()), (0, Some(Phase::Grace)));
    bench.quiet(0);
    assert_eq!(bench.settled, [DEMOTE]);
    let mut bench = Bench::new(1);
    bench.ask(order(DEMOTE, 1, Some(Duration::MAX)));
    assert_eq!(bench.machine.under_way().map(|(_, _, at)| at), Some(None));
}

/// SM-10: the same again touches nothing.
#[test]
fn what_is_so_or_under_way_is_not_done_twice() {
    let mut bench = Bench::new(1);
    bench.ask(order(PROMOTE, 1, Some(GRACE)));
    assert_eq!(bench.answers[&1], Verdict::Unchanged);
    bench.ask(order(DEMOTE, 2, Some(GRACE)));
    bench.ask(order(DEMOTE, 3, Some(Duration::ZERO)));
    assert_eq!(
        (bench.quiesces, bench.kills),
        (1, 0),
        "the first deadline holds"
    );
    bench.quiesced(0, Waiting::default());
    bench.quiet(0);
    assert_eq!(
        (bench.answers[&2], bench.answers[&3]),
        (Verdict::Done, Verdict::Done)
    );
}

/// SM-21: a wish that comes during a transition waits for its end, and then wins.
#[test]
fn the_latest_wanted_role_wins() {
    let mut bench = Bench::new(1);
    bench.ask(order(DEMOTE, 1, Some(GRACE)));
    bench.ask(order(PROMOTE, 2, Some(GRACE)));
    assert_eq!(bench.machine.wanted(), Some(Role::Primary));
    bench.ask(order(DEMOTE, 3, Some(GRACE)));
    assert_eq!(bench.machine.wanted(), Some(Role::Replica));
    assert_eq!(bench.answers[&2], Verdict::Superseded);
    bench.ask(order(PROMOTE, 4, Some(GRACE)));
    bench.quiesced(0, Waiting::default());
    bench.quiet(0);
    assert_eq!(bench.settled, [DEMOTE, PROMOTE]);
    assert_eq!(
        (bench.answers[&1], bench.answers[&4]),
        (Verdict::Done, Verdict::Done)
    );
    assert_eq!(bench.machine.wanted(), Some(Role::Primary));
}

/// a wish that waits is answered within its own time, and is then no wish any more.
#[test]
fn whoever_waits_is_told_when_their_time_is_over() {
    let mut bench = Bench::new(1);
    bench.ask(order(DEMOTE, 1, None));
    bench.ask(order(PROMOTE, 2, Some(GRACE)));
    bench.ask(order(DEMOTE, 3, None));
    bench.ask(order(PROMOTE, 4, Some(GRACE)));
    bench.pass(WAIT);
    assert_eq!(
        (bench.answers[&3], bench.answers[&4]),
        (Verdict::TimedOut, Verdict::TimedOut)
    );
    assert_eq!(bench.machine.wanted(), Some(Role::Replica));
    bench.quiesced(0, Waiting::default());
    bench.quiet(0);
    assert_eq!(bench.settled, [DEMOTE]);
}

#[test]
fn a_stop_wins_at_once_and_nothing_follows_it() {
    let mut bench = Bench::new(1);
    bench.ask(order(DEMOTE, 1, None));
    bench.ask(order(PROMOTE, 2, Some(GRACE)));
    let serial = bench.machine.serial();
    bench.ask(order(Target::Stopped, 3, Some(GRACE)));
    for caller in [1, 2] {
        assert_eq!(bench.answers[&caller], Verdict::Superseded);
    }
    assert!(bench.reports[0].is_superseded);
    bench.ask(order(PROMOTE, 4, Some(GRACE)));
    assert_eq!(bench.answers[&4], Verdict::Superseded);
    // Late news of the demotion says nothing about the stop.
    let late = bench.machine.worker_quiet(0, serial, bench.now);
    assert_eq!(late, []);
    bench.ask(order(Target::Stopped, 5, Some(Duration::ZERO)));
    bench.pass(GRACE + SLACK);
    assert_eq!(
        (bench.answers[&3], bench.answers[&5]),
        (Verdict::Done, Verdict::Done)
    );
    bench.ask(order(DEMOTE, 6, Some(GRACE)));
    assert_eq!(bench.answers[&6], Verdict::Superseded);
    assert_eq!(bench.settled, [Target::Stopped]);
    assert_eq!(bench.machine.wanted(), None);
}

/// A step of the world.
#[derive(Debug, Clone, Copy)]
enum Step {
    Ask(Target, u64),
    Quiesced(usize),
    Quiet(usize),
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
        1 => Just(Target::Stopped),
    ];
    let step = prop_oneof![
        3 => (target, 0u64..5000).prop_map(|(target, grace)| Step::Ask(target, grace)),
        3 => (0usize..2).prop_map(Step::Quiesced),
        3 => (0usize..2).prop_map(Step::Quiet),
        2 => (0usize..2).prop_map(Step::Killed),
        1 => (0usize..2).prop_map(Step::Late),
        1 => Just(Step::TxStopped),
        6 => (0u64..2000).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whatever the arbiters, Tx and the callers do: each transition ends in time (that is asserted at its
    /// end), its phases are all of its time, each caller is told once, and the last wish is what comes.
    #[test]
    fn every_transition_ends_in_time_and_every_caller_is_told(steps in steps()) {
        let mut bench = Bench::new(2);
        let (mut asked, mut last_role, mut stopped) = (0, Role::Primary, false);
        for step in steps {
            match step {
                Step::Ask(target, grace) => {
                    asked += 1;
                    bench.ask(order(target, asked, Some(Duration::from_millis(grace))));
                    match target {
                        Target::Stopped => stopped = true,
                        Target::Role(role) if !stopped => last_role = role,
                        Target::Role(_) => {}
                    }
                }
                Step::Quiesced(worker) => bench.quiesced(worker, Waiting::default()),
                Step::Quiet(worker) => bench.quiet(worker),
                Step::Killed(worker) => bench.killed(worker, Toll::default()),
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
        // A demotion, a promotion and a stop at most are left: nobody answers any more.
        bench.pass(Duration::from_secs(60));
        prop_assert!(bench.machine.under_way().is_none(), "it always ends");
        prop_assert_eq!(bench.answers.len() as u64, asked, "everybody is told");
        prop_assert_eq!(bench.settled.contains(&Target::Stopped), stopped);
        let sum: Duration = bench.reports.iter().map(Report::took).sum();
        prop_assert!(sum <= bench.now - bench.start, "one at a time");
        if !stopped {
            let role = bench.settled.last().map_or(Target::Role(Role::Primary), |last| *last);
            prop_assert_eq!(role, Target::Role(last_role));
        }
    }
}
