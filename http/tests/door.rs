//! The door, as those see it who come to it: what it answers, to whom, and what it refuses.

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use vestibule_actors::ListenAddress;
use vestibule_actors::serving::State;
use vestibule_actors::testing::{Harness, RequestBuilder, Script, config};
use vestibule_http::limits::DESCRIPTORS;
use vestibule_http::{HttpConfig, HttpListener, Sources, serve};

use support::client::{ask, connect, exchange, get};
use support::{any_port, door, open, open_with};

const PROBES: [&str; 4] = ["/livez", "/startupz", "/readyz", "/readyz?writes"];

/// What the probes answer, in their order.
fn probes(address: std::net::SocketAddr) -> [u16; 4] {
    PROBES.map(|path| get(address, path).status)
}

#[test]
fn probes_answer_by_the_table_in_every_state() {
    let script = Script::default();
    script.hold_recovery(true);
    let harness = Harness::start_loading(config(), script);
    let (_door, address) = door(&harness);
    harness.script().wait_for_log("recovering");
    assert_eq!(probes(address), [200, 503, 503, 503], "loading");
    assert!(get(address, "/startupz").body.contains("40 %"));
    harness.script().hold_recovery(false);
    harness.wait_for(State::Assist);
    assert_eq!(probes(address), [200, 200, 200, 200], "assist");
    harness.handle().solo("the test");
    assert_eq!(probes(address), [200, 200, 200, 503], "solo");
    let degraded = get(address, "/readyz").body;
    assert!(degraded.contains("degraded"), "{degraded}");
    let why = get(address, "/readyz?writes").body;
    assert!(why.contains("the test"), "{why}");
    harness.handle().assist();
    let _ = harness.demote(Duration::ZERO);
    assert_eq!(probes(address), [200, 200, 200, 503], "a replica");
    harness.promote();
    // A fault of the engine.
    let mut peer = harness.connect();
    assert_eq!(peer.ask(&RequestBuilder::replace(1, 1)).code, 0);
    assert_eq!(probes(address), [200, 200, 200, 200], "primary again");
    // A death of Tx: it has started before, and loads again.
    harness.script().hold_recovery(true);
    harness.script().panic_next();
    assert_ne!(peer.ask(&RequestBuilder::replace(2, 2)).code, 0);
    harness.wait_for(State::Loading);
    assert_eq!(probes(address), [200, 200, 503, 503], "loading again");
    harness.script().hold_recovery(false);
    harness.wait_for(State::Assist);
    // A stop that waits for a client.
    let begin = RequestBuilder::new(vestibule_actors::wire::keys::RequestType::Begin, 3);
    assert_eq!(peer.ask(&begin.stream(1)).code, 0);
    harness
        .handle()
        .begin_drain(Some(Duration::from_secs(3600)), "the test");
    harness.wait_for(State::Draining);
    assert_eq!(probes(address), [200, 200, 503, 503], "stopping");
    harness.handle().stop_now("the test");
    harness.wait_for(State::Stopped);
    assert_eq!(probes(address), [200, 200, 503, 503], "stopped");
}

#[test]
fn an_announced_stop_is_not_ready_while_everything_is_still_served() {
    let harness = Harness::start_with(
        config().lameduck(Duration::from_secs(3600)),
        Script::default(),
    );
    let (_door, address) = door(&harness);
    harness.handle().begin_drain(None, "the test");
    harness.wait_until("it is announced", || get(address, "/readyz").status == 503);
    assert_eq!(harness.handle().serving().state, State::Assist);
    assert_eq!(probes(address), [200, 200, 503, 503]);
    assert_eq!(
        harness.connect().ask(&RequestBuilder::replace(1, 1)).code,
        0
    );
    harness.handle().stop_now("the test");
}

