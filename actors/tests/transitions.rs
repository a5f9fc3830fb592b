//! Changes of the role under load, and what nobody can hold up: each ends in time, everybody is
//! answered, and nothing that was admitted before is written after it is reported done.

use std::cell::Cell;
use std::time::Duration;

use vestibule_actors::limits::OUTPUT_PAUSE;
use vestibule_actors::serving::{Role, State};
use vestibule_actors::testing::{Frame, Harness, Peer, RequestBuilder};
use vestibule_actors::wire::keys::RequestType;
use vestibule_actors::{TransitionRecord, TransitionResult};

#[path = "transitions/answers.rs"]
mod answers;
#[path = "transitions/reports.rs"]
mod reports;
#[path = "transitions/waits.rs"]
mod waits;

use answers::{state, told};

const NO_ARGS: &[u8] = &[0x90];
const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(50);

fn begin(sync: u64) -> RequestBuilder {
    RequestBuilder::new(RequestType::Begin, sync).stream(1)
}

fn commit(sync: u64) -> RequestBuilder {
    RequestBuilder::new(RequestType::Commit, sync).stream(1)
}

/// The arguments `{name = seconds, …}`.
fn table(pairs: &[(&str, f64)]) -> Vec<u8> {
    let mut args = vec![0x91, 0x80 | pairs.len() as u8];
    for (name, seconds) in pairs {
        args.push(0xa0 | name.len() as u8);
        args.extend_from_slice(name.as_bytes());
        args.push(0xcb);
        args.extend_from_slice(&seconds.to_be_bytes());
    }
    args
}

fn is_unknown(frame: &Frame) -> bool {
    let text = frame.error_text().unwrap_or_default();
    text.starts_with("Outcome unknown") && frame.error_mentions("outcome")
}

/// Blocks Tx from a connection of its own, with a write before it in the same turn.
fn block_behind_a_write(harness: &Harness, key: u64) -> Peer {
    harness.script().hold_tx();
    let mut runner = harness.connect();
    let write = RequestBuilder::replace(1, key).bytes();
    let block = RequestBuilder::call(2, "block", NO_ARGS).bytes();
    runner.send_bytes(&[write, block].concat());
    harness.script().wait_until_blocked();
    runner
}

fn record(outcome: vestibule_actors::TransitionOutcome) -> TransitionRecord {
    assert_eq!(outcome.result, TransitionResult::Done);
    outcome.transition.expect("it was carried out")
}

#[test]
fn an_idle_primary_becomes_a_replica_and_a_primary_again() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    let demoted = record(harness.demote(LONG));
    assert_eq!(
        (demoted.from.name(), demoted.to.name()),
        ("primary", "replica")
    );
    assert_eq!(demoted.killed.total() + demoted.revoked.total(), 0);
    let write = RequestBuilder::replace(1, 1);
    assert_eq!(peer.ask(&write).error_code(), Some(7));
    let promoted = record(harness.promote());
    assert_eq!(promoted.to, Role::Primary.into());
    assert_eq!(peer.ask(&write).code, 0);
    assert_eq!(harness.handle().serving().role, Role::Primary);
}

/// SM-10: what is so already touches nothing, and its caller is told.
#[test]
fn the_same_role_again_changes_nothing() {
    let harness = Harness::start();
    let before = harness.handle().serving();
    let outcome = harness.promote();
    assert_eq!(outcome.result, TransitionResult::Unchanged);
    assert_eq!(outcome.transition, None);
    assert_eq!(harness.handle().serving(), before, "not even the epoch");
}

/// TE-02: from the first moment nothing new is written; what is open may finish; reads never stop.
#[test]
fn in_a_demotion_open_transactions_finish_and_nothing_new_begins() {
    let harness = Harness::start();
    let mut writer = harness.connect();
    let mut other = harness.connect();
    let mut operator = harness.connect();
    assert_eq!(other.ask(&RequestBuilder::replace(1, 5)).code, 0);
    assert_eq!(writer.ask(&begin(1)).code, 0);
    operator.send(&RequestBuilder::call(
        9,
        "vestibule.demote",
        &table(&[("grace", 3600.0)]),
    ));
    harness.wait_for(State::Draining);
    assert_eq!(
        other.ask(&RequestBuilder::replace(2, 6)).error_code(),
        Some(7)
    );
    assert_eq!(other.ask(&begin(3)).error_code(), Some(7));
    assert_eq!(
        other
            .ask(&RequestBuilder::select(4, 5))
            .data::<Vec<(u64, u64)>>(),
        [(5, 5)]
    );
    assert_eq!(
        other.call("echo", &[0x91, 7]).code,
        0,
        "a call that writes nothing"
    );
    assert_eq!(writer.ask(&RequestBuilder::replace(2, 7).stream(1)).code, 0);
    assert_eq!(writer.ask(&commit(3)).code, 0);
    let told = told(&operator.receive());
    assert_eq!(
        (told.result.as_str(), told.role.as_str()),
        ("done", "replica")
    );
    assert_eq!(told.transition.expect("it was carried out").result, "done");
    assert_eq!(
        harness.script().log(),
        ["recovering", "recovered", "begin 1", "commit 1"]
    );
    assert_eq!(harness.script().rows(), 2);
    assert_eq!(
        other
            .ask(&RequestBuilder::select(5, 7))
            .data::<Vec<(u64, u64)>>(),
        [(7, 7)]
    );
}

