//! Wrong logins: each makes the next one wait, and nobody else.

use std::time::{Duration, Instant};

use vestibule_actors::testing::{Harness, RequestBuilder};
use vestibule_actors::wire::keys::RequestType;

#[test]
fn wrong_logins_of_a_connection_take_longer_and_longer_and_keep_nobody_else_out() {
    let harness = Harness::start();
    let mut guesser = harness.connect();
    let began = Instant::now();
    let mut bytes = Vec::new();
    for sync in 1..=4 {
        bytes.extend(guesser.log_in_request(sync, "alice", "wrong").bytes());
    }
    bytes.extend(guesser.log_in_request(5, "alice", "secret").bytes());
    bytes.extend(RequestBuilder::new(RequestType::Ping, 6).bytes());
    guesser.send_bytes(&bytes);
    assert_eq!(guesser.receive().error_code(), Some(47));
    let mut alice = harness.connect();
    assert_eq!(alice.log_in("alice", "secret").code, 0);
    for sync in 2..=4 {
        let reply = guesser.receive();
        assert_eq!((reply.sync, reply.error_code()), (sync, Some(47)));
    }
    // The right one as well, and what comes behind it.
    for sync in 5..=6 {
        let reply = guesser.receive();
        assert_eq!((reply.sync, reply.code), (sync, 0));
    }
    assert!(began.elapsed() >= Duration::from_millis(100 + 200 + 400 + 800));
}

/// Connection pools go back to guest; that needs no password.
#[test]
fn who_has_guessed_wrong_is_guest_at_once_and_served() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    assert_eq!(peer.log_in("alice", "wrong").error_code(), Some(47));
    assert_eq!(peer.log_in("guest", "").code, 0);
    peer.ping();
    assert_eq!(peer.ask(&RequestBuilder::replace(7, 7)).code, 0);
}
