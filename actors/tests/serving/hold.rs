//! Requests that are held until solo ends.

use serde::Deserialize;
use vestibule_actors::wire::msgpack::{write_array_len, write_uint};

use super::*;

#[test]
fn policy_hold_keeps_requests_until_solo_ends() {
    let mut config = config().solo_policy(SoloPolicy::Hold);
    config.settings.hold.time_max = Duration::from_secs(3600);
    config.settings.hold.requests_max = 3;
    let harness = Harness::start_with(config, Script::default());
    let mut peer = harness.connect();
    let mut operator = harness.connect();
    operator.call("vestibule.solo", NO_ARGS);
    for key in 0..4 {
        peer.send(&RequestBuilder::replace(key, key));
    }
    // The fourth is beyond the bound.
    let refused = peer.receive();
    assert_eq!((refused.sync, refused.error_code()), (3, Some(116)));
    peer.ping();
    assert!(harness.script().executed().is_empty());
    operator.call("vestibule.assist", NO_ARGS);
    let answered: Vec<_> = (0..3).map(|_| peer.receive()).collect();
    assert!(answered.iter().all(|reply| reply.code == 0));
    assert_eq!(harness.script().executed(), [0, 1, 2]);
}

/// The rights would be those of the new one.
#[test]
fn what_is_held_of_one_user_is_not_done_as_the_next() {
    let mut config = config().solo_policy(SoloPolicy::Hold);
    config.settings.hold.time_max = Duration::from_secs(3600);
    let harness = Harness::start_with(config, Script::default());
    let (mut peer, mut operator) = (harness.connect(), harness.connect());
    operator.call("vestibule.solo", NO_ARGS);
    peer.send(&RequestBuilder::replace(7, 7));
    peer.send(&peer.log_in_request(8, "alice", "secret"));
    let mut told = [peer.receive(), peer.receive()].map(|own| (own.sync, own.error_code()));
    told.sort_unstable();
    assert_eq!(told, [(7, Some(116)), (8, None)]);
    peer.send(&RequestBuilder::replace(9, 9));
    // Who logs in as who they are has asked for nothing new.
    assert_eq!(peer.log_in("alice", "secret").code, 0);
    operator.call("vestibule.assist", NO_ARGS);
    let reply = peer.receive();
    assert_eq!((reply.sync, reply.code), (9, 0));
    assert_eq!(harness.script().executed(), [9]);
}

#[test]
fn policy_hold_gives_up_after_its_time() {
    let mut config = config().solo_policy(SoloPolicy::Hold);
    config.settings.hold.time_max = Duration::from_millis(50);
    let harness = Harness::start_with(config, Script::default());
    let mut peer = harness.connect();
    peer.call("vestibule.solo", NO_ARGS);
    peer.send(&RequestBuilder::replace(7, 7));
    let reply = peer.receive();
    assert_eq!((reply.sync, reply.error_code()), (7, Some(116)));
    peer.call("vestibule.assist", NO_ARGS);
    peer.ping();
    assert!(harness.script().executed().is_empty());
}

#[test]
fn under_hold_what_was_queued_when_tx_was_blocked_stays_queued() {
    let mut config = config().solo_policy(SoloPolicy::Hold);
    config.settings.hold.time_max = Duration::from_secs(3600);
    let harness = Harness::start_with(config, Script::default());
    let _blocker = harness.block();
    let mut peer = harness.connect();
    peer.send(&RequestBuilder::replace(7, 7));
    peer.ping();
    let mut operator = harness.connect();
    operator.call("vestibule.solo", NO_ARGS);
    operator.call("vestibule.assist", NO_ARGS);
    harness.script().release();
    let reply = peer.receive();
    assert_eq!((reply.sync, reply.code), (7, 0));
}

