//! A system that has no descriptor to give: connections wait, the server neither spins nor floods
//! its log, and it goes on as soon as there is one.

#![cfg(target_os = "linux")]

mod support;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use support::{Directory, PATIENCE, Server, command, wait_until};
use vestibule_actors::limits::WARNING_PERIOD;
use vestibule_actors::wire::greeting::GREETING_SIZE;

const WATCHED: Duration = Duration::from_secs(2);
/// In which /proc counts time.
const TICKS_PER_SECOND: u64 = 100;

/// Sets the limit of open files of a running server.
fn set_limit(server: &Server, descriptors: u64) {
    let pid = Pid::from_raw(server.pid().cast_signed()).expect("a process has a number");
    let limit = Rlimit {
        current: Some(descriptors),
        maximum: Some(1024),
    };
    prlimit(Some(pid), Resource::Nofile, limit).expect("the limit can be set");
}

/// The number that its next descriptor would have: the limit is one of numbers.
fn first_free(server: &Server) -> u64 {
    let entries = fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("it runs");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let taken: BTreeSet<u64> = names.filter_map(|name| name.parse().ok()).collect();
    (0..)
        .find(|number| !taken.contains(number))
        .expect("there are more numbers than descriptors")
}

/// Ticks of processor time that the server has used.
fn ticks(server: &Server) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", server.pid())).expect("it runs");
    let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
    let fields: Vec<_> = fields.split_whitespace().collect();
    let number = |at: usize| fields[at].parse::<u64>().expect("a number of ticks");
    number(11) + number(12)
}

#[test]
fn without_descriptors_accepting_waits_and_goes_on() {
    let directory = Directory::new();
    let log = directory.path().join("log");
    let mut command = command(directory.path());
    command.stderr(File::create(&log).expect("a file can be made"));
    let server = Server::spawn(command, "127.0.0.1:0", &[]);
    let mut peer = server.connect();
    peer.ping();
    let without = Instant::now();
    set_limit(&server, first_free(&server));

    let mut late = TcpStream::connect(server.address()).expect("the kernel takes it");
    wait_until("it is told in the log", || told(&log) == 1);
    let (began, before) = (Instant::now(), ticks(&server));
    wait_until("some time is over", || {
        peer.ping();
        began.elapsed() >= WATCHED
    });
    // To spin is to use a processor, or what a busy machine gives of it; the pings are few.
    let used = ticks(&server) - before;
    let whole = began.elapsed().as_millis() as u64 * TICKS_PER_SECOND / 1000;
    assert!(used < whole / 5, "{used} of {whole} ticks");
    let lines = told(&log);
    // On a busy machine, more than one interval may be over.
    let intervals = without.elapsed().as_millis() / WARNING_PERIOD.as_millis();
    assert!(lines <= 1 + intervals as usize, "{lines} lines");

    set_limit(&server, 1024);
    let mut greeting = [0; GREETING_SIZE];
    late.set_read_timeout(Some(PATIENCE))
        .expect("a timeout can be set");
    late.read_exact(&mut greeting)
        .expect("it is greeted in the end");
    server.connect().ping();
}

/// Lines in the log about connections that wait.
fn told(log: &std::path::Path) -> usize {
    let text = fs::read_to_string(log).expect("the log is there");
    text.lines()
        .filter(|line| line.contains("none can be accepted"))
        .count()
}
