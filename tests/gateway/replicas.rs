//! SELECTs that a real replica answers, under load, as it lags, hangs, and comes back.

use std::ffi::OsStr;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use vestibule_actors::testing::{Peer, RequestBuilder};
use vestibule_actors::wire::keys::{self, RequestType};

use super::client::get;
use super::seen::{metric, upstream};
use super::support::tarantool::Tarantool;
use super::support::{Directory, Server, rows, tarantool, wait_until};
use super::{connect, eval, gateway_with, log_in, logged_gateway, start};

/// As the gateway is told.
const STALENESS_MAX: Duration = Duration::from_secs(1);

/// How long a client is idle now and then: several probes. One that asks again in the moment it is
/// answered stays at the upstream that takes changes.
const IDLE: Duration = Duration::from_secs(1);

/// The key of the row that is written again and again.
const KEY: u64 = 7;

pub(super) fn replica_of(program: &str, directory: &Directory, of: &Tarantool) -> Tarantool {
    let uri = format!("alice:secret@{}", of.address);
    let arguments = [
        directory.path().as_os_str(),
        "127.0.0.1:0".as_ref(),
        OsStr::new(&uri),
    ];
    Tarantool::start(program, "gateway/upstream.lua", &arguments)
}

/// Two instances in directories of their own, the second a replica of the first, and how a gateway
/// is told of both.
pub(super) fn replicated(program: &str) -> ([Directory; 2], [Tarantool; 2], String) {
    let directories = [Directory::new(), Directory::new()];
    let first = start(program, &directories[0]);
    let second = replica_of(program, &directories[1], &first);
    let upstreams = format!("a={},b={}", first.address, second.address);
    (directories, [first, second], upstreams)
}

fn write(peer: &mut Peer, space: u64, value: u64) {
    let tuple = [&[0x92, KEY as u8, 0xcf][..], &value.to_be_bytes()].concat();
    let request = RequestBuilder::new(RequestType::Replace, 1)
        .uint(keys::SPACE_ID, space)
        .pair(keys::TUPLE, &tuple);
    assert_eq!(peer.ask(&request).code, 0);
}

/// The value that was written last, as it is read.
fn read(peer: &mut Peer) -> u64 {
    rows(peer).first().map_or(0, |row| row.1)
}

/// How many SELECTs an instance has executed.
pub(super) fn selects(upstream: &Tarantool) -> u64 {
    let count = eval("return box.stat.SELECT.total");
    connect(upstream).ask(&count).value()
}

/// Waits until the replica answers SELECTs of a load that goes on.
fn wait_for_reads(replica: &Tarantool) {
    let before = selects(replica);
    wait_until("the replica answers", || selects(replica) > before + 20);
}

/// One that writes and reads, and one that reads alone, both over and over.
struct Load {
    is_over: Arc<AtomicBool>,
    /// The last value that was acknowledged.
    written: Arc<AtomicU64>,
    both: [thread::JoinHandle<()>; 2],
}

impl Load {
    fn begin(server: &Server) -> Self {
        let (is_over, written) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let acknowledged = Arc::new(Mutex::new(Vec::<(Instant, u64)>::new()));
        let mut writer = log_in(server.connect());
        let (over, count, times) = (is_over.clone(), written.clone(), acknowledged.clone());
        let writer = thread::spawn(move || {
            let mut value = 0;
            while !over.load(Ordering::SeqCst) {
                value += 1;
                write(&mut writer, 512, value);
                times.lock().unwrap().push((Instant::now(), value));
                count.store(value, Ordering::SeqCst);
                let mut read_own = || {
                    (0..100).for_each(|_| assert_eq!(read(&mut writer), value, "it is its own"));
                };
                read_own();
                if value % 4 == 0 {
                    thread::park_timeout(IDLE);
                    // These the replica may answer.
                    read_own();
                }
            }
        });
        let mut reader = log_in(server.connect());
        let over = is_over.clone();
        let reader = thread::spawn(move || {
            let mut last = 0;
            let mut until = Instant::now();
            while !over.load(Ordering::SeqCst) {
                if Instant::now() > until {
                    thread::park_timeout(IDLE);
                    until = Instant::now() + IDLE;
                }
                let oldest = Instant::now().checked_sub(STALENESS_MAX).unwrap();
                let value = read(&mut reader);
                assert!(value >= last, "it goes back from {last} to {value}");
                last = value;
                let all = acknowledged.lock().unwrap();
                let older = all.iter().rev().find(|(at, _)| *at < oldest);
                let needed = older.map_or(0, |(_, value)| *value);
                assert!(
                    value >= needed,
                    "{value} is older than {needed}, which may be missed"
                );
            }
        });
        Self {
            is_over,
            written,
            both: [writer, reader],
        }
    }

