//! The side door of a real server: probes, metrics and the state, whatever becomes of Tx; and what
//! nobody is told.

#[path = "../http/tests/support/client.rs"]
mod client;
#[path = "../http/tests/support/events.rs"]
mod events;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use client::{Answer, ask, connect, get};
use events::EventStream;
use support::{Directory, Server, block, make_space, pack, secret, wait_until, write_rows};
use vestibule_actors::testing::RequestBuilder;
use vestibule_actors::wire::keys::{self, RequestType};

/// Everything that is told to those on this machine.
const PATHS: [&str; 13] = [
    "/",
    "/status.json?history",
    "/livez",
    "/startupz",
    "/readyz",
    "/metrics",
    "/status.txt",
    "/status.json",
    "/connections.json",
    "/requests.json",
    "/links.json",
    "/transitions.json",
    "/config.json",
];

const DOOR: [&str; 2] = ["--http-listen", "127.0.0.1:0"];

fn metrics(address: SocketAddr) -> Answer {
    let answer = get(address, "/metrics");
    assert_eq!(answer.status, 200);
    let format = answer.header("content-type").unwrap_or("");
    assert!(format.starts_with("text/plain; version=0.0.4"), "{format}");
    answer
}

#[test]
fn the_door_answers_while_tx_is_blocked() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &DOOR);
    let address = server.http_address();
    assert_eq!(get(address, "/readyz?writes").status, 200);
    let before = metrics(address);
    let mut stuck = server.connect();
    // Longer than this test: the server is killed at its end.
    block(&mut stuck, 600, "the test");
    wait_until("it is solo", || {
        get(address, "/readyz?writes").status == 503
    });
    for _ in 0..50 {
        let answer = metrics(address);
        assert_eq!(answer.metric("vestibule_state{state=\"solo\"}"), Some(1.0));
    }
    for path in [
        "/livez",
        "/startupz",
        "/readyz",
        "/status.json",
        "/requests.json",
    ] {
        assert_eq!(get(address, path).status, 200, "{path}");
    }
    // Connections make no series, however many they are.
    let _peers: Vec<_> = (0..100).map(|_| server.connect()).collect();
    let lines = |answer: &Answer| answer.body.lines().count();
    assert!(lines(&metrics(address)) < lines(&before) + 100);
    let busy = |answer: &Answer| answer.metric("vestibule_tx_busy_seconds_total");
    assert!(busy(&metrics(address)) > busy(&before));
}

#[test]
fn counters_tell_what_was_done_over_reconnects_and_a_death_of_tx() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &DOOR);
    let address = server.http_address();
    make_space(&mut server.connect());
    let before = metrics(address);
    write_rows(&mut server.connect(), 0..10);
    write_rows(&mut server.connect(), 10..20);
    let raised = |answer: &Answer, series: &str| {
        let value = |own: &Answer| own.metric(series).unwrap_or(0.0);
        value(answer) - value(&before)
    };
    let rows = metrics(address);
    assert_eq!(
        rows.metric("vestibule_space_rows{space=\"rows\"}"),
        Some(20.0)
    );
    let written = "vestibule_journal_written_bytes_total";
    assert!(raised(&rows, written) > 0.0);
    let mut peer = server.connect();
    let _ = peer.call("vestibule.debug.panic", &[0x90]);
    wait_until("there is another Tx", || {
        metrics(address).metric("vestibule_tx_restarts_total") == Some(1.0)
            && get(address, "/readyz").status == 200
    });
    write_rows(&mut server.connect(), 20..25);
    let after = metrics(address);
    assert_eq!(
        after.metric("vestibule_space_rows{space=\"rows\"}"),
        Some(25.0)
    );
    let all = "vestibule_requests_total{request=\"replace\",path=\"tx\"}";
    assert_eq!(raised(&after, all) - raised(&rows, all), 5.0);
    assert_eq!(raised(&rows, all), 20.0);
    assert!(
        raised(&after, written) > raised(&rows, written),
        "no counter falls"
    );
    let own = "tnt_stats_op_total{alias=\"";
    assert!(after.body.contains(own));
}