#[test]
fn held_requests_keep_their_order_however_solo_comes_and_goes() {
    const REQUESTS: u64 = 30_000;
    let mut config = config().solo_policy(SoloPolicy::Hold);
    config.settings.hold.requests_max = REQUESTS as usize;
    config.settings.hold.bytes_max = usize::MAX / 2;
    config.settings.hold.time_max = Duration::from_secs(3600);
    let harness = Harness::start_with(config, Script::default());
    let mut peer = harness.connect();
    let mut writer = peer.clone_for_writing();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut operator = harness.connect();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                operator.call("vestibule.solo", NO_ARGS);
                operator.call("vestibule.assist", NO_ARGS);
            }
        });
        scope.spawn(move || {
            for first in (0..REQUESTS).step_by(500) {
                let burst = (first..first + 500).map(|key| RequestBuilder::replace(key, key));
                writer.send_bytes(
                    &burst
                        .flat_map(|request| request.bytes())
                        .collect::<Vec<_>>(),
                );
            }
        });
        for _ in 0..REQUESTS {
            assert_eq!(peer.receive().code, 0);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(harness.script().executed().is_sorted());
}

#[test]
fn held_selects_of_many_steps_are_all_answered() {
    let config = config().role(Role::Replica).solo_policy(SoloPolicy::Hold);
    let harness = Harness::start_with(config, Script::default());
    let mut peer = harness.connect();
    peer.call("vestibule.solo", NO_ARGS);
    let select = |sync| {
        RequestBuilder::new(RequestType::Select, sync)
            .uint(keys::SPACE_ID, 512)
            .uint(keys::LIMIT, 5)
            .pair(keys::KEY, &[0x91, 1])
            .bytes()
    };
    // The write is held, and the reads stay behind it.
    peer.send_bytes(&[RequestBuilder::replace(1, 1).bytes(), select(2), select(3)].concat());
    peer.ping();
    harness.connect().call("vestibule.assist", NO_ARGS);
    let syncs: Vec<_> = (0..3).map(|_| peer.receive().sync).collect();
    assert_eq!(syncs, [1, 2, 3]);
}

fn in_stream(kind: RequestType, sync: u64) -> RequestBuilder {
    RequestBuilder::new(kind, sync).stream(1)
}

/// A server in solo that holds for an hour, with its operator.
fn start_holding(config: Config) -> Harness {
    let mut config = config.solo_policy(SoloPolicy::Hold);
    config.settings.hold.time_max = Duration::from_secs(3600);
    Harness::start_with(config, Script::default())
}

#[test]
fn a_held_commit_is_answered_when_the_time_of_its_transaction_is_over() {
    let harness = start_holding(config().transaction_timeout(Duration::from_secs(2)));
    let mut peer = harness.connect();
    let mut operator = harness.connect();
    assert_eq!(peer.ask(&in_stream(RequestType::Begin, 1)).code, 0);
    operator.call("vestibule.solo", NO_ARGS);
    peer.send(&RequestBuilder::replace(2, 2).stream(1));
    peer.send(&in_stream(RequestType::Commit, 3));
    let told = [peer.receive(), peer.receive()];
    let told = told.map(|own| (own.sync, own.error_code()));
    assert_eq!(told, [(2, Some(231)), (3, Some(231))]);
    operator.call("vestibule.assist", NO_ARGS);
    // The stream is free again, and nothing has happened in it.
    assert_eq!(peer.ask(&in_stream(RequestType::Begin, 4)).code, 0);
    assert_eq!(peer.ask(&in_stream(RequestType::Commit, 5)).code, 0);
    assert!(harness.script().executed().is_empty());
}

#[test]
fn a_held_request_takes_no_longer_than_its_own_time() {
    let harness = start_holding(config().request_timeout(Duration::from_millis(50)));
    let mut peer = harness.connect();
    peer.call("vestibule.solo", NO_ARGS);
    peer.send(&RequestBuilder::replace(7, 7));
    assert_eq!(peer.receive().error_code(), Some(78));
    peer.call("vestibule.assist", NO_ARGS);
    peer.ping();
    assert!(harness.script().executed().is_empty());
}

