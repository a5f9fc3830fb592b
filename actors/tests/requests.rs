//! Requests that take too long, that are killed, and the list of those that run.

use std::time::Duration;

use serde::Deserialize;
use vestibule_actors::config::{HoldLimits, SoloPolicy};
use vestibule_actors::testing::{Frame, Harness, Peer, RequestBuilder, Script, config};
use vestibule_actors::wire::keys::{self, RequestType};
use vestibule_actors::wire::msgpack::{write_array_len, write_str, write_uint};

const NO_ARGS: &[u8] = &[0x90];
/// Short for a test, long for a client on a busy machine.
const SHORT: Duration = Duration::from_millis(200);
const KILLED: Option<u16> = Some(32);
const TIMED_OUT: Option<u16> = Some(78);

/// A row of `vestibule.show('requests')`.
#[derive(Debug, Deserialize)]
struct Row {
    connection: u64,
    sync: Option<u64>,
    state: String,
    procedure: Option<String>,
    age: Option<f64>,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
struct Killed {
    connections: usize,
    requests: usize,
}

fn with_timeout(request_timeout: Duration) -> Harness {
    let config = config().request_timeout(request_timeout);
    Harness::start_with(config, Script::default())
}

fn requests(harness: &Harness) -> Vec<Row> {
    let shown = harness.connect().show("requests");
    shown.data::<Vec<Vec<Row>>>().remove(0)
}

/// Waits until some request is in this state, and tells it.
fn wait_for_row(harness: &Harness, state: &str) -> Row {
    let find = || requests(harness).into_iter().find(|row| row.state == state);
    harness.wait_until(state, || find().is_some());
    find().expect("it was there")
}

fn kill(harness: &Harness, connection: u64, sync: Option<u64>) -> Killed {
    let mut args = Vec::new();
    write_array_len(&mut args, 1 + u32::from(sync.is_some()));
    write_uint(&mut args, connection);
    if let Some(sync) = sync {
        write_uint(&mut args, sync);
    }
    let reply = harness.connect().call("vestibule.kill", &args);
    reply.data::<Vec<Killed>>().remove(0)
}

fn set_request_timeout(peer: &mut Peer, seconds: f64) -> Frame {
    let mut args = Vec::new();
    write_array_len(&mut args, 2);
    write_str(&mut args, "request_timeout");
    args.push(0xcb);
    args.extend_from_slice(&seconds.to_be_bytes());
    peer.call("vestibule.set", &args)
}

fn in_stream(request: RequestType, sync: u64) -> RequestBuilder {
    RequestBuilder::new(request, sync).stream(1)
}

/// A connection whose request blocks Tx.
fn block(harness: &Harness, sync: u64) -> Peer {
    harness.script().hold_tx();
    let mut blocking = harness.connect();
    blocking.send(&RequestBuilder::call(sync, "block", NO_ARGS));
    harness.script().wait_until_blocked();
    blocking
}

#[test]
fn requests_time_out_while_tx_is_blocked_and_late_results_are_dropped() {
    // Long enough for Tx to begin the first one.
    let harness = with_timeout(5 * SHORT);
    let mut blocking = block(&harness, 1);
    let mut waiting = harness.connect();
    let reply = waiting.ask(&RequestBuilder::replace(2, 2));
    assert_eq!(reply.error_code(), TIMED_OUT);
    assert_eq!(reply.error_text().as_deref(), Some("Timeout exceeded"));
    assert!(!reply.error_mentions("outcome"), "it will not happen");
    let begun = blocking.receive();
    assert_eq!((begun.sync, begun.error_code()), (1, TIMED_OUT));
    assert!(begun.error_mentions("outcome"));
    harness.script().release();
    for peer in [&mut waiting, &mut blocking] {
        assert_eq!(set_request_timeout(peer, 0.0).code, 0);
    }
    assert_eq!(waiting.ask(&RequestBuilder::replace(3, 3)).code, 0);
    assert_eq!(harness.script().executed(), [3]);
    // What the procedure returned has arrived before this.
    blocking.ping();
    assert_eq!(blocking.ask(&RequestBuilder::replace(4, 4)).sync, 4);
}

#[test]
fn a_connection_chooses_how_long_its_requests_may_take() {
    let harness = Harness::start();
    let _blocking = block(&harness, 1);
    let mut patient = harness.connect();
    patient.send(&RequestBuilder::replace(1, 1));
    let mut hasty = harness.connect();
    assert_eq!(
        set_request_timeout(&mut hasty, 0.05).data::<Vec<f64>>(),
        [0.05]
    );
    let reply = hasty.ask(&RequestBuilder::replace(2, 2));
    assert_eq!(reply.error_code(), TIMED_OUT);
    harness.script().release();
    assert_eq!(patient.receive().code, 0);
    assert_eq!(set_request_timeout(&mut hasty, -1.0).error_code(), Some(1));
}

#[test]
fn a_statement_that_times_out_in_tx_takes_its_transaction_with_it() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    assert_eq!(peer.ask(&in_stream(RequestType::Begin, 1)).code, 0);
    assert_eq!(set_request_timeout(&mut peer, 1.0).code, 0);
    let slow = RequestBuilder::call(2, "never", NO_ARGS).stream(1);
    assert_eq!(peer.ask(&slow).error_code(), TIMED_OUT);
    assert_eq!(set_request_timeout(&mut peer, 0.0).code, 0);
    harness.script().wait_for_log("rollback 1");
    harness.script().wait_for_log("never: dropped");
    let statement = RequestBuilder::replace(3, 3).stream(1);
    assert_eq!(peer.ask(&statement).error_code(), Some(231));
    assert_eq!(peer.ask(&in_stream(RequestType::Rollback, 4)).code, 0);
    assert_eq!(peer.ask(&statement).code, 0);
}

