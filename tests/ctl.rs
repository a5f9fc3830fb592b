//! `vestibule ctl` and `vestibule probe` as an operator has them: the real binary against real
//! servers, by its output and its exit codes.

mod support;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;
use support::{Directory, Server, block, make_space, pem, secret, tls_files_of, wait_until};
use vestibule_actors::testing::RequestBuilder;
use vestibule_actors::wire::keys::RequestType;
use vestibule_client::testing::{Answer, ScriptedServer};

const CUT_OFF: Option<i32> = Some(3);

/// What `vestibule.show` has.
const SHOWN: [&str; 11] = [
    "connections",
    "requests",
    "reservations",
    "transitions",
    "quotas",
    "limits",
    "descriptors",
    "threads",
    "upstreams",
    "links",
    "pins",
];

fn vestibule(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command.env_clear().args(arguments);
    command
}

fn ctl(address: &str, arguments: &[&str]) -> Output {
    let arguments = [&["ctl", "--connect", address], arguments].concat();
    vestibule(&arguments).output().expect("the binary runs")
}

fn probe(arguments: &[&str]) -> Output {
    let arguments = [&["probe"], arguments].concat();
    vestibule(&arguments).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("the output is text")
}

/// What a command says that has to work.
fn well(server: &Server, arguments: &[&str]) -> String {
    let output = ctl(&server.address().to_string(), arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    text(&output.stdout).to_owned()
}

/// What it says for programs.
fn json(server: &Server, arguments: &[&str]) -> Json {
    let told = well(server, &[arguments, &["--json"]].concat());
    assert_eq!(told.lines().count(), 1, "{told}");
    serde_json::from_str(&told).expect("it is JSON")
}

/// What a command says that has to fail, with this exit code.
fn ill(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    text(&output.stderr).to_owned()
}

#[test]
fn state_solo_and_assist_tell_what_clients_see() {
    let directory = Directory::new();
    let socket = format!("unix:{}/admin.sock", directory.path().display());
    let listeners = ["--admin-listen", &socket, "--admin-listen", "127.0.0.1:0"];
    let server = Server::start(directory.path(), &listeners);
    let by_socket = ctl(&socket, &["state"]);
    assert!(text(&by_socket.stdout).starts_with("state         assist\n"));
    make_space(&mut server.connect());
    let state = well(&server, &["state"]);
    assert!(state.starts_with("state         assist\n"), "{state}");
    assert!(state.contains("\nrole          primary\n"), "{state}");
    let state = json(&server, &["solo", "moving \x1b[1mhouse"]);
    assert_eq!(state["state"], "solo");
    let refused = server.connect().ask(&RequestBuilder::replace(1, 1));
    assert!(refused.error_mentions("house"), "{refused:?}");
    // What others say does nothing to the terminal.
    let state = well(&server, &["state"]);
    assert!(state.contains("moving \\u{1b}[1mhouse\n"), "{state}");
    assert_eq!(json(&server, &["assist"])["state"], "assist");
    assert_eq!(server.connect().ask(&RequestBuilder::replace(1, 1)).code, 0);
    assert_eq!(
        json(&server, &["solo"])["reason"],
        "requested by an operator"
    );
}

#[test]
fn everything_that_a_server_shows_is_listed() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let usage = server
        .connect()
        .call_with("vestibule.show", &("nonsense",))
        .error_text();
    let names = SHOWN.map(|name| format!("'{name}'")).join("|");
    assert_eq!(usage, Some(format!("Usage: vestibule.show({names})")));
    for name in SHOWN {
        let table = well(&server, &["show", name]);
        let rows = json(&server, &["show", name]);
        let rows = rows.as_array().expect("it is a list");
        match rows.first() {
            None => assert_eq!(table, "none\n"),
            Some(first) => {
                assert_eq!(table.lines().count(), rows.len() + 1, "{table}");
                let heads: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
                let keys = first.as_object().unwrap();
                assert!(
                    heads.iter().all(|head| keys.contains_key(*head)),
                    "{heads:?}"
                );
            }
        }
    }
    let wrong = ctl(&server.address().to_string(), &["show", "nonsense"]);
    assert!(ill(&wrong, 2).contains("possible values: connections, "));
}

