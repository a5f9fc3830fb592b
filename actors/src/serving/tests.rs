use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use vestibule_wire::ErrorCode;
use vestibule_wire::error::Field;

use super::*;
use crate::clock::Clock;
use crate::engine::Progress;
use crate::limits::REASON_SIZE_MAX;

fn ready() -> Arc<ServingCell> {
    let now = Instant::now();
    let cell = ServingCell::new(Role::Primary, Clock::SYSTEM);
    cell.ready(now);
    cell
}

#[test]
fn packing_keeps_state_role_and_epoch() {
    for state in State::ALL {
        for role in Role::ALL {
            for drain_target in DrainTarget::ALL {
                for epoch in [0, 1, u64::MAX >> 8] {
                    let serving = Serving {
                        state,
                        role,
                        drain_target,
                        epoch,
                    };
                    assert_eq!(Serving::from_bits(serving.to_bits()), serving);
                }
            }
        }
    }
}

#[test]
fn solos_nest_and_assist_returns_with_the_last_one() {
    let cell = ready();
    let solos = Solos::new(cell.clone());
    let outer = solos.enter("outer");
    let inner = solos.enter("inner");
    cell.operator_solo("maintenance", Instant::now());
    drop(inner);
    drop(outer);
    assert_eq!(cell.load().state, State::Solo);
    cell.operator_assist(Instant::now());
    assert_eq!(cell.load().state, State::Assist);
}

#[test]
fn a_stall_is_told_only_where_nobody_knows_more_and_ends_by_itself() {
    let (cell, now) = (ready(), Instant::now());
    let guard = Solos::new(cell.clone()).enter("building an index");
    cell.stalled(now);
    assert_eq!(cell.status(now).reason, "building an index");
    drop(guard);
    assert_eq!(cell.status(now).reason, "stalled");
    assert_eq!(cell.load().state, State::Solo);
    cell.operator_assist(now);
    assert_eq!(cell.load().state, State::Solo, "not an operator's");
    cell.moving(now);
    assert_eq!(cell.load().state, State::Assist);
}

#[test]
fn the_epoch_grows_with_every_change_and_only_then() {
    let cell = ready();
    let before = cell.load().epoch;
    let solos = Solos::new(cell.clone());
    let first = solos.enter("first");
    let second = solos.enter("second");
    assert_eq!(cell.load().epoch, before + 1);
    drop((first, second));
    assert_eq!(cell.load().epoch, before + 2);
    cell.set_role(Role::Replica, TransitionView::default(), Instant::now());
    assert_eq!(cell.load().epoch, before + 3);
}

#[test]
fn where_no_upstream_serves_the_error_says_so() {
    let (cell, now) = (ready(), Instant::now());
    let told = || cell.status(now).error(ErrorCode::LOADING);
    cell.upstream_trouble("a: connection refused", now);
    assert_eq!(
        told().message(),
        "No upstream serves: a: connection refused, retry after 1 s"
    );
    cell.operator_solo("maintenance", now);
    let text = "Tx is busy: maintenance, retry after 1 s";
    assert_eq!(told().message(), text, "an operator has said so");
}

#[test]
fn the_busy_error_names_reason_share_and_when_to_return() {
    let cell = ready();
    let guard = Solos::new(cell.clone()).enter("building index 'by_name' of space 'users'");
    guard.progress(43, 100);
    let now = Instant::now() + Duration::from_millis(4300);
    let error = cell.status(now).error(ErrorCode::LOADING);
    assert_eq!(
        error.message(),
        "Tx is busy: building index 'by_name' of space 'users' (43 %), retry after 5.7 s"
    );
    let names: Vec<_> = error
        .fields()
        .iter()
        .map(|(name, _)| name.as_ref())
        .collect();
    assert_eq!(
        names,
        ["state", "reason", "progress", "retry_after", "epoch"]
    );
    assert_eq!(error.fields()[0].1, Field::Str("solo".into()));
}

#[test]
fn nobody_is_refused_without_a_reason() {
    let codes = [ErrorCode::LOADING, ErrorCode::READONLY, ErrorCode::SHUTDOWN];
    let every = State::ALL
        .into_iter()
        .flat_map(|state| Role::ALL.map(|role| (state, role)));
    for (state, role) in every {
        for (drain_target, code) in DrainTarget::ALL
            .into_iter()
            .flat_map(|target| codes.map(|code| (target, code)))
        {
            let status = Status {
                serving: Serving {
                    state,
                    role,
                    drain_target,
                    epoch: 7,
                },
                reason: String::new(),
                ..ready().status(Instant::now())
            };
            let error = status.error(code);
            let text = error.message();
            assert!(!text.contains(": ,") && !text.contains(":  ("), "{text}");
            let reason = error.fields().iter().find(|(name, _)| name == "reason");
            assert_ne!(reason.unwrap().1, Field::Str("".into()), "{state} {text}");
        }
    }
}

