//! `box.begin`, `box.commit` and `box.rollback` by CALL: in a stream they are the requests of these
//! names, outside of one they change nothing.

mod support;

use support::{Directory, Server, make_space, rows};
use vestibule_actors::testing::{Frame, Peer, RequestBuilder};
use vestibule_wire::keys::RequestType;

fn call(peer: &mut Peer, name: &str, args: &[u8], stream: u64) -> Frame {
    let sync = peer.sync();
    let request = RequestBuilder::call(sync, name, args);
    peer.ask(&if stream == 0 {
        request
    } else {
        request.stream(stream)
    })
}

fn is_in_transaction(peer: &mut Peer, stream: u64) -> bool {
    let found: Vec<bool> = call(peer, "box.is_in_txn", &[0x90], stream).data();
    found[0]
}

#[test]
fn in_a_stream_transactions_begin_and_end_by_calls() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let mut peer = server.connect();
    make_space(&mut peer);
    for (end, is_kept) in [("box.rollback", false), ("box.commit", true)] {
        let begun = call(&mut peer, "box.begin", &[0x90], 1);
        assert_eq!(begun.code, 0, "{:?}", begun.error_text());
        assert_eq!(begun.data::<Vec<u64>>(), [0; 0], "answered as a CALL");
        assert!(is_in_transaction(&mut peer, 1) && !is_in_transaction(&mut peer, 2));
        let again = call(&mut peer, "box.begin", &[0x90], 1);
        assert_eq!(again.error_code(), Some(79), "{:?}", again.error_text());
        let row = RequestBuilder::replace(9, 7).stream(1);
        assert_eq!(peer.ask(&row).code, 0);
        assert_eq!(rows(&mut peer), [], "nobody else sees it");
        let ended = call(&mut peer, end, &[0x90], 1);
        assert_eq!(ended.data::<Vec<u64>>(), [0; 0]);
        assert!(!is_in_transaction(&mut peer, 1));
        assert_eq!(!rows(&mut peer).is_empty(), is_kept, "{end}");
        // Without one, nothing happens.
        assert_eq!(call(&mut peer, end, &[0x90], 1).code, 0);
    }
}

#[test]
fn calls_and_requests_may_be_mixed_and_pipelined() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let mut peer = server.connect();
    make_space(&mut peer);
    let requests = [
        RequestBuilder::call(1, "box.begin", b"\x91\x81\xa7timeout\x0a").stream(3),
        RequestBuilder::replace(2, 1).stream(3),
        RequestBuilder::new(RequestType::Commit, 3).stream(3),
        RequestBuilder::new(RequestType::Begin, 4).stream(3),
        RequestBuilder::replace(5, 2).stream(3),
        RequestBuilder::call(6, "box.commit", &[0x90]).stream(3),
        RequestBuilder::call(7, "box.begin", &[0x90]).stream(3),
        RequestBuilder::replace(8, 3).stream(3),
    ];
    let bytes: Vec<u8> = requests.iter().flat_map(RequestBuilder::bytes).collect();
    peer.send_bytes(&bytes);
    for _ in requests {
        let reply = peer.receive();
        assert_eq!(reply.code, 0, "{:?}", reply.error_text());
    }
    let mut other = server.connect();
    assert_eq!(rows(&mut other), [(1, 1), (2, 2)]);
    peer.close();
    // What was left open is seen by nobody. That it is rolled back is shown by
    // actors/tests/end_of_input.rs.
    assert_eq!(rows(&mut other), [(1, 1), (2, 2)]);
    let wrong = call(&mut other, "box.begin", b"\x91\x81\xa7timeout\x00", 1);
    assert_eq!(
        wrong.error_text().as_deref(),
        Some("Illegal parameters, timeout must be a number greater than 0")
    );
    assert!(!is_in_transaction(&mut other, 1));
}

#[test]
fn outside_of_a_stream_a_transaction_would_end_with_the_call() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let mut peer = server.connect();
    let begun = call(&mut peer, "box.begin", &[0x90], 0);
    assert_eq!(
        (begun.error_code(), begun.error_text().as_deref()),
        (
            Some(30),
            Some("Transaction is active at return from function")
        )
    );
    for name in ["box.commit", "box.rollback"] {
        assert_eq!(call(&mut peer, name, &[0x90], 0).code, 0, "{name}");
    }
    assert!(!is_in_transaction(&mut peer, 0));
}
