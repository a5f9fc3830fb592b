//! The serving state as clients see it: answered, refused, held or closed while Tx is blocked.

use std::collections::BTreeSet;
use std::time::Duration;

use vestibule_actors::Config;
use vestibule_actors::config::{Administrators, SoloPolicy};
use vestibule_actors::serving::{Role, State};
use vestibule_actors::testing::{Harness, Peer, RequestBuilder, Script, config};
use vestibule_actors::wire::events;
use vestibule_actors::wire::keys::{self, RequestType};

#[path = "serving/hold.rs"]
mod hold;

const NO_ARGS: &[u8] = &[0x90];

/// Makes Tx stand still in state solo; returns the connection that did it.
fn block_tx(harness: &Harness) -> Peer {
    harness.script().hold_tx();
    let mut blocker = harness.connect();
    blocker.send(&RequestBuilder::call(1, "busy", NO_ARGS));
    harness.script().wait_until_blocked();
    harness.wait_for(State::Solo);
    blocker
}

#[test]
fn while_tx_stands_still_new_connections_are_greeted_and_served() {
    let harness = Harness::start();
    harness.connect().ask(&RequestBuilder::replace(1, 42));
    let mut blocker = block_tx(&harness);
    for _ in 0..50 {
        let mut peer = harness.connect();
        peer.ping();
        assert_eq!(peer.log_in("alice", "secret").code, 0);
        let schema = RequestBuilder::new(RequestType::Select, 1)
            .uint(keys::SPACE_ID, 281)
            .uint(keys::LIMIT, u64::MAX)
            .pair(keys::KEY, NO_ARGS);
        assert_eq!(peer.ask(&schema).code, 0);
        let refused = peer.ask(&RequestBuilder::replace(9, 1));
        assert_eq!((refused.error_code(), refused.sync), (Some(116), 9));
        let text = refused.error_text().unwrap();
        assert!(
            text.starts_with("Tx is busy: scripted work (25 %), retry after "),
            "{text}"
        );
        for field in [
            "state",
            "solo",
            "reason",
            "progress",
            "retry_after",
            "epoch",
        ] {
            assert!(refused.error_mentions(field), "{field}");
        }
        let read = peer.ask(&RequestBuilder::select(10, 42));
        assert_eq!(read.data::<Vec<(u64, u64)>>(), [(42, 42)]);
        assert_eq!(peer.call("vestibule.state", NO_ARGS).code, 0);
        assert_eq!(peer.call("box.info", NO_ARGS).code, 0);
    }
    harness.script().release();
    assert_eq!(blocker.receive().data::<Vec<String>>(), ["released"]);
    harness.wait_for(State::Assist);
    assert_eq!(
        harness.connect().ask(&RequestBuilder::replace(1, 1)).code,
        0
    );
}

#[test]
fn what_was_queued_when_tx_was_blocked_is_answered_at_once_and_never_executed() {
    let harness = Harness::start();
    // No solo is declared yet: what comes behind waits in Tx's queue.
    let mut blocker = harness.block();
    let mut peer = harness.connect();
    for key in 0..100 {
        peer.send(&RequestBuilder::replace(key, key));
    }
    peer.ping();
    peer.call("vestibule.solo", &[0x91, 0xa1, b'x']);
    let mut other = harness.connect();
    other.ping();
    for _ in 0..100 {
        assert_eq!(peer.receive().error_code(), Some(116));
    }
    harness.script().release();
    assert_eq!(blocker.receive().code, 0);
    other.call("vestibule.assist", NO_ARGS);
    assert_eq!(peer.ask(&RequestBuilder::replace(1, 1000)).code, 0);
    assert_eq!(harness.script().executed(), [1000]);
}

