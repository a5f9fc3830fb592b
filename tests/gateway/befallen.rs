//! What befalls real upstreams: they hang and wake, compute, restart one after another, and wait
//! for others.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::Value as Json;

use super::client::get;
use super::failover::{Load, check, insert, keys_of};
use super::seen::{metric, upstream};
use super::support::tarantool::Tarantool;
use super::support::{Directory, Server, number_from_env, tarantool, wait_until};
use super::users::list;
use super::{
    connect, eval, gateway, log_in, logged_gateway, named, patient_gateway, set_read_only, start,
    start_at, wait_for,
};

/// Descriptors that it has open, whether it answers or not.
fn descriptors(upstream: &Tarantool) -> usize {
    let path = format!("/proc/{}/fd", upstream.process.id());
    fs::read_dir(path).expect("the process is there").count()
}

/// Connections that clients' requests have had opened to it, since the start.
fn links_opened(server: &Server) -> Json {
    upstream(server, "a")["links_opened"].clone()
}

fn connection_count(upstream: &Tarantool) -> u64 {
    let count = eval("return box.stat.net().CONNECTIONS.current");
    connect(upstream).ask(&count).value()
}

/// one that hangs is given up, and when it wakes and says still that it takes changes, nothing
/// that was sent since goes there, and operators are told of both.
#[test]
fn one_that_hangs_and_wakes_is_not_written_to_beside_the_one_that_took_over() {
    let Some(program) = tarantool() else { return };
    let directories = [Directory::new(), Directory::new()];
    let [first, second] = [0, 1].map(|at| start(&program, &directories[at]));
    set_read_only(&second, true);
    let both = format!("a={},b={}", first.address, second.address);
    let log = directories[0].path().join("gateway.log");
    let options = ["--upstream", &both, "--http-listen", "127.0.0.1:0"];
    let server = logged_gateway(&directories[0], &options, &log);
    let mut peer = log_in(server.connect());
    assert_eq!(peer.ask(&insert(1)).code, 0);
    first.process.signal("STOP");
    wait_for(&server, "solo");
    set_read_only(&second, false);
    wait_for(&server, "assist");
    for key in 100..200 {
        assert_eq!(peer.ask(&insert(key)).code, 0);
    }
    first.process.signal("CONT");
    // It answers, so its scout hears it by now, or soon.
    assert!(keys_of(&first).contains(&1));
    for key in 200..2000 {
        assert_eq!(peer.ask(&insert(key)).code, 0);
    }
    operators_are_told(&server, &log);
    for key in 2000..2100 {
        assert_eq!(peer.ask(&insert(key)).code, 0);
    }
    assert_eq!(keys_of(&first).into_iter().collect::<Vec<_>>(), [1]);
    assert_eq!(keys_of(&second).len(), 2000);
}

/// Both take changes, and requests go to the second one alone: by all that operators look at.
fn operators_are_told(server: &Server, log: &Path) {
    wait_until("both are known to take changes", || {
        ["a", "b"].map(|name| upstream(server, name)["is_writable"] == true) == [true; 2]
    });
    let targets = ["a", "b"].map(|name| upstream(server, name)["is_target"] == true);
    assert_eq!(targets, [false, true]);
    let http = server.http_address();
    for (name, target) in [("a", 0.0), ("b", 1.0)] {
        let labels = format!("{{upstream=\"{name}\"}}");
        assert_eq!(metric(http, "upstream_writable", &labels), Some(1.0));
        assert_eq!(metric(http, "upstream_target", &labels), Some(target));
    }
    let told = "ore than one upstream says that it takes changes";
    let page = get(http, "/status.txt").body;
    let line = page.lines().find(|own| own.contains(told)).expect(&page);
    assert!(line.contains("SERIOUS"), "{line}");
    assert!(line.ends_with("a, b; requests go to b alone"), "{line}");
    let log = fs::read_to_string(log).expect("it is written");
    let line = log.lines().find(|own| own.contains(told)).expect(&log);
    assert!(line.contains("WARN"), "{line}");
    assert!(line.ends_with("a, b; requests go to b alone"), "{line}");
}

/// Clients that come while an upstream computes, unless `VESTIBULE_TEST_STORM` says how many.
const STORM: u64 = 400;

/// How often an upstream is connected to in a second, at most.
const CONNECTS_MAX: u64 = 20;

/// R-4, GW-15: clients that come again and again while the upstream computes are told, and none of
/// them reaches it.
#[test]
fn while_an_upstream_computes_clients_are_told_and_it_has_no_more_connections() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let upstream = start(&program, &directory);
    let server = gateway(&directory, &[("a", &upstream)]);
    let mut peer = log_in(server.connect());
    assert_eq!(peer.ask(&insert(1)).code, 0);
    let before = connection_count(&upstream);
    let mut blocker = connect(&upstream);
    let until = directory.path().join("until");
    // Nothing of that lets another fiber run.
    blocker.send(&eval(&format!(
        "repeat local file = io.open('{}') until file",
        until.display()
    )));
    wait_for(&server, "solo");
    let (open, opened, began) = (
        descriptors(&upstream),
        links_opened(&server),
        Instant::now(),
    );
    let late: Vec<_> = (0..number_from_env("VESTIBULE_TEST_STORM").unwrap_or(STORM))
        .map(|_| {
            let mut late = log_in(server.connect());
            let told = late.ask(&insert(2));
            assert_eq!(told.error_code(), Some(116));
            assert!(told.error_mentions("a: no "), "{:?}", told.error_text());
            late
        })
        .collect();
    assert_eq!(links_opened(&server), opened, "none of them reaches it");
    // Its scout comes again after a while, and it closes nothing meanwhile.
    let most = open as u64 + CONNECTS_MAX * (began.elapsed().as_secs() + 1);
    assert!(descriptors(&upstream) as u64 <= most);
    drop(late);
    fs::write(&until, "").expect("the directory is ours");
    assert_eq!(blocker.receive().code, 0);
    wait_for(&server, "assist");
    assert_eq!(peer.ask(&insert(3)).code, 0);
    assert_eq!(keys_of(&upstream).into_iter().collect::<Vec<_>>(), [1, 3]);
    // The one that asks is one, and was then; that of the blocker is another.
    wait_until("it has the connections that it had", || {
        connection_count(&upstream) == before + 1
    });
}

