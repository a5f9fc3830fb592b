//! Temporary spaces over the wire: emptied by a stop and by a kill, open to changes on a replica.

mod support;

use serde::Serialize;
use support::{Directory, Server, make_space, pack, select_all_of};
use vestibule_actors::testing::{Peer, RequestBuilder};
use vestibule_wire::keys::{self, RequestType};

fn call(peer: &mut Peer, name: &str, args: &impl Serialize) {
    let reply = peer.call(name, &pack(args));
    assert_eq!(reply.code, 0, "{name}: {:?}", reply.error_text());
}

/// The number of the temporary space.
const TEMPORARY: u64 = 513;

fn store(sync: u64, space: u64, key: u64) -> RequestBuilder {
    RequestBuilder::new(RequestType::Replace, sync)
        .uint(keys::SPACE_ID, space)
        .pair(keys::TUPLE, &pack(&[key, key]))
}

fn rows(peer: &mut Peer, space: u64) -> Vec<(u64, u64)> {
    peer.ask(&select_all_of(space)).data()
}

/// A durable space and a temporary one, each with a row.
fn fill(peer: &mut Peer) {
    make_space(peer);
    let flags = std::collections::BTreeMap::from([("temporary", true)]);
    call(peer, "box.schema.space.create", &("t", flags));
    call(peer, "box.space.t:create_index", &("pk",));
    for space in [512, TEMPORARY] {
        assert_eq!(peer.ask(&store(1, space, 7)).code, 0);
        assert_eq!(rows(peer, space), [(7, 7)]);
    }
}

#[test]
fn a_stop_and_a_kill_empty_temporary_spaces_and_nothing_else() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &["--journal-sync", "turn"]);
    fill(&mut server.connect());
    assert!(server.terminate().success());
    let server = Server::start(directory.path(), &["--journal-sync", "turn"]);
    let mut peer = server.connect();
    assert_eq!(rows(&mut peer, 512), [(7, 7)]);
    assert_eq!(rows(&mut peer, TEMPORARY), []);
    assert_eq!(peer.ask(&store(1, TEMPORARY, 8)).code, 0);
    assert_eq!(peer.ask(&store(2, 512, 8)).code, 0);
    server.kill();
    let server = Server::start(directory.path(), &[]);
    let mut peer = server.connect();
    assert_eq!(rows(&mut peer, 512), [(7, 7), (8, 8)]);
    assert_eq!(rows(&mut peer, TEMPORARY), []);
}

#[test]
fn a_replica_takes_writes_to_temporary_spaces_and_refuses_others() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    fill(&mut server.connect());
    assert!(server.terminate().success());
    let replica = Server::start(directory.path(), &["--read-only"]);
    let mut peer = replica.connect();
    assert_eq!(peer.ask(&store(1, 512, 9)).error_code(), Some(7));
    assert_eq!(peer.ask(&store(2, TEMPORARY, 9)).code, 0);
    let by_name = RequestBuilder::new(RequestType::Replace, 3)
        .text(keys::SPACE_NAME, "t")
        .pair(keys::TUPLE, &pack(&[10, 10]));
    assert_eq!(peer.ask(&by_name).code, 0);
    // In a transaction as well, in which anything else is refused.
    let begin = RequestBuilder::new(RequestType::Begin, 4).stream(1);
    assert_eq!(peer.ask(&begin).code, 0);
    assert_eq!(peer.ask(&store(5, TEMPORARY, 11).stream(1)).code, 0);
    assert_eq!(peer.ask(&store(6, 512, 11).stream(1)).error_code(), Some(7));
    let commit = RequestBuilder::new(RequestType::Commit, 7).stream(1);
    assert_eq!(peer.ask(&commit).code, 0);
    assert_eq!(rows(&mut peer, TEMPORARY), [(9, 9), (10, 10), (11, 11)]);
    assert_eq!(rows(&mut peer, 512), [(7, 7)]);
}