#[test]
fn no_request_is_both_refused_and_executed_however_solo_comes_and_goes() {
    const PEERS: u64 = 8;
    const REQUESTS: u64 = 2000;
    let harness = Harness::start_with(config().session_threads(2), Script::default());
    let (executed, refused) = std::thread::scope(|scope| {
        let peers: Vec<_> = (0..PEERS)
            .map(|peer| {
                let mut connection = harness.connect();
                scope.spawn(move || {
                    let (mut executed, mut refused) = (BTreeSet::new(), BTreeSet::new());
                    for burst in 0..REQUESTS / 50 {
                        let keys = (burst * 50..(burst + 1) * 50).map(|key| peer * REQUESTS + key);
                        let bytes: Vec<u8> = keys
                            .flat_map(|key| RequestBuilder::replace(key, key).bytes())
                            .collect();
                        connection.send_bytes(&bytes);
                        for _ in 0..50 {
                            let reply = connection.receive();
                            let (kind, code) = match reply.error_code() {
                                None => (&mut executed, 0),
                                Some(code) => (&mut refused, code),
                            };
                            assert!(matches!(code, 0 | 116), "{code}");
                            assert!(kind.insert(reply.sync), "one answer per request");
                        }
                    }
                    (executed, refused)
                })
            })
            .collect();
        let mut operator = harness.connect();
        while !peers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            operator.call("vestibule.solo", &[0x91, 0xa1, b'x']);
            operator.call("vestibule.assist", NO_ARGS);
        }
        let mut all = (BTreeSet::new(), BTreeSet::new());
        for peer in peers {
            let (executed, refused) = peer.join().expect("the peer's assertions hold");
            all.0.extend(executed);
            all.1.extend(refused);
        }
        all
    });
    let done: Vec<_> = harness.script().executed();
    let distinct: BTreeSet<_> = done.iter().copied().collect();
    assert_eq!(distinct.len(), done.len(), "nothing is executed twice");
    assert_eq!(
        distinct, executed,
        "what was executed is what was acknowledged"
    );
    assert!(executed.is_disjoint(&refused));
    assert_eq!(executed.len() + refused.len(), (PEERS * REQUESTS) as usize);
}

#[test]
fn an_operator_can_declare_solo_and_take_it_back() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    let solo = peer.call("vestibule.solo", &[0x91, 0xa4, b'n', b'o', b't', b'e']);
    assert!(solo.error_mentions("solo") && solo.error_mentions("note"));
    assert_eq!(
        peer.ask(&RequestBuilder::replace(5, 1)).error_code(),
        Some(116)
    );
    peer.call("vestibule.assist", NO_ARGS);
    assert_eq!(peer.ask(&RequestBuilder::replace(6, 1)).code, 0);
}

#[test]
fn control_is_for_administrators() {
    let config = config().administrators(Administrators::Users(vec!["alice".to_owned()]));
    let harness = Harness::start_with(config, Script::default());
    let mut peer = harness.connect();
    for name in [
        "vestibule.state",
        "vestibule.solo",
        "vestibule.drain",
        "vestibule.show",
    ] {
        let reply = peer.call(name, NO_ARGS);
        assert_eq!(reply.error_code(), Some(42));
        let text = format!("Execute access to function '{name}' is denied for user 'guest'");
        assert_eq!(reply.error_text(), Some(text));
    }
    assert_eq!(peer.call("box.info", NO_ARGS).code, 0);
    peer.log_in("alice", "secret");
    assert_eq!(peer.call("vestibule.state", NO_ARGS).code, 0);
    peer.log_in("guest", "");
    assert_eq!(peer.call("vestibule.state", NO_ARGS).error_code(), Some(42));
}

/// The name passes from one user to the next, and the right of an administrator does not.
#[test]
fn a_dropped_administrator_is_none_whoever_is_called_the_same() {
    let config = config().administrators(Administrators::Users(vec!["alice".to_owned()]));
    let harness = Harness::start_with(config, Script::default());
    let mut peer = harness.connect();
    peer.log_in("alice", "secret");
    assert_eq!(peer.call("vestibule.state", NO_ARGS).code, 0);
    harness.script().replace_alice();
    assert_eq!(peer.ask(&RequestBuilder::replace(1, 1)).code, 0);
    let reply = peer.call("vestibule.state", NO_ARGS);
    assert_eq!(reply.error_code(), Some(45));
    assert_eq!(
        reply.error_text().as_deref(),
        Some("User 'alice' is not found")
    );
    peer.log_in("alice", "secret");
    assert_eq!(peer.call("vestibule.state", NO_ARGS).code, 0);
}

