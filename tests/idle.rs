//! What a connection costs that has nothing to say.

#![cfg(target_os = "linux")]

#[path = "../src/descriptors.rs"]
mod descriptors;
mod support;

use std::fs;

use support::{Directory, Server};
use vestibule_actors::testing::Peer;

/// Bytes of resident memory that an idle connection may cost.
const BYTES_MAX: usize = 4096;
/// So that the process's own ups and downs do not count.
const WARM_UP: usize = 200;
const CONNECTIONS: usize = 4000;

/// Resident memory of the server, in bytes.
fn resident(server: &Server) -> usize {
    let path = format!("/proc/{}/status", server.pid());
    let status = fs::read_to_string(path).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes: usize = kibibytes
        .and_then(|text| text.parse().ok())
        .expect("a number of kB");
    kibibytes << 10
}

#[test]
fn an_idle_connection_costs_little_also_after_it_has_asked_for_something() {
    let limit = descriptors::raise_limit();
    assert!(
        limit == 0 || limit > CONNECTIONS + 100,
        "ulimit -n: {limit}"
    );
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let warm: Vec<_> = (0..WARM_UP).map(|_| server.connect()).collect();
    let before = resident(&server);
    let mut idle: Vec<_> = (0..CONNECTIONS).map(|_| server.connect()).collect();
    let each = |now: usize| now.saturating_sub(before) / CONNECTIONS;
    let silent = each(resident(&server));
    assert!(silent <= BYTES_MAX, "{silent} bytes each");
    idle.iter_mut().for_each(Peer::ping);
    let later = each(resident(&server));
    assert!(later <= BYTES_MAX, "{later} bytes each after a ping");
    drop(warm);
}