#[test]
fn a_journal_that_cannot_be_written_is_told_and_reads_go_on() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &DOOR);
    let address = server.http_address();
    let mut peer = server.connect();
    make_space(&mut peer);
    server.limit_files("0");
    let refused = peer.ask(&RequestBuilder::replace(7, 7));
    assert_ne!(refused.code, 0);
    wait_until("it is told", || {
        get(address, "/readyz?writes").status == 503
    });
    assert_eq!(get(address, "/readyz").status, 200);
    let answer = metrics(address);
    assert_eq!(answer.metric("vestibule_journal_failed"), Some(1.0));
    let text = get(address, "/status.txt").body;
    assert!(text.contains("SERIOUS       Changes are refused"), "{text}");
}

#[test]
fn the_door_is_open_until_the_end_of_a_stop() {
    let directory = Directory::new();
    let socket = directory.path().join("http.sock");
    let listen = format!("unix:{}", socket.display());
    let grace = ["--shutdown-grace-period", "60s"];
    let arguments = [&["--http-listen", &listen], &DOOR[..], &grace].concat();
    let mut server = Server::start(directory.path(), &arguments);
    let address = server.http_address();
    assert!(socket.exists());
    let mut peer = server.connect();
    let begin = RequestBuilder::new(RequestType::Begin, 1).stream(1);
    assert_eq!(peer.ask(&begin).code, 0);
    server.signal("TERM");
    wait_until("the stop is told", || get(address, "/readyz").status == 503);
    assert_eq!(get(address, "/livez").status, 200);
    assert!(get(address, "/status.txt").body.contains("draining"));
    // What it waits for.
    let rollback = RequestBuilder::new(RequestType::Rollback, 2).stream(1);
    assert_eq!(peer.ask(&rollback).code, 0);
    assert!(server.wait().success());
    assert!(!socket.exists());
}

#[test]
fn no_secret_and_no_data_are_told() {
    let directory = Directory::new();
    let token = secret(directory.path(), "token-of-the-door");
    let password = secret(directory.path(), "password-of-admin");
    let [token, password] = [&token, &password].map(|own| own.to_str().expect("it is text"));
    let options = [
        "--http-token-file",
        token,
        "--admin-password-file",
        password,
    ];
    let arguments = [&DOOR[..], &options].concat();
    let server = Server::start(directory.path(), &arguments);
    let mut peer = server.connect();
    make_space(&mut peer);
    let with = BTreeMap::from([("password", "planted-of-a-user")]);
    let created = peer.call_with("box.schema.user.create", &("alice", with));
    assert_eq!(created.code, 0);
    let row = pack(&(1, "planted-tuple"));
    let stored = RequestBuilder::new(RequestType::Replace, 1);
    let stored = stored.uint(keys::SPACE_ID, 512).pair(keys::TUPLE, &row);
    assert_eq!(peer.ask(&stored).code, 0);
    let _ = peer.call_with("no.such.procedure", &("planted-argument",));
    let address = server.http_address();
    let planted = ["planted-", "chap-sha1"];
    for path in PATHS {
        let answer = get(address, path);
        for secret in planted {
            assert!(!answer.body.contains(secret), "{path}: {secret}");
        }
    }
    let mut stream = EventStream::open(connect(address)).expect("there is room");
    for name in ["history", "sample"] {
        let told = stream.next(name).expect("it is told");
        assert!(
            planted.iter().all(|secret| !told.contains(secret)),
            "{told}"
        );
    }
    let wrong = ask(
        address,
        "GET /planted HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer planted-wrong\r\n\r\n",
    );
    assert!(!wrong.body.contains("planted-"), "{}", wrong.body);
    let shown = Command::new(env!("CARGO_BIN_EXE_vestibule"))
        .args(["config", "show", "--http-listen", "127.0.0.1:0"])
        .args(options)
        .output()
        .expect("it can be run");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("token_file"), "{shown}");
    assert!(!shown.contains("planted-"), "{shown}");
}

#[test]
fn the_documentation_of_metrics_is_that_of_their_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let reference = vestibule_http::metrics_reference();
    let text = fs::read_to_string(path).expect("it is there");
    let (about, told) = text
        .split_once("## State\n")
        .expect("it begins with the state");
    if std::env::var_os("VESTIBULE_WRITE_DOCS").is_some() {
        fs::write(path, format!("{about}{reference}")).expect("it can be written");
        return;
    }
    let told = format!("## State\n{told}");
    assert_eq!(
        told, reference,
        "VESTIBULE_WRITE_DOCS=1 cargo test --test side_door writes it"
    );
}
