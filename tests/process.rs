//! The process: its command line, its signals, its exit codes.

mod support;

use std::process::Stdio;
use std::time::{Duration, Instant};

use support::{Directory, Server, block, command, wait_until};
use vestibule_actors::testing::{Peer, RequestBuilder};
use vestibule_wire::keys::RequestType;

fn blocked(server: &Server, seconds: u64) -> Peer {
    let mut blocker = server.connect();
    block(&mut blocker, seconds, "busy");
    let mut operator = server.connect();
    wait_until("Tx is blocked", || {
        operator
            .call("vestibule.state", &[0x90])
            .error_mentions("solo")
    });
    blocker
}

#[test]
fn sigterm_and_sigint_stop_cleanly() {
    for signal in ["TERM", "INT"] {
        let directory = Directory::new();
        let mut server = Server::start(directory.path(), &[]);
        let mut idle = server.connect();
        idle.ping();
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0), "{signal}");
        assert!(idle.receive_until_closed().is_empty());
    }
}

#[test]
fn a_stop_with_tx_blocked_for_long_keeps_its_deadline_and_says_so() {
    let directory = Directory::new();
    let mut server = Server::start(directory.path(), &["--shutdown-grace-period", "300ms"]);
    let mut blocker = blocked(&server, 60);
    let began = Instant::now();
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(3), "something was cut off");
    // 300 ms of grace; the slack is for a busy machine.
    assert!(began.elapsed() < Duration::from_secs(10));
    let told = blocker.receive_until_closed();
    assert_eq!(told[0].error_code(), Some(279));
}

#[test]
fn a_stop_that_aborts_a_transaction_says_so() {
    let directory = Directory::new();
    let mut server = Server::start(directory.path(), &["--shutdown-grace-period", "100ms"]);
    let mut idle = server.connect();
    let begin = RequestBuilder::new(RequestType::Begin, 1).stream(1);
    assert_eq!(idle.ask(&begin).code, 0);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(3), "its work is lost");
    assert!(idle.receive_until_closed().is_empty());
}

#[test]
fn grace_for_ever_waits_for_a_blocked_tx_and_cuts_nothing_off() {
    let directory = Directory::new();
    let mut server = Server::start(directory.path(), &["--shutdown-grace-period", "forever"]);
    let mut blocker = blocked(&server, 2);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0), "nothing was cut off");
    let told = blocker.receive_until_closed();
    assert_eq!((told.len(), told[0].code), (1, 0));
}

#[derive(Debug, serde::Deserialize)]
struct Shown {
    grace_period: Option<f64>,
}

fn grace_period(server: &Server) -> Option<f64> {
    let state = server.connect().call("vestibule.state", &[0x90]);
    state.data::<Vec<Shown>>()[0].grace_period
}

