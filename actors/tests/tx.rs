//! Tx: turns, commits, streams, asynchronous work, and its death.

use std::time::{Duration, Instant};

use serde::de::IgnoredAny;
use vestibule_actors::TransitionResult;
use vestibule_actors::serving::State;
use vestibule_actors::testing::{Harness, RequestBuilder, Script, config};
use vestibule_actors::wire::keys::RequestType;

const NO_ARGS: &[u8] = &[0x90];

/// one failure of the journal costs its turn and nothing else.
#[test]
fn a_failed_commit_fails_its_turn_and_leaves_nothing_visible() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    assert_eq!(peer.ask(&RequestBuilder::replace(1, 1)).code, 0);
    harness.script().fail_commits(true);
    let reply = peer.ask(&RequestBuilder::replace(2, 2));
    assert_eq!((reply.sync, reply.error_code()), (2, Some(40)));
    harness.script().fail_commits(false);
    let rows: Vec<(u64, u64)> = peer.ask(&RequestBuilder::select(3, 2)).data();
    assert!(rows.is_empty());
    assert_eq!(peer.ask(&RequestBuilder::replace(4, 2)).code, 0);
}

#[test]
fn pipelined_requests_of_one_connection_see_each_other() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    let mut bytes = Vec::new();
    for key in 0..200 {
        bytes.extend(RequestBuilder::replace(2 * key, key).bytes());
        bytes.extend(RequestBuilder::select(2 * key + 1, key).bytes());
    }
    peer.send_bytes(&bytes);
    for sync in 0..400u64 {
        let reply = peer.receive();
        assert_eq!(reply.sync, sync);
        assert_eq!(reply.data::<Vec<(u64, u64)>>(), [(sync / 2, sync / 2)]);
    }
}

#[test]
fn a_request_that_needs_a_turn_of_its_own_gets_it() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    let frames = [
        RequestBuilder::replace(1, 1),
        RequestBuilder::call(2, "commit_first", NO_ARGS),
        RequestBuilder::replace(3, 3),
    ];
    let bytes: Vec<u8> = frames.iter().flat_map(RequestBuilder::bytes).collect();
    peer.send_bytes(&bytes);
    let replies: Vec<_> = (0..3).map(|_| peer.receive()).collect();
    assert!(replies.iter().all(|reply| reply.code == 0));
    assert_eq!(replies[1].data::<Vec<String>>(), ["alone"]);
}

#[test]
fn who_may_not_call_a_procedure_does_not_learn_whether_it_exists() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    assert_eq!(peer.call("nosuch", NO_ARGS).error_code(), Some(33));
    let refused = peer.call("forbidden.nosuch", NO_ARGS);
    assert_eq!(refused.error_code(), Some(42));
    assert!(refused.error_mentions("Execute access to function 'forbidden.nosuch' is denied"));
}

#[test]
fn asynchronous_procedures_do_not_hold_up_others() {
    let harness = Harness::start();
    let mut slow = harness.connect();
    // In one write, so that both are in the same batch.
    let frames = [
        RequestBuilder::call(1, "later", &[0x91, 50]),
        RequestBuilder::call(2, "echo", &[0x91, 7]),
    ];
    slow.send_bytes(&frames.map(|frame| frame.bytes()).concat());
    let first = slow.receive();
    assert_eq!((first.sync, first.data::<Vec<u64>>()), (2, vec![7]));
    let second = slow.receive();
    assert_eq!((second.sync, second.data::<Vec<u64>>()), (1, vec![50]));
}

#[test]
fn within_a_stream_requests_wait_for_each_other() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    let frames = [
        RequestBuilder::call(1, "later", &[0x91, 50]).stream(9),
        RequestBuilder::call(2, "echo", &[0x91, 7]).stream(9),
        RequestBuilder::call(3, "later", &[0x91, 3]).stream(9),
        RequestBuilder::call(4, "echo", &[0x91, 8]).stream(9),
        RequestBuilder::call(5, "echo", &[0x91, 9]).stream(10),
    ];
    peer.send_bytes(&frames.map(|frame| frame.bytes()).concat());
    let syncs: Vec<_> = (0..5).map(|_| peer.receive().sync).collect();
    let own: Vec<_> = syncs.iter().copied().filter(|sync| *sync != 5).collect();
    assert_eq!(own, [1, 2, 3, 4]);
    assert_ne!(syncs[4], 5, "another stream does not wait");
}

