//! A disk that is full under a running server: who is told what, what goes on, and what is left.

mod support;

use support::{Directory, Server, make_space, select_all};
use vestibule_actors::testing::{Peer, RequestBuilder};

fn rows(peer: &mut Peer) -> Vec<u64> {
    let rows: Vec<(u64, u64)> = peer.ask(&select_all()).data();
    rows.into_iter().map(|row| row.0).collect()
}

/// Writes many rows at once until the disk is full; returns the keys that were acknowledged.
fn fill(peer: &mut Peer) -> Vec<u64> {
    // The burst may be one turn, of which nothing is acknowledged.
    for key in 0..10 {
        assert_eq!(peer.ask(&RequestBuilder::replace(key, key)).code, 0);
    }
    let keys = 10..=2000;
    let requests = keys.clone().map(|key| RequestBuilder::replace(key, key));
    peer.send_bytes(
        &requests
            .flat_map(|request| request.bytes())
            .collect::<Vec<_>>(),
    );
    let (mut acknowledged, mut failed, mut refused) = (Vec::from_iter(0..10), 0, 0);
    for key in keys {
        let reply = peer.receive();
        match reply.error_code() {
            None => {
                assert_eq!((failed, refused), (0, 0), "nothing is written any more");
                acknowledged.push(key);
            }
            Some(40) => failed += 1,
            Some(7) => {
                refused += 1;
                let text = reply.error_text().unwrap_or_default();
                assert!(text.contains("journal failed: cannot write to"), "{text}");
            }
            Some(code) => panic!("{code}: {:?}", reply.error_text()),
        }
    }
    assert!(failed > 0, "the turn that met the full disk");
    acknowledged
}

#[test]
fn a_full_disk_fails_whole_turns_while_reads_and_pings_go_on() {
    for journal_sync in ["turn", "interval", "never"] {
        let directory = Directory::new();
        let options = ["--journal-sync", journal_sync];
        let server = Server::start(directory.path(), &options);
        let mut peer = server.connect();
        make_space(&mut peer);
        server.limit_files("20000");
        let mut acknowledged = fill(&mut peer);

        // The connection and new ones are served: pings, reads, what there is of definitions.
        for peer in [&mut peer, &mut server.connect()] {
            peer.ping();
            assert_eq!(rows(peer), acknowledged, "{journal_sync}");
            let refused = peer.call("box.space.rows:drop", &[0x90]);
            assert_eq!(refused.error_code(), Some(7));
        }

        server.limit_files("unlimited");
        let refused = peer.ask(&RequestBuilder::replace(1, 3000));
        assert_eq!(refused.error_code(), Some(7), "until somebody resumes it");
        assert_eq!(peer.call("vestibule.journal.resume", &[0x90]).code, 0);
        assert_eq!(peer.ask(&RequestBuilder::replace(1, 3000)).code, 0);
        acknowledged.push(3000);
        assert_eq!(rows(&mut peer), acknowledged);
        server.kill();
        let server = Server::start(directory.path(), &options);
        assert_eq!(rows(&mut server.connect()), acknowledged, "{journal_sync}");
        assert!(server.terminate().success());
    }
}

#[test]
fn a_server_that_is_killed_with_a_full_disk_has_what_it_acknowledged() {
    for journal_sync in ["turn", "never"] {
        let directory = Directory::new();
        let options = ["--journal-sync", journal_sync];
        let server = Server::start(directory.path(), &options);
        let mut peer = server.connect();
        make_space(&mut peer);
        server.limit_files("20000");
        let acknowledged = fill(&mut peer);
        server.kill();
        let server = Server::start(directory.path(), &options);
        assert_eq!(rows(&mut server.connect()), acknowledged, "{journal_sync}");
        assert!(server.terminate().success());
    }
}
