//! What is acknowledged is there after a crash of the process.

mod support;

use support::{Directory, Server, make_space};
use vestibule_actors::testing::{Peer, RequestBuilder};
use vestibule_actors::wire::keys::{self, RequestType};

/// Writes in bursts until killed in the middle; returns how many rows were acknowledged.
fn write_until_killed(server: Server) -> u64 {
    let mut peer = server.connect();
    make_space(&mut peer);
    let mut killer = Some(server);
    let mut acknowledged = 0;
    for burst in 0u64.. {
        let keys = burst * 100..(burst + 1) * 100;
        let bytes: Vec<u8> = keys
            .clone()
            .flat_map(|key| RequestBuilder::replace(key, key).bytes())
            .collect();
        if burst == 20 {
            // Sent, and killed before all of it is answered.
            peer.send_bytes(&bytes);
            killer.take().expect("killed once").kill();
        } else {
            peer.send_bytes(&bytes);
        }
        for _ in keys {
            match peer.try_receive() {
                Ok(Some(reply)) => {
                    assert_eq!(reply.code, 0);
                    acknowledged = acknowledged.max(reply.sync + 1);
                }
                Ok(None) | Err(_) => return acknowledged,
            }
        }
        if killer.is_none() {
            return acknowledged;
        }
    }
    acknowledged
}

fn count_rows(peer: &mut Peer) -> u64 {
    let all = RequestBuilder::new(RequestType::Select, 1)
        .uint(keys::SPACE_ID, 512)
        .uint(keys::LIMIT, u64::MAX)
        .pair(keys::KEY, &[0x90]);
    let rows: Vec<(u64, u64)> = peer.ask(&all).data();
    let in_order = (0..rows.len() as u64)
        .map(|key| (key, key))
        .eq(rows.iter().copied());
    assert!(in_order, "no row is missing in between, none is altered");
    rows.len() as u64
}

fn survives_kill(journal_sync: &str) {
    let directory = Directory::new();
    let options = ["--journal-sync", journal_sync];
    let acknowledged = write_until_killed(Server::start(directory.path(), &options));
    assert!(acknowledged >= 2000);
    let server = Server::start(directory.path(), &options);
    let mut peer = server.connect();
    assert!(count_rows(&mut peer) >= acknowledged);
    assert_eq!(peer.ask(&RequestBuilder::replace(1, 1_000_000)).code, 0);
    assert!(server.terminate().success());
}

#[test]
fn acknowledged_rows_survive_kill_9_with_sync_every_turn() {
    survives_kill("turn");
}

#[test]
fn acknowledged_rows_survive_kill_9_without_sync() {
    survives_kill("never");
}

#[test]
fn a_death_of_tx_loses_nothing_and_no_connection() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let mut peer = server.connect();
    make_space(&mut peer);
    for key in 0..100 {
        assert_eq!(peer.ask(&RequestBuilder::replace(key, key)).code, 0);
    }
    let unknown = peer.call("vestibule.debug.panic", &[0x90]);
    assert!(unknown.error_text().unwrap().starts_with("Outcome unknown"));
    support::wait_until("the engine has recovered", || {
        peer.call("vestibule.state", &[0x90])
            .error_mentions("assist")
    });
    assert_eq!(count_rows(&mut peer), 100);
    assert_eq!(peer.ask(&RequestBuilder::replace(1, 100)).code, 0);
}
