//! `box.info` with the numbers of the journal's records.

mod support;

use std::collections::BTreeMap;

use serde::Deserialize;
use support::{Directory, Server, make_space};
use vestibule_actors::testing::{Peer, RequestBuilder};

#[derive(Debug, PartialEq, Deserialize)]
struct Info {
    lsn: u64,
    signature: u64,
    vclock: BTreeMap<u64, u64>,
    replication: BTreeMap<u64, Instance>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Instance {
    lsn: u64,
}

fn info(peer: &mut Peer) -> Info {
    let (info,): (Info,) = peer.call("box.info", &[0x90]).data();
    info
}

/// As it is when this is the number of the last record.
fn at(lsn: u64) -> Info {
    Info {
        lsn,
        signature: lsn,
        vclock: BTreeMap::from([(1, lsn)]),
        replication: BTreeMap::from([(1, Instance { lsn })]),
    }
}

#[test]
fn the_number_of_the_last_record_grows_with_writes_and_outlives_a_restart() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let mut peer = server.connect();
    make_space(&mut peer);
    let before = info(&mut peer).lsn;
    assert!(before > 0);
    assert_eq!(info(&mut peer), at(before), "reads write nothing");
    for more in 1..=3 {
        assert_eq!(peer.ask(&RequestBuilder::replace(1, more)).code, 0);
        assert_eq!(info(&mut peer), at(before + more));
    }
    drop((peer, server));
    let server = Server::start(directory.path(), &[]);
    assert_eq!(info(&mut server.connect()), at(before + 3));
}