#[test]
fn transactions_belong_to_their_stream_and_end_with_the_connection() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    let request = |kind, sync, stream| RequestBuilder::new(kind, sync).stream(stream);
    assert_eq!(peer.ask(&request(RequestType::Begin, 1, 1)).code, 0);
    let twice = peer.ask(&request(RequestType::Begin, 2, 1));
    assert_eq!(twice.error_code(), Some(79));
    assert_eq!(peer.ask(&request(RequestType::Begin, 3, 2)).code, 0);
    assert_eq!(peer.ask(&request(RequestType::Commit, 4, 1)).code, 0);
    assert_eq!(
        peer.ask(&request(RequestType::Rollback, 5, 1)).code,
        0,
        "without a transaction"
    );
    drop(peer);
    harness.script().wait_for_log("rollback 2");
    assert!(harness.script().log().contains(&"commit 1".to_owned()));
}

/// one death of the engine takes nothing down.
#[test]
fn when_tx_dies_connections_stay_and_a_new_tx_recovers() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    let mut other = harness.connect();
    assert_eq!(peer.ask(&RequestBuilder::replace(1, 1)).code, 0);
    harness.script().panic_next();
    let unknown = peer.ask(&RequestBuilder::replace(2, 2));
    assert_eq!((unknown.sync, unknown.error_code()), (2, Some(115)));
    assert!(unknown.error_text().unwrap().starts_with("Outcome unknown"));
    harness.wait_for(State::Assist);
    other.ping();
    assert_eq!(
        other
            .ask(&RequestBuilder::select(3, 1))
            .data::<Vec<(u64, u64)>>(),
        [(1, 1)]
    );
    assert_eq!(other.ask(&RequestBuilder::replace(4, 4)).code, 0);
    assert_eq!(peer.ask(&RequestBuilder::replace(5, 5)).code, 0);
    let recoveries = harness
        .script()
        .log()
        .iter()
        .filter(|own| *own == "recovered")
        .count();
    assert_eq!(recoveries, 2);
}

#[test]
fn three_deaths_within_a_minute_end_the_runtime_with_a_message() {
    let mut harness = Harness::start();
    for death in 1..=3u64 {
        harness.wait_until("a write is taken", || {
            harness.connect().ask(&RequestBuilder::replace(1, 100)).code == 0
        });
        harness.script().panic_next();
        harness.connect().send(&RequestBuilder::replace(2, death));
        if death < 3 {
            let recovered = death as usize + 1;
            harness.wait_until("it recovers", || {
                let log = harness.script().log();
                log.iter().filter(|own| *own == "recovered").count() == recovered
            });
        }
    }
    let report = harness.join();
    let failure = report.failure.expect("it says why");
    assert!(
        failure.contains("Tx died 3 times within a minute: scripted panic"),
        "{failure}"
    );
}

#[test]
fn an_engine_that_cannot_recover_ends_the_runtime_with_its_reason() {
    let script = Script::default();
    script.fail_recovery(true);
    let mut harness = Harness::start_loading(config(), script);
    let report = harness.join();
    assert_eq!(
        report.failure.as_deref(),
        Some("the engine cannot start: scripted failure")
    );
    assert!(report.took < Duration::from_secs(10));
}

#[test]
fn an_error_after_a_turn_of_its_own_is_answered_too() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    let frames = [
        RequestBuilder::replace(1, 1),
        RequestBuilder::call(2, "commit_first_then_fail", NO_ARGS),
        RequestBuilder::replace(3, 3),
    ];
    peer.send_bytes(&frames.map(|frame| frame.bytes()).concat());
    let replies: Vec<_> = (0..3).map(|_| peer.receive()).collect();
    assert_eq!(replies[1].error_code(), Some(1));
    assert_eq!((replies[0].code, replies[2].code), (0, 0));
}