#[test]
fn a_role_is_changed_and_watched() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let role = || json(&server, &["state"])["role"].clone();
    let done = well(&server, &["demote", "--wait"]);
    assert!(done.starts_with("replica: took "), "{done}");
    assert_eq!(role(), "replica");
    let unchanged = json(&server, &["demote", "--wait"]);
    assert_eq!(unchanged["result"], "unchanged");
    // Nothing is cut off by that, and nothing said of it.
    let done = well(&server, &["promote", "--wait=1m"]);
    assert!(
        done.starts_with("primary: took ") && done.ends_with(" s\n"),
        "{done}"
    );
    assert_eq!(
        json(&server, &["promote", "--wait=1m"])["result"],
        "unchanged"
    );
    assert_eq!(role(), "primary");
    // A transaction holds it up: begun is said at once, and over is not waited for.
    let mut peer = server.connect();
    let begin = RequestBuilder::new(RequestType::Begin, 1).stream(1);
    assert_eq!(peer.ask(&begin).code, 0);
    let state = json(&server, &["demote", "--grace", "1h"]);
    assert_eq!(
        (&state["wanted"], &state["transition"]["to"]),
        (&"replica".into(), &"replica".into())
    );
    let address = server.address().to_string();
    let told = ill(&ctl(&address, &["demote", "--wait=50ms"]), 1);
    assert!(
        told.contains("not over within 50ms, and it goes on"),
        "{told}"
    );
    assert_eq!(role(), "primary");
    let watched = vestibule(&["ctl", "--connect", &address, "demote", "--wait"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let commit = RequestBuilder::new(RequestType::Commit, 2).stream(1);
    assert_eq!(peer.ask(&commit).code, 0);
    let watched = watched.wait_with_output().expect("it ends");
    assert!(watched.status.success(), "{watched:?}");
    assert_eq!(role(), "replica");
}

#[test]
fn what_a_change_of_role_cut_off_is_told_by_the_exit_code() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let mut peer = server.connect();
    let begin = RequestBuilder::new(RequestType::Begin, 1).stream(1);
    assert_eq!(peer.ask(&begin).code, 0);
    let address = server.address().to_string();
    let output = ctl(&address, &["demote", "--grace", "0", "--wait"]);
    assert_eq!(output.status.code(), CUT_OFF, "{output:?}");
    let told = text(&output.stdout);
    assert!(told.ends_with("0 and 1 were cut off\n"), "{told}");
}

#[test]
fn a_drain_is_watched_until_the_server_is_gone() {
    let directory = Directory::new();
    let mut server = Server::start(directory.path(), &["--lameduck", "1h"]);
    let mut blocker = server.connect();
    let state = json(&server, &["drain"]);
    assert_eq!(
        (&state["wanted"], &state["transition"]["phase"]),
        (&"stopped".into(), &"announce".into())
    );
    // It still serves, and Tx is stuck: the second one has less time.
    block(&mut blocker, 3600, "the test");
    wait_until("it is solo", || {
        json(&server, &["state"])["state"] == "solo"
    });
    let done = well(
        &server,
        &["drain", "--lameduck", "0", "--grace", "1s", "--wait"],
    );
    let seconds = done.strip_prefix("stopped within ").unwrap();
    let seconds: f64 = seconds.strip_suffix(" s\n").unwrap().parse().unwrap();
    assert!(seconds >= 1.0, "it was still there: {done}");
    assert_eq!(server.wait().code(), CUT_OFF);
}