#[test]
fn everything_is_answered_while_tx_is_blocked() {
    let harness = Harness::start();
    let (_door, address) = door(&harness);
    let mut stuck = harness.block();
    harness.handle().solo("Tx is blocked by the test");
    harness.wind(Duration::from_secs(5));
    for _ in 0..50 {
        let answer = get(address, "/metrics");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.metric("vestibule_state{state=\"solo\"}"), Some(1.0));
        assert_eq!(
            answer.metric("vestibule_state{state=\"assist\"}"),
            Some(0.0)
        );
        assert!(answer.metric("vestibule_tx_busy_seconds_total") >= Some(5.0));
    }
    for path in [
        "/status.txt",
        "/status.json",
        "/connections.json",
        "/requests.json",
        "/links.json",
    ] {
        assert_eq!(get(address, path).status, 200, "{path}");
    }
    let requests = get(address, "/requests.json").body;
    assert!(requests.contains("\"procedure\": \"block\""), "{requests}");
    assert_eq!(get(address, "/livez").status, 200);
    assert_eq!(get(address, "/livez?tx_stalled=1h").status, 400);
    assert_eq!(get(address, "/livez?tx_stalled=3600").status, 200);
    let dead = get(address, "/livez?tx_stalled=5s");
    assert_eq!(dead.status, 503, "{}", dead.body);
    harness.script().release();
    assert_eq!(stuck.receive().code, 0);
}

#[test]
fn the_format_of_metrics_is_the_one_that_is_asked_for() {
    let harness = Harness::start();
    let (_door, address) = door(&harness);
    let with = |accept: &str| {
        let head = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n";
        ask(address, &format!("{head}Accept: {accept}\r\n\r\n"))
    };
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
                      application/openmetrics-text;version=0.0.1;q=0.4,\
                      text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    for accept in [prometheus, "application/openmetrics-text; version=1.0.0"] {
        let answer = with(accept);
        let own = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!(answer.header("content-type"), Some(own), "{accept}");
        assert!(answer.body.ends_with("# EOF\n"));
        assert!(answer.body.contains("# TYPE vestibule_requests counter\n"));
    }
    let text_first = "text/plain;version=0.0.4,application/openmetrics-text;version=1.0.0;q=0.5";
    for accept in ["*/*", "text/plain", "", text_first, "image/png"] {
        let answer = with(accept);
        let own = "text/plain; version=0.0.4; charset=utf-8";
        assert_eq!(answer.header("content-type"), Some(own), "{accept}");
        assert!(
            answer
                .body
                .contains("# TYPE vestibule_requests_total counter\n")
        );
        assert!(!answer.body.contains("# EOF"));
    }
}

#[test]
fn requests_are_counted_and_the_door_counts_its_own() {
    let harness = Harness::start_with(config().instance_name("orders-1".into()), Script::default());
    let (_door, address) = door(&harness);
    let mut peer = harness.connect();
    for key in 0..3 {
        assert_eq!(peer.ask(&RequestBuilder::replace(key, key)).code, 0);
    }
    peer.ping();
    assert_eq!(get(address, "/nothing").status, 404);
    let answer = get(address, "/metrics");
    let count = |series: &str| answer.metric(series);
    let replaces = "vestibule_requests_total{request=\"replace\",path=\"tx\"}";
    assert_eq!(count(replaces), Some(3.0));
    let pings = "vestibule_requests_total{request=\"ping\",path=\"local\"}";
    assert_eq!(count(pings), Some(1.0));
    let of_tx = "vestibule_request_duration_seconds_count{path=\"tx\"}";
    assert_eq!(count(of_tx), Some(3.0));
    let beyond = "vestibule_request_duration_seconds_bucket{path=\"tx\",le=\"+Inf\"}";
    assert_eq!(count(beyond), Some(3.0));
    let dashboard = "tnt_stats_op_total{alias=\"orders-1\",operation=\"replace\"}";
    assert_eq!(count(dashboard), Some(3.0));
    assert_eq!(count("vestibule_build_info{version=\"1.2.3\"}"), Some(1.0));
    let missing = "vestibule_http_requests_total{path=\"other\",code=\"404\"}";
    assert_eq!(count(missing), Some(1.0));
    assert_eq!(
        count("vestibule_connections{listener=\"clients\"}"),
        Some(1.0)
    );
    assert!(count("process_resident_memory_bytes") > Some(1e6));
}