    /// Waits until so much more is written.
    fn go_on(&self, count: u64) {
        let until = self.written.load(Ordering::SeqCst) + count;
        wait_until("more is written", || {
            let is_over = self.both.iter().any(thread::JoinHandle::is_finished);
            is_over || self.written.load(Ordering::SeqCst) >= until
        });
    }

    fn end(self) {
        self.is_over.store(true, Ordering::SeqCst);
        for own in self.both {
            own.thread().unpark();
            own.join().unwrap();
        }
    }
}

/// R-8, GW-14: whatever the replica does, a connection reads what it has written, never goes back,
/// and misses nothing for longer than it may.
#[test]
fn with_a_replica_that_answers_nothing_is_missed_that_may_not_be() {
    let Some(program) = tarantool() else { return };
    let (directories, [first, second], upstreams) = replicated(&program);
    let options = ["--upstream", &upstreams, "--staleness-max", "1s"];
    let server = gateway_with(&directories[0], &options);
    // What a replica does not have is not read there.
    let mut local = log_in(server.connect());
    write(&mut local, 513, 1);
    let load = Load::begin(&server);
    wait_for_reads(&second);
    let mut operator = connect(&second);
    for _ in 0..2 {
        // It lags.
        assert_eq!(operator.ask(&eval("box.cfg{replication = {}}")).code, 0);
        load.go_on(8);
        let follow = format!("box.cfg{{replication = 'alice:secret@{}'}}", first.address);
        assert_eq!(operator.ask(&eval(&follow)).code, 0);
        wait_for_reads(&second);
        // It hangs.
        second.process.signal("STOP");
        load.go_on(8);
        second.process.signal("CONT");
        wait_for_reads(&second);
        let own = RequestBuilder::new(RequestType::Select, 1)
            .uint(keys::SPACE_ID, 513)
            .uint(keys::LIMIT, 1)
            .pair(keys::KEY, &[0x91, KEY as u8]);
        let own: Vec<(u64, u64)> = local.ask(&own).data();
        assert_eq!(own, [(KEY, 1)]);
    }
    load.end();
}