#[test]
fn what_waits_in_a_stream_runs_although_its_connection_is_gone() {
    let harness = Harness::start();
    let mut gone = harness.connect();
    let in_stream = |request: RequestBuilder| request.stream(1).bytes();
    let frames = [
        in_stream(RequestBuilder::new(RequestType::Begin, 1)),
        in_stream(RequestBuilder::call(2, "later", &[0x91, 30])),
        in_stream(RequestBuilder::replace(3, 77)),
    ];
    gone.send_bytes(&frames.concat());
    // Answered means that all of it was read, as one batch.
    assert_eq!(gone.receive().sync, 1);
    drop(gone);
    harness.script().wait_for_log("rollback 1");
    assert_eq!(harness.script().executed(), [77]);
    harness.wait_until("nothing is left in flight", || {
        let shown = harness.connect().show("requests");
        // Rows are maps, while there are any.
        let rows: Vec<Vec<IgnoredAny>> = shown.data();
        rows.len() == 1 && rows[0].is_empty()
    });
}

#[test]
fn a_request_runs_as_the_user_who_sent_it_although_a_login_follows_in_the_same_write() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    let log_in = peer.log_in_request(3, "alice", "secret");
    let frames = [
        RequestBuilder::call(1, "user", NO_ARGS).bytes(),
        log_in.bytes(),
        RequestBuilder::call(4, "user", NO_ARGS).bytes(),
    ];
    peer.send_bytes(&frames.concat());
    let mut replies: Vec<_> = (0..3).map(|_| peer.receive()).collect();
    replies.sort_by_key(|reply| reply.sync);
    assert_eq!(replies[0].data::<Vec<String>>(), ["guest"]);
    assert_eq!(replies[2].data::<Vec<String>>(), ["alice"]);
}

#[test]
fn a_transaction_is_rolled_back_although_its_connection_logged_in_last() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    let begin = RequestBuilder::new(RequestType::Begin, 1).stream(1);
    assert_eq!(peer.ask(&begin).code, 0);
    assert_eq!(peer.log_in("alice", "secret").code, 0);
    drop(peer);
    harness.script().wait_for_log("rollback 1");
}

#[test]
fn what_is_committed_first_is_told_before_the_long_request_behind_it() {
    let harness = Harness::start();
    harness.script().hold_tx();
    let mut peer = harness.connect();
    let frames = [
        RequestBuilder::replace(1, 1),
        RequestBuilder::call(2, "commit_first_then_block", NO_ARGS),
    ];
    peer.send_bytes(&frames.map(|frame| frame.bytes()).concat());
    assert_eq!(peer.receive().sync, 1);
    harness.script().release();
    assert_eq!(peer.receive().sync, 2);
}

#[test]
fn a_step_whose_commit_failed_is_told_so() {
    let harness = Harness::start();
    harness.script().fail_commits(true);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut peer = harness.connect();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let calls = (0..20).map(|sync| RequestBuilder::call(sync, "commit_first", NO_ARGS));
                peer.send_bytes(&calls.flat_map(|call| call.bytes()).collect::<Vec<_>>());
                (0..20).for_each(|_| drop(peer.receive()));
            }
        });
        let reply = harness
            .connect()
            .call("write_steps", &[0x91, 0xcd, 0x07, 0xd0]);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(reply.data::<Vec<u64>>(), [0]);
    });
}

#[test]
fn a_begin_whose_turn_failed_opens_nothing() {
    let harness = Harness::start();
    harness.script().fail_commits(true);
    let mut peer = harness.connect();
    let begin = |sync| RequestBuilder::new(RequestType::Begin, sync).stream(1);
    // One write is one batch, and one turn.
    let frames = [begin(1), RequestBuilder::replace(2, 2)];
    peer.send_bytes(&frames.map(|frame| frame.bytes()).concat());
    for sync in 1..=2 {
        let reply = peer.receive();
        assert_eq!((reply.sync, reply.error_code()), (sync, Some(40)));
    }
    harness.script().wait_for_log("rollback 1");
    harness.script().fail_commits(false);
    assert_eq!(peer.ask(&begin(3)).code, 0);
    // A turn that fails later has nothing to do with it.
    harness.script().fail_commits(true);
    assert_eq!(
        peer.ask(&RequestBuilder::replace(4, 4)).error_code(),
        Some(40)
    );
    assert_eq!(peer.ask(&begin(5)).error_code(), Some(79));
}

