//! Time limits of connections: what takes too long is closed, what is slow for a reason is not.

use std::time::Duration;

use vestibule_actors::config::TimeLimits;
use vestibule_actors::testing::{Harness, RequestBuilder, Script, config};
use vestibule_actors::wire::keys::RequestType;

/// Long enough for a client on a busy machine to send what it wants to.
const SHORT: Duration = Duration::from_secs(1);

fn none() -> TimeLimits {
    TimeLimits::default()
        .half_frame(Duration::ZERO)
        .authentication(Duration::ZERO)
        .admin_authentication(Duration::ZERO)
        .unread(Duration::ZERO)
        .idle(Duration::ZERO)
        .half_closed(Duration::ZERO)
}

fn start(time_limits: TimeLimits) -> Harness {
    let config = config().time_limits(time_limits);
    Harness::start_with(config, Script::default())
}

#[test]
fn half_a_request_is_not_waited_for_and_an_idle_neighbour_is() {
    let harness = start(none().half_frame(SHORT));
    let mut idle = harness.connect();
    let mut slow = harness.connect();
    slow.ping();
    let whole = RequestBuilder::replace(7, 7).bytes();
    slow.send_bytes(&whole[..whole.len() - 1]);
    assert!(slow.receive_until_closed().is_empty());
    idle.ping();
}

#[test]
fn a_client_that_does_not_read_is_let_go_with_its_memory() {
    let harness = start(none().unread(SHORT));
    let mut neighbour = harness.connect();
    let mut unread = harness.connect();
    let large = RequestBuilder::replace_large(1, 5, 3 << 20);
    assert_eq!(unread.ask(&RequestBuilder::replace(1, 4)).code, 0);
    harness.wait_until("both are counted", || {
        harness.handle().connection_count() == 2
    });
    assert_eq!(neighbour.ask(&large).code, 0);
    // Much more than the sockets' buffers take.
    for sync in 0..16 {
        unread.send(&RequestBuilder::select(sync, 5));
    }
    harness.wait_until("the unread one is gone", || {
        harness.handle().connection_count() == 1
    });
    neighbour.ping();
}

#[test]
fn idle_is_who_neither_asks_nor_waits() {
    let harness = start(none().idle(SHORT));
    let mut waiting = harness.block();
    // Its request runs longer than the whole life of connections that came after it.
    for _ in 0..2 {
        assert!(harness.connect().receive_until_closed().is_empty());
    }
    harness.script().release();
    assert_eq!(waiting.receive().code, 0);
    assert!(
        waiting.receive_until_closed().is_empty(),
        "idle from now on"
    );
}

#[test]
fn who_does_not_log_in_is_let_go_whatever_it_asks_for() {
    let harness = start(none().authentication(SHORT));
    let mut user = harness.connect();
    assert_eq!(user.log_in("alice", "secret").code, 0);
    let mut guest = harness.connect();
    let mut silent = harness.connect();
    // What a guest gets in the meantime it gets; in the end it is closed.
    let mut pings = 0;
    loop {
        let ping = RequestBuilder::new(RequestType::Ping, pings);
        if guest.try_send(&ping).is_err() || !matches!(guest.try_receive(), Ok(Some(_))) {
            break;
        }
        pings += 1;
    }
    assert!(pings > 0);
    assert!(silent.receive_until_closed().is_empty());
    user.ping();
}