/// R-5, GW-06: each is restarted once, and those who write do not notice.
#[test]
fn a_rolling_restart_costs_no_write() {
    let Some(program) = tarantool() else { return };
    let directories = [Directory::new(), Directory::new(), Directory::new()];
    let mut all = [0, 1, 2].map(|at| Some(start(&program, &directories[at])));
    let of = |own: &Option<Tarantool>| own.as_ref().map(|own| own.address.clone()).unwrap();
    let addresses = [0, 1, 2].map(|at| of(&all[at]));
    let upstream = |all: &[Option<Tarantool>; 3], at: usize, is_read_only| {
        set_read_only(all[at].as_ref().unwrap(), is_read_only);
    };
    upstream(&all, 1, true);
    upstream(&all, 2, true);
    let server = {
        let named = ["a", "b", "c"].iter().zip(&all);
        let named: Vec<_> = named
            .map(|(name, own)| (*name, own.as_ref().unwrap()))
            .collect();
        patient_gateway(&directories[0], &named)
    };
    let load = Load::begin(&server);
    for at in 0..3 {
        load.go_on(300);
        upstream(&all, at, true);
        load.stand(&server);
        upstream(&all, (at + 1) % 3, false);
        load.go_on(300);
        all[at] = None;
        all[at] = Some(start_at(
            &program,
            &directories[at],
            &addresses[at].to_string(),
        ));
        // It starts as one that takes changes: its operator has that otherwise.
        upstream(&all, at, true);
    }
    load.go_on(300);
    let outcomes = load.end();
    assert!(
        outcomes.values().all(Option::is_none),
        "nobody is told of it"
    );
    let [first, second, third] = all.each_ref().map(|own| keys_of(own.as_ref().unwrap()));
    assert!(first.is_disjoint(&third), "nothing is done twice");
    check(&outcomes, &(&first | &third), &second);
}

/// who waits for the others of its set says by its ballot that it takes changes, before 2.7.3,
/// and by `box.info` that it takes none.
#[test]
fn an_orphan_is_not_written_to() {
    let Some(program) = tarantool() else { return };
    let directories = [Directory::new(), Directory::new()];
    let [first, second] = [0, 1].map(|at| start(&program, &directories[at]));
    let mut admin = connect(&first);
    // Nobody is there: it is an orphan as soon as it looks.
    let alone = "box.cfg{replication_connect_timeout = 0.1, replication_connect_quorum = 2, \
                 replication = {'127.0.0.1:1', '127.0.0.1:2'}} return box.info.status";
    assert_eq!(admin.ask(&eval(alone)).value::<String>(), "orphan");
    let server = gateway(&directories[0], &[("a", &first), ("b", &second)]);
    wait_for(&server, "assist");
    let mut peer = log_in(server.connect());
    for key in 0..100 {
        assert_eq!(peer.ask(&insert(key)).code, 0);
    }
    assert_eq!((keys_of(&first).len(), keys_of(&second).len()), (0, 100));
}

/// one that waits for the others of its set before it has any data. Nobody can log in there,
/// the gateway's account neither.
#[test]
fn one_without_data_is_not_written_to() {
    let Some(program) = tarantool() else { return };
    nothing_goes_to_one_without_data(&program, "bootstrap", |directory, upstreams| {
        gateway(directory, upstreams)
    });
}

/// The same where the gateway asks as guest, and is told how it is.
#[test]
fn one_that_says_that_it_has_no_data_is_not_written_to() {
    let Some(program) = tarantool() else { return };
    nothing_goes_to_one_without_data(&program, "loading", |directory, upstreams| {
        let users = list(directory.path(), &["alice"], 0o600);
        let users = users.to_str().expect("the path is plain");
        let upstreams = named(upstreams);
        Server::start_gateway(&["--upstream", &upstreams, "--upstream-users", users])
    });
}

fn nothing_goes_to_one_without_data(
    program: &str,
    trouble: &str,
    gateway: impl FnOnce(&Directory, &[(&str, &Tarantool)]) -> Server,
) {
    let directories = [Directory::new(), Directory::new()];
    let socket = format!("unix/:{}", directories[0].path().join("socket").display());
    let arguments = [directories[0].path().as_os_str(), socket.as_ref()];
    let first = Tarantool::start(program, "gateway/unbootstrapped.lua", &arguments);
    let second = start(program, &directories[1]);
    let told = first.connect().ask(&insert(1));
    assert_eq!(told.error_code(), Some(36), "it has no space either");
    let server = gateway(&directories[0], &[("a", &first), ("b", &second)]);
    let told = || upstream(&server, "a")["trouble"].to_string();
    wait_until("it is reached", || told().contains(trouble));
    wait_for(&server, "assist");
    let mut peer = log_in(server.connect());
    for key in 0..100 {
        assert_eq!(peer.ask(&insert(key)).code, 0);
    }
    assert_eq!(keys_of(&second).len(), 100);
    drop(second);
    wait_for(&server, "solo");
    let told = peer.ask(&insert(100));
    assert_eq!(told.error_code(), Some(116));
    assert!(told.error_mentions("a: "), "{:?}", told.error_text());
}