#[test]
fn one_request_is_ended_or_a_connection_with_all_of_them() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let mut peer = server.connect();
    peer.send(&RequestBuilder::call(
        7,
        "vestibule.debug.sleep",
        &[0x91, 0xcd, 0x0e, 0x10],
    ));
    let listed = || json(&server, &["show", "requests"]);
    wait_until("it sleeps", || {
        listed()[0]["procedure"] == "vestibule.debug.sleep"
    });
    let number = listed()[0]["connection"].to_string();
    let killed = json(&server, &["kill", &number, "7"]);
    assert_eq!(killed, serde_json::json!({"connections": 0, "requests": 1}));
    assert!(peer.receive().error_code().is_some());
    let killed = well(&server, &["kill", &number]);
    assert!(killed.starts_with("connections  1\n"), "{killed}");
    assert!(peer.receive_until_closed().is_empty());
    let nothing = ctl(&server.address().to_string(), &["kill", &number]);
    assert!(ill(&nothing, 1).contains("nothing of this number"));
}

#[test]
fn who_is_no_administrator_is_told_so() {
    let directory = Directory::new();
    let administrators = ["--administrator", "admin", "--administrator", "guest"];
    let server = Server::start(directory.path(), &administrators);
    let address = server.address().to_string();
    let password = secret(directory.path(), "word");
    let password = password.to_str().unwrap();
    let mut peer = server.connect();
    let options = BTreeMap::from([("password", "planted-word")]);
    let made = peer.call_with("box.schema.user.create", &("bob", options));
    assert_eq!(made.code, 0, "{made:?}");
    let passwd = ("admin", "planted-word");
    assert_eq!(peer.call_with("box.schema.user.passwd", &passwd).code, 0);
    let login = |user| ["--user", user, "--password-file", password, "state"];
    let state = json(&server, &login("admin"));
    assert_eq!(state["state"], "assist");
    let told = ill(&ctl(&address, &login("bob")), 1);
    assert!(told.contains("access") && told.contains("bob"), "{told}");
    let told = ill(&ctl(&address, &["--user", "admin", "state"]), 1);
    assert!(told.contains(&format!("{address}: ")), "{told}");
    let told = ill(&ctl(&address, &["--password-file", password, "state"]), 2);
    assert!(told.contains("--user"), "{told}");
    open_to_all(Path::new(password));
    let told = ill(&ctl(&address, &login("admin")), 2);
    assert!(
        told.contains("others may use it") && !told.contains("planted"),
        "{told}"
    );
}

fn open_to_all(file: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(file, open).expect("the file is ours");
}

#[test]
fn nothing_waits_longer_than_it_is_told() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let told = ill(&ctl(&address, &["--timeout", "100ms", "state"]), 1);
    assert!(told.contains(&address), "{told}");
    let told = ill(
        &probe(&["live", "--http", &address, "--timeout", "100ms"]),
        1,
    );
    assert!(
        told.contains("does not answer: nothing within 100ms"),
        "{told}"
    );
    drop(silent);
    let told = ill(&ctl(&address, &["state"]), 1);
    assert!(told.contains("refused"), "{told}");
    assert!(ill(&probe(&["ready", "--http", &address]), 1).contains("refused"));
}

#[tokio::test]
async fn a_reload_is_asked_for_and_its_answer_is_told() {
    let server = ScriptedServer::start(|request| match request.procedure() {
        Some("vestibule.reload") => Answer::value("reloaded"),
        _ => Answer::Usual,
    });
    let server = server.await.unwrap();
    let address = server.url().replace("tarantool://", "");
    let reload = move || ctl(&address, &["reload"]);
    let output = tokio::task::spawn_blocking(reload).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(text(&output.stdout), "reloaded\n");
}