/// What was held when a demotion began does not happen after it, whatever comes then.
#[test]
fn a_demotion_answers_what_is_held_and_nothing_of_it_is_written_later() {
    let harness = start_holding(config());
    let mut writer = harness.connect();
    let mut operator = harness.connect();
    assert_eq!(writer.ask(&in_stream(RequestType::Begin, 1)).code, 0);
    operator.call("vestibule.solo", NO_ARGS);
    writer.send(&RequestBuilder::replace(2, 2));
    writer.send(&RequestBuilder::new(RequestType::Begin, 3).stream(2));
    writer.send(&RequestBuilder::call(4, "echo", &[0x91, 7]));
    writer.send(&RequestBuilder::replace(5, 5).stream(1));
    writer.send(&in_stream(RequestType::Commit, 6));
    writer.ping();
    let demotion = harness.demote(Duration::from_millis(50));
    let record = demotion.transition.expect("it was carried out");
    assert_eq!(
        (record.waited_for_transactions, record.aborted_transactions),
        (1, 1)
    );
    // Tx does not hear still: the server answers alone.
    let told: Vec<_> = (0..4).map(|_| writer.receive()).collect();
    let mut told: Vec<_> = told
        .iter()
        .map(|own| (own.sync, own.error_code()))
        .collect();
    told.sort_unstable();
    assert_eq!(told, [2, 3, 5, 6].map(|sync| (sync, Some(7))));
    harness.promote();
    operator.call("vestibule.assist", NO_ARGS);
    let called = writer.receive();
    let told = (called.sync, called.error_code());
    assert_eq!(told, (4, Some(7)), "a call waits for Tx, which refuses it");
    assert_eq!(writer.ask(&RequestBuilder::replace(8, 8)).code, 0);
    assert_eq!(harness.script().executed(), [8]);
    assert_eq!(writer.ask(&in_stream(RequestType::Begin, 9)).code, 0);
}

/// The replies that come next: their syncs and errors, by sync.
fn told(peer: &mut Peer, count: usize) -> Vec<(u64, Option<u16>)> {
    let told = (0..count).map(|_| peer.receive());
    let mut told: Vec<_> = told.map(|own| (own.sync, own.error_code())).collect();
    told.sort_unstable();
    told
}

/// Kills what the only connection that has something held has held under this sync.
fn kill_held(harness: &Harness, operator: &mut Peer, sync: u64) {
    let rows = || {
        let shown = harness.connect().show("requests");
        shown.data::<Vec<Vec<Row>>>().remove(0)
    };
    let find = || {
        rows()
            .into_iter()
            .find(|own| own.state == "held" && own.sync == Some(sync))
    };
    harness.wait_until("it is held", || find().is_some());
    let connection = find().expect("it was there").connection;
    let mut args = Vec::new();
    write_array_len(&mut args, 2);
    write_uint(&mut args, connection);
    write_uint(&mut args, sync);
    assert_eq!(operator.call("vestibule.kill", &args).code, 0);
}

/// A row of `vestibule.show('requests')`.
#[derive(Debug, Deserialize)]
struct Row {
    connection: u64,
    sync: Option<u64>,
    state: String,
}

/// With nothing of its stream in front, and with something, in its turn.
#[test]
fn nothing_is_done_of_a_transaction_whose_begin_there_was_no_room_to_hold() {
    for stream in [1, 2] {
        let mut config = config();
        config.settings.hold.requests_max = 2;
        let harness = start_holding(config);
        let (mut peer, mut operator) = (harness.connect(), harness.connect());
        operator.call("vestibule.solo", NO_ARGS);
        for key in 1..3 {
            peer.send(&RequestBuilder::replace(key, key).stream(stream));
        }
        peer.send(&in_stream(RequestType::Begin, 3));
        assert_eq!(told(&mut peer, 1), [(3, Some(116))]);
        operator.call("vestibule.assist", NO_ARGS);
        assert_eq!(told(&mut peer, 2), [(1, None), (2, None)]);
        peer.send(&RequestBuilder::replace(4, 4).stream(1));
        peer.send(&in_stream(RequestType::Commit, 5));
        assert_eq!(told(&mut peer, 2), [(4, Some(97)), (5, Some(97))]);
        // The next one is as ever.
        peer.send(&in_stream(RequestType::Begin, 6));
        peer.send(&RequestBuilder::replace(7, 7).stream(1));
        peer.send(&in_stream(RequestType::Commit, 8));
        assert_eq!(told(&mut peer, 3), [(6, None), (7, None), (8, None)]);
        assert_eq!(harness.script().executed(), [1, 2, 7], "{stream}");
    }
}