/// To drop a user ends what that user does.
#[test]
fn a_transaction_of_a_dropped_user_is_rolled_back_by_its_commit() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    peer.log_in("alice", "secret");
    let ask = |peer: &mut Peer, request_type, sync| {
        peer.ask(&RequestBuilder::new(request_type, sync).stream(1))
    };
    assert_eq!(ask(&mut peer, RequestType::Begin, 1).code, 0);
    harness.script().replace_alice();
    let reply = ask(&mut peer, RequestType::Commit, 2);
    assert_eq!(reply.error_code(), Some(45));
    let log = harness.script().log();
    assert!(
        log.iter().any(|line| line.starts_with("rollback")),
        "{log:?}"
    );
    assert!(
        !log.iter().any(|line| line.starts_with("commit")),
        "{log:?}"
    );
    assert_eq!(ask(&mut peer, RequestType::Begin, 3).code, 0);
}

#[test]
fn policy_close_answers_and_closes() {
    let config = config()
        .solo_policy(SoloPolicy::Close)
        .solo_policy_new(SoloPolicy::Close);
    let harness = Harness::start_with(config, Script::default());
    let mut early = harness.connect();
    early.ping();
    let _blocker = block_tx(&harness);
    early.ping();
    early.send(&RequestBuilder::replace(3, 1));
    let frames = early.receive_until_closed();
    assert_eq!(frames.len(), 1);
    assert_eq!((frames[0].error_code(), frames[0].sync), (Some(116), 3));
    let late = harness.connect().receive_until_closed();
    assert_eq!(
        (late.len(), late[0].error_code(), late[0].sync),
        (1, Some(116), 0)
    );
}

#[test]
fn a_replica_serves_reads_and_refuses_writes() {
    let config = config().role(Role::Replica);
    let harness = Harness::start_with(config, Script::default());
    let mut peer = harness.connect();
    let reply = peer.ask(&RequestBuilder::replace(1, 1));
    assert_eq!(reply.error_code(), Some(7));
    assert_eq!(
        reply.error_text().as_deref(),
        Some("Can't modify data on a read-only instance - box.cfg.read_only is true")
    );
    assert_eq!(peer.ask(&RequestBuilder::select(2, 1)).code, 0);
    harness.promote();
    assert_eq!(peer.ask(&RequestBuilder::replace(3, 1)).code, 0);
}

#[test]
fn while_the_engine_recovers_the_door_is_open_and_no_data_are_shown() {
    let script = Script::default();
    script.hold_recovery(true);
    let harness = Harness::start_loading(config(), script);
    harness.script().wait_for_log("recovering");
    let mut peer = harness.connect();
    peer.ping();
    assert_eq!(peer.log_in("alice", "secret").error_code(), Some(116));
    for request in [RequestBuilder::replace(1, 1), RequestBuilder::select(2, 1)] {
        let reply = peer.ask(&request);
        assert_eq!(reply.error_code(), Some(116));
        assert!(reply.error_text().unwrap().contains("(40 %)"));
    }
    let schema = RequestBuilder::new(RequestType::Select, 1)
        .uint(keys::SPACE_ID, 281)
        .uint(keys::LIMIT, 9)
        .pair(keys::KEY, NO_ARGS);
    assert_eq!(
        peer.ask(&schema).error_code(),
        Some(116),
        "an empty schema would mislead"
    );
    harness.script().hold_recovery(false);
    harness.wait_for(State::Assist);
    assert_eq!(peer.ask(&schema).code, 0);
    assert_eq!(peer.ask(&RequestBuilder::replace(3, 1)).code, 0);
}

#[test]
fn the_status_tells_how_far_recovery_is() {
    let script = Script::default();
    script.hold_recovery(true);
    let harness = Harness::start_loading(config(), script.clone());
    let mut peer = harness.connect();
    script.wait_for_log("recovering");
    let watch =
        |sync| RequestBuilder::new(RequestType::Watch, sync).text(keys::EVENT_KEY, events::STATUS);
    let event = peer.ask(&watch(1));
    assert!(event.error_mentions("loading"));
    assert!(event.error_mentions("progress"), "{event:?}");
    peer.send(&watch(2));
    script.hold_recovery(false);
    let event = peer.receive();
    assert!(event.error_mentions("running"));
    assert!(!event.error_mentions("progress"), "{event:?}");
}