/// TP-15, while Tx is blocked: a client that waits in the transaction is told by its session.
#[test]
fn a_transaction_times_out_while_tx_is_blocked() {
    let config = config().transaction_timeout(SHORT);
    let harness = Harness::start_with(config, Script::default());
    let mut peer = harness.connect();
    assert_eq!(peer.ask(&in_stream(RequestType::Begin, 1)).code, 0);
    let _blocking = block(&harness, 1);
    let statement = RequestBuilder::replace(2, 2).stream(1);
    assert_eq!(peer.ask(&statement).error_code(), Some(231));
    harness.script().release();
    harness.script().wait_for_log("rollback 1");
    assert_eq!(peer.ask(&statement).error_code(), Some(231));
    let commit = peer.ask(&in_stream(RequestType::Commit, 3));
    assert_eq!(commit.error_code(), Some(231));
    assert_eq!(peer.ask(&statement).code, 0);
}

#[test]
fn a_commit_that_times_out_before_tx_begins_it_ends_the_transaction() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    assert_eq!(peer.ask(&in_stream(RequestType::Begin, 1)).code, 0);
    let _blocking = block(&harness, 1);
    assert_eq!(set_request_timeout(&mut peer, 0.05).code, 0);
    let commit = peer.ask(&in_stream(RequestType::Commit, 2));
    assert_eq!(commit.error_code(), TIMED_OUT);
    assert_eq!(set_request_timeout(&mut peer, 0.0).code, 0);
    harness.script().release();
    assert_eq!(peer.ask(&in_stream(RequestType::Begin, 3)).code, 0);
    assert_eq!(peer.ask(&in_stream(RequestType::Commit, 4)).code, 0);
    assert_eq!(
        harness.script().log(),
        [
            "recovering",
            "recovered",
            "begin 1",
            "rollback 1",
            "begin 2",
            "commit 2"
        ]
    );
}

/// TP-15, on the real clock: nobody asks for anything while its time runs out.
#[test]
fn an_idle_transaction_is_rolled_back_without_a_request() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    let mut seconds = vec![0xcb];
    seconds.extend_from_slice(&0.05f64.to_be_bytes());
    let begin = in_stream(RequestType::Begin, 1).pair(keys::TIMEOUT, &seconds);
    assert_eq!(peer.ask(&begin).code, 0);
    harness.script().wait_for_log("rollback 1");
}

