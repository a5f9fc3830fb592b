//! What clients see while the engine is busy: a server in this process, its Tx blocked for 10 s,
//! and everything that goes on meanwhile, with times.
//!
//! Run it: `cargo run --release --example busy` (`-- --seconds 30` blocks longer)
//!
//! ```text
//!   blocker ─▶ CALL vestibule.debug.block ─▶ Tx stands still
//!   visitor ─▶ greeting, ping, login, schema, a write (busy), a read (answered)
//!   storm   ─▶ 12 clients that connect, ping, write, leave; again every 100 ms
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use clap::Parser;
use serde::Serialize;
use serde::de::IgnoredAny;
use vestibule_actors::serving::State;
use vestibule_actors::testing::{Peer, RequestBuilder};
use vestibule_actors::wire::keys::{self, RequestType};
use vestibule_actors::{Config, RuntimeHandle, StopReport, start};
use vestibule_engine::procedures;
use vestibule_engine::{EmbeddedEngine, EngineOptions};

const ROWS: u64 = 1000;
const CLIENTS: usize = 12;
const PERIOD: Duration = Duration::from_millis(100);
const REASON: &str = "rebuilding something large";

/// Blocks the engine of a server and shows what its clients see.
#[derive(Debug, Parser)]
struct Args {
    /// How long Tx is blocked, in seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(3..=3600))]
    seconds: u64,
}

fn main() {
    let args = Args::parse();
    let clock = Clock(Instant::now());
    let data = TemporaryDirectory::new();
    let (server, thread) = start_server(&data);
    let address = server.addresses()[0];
    clock.say(&format!("a server listens on {address}"));
    prepare(address);
    clock.say(&format!("{ROWS} rows are written"));

    let mut blocker = block(address, args.seconds);
    wait_until(|| server.serving().state == State::Solo);
    clock.say(&format!("Tx is blocked for {} s", args.seconds));
    // So that there is some progress to be told.
    pause(Duration::from_millis(500));
    visit(&clock, address);
    let storm = Storm::default();
    storm.rage(&clock, &server);

    assert_eq!(blocker.receive().code, 0, "the block has ended");
    clock.say("Tx is back");
    let (took, reply) = timed(|| Peer::connect(address).ask(&RequestBuilder::replace(1, ROWS)));
    assert_eq!(reply.code, 0, "a write succeeds");
    clock.say(&format!("a new connection writes a row: {took} µs"));
    server.begin_drain(None, "the demonstration is over");
    let report = thread.join().expect("the server's thread does not panic");
    clock.say(&format!("the server has stopped in {:?}", report.took));
    storm.summarize(args.seconds);
}

/// Says what happens, and when.
struct Clock(Instant);

impl Clock {
    fn say(&self, text: &str) {
        println!("[{:7.3} s] {text}", self.0.elapsed().as_secs_f64());
    }
}

/// Runs something and tells how many microseconds it took.
fn timed<T>(work: impl FnOnce() -> T) -> (u128, T) {
    let began = Instant::now();
    let value = work();
    (began.elapsed().as_micros(), value)
}

/// Waits for what no message tells.
fn wait_until(until: impl Fn() -> bool) {
    while !until() {
        pause(Duration::from_millis(1));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "on the demonstration's own threads, where no actor lives"
)]
fn pause(time: Duration) {
    thread::sleep(time);
}