#[test]
fn tarantools_names_can_be_left_out_and_no_other_series_has_an_alias() {
    let harness = Harness::start_with(config().instance_name("orders-1".into()), Script::default());
    let ours_alone = HttpConfig::new([any_port()]).tarantool_metrics(false);
    let (_door, address) = open(&harness, ours_alone);
    let body = get(address, "/metrics").body;
    assert!(!body.contains("tnt_") && !body.contains("alias="), "{body}");
    let (_door, address) = door(&harness);
    let body = get(address, "/metrics").body;
    let own = body.lines().filter(|line| !line.starts_with('#'));
    let (theirs, ours): (Vec<_>, Vec<_>) = own.partition(|line| line.starts_with("tnt_"));
    assert!(
        theirs
            .iter()
            .all(|line| line.contains("{alias=\"orders-1\"")),
        "{theirs:?}"
    );
    assert!(ours.iter().all(|line| !line.contains("alias=")), "{ours:?}");
}

#[test]
fn many_connections_make_no_series() {
    let harness = Harness::start();
    let (_door, address) = door(&harness);
    let series = || get(address, "/metrics").body.lines().count();
    let _ = series();
    let before = series();
    let mut peers: Vec<_> = (0..50).map(|_| harness.connect()).collect();
    for peer in &mut peers {
        peer.ping();
    }
    assert_eq!(series(), before);
}

