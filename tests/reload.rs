//! The configuration of the real binary, loaded again while it serves: what is taken and from when
//! on, what waits for a restart, and what is refused without changing anything.

#[path = "../http/tests/support/client.rs"]
mod client;
#[path = "reload/effects.rs"]
mod effects;
#[path = "reload/refused.rs"]
mod refused;
mod support;
#[path = "reload/tls.rs"]
mod tls;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use client::{ask, get};
use serde::Deserialize;
use support::{
    Directory, Server, address_of_this_machine, make_space, secret, tls_files, wait_until,
    write_rows,
};
use vestibule_actors::testing::{Frame, Peer, RequestBuilder};
use vestibule_actors::wire::keys::RequestType;

const NO_ARGS: &[u8] = &[0x90];

/// What every file of these tests begins with.
const BASE: &str = "\
listen = [\"127.0.0.1:0\"]
http.listen = [\"127.0.0.1:0\"]
debug_procedures = true
";

/// What `vestibule.reload` tells of what it has taken.
#[derive(Debug, PartialEq, Deserialize)]
struct Report {
    result: String,
    changed: Vec<String>,
    needs_restart: Vec<String>,
}

/// A server that goes by a file alone.
struct Rig {
    server: Server,
    directory: Directory,
}

impl Rig {
    /// With the file of these tests, and this in it.
    fn start(text: &str) -> Self {
        let text = [BASE, text].concat();
        let rig = Self::start_in(Directory::new(), &text, &["--data", "data"]);
        rig.server.wait_until_serving();
        rig
    }

    /// With this file, and with arguments; does not wait until it serves.
    fn start_in(directory: Directory, text: &str, arguments: &[&str]) -> Self {
        let own = directory.path();
        fs::write(own.join("vestibule.toml"), text).unwrap();
        let log = fs::File::create(own.join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
        command
            .env_clear()
            .current_dir(own)
            .args(["serve", "--config", "vestibule.toml"])
            .args(arguments)
            .stderr(Stdio::from(log));
        let server = Server::begin(command, false, true);
        Self { server, directory }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("vestibule.toml")
    }

    fn write(&self, text: &str) {
        fs::write(self.file(), [BASE, text].concat()).unwrap();
    }

    /// The file has this in it, and is loaded again.
    fn reload(&self, text: &str) -> Frame {
        self.write(text);
        self.server.connect().call("vestibule.reload", NO_ARGS)
    }

    /// The same, which has to be taken.
    fn take(&self, text: &str) -> Report {
        let told = self.reload(text);
        assert_eq!(told.code, 0, "{:?}", told.error_text());
        told.value()
    }

    /// The same, which has to be refused; tells why.
    fn refused(&self, text: &str) -> String {
        let told = self.reload(text);
        assert_eq!(told.error_code(), Some(59), "{told:?}");
        told.error_text().unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    fn http(&self) -> SocketAddr {
        self.server.http_address()
    }

    fn metric(&self, name: &str) -> Option<f64> {
        get(self.http(), "/metrics").metric(name)
    }

    /// All options that the server says it goes by, with the origin of each.
    fn options(&self) -> BTreeMap<String, (Vec<String>, String)> {
        #[derive(Deserialize)]
        struct Row {
            option: String,
            values: Vec<String>,
            origin: String,
        }
        let answer = get(self.http(), "/config.json");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let rows: Vec<Row> = serde_json::from_str(&answer.body).unwrap();
        let rows = rows.into_iter();
        rows.map(|own| (own.option, (own.values, own.origin)))
            .collect()
    }

    fn limit(&self, name: &str) -> u64 {
        #[derive(Deserialize)]
        struct Row {
            name: String,
            value: u64,
        }
        let rows: Vec<Row> = self.server.connect().show("limits").value();
        let row = rows.into_iter().find(|own| own.name == name);
        row.unwrap_or_else(|| panic!("no limit {name}")).value
    }
}

fn strings<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

#[test]
fn what_is_taken_is_told_by_procedure_log_metrics_and_options() {
    let rig = Rig::start("request_timeout = \"1h\"\n");
    let reloads = |result: &str| {
        let name = format!("vestibule_config_reloads_total{{result=\"{result}\"}}");
        rig.metric(&name)
    };
    assert_eq!(reloads("taken"), Some(0.0));
    assert_eq!(
        rig.metric("vestibule_config_last_reload_timestamp_seconds"),
        None
    );
    let report = rig.take("\nrequest_timeout = \"2h\"\nsession_threads = 3\n");
    let expected = Report {
        result: "taken".to_owned(),
        changed: strings(["request_timeout"]),
        needs_restart: strings(["session_threads"]),
    };
    assert_eq!(report, expected);
    assert_eq!(rig.limit("request_timeout_ms"), 7_200_000);
    let options = rig.options();
    let timeout = &options["request_timeout"];
    assert_eq!(timeout.0, ["2h"]);
    assert!(timeout.1.ends_with("vestibule.toml:5"), "{timeout:?}");
    let threads = &options["session_threads"];
    assert_eq!(
        (threads.0.clone(), &*threads.1),
        (strings(["0"]), "default")
    );
    assert_eq!(
        (reloads("taken"), reloads("refused")),
        (Some(1.0), Some(0.0))
    );
    assert!(rig.metric("vestibule_config_last_reload_timestamp_seconds") > Some(1e9));
    assert_eq!(
        rig.metric("vestibule_config_last_reload_successful"),
        Some(1.0)
    );
    assert_eq!(rig.metric("vestibule_config_needs_restart"), Some(1.0));
    let tarantools = get(rig.http(), "/metrics").body;
    let has = |name: &str, label: &str, value: u8| {
        let lines = tarantools.lines().filter(|own| own.starts_with(name));
        let mut lines = lines.filter(|own| own.contains(label));
        lines.any(|own| own.ends_with(&format!(" {value}")))
    };
    assert!(
        has("tnt_config_status", "check_warnings", 1),
        "{tarantools}"
    );
    assert!(has("tnt_config_alerts", "warn", 1), "{tarantools}");
    let log = rig.log();
    assert!(log.contains("with other request_timeout"), "{log}");
    assert!(
        log.contains("taken at the next start only: session_threads"),
        "{log}"
    );
    assert!(
        log.contains("vestibule.reload by guest from 127.0.0.1:"),
        "{log}"
    );

    // What is taken back waits for no restart any more.
    let report = rig.take("request_timeout = \"120m\"\n");
    assert_eq!(
        (report.changed, report.needs_restart),
        (strings(["request_timeout"]), Vec::new())
    );
    assert_eq!(rig.metric("vestibule_config_needs_restart"), Some(0.0));
}

#[test]
fn a_gateway_loads_it_again_as_well() {
    let directory = Directory::new();
    let file = directory.path().join("vestibule.toml");
    // Nobody is there, so nothing is served but what needs nobody.
    let base = "listen = ['127.0.0.1:0']\nupstream = ['a=127.0.0.1:1']\n";
    fs::write(&file, base).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command.env_clear().current_dir(directory.path());
    command.args(["serve", "--config", "vestibule.toml", "--log", "off"]);
    let server = Server::begin(command, false, false);
    let text = "request_timeout = '1h'\nprobe_interval = '1h'\n";
    fs::write(&file, [base, text].concat()).unwrap();
    let told = server.connect().call("vestibule.reload", NO_ARGS);
    assert_eq!(told.code, 0, "{:?}", told.error_text());
    let report: Report = told.value();
    assert_eq!(report.changed, ["request_timeout"]);
    assert_eq!(report.needs_restart, ["probe_interval"]);
}

#[test]
fn sighup_loads_it_again() {
    let rig = Rig::start("");
    rig.write("request_timeout = \"1h\"\n");
    rig.server.signal("HUP");
    wait_until("it is taken", || {
        rig.limit("request_timeout_ms") == 3_600_000
    });
    wait_until("it is told", || {
        rig.log()
            .contains("SIGHUP: the configuration is loaded again")
    });
    rig.write("request_timeout = 1\n");
    rig.server.signal("HUP");
    wait_until("it is refused", || {
        rig.log().contains("vestibule.toml:4: 'request_timeout'")
    });
    assert_eq!(rig.limit("request_timeout_ms"), 3_600_000);
}

/// Dropped, also by a panic, it has those end who look at it.
struct OverOnDrop<'a>(&'a AtomicBool);

impl Drop for OverOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_hundred_reloads_under_load_lose_no_request() {
    let rig = Rig::start("");
    let mut peer = rig.server.connect();
    make_space(&mut peer);
    let is_over = AtomicBool::new(false);
    let (address, is_over) = (rig.server.address(), &is_over);
    std::thread::scope(|scope| {
        let load = |worker: u64| {
            let mut peer = Peer::connect(address);
            let mut done = 0;
            while !is_over.load(Ordering::Relaxed) {
                // Writes, a transaction and pings, all of which are answered.
                let keys = worker << 32 | done << 4..worker << 32 | done << 4 | 8;
                write_rows(&mut peer, keys);
                let in_stream = |request, sync| RequestBuilder::new(request, sync).stream(1);
                assert_eq!(peer.ask(&in_stream(RequestType::Begin, 1)).code, 0);
                assert_eq!(
                    peer.ask(&RequestBuilder::replace(2, worker).stream(1)).code,
                    0
                );
                assert_eq!(peer.ask(&in_stream(RequestType::Commit, 3)).code, 0);
                peer.ping();
                done += 1;
            }
            done
        };
        let over = OverOnDrop(is_over);
        let loads: Vec<_> = (1..=4)
            .map(|worker| scope.spawn(move || load(worker)))
            .collect();
        for turn in 0..100 {
            // In turn what sessions, Tx, the engine, the Supervisor and the door go by.
            let time = 1000 + turn;
            let text = format!(
                "request_timeout = '{time}s'\ntransaction_timeout = '{time}s'\n\
                 tx_stall_after = '{time}s'\nidle_timeout = '{time}s'\n\
                 connections.max = {time}\nconnections.memory_max = '1{time}MiB'\n\
                 memory_max = '1{time}MiB'\ncheckpoint.interval = '{time}s'\n\
                 http.host = ['h{time}.example.com']\nlog_format = '{}'\n",
                if turn % 2 == 0 { "json" } else { "plain" }
            );
            let report = rig.take(&text);
            assert!(report.changed.len() >= 9, "{report:?}");
            assert_eq!(rig.limit("request_timeout_ms"), time * 1000);
        }
        drop(over);
        let done: Vec<u64> = loads.into_iter().map(|own| own.join().unwrap()).collect();
        assert!(done.iter().all(|own| *own > 0), "{done:?}");
        let rows: u64 = done.iter().map(|own| own * 8 + 1).sum();
        assert_eq!(
            support::rows(&mut peer).len() as u64,
            rows,
            "everything is there"
        );
    });
}
