//! `vestibule bench` against a real server: every mode gives its figures.

mod support;

use std::process::Command;

use support::{Directory, Server, wait_until};
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
    let doors = ["--max-connections", "1", "--admin-listen", "127.0.0.1:0"];
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
