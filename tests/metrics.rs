//! Metrics as others read them: the official parsers of both formats, promtool, and a real
//! Prometheus that is asked what Tarantool's dashboard asks, and what our own dashboard and alerts
//! do.
//!
//! `tests/run` installs them and tells where they are. Without it these tests fail and say so; they
//! are left out only by `VESTIBULE_TEST_SKIP_INTEROP=1`, loudly.

#[path = "../http/tests/support/client.rs"]
mod client;
mod support;

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use client::get;
use support::tarantool::Tarantool;
use support::{
    Directory, Server, is_skipped, make_space, rows, secret, tls_files, tool, write_rows,
};
use vestibule_actors::testing::RequestBuilder;
use vestibule_actors::wire::keys::RequestType;

/// A name that no line of the formats can hold as it is.
const ODD: &str = "a\"\\";

const OPTIONS: [&str; 4] = [
    "--http-listen",
    "127.0.0.1:0",
    "--instance-name",
    "orders-1",
];

fn script(name: &str) -> Command {
    let mut command = Command::new(tool("VESTIBULE_TEST_PYTHON"));
    command.arg(format!(
        "{}/tests/metrics/{name}",
        env!("CARGO_MANIFEST_DIR")
    ));
    command
}

#[test]
fn the_parsers_of_both_formats_and_promtool_take_what_is_told() {
    if is_skipped("the parsers of metrics") {
        return;
    }
    let directory = Directory::new();
    let server = Server::start(directory.path(), &OPTIONS);
    let mut peer = server.connect();
    make_space(&mut peer);
    write_rows(&mut peer, 0..3);
    assert_eq!(peer.call_with("box.schema.space.create", &(ODD,)).code, 0);
    let expected = r#"[
        ["vestibule_space_rows", {"space": "a\"\\"}, 0],
        ["vestibule_space_rows", {"space": "rows"}, 3],
        ["vestibule_requests_total", {"request": "replace", "path": "tx"}, 3],
        ["tnt_space_len", {"alias": "orders-1", "name": "a\"\\", "engine": "memtx"}, 0]
    ]"#;
    let address = server.http_address();
    let status = script("formats.py")
        .arg(address.to_string())
        .arg(expected)
        .status();
    assert!(status.expect("it can be run").success());
    let mut promtool = Command::new(tool("VESTIBULE_TEST_PROMTOOL"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("it can be run");
    let metrics = get(address, "/metrics");
    assert_eq!(
        metrics.metric("vestibule_space_rows{space=\"rows\"}"),
        Some(3.0)
    );
    assert!(
        metrics
            .header("content-type")
            .is_some_and(|own| own.starts_with("text/plain"))
    );
    let mut input = promtool.stdin.take().expect("it is piped");
    input.write_all(metrics.body.as_bytes()).expect("it reads");
    drop(input);
    assert!(promtool.wait().expect("it ends").success());
}

#[test]
fn a_real_prometheus_has_what_the_dashboard_asks() {
    if is_skipped("Prometheus") {
        return;
    }
    let directory = Directory::new();
    let server = Server::start(directory.path(), &OPTIONS);
    make_space(&mut server.connect());
    let mut asked = script("dashboard.py");
    asked
        .arg(tool("VESTIBULE_TEST_PROMETHEUS"))
        .arg(server.http_address().to_string())
        .arg(directory.path());
    under_load(&server, &mut asked);
}

#[test]
fn a_real_prometheus_has_what_our_dashboard_and_alerts_ask() {
    if is_skipped("Prometheus") {
        return;
    }
    let directory = Directory::new();
    let [certificate, key] = tls_files(directory.path()).map(|own| own.display().to_string());
    let options = [
        &OPTIONS[..],
        &["--memory-max", "1GiB", "--admin-listen", "127.0.0.1:0"],
        &["--tls-listen", "127.0.0.1:0"],
        &["--tls-certificate", &*certificate, "--tls-key", &*key],
    ];
    let server = Server::start(directory.path(), &options.concat());
    make_space(&mut server.connect());
    assert_eq!(server.connect().call("box.snapshot", &[0x90]).code, 0);
    // The panels of upstreams are a gateway's.
    let replica_directory = Directory::new();
    let (_upstreams, gateway) = gateway(&directory, &replica_directory);
    let both = [server.http_address(), gateway.http_address()].map(|own| own.to_string());
    let mut asked = script("ours.py");
    asked
        .arg(tool("VESTIBULE_TEST_PROMETHEUS"))
        .arg(both.join(","))
        .arg(directory.path())
        .arg(packaging(""));
    under_load(&server, &mut asked);
}

/// A gateway before a Tarantool and its replica, with a side door.
fn gateway(directory: &Directory, of_replica: &Directory) -> ([Tarantool; 2], Server) {
    let program = tool("VESTIBULE_TEST_TARANTOOL");
    let start = |directory: &Directory, more: &[&OsStr]| {
        let address = OsStr::new("127.0.0.1:0");
        let arguments = [&[directory.path().as_os_str(), address], more].concat();
        Tarantool::start(&program, "gateway/upstream.lua", &arguments)
    };
    let upstream = start(directory, &[]);
    let source = format!("alice:secret@{}", upstream.address);
    let replica = start(of_replica, &[source.as_ref()]);
    let named = format!("a={},b={}", upstream.address, replica.address);
    let password = secret(directory.path(), "gateway").display().to_string();
    let server = Server::start_gateway(&[
        "--upstream",
        &named,
        "--upstream-user",
        "gateway",
        "--upstream-password-file",
        &password,
        "--http-listen",
        "127.0.0.1:0",
    ]);
    ([upstream, replica], server)
}

/// Runs a script that has to go well, while clients of all kinds are served.
fn under_load(server: &Server, script: &mut Command) {
    let is_over = AtomicBool::new(false);
    let status = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let mut peer = server.connect();
                write_rows(&mut peer, 0..50);
                assert_eq!(rows(&mut peer).len(), 50);
                assert!(peer.call("nobody", &[0x90]).error_code().is_some());
                for kind in [RequestType::Begin, RequestType::Commit] {
                    let request = RequestBuilder::new(kind, 1).stream(1);
                    assert_eq!(peer.ask(&request).code, 0);
                }
            }
        });
        let status = script.status();
        is_over.store(true, Ordering::Relaxed);
        status
    });
    assert!(status.expect("it can be run").success());
}

fn packaging(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("packaging")
        .join(file)
}

#[test]
fn each_alert_fires_when_it_should_and_no_other_does() {
    if is_skipped("alerts") {
        return;
    }
    for arguments in [
        ["check", "rules", "prometheus/alerts.yml"],
        ["test", "rules", "prometheus/alerts.test.yml"],
    ] {
        let status = Command::new(tool("VESTIBULE_TEST_PROMTOOL"))
            .args(&arguments[..2])
            .arg(packaging(arguments[2]))
            .status();
        assert!(status.expect("it can be run").success(), "{arguments:?}");
    }
    let rules = fs::read_to_string(packaging("prometheus/alerts.yml")).unwrap();
    let tests = fs::read_to_string(packaging("prometheus/alerts.test.yml")).unwrap();
    let names = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    for name in names {
        let fires = format!("{{alertname=\"{name}\",");
        assert!(tests.contains(&fires), "nothing makes {name} fire");
    }
}
