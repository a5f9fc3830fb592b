//! `box.stat`, `box.stat.net`, `box.info` and `box.session`: what monitoring asks for, while Tx
//! stands still too.

use std::collections::BTreeMap;

use serde::Deserialize;
use vestibule_actors::Config;
use vestibule_actors::config::SoloPolicy;
use vestibule_actors::serving::State;
use vestibule_actors::testing::{Harness, Peer, RequestBuilder, Script, config};
use vestibule_actors::wire::keys::{self, RequestType};

const NO_ARGS: &[u8] = &[0x90];

#[derive(Debug, Deserialize)]
struct Row {
    total: u64,
    rps: u64,
    current: Option<u64>,
}

type Rows = BTreeMap<String, Row>;

fn rows(peer: &mut Peer, name: &str) -> Rows {
    let reply = peer.call(name, NO_ARGS);
    assert_eq!(reply.code, 0, "{name}: {:?}", reply.error_text());
    let (rows,): (Rows,) = reply.data();
    rows
}

fn totals(rows: &Rows) -> BTreeMap<&str, u64> {
    let of_row = |(name, row): (&'static str, &Row)| (name, row.total);
    let names = NAMES.iter().map(|name| (*name, &rows[*name]));
    names.map(of_row).filter(|(_, total)| *total > 0).collect()
}

const NAMES: [&str; 15] = [
    "AUTH", "BEGIN", "CALL", "COMMIT", "DELETE", "ERROR", "EVAL", "EXECUTE", "INSERT", "PREPARE",
    "REPLACE", "ROLLBACK", "SELECT", "UPDATE", "UPSERT",
];

/// More threads than one, so that the sums are sums.
fn start() -> Harness {
    let config = Config {
        session_threads: 2,
        ..config()
    };
    Harness::start_with(config, Script::default())
}

#[test]
fn requests_are_counted_by_type_on_all_threads_at_once_and_once_each() {
    let harness = start();
    let mut peers: Vec<Peer> = (0..4).map(|_| harness.connect()).collect();
    for (peer, key) in peers.iter_mut().zip(0..) {
        assert_eq!(peer.ask(&RequestBuilder::replace(1, key)).code, 0);
        assert_eq!(peer.ask(&RequestBuilder::select(2, key)).code, 0);
        peer.ping();
        assert_eq!(peer.log_in("alice", "secret").code, 0);
        // From the catalog, by Tx, and by neither.
        let unknown = RequestBuilder::new(RequestType::Select, 1)
            .uint(keys::SPACE_ID, 281)
            .uint(keys::INDEX_ID, 77)
            .uint(keys::LIMIT, 1)
            .pair(keys::KEY, NO_ARGS);
        assert!(peer.ask(&unknown).error_code().is_some());
        assert!(peer.call("no.such", NO_ARGS).error_code().is_some());
        assert!(peer.ask(&RequestBuilder::raw(99, 5)).error_code().is_some());
    }
    let [asking, ..] = &mut peers[..] else {
        unreachable!("there are four")
    };
    let found = rows(asking, "box.stat");
    assert_eq!(found.len(), NAMES.len());
    let expected = [
        ("AUTH", 4),
        ("CALL", 4),
        ("ERROR", 12),
        ("REPLACE", 4),
        ("SELECT", 8),
    ];
    assert_eq!(totals(&found), BTreeMap::from(expected));
    // What asks is counted when it is answered: the one before is.
    assert_eq!(rows(asking, "box.stat")["CALL"].total, 5);
}

#[test]
fn transactions_are_counted_and_streams_come_and_go() {
    let harness = start();
    let mut peer = harness.connect();
    let begin = RequestBuilder::new(RequestType::Begin, 1).stream(7);
    assert_eq!(peer.ask(&begin).code, 0);
    let streams = |peer: &mut Peer| {
        let row = rows(peer, "box.stat.net").remove("STREAMS").unwrap();
        (row.current, row.total)
    };
    assert_eq!(streams(&mut peer), (Some(1), 1));
    let rollback = RequestBuilder::new(RequestType::Rollback, 2).stream(7);
    assert_eq!(peer.ask(&rollback).code, 0);
    assert_eq!(streams(&mut peer), (Some(0), 1));
    let found = rows(&mut peer, "box.stat");
    assert_eq!((found["BEGIN"].total, found["ROLLBACK"].total), (1, 1));
    assert_eq!(found["COMMIT"].total, 0);
}

#[test]
fn bytes_connections_and_requests_are_counted() {
    let harness = start();
    let mut peer = harness.connect();
    drop(harness.connect());
    let before = rows(&mut peer, "box.stat.net");
    let request = RequestBuilder::new(RequestType::Ping, 1);
    let reply = peer.ask(&request);
    let after = rows(&mut peer, "box.stat.net");
    let more = |name: &str| after[name].total - before[name].total;
    let call = RequestBuilder::call(1, "box.stat.net", NO_ARGS);
    let size = (request.bytes().len() + call.bytes().len()) as u64;
    assert_eq!(more("RECEIVED"), size);
    assert!(more("SENT") > reply.body.len() as u64);
    assert_eq!(more("REQUESTS"), 2);
    assert_eq!(after["CONNECTIONS"].total, 2);
    assert!(after["CONNECTIONS"].current >= Some(1));
    assert_eq!(after["REQUESTS"].current, Some(0));
    assert!(after["SENT"].current.is_none());
}

#[test]
fn what_is_asked_much_has_a_rate_per_second() {
    let harness = start();
    let mut peer = harness.connect();
    // The rate is told once a second.
    let mut asked = 0;
    while rows(&mut peer, "box.stat")["CALL"].rps == 0 {
        asked += 1;
        assert!(asked < 10_000_000, "no rate is ever told");
    }
}

#[test]
fn a_request_that_is_held_is_counted_once() {
    let config = Config {
        solo_policy: SoloPolicy::Hold,
        solo_policy_new: SoloPolicy::Hold,
        ..config()
    };
    let harness = Harness::start_with(config, Script::default());
    let mut monitor = harness.connect();
    harness.script().hold_tx();
    let mut blocker = harness.connect();
    blocker.send(&RequestBuilder::call(1, "busy", NO_ARGS));
    harness.script().wait_until_blocked();
    harness.wait_for(State::Solo);
    let mut peer = harness.connect();
    peer.send(&RequestBuilder::replace(1, 42));
    harness.wait_until("the request is held", || {
        rows(&mut harness.connect(), "box.stat")["REPLACE"].total == 1
    });
    // Sessions answer these whatever Tx does.
    assert!(rows(&mut monitor, "box.stat.net")["REQUESTS"].current >= Some(1));
    assert_eq!(monitor.call("box.info", NO_ARGS).code, 0);
    harness.script().release();
    assert_eq!(peer.receive().code, 0);
    assert_eq!(rows(&mut monitor, "box.stat")["REPLACE"].total, 1);
}

#[test]
fn a_session_tells_its_peer_and_the_sync_of_the_request() {
    let harness = start();
    let mut peer = harness.connect();
    let peer_address = |peer: &mut Peer, args: &[u8]| peer.call("box.session.peer", args);
    let (own,): (String,) = peer_address(&mut peer, NO_ARGS).data();
    assert!(own.starts_with("127.0.0.1:"), "{own}");
    assert_ne!(own, harness.address().to_string());
    let (again,): (String,) = peer_address(&mut peer, &[0x91, 0xc0]).data();
    assert_eq!(again, own);
    let other = peer_address(&mut peer, &[0x91, 0x7f]);
    let usage = "Usage: box.session.peer([own connection])";
    assert_eq!(other.error_text().as_deref(), Some(usage));
    for sync in [1, 1 << 40] {
        let call = RequestBuilder::call(sync, "box.session.sync", NO_ARGS);
        assert_eq!(peer.ask(&call).data::<(u64,)>(), (sync,));
    }
}

#[test]
fn info_leaves_out_what_the_engine_does_not_number() {
    #[derive(Debug, Deserialize)]
    struct Info {
        uuid: String,
        lsn: Option<u64>,
        vclock: Option<BTreeMap<u64, u64>>,
        replication: BTreeMap<u64, Instance>,
    }
    #[derive(Debug, Deserialize)]
    struct Instance {
        id: u64,
        uuid: String,
        lsn: Option<u64>,
    }
    let harness = start();
    let (info,): (Info,) = harness.connect().call("box.info", NO_ARGS).data();
    assert!(info.lsn.is_none() && info.vclock.is_none());
    let own = &info.replication[&1];
    assert_eq!((own.id, &own.uuid, own.lsn), (1, &info.uuid, None));
}