/// An engine that cannot undo a turn does not get to commit it after a demotion.
#[test]
fn an_engine_that_cannot_forget_a_turn_dies_and_recovers_without_it() {
    let harness = Harness::start();
    harness.script().hold_tx();
    harness.script().fail_discards(true);
    let mut runner = harness.connect();
    let write = RequestBuilder::replace(1, 5).bytes();
    let block = RequestBuilder::call(2, "block", NO_ARGS).bytes();
    runner.send_bytes(&[write, block].concat());
    harness.script().wait_until_blocked();
    let demoted = harness.demote(Duration::ZERO);
    assert_eq!(demoted.result, TransitionResult::Done);
    harness.script().release();
    let recoveries = |log: &[String]| log.iter().filter(|own| *own == "recovered").count();
    harness.wait_until("another engine", || {
        recoveries(&harness.script().log()) == 2
    });
    harness.wait_for(State::Assist);
    assert_eq!(harness.script().rows(), 0);
    let _ = harness.promote();
    assert_eq!(
        harness.connect().ask(&RequestBuilder::replace(3, 3)).code,
        0
    );
    assert_eq!(
        harness.script().keys(),
        [3],
        "what was overtaken is not written later"
    );
}

/// What an async procedure changes in a transaction is a part of it, or is not done.
#[test]
fn an_async_procedure_works_inside_of_the_transaction_that_calls_it_or_not_at_all() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    let in_stream = |request: RequestType, sync| RequestBuilder::new(request, sync).stream(1);
    assert_eq!(peer.ask(&in_stream(RequestType::Begin, 1)).code, 0);
    let outside = RequestBuilder::call(2, "write_steps", &[0x91, 3]).stream(1);
    assert_eq!(
        peer.ask(&outside).data::<Vec<u64>>(),
        [0],
        "each step was refused"
    );
    let inside = RequestBuilder::call(3, "write_in_transaction", &[0x91, 7]).stream(1);
    assert_eq!(peer.ask(&inside).data::<Vec<u64>>(), [1]);
    assert_eq!(peer.ask(&in_stream(RequestType::Rollback, 4)).code, 0);
    let log = harness.script().log();
    let written = ["begin 1", "wrote 7 in 1", "rollback 1"];
    assert_eq!(log[log.len() - 3..], written);
    assert_eq!(harness.script().rows(), 0);
}

/// The state and the new Tx become visible together: who is refused is told of the recovery, and
/// the first request that is served is followed by no refusal.
#[test]
fn after_a_death_of_tx_nobody_is_refused_without_a_reason() {
    for round in 0..20 {
        let harness = Harness::start();
        let mut peer = harness.connect();
        harness.script().panic_next();
        assert_eq!(
            peer.ask(&RequestBuilder::replace(1, 1)).error_code(),
            Some(115)
        );
        let (mut is_served, began) = (false, Instant::now());
        for sync in 2.. {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "it is never served"
            );
            let reply = peer.ask(&RequestBuilder::replace(sync, sync));
            let text = reply.error_text().unwrap_or_default();
            match reply.error_code() {
                None => is_served = true,
                Some(116) => assert!(text.contains("recovering"), "round {round}: {text}"),
                Some(code) => panic!("round {round}: {code} {text}"),
            }
            assert!(!is_served || reply.code == 0, "round {round}: {text}");
            if is_served && harness.handle().serving().state == State::Assist {
                break;
            }
        }
        assert!(is_served);
    }
}

/// A session takes a transaction for ended as soon as its end is sent: so no end is refused.
#[test]
fn a_transaction_ends_by_call_whoever_may_call() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    let begin = |sync| RequestBuilder::new(RequestType::Begin, sync).stream(1);
    let call = |sync, name| RequestBuilder::call(sync, name, NO_ARGS).stream(1);
    assert_eq!(peer.ask(&begin(1)).code, 0);
    harness.script().forbid_calls(true);
    assert_eq!(peer.ask(&call(2, "box.commit")).code, 0);
    assert_eq!(peer.ask(&call(3, "box.begin")).error_code(), Some(42));
    assert_eq!(peer.ask(&begin(4)).code, 0, "what was refused is not open");
    assert_eq!(peer.ask(&call(5, "box.rollback")).code, 0);
    assert_eq!(peer.ask(&begin(6)).code, 0);
    let log = harness.script().log();
    let ends = ["begin 1", "commit 1", "begin 2", "rollback 2", "begin 3"];
    assert_eq!(log[log.len() - ends.len()..], ends);
}
