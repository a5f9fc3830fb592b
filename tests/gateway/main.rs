//! The gateway before real Tarantools.

#[path = "../../http/tests/support/client.rs"]
mod client;
#[path = "../../actors/tests/gateway/relay.rs"]
mod relay;
mod secured;
mod seen;
#[path = "../support/mod.rs"]
mod support;

mod befallen;
mod cut;
mod definitions;
mod failover;
mod greedy;
mod kills;
mod overload;
mod pinned;
mod replicas;
mod rolling;
mod statements;
mod tokens;
mod users;

use std::fs::File;
use std::path::Path;
use std::process::Command;

use vestibule_actors::testing::{Frame, Peer, RequestBuilder};
use vestibule_actors::wire::keys::{self, RequestType};

use support::tarantool::Tarantool;
use support::{Directory, Server, rows, secret, tarantool, wait_until};

fn start(program: &str, directory: &Directory) -> Tarantool {
    start_at(program, directory, "127.0.0.1:0")
}

fn start_at(program: &str, directory: &Directory, address: &str) -> Tarantool {
    let arguments = [directory.path().as_os_str(), address.as_ref()];
    Tarantool::start(program, "gateway/upstream.lua", &arguments)
}

/// A connection of alice's that does not pass the gateway.
fn connect(upstream: &Tarantool) -> Peer {
    log_in(upstream.connect())
}

fn set_read_only(upstream: &Tarantool, is_read_only: bool) {
    let expression = format!("box.cfg{{read_only = {is_read_only}}}");
    let told = connect(upstream).ask(&eval(&expression));
    assert_eq!(told.code, 0, "{:?}", told.error_text());
}

fn log_in(mut peer: Peer) -> Peer {
    assert_eq!(peer.log_in("alice", "secret").code, 0);
    peer
}

/// A gateway before these, when it serves.
fn gateway(directory: &Directory, upstreams: &[(&str, &Tarantool)]) -> Server {
    gateway_with(directory, &["--upstream", &named(upstreams)])
}

/// The same, which holds requests for longer than a busy machine takes to have another one of them
/// take over.
fn patient_gateway(directory: &Directory, upstreams: &[(&str, &Tarantool)]) -> Server {
    let options = ["--upstream", &named(upstreams), "--failover-hold", "60s"];
    gateway_with(directory, &options)
}

fn named(upstreams: &[(&str, &Tarantool)]) -> String {
    let named = |(name, own): &(&str, &Tarantool)| format!("{name}={}", own.address);
    upstreams.iter().map(named).collect::<Vec<_>>().join(",")
}

/// The same with these options.
fn gateway_with(directory: &Directory, options: &[&str]) -> Server {
    let password = secret(directory.path(), "gateway");
    let file = password.to_str().expect("the path is plain");
    let account = [
        "--upstream-user",
        "gateway",
        "--upstream-password-file",
        file,
    ];
    Server::start_gateway(&[&account, options].concat())
}

/// The same with its log in a file.
fn logged_gateway(directory: &Directory, options: &[&str], log: &Path) -> Server {
    let password = secret(directory.path(), "gateway");
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--log", "warn"])
        .args(["--upstream-user", "gateway", "--upstream-password-file"])
        .arg(password)
        .args(options)
        .stderr(File::create(log).expect("the directory is ours"));
    Server::spawn_with(command, false, options.contains(&"--http-listen"))
}

fn eval(expression: &str) -> RequestBuilder {
    RequestBuilder::new(RequestType::Eval, 1)
        .text(keys::EXPR, expression)
        .pair(keys::TUPLE, &[0x90])
}

fn sql(text: &str) -> RequestBuilder {
    RequestBuilder::new(RequestType::Execute, 1)
        .text(keys::SQL_TEXT, text)
        .pair(keys::SQL_BIND, &[0x90])
}

fn state(peer: &mut Peer) -> Frame {
    peer.call("vestibule.state", &[0x90])
}

fn wait_for(server: &Server, state_name: &str) {
    let mut peer = server.connect();
    wait_until(&format!("state {state_name}"), || {
        state(&mut peer).error_mentions(state_name)
    });
}

