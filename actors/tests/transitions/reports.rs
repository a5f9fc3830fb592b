//! What is told and remembered of transitions.

use serde::Deserialize;

use super::answers::Record;
use super::*;

/// one deadline: the phases are the whole.
#[test]
fn the_phases_of_a_transition_are_all_of_its_time() {
    let harness = Harness::start();
    let mut writer = harness.connect();
    assert_eq!(writer.ask(&begin(1)).code, 0);
    let mut operator = harness.connect();
    let grace = table(&[("grace", SHORT.as_secs_f64())]);
    let record = told(&operator.call("vestibule.demote", &grace)).transition;
    let Record { took, phases, .. } = record.expect("it was carried out");
    let waited = phases.announce + phases.quiesce + phases.grace;
    assert!(waited >= SHORT.as_secs_f64(), "{phases:?}");
    let whole = waited + phases.abort + phases.settle;
    assert!((whole - took).abs() < 1e-6, "{took}: {phases:?}");
    // 50 ms of grace; the slack is for a busy machine.
    assert!(took < 10.0);
}

/// SM-18, X-13, X-14: wanted and actual state are told at any time, with the phase and the time
/// left.
#[test]
fn the_state_tells_what_is_wanted_and_how_far_it_is() {
    let harness = Harness::start();
    let mut observer = harness.connect();
    let calm = state(&mut observer);
    assert_eq!(
        (calm.state.as_str(), calm.role.as_str()),
        ("assist", "primary")
    );
    assert_eq!(calm.wanted, "primary");
    assert!(calm.transition.is_none());
    assert_eq!(calm.grace_period, Some(3.0));
    let _runner = harness.block();
    let mut operator = harness.connect();
    operator.send(&RequestBuilder::call(
        1,
        "vestibule.demote",
        &table(&[("grace", 3600.0)]),
    ));
    harness.wait_for(State::Draining);
    harness.wait_until("every worker has seen it", || {
        let mut observer = harness.connect();
        state(&mut observer)
            .transition
            .is_some_and(|own| own.phase == "grace")
    });
    let busy = state(&mut observer);
    assert_eq!(
        (busy.state.as_str(), busy.role.as_str()),
        ("draining", "primary")
    );
    assert_eq!(busy.wanted, "replica");
    let under_way = busy.transition.expect("it is under way");
    assert_eq!(under_way.to, "replica");
    assert!(under_way.requested_by.starts_with("guest from 127.0.0.1:"));
    assert!(under_way.left.is_some_and(|left| left > 3000.0));
    harness.script().release();
    assert_eq!(told(&operator.receive()).result, "done");
    let done = state(&mut observer);
    assert_eq!(
        (done.role.as_str(), done.wanted.as_str()),
        ("replica", "replica")
    );
    assert!(done.transition.is_none());
}

#[test]
fn transitions_are_remembered_with_what_they_cost() {
    let harness = Harness::start();
    let mut runner = block_behind_a_write(&harness, 1);
    let _ = harness.demote(SHORT);
    let _ = runner.receive();
    harness.script().release();
    let _ = harness.promote();
    let mut operator = harness.connect();
    let shown = operator.show("transitions");
    #[derive(Debug, Deserialize)]
    struct Row {
        to: String,
        result: String,
        requested_by: String,
        killed: Counted,
        outcome_unknown: usize,
    }
    #[derive(Debug, Deserialize)]
    struct Counted {
        write: usize,
        call: usize,
    }
    let rows = shown.data::<Vec<Vec<Row>>>().remove(0);
    let demotion = rows
        .iter()
        .find(|row| row.to == "replica")
        .expect("it is listed");
    assert_eq!(
        (demotion.result.as_str(), demotion.requested_by.as_str()),
        ("done", "test")
    );
    assert_eq!((demotion.killed.write, demotion.killed.call), (1, 1));
    assert_eq!(demotion.outcome_unknown, 2);
    assert!(rows.iter().any(|row| row.to == "primary"));
}

#[test]
fn bad_arguments_of_demote_change_nothing() {
    let harness = Harness::start();
    let mut operator = harness.connect();
    for bad in [
        &[0x91, 5][..],
        &table(&[("grave", 1.0)]),
        &table(&[("grace", -1.0)]),
    ] {
        assert_eq!(operator.call("vestibule.demote", bad).error_code(), Some(1));
    }
    assert_eq!(harness.handle().serving().state, State::Assist);
}

/// state and transition are one publication: who sees the one sees the other.
#[test]
fn no_state_of_a_transition_is_seen_without_it() {
    for round in 0..30 {
        let harness = Harness::start();
        let handle = harness.handle().clone();
        let poll = std::thread::spawn(move || {
            let mut seen = Vec::new();
            while handle.serving().state != State::Stopped {
                let own = handle.status();
                let to = own.transition.map(|own| own.to.name());
                let told = (own.state, own.role, own.wanted.name(), to);
                if seen.last() != Some(&told) {
                    seen.push(told);
                }
            }
            seen
        });
        if round % 2 == 0 {
            let _ = harness.demote(SHORT);
            harness.promote();
        }
        assert!(harness.stop(LONG).tx_stopped);
        let seen = poll.join().expect("it does not panic");
        for own in &seen {
            let is_right = match *own {
                (State::Draining, Role::Primary, wanted, to) => {
                    matches!(
                        (wanted, to),
                        ("replica", Some("replica")) | ("stopped", Some("stopped"))
                    )
                }
                (State::Assist, role, wanted, None) => wanted == role.name(),
                // A promotion is done at once, and a demotion's state follows its beginning.
                (State::Assist, Role::Replica, wanted, to) => {
                    (wanted, to) == ("primary", Some("primary"))
                }
                (State::Stopped, _, wanted, to) => (wanted, to) == ("stopped", None),
                _ => false,
            };
            assert!(is_right, "{own:?} in {seen:?}");
        }
    }
}