#[test]
fn what_is_no_question_is_refused() {
    let harness = Harness::start();
    let (_door, address) = door(&harness);
    let host = "Host: localhost\r\n";
    for (request, status) in [
        (
            format!("POST /metrics HTTP/1.1\r\n{host}Content-Length: 3\r\n\r\nabc"),
            405,
        ),
        (format!("DELETE /metrics HTTP/1.1\r\n{host}\r\n"), 405),
        (
            format!("GET /metrics HTTP/1.1\r\n{host}Content-Length: 3\r\n\r\nabc"),
            413,
        ),
        (
            "GET /metrics HTTP/1.1\r\nHost: evil.example.com\r\n\r\n".to_owned(),
            421,
        ),
        ("GET /metrics HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("no HTTP at all\r\n\r\n".to_owned(), 400),
        (format!("GET /../etc/passwd HTTP/1.1\r\n{host}\r\n"), 404),
        (
            format!("GET /%2e%2e/etc/passwd HTTP/1.1\r\n{host}\r\n"),
            404,
        ),
        (format!("GET /status.js/ HTTP/1.1\r\n{host}\r\n"), 404),
        (
            format!("GET /connections.json?limit=x HTTP/1.1\r\n{host}\r\n"),
            400,
        ),
    ] {
        assert_eq!(ask(address, &request).status, status, "{request}");
    }
    let listed = get(address, "/nothing").body;
    assert!(
        listed.contains("/metrics") && listed.contains("/readyz"),
        "{listed}"
    );
    let refused = ask(address, &format!("PUT /livez HTTP/1.1\r\n{host}\r\n"));
    assert_eq!(refused.header("allow"), Some("GET, HEAD"));
    let large = format!(
        "GET /livez HTTP/1.1\r\n{host}X-Large: {}\r\n\r\n",
        "x".repeat(1 << 20)
    );
    assert!(
        [0, 400, 431].contains(&ask(address, &large).status),
        "it is refused or closed"
    );
    assert_eq!(get(address, "/livez").status, 200, "and that is all");
}

#[test]
fn every_answer_protects_who_looks_at_it() {
    let harness = Harness::start();
    let (_door, address) = door(&harness);
    for path in ["/metrics", "/status.json", "/nothing", "/", "/status.js"] {
        let answer = get(address, path);
        let policy = answer.header("content-security-policy").unwrap_or("");
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert_eq!(answer.header("connection"), Some("close"));
    }
    let head = ask(address, "HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert!(head.header("content-length").is_some_and(|own| own != "0"));
}

#[test]
fn those_who_say_nothing_keep_nobody_out_and_are_closed_in_time() {
    let harness = Harness::start();
    let (_door, address) = door(&harness);
    let mut silent: Vec<_> = (0..100).map(|_| connect(address)).collect();
    for half in &mut silent {
        // Many are closed already.
        let _ = half.write_all(b"GET /livez HTTP/1.1\r\nHo");
    }
    for _ in 0..20 {
        assert_eq!(get(address, "/livez").status, 200);
    }
    for half in &mut silent {
        // Those that had a place are told that it took too long, or nothing.
        assert!([0, 408].contains(&exchange(half, b"").status));
    }
}

#[test]
fn those_who_do_not_read_their_answers_keep_no_probe_out() {
    let harness = Harness::start();
    // More than the system keeps for them.
    let sources = Sources::new("1.2.3").config(|| "x".repeat(1 << 20));
    let (_door, address) = open_with(&harness, HttpConfig::new([any_port()]), sources);
    let mut idle: Vec<_> = (0..DESCRIPTORS).map(|_| connect(address)).collect();
    for stream in &mut idle {
        let request = b"GET /config.json HTTP/1.1\r\nHost: localhost\r\n\r\n";
        // The first of them are closed already.
        let _ = stream.write_all(request);
    }
    for stream in &mut idle {
        // The answer begins, or there is none.
        let _ = stream.read(&mut [0]);
    }
    for _ in 0..20 {
        assert_eq!(get(address, "/livez").status, 200);
    }
}

#[test]
fn a_unix_socket_is_one_more_way_in() {
    let harness = Harness::start();
    let name = format!("vestibule-http-door-{}.sock", std::process::id());
    let path = std::env::temp_dir().join(name);
    let config = HttpConfig::new([ListenAddress::Unix(path.clone())]);
    let door = serve(harness.handle(), config, Sources::new("1.2.3")).expect("it opens");
    assert_eq!(door.addresses(), [ListenAddress::Unix(path.clone())]);
    let mut stream = UnixStream::connect(&path).expect("it listens");
    // No name leads there: nobody is asked for one.
    let answer = exchange(
        &mut stream,
        b"GET /status.txt HTTP/1.1\r\nHost: anything\r\n\r\n",
    );
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("assist"), "{}", answer.body);
    door.stop();
    assert!(!path.exists());
}

#[test]
fn by_sockets_that_are_bound_already_it_listens_and_leaves_their_files() {
    let harness = Harness::start();
    let name = format!("vestibule-http-bound-{}.sock", std::process::id());
    let path = std::env::temp_dir().join(name);
    let own = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = own.local_addr().expect("it is bound");
    let config = HttpConfig::new([any_port()])
        .listener(HttpListener::Tcp(own))
        .listener(HttpListener::Unix(
            UnixListener::bind(&path).expect("the path is free"),
        ));
    let door = serve(harness.handle(), config, Sources::new("1.2.3")).expect("it opens");
    let bound = [address.into(), ListenAddress::Unix(path.clone())];
    assert_eq!(door.addresses()[1..], bound);
    assert_eq!(get(address, "/livez").status, 200);
    let mut stream = UnixStream::connect(&path).expect("it listens");
    let answer = exchange(&mut stream, b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(answer.status, 200);
    door.stop();
    std::fs::remove_file(&path).expect("it is somebody else's");
}

#[test]
fn a_door_that_cannot_open_says_why() {
    let harness = Harness::start();
    let (_door, address) = door(&harness);
    let config = HttpConfig::new([ListenAddress::Tcp(address)]);
    let taken = serve(harness.handle(), config, Sources::new("1.2.3"));
    let text = taken.expect_err("it is taken").to_string();
    assert!(text.contains(&address.to_string()), "{text}");
    let none = serve(harness.handle(), HttpConfig::new([]), Sources::new("1.2.3"));
    assert!(none.is_err());
}

#[test]
fn lists_are_bounded_and_the_program_tells_its_options() {
    let harness = Harness::start();
    let sources = Sources::new("1.2.3").config(|| [("listen", "127.0.0.1:3301")]);
    let (door, address) = open_with(&harness, HttpConfig::new([any_port()]), sources);
    let _peers: Vec<_> = (0..5).map(|_| harness.connect()).collect();
    let rows = |path: &str| get(address, path).body.matches("\"connection\":").count();
    harness.wait_until("all are there", || rows("/connections.json") == 5);
    assert_eq!(rows("/connections.json?limit=2"), 2);
    assert!(get(address, "/config.json").body.contains("127.0.0.1:3301"));
    assert!(
        get(address, "/transitions.json?limit=1")
            .body
            .contains("\"assist\"")
    );
    door.stop();
}
