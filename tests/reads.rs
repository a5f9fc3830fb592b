//! SELECTs of many rows, which sessions answer from the read view and the catalog in several steps.

mod support;

use serde::de::IgnoredAny;
use support::{Directory, Server, make_space, write_rows};
use vestibule_actors::testing::RequestBuilder;
use vestibule_actors::wire::keys::{self, RequestType};

const ROWS: u64 = 5000;
const READS: u64 = 16;

#[test]
fn pipelined_scans_are_answered_whole_whatever_waits_before_them() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &["--journal-sync", "never"]);
    let mut peer = server.connect();
    make_space(&mut peer);
    write_rows(&mut peer, 0..ROWS);
    let scan = |sync| {
        RequestBuilder::new(RequestType::Select, sync)
            .uint(keys::SPACE_ID, 512)
            .uint(keys::LIMIT, u64::MAX)
            .pair(keys::KEY, &[0x90])
    };
    // The pings' replies are in the output already when the scans begin.
    let ping = |sync| RequestBuilder::new(RequestType::Ping, sync);
    let requests = (0..READS).flat_map(|sync| {
        let mut both = ping(sync).bytes();
        both.extend(scan(READS + sync).bytes());
        both
    });
    peer.send_bytes(&requests.collect::<Vec<u8>>());
    // Pings go ahead of scans; each kind comes in its order.
    let (mut pings, mut scans) = (0..READS, READS..2 * READS);
    for _ in 0..2 * READS {
        let reply = peer.receive();
        assert_eq!(reply.code, 0, "{reply:?}");
        if reply.sync < READS {
            assert_eq!(Some(reply.sync), pings.next());
            continue;
        }
        assert_eq!(Some(reply.sync), scans.next());
        let rows: Vec<(u64, u64)> = reply.data();
        assert!(rows.into_iter().map(|(key, _)| key).eq(0..ROWS));
    }
}

/// Nothing else is sent on the connection, whose session has to come back to it by itself.
#[test]
fn a_select_on_many_rows_of_the_catalog_is_answered_at_once() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &["--journal-sync", "never"]);
    let mut peer = server.connect();
    let select = RequestBuilder::new(RequestType::Select, 1)
        .uint(keys::SPACE_ID, 276)
        .uint(keys::LIMIT, u64::MAX)
        .pair(keys::KEY, &[0x90]);
    peer.send_bytes(&select.bytes());
    let reply = peer.receive();
    let rows: Vec<IgnoredAny> = reply.data();
    assert_eq!(rows.len(), 277);
}
