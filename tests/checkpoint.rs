//! Checkpoints of the real binary: made on demand, started from, and rid of what is old.

mod support;

use std::fs;
use std::path::Path;

use support::{Directory, Server, make_space, rows, write_rows};
use vestibule_actors::testing::{Peer, RequestBuilder};

fn snapshot(peer: &mut Peer) {
    let reply = peer.call("box.snapshot", &[0x90]);
    assert_eq!(reply.code, 0, "{:?}", reply.error_text());
    let told: Vec<String> = reply.data();
    assert_eq!(told, ["ok"]);
}

fn count(directory: &Path, end: &str) -> usize {
    let files = fs::read_dir(directory.join("data")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(end)).count()
}

#[test]
fn a_snapshot_is_started_from_and_old_files_go_away() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let mut peer = server.connect();
    make_space(&mut peer);
    for round in 0..4 {
        write_rows(&mut peer, round * 1000..(round + 1) * 1000);
        snapshot(&mut peer);
    }
    write_rows(&mut peer, 4000..4010);
    // The newest two, the journal between them, and the one after.
    assert_eq!(count(directory.path(), ".ckpt"), 2);
    assert_eq!(count(directory.path(), ".log"), 2);
    let before = rows(&mut peer);
    server.kill();
    let server = Server::start(directory.path(), &[]);
    let mut peer = server.connect();
    assert_eq!(rows(&mut peer), before);
    assert_eq!(before.len(), 4010);
    write_rows(&mut peer, 5000..5001);
    snapshot(&mut peer);
    assert!(server.terminate().success());
}

/// C3-12: a stop does not wait for a checkpoint, and loses nothing of what was acknowledged.
#[test]
fn a_stop_during_a_snapshot_loses_nothing() {
    let directory = Directory::new();
    let mut server = Server::start(directory.path(), &[]);
    let mut peer = server.connect();
    make_space(&mut peer);
    for round in 0..10 {
        write_rows(&mut peer, round * 1000..(round + 1) * 1000);
    }
    peer.send(&RequestBuilder::call(1, "box.snapshot", &[0x90]));
    // Behind it on the way to Tx, so it has begun.
    write_rows(&mut server.connect(), 10_000..10_001);
    server.signal("TERM");
    assert!(
        server
            .wait()
            .code()
            .is_some_and(|code| code == 0 || code == 3)
    );
    let server = Server::start(directory.path(), &[]);
    assert_eq!(rows(&mut server.connect()).len(), 10_001);
    assert!(server.terminate().success());
}

#[test]
fn the_size_of_the_journal_makes_checkpoints_due() {
    let directory = Directory::new();
    let options = [
        "--checkpoint-journal-size",
        "20000",
        "--checkpoint-count",
        "1",
    ];
    let server = Server::start(directory.path(), &options);
    let mut peer = server.connect();
    make_space(&mut peer);
    write_rows(&mut peer, 0..3000);
    support::wait_until("there is a checkpoint", || {
        count(directory.path(), ".ckpt") == 1
    });
    write_rows(&mut peer, 3000..3010);
    server.kill();
    let server = Server::start(directory.path(), &options);
    assert_eq!(rows(&mut server.connect()).len(), 3010);
    assert!(server.terminate().success());
}

#[test]
fn a_second_snapshot_at_once_gets_the_error_of_tarantool_or_is_made_as_well() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let mut peer = server.connect();
    make_space(&mut peer);
    write_rows(&mut peer, 0..20_000);
    let call = |sync| RequestBuilder::call(sync, "box.snapshot", &[0x90]).bytes();
    let mut bytes = call(1);
    bytes.extend(call(2));
    peer.send_bytes(&bytes);
    let codes = [peer.receive(), peer.receive()].map(|reply| reply.error_code());
    assert!(codes.contains(&None), "{codes:?}");
    let others = codes.into_iter().flatten();
    assert!(others.eq([120]) || codes == [None, None], "{codes:?}");
}