#[test]
fn what_runs_is_listed_with_its_state() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    peer.send(&RequestBuilder::call(1, "never", NO_ARGS));
    let deferred = wait_for_row(&harness, "deferred");
    assert_eq!(deferred.procedure.as_deref(), Some("never"));
    let _blocking = block(&harness, 2);
    peer.send(&RequestBuilder::replace(3, 3));
    let queued = wait_for_row(&harness, "queued");
    assert_eq!(
        (queued.connection, queued.sync),
        (deferred.connection, Some(3))
    );
    let started = wait_for_row(&harness, "started");
    assert_eq!(started.procedure.as_deref(), Some("block"));
    assert!(started.age.is_some_and(|age| age >= 0.0));
    harness.script().release();
}

/// a client that does not read is listed, and ends with a kill.
#[test]
fn a_client_that_does_not_read_is_listed_and_can_be_killed() {
    let harness = Harness::start();
    let mut unread = harness.connect();
    let large = RequestBuilder::replace_large(1, 5, 3 << 20);
    assert_eq!(harness.connect().ask(&large).code, 0);
    // Much more than the sockets' buffers take.
    for sync in 0..16 {
        unread.send(&RequestBuilder::select(sync, 5));
    }
    let flushing = wait_for_row(&harness, "flushing");
    let killed = kill(&harness, flushing.connection, None);
    assert_eq!(killed.connections, 1);
    harness.wait_until("the unread one is gone", || {
        harness.handle().connection_count() == 0
    });
}

/// SP-06, and A6: the client is answered first, whatever Tx does.
#[test]
fn a_killed_request_is_answered_at_once_and_the_connection_stays() {
    let harness = Harness::start();
    let mut blocking = block(&harness, 7);
    let row = wait_for_row(&harness, "started");
    let mut neighbour = harness.connect();
    neighbour.send(&RequestBuilder::replace(1, 1));
    let one = Killed {
        connections: 0,
        requests: 1,
    };
    assert_eq!(kill(&harness, row.connection, Some(7)), one);
    let reply = blocking.receive();
    assert_eq!((reply.sync, reply.error_code()), (7, KILLED));
    assert_eq!(reply.error_text().as_deref(), Some("fiber is cancelled"));
    blocking.ping();
    assert_eq!(kill(&harness, row.connection, Some(7)).requests, 0);
    harness.script().release();
    assert_eq!(neighbour.receive().code, 0);
    // The late result would be here by now.
    assert_eq!(blocking.ask(&RequestBuilder::replace(8, 8)).sync, 8);
}

#[test]
fn a_killed_request_that_waits_for_tx_never_happens() {
    let harness = Harness::start();
    let _blocking = block(&harness, 1);
    let mut waiting = harness.connect();
    waiting.send(&RequestBuilder::replace(2, 2));
    let row = wait_for_row(&harness, "queued");
    assert_eq!(kill(&harness, row.connection, Some(2)).requests, 1);
    assert_eq!(waiting.receive().error_code(), KILLED);
    harness.script().release();
    assert_eq!(waiting.ask(&RequestBuilder::replace(3, 3)).code, 0);
    assert_eq!(harness.script().executed(), [3]);
}

#[test]
fn a_killed_connection_is_answered_and_closed() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    peer.send(&RequestBuilder::call(1, "never", NO_ARGS));
    harness.script().wait_for_log("never: begun");
    let row = wait_for_row(&harness, "deferred");
    let whole = Killed {
        connections: 1,
        requests: 1,
    };
    assert_eq!(kill(&harness, row.connection, None), whole);
    let told = peer.receive_until_closed();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].error_code(), KILLED);
    harness.script().wait_for_log("never: dropped");
}

