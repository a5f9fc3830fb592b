//! Clients that leave are noticed, whatever Tx does and however much of theirs is not read: no
//! socket stays in CLOSE_WAIT for longer than what was asked of it may be answered.

#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::net::{SocketAddr, TcpStream};

use support::{Directory, Server, wait_until};
use vestibule_actors::limits::{CONNECTION_REQUESTS_MAX, INBOX_WAITING_MAX, READ_SIZE};
use vestibule_actors::testing::RequestBuilder;

const NO_ARGS: &[u8] = &[0x90];
/// As /proc/net/tcp numbers them.
const CLOSE_WAIT: &str = "08";

/// Sockets of the server's port whose clients have left and that it has not closed.
fn left_behind(address: SocketAddr) -> usize {
    let port = format!(":{:04X}", address.port());
    let table = fs::read_to_string("/proc/net/tcp").expect("this is Linux");
    let is_left = |line: &&str| {
        let mut columns = line.split_whitespace().skip(1);
        let (local, state) = (columns.next(), columns.nth(1));
        local.is_some_and(|own| own.ends_with(&port)) && state == Some(CLOSE_WAIT)
    };
    table.lines().filter(is_left).count()
}

#[test]
fn clients_that_leave_while_tx_stands_still_leave_no_socket_behind() {
    let directory = Directory::new();
    let args = ["--session-threads", "1", "--half-closed-timeout", "1s"];
    let server = Server::start(directory.path(), &args);
    let mut operator = server.connect();
    let mut blocker = server.connect();
    // Not declared, and no watchdog: requests queue up.
    let block = RequestBuilder::call(1, "vestibule.debug.block", &[0x91, 60]);
    blocker.send(&block);
    wait_until("Tx has begun it", || {
        let state = operator.call("vestibule.state", NO_ARGS).body;
        state.windows(8).any(|own| own == b"\xa6queued\0") && in_flight(&state) == 1
    });
    let before = server.descriptors();

    // Never greeted in their own eyes: they do not read.
    let silent: Vec<_> = (0..20)
        .map(|_| TcpStream::connect(server.address()).expect("the server listens"))
        .collect();
    // One that waits for Tx.
    let mut waiting = server.connect();
    waiting.send(&RequestBuilder::replace(1, 1));
    // One of which more waits than is read, so that its end is behind data: in the kernel, which
    // must have room for the rest of them and for the end.
    let mut full = server.connect();
    let burst = |keys: std::ops::Range<u64>| -> Vec<u8> {
        let requests = keys.map(|key| RequestBuilder::replace(key, key).bytes());
        requests.flatten().collect()
    };
    let credits = CONNECTION_REQUESTS_MAX as u64;
    let mut bytes = burst(0..credits);
    let rest = burst(credits..16 * credits);
    assert!(rest.len() > INBOX_WAITING_MAX + READ_SIZE);
    bytes.extend_from_slice(&rest[..INBOX_WAITING_MAX + READ_SIZE + READ_SIZE / 2]);
    full.send_bytes(&bytes);
    wait_until("its requests are on their way", || {
        server.descriptors() == before + 22
            && in_flight(&operator.call("vestibule.state", NO_ARGS).body)
                == CONNECTION_REQUESTS_MAX + 2
    });
    operator.ping();
    drop((silent, waiting, full));
    wait_until("every socket is closed", || {
        left_behind(server.address()) == 0 && server.descriptors() == before
    });
    assert!(
        in_flight(&operator.call("vestibule.state", NO_ARGS).body) > 0,
        "Tx stands still all the while"
    );
}

/// The number behind the text "in_flight".
fn in_flight(state: &[u8]) -> usize {
    let name = b"in_flight";
    let at = state
        .windows(name.len())
        .position(|own| own == name)
        .expect("the state tells it");
    let value = &state[at + name.len()..];
    match value[0] {
        0xcd => usize::from(u16::from_be_bytes([value[1], value[2]])),
        0xcc => usize::from(value[1]),
        small => usize::from(small),
    }
}
