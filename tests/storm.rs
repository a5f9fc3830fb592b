//! The scenario of Tarantool #4910: the server's thread is blocked, clients reconnect again and
//! again. Once it said so, once the watchdog has to find out.

mod support;

use std::time::{Duration, Instant};

use support::{Directory, Server, block, wait_until};
use vestibule_actors::testing::RequestBuilder;

const CLIENTS: usize = 12;
const PERIOD: Duration = Duration::from_millis(100);
const STORM: Duration = Duration::from_secs(10);
const STORM_OF_A_STALL: Duration = Duration::from_secs(3);

#[test]
fn reconnecting_clients_are_all_served_and_no_descriptor_is_left() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let mut operator = server.connect();
    let mut blocker = server.connect();
    block(&mut blocker, 30, "a long one");
    wait_until("Tx is blocked", || {
        operator
            .call("vestibule.state", &[0x90])
            .error_mentions("a long one")
    });
    play_storm(&server, STORM);
    assert!(
        operator
            .call("vestibule.state", &[0x90])
            .error_mentions("a long one")
    );
}

#[test]
fn a_block_that_nobody_declared_is_found_and_weathered_in_the_same_way() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &["--tx-stall-after", "500ms"]);
    let mut blocker = server.connect();
    blocker.send(&RequestBuilder::call(
        1,
        "vestibule.debug.block",
        &[0x91, 30],
    ));
    // Whatever waits behind it is answered when the stall is found.
    let mut waiting = server.connect();
    wait_until("the stall is found", || {
        let refused = waiting.ask(&RequestBuilder::replace(2, 2));
        refused.error_code() == Some(116) && refused.error_mentions("stalled")
    });
    play_storm(&server, STORM_OF_A_STALL);
    let state = waiting.call("vestibule.state", &[0x90]);
    assert!(state.error_mentions("stalled"));
}

#[test]
fn a_procedure_that_sleeps_is_no_stall_for_what_waits_behind_it() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &["--tx-stall-after", "300ms"]);
    let mut peer = server.connect();
    for (sync, seconds) in [(1, 2), (2, 0)] {
        let sleep = RequestBuilder::call(sync, "vestibule.debug.sleep", &[0x91, seconds]);
        peer.send(&sleep.stream(1));
    }
    for sync in [1, 2] {
        let reply = peer.receive();
        assert_eq!((reply.sync, reply.code), (sync, 0), "{reply:?}");
    }
}

/// A storm after which every descriptor is back.
fn play_storm(server: &Server, time: Duration) {
    let before = server.descriptors();
    let served: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| scope.spawn(|| storm(server, time)))
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().expect("every check holds"))
            .sum()
    });
    assert!(served >= CLIENTS, "{served} connections");
    wait_until("the descriptors are back", || {
        server.descriptors() <= before
    });
}

#[expect(
    clippy::disallowed_methods,
    reason = "not a wait for anything: the clients' own period"
)]
fn wait_a_period() {
    std::thread::sleep(PERIOD);
}

/// Connects, is greeted, pings, is told busy, leaves; again and again.
fn storm(server: &Server, time: Duration) -> usize {
    let began = Instant::now();
    let mut served = 0;
    while began.elapsed() < time {
        let mut peer = server.connect();
        peer.ping();
        let refused = peer.ask(&RequestBuilder::replace(2, 2));
        assert_eq!(refused.error_code(), Some(116));
        assert!(refused.error_mentions("retry_after"));
        drop(peer);
        served += 1;
        wait_a_period();
    }
    served
}