/// A directory that is gone at the end.
struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    fn new() -> Self {
        let name = format!("vestibule-busy-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Starts a server on a thread of its own, on a loopback port that the system picks.
fn start_server(
    data: &TemporaryDirectory,
) -> (RuntimeHandle<EmbeddedEngine>, JoinHandle<StopReport>) {
    let options = EngineOptions::new(&data.0);
    let (told, handle) = mpsc::channel();
    let thread = thread::spawn(move || {
        actix_rt::System::new().block_on(async move {
            let engine = EmbeddedEngine::factory(options);
            let procedures = procedures::with_debug(procedures::standard());
            let runtime =
                start(Config::default(), engine, procedures).expect("a loopback port is free");
            told.send(runtime.clone()).expect("main waits for it");
            runtime.stopped().await
        })
    });
    let server: RuntimeHandle<_> = handle.recv().expect("the server starts");
    wait_until(|| server.serving().state != State::Loading);
    (server, thread)
}

/// CALL with its arguments as a tuple; anything but success ends the demonstration.
fn call(peer: &mut Peer, name: &str, args: &impl Serialize) {
    let args = rmp_serde::to_vec_named(args).expect("the arguments are plain values");
    let reply = peer.call(name, &args);
    assert_eq!(reply.code, 0, "{name}: {:?}", reply.error_text());
}

/// Makes a space (it gets number 512, the first of a user's), rows in it, and a user to log in as.
fn prepare(address: SocketAddr) {
    let mut peer = Peer::connect(address);
    call(&mut peer, "box.schema.space.create", &("rows",));
    call(&mut peer, "box.space.rows:create_index", &("primary",));
    let password = BTreeMap::from([("password", "secret")]);
    call(&mut peer, "box.schema.user.create", &("alice", password));
    let rights = ("alice", "read,write", "space", "rows");
    call(&mut peer, "box.schema.user.grant", &rights);
    let requests = (0..ROWS).flat_map(|key| RequestBuilder::replace(key, key).bytes());
    peer.send_bytes(&requests.collect::<Vec<u8>>());
    for _ in 0..ROWS {
        assert_eq!(peer.receive().code, 0, "a row is written");
    }
}

/// Makes Tx stand still. Its reply comes when it goes on.
fn block(address: SocketAddr, seconds: u64) -> Peer {
    let mut peer = Peer::connect(address);
    let args = rmp_serde::to_vec(&(seconds, REASON)).expect("the arguments are plain values");
    peer.send(&RequestBuilder::call(1, "vestibule.debug.block", &args));
    peer
}

/// Everything that a new connection can do while Tx stands still.
fn visit(clock: &Clock, address: SocketAddr) {
    let (took, mut peer) = timed(|| Peer::connect(address));
    clock.say(&format!("  connected and greeted: {took} µs"));
    let (took, ()) = timed(|| peer.ping());
    clock.say(&format!("  ping: {took} µs"));
    let (took, reply) = timed(|| peer.log_in("alice", "secret"));
    assert_eq!(reply.code, 0, "the login succeeds");
    clock.say(&format!("  logged in: {took} µs"));
    for (name, space) in [("_vspace", 281), ("_vindex", 289)] {
        let all = RequestBuilder::new(RequestType::Select, 3)
            .uint(keys::SPACE_ID, space)
            .uint(keys::LIMIT, u64::from(u32::MAX))
            .pair(keys::KEY, &[0x90]);
        let (took, reply) = timed(|| peer.ask(&all));
        let rows: Vec<IgnoredAny> = reply.data();
        clock.say(&format!(
            "  schema, {} rows of {name}: {took} µs",
            rows.len()
        ));
    }
    let (took, reply) = timed(|| peer.ask(&RequestBuilder::replace(4, 1)));
    let error = reply.error().expect("the write is refused");
    let (code, text) = (error.code().0, error.message());
    clock.say(&format!("  a write: {took} µs, error {code}: {text}"));
    for (name, value) in error.fields() {
        println!("{:14}{name} = {value}", "");
    }
    let (took, reply) = timed(|| peer.ask(&RequestBuilder::select(5, 42)));
    let rows: Vec<(u64, u64)> = reply.data();
    clock.say(&format!("  SELECT by key: {took} µs, {rows:?}"));
}

/// Clients that reconnect again and again, and what became of them.
#[derive(Default)]
struct Storm {
    greeted: AtomicU64,
    answered: AtomicU64,
    slowest_greeting: AtomicU64,
    descriptors_max: AtomicU64,
    is_over: AtomicBool,
}

impl Storm {
    /// Until Tx is back; says how it goes once a second.
    fn rage(&self, clock: &Clock, server: &RuntimeHandle<EmbeddedEngine>) {
        let address = server.addresses()[0];
        clock.say(&format!(
            "{CLIENTS} clients connect, ping, write and leave, again every {} ms; {} descriptors \
             are open (both ends of every connection are here)",
            PERIOD.as_millis(),
            open_descriptors()
        ));
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| self.reconnect(address));
            }
            let mut next = Instant::now();
            while server.serving().state == State::Solo {
                if Instant::now() >= next {
                    next += Duration::from_secs(1);
                    self.tell(clock, server);
                }
                pause(Duration::from_millis(5));
            }
            self.is_over.store(true, Relaxed);
        });
        self.tell(clock, server);
    }

    fn reconnect(&self, address: SocketAddr) {
        while !self.is_over.load(Relaxed) {
            let (took, mut peer) = timed(|| Peer::connect(address));
            self.greeted.fetch_add(1, Relaxed);
            self.slowest_greeting.fetch_max(took as u64, Relaxed);
            peer.ping();
            // Busy, or written if Tx is just back: an answer either way.
            let _ = peer.ask(&RequestBuilder::replace(2, 2));
            self.answered.fetch_add(1, Relaxed);
            drop(peer);
            pause(PERIOD);
        }
    }

    fn tell(&self, clock: &Clock, server: &RuntimeHandle<EmbeddedEngine>) {
        let descriptors = open_descriptors();
        self.descriptors_max.fetch_max(descriptors, Relaxed);
        let status = server.status();
        let share = status.progress;
        let done = share.map_or(String::new(), |share| format!(" ({:.0} %)", share * 100.0));
        clock.say(&format!(
            "  {}{done}: {} greeted, {} answered, {descriptors} descriptors open",
            status.state,
            self.greeted.load(Relaxed),
            self.answered.load(Relaxed),
        ));
    }

    fn summarize(&self, seconds: u64) {
        println!(
            "\nTx was blocked for {seconds} s. Meanwhile {} connections came, {} were answered;\n\
             the slowest greeting took {} µs; at most {} descriptors were open.",
            self.greeted.load(Relaxed),
            self.answered.load(Relaxed),
            self.slowest_greeting.load(Relaxed),
            self.descriptors_max.load(Relaxed),
        );
    }
}

/// How many descriptors this process has open; 0 where the system does not tell.
fn open_descriptors() -> u64 {
    // One of them is the directory that is being read.
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1) as u64)
}