#[test]
fn of_a_huge_reason_as_much_is_kept_as_each_refusal_may_tell() {
    let cell = ready();
    let now = Instant::now();
    cell.operator_solo(&"ä".repeat(1 << 20), now);
    let reason = cell.status(now).reason;
    assert!((REASON_SIZE_MAX - 4..=REASON_SIZE_MAX).contains(&reason.len()));
    assert!(reason.starts_with("ää") && reason.ends_with("ä…"));
    let whole = "x".repeat(REASON_SIZE_MAX);
    cell.operator_solo(&whole, now);
    assert_eq!(cell.status(now).reason, whole);
}

#[test]
fn draining_is_not_left_by_a_solo_that_ends() {
    let cell = ready();
    let guard = Solos::new(cell.clone()).enter("busy");
    cell.draining("stop", TransitionView::default(), Instant::now());
    assert_eq!(cell.load().state, State::Draining);
    drop(guard);
    cell.ready(Instant::now());
    assert_eq!(cell.load().state, State::Draining);
    cell.stopped(TransitionView::default(), Instant::now());
    cell.draining("again", TransitionView::default(), Instant::now());
    assert_eq!(cell.load().state, State::Stopped);
}

#[test]
fn every_change_notifies() {
    let cell = ready();
    let notices = Arc::new(AtomicU64::new(0));
    let seen = notices.clone();
    cell.on_change(move || {
        seen.fetch_add(1, Ordering::Relaxed);
    });
    drop(Solos::new(cell.clone()).enter("x"));
    assert_eq!(notices.load(Ordering::Relaxed), 2);
}

#[test]
fn an_announced_stop_changes_the_epoch_and_not_the_state() {
    let cell = ready();
    let before = cell.load();
    cell.announce_stop(TransitionView::default(), Instant::now());
    let announced = cell.load();
    assert_eq!(announced.state, State::Assist);
    assert!(!announced.is_stopping());
    assert_eq!(
        (announced.drain_target, announced.epoch),
        (Some(DrainTarget::Stopped), before.epoch + 1)
    );
    cell.draining("stop", TransitionView::default(), Instant::now());
    assert!(cell.load().is_stopping());
}

#[test]
fn a_demotion_is_left_for_a_solo_and_taken_up_again_until_it_is_settled() {
    let (cell, now) = (ready(), Instant::now());
    cell.demoting(TransitionView::default(), now);
    assert_eq!(cell.load().state, State::Draining);
    assert!(!cell.load().is_stopping() && !cell.load().is_writable());
    let guard = Solos::new(cell.clone()).enter("busy");
    assert_eq!(cell.load().state, State::Solo);
    assert!(!cell.load().is_writable());
    drop(guard);
    assert_eq!(cell.load().state, State::Draining);
    cell.set_role(Role::Replica, TransitionView::default(), now);
    let settled = cell.load();
    assert_eq!(
        (settled.state, settled.role),
        (State::Assist, Role::Replica)
    );
    assert_eq!(settled.drain_target, None);
}

#[test]
fn a_stop_wins_over_a_demotion() {
    let (cell, now) = (ready(), Instant::now());
    cell.demoting(TransitionView::default(), now);
    cell.draining("stop", TransitionView::default(), now);
    assert!(cell.load().is_stopping());
    cell.set_role(Role::Replica, TransitionView::default(), now);
    cell.demoting(TransitionView::default(), now);
    assert!(cell.load().is_stopping());
}

#[test]
fn loading_tells_rows_and_their_rate_as_its_reason() {
    let begin = Instant::now();
    let cell = ServingCell::new(Role::Primary, Clock::SYSTEM);
    let progress = |rows| Progress {
        done: rows,
        total: 1000,
        rows,
    };
    cell.loading_progress(progress(0), begin);
    assert_eq!(cell.status(begin).reason, "starting");
    let later = begin + Duration::from_secs(2);
    cell.loading_progress(progress(500), later);
    let status = cell.status(later);
    assert_eq!(status.reason, "recovering: 500 rows, 250 rows/s");
    assert_eq!(status.progress.and_then(Progress::share), Some(0.5));
    cell.ready(later);
    assert_eq!(cell.status(later).reason, "");
}