/// The log tells of a replica that is not read when that has lasted, once.
#[test]
fn a_replica_without_the_definitions_of_its_master_is_told_to_operators() {
    let Some(program) = tarantool() else { return };
    let (directories, [first, second], upstreams) = replicated(&program);
    let log = directories[0].path().join("log");
    let options = ["--upstream", &upstreams, "--staleness-max", "1s"];
    let options = [&options[..], &["--http-listen", "127.0.0.1:0"]].concat();
    let server = logged_gateway(&directories[0], &options, &log);
    let mut peer = log_in(server.connect());
    write(&mut peer, 512, 1);
    wait_until("nothing is in the way", || {
        upstream(&server, "b")["unread"].is_null() && read_at(&mut peer, &second)
    });
    let mut operator = connect(&second);
    assert_eq!(operator.ask(&eval("box.cfg{replication = {}}")).code, 0);
    let define = eval("box.schema.space.create('more', {id = 600}):create_index('primary')");
    assert_eq!(connect(&first).ask(&define).code, 0);
    let why = "its spaces and indexes are not those of a";
    let line = format!("upstream b answers no SELECTs as a replica: {why}");
    let lines = || {
        let told = fs::read_to_string(&log).expect("it is there");
        told.lines().filter(|own| own.contains(&line)).count()
    };
    wait_until("it is in the log", || lines() == 1);
    assert_eq!(upstream(&server, "b")["unread"], why);
    assert!(upstream(&server, "a")["unread"].is_null());
    let text = get(server.http_address(), "/status.txt").body;
    let shown = format!("answers no SELECTs as a replica: {why}");
    assert!(text.contains(&shown), "{text}");
    let follow = format!("box.cfg{{replication = 'alice:secret@{}'}}", first.address);
    assert_eq!(operator.ask(&eval(&follow)).code, 0);
    wait_until("it is over", || upstream(&server, "b")["unread"].is_null());
    wait_until("it answers again", || read_at(&mut peer, &second));
    assert_eq!(lines(), 1);
}

/// How far a replica is behind is known without reads from it.
#[test]
fn how_far_a_replica_is_behind_is_told_to_operators() {
    let Some(program) = tarantool() else { return };
    let (directories, [first, second], upstreams) = replicated(&program);
    let options = ["--upstream", &upstreams, "--http-listen", "127.0.0.1:0"];
    let server = gateway_with(&directories[0], &options);
    let shown = |name| upstream(&server, name)["lag"].as_f64();
    let told = |name: &str| {
        let labels = format!("{{upstream=\"{name}\"}}");
        metric(server.http_address(), "upstream_lag_seconds", &labels)
    };
    wait_until("it has all", || shown("b") == Some(0.0));
    assert_eq!((shown("a"), told("a"), told("b")), (None, None, Some(0.0)));
    let mut operator = connect(&second);
    assert_eq!(operator.ask(&eval("box.cfg{replication = {}}")).code, 0);
    write(&mut connect(&first), 512, 1);
    wait_until("it lags", || {
        shown("b") > Some(1.0) && told("b") > Some(1.0)
    });
    let follow = format!("box.cfg{{replication = 'alice:secret@{}'}}", first.address);
    assert_eq!(operator.ask(&eval(&follow)).code, 0);
    wait_until("it has all again", || shown("b") == Some(0.0));
    drop(second);
    wait_until("nothing is known of it", || shown("b").is_none());
}

/// Reads through the gateway, after a moment in which all is known of what was answered last:
/// whether this one has answered.
fn read_at(peer: &mut Peer, replica: &Tarantool) -> bool {
    thread::park_timeout(IDLE);
    let before = selects(replica);
    (0..20).for_each(|_| assert_eq!(read(peer), 1));
    selects(replica) >= before + 20
}

/// Instances that are not of one replica set do not answer for each other, whatever they have.
#[test]
fn an_instance_of_another_replica_set_answers_nothing() {
    let Some(program) = tarantool() else { return };
    let directories = [Directory::new(), Directory::new()];
    let [first, second] = [0, 1].map(|at| start(&program, &directories[at]));
    // It has more changes, by the numbers.
    (0..100).for_each(|value| write(&mut connect(&second), 512, value));
    super::set_read_only(&second, true);
    let upstreams = format!("a={},b={}", first.address, second.address);
    let options = ["--upstream", &upstreams, "--staleness-max", "1s"];
    let server = gateway_with(&directories[0], &options);
    let mut peer = log_in(server.connect());
    write(&mut peer, 512, 1000);
    let before = selects(&second);
    let until = Instant::now() + 2 * STALENESS_MAX;
    while Instant::now() < until {
        assert_eq!(read(&mut peer), 1000);
    }
    // What its scout asks for is a few pages.
    assert!(selects(&second) < before + 20);
}
