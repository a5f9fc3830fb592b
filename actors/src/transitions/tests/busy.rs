//! Workers of which an administrator asks something again.

use super::*;

/// A transition of two workers, of which the second is not quiet yet.
fn half_quiet(target: TransitionTarget) -> Bench {
    let mut bench = Bench::new(2);
    bench.ask(1, request(target, Some(GRACE)));
    (0..2).for_each(|worker| bench.quiesced(worker, WaitedFor::default()));
    bench.quiet(0);
    bench
}

/// what the answer tells of was the last that the stop waited for.
#[test]
fn a_stop_waits_for_an_answer_that_an_administrator_asked_for_before_it_was_done() {
    let mut bench = half_quiet(TransitionTarget::Stopped);
    bench.machine.worker_busy(0);
    bench.quiet(1);
    assert_eq!(bench.phase(), Some(TransitionPhase::Grace));
    bench.quiet(0);
    assert_eq!(bench.phase(), Some(TransitionPhase::Settle));
    assert_eq!((bench.tx_stops, bench.kills), (1, 0));
    // It has gone on, and does not come back.
    bench.machine.worker_busy(0);
    bench.tx_stopped();
    (0..2).for_each(|worker| bench.killed(worker, CutOffCounts::default()));
    assert_eq!(bench.established, [TransitionTarget::Stopped]);
}

#[test]
fn an_answer_that_does_not_come_holds_up_no_stop_beyond_its_deadline() {
    let mut bench = half_quiet(TransitionTarget::Stopped);
    bench.machine.worker_busy(0);
    bench.quiet(1);
    bench.pass(GRACE);
    assert_eq!(
        (bench.phase(), bench.kills),
        (Some(TransitionPhase::Abort), 1)
    );
}

#[test]
fn a_demotion_waits_for_no_administrator() {
    let mut bench = half_quiet(DEMOTE);
    bench.machine.worker_busy(0);
    bench.quiet(1);
    assert_eq!(bench.established, [DEMOTE]);
}
