//! `vestibule bench` against a real server: every mode gives its figures.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use support::{Directory, Server, pem, secret, tls_files, wait_until};
use vestibule_actors::testing::Peer;

/// Runs a mode and gives its one line of JSON.
fn bench(server: &Server, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_vestibule"))
        .args(["bench", "--json", "--addr", &server.address().to_string()])
        .args(["--pid", &server.pid().to_string()])
        .args(arguments)
        .output()
        .expect("the binary starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("JSON is text")
}

/// A number in a flat JSON object.
fn figure(json: &str, name: &str) -> f64 {
    let (_, rest) = json
        .split_once(&format!("\"{name}\":"))
        .unwrap_or_else(|| panic!("no {name} in {json}"));
    let end = rest.find([',', '}']).expect("the object has an end");
    rest[..end].parse().expect("the figure is a number")
}

#[test]
fn every_mode_of_the_door_gives_its_figures() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let accept = bench(&server, &["--mode", "accept", "--connections", "200"]);
    assert!(figure(&accept, "last_greeting_ms") > 0.0);
    let idle = bench(&server, &["--mode", "idle", "--connections", "200"]);
    assert!(figure(&idle, "resident_before_bytes") > 0.0);
    assert!(figure(&idle, "pinged_bytes_each") >= 0.0);
    let short = ["--connections", "50", "--seconds", "0.2"];
    let broadcast = bench(&server, &[&["--mode", "broadcast"][..], &short].concat());
    assert!(figure(&broadcast, "changes") >= 2.0);
    assert!(figure(&broadcast, "event_p50_ms") <= figure(&broadcast, "last_event_ms"));
    assert!(figure(&broadcast, "reached_ms") <= figure(&broadcast, "reached_max_ms"));
    let patient = [
        "--period",
        "0.02",
        "--patience",
        "20",
        "--block",
        "vestibule.debug.block",
    ];
    let storm = [&["--mode", "storm"][..], &short, &patient].concat();
    let storm = bench(&server, &storm);
    assert!(figure(&storm, "visits") >= 50.0);
    assert_eq!(figure(&storm, "answered"), figure(&storm, "visits"));
}

#[test]
fn visitors_that_are_turned_away_are_not_counted_as_answered() {
    let directory = Directory::new();
    let doors = ["--connections-max", "1", "--admin-listen", "127.0.0.1:0"];
    let server = Server::start(directory.path(), &doors);
    // The connection that looked whether it serves has its slot no longer.
    let mut operator = Peer::connect(server.admin_address());
    wait_until("no client is left", || {
        let shown = operator.show("descriptors");
        shown.error_mentions("taken\0")
    });
    let mut guest = server.connect();
    guest.ping();
    let storm = ["--mode", "storm", "--connections", "4", "--seconds", "0.2"];
    let storm = bench(&server, &[&storm[..], &["--patience", "20"]].concat());
    assert_eq!(figure(&storm, "answered"), 0.0);
    assert!(figure(&storm, "greeted") > 0.0);
    assert_eq!(figure(&storm, "refused"), figure(&storm, "greeted"));
}

/// What every run tells.
const OF_ALL: [&str; 6] = ["rate", "p50_us", "p99_us", "p999_us", "max_us", "errors"];

#[test]
fn every_mode_tells_rate_latency_and_errors_by_the_same_names() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let short = [
        "--seconds",
        "0.2",
        "--warmup-seconds",
        "0.1",
        "--keys",
        "100",
    ];
    let runs: [(&str, &[&str]); 13] = [
        ("ping", &["--op", "ping"]),
        ("select", &["--op", "select", "--depth", "4"]),
        ("replace", &["--op", "replace", "--depth", "4"]),
        ("update", &["--op", "update", "--depth", "4"]),
        ("upsert", &["--op", "upsert", "--depth", "4"]),
        ("range", &["--op", "range", "--depth", "4"]),
        ("mixed", &["--op", "mixed", "--depth", "4"]),
        ("replace-second", &["--op", "replace-second"]),
        ("select-second", &["--op", "select-second"]),
        ("accept", &["--mode", "accept"]),
        ("idle", &["--mode", "idle"]),
        ("broadcast", &["--mode", "broadcast"]),
        ("transitions", &["--mode", "transitions", "--count", "3"]),
    ];
    for (op, arguments) in runs {
        let json = bench(&server, &[arguments, &short].concat());
        assert!(json.starts_with(&format!("{{\"op\":\"{op}\",")), "{json}");
        assert_eq!(json.matches('\n').count(), 1, "{json}");
        let [rate, p50, p99, p999, max, errors] = OF_ALL.map(|name| figure(&json, name));
        assert!(rate > 0.0 && p50 > 0.0, "{json}");
        assert!(p50 <= p99 && p99 <= p999 && p999 <= max, "{json}");
        assert_eq!(errors, 0.0, "{json}");
    }
}

#[test]
fn bulk_moves_values_in_both_directions_whole_and_in_chunks() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let fixed = [
        "--op", "bulk", "--size", "3000000", "--depth", "2", "--beside", "ping",
    ];
    let short = ["--seconds", "0.5", "--warmup-seconds", "0"];
    for direction in ["down", "up", "both"] {
        for chunks in ["on", "off"] {
            let own = [
                "--direction",
                direction,
                "--chunks",
                chunks,
                "--groups",
                "2",
            ];
            let json = bench(&server, &[&fixed[..], &short, &own].concat());
            let (of_bulk, beside) = json.split_once("\"beside\":").expect("it is told");
            let has_chunks = chunks == "on";
            assert!(json.contains(&format!("\"chunks\":{has_chunks}")), "{json}");
            for part in [of_bulk, beside] {
                assert!(OF_ALL.iter().all(|name| figure(part, name) >= 0.0));
                assert_eq!(figure(part, "errors"), 0.0, "{json}");
            }
            assert!(figure(beside, "rate") > 0.0, "{json}");
            let moved = ["down_bytes_per_second", "up_bytes_per_second"];
            let [down, up] = moved.map(|name| figure(&json, name) > 0.0);
            assert_eq!(
                (down, up),
                (direction != "up", direction != "down"),
                "{json}"
            );
            assert!(figure(&json, "server_cpu_us_per_mb") > 0.0, "{json}");
        }
    }
    // Nothing is left behind.
    let mut client = server.connect();
    let gone = client.call("box.space.bench_bulk:len", &[0x90]);
    assert_eq!(gone.error_code(), Some(33));
}