#[test]
fn a_client_that_kills_its_own_connection_is_told_so_first() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    peer.send(&RequestBuilder::call(1, "never", NO_ARGS));
    harness.script().wait_for_log("never: begun");
    let own = wait_for_row(&harness, "deferred").connection;
    let mut args = Vec::new();
    write_array_len(&mut args, 1);
    write_uint(&mut args, own);
    peer.send(&RequestBuilder::call(2, "vestibule.kill", &args));
    let told = peer.receive_until_closed();
    assert_eq!(told.len(), 2);
    assert_eq!((told[0].sync, told[0].error_code()), (1, KILLED));
    let whole = Killed {
        connections: 1,
        requests: 1,
    };
    assert_eq!(told[1].data::<Vec<Killed>>(), [whole]);
}

#[test]
fn a_procedure_that_looks_at_its_token_ends_when_it_is_killed() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    peer.send(&RequestBuilder::call(1, "cooperate", NO_ARGS));
    harness.script().wait_until_blocked();
    let row = wait_for_row(&harness, "started");
    assert_eq!(kill(&harness, row.connection, Some(1)).requests, 1);
    assert_eq!(peer.receive().error_code(), KILLED);
    harness.script().wait_for_log("cooperated");
    assert_eq!(peer.ask(&RequestBuilder::replace(2, 2)).sync, 2);
}

/// SP-08: the transaction of a killed request is over, and says so.
#[test]
fn a_kill_aborts_the_transaction() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    assert_eq!(peer.ask(&in_stream(RequestType::Begin, 1)).code, 0);
    peer.send(&RequestBuilder::call(2, "never", NO_ARGS).stream(1));
    let row = wait_for_row(&harness, "deferred");
    kill(&harness, row.connection, Some(2));
    assert_eq!(peer.receive().error_code(), KILLED);
    harness.script().wait_for_log("rollback 1");
    let commit = peer.ask(&in_stream(RequestType::Commit, 3));
    assert_eq!(commit.error_code(), KILLED);
}

/// many that do not stop cost one answer each and no waiting at all.
#[test]
fn two_hundred_stuck_requests_are_killed_while_tx_is_blocked() {
    const COUNT: u64 = 200;
    let harness = Harness::start();
    let mut peer = harness.connect();
    for sync in 0..COUNT {
        peer.send(&RequestBuilder::call(sync, "never", NO_ARGS));
    }
    harness.wait_until("all of them are deferred", || {
        let rows = requests(&harness);
        rows.iter().filter(|row| row.state == "deferred").count() == COUNT as usize
    });
    let connection = requests(&harness)[0].connection;
    let _blocking = block(&harness, 1);
    let whole = Killed {
        connections: 1,
        requests: COUNT as usize,
    };
    assert_eq!(kill(&harness, connection, None), whole);
    let told = peer.receive_until_closed();
    assert_eq!(told.len(), COUNT as usize);
    assert!(told.iter().all(|reply| reply.error_code() == KILLED));
    harness.script().release();
    harness.wait_until("Tx has dropped them", || {
        let log = harness.script().log();
        log.iter().filter(|own| *own == "never: dropped").count() == COUNT as usize
    });
}

#[test]
fn only_administrators_kill() {
    let config = config().administrators(vestibule_actors::config::Administrators::Users(vec![
        "alice".into(),
    ]));
    let harness = Harness::start_with(config, Script::default());
    let mut peer = harness.connect();
    assert_eq!(
        peer.call("vestibule.kill", &[0x91, 1]).error_code(),
        Some(42)
    );
    assert_eq!(
        set_request_timeout(&mut peer, 1.0).code,
        0,
        "this is for everybody"
    );
    assert_eq!(peer.log_in("alice", "secret").code, 0);
    assert_eq!(peer.call("vestibule.kill", &[0x91, 99]).code, 0);
}

/// A harness in solo, in which requests are held for long.
fn holding(request_timeout: Duration) -> Harness {
    let config = config()
        .solo_policy(SoloPolicy::Hold)
        .solo_policy_new(SoloPolicy::Hold)
        .hold(HoldLimits::default().time_max(Duration::from_secs(3600)))
        .request_timeout(request_timeout);
    Harness::start_with(config, Script::default())
}

