//! The scenario of Tarantool #4910: the server's thread is blocked, clients reconnect again and again.

mod support;

use std::time::{Duration, Instant};

use support::{Directory, Server, wait_until};
use vestibule_actors::testing::RequestBuilder;

const CLIENTS: usize = 12;
const PERIOD: Duration = Duration::from_millis(100);
const STORM: Duration = Duration::from_secs(10);

#[test]
fn reconnecting_clients_are_all_served_and_no_descriptor_is_left() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let mut operator = server.connect();
    // [30, "a long one"]
    let mut args = vec![0x92, 30, 0xaa];
    args.extend_from_slice(b"a long one");
    let mut blocker = server.connect();
    blocker.send(&RequestBuilder::call(1, "vestibule.debug.block", &args));
    wait_until("Tx is blocked", || {
        operator
            .call("vestibule.state", &[0x90])
            .error_mentions("a long one")
    });
    let before = server.descriptors();
    let served: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| scope.spawn(|| storm(&server)))
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
    assert!(
        operator
            .call("vestibule.state", &[0x90])
            .error_mentions("a long one")
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "not a wait for anything: the clients' own period"
)]
fn wait_a_period() {
    std::thread::sleep(PERIOD);
}

/// Connects, is greeted, pings, is told busy, leaves; again and again.
fn storm(server: &Server) -> usize {
    let began = Instant::now();
    let mut served = 0;
    while began.elapsed() < STORM {
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