/// Another transaction has the only place that the connection has.
#[test]
fn nothing_is_done_behind_a_begin_without_room_although_there_is_no_place_for_its_transaction() {
    let mut config = config();
    config.settings.hold.requests_max = 1;
    config.quotas.transactions_per_connection_max = 1;
    let harness = start_holding(config);
    let (mut peer, mut operator) = (harness.connect(), harness.connect());
    let begin = |sync, stream| RequestBuilder::new(RequestType::Begin, sync).stream(stream);
    assert_eq!(peer.ask(&begin(1, 2)).code, 0);
    operator.call("vestibule.solo", NO_ARGS);
    peer.send(&RequestBuilder::replace(2, 2).stream(2));
    peer.send(&begin(3, 1));
    assert_eq!(told(&mut peer, 1), [(3, Some(116))]);
    operator.call("vestibule.assist", NO_ARGS);
    assert_eq!(told(&mut peer, 1), [(2, None)]);
    peer.send(&RequestBuilder::replace(4, 4).stream(1));
    peer.send(&in_stream(RequestType::Commit, 5));
    assert_eq!(told(&mut peer, 2), [(4, Some(97)), (5, Some(97))]);
    // It has taken no place.
    peer.send(&begin(6, 1));
    assert_ne!(told(&mut peer, 1), [(6, None)]);
    peer.send(&RequestBuilder::new(RequestType::Rollback, 7).stream(2));
    peer.send(&begin(8, 1));
    assert_eq!(told(&mut peer, 2), [(7, None), (8, None)]);
    assert_eq!(harness.script().executed(), [2]);
}

#[test]
fn a_held_statement_that_is_killed_aborts_the_transaction_whose_begin_is_held() {
    let harness = start_holding(config());
    let (mut peer, mut operator) = (harness.connect(), harness.connect());
    operator.call("vestibule.solo", NO_ARGS);
    peer.send(&in_stream(RequestType::Begin, 1));
    for key in 2..4 {
        peer.send(&RequestBuilder::replace(key, key).stream(1));
    }
    peer.send(&in_stream(RequestType::Commit, 4));
    kill_held(&harness, &mut operator, 2);
    assert_eq!(told(&mut peer, 1), [(2, Some(32))]);
    operator.call("vestibule.assist", NO_ARGS);
    let expected = [(1, None), (3, Some(97)), (4, Some(97))];
    assert_eq!(told(&mut peer, 3), expected);
    assert_eq!(harness.script().executed(), []);
}

#[test]
fn a_held_statement_that_is_killed_leaves_the_transaction_before_its_own_alone() {
    let harness = start_holding(config());
    let (mut peer, mut operator) = (harness.connect(), harness.connect());
    assert_eq!(peer.ask(&in_stream(RequestType::Begin, 1)).code, 0);
    assert_eq!(peer.ask(&RequestBuilder::replace(2, 2).stream(1)).code, 0);
    operator.call("vestibule.solo", NO_ARGS);
    peer.send(&in_stream(RequestType::Commit, 3));
    peer.send(&in_stream(RequestType::Begin, 4));
    peer.send(&RequestBuilder::replace(5, 5).stream(1));
    peer.send(&in_stream(RequestType::Commit, 6));
    kill_held(&harness, &mut operator, 5);
    assert_eq!(told(&mut peer, 1), [(5, Some(32))]);
    operator.call("vestibule.assist", NO_ARGS);
    assert_eq!(told(&mut peer, 3), [(3, None), (4, None), (6, Some(97))]);
    assert_eq!(harness.script().executed(), [2]);
}