/// TS-03, X-09: on a replica a transaction is read-only from its BEGIN on, also after a promotion.
#[test]
fn a_transaction_of_a_replica_stays_read_only() {
    let harness = Harness::start();
    let _ = harness.demote(LONG);
    let mut peer = harness.connect();
    assert_eq!(peer.ask(&begin(1)).code, 0);
    let write = RequestBuilder::replace(2, 2).stream(1);
    assert_eq!(peer.ask(&write).error_code(), Some(7));
    let _ = harness.promote();
    assert_eq!(peer.ask(&write).error_code(), Some(7));
    assert_eq!(peer.ask(&commit(3)).code, 0);
    assert_eq!(peer.ask(&begin(4)).code, 0);
    assert_eq!(peer.ask(&write).code, 0);
}

/// TS-04, X-01: a commit that hangs in the journal holds up nobody; its client is told that nobody
/// knows.
#[test]
fn a_commit_that_hangs_for_ever_does_not_hold_up_a_demotion() {
    let harness = Harness::start();
    harness.script().hold_commits(true);
    let mut writer = harness.connect();
    assert_eq!(writer.ask(&begin(1)).code, 0);
    let write = RequestBuilder::replace(2, 2).stream(1).bytes();
    writer.send_bytes(&[write, commit(3).bytes()].concat());
    harness.script().wait_until_committing();
    let demoted = record(harness.demote(SHORT));
    for sync in [2, 3] {
        let frame = writer.receive();
        assert_eq!(frame.sync, sync);
        assert!(is_unknown(&frame), "{frame:?}");
    }
    assert!(demoted.write_under_way, "its outcome is nobody's to know");
    assert_eq!(demoted.outcome_unknown, 2);
    let killed = demoted.killed;
    assert_eq!((killed.write, killed.commit, killed.total()), (1, 1, 2));
    assert_eq!(harness.handle().serving().role, Role::Replica);
    harness.script().release();
    // Its late replies are dropped.
    writer.ping();
}

/// Fencing: Tx stood still while the demotion went by, and writes nothing of what it had begun.
#[test]
fn what_tx_had_begun_is_not_written_after_the_demotion_is_reported() {
    let harness = Harness::start();
    let mut runner = block_behind_a_write(&harness, 5);
    let mut queued = harness.connect();
    queued.send(&RequestBuilder::replace(7, 7));
    queued.ping();
    let demoted = record(harness.demote(SHORT));
    assert_eq!(demoted.revoked.write, 1);
    assert_eq!((demoted.killed.write, demoted.killed.call), (1, 1));
    assert!(!demoted.write_under_way);
    assert_eq!(queued.receive().error_code(), Some(7));
    assert!(is_unknown(&runner.receive()));
    assert!(is_unknown(&runner.receive()));
    harness.script().release();
    harness.script().wait_for_log("discard");
    assert_eq!(harness.script().rows(), 0);
    // Nor after it is a primary again.
    let _ = harness.promote();
    assert_eq!(runner.ask(&RequestBuilder::replace(8, 8)).code, 0);
    assert_eq!(harness.script().rows(), 1);
}

/// SM-13, TE-01 (d): what is idle in a transaction is ended at the deadline.
#[test]
fn open_transactions_are_aborted_at_the_deadline_and_told_why() {
    let harness = Harness::start();
    let mut idle = harness.connect();
    assert_eq!(idle.ask(&begin(1)).code, 0);
    let demoted = record(harness.demote(SHORT));
    assert_eq!(
        (
            demoted.waited_for_transactions,
            demoted.aborted_transactions
        ),
        (1, 1),
        "{demoted:?}"
    );
    assert_eq!(demoted.killed.total(), 0, "nothing of it was running");
    harness.script().wait_for_log("rollback 1");
    assert_eq!(idle.ask(&commit(2)).error_code(), Some(7));
    assert_eq!(idle.ask(&begin(3)).code, 0, "and it is over");
}