#[test]
fn probes_tell_by_their_exit_code() {
    let directory = Directory::new();
    let socket = directory.path().join("http.sock");
    let unix = format!("unix:{}", socket.display());
    let options = ["--http-listen", &unix, "--http-listen", "127.0.0.1:0"];
    let server = Server::start(directory.path(), &options);
    let tcp = server.http_address().to_string();
    let asked =
        |address: &str, question: &[&str]| probe(&[question, &["--http", address]].concat());
    let codes = |address: &str| {
        let all = [
            &["live"][..],
            &["startup"],
            &["ready"],
            &["ready", "--writes"],
        ];
        all.map(|question| asked(address, question).status.code().unwrap())
    };
    for address in [&tcp, &unix] {
        assert_eq!(codes(address), [0, 0, 0, 0]);
    }
    assert_eq!(text(&asked(&tcp, &["ready"]).stdout), "ready\n");
    let by_name = tcp.replace("127.0.0.1", "localhost");
    assert!(asked(&by_name, &["live"]).status.success());
    // That is no wrong usage: tomorrow it may be there.
    let nowhere = asked("nowhere.invalid:8081", &["live", "--timeout", "2s"]);
    assert!(ill(&nowhere, 1).contains("nowhere.invalid:8081 does not answer"));
    let mut stuck = server.connect();
    block(&mut stuck, 3600, "the test");
    wait_until("it is solo", || codes(&tcp) == [0, 0, 0, 1]);
    let told = ill(&asked(&unix, &["ready", "--writes"]), 1);
    assert!(told.contains("answers 503: solo"), "{told}");
    assert!(text(&asked(&tcp, &["ready"]).stdout).starts_with("ready, degraded: solo"));
    wait_until("Tx is found to stand still", || {
        asked(&tcp, &["live", "--tx-stalled", "1ms"]).status.code() == Some(1)
    });
    let alive = asked(&tcp, &["live", "--tx-stalled", "1h"]);
    assert!(alive.status.success(), "{alive:?}");
    let wrong = asked(&tcp, &["live", "--writes"]);
    assert!(ill(&wrong, 2).contains("--writes is a question of `probe ready` only"));
    // It speaks, and it is no side door.
    let iproto = server.address().to_string();
    let told = ill(&asked(&iproto, &["live", "--timeout", "2s"]), 1);
    assert!(told.contains("does not answer"), "{told}");
}

#[test]
fn bars_are_on_terminals_only() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    make_space(&mut server.connect());
    assert!(server.terminate().success());
    let data = directory.path().join("data");
    let data = data.to_str().unwrap();
    let dump = directory.path().join("dump");
    let dump = dump.to_str().unwrap();
    let into = directory.path().join("into");
    let into = into.to_str().unwrap();
    for (what, arguments) in [
        ("checking [", &["check", "--data", data][..]),
        ("reading [", &["dump", "--data", data, "--output", dump]),
        ("taking it over", &["load", "--data", into, "--input", dump]),
    ] {
        let plain = vestibule(arguments).output().unwrap();
        assert!(plain.status.success(), "{plain:?}");
        assert!(!text(&plain.stderr).contains(what), "{plain:?}");
        let line = [&[env!("CARGO_BIN_EXE_vestibule")], arguments]
            .concat()
            .join(" ");
        let seen = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .env("TERM", "xterm")
            .stdin(Stdio::null())
            .output()
            .expect("script (bsdutils) can be run");
        assert!(seen.status.success(), "{seen:?}");
        assert!(text(&seen.stdout).contains(what), "{what}: {seen:?}");
    }
}

/// A server that speaks TLS by the certificate of this name; guest is its administrator.
fn over_tls(directory: &Directory, name: &str, more: &[&str]) -> Server {
    let [certificate, key] = tls_files_of(name, directory.path()).map(|own| shown_path(&own));
    let identity = ["--tls-certificate", &certificate, "--tls-key", &key];
    let listen = ["--tls-listen", "127.0.0.1:0"];
    Server::start(directory.path(), &[&listen, &identity[..], more].concat())
}