/// One of every type that a client may send to 2.6, in forms that succeed and that fail.
fn requests() -> Vec<RequestBuilder> {
    let by_key = |request| {
        RequestBuilder::new(request, 1)
            .uint(keys::SPACE_ID, 512)
            .uint(keys::INDEX_ID, 0)
            .pair(keys::KEY, &[0x91, 7])
    };
    let ops = &[0x91, 0x93, 0xa1, b'=', 1, 9];
    vec![
        eval("box.space.rows:truncate()"),
        RequestBuilder::replace(1, 7),
        RequestBuilder::new(RequestType::Insert, 1)
            .uint(keys::SPACE_ID, 512)
            .pair(keys::TUPLE, &[0x92, 7, 8]),
        by_key(RequestType::Update).pair(keys::TUPLE, ops),
        RequestBuilder::new(RequestType::Upsert, 1)
            .uint(keys::SPACE_ID, 512)
            .pair(keys::TUPLE, &[0x92, 8, 8])
            .pair(keys::OPS, ops),
        RequestBuilder::select(1, 7),
        by_key(RequestType::Delete),
        RequestBuilder::new(RequestType::Select, 1)
            .uint(keys::SPACE_ID, 281)
            .uint(keys::LIMIT, 1)
            .pair(keys::KEY, &[0x91, 0xcd, 1, 24]),
        RequestBuilder::new(RequestType::Select, 1).uint(keys::SPACE_ID, 512),
        RequestBuilder::new(RequestType::Select, 1)
            .uint(keys::SPACE_ID, 77)
            .uint(keys::LIMIT, 1)
            .pair(keys::KEY, &[0x90]),
        RequestBuilder::new(RequestType::Insert, 1)
            .uint(keys::SPACE_ID, 512)
            .pair(keys::TUPLE, &[0xa1, b'x']),
        eval("return 1, {2, 'x'}, box.session.user()"),
        eval("error('of Lua')"),
        eval("box.error(box.error.NO_SUCH_SPACE, 'x')"),
        eval("for at = 1, 3 do box.session.push(at) end return 'pushed'"),
        eval("return string.rep('x', 1000000)"),
        eval("no Lua"),
        RequestBuilder::call(1, "nobody", &[0x90]),
        RequestBuilder::call(1, "box.session.user", &[0x90]),
        RequestBuilder::call(1, "tostring", &[0x91, 7]),
        RequestBuilder::new(RequestType::Call16, 1)
            .text(keys::FUNCTION_NAME, "tostring")
            .pair(keys::TUPLE, &[0x91, 7]),
        sql("SELECT 1, 'x'"),
        sql("no SQL"),
        RequestBuilder::new(RequestType::Prepare, 1).text(keys::SQL_TEXT, "SELECT 2"),
        RequestBuilder::new(RequestType::Begin, 1),
        RequestBuilder::new(RequestType::Id, 1),
        RequestBuilder::watch(1, "box.status"),
        RequestBuilder::raw(99, 1),
        RequestBuilder::new(RequestType::Ping, 1),
    ]
}

/// What a server answers to a request, pushes included.
fn answers(peer: &mut Peer, request: &RequestBuilder) -> Vec<(u32, u64, Vec<u8>)> {
    peer.send(request);
    let mut answers = Vec::new();
    loop {
        let frame = peer.receive();
        let is_push = frame.code == keys::CODE_CHUNK;
        answers.push((frame.code, frame.sync, frame.body));
        if !is_push {
            return answers;
        }
    }
}

#[test]
fn what_a_client_is_answered_is_what_it_is_answered_without_a_gateway() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let upstream = start(&program, &directory);
    let server = gateway(&directory, &[("a", &upstream)]);
    answers_are_the_same(&upstream, &server);
}

fn answers_are_the_same(upstream: &Tarantool, server: &Server) {
    let (mut direct, mut through) = (connect(upstream), log_in(server.connect()));
    assert_eq!(direct.greeting().version, through.greeting().version);
    let ask_all = |peer: &mut Peer| -> Vec<_> {
        let requests = requests();
        requests.iter().map(|own| answers(peer, own)).collect()
    };
    let (expected, got) = (ask_all(&mut direct), ask_all(&mut through));
    for (at, (expected, got)) in expected.iter().zip(&got).enumerate() {
        assert!(is_same(expected, got), "{at}: {expected:x?}\n{got:x?}");
    }
    for (user, password) in [("alice", "wrong"), ("nobody", "secret")] {
        let told = |mut peer: Peer| {
            let told = peer.log_in(user, password);
            (told.error_code(), told.error_text())
        };
        assert_eq!(told(server.connect()), told(upstream.connect()));
    }
    let guest = |mut peer: Peer| peer.ask(&eval("return 1")).body;
    assert_eq!(guest(server.connect()), guest(upstream.connect()));
}

/// Whether answers are the same. What a type that nobody knows is told by the gateway itself, which
/// is in another file of C than Tarantool: there the numbers and texts are.
fn is_same(expected: &[(u32, u64, Vec<u8>)], got: &[(u32, u64, Vec<u8>)]) -> bool {
    let unknown = keys::CODE_ERROR | 48;
    expected == got
        || expected.len() == 1 && got.len() == 1 && {
            let (expected, got) = (&expected[0], &got[0]);
            expected.0 == unknown && (expected.0, expected.1) == (got.0, got.1)
        }
}