#[test]
fn watched_events_tell_every_change_of_state() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    let watch =
        |key: &str, sync| RequestBuilder::new(RequestType::Watch, sync).text(keys::EVENT_KEY, key);
    let event = peer.ask(&watch(events::STATUS, 1));
    assert_eq!(
        (event.code, event.sync, event.schema_version),
        (76, 1, None)
    );
    assert!(event.error_mentions("running"));
    let nothing = peer.ask(&watch("no.such.key", 2));
    assert_eq!(nothing.event(), Some(("no.such.key".to_owned(), None)));
    let mut operator = harness.connect();
    // Not acknowledged: nothing comes, and both changes are one event later.
    operator.call("vestibule.solo", NO_ARGS);
    peer.ping();
    let event = peer.ask(&watch(events::STATUS, 3));
    assert_eq!(event.sync, 3);
    assert!(event.error_mentions("loading"));
    peer.send(&watch(events::STATUS, 4));
    peer.ping();
    operator.call("vestibule.assist", NO_ARGS);
    let event = peer.receive();
    assert_eq!(event.sync, 4);
    assert!(event.error_mentions("running"));
    let once = RequestBuilder::new(RequestType::WatchOnce, 5).text(keys::EVENT_KEY, events::SCHEMA);
    assert_eq!(peer.ask(&once).code, 0);
    let unwatch =
        RequestBuilder::new(RequestType::Unwatch, 6).text(keys::EVENT_KEY, events::STATUS);
    peer.send(&watch(events::STATUS, 7));
    peer.send(&unwatch);
    operator.call("vestibule.solo", NO_ARGS);
    peer.ping();
}

#[test]
fn a_select_of_many_steps_goes_on_while_tx_is_blocked() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    peer.ask(&RequestBuilder::replace(1, 42));
    let _blocker = block_tx(&harness);
    let steps = RequestBuilder::new(RequestType::Select, 2)
        .uint(keys::SPACE_ID, 512)
        .uint(keys::LIMIT, 100)
        .pair(keys::KEY, &[0x91, 42]);
    peer.send(&steps);
    peer.send(&RequestBuilder::new(RequestType::Ping, 3));
    // The answer to a ping need not wait behind a large reply that is there at the same time.
    let replies = [peer.receive(), peer.receive()];
    let of = |sync: u64| replies.iter().find(|own| own.sync == sync);
    let read = of(2).expect("the SELECT is answered");
    assert_eq!(read.data::<Vec<(u64, u64)>>(), [(42, 42)]);
    assert!(of(3).is_some_and(|pong| pong.code == 0));
}

#[test]
fn connections_that_come_in_solo_have_a_policy_of_their_own() {
    let config = config()
        .solo_policy(SoloPolicy::Reject)
        .solo_policy_new(SoloPolicy::Hold);
    let harness = Harness::start_with(config, Script::default());
    let mut early = harness.connect();
    early.call("vestibule.solo", NO_ARGS);
    let mut late = harness.connect();
    late.send(&RequestBuilder::replace(1, 1));
    late.ping();
    let refused = early.ask(&RequestBuilder::replace(2, 2));
    assert_eq!(refused.error_code(), Some(116));
    early.call("vestibule.assist", NO_ARGS);
    let reply = late.receive();
    assert_eq!((reply.sync, reply.code), (1, 0));
}

#[test]
fn every_change_of_state_is_remembered_with_its_reason() {
    let harness = Harness::start();
    let mut operator = harness.connect();
    operator.call(
        "vestibule.solo",
        &[0x91, 0xa5, b'i', b'n', b'd', b'e', b'x'],
    );
    operator.call("vestibule.assist", NO_ARGS);
    let shown = operator.show("transitions");
    for text in ["loading", "solo", "assist", "index"] {
        assert!(shown.error_mentions(text), "{text}");
    }
}