fn shown_path(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn a_server_is_asked_by_tls_if_it_is_the_one_that_is_trusted() {
    let directory = Directory::new();
    let server = over_tls(&directory, "server", &[]);
    let [ca, stranger] = ["ca.pem", "stranger.pem"].map(|own| shown_path(&pem(own)));
    let address = server.tls_address().to_string();
    let told = ctl(&address, &["--tls-ca", &ca, "state"]);
    assert!(told.status.success(), "{told:?}");
    assert!(text(&told.stdout).contains("assist"), "{told:?}");
    let named = ["--tls-ca", &ca, "--tls-server-name", "db.test", "state"];
    assert!(ctl(&address, &named).status.success());
    // Behind the verb too, and by variables.
    let mut by_variable = vestibule(&["ctl", "state", "--connect", &address]);
    let by_variable = by_variable.env("VESTIBULE_CLIENT_TLS_CA", &ca).output();
    assert!(by_variable.expect("the binary runs").status.success());

    let refused = |address: &str, arguments: &[&str], part: &str| {
        let output = ctl(address, &[arguments, &["state"]].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let told = text(&output.stderr);
        assert!(told.contains(&format!("vestibule: {address}: ")), "{told}");
        assert!(told.contains(part), "{told}");
    };
    refused(&address, &["--tls-ca", &stranger], "UnknownIssuer");
    let other = ["--tls-ca", &ca, "--tls-server-name", "db2.test"];
    refused(&address, &other, "not valid for name \"db2.test\"");
    // One side speaks it, the other does not.
    refused(&server.address().to_string(), &["--tls-ca", &ca], "TLS: ");
    refused(&address, &["--timeout", "1s"], "no greeting");
    let elsewhere = Directory::new();
    let ended = over_tls(&elsewhere, "expired", &[]);
    let trusting = ["--tls-ca", &ca];
    refused(&ended.tls_address().to_string(), &trusting, "expired");
}

#[test]
fn a_server_that_asks_for_a_certificate_is_shown_one() {
    let directory = Directory::new();
    let ca = shown_path(&pem("ca.pem"));
    let server = over_tls(&directory, "server", &["--tls-client-ca", &ca]);
    let address = server.tls_address().to_string();
    let [certificate, key] = tls_files_of("client", directory.path()).map(|own| shown_path(&own));
    let own = ["--tls-certificate", &certificate, "--tls-key", &key];
    let told = ctl(
        &address,
        &[&["--tls-ca", &ca], &own[..], &["state"]].concat(),
    );
    assert!(told.status.success(), "{told:?}");
    let nobody = ctl(&address, &["--tls-ca", &ca, "state"]);
    assert_eq!(nobody.status.code(), Some(1));
    let told = text(&nobody.stderr);
    assert!(told.contains("CertificateRequired"), "{told}");
}

#[test]
fn options_of_tls_that_are_of_no_use_are_refused() {
    let directory = Directory::new();
    let [ca, chain] = ["ca.pem", "client.pem"].map(|own| shown_path(&pem(own)));
    let [_, key] = tls_files_of("client", directory.path());
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("it is ours");
    let key = shown_path(&key);
    for (arguments, part) in [
        (&["--tls-server-name", "x"][..], "need --tls-ca"),
        (&["--tls-ca", "/nowhere/ca.pem"], "/nowhere/ca.pem: No such"),
        (&["--tls-ca", &key], "the roots have no certificate"),
        (
            &["--tls-ca", &ca, "--tls-server-name", "no name"],
            "no name",
        ),
        (&["--tls-ca", &ca, "--tls-key", &key], "need each other"),
        (
            &[
                "--tls-ca",
                &ca,
                "--tls-certificate",
                &chain,
                "--tls-key",
                &key,
            ],
            "others may use it (mode 644)",
        ),
    ] {
        let output = ctl("127.0.0.1:1", &[arguments, &["state"]].concat());
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let told = text(&output.stderr);
        assert!(told.contains(part), "{told}");
    }
}