/// SM-13, X-02: many stuck requests cost one bound, not a sum.
#[test]
fn two_hundred_stuck_requests_are_answered_together() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    let calls: Vec<u8> = (0..200)
        .flat_map(|sync| RequestBuilder::call(sync, "never", NO_ARGS).bytes())
        .collect();
    peer.send_bytes(&calls);
    harness.wait_until("all of them are on their way", || {
        harness.handle().in_flight() == 200
    });
    let demoted = record(harness.demote(SHORT));
    assert_eq!(demoted.waited_for.call, 200);
    assert_eq!(demoted.killed.call + demoted.revoked.call, 200);
    for _ in 0..200 {
        assert!(peer.receive().error_code().is_some());
    }
    assert_eq!(harness.handle().in_flight(), 0);
    assert!(demoted.left_behind.is_empty());
}

#[derive(serde::Deserialize)]
struct ConnectionRow {
    output_bytes: usize,
}

/// a client that never reads is no matter of a demotion, and a stop throws its replies away.
#[test]
fn a_client_that_never_reads_holds_up_nothing() {
    let mut harness = Harness::start();
    let unread = harness.connect();
    let write = RequestBuilder::replace(1, 1).bytes();
    let mut sender = unread.clone_for_writing();
    // More replies than sockets buffer, which stop its reading, and its requests with it.
    let writer = std::thread::spawn(move || {
        let many = write.repeat(1000);
        while sender.try_send_bytes(&many).is_ok() {}
    });
    // Until the kernel takes no more of them: a single look may see a moment.
    let seen = Cell::new((0, 0));
    harness.wait_until("its replies pile up, and stay", || {
        let shown = harness.connect().show("connections");
        let rows = shown.data::<Vec<Vec<ConnectionRow>>>().remove(0);
        let waiting = rows.iter().map(|row| row.output_bytes).max();
        let waiting = waiting.unwrap_or_default();
        let (before, times) = seen.get();
        seen.set((waiting, if waiting == before { times + 1 } else { 1 }));
        waiting >= OUTPUT_PAUSE && seen.get().1 >= 10
    });
    let _ = record(harness.demote(SHORT));
    harness.handle().begin_drain(Some(SHORT), "test");
    let report = harness.join();
    assert!(report.killed > 0, "its replies are lost");
    unread.close();
    writer.join().expect("the writing thread does not panic");
}

/// a caller who asks while another transition is stuck is answered within a time of their
/// own.
#[test]
fn a_second_wish_is_answered_though_the_first_is_stuck() {
    let harness = Harness::start();
    let mut writer = harness.connect();
    assert_eq!(writer.ask(&begin(1)).code, 0);
    let mut first = harness.connect();
    first.send(&RequestBuilder::call(
        1,
        "vestibule.demote",
        &table(&[("grace", 3600.0)]),
    ));
    harness.wait_for(State::Draining);
    let mut second = harness.connect();
    let timed_out = told(&second.call("vestibule.promote", &table(&[("timeout", 0.05)])));
    assert_eq!(timed_out.result, "timed out");
    assert!(timed_out.transition.is_none());
    let mut third = harness.connect();
    third.send(&RequestBuilder::call(1, "vestibule.promote", NO_ARGS));
    harness.wait_until("the wish is known", || {
        harness.handle().status().wanted == Role::Primary.into()
    });
    assert_eq!(writer.ask(&commit(2)).code, 0);
    assert_eq!(told(&first.receive()).result, "done");
    let last = told(&third.receive());
    assert_eq!(
        (last.result.as_str(), last.role.as_str()),
        ("done", "primary")
    );
}

/// A stop during a demotion wins at once, and nothing follows it.
#[test]
fn a_stop_wins_over_a_demotion() {
    let mut harness = Harness::start();
    let mut writer = harness.connect();
    assert_eq!(writer.ask(&begin(1)).code, 0);
    let mut operator = harness.connect();
    operator.send(&RequestBuilder::call(
        1,
        "vestibule.demote",
        &table(&[("grace", 3600.0)]),
    ));
    harness.wait_for(State::Draining);
    let mut waiting = harness.connect();
    waiting.send(&RequestBuilder::call(2, "vestibule.promote", NO_ARGS));
    harness.wait_until("the wish is known", || {
        harness.handle().status().wanted == Role::Primary.into()
    });
    harness.handle().begin_drain(Some(LONG), "test");
    for peer in [&mut operator, &mut waiting] {
        assert_eq!(told(&peer.receive()).result, "superseded");
        // An operator's connection stays until the end.
        peer.ping();
    }
    assert_eq!(writer.ask(&commit(2)).code, 0, "it may finish");
    assert_eq!(
        (
            harness.join().killed,
            harness.script().log().contains(&"commit 1".to_owned())
        ),
        (0, true)
    );
    for mut peer in [operator, waiting] {
        assert!(peer.receive_until_closed().is_empty());
    }
}