fn declare_solo(harness: &Harness) {
    let reply = harness.connect().call("vestibule.solo", NO_ARGS);
    assert_eq!(reply.code, 0);
}

/// A SELECT of too many steps to end.
fn endless_scan(sync: u64) -> RequestBuilder {
    RequestBuilder::new(RequestType::Select, sync)
        .uint(keys::SPACE_ID, 512)
        .uint(keys::LIMIT, u64::from(u32::MAX))
        .pair(keys::KEY, &[0x91, 1])
}

#[test]
fn a_held_request_times_out_too() {
    let harness = holding(SHORT);
    declare_solo(&harness);
    let reply = harness.connect().ask(&RequestBuilder::replace(1, 1));
    assert_eq!((reply.sync, reply.error_code()), (1, TIMED_OUT));
}

#[test]
fn a_held_request_is_listed_and_can_be_killed() {
    let harness = holding(Duration::ZERO);
    declare_solo(&harness);
    let mut peer = harness.connect();
    for sync in 1..=2 {
        peer.send(&RequestBuilder::replace(sync, sync));
    }
    let row = wait_for_row(&harness, "held");
    assert_eq!(kill(&harness, row.connection, Some(1)).requests, 1);
    let reply = peer.receive();
    assert_eq!((reply.sync, reply.error_code()), (1, KILLED));
    assert_eq!(harness.connect().call("vestibule.assist", NO_ARGS).code, 0);
    assert_eq!(
        (peer.receive().sync, harness.script().executed()),
        (2, vec![2])
    );
}

#[test]
fn nothing_is_done_of_a_transaction_whose_held_begin_is_killed() {
    let harness = holding(Duration::ZERO);
    declare_solo(&harness);
    let mut peer = harness.connect();
    peer.send(&RequestBuilder::new(RequestType::Begin, 1).stream(7));
    peer.send(&RequestBuilder::replace(2, 2).stream(7));
    let row = wait_for_row(&harness, "held");
    assert_eq!(kill(&harness, row.connection, Some(1)).requests, 1);
    assert_eq!(peer.receive().error_code(), KILLED);
    assert_eq!(harness.connect().call("vestibule.assist", NO_ARGS).code, 0);
    assert_eq!(peer.receive().error_code(), Some(97));
    let commit = RequestBuilder::new(RequestType::Commit, 3).stream(7);
    assert_eq!(peer.ask(&commit).error_code(), Some(97));
    assert_eq!(harness.script().executed(), []);
}

#[test]
fn the_time_of_a_held_request_counts_from_its_arrival() {
    let harness = holding(Duration::ZERO);
    let _blocking = block(&harness, 1);
    declare_solo(&harness);
    let mut peer = harness.connect();
    peer.send(&RequestBuilder::replace(2, 2));
    harness.wait_until("it was held for a while", || {
        let held = wait_for_row(&harness, "held");
        held.age > Some(0.2)
    });
    assert_eq!(harness.connect().call("vestibule.assist", NO_ARGS).code, 0);
    assert!(wait_for_row(&harness, "queued").age > Some(0.2));
    harness.script().release();
    assert_eq!(peer.receive().code, 0);
}

#[test]
fn a_long_scan_of_the_view_times_out() {
    let harness = with_timeout(SHORT);
    let mut peer = harness.connect();
    let reply = peer.ask(&endless_scan(1));
    assert_eq!((reply.sync, reply.error_code()), (1, TIMED_OUT));
    peer.ping();
}

#[test]
fn a_long_scan_of_the_view_is_listed_and_can_be_killed() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    peer.send(&endless_scan(1));
    let row = wait_for_row(&harness, "reading");
    assert_eq!(kill(&harness, row.connection, Some(1)).requests, 1);
    let reply = peer.receive();
    assert_eq!((reply.sync, reply.error_code()), (1, KILLED));
    peer.ping();
}
