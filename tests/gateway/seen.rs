//! What operators see of real upstreams: by `vestibule ctl`, metrics and the text of the side door.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::thread;

use serde_json::Value as Json;
use vestibule_actors::testing::RequestBuilder;

use super::client::get;
use super::support::{Directory, Server, secret, tarantool, wait_until};
use super::{eval, gateway_with, log_in, logged_gateway, set_read_only, start, wait_for};

fn run_ctl(server: &Server, arguments: &[&str]) -> Output {
    let address = server.address().to_string();
    Command::new(env!("CARGO_BIN_EXE_vestibule"))
        .env_clear()
        .args(["ctl", "--connect", &address])
        .args(arguments)
        .output()
        .expect("the binary runs")
}

/// What `vestibule ctl` says with `--json`.
pub(super) fn ctl(server: &Server, arguments: &[&str]) -> Json {
    let output = run_ctl(server, &[arguments, &["--json"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// The exit code of `vestibule ctl`, and what it says to people.
fn ctl_text(server: &Server, arguments: &[&str]) -> (Option<i32>, String) {
    let output = run_ctl(server, arguments);
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).expect("it is text");
    (output.status.code(), text)
}

/// An upstream, as it is shown.
pub(super) fn upstream(server: &Server, name: &str) -> Json {
    let rows = ctl(server, &["show", "upstreams"]);
    let rows = rows.as_array().expect("it is a list");
    let own = rows.iter().find(|own| own["name"] == name);
    own.expect("it is shown").clone()
}

pub(super) fn metric(address: SocketAddr, name: &str, labels: &str) -> Option<f64> {
    get(address, "/metrics").metric(&format!("vestibule_{name}{labels}"))
}

/// Waits until probes send changes there, or none.
fn wait_for_probes(http: SocketAddr, are_changes_taken: bool) {
    let status = if are_changes_taken { 200 } else { 503 };
    wait_until("probes tell whether changes are taken", || {
        get(http, "/readyz?writes").status == status
    });
    let ready = get(http, "/readyz");
    assert_eq!(ready.status, 200);
    let is_told = ready.body.contains("no upstream takes changes");
    assert_eq!(is_told, !are_changes_taken, "{}", ready.body);
}

#[test]
fn operators_see_which_upstream_requests_go_to_and_how_each_is() {
    let Some(program) = tarantool() else { return };
    let directories = [Directory::new(), Directory::new()];
    let [first, second] = [0, 1].map(|own| start(&program, &directories[own]));
    set_read_only(&second, true);
    let both = format!("a={},b={}", first.address, second.address);
    let door = ["--upstream", &both, "--http-listen", "127.0.0.1:0"];
    let server = gateway_with(&directories[0], &door);
    let http = server.http_address();
    wait_until("both serve", || {
        upstream(&server, "b")["state"] == "serving"
    });
    let mut alice = log_in(server.connect());
    assert_eq!(alice.ask(&RequestBuilder::replace(1, 1)).code, 0);

    let (a, b) = (upstream(&server, "a"), upstream(&server, "b"));
    assert_eq!(
        (&a["is_target"], &a["is_writable"]),
        (&true.into(), &true.into())
    );
    assert_eq!(
        (&b["is_target"], &b["is_writable"]),
        (&false.into(), &false.into())
    );
    assert_eq!((&a["sent"], &a["links"]), (&1.into(), &1.into()));
    // How long that is so, which is no point in time.
    assert!(a["age"].as_f64().is_some_and(|own| own < 1e6), "{a}");
    let version = a["version"].as_str().expect("it has greeted");
    assert_eq!(version.split('.').count(), 3, "{version}");
    let links = ctl(&server, &["show", "links"]);
    assert_eq!(
        (&links[0]["upstream"], &links[0]["user"]),
        (&"a".into(), &"alice".into())
    );
    let of_a = "{upstream=\"a\"}";
    assert_eq!(metric(http, "upstream_requests_total", of_a), Some(1.0));
    assert_eq!(metric(http, "upstream_target", of_a), Some(1.0));
    let text = get(http, "/status.txt").body;
    assert!(
        text.contains("a: serving, takes changes, requests go there; 1 links"),
        "{text}"
    );
    let listed = get(http, "/links.json?limit=1");
    assert!(
        listed.body.contains("\"user\": \"alice\""),
        "{}",
        listed.body
    );

    set_read_only(&first, true);
    wait_for_probes(http, false);
    set_read_only(&second, false);
    wait_for_probes(http, true);
    assert_eq!(alice.ask(&RequestBuilder::replace(2, 2)).code, 0);
    let of_b = "{upstream=\"b\"}";
    assert_eq!(metric(http, "upstream_failovers_total", of_b), Some(1.0));
    assert_eq!(metric(http, "upstream_writable", of_a), Some(0.0));
    drop(first);
    let absent = "{upstream=\"a\",state=\"absent\"}";
    wait_until("its end is seen", || {
        metric(http, "upstream_state", absent) == Some(1.0)
    });
    let a = upstream(&server, "a");
    assert_eq!(
        (&a["is_writable"], &a["is_target"]),
        (&Json::Null, &false.into())
    );
    assert!(a["trouble"].is_string(), "{a}");
}

#[test]
fn upstreams_are_drained_one_after_another_and_their_requests_go_elsewhere() {
    let Some(program) = tarantool() else { return };
    let directories = [Directory::new(), Directory::new()];
    let [first, second] = [0, 1].map(|own| start(&program, &directories[own]));
    set_read_only(&second, true);
    let both = format!("a={},b={}", first.address, second.address);
    let server = gateway_with(&directories[0], &["--upstream", &both]);
    wait_until("both serve", || {
        upstream(&server, "b")["state"] == "serving"
    });
    let mut alice = log_in(server.connect());
    assert_eq!(alice.ask(&RequestBuilder::replace(1, 1)).code, 0);
    // A planned change: the next one takes changes before this one is drained.
    set_read_only(&first, true);
    set_read_only(&second, false);
    assert_eq!(alice.ask(&RequestBuilder::replace(2, 2)).code, 0);
    alice.send(&eval("require('fiber').sleep(30)"));
    let outcome = ctl(&server, &["drain-upstream", "a"]);
    assert_eq!(outcome["result"], "done", "{outcome}");
    assert_eq!(upstream(&server, "a")["state"], "drained");
    assert_eq!(upstream(&server, "a")["links"], 0);
    // On the other one a call is under way: it is cut off at the deadline, and its client told so.
    let outcome = ctl(&server, &["drain-upstream", "b", "--grace", "100ms"]);
    let record = &outcome["transition"];
    assert_eq!(
        (&record["upstream"], &record["to"]),
        (&"b".into(), &"drained".into())
    );
    assert_eq!(record["killed"]["call"], 1, "{outcome}");
    let told = alice.receive();
    assert_eq!(told.error_code(), Some(115));
    assert!(told.error_mentions("drained"), "{:?}", told.error_text());
    wait_for(&server, "solo");
    set_read_only(&first, false);
    let restored = ctl_text(&server, &["restore-upstream", "a"]);
    assert_eq!(restored.0, Some(0));
    let took = restored.1.strip_prefix("used: took ");
    let took = took.and_then(|own| own.strip_suffix(" s\n"));
    assert!(
        took.is_some_and(|own| own.parse::<f64>().is_ok()),
        "{restored:?}"
    );
    wait_for(&server, "assist");
    assert_eq!(alice.ask(&RequestBuilder::replace(3, 3)).code, 0);
    assert_eq!(upstream(&server, "a")["is_target"], true);
}

/// A drain takes longer than answers may, and who has its upstream used again waits for its end.
#[test]
fn who_restores_an_upstream_that_is_being_drained_waits_for_that() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let first = start(&program, &directory);
    let server = gateway_with(&directory, &["--upstream", &format!("a={}", first.address)]);
    wait_for(&server, "assist");
    let mut alice = log_in(server.connect());
    alice.send(&eval("require('fiber').sleep(600)"));
    wait_until("it is sent", || upstream(&server, "a")["calls"] == 1);
    let drain = ["drain-upstream", "a", "--grace", "6s"];
    thread::scope(|scope| {
        let drained = scope.spawn(|| ctl(&server, &drain));
        wait_until("it is left", || {
            upstream(&server, "a")["state"] == "leaving"
        });
        let at_once = ["restore-upstream", "a", "--turn-within", "0s"];
        let (code, told) = ctl_text(&server, &at_once);
        assert_eq!(code, Some(1));
        assert!(told.contains("it was not begun in time"), "{told}");
        let restored = ctl(&server, &["restore-upstream", "a", "--timeout", "3s"]);
        assert_eq!(restored["result"], "done", "{restored}");
        let drained = drained.join().expect("it does not panic");
        assert_eq!(drained["transition"]["killed"]["call"], 1, "{drained}");
    });
    assert_eq!(alice.receive().error_code(), Some(115));
    wait_for(&server, "assist");
}

/// Without a real upstream it is tested that nothing is cut off by that.
#[test]
fn an_operator_has_requests_go_over_a_new_connection() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let first = start(&program, &directory);
    let server = gateway_with(&directory, &["--upstream", &format!("a={}", first.address)]);
    let mut alice = log_in(server.connect());
    let session = eval("return box.session.id()");
    let old: u64 = alice.ask(&session).value();
    let state = ctl(&server, &["reconnect", "a"]);
    assert_eq!(state["state"], "assist", "{state}");
    wait_until("the old connection is gone", || {
        let other: u64 = alice.ask(&session).value();
        other != old && upstream(&server, "a")["links"] == 1
    });
    let (code, told) = ctl_text(&server, &["reconnect", "a"]);
    assert!(
        code == Some(0) && told.starts_with("reconnecting: "),
        "{told}"
    );
    let (code, told) = ctl_text(&server, &["reconnect", "b"]);
    assert!(
        code == Some(1) && told.contains("no upstream 'b'"),
        "{told}"
    );
}

/// The state is loading until one serves, and says nothing of those that do not.
#[test]
fn why_an_upstream_is_not_used_is_in_the_log_from_the_start() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let upstream = start(&program, &directory);
    let (log, wrong) = (
        directory.path().join("log"),
        secret(directory.path(), "wrong"),
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--log", "warn"])
        .arg(format!("--upstream=a={},b=127.0.0.1:1", upstream.address))
        .args(["--upstream-user", "gateway", "--upstream-password-file"])
        .arg(wrong)
        .stderr(File::create(&log).expect("the directory is ours"));
    let _server = Server::begin(command, false, false);
    wait_until("both are told of", || {
        let told = fs::read_to_string(&log).expect("it is there");
        let is_told = |part: &str| told.lines().any(|own| own.contains(part));
        is_told("it refuses the login: Incorrect password supplied for user 'gateway'")
            && is_told("upstream b=127.0.0.1:1: Connection refused")
    });
}

/// By different addresses, so that only their greetings tell.
#[test]
fn two_upstreams_that_are_one_instance_are_told_to_operators() {
    let Some(program) = tarantool() else { return };
    let directories = [Directory::new(), Directory::new()];
    let [first, second] = [0, 1].map(|own| start(&program, &directories[own]));
    set_read_only(&second, true);
    let port = first
        .address
        .network()
        .expect("it is one of the network")
        .port();
    let all = format!(
        "a={},b=localhost:{port},c={}",
        first.address, second.address
    );
    let log = directories[0].path().join("log");
    let options = ["--upstream", &all, "--http-listen", "127.0.0.1:0"];
    let server = logged_gateway(&directories[0], &options, &log);
    let same_as = |name| upstream(&server, name)["same_as"].clone();
    wait_until("it is shown", || same_as("a") == "b" && same_as("b") == "a");
    wait_until("the third one is reached", || {
        upstream(&server, "c")["state"] == "serving"
    });
    assert_eq!(same_as("c"), Json::Null);
    let [a, b, c] = ["a", "b", "c"].map(|own| upstream(&server, own)["instance"].clone());
    assert!(a.is_string() && a == b && a != c, "{a} {b} {c}");
    let told = fs::read_to_string(&log).expect("it is there");
    let told = told.lines().filter(|own| own.contains("are one instance"));
    let told: Vec<_> = told.collect();
    assert_eq!(told.len(), 1, "{told:?}");
    let text = get(server.http_address(), "/status.txt").body;
    assert!(
        text.contains("The upstreams a and b are one instance"),
        "{text}"
    );
    // One that is lost is no other one's double any more.
    drop(first);
    wait_until("it is over", || same_as("a").is_null());
}