#[test]
fn beside_bulk_small_requests_have_a_stream_of_their_own() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let fixed = ["--op", "bulk", "--size", "1000", "--seconds", "0.3"];
    for beside in ["select", "replace"] {
        let own = ["--beside", beside, "--beside-every", "0.005"];
        let json = bench(&server, &[&fixed[..], &own].concat());
        assert!(
            json.contains(&format!("\"beside\":{{\"op\":\"{beside}\"")),
            "{json}"
        );
        assert_eq!(figure(&json, "errors"), 0.0, "{json}");
        assert!(figure(&json, "answered") > 0.0, "{json}");
    }
}

#[test]
fn a_mode_that_lacks_something_says_what() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let output = Command::new(env!("CARGO_BIN_EXE_vestibule"))
        .args(["bench", "--mode", "idle"])
        .args(["--addr", &server.address().to_string()])
        .output()
        .expect("the binary starts");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--pid"));
}

#[test]
fn the_password_of_a_generator_comes_from_a_file() {
    let directory = Directory::new();
    let file = secret(directory.path(), "right");
    let named = file.to_str().expect("the path is text");
    let admin = ["--guest", "none", "--admin-password-file", named];
    let server = Server::start(directory.path(), &admin);
    let load = ["--op", "replace", "--keys", "10", "--user", "admin"];
    let run = |file: &str| {
        let address = server.address().to_string();
        Command::new(env!("CARGO_BIN_EXE_vestibule"))
            .args(["bench", "--addr", &address, "--seconds", "0.2"])
            .args(load)
            .args(["--password-file", file])
            .output()
            .expect("the binary starts")
    };
    let output = run(named);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let others = directory.path().join("others");
    let wrong = secret(directory.path(), "wrong");
    fs::copy(&wrong, &others).expect("a file can be copied");
    fs::set_permissions(&others, fs::Permissions::from_mode(0o604)).expect("it is ours");
    for (file, expected) in [(wrong, "47"), (others, "others may use it (mode 604)")] {
        let output = run(file.to_str().expect("the path is text"));
        assert!(!output.status.success());
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(expected), "{told}");
        assert!(!told.contains("planted-"), "{told}");
    }
}

/// Runs a measurement against an address, with what else has to be told.
fn bench_at(address: &str, more: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_vestibule"))
        .args([
            "bench",
            "--json",
            "--seconds",
            "0.3",
            "--warmup-seconds",
            "0",
            "--keys",
            "100",
        ])
        .args(["--addr", address])
        .args(more)
        .output()
        .expect("the binary starts");
    let told = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&told).into_owned(),
    )
}

#[test]
fn requests_are_measured_by_every_transport_and_it_is_told_by_which() {
    let directory = Directory::new();
    let [certificate, key] = tls_files(directory.path()).map(|own| own.display().to_string());
    let socket = format!("unix:{}", directory.path().join("own.sock").display());
    let tls = ["--tls-certificate", &certificate, "--tls-key", &key];
    let listen = ["--tls-listen", "127.0.0.1:0", "--listen", &socket];
    let server = Server::start(directory.path(), &[&listen[..], &tls].concat());
    let authority = pem("ca.pem").display().to_string();
    let tcp = server.address().to_string();
    let over_tls = server.tls_address().to_string();
    let trusting = ["--tls-ca", &*authority];
    for (address, more, transport) in [
        (&*tcp, &[][..], "tcp"),
        (&socket, &[], "unix"),
        (&over_tls, &trusting, "tls"),
    ] {
        for op in ["ping", "replace", "range"] {
            // Deep enough that neither side takes at once what the other one sends.
            let own = ["--op", op, "--connections", "3", "--depth", "3000"];
            let (is_well, told) = bench_at(address, &[&own[..], more].concat());
            assert!(is_well, "{told}");
            assert!(
                told.contains(&format!("\"transport\":\"{transport}\"")),
                "{told}"
            );
            assert!(figure(&told, "answered") > 0.0, "{told}");
            assert_eq!(figure(&told, "errors"), 0.0, "{told}");
        }
        let storm = ["--mode", "storm", "--connections", "4", "--patience", "20"];
        let (is_well, told) = bench_at(address, &[&storm[..], more].concat());
        assert!(is_well, "{told}");
        assert!(figure(&told, "answered") > 0.0, "{told}");
    }
    for (address, more, expected) in [
        (
            &*socket,
            &["--op", "bulk"][..],
            "--op bulk goes over plain TCP alone",
        ),
        (
            &socket,
            &["--mode", "accept"],
            "--mode accept goes over plain TCP alone",
        ),
        (&socket, &trusting, "TLS is for addresses of the network"),
        (
            &over_tls,
            &["--tls-ca", "/nowhere/ca.pem"],
            "/nowhere/ca.pem: No such file",
        ),
        (&over_tls, &["--tls-ca", &certificate], "certificate"),
    ] {
        let (is_well, told) = bench_at(address, more);
        assert!(!is_well && told.contains(expected), "{told}");
    }
}