/// SM-20, X-10: work that keeps coming does not keep it from its end.
#[test]
fn commits_and_calls_that_keep_coming_do_not_hold_it_up() {
    let harness = Harness::start();
    let mut writer = harness.connect();
    assert_eq!(writer.ask(&begin(1)).code, 0);
    let mut caller = harness.connect();
    let load = std::thread::spawn(move || {
        for sync in 0.. {
            if caller.try_call(sync, "echo", &[0x91, 7]).is_none() {
                return;
            }
        }
    });
    let mut operator = harness.connect();
    operator.send(&RequestBuilder::call(
        1,
        "vestibule.demote",
        &table(&[("grace", 3600.0)]),
    ));
    harness.wait_for(State::Draining);
    for sync in 2..200 {
        assert_eq!(
            writer
                .ask(&RequestBuilder::replace(sync, sync).stream(1))
                .code,
            0
        );
    }
    // Commits outside of transactions do nothing, and come all the time.
    for sync in 200..300 {
        writer.send(&RequestBuilder::new(RequestType::Commit, sync).stream(sync));
    }
    writer.send(&commit(300));
    assert_eq!(told(&operator.receive()).result, "done");
    drop(harness);
    load.join().expect("the loading thread does not panic");
}

/// A solo during a demotion is a solo: reads from the view go on, and the deadline holds.
#[test]
fn a_demotion_during_solo_keeps_its_deadline() {
    let harness = Harness::start();
    harness.script().hold_tx();
    let mut runner = harness.connect();
    runner.send(&RequestBuilder::call(1, "busy", NO_ARGS));
    harness.script().wait_until_blocked();
    harness.wait_for(State::Solo);
    let demoted = record(harness.demote(SHORT));
    assert_eq!(demoted.killed.call, 1);
    assert!(is_unknown(&runner.receive()));
    let mut peer = harness.connect();
    assert_eq!(peer.ask(&RequestBuilder::select(1, 1)).code, 0);
    assert_eq!(
        peer.ask(&RequestBuilder::replace(2, 2)).error_code(),
        Some(116)
    );
    harness.script().release();
    harness.wait_for(State::Assist);
    assert_eq!(
        peer.ask(&RequestBuilder::replace(3, 3)).error_code(),
        Some(7)
    );
}

/// A panic in the engine during a demotion: it goes on to its end on the next Tx.
#[test]
fn a_death_of_tx_does_not_keep_a_demotion_from_its_end() {
    let harness = Harness::start();
    let mut writer = harness.connect();
    assert_eq!(writer.ask(&begin(1)).code, 0);
    let mut operator = harness.connect();
    operator.send(&RequestBuilder::call(
        1,
        "vestibule.demote",
        &table(&[("grace", 3600.0)]),
    ));
    harness.wait_for(State::Draining);
    harness.script().panic_next();
    let died = writer.ask(&RequestBuilder::replace(2, 2).stream(1));
    assert!(is_unknown(&died), "{died:?}");
    assert_eq!(told(&operator.receive()).result, "done");
    harness.wait_for(State::Assist);
    assert_eq!(harness.handle().serving().role, Role::Replica);
}

/// SP-03, SP-04: what is reserved and idle is closed when a demotion begins; afterwards it may be
/// had again.
#[test]
fn an_idle_lock_is_closed_when_a_demotion_begins() {
    const LOCK: &[u8] = &[0x92, 0xa1, b'a', 0];
    let harness = Harness::start();
    let mut holder = harness.connect();
    assert_eq!(
        holder.call("vestibule.lock", LOCK).data::<Vec<bool>>(),
        [true]
    );
    let mut writer = harness.connect();
    assert_eq!(writer.ask(&begin(1)).code, 0);
    let mut operator = harness.connect();
    let grace = table(&[("grace", 3600.0)]);
    operator.send(&RequestBuilder::call(1, "vestibule.demote", &grace));
    harness.wait_for(State::Draining);
    let is_reserved = || {
        harness
            .connect()
            .show("reservations")
            .error_mentions("kind")
    };
    harness.wait_until("the lock is closed", || !is_reserved());
    assert!(holder.call("vestibule.lock", LOCK).error_code().is_some());
    assert_eq!(writer.ask(&commit(2)).code, 0);
    assert_eq!(told(&operator.receive()).result, "done");
    harness.wait_until("it may be had again", || {
        let asked = harness.connect().call("vestibule.lock", LOCK);
        asked.code == 0 && asked.data::<Vec<bool>>() == [true]
    });
}