#[test]
fn grace_auto_keeps_within_its_bounds() {
    let directory = Directory::new();
    let options = [
        "--shutdown-grace-period",
        "auto",
        "--grace-auto-min",
        "100ms",
        "--grace-auto-max",
        "400ms",
    ];
    let mut server = Server::start(directory.path(), &options);
    assert_eq!(grace_period(&server), Some(0.4), "nothing is known yet");
    let mut peer = server.connect();
    let in_stream = |kind, sync| RequestBuilder::new(kind, sync).stream(1);
    assert_eq!(peer.ask(&in_stream(RequestType::Begin, 1)).code, 0);
    assert_eq!(peer.ask(&in_stream(RequestType::Commit, 2)).code, 0);
    assert!(grace_period(&server).is_some_and(|own| (0.1..=0.4).contains(&own)));
    let _blocker = blocked(&server, 60);
    let began = Instant::now();
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(3));
    // 400 ms of grace at most; the slack is for a busy machine.
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_lameduck_serves_on_until_its_time_is_over() {
    let directory = Directory::new();
    let mut server = Server::start(directory.path(), &["--lameduck", "3s"]);
    let mut peer = server.connect();
    peer.ping();
    server.signal("TERM");
    wait_until("it is announced", || {
        peer.call("vestibule.state", &[0x90])
            .error_mentions("announce")
    });
    assert!(!peer.call("box.info", &[0x90]).error_mentions("running"));
    // New connections too.
    server.connect().ping();
    assert!(peer.receive_until_closed().is_empty());
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_replica_of_the_start_can_be_promoted_and_keeps_what_it_then_writes() {
    let directory = Directory::new();
    let name = [0x91, 0xa4, b'r', b'o', b'w', b's'];
    let primary = [&[0x91, 0xa7][..], b"primary"].concat();
    let server = Server::start(directory.path(), &["--read-only"]);
    let mut peer = server.connect();
    let refused = peer.call("box.schema.space.create", &name);
    assert_eq!(refused.error_code(), Some(7));
    assert_eq!(peer.call("vestibule.promote", &[0x90]).code, 0);
    assert_eq!(peer.call("box.schema.space.create", &name).code, 0);
    assert_eq!(peer.call("box.space.rows:create_index", &primary).code, 0);
    let in_stream = |kind, sync| RequestBuilder::new(kind, sync).stream(1);
    assert_eq!(peer.ask(&in_stream(RequestType::Begin, 1)).code, 0);
    assert_eq!(peer.ask(&RequestBuilder::replace(2, 7).stream(1)).code, 0);
    // A demotion without grace: what is open is aborted.
    let none = [&[0x91, 0x81, 0xa5][..], b"grace", &[0]].concat();
    assert_eq!(server.connect().call("vestibule.demote", &none).code, 0);
    let late = peer.ask(&in_stream(RequestType::Commit, 3));
    assert_eq!(late.error_code(), Some(7), "{:?}", late.error_text());
    assert_eq!(
        peer.call("box.space.rows:drop", &[0x90]).error_code(),
        Some(7)
    );
    assert_eq!(peer.call("vestibule.promote", &[0x90]).code, 0);
    assert_eq!(peer.ask(&RequestBuilder::replace(4, 8)).code, 0);
    assert!(server.terminate().success());
    let server = Server::start(directory.path(), &[]);
    let mut peer = server.connect();
    for (key, expected) in [(7, &[][..]), (8, &[(8, 8)][..])] {
        let rows: Vec<(u64, u64)> = peer.ask(&RequestBuilder::select(1, key)).data();
        assert_eq!(rows, expected);
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let directory = Directory::new();
    let mut server = Server::start(directory.path(), &["--shutdown-grace-period", "1h"]);
    let _blocker = blocked(&server, 120);
    server.signal("TERM");
    let address = server.address();
    wait_until("it drains", || {
        std::net::TcpStream::connect(address).is_err()
    });
    server.signal("INT");
    assert_eq!(server.wait().code(), Some(3));
}

#[test]
fn a_second_signal_ends_an_announcement_and_tells_that_nothing_was_cut_off() {
    let directory = Directory::new();
    let mut server = Server::start(directory.path(), &["--lameduck", "1h"]);
    let mut peer = server.connect();
    server.signal("TERM");
    wait_until("it is announced", || {
        peer.call("vestibule.state", &[0x90])
            .error_mentions("announce")
    });
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn sighup_ends_nothing_and_sigquit_drains() {
    let directory = Directory::new();
    let mut server = Server::start(directory.path(), &["--shutdown-grace-period", "1h"]);
    let mut peer = server.connect();
    let begin = RequestBuilder::new(RequestType::Begin, 1).stream(1);
    assert_eq!(peer.ask(&begin).code, 0);
    server.signal("HUP");
    (0..100).for_each(|_| peer.ping());
    server.signal("QUIT");
    let address = server.address();
    wait_until("it drains", || {
        std::net::TcpStream::connect(address).is_err()
    });
    let commit = RequestBuilder::new(RequestType::Commit, 2).stream(1);
    assert_eq!(peer.ask(&commit).code, 0);
    assert_eq!(server.wait().code(), Some(0));
}

/// The server never listens: the check comes first.
#[test]
fn an_all_powerful_guest_is_refused_where_other_machines_could_connect() {
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let directory = Directory::new();
        let refused = command(directory.path())
            .args(["--listen", "127.0.0.1:0", "--listen", listen])
            .output()
            .expect("the binary starts");
        assert_eq!(refused.status.code(), Some(2));
        assert!(refused.stdout.is_empty(), "nothing was listened on");
        let told = String::from_utf8_lossy(&refused.stderr);
        for mend in ["--guest none", "127.0.0.1", "box.schema.user.passwd"] {
            assert!(told.contains(mend), "{mend}: {told}");
        }
        assert!(!directory.path().join("data").exists());
    }
}

#[test]
fn guest_none_leaves_guest_with_what_was_granted() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let mut guest = server.connect();
    let created = guest.call("box.schema.space.create", b"\x91\xa1s");
    assert_eq!(created.code, 0);
    assert!(server.terminate().success());
    let server = Server::start(directory.path(), &["--guest", "none"]);
    let mut guest = server.connect();
    guest.ping();
    let refused = guest.call("box.schema.space.create", b"\x91\xa1t");
    assert_eq!(refused.error_code(), Some(42));
    // What it made while it could is its own still: 35, there is no index yet.
    assert_eq!(
        guest.ask(&RequestBuilder::select(1, 1)).error_code(),
        Some(35)
    );
}

#[test]
fn two_processes_do_not_share_a_directory_or_an_address() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let same_data = command(directory.path())
        .args(["--listen", "127.0.0.1:0"])
        .stdout(Stdio::null())
        .output()
        .expect("the binary starts");
    assert_eq!(same_data.status.code(), Some(1));
    let text = String::from_utf8_lossy(&same_data.stderr);
    assert!(text.contains("is in use by another process"), "{text}");
    let elsewhere = Directory::new();
    let same_address = command(elsewhere.path())
        .args(["--listen", &server.address().to_string()])
        .output()
        .expect("the binary starts");
    assert_eq!(same_address.status.code(), Some(1));
    let text = String::from_utf8_lossy(&same_address.stderr);
    assert!(
        text.contains(&format!("cannot listen on {}", server.address())),
        "{text}"
    );
}