#[test]
fn while_it_is_stopped_everybody_is_told_and_goes_on_when_it_does() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let upstream = start(&program, &directory);
    let server = gateway(&directory, &[("a", &upstream)]);
    let mut alice = log_in(server.connect());
    upstream.process.signal("STOP");
    wait_for(&server, "solo");
    let told = alice.ask(&RequestBuilder::select(1, 1));
    assert_eq!(told.error_code(), Some(116));
    assert!(
        told.error_mentions("a: no answer for"),
        "{:?}",
        told.error_text()
    );
    let mut late = log_in(server.connect());
    late.ping();
    upstream.process.signal("CONT");
    wait_for(&server, "assist");
    for peer in [&mut alice, &mut late] {
        assert_eq!(peer.ask(&RequestBuilder::replace(1, 1)).code, 0);
    }
    assert_eq!(rows(&mut connect(&upstream)), rows(&mut alice));
}

#[test]
fn what_was_acknowledged_before_a_crash_is_there_after_it_and_nothing_that_was_refused() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let upstream = start(&program, &directory);
    let address = upstream.address.clone();
    let server = gateway(&directory, &[("a", &upstream)]);
    let mut writer = log_in(server.connect());
    let sent: u64 = 2000;
    let requests = (1..=sent).map(|key| RequestBuilder::replace(key, key));
    writer.send_bytes(&requests.flat_map(|own| own.bytes()).collect::<Vec<_>>());
    let mut upstream = Some(upstream);
    let mut outcomes = Vec::new();
    for count in 1..=sent {
        let frame = writer.receive();
        outcomes.push((frame.sync, frame.error_code()));
        if count == 100 {
            // SIGKILL.
            upstream = None;
        }
    }
    drop(upstream);
    wait_for(&server, "solo");
    let upstream = start_at(&program, &directory, &address.to_string());
    wait_for(&server, "assist");
    let there: Vec<u64> = rows(&mut connect(&upstream))
        .iter()
        .map(|row| row.0)
        .collect();
    for (key, code) in outcomes {
        let is_there = there.contains(&key);
        match code {
            None => assert!(is_there, "{key} was acknowledged"),
            Some(116) => assert!(!is_there, "{key} was refused"),
            Some(code) => assert_eq!(code, 115, "outcome unknown"),
        }
    }
    assert_eq!(writer.ask(&RequestBuilder::replace(1, 1)).code, 0);
}

#[test]
fn what_makes_no_sense_with_upstreams_is_refused() {
    let told = |arguments: &[&str]| {
        let binary = env!("CARGO_BIN_EXE_vestibule");
        let output = Command::new(binary).args(arguments).output();
        let output = output.expect("the binary starts");
        let text = String::from_utf8(output.stderr).expect("it is text");
        (output.status.code(), text)
    };
    let upstream = ["serve", "--upstream", "a=127.0.0.1:1"];
    for (more, part) in [
        (
            &["--data", "x"][..],
            "flag --data: not with --upstream: a gateway",
        ),
        (
            &["--journal-sync", "never"],
            "flag --journal-sync: not with --upstream",
        ),
        (
            &["--upstream", "a=127.0.0.1:2"],
            "two upstreams are called 'a'",
        ),
        (
            &["--upstream", "b=127.0.0.1:1"],
            "the upstreams 'a' and 'b' have one address",
        ),
        (
            &["--upstream-user", "x"],
            "--upstream-user needs --upstream-password-file",
        ),
        (
            &["--upstream-users", "one"],
            "--upstream-users needs --upstream-user beside it",
        ),
        (
            &["--upstream-tls-server-name", "db1"],
            "--upstream-tls-server-name needs --upstream-tls-ca",
        ),
        (
            &["--staleness-max", "1s", "--mode", "pinned"],
            "--staleness-max needs mode shared",
        ),
        (
            &["--upstream-tls-certificate", "x"],
            "--upstream-tls-certificate needs --upstream-tls-key",
        ),
        (
            &["--upstream-tls-ca", "/nowhere/at/all.pem"],
            "flag --upstream-tls-ca: /nowhere/at/all.pem: No such file",
        ),
    ] {
        let (code, text) = told(&[&upstream[..], more].concat());
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(told(&["serve", "--upstream", "nowhere"]).0, Some(2));
}

#[test]
fn options_are_called_as_they_were_given() {
    let run = |command: &mut Command| {
        let output = command.output().expect("the binary starts");
        String::from_utf8(output.stderr).expect("it is text")
    };
    let binary = || Command::new(env!("CARGO_BIN_EXE_vestibule"));
    let directory = Directory::new();
    let file = directory.path().join("own.toml");
    let text = "upstream = ['a=127.0.0.1:1']\nstaleness_max = '1s'\nmode = 'pinned'\n";
    std::fs::write(&file, text).expect("the directory is ours");
    let text = run(binary().args(["serve", "--config"]).arg(&file));
    assert!(text.contains("'staleness_max' needs mode shared"), "{text}");
    let upstream = ["serve", "--upstream", "a=127.0.0.1:1"];
    let text = run(binary().args(upstream).env("VESTIBULE_UPSTREAM_USER", "x"));
    let expected = "VESTIBULE_UPSTREAM_USER needs VESTIBULE_UPSTREAM_PASSWORD_FILE beside it";
    assert!(text.contains(expected), "{text}");
}
