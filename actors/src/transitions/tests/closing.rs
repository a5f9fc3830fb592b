//! A stop whose Tx is closing its engine: what administrators ask for meanwhile, it does not hear.

use super::*;
use crate::transitions::Counts;

/// A stop of one worker, which is quiet: Tx is asked to close its engine.
fn closing(grace: Option<Duration>) -> Bench {
    let mut bench = Bench::new(1);
    bench.ask(1, request(TransitionTarget::Stopped, grace));
    bench.quiesced(0, WaitedFor::default());
    bench.quiet(0);
    assert_eq!((bench.tx_stops, bench.kills), (1, 0));
    bench
}

/// A COMMIT that came too late for Tx to hear it.
fn one_revoked() -> CutOffCounts {
    let commit = Counts {
        commit: 1,
        ..Counts::default()
    };
    CutOffCounts {
        revoked: commit,
        joined: commit,
        ..CutOffCounts::default()
    }
}

#[test]
fn what_tx_did_not_hear_is_answered_and_counted_when_it_has_closed() {
    let mut bench = closing(Some(GRACE));
    bench.tx_stopped();
    assert_eq!(bench.kills, 1);
    assert!(bench.established.is_empty(), "its clients come first");
    bench.killed(0, one_revoked());
    assert_eq!(bench.established, [TransitionTarget::Stopped]);
    let report = &bench.reports[0];
    assert_eq!(report.cut_off, one_revoked());
    assert!(report.tx_stopped && report.workers_left.is_empty());
    assert_eq!(report.took(), Duration::ZERO);
}

#[test]
fn what_tx_did_not_hear_is_answered_at_the_deadline_if_it_has_not_closed() {
    let mut bench = closing(Some(GRACE));
    bench.pass(GRACE);
    assert_eq!(
        (bench.phase(), bench.kills),
        (Some(TransitionPhase::Settle), 1)
    );
    bench.killed(0, one_revoked());
    assert!(bench.established.is_empty(), "Tx has the slack still");
    bench.tx_stopped();
    assert_eq!(bench.established, [TransitionTarget::Stopped]);
    assert_eq!((bench.kills, bench.reports[0].cut_off), (1, one_revoked()));
}

#[test]
fn a_worker_that_does_not_answer_is_waited_for_until_the_deadline_and_no_longer() {
    let mut bench = closing(Some(GRACE));
    bench.tx_stopped();
    bench.pass(GRACE + TRANSITION_SLACK);
    assert_eq!(bench.established, [TransitionTarget::Stopped]);
    assert_eq!(bench.reports[0].workers_left, [0]);
    // Without one, until somebody has less time.
    let mut bench = closing(None);
    bench.tx_stopped();
    bench.pass(1000 * GRACE);
    assert_eq!((bench.kills, bench.established.len()), (1, 0));
    bench.ask(2, request(TransitionTarget::Stopped, Some(Duration::ZERO)));
    bench.pass(TRANSITION_SLACK);
    assert_eq!(bench.established, [TransitionTarget::Stopped]);
    assert_eq!(bench.reports[0].workers_left, [0]);
}

#[test]
fn a_stop_that_was_cut_off_is_so_once() {
    let mut bench = Bench::new(1);
    bench.ask(1, request(TransitionTarget::Stopped, Some(GRACE)));
    bench.quiesced(0, WaitedFor::default());
    bench.pass(GRACE);
    bench.killed(0, CutOffCounts::default());
    bench.tx_stopped();
    assert_eq!(bench.established, [TransitionTarget::Stopped]);
    assert_eq!((bench.kills, bench.tx_stops), (1, 1));
}

/// Nothing of a role is left when its phases are over.
#[test]
fn no_change_of_the_role_cuts_off_what_is_over() {
    let mut bench = Bench::new(1);
    for target in [DEMOTE, PROMOTE] {
        bench.ask(1, request(target, Some(GRACE)));
        bench.quiesced(0, WaitedFor::default());
        bench.quiet(0);
        bench.answers.clear();
    }
    assert_eq!(bench.established, [DEMOTE, PROMOTE]);
    assert_eq!((bench.kills, bench.tx_stops), (0, 0));
}