#[test]
fn help_and_bad_usage() {
    let directory = Directory::new();
    let run = |arguments: &[&str]| {
        command(directory.path())
            .args(arguments)
            .output()
            .expect("the binary starts")
    };
    for arguments in [&["--help"][..], &["serve", "--help"], &["bench", "--help"]] {
        let output = run(arguments);
        assert!(output.status.success());
        assert!(!output.stdout.is_empty());
    }
    let help = String::from_utf8(run(&["serve", "--help"]).stdout).expect("help is text");
    for option in [
        "--listen",
        "--data",
        "--journal-sync",
        "--debug-procedures",
        "VESTIBULE_LISTEN",
    ] {
        assert!(help.contains(option), "{option}");
    }
    for arguments in [
        &["--no-such-option"][..],
        &["--listen", "nowhere"],
        &["--shutdown-grace-period", "5"],
        &["--packet-size-max", "1"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn a_replica_refuses_writes_by_request_and_by_call() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let mut peer = server.connect();
    let name = [0x91, 0xa4, b'r', b'o', b'w', b's'];
    assert_eq!(peer.call("box.schema.space.create", &name).code, 0);
    assert!(server.terminate().success());
    let replica = Server::start(directory.path(), &["--read-only"]);
    let mut peer = replica.connect();
    assert_eq!(
        peer.ask(&RequestBuilder::replace(1, 1)).error_code(),
        Some(7)
    );
    let other = [0x91, 0xa5, b'o', b't', b'h', b'e', b'r'];
    for (procedure, args) in [
        ("box.schema.space.create", &other[..]),
        ("box.space.rows:drop", &[0x90]),
    ] {
        let refused = peer.call(procedure, args);
        assert_eq!(
            refused.error_code(),
            Some(7),
            "{procedure}: {:?}",
            refused.error_text()
        );
    }
}

#[test]
fn a_full_journal_shows_in_the_status_until_it_is_resumed() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let mut peer = server.connect();
    let name = [0x91, 0xa4, b'r', b'o', b'w', b's'];
    assert_eq!(peer.call("box.schema.space.create", &name).code, 0);
    let primary = [&[0x91, 0xa7][..], b"primary"].concat();
    assert_eq!(peer.call("box.space.rows:create_index", &primary).code, 0);
    server.limit_files("4096");
    let mut key = 0;
    wait_until("the journal is full", || {
        key += 1;
        let code = peer.ask(&RequestBuilder::replace(1, key)).error_code();
        assert!(matches!(code, None | Some(40)), "{code:?}");
        code == Some(40)
    });
    let refused = peer.ask(&RequestBuilder::replace(1, 1));
    assert_eq!(refused.error_code(), Some(7));
    let path = directory.path().display().to_string();
    assert!(!refused.error_mentions(&path), "users are told no path");
    wait_until("the status says so", || {
        peer.call("vestibule.state", &[0x90])
            .error_mentions("journal failed")
    });
    assert_eq!(
        peer.ask(&RequestBuilder::select(2, 1))
            .data::<Vec<(u64, u64)>>(),
        [(1, 1)]
    );
    server.limit_files("unlimited");
    assert_eq!(peer.call("vestibule.journal.resume", &[0x90]).code, 0);
    assert_eq!(peer.ask(&RequestBuilder::replace(1, key)).code, 0);
    wait_until("the status says that it is over", || {
        !peer
            .call("vestibule.state", &[0x90])
            .error_mentions("journal failed")
    });
}

#[derive(Debug, serde::Deserialize)]
struct Limit {
    name: String,
    value: u64,
}

#[test]
fn time_limits_come_from_the_command_line_and_are_shown() {
    let directory = Directory::new();
    let options = [
        ("--tx-stall-after", "11s", "tx_stall_after_ms"),
        ("--half-frame-timeout", "12s", "half_frame_timeout_ms"),
        ("--unread-timeout", "13s", "unread_timeout_ms"),
        ("--idle-timeout", "14s", "idle_timeout_ms"),
    ];
    let arguments: Vec<_> = options.iter().flat_map(|own| [own.0, own.1]).collect();
    let server = Server::start(directory.path(), &arguments);
    let mut operator = server.connect();
    let shown: Vec<Vec<Limit>> = operator.show("limits").data();
    for (value, (_, _, name)) in (11_000..).step_by(1000).zip(options) {
        let row = shown[0].iter().find(|row| row.name == name);
        assert_eq!(row.map(|row| row.value), Some(value), "{name}");
    }
}

#[test]
fn time_limits_of_the_command_line_reach_requests_and_transactions() {
    let directory = Directory::new();
    let arguments = [
        "--request-timeout=200ms",
        "--transaction-timeout=200ms",
        "--shutdown-grace-period=0",
    ];
    let server = Server::start(directory.path(), &arguments);
    let mut peer = server.connect();
    let slow = RequestBuilder::call(1, "vestibule.debug.sleep", &[0x91, 60]);
    assert_eq!(peer.ask(&slow).error_code(), Some(78));
    let name = b"request_timeout";
    let forever = [&[0x92, 0xa0 | name.len() as u8], &name[..], &[0]].concat();
    assert_eq!(peer.call("vestibule.set", &forever).code, 0);
    let begin = RequestBuilder::new(RequestType::Begin, 2).stream(1);
    assert_eq!(peer.ask(&begin).code, 0);
    assert_eq!(peer.ask(&slow.stream(1)).error_code(), Some(231));
    let commit = RequestBuilder::new(RequestType::Commit, 3).stream(1);
    assert_eq!(peer.ask(&commit).error_code(), Some(231));
}
