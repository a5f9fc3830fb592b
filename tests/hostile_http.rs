//! The side door of a real server among those who mean no good, or are many: what they send, how
//! many they are, and that neither IPROTO nor a stop waits for them.

#[path = "../http/tests/support/client.rs"]
mod client;
#[path = "../http/tests/support/events.rs"]
mod events;
mod support;

use std::io::Write as _;
use std::net::SocketAddr;

use client::{Answer, ask, connect, exchange, get};
use events::EventStream;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{Directory, Server, block, wait_until};
use vestibule_actors::testing::RequestBuilder;
use vestibule_actors::wire::keys::RequestType;
use vestibule_http::limits::EVENT_STREAMS_MAX;

const DOOR: [&str; 2] = ["--http-listen", "127.0.0.1:0"];

/// How many say nothing, or half of something.
const IDLE: usize = 100;

/// How many are told as a number, and not one by one.
const CONNECTIONS: usize = 10_000;

fn metric(address: SocketAddr, series: &str) -> Option<f64> {
    get(address, "/metrics").metric(series)
}

/// Streams of events, all that there may be.
fn all_streams(address: SocketAddr) -> Vec<EventStream> {
    let open = |_| EventStream::open(connect(address)).expect("there is room");
    (0..EVENT_STREAMS_MAX).map(open).collect()
}

#[test]
fn what_strangers_send_is_refused_and_nothing_is_left_of_it() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &DOOR);
    let address = server.http_address();
    let mut peer = server.connect();
    peer.ping();
    assert_eq!(get(address, "/livez").status, 200);
    let before = server.descriptors();

    let streams = all_streams(address);
    let ninth = EventStream::open(connect(address));
    assert_eq!(ninth.err(), Some(503));
    let mut idle: Vec<_> = (0..IDLE).map(|_| connect(address)).collect();
    for half in &mut idle {
        // Many are closed already.
        let _ = half.write_all(b"GET /livez HTTP/1.1\r\nHo");
    }
    let host = "Host: localhost\r\n";
    let large = "x".repeat(1 << 20);
    for (request, statuses) in [
        (
            format!("POST /metrics HTTP/1.1\r\n{host}Content-Length: 3\r\n\r\nabc"),
            &[405][..],
        ),
        (
            format!("GET /livez HTTP/1.1\r\n{host}X-Large: {large}\r\n\r\n"),
            &[0, 400, 431],
        ),
        (
            format!(
                "GET /livez HTTP/1.1\r\n{}\r\n",
                "X-Many: 1\r\n".repeat(10_000)
            ),
            &[0, 400, 431],
        ),
        (
            "GET /livez HTTP/1.1\r\nHost: evil.example.com\r\n\r\n".to_owned(),
            &[421],
        ),
        (
            format!("GET /../../etc/passwd HTTP/1.1\r\n{host}\r\n"),
            &[404],
        ),
        (
            format!("GET /%2e%2e/etc/passwd HTTP/1.1\r\n{host}\r\n"),
            &[404],
        ),
        ("\0\u{1}\u{2}\r\n\r\n".to_owned(), &[0, 400]),
    ] {
        let status = ask(address, &request).status;
        let start: String = request.chars().take(40).collect();
        assert!(statuses.contains(&status), "{start:?}: {status}");
        // Those who have other things to do notice nothing.
        peer.ping();
        assert_eq!(get(address, "/livez").status, 200);
    }
    for half in &mut idle {
        // In time: told that it took too long, or nothing.
        assert!([0, 408].contains(&exchange(half, b"").status));
    }
    drop((streams, idle));
    wait_until("no descriptor is left", || server.descriptors() <= before);
}

#[test]
fn a_stop_waits_for_nobody_at_the_door() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &DOOR);
    let address = server.http_address();
    let mut streams = all_streams(address);
    let idle: Vec<_> = (0..IDLE).map(|_| connect(address)).collect();
    assert!(server.terminate().success());
    while streams[0].event().is_some() {}
    drop(idle);
}

#[test]
fn a_stop_beside_a_blocked_tx_is_told_until_its_deadline() {
    let directory = Directory::new();
    let grace = ["--shutdown-grace-period", "3s"];
    let mut server = Server::start(directory.path(), &[&DOOR[..], &grace].concat());
    let address = server.http_address();
    let mut stream = EventStream::open(connect(address)).expect("there is room");
    let mut peer = server.connect();
    let begin = RequestBuilder::new(RequestType::Begin, 1).stream(1);
    assert_eq!(peer.ask(&begin).code, 0);
    let mut stuck = server.connect();
    // Longer than this test.
    block(&mut stuck, 600, "the test");
    wait_until("it is solo", || {
        get(address, "/readyz?writes").status == 503
    });
    server.signal("TERM");
    let told = |stream: &mut EventStream, what: &str| {
        while !stream.next("sample").expect("it goes on").contains(what) {}
    };
    told(&mut stream, "\"to\":\"stopped\"");
    assert_eq!(get(address, "/readyz").status, 503);
    assert_eq!(get(address, "/livez").status, 200, "Tx does not count");
    // Cut off: the exit code says so.
    assert_eq!(server.wait().code(), Some(3));
    while stream.event().is_some() {}
}

#[test]
fn ten_thousand_connections_are_told_beside_a_blocked_tx_as_so_many_and_no_more() {
    // For them, and for those of the other tests.
    let own = getrlimit(Resource::Nofile);
    let wanted = Some(CONNECTIONS as u64 + 2000);
    let maximum = own.maximum.map(|own| Some(own).max(wanted)).unwrap_or(None);
    let current = maximum;
    setrlimit(Resource::Nofile, Rlimit { current, maximum })
        .expect("this test needs 12,000 descriptors, and as many for the server");
    let directory = Directory::new();
    let whole = ["--connections-per-address-max", "0"];
    let server = Server::start(directory.path(), &[&DOOR[..], &whole].concat());
    let address = server.http_address();
    let lines = |answer: &Answer| answer.body.lines().count();
    let before = get(address, "/metrics");
    let mut stuck = server.connect();
    // Longer than this test: the server is killed at its end.
    block(&mut stuck, 600, "the test");
    let peers: Vec<_> = (0..CONNECTIONS).map(|_| server.connect()).collect();
    for _ in 0..50 {
        let answer = get(address, "/metrics");
        assert_eq!(answer.metric("vestibule_state{state=\"solo\"}"), Some(1.0));
        assert!(
            lines(&answer) < lines(&before) + 100,
            "no series for each connection"
        );
    }
    let open = metric(address, "vestibule_connections{listener=\"clients\"}");
    assert_eq!(open, Some(peers.len() as f64 + 1.0));
    let listed = get(address, "/connections.json?limit=100").body;
    assert_eq!(listed.matches("\"connection\":").count(), 100);
    let mut stream = EventStream::open(connect(address)).expect("there is room");
    let told = stream.next("sample").expect("it is told");
    assert!(told.len() < 4096, "{} bytes each second", told.len());
}
