//! The examples, run as their heads say, with what they print.

#[path = "../examples/own_engine.rs"]
#[allow(dead_code, reason = "its main is that of the example")]
mod own_engine;
mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{ChildStdout, Command, Stdio};

use support::{Directory, Process, example, make_space, tarantool, wait_until};
use vestibule_actors::testing::{Peer, RequestBuilder, check_engine};
use vestibule_actors::wire::keys::{self, RequestType};

/// An example that runs.
struct Example {
    process: Process,
    output: BufReader<ChildStdout>,
}

impl Example {
    fn start(name: &str, directory: &Directory, arguments: &[&str]) -> Self {
        let mut child = Command::new(example("vestibule", "examples", name))
            .args(arguments)
            .current_dir(directory.path())
            .env("TMPDIR", directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example starts");
        let output = BufReader::new(child.stdout.take().expect("the output is piped"));
        let process = Process(child);
        Self { process, output }
    }

    /// A connection to the address between brackets in its next line, once the engine is ready.
    fn connect(&mut self) -> Peer {
        self.connect_many(1).remove(0)
    }

    /// The same for as many connections.
    fn connect_many(&mut self, count: usize) -> Vec<Peer> {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it says something");
        let (_, rest) = line.split_once('[').unwrap_or_default();
        let (address, _) = rest.split_once(']').unwrap_or_default();
        let address: Result<SocketAddr, _> = address.parse();
        let address = address.unwrap_or_else(|_| panic!("no address in the line: {line:?}"));
        let mut peer = Peer::connect(address);
        wait_until("the engine is ready", || {
            let state = peer.call("vestibule.state", &[0x90]);
            state.error_mentions("assist")
        });
        let others = (1..count).map(|_| Peer::connect(address));
        std::iter::once(peer).chain(others).collect()
    }

    /// Waits for its end, which has to be a success, and returns what else it printed.
    fn finish(mut self) -> String {
        let mut text = String::new();
        self.output
            .read_to_string(&mut text)
            .expect("the output is text");
        let status = self.process.wait();
        assert!(status.success(), "{status}: {text}");
        text
    }
}

/// Whether the output has these texts, in this order.
fn assert_in_order(output: &str, texts: &[&str]) {
    let mut rest = output;
    for text in texts {
        let found = rest.find(text);
        let at = found.unwrap_or_else(|| panic!("{text:?} is not in its place in:\n{output}"));
        rest = &rest[at + text.len()..];
    }
}

/// actix-web is no dependency here, so that what the documentation shows of it is no doc test.
#[test]
fn the_front_page_shows_the_example_of_actix_web_as_it_is() {
    let page = include_str!("../actors/src/lib.rs");
    let (_, section) = page.split_once("//! # With actix-web").expect("it has one");
    let (_, shown) = section.split_once("//! ```text\n").expect("with a program");
    let (shown, _) = shown.split_once("//! ```").expect("and its end");
    let shown = shown
        .lines()
        .map(|line| line.trim_start_matches("//!").trim());
    let shown: Vec<_> = shown.filter(|line| !line.is_empty()).collect();
    let example = include_str!("../examples/actix-web/src/main.rs");
    assert!(shown.len() > 20);
    assert_in_order(example, &shown);
}

#[test]
fn busy_shows_what_clients_see_while_the_engine_is_busy() {
    let directory = Directory::new();
    let output = Example::start("busy", &directory, &["--seconds", "3"]).finish();
    assert_in_order(
        &output,
        &[
            "a server listens on 127.0.0.1:",
            "1000 rows are written",
            "Tx is blocked for 3 s",
            "connected and greeted",
            "ping",
            "logged in",
            "rows of _vspace",
            "rows of _vindex",
            "a write",
            "error 116: Tx is busy: rebuilding something large",
            "state = solo",
            "SELECT by key",
            "[(42, 42)]",
            "12 clients connect, ping, write and leave",
            "solo",
            "Tx is back",
            "a new connection writes a row",
            "the server has stopped in",
            "Tx was blocked for 3 s",
        ],
    );
}

#[test]
fn embed_serves_an_engine_of_its_own() {
    let directory = Directory::new();
    let mut example = Example::start("embed", &directory, &["127.0.0.1:0"]);
    let mut peer = example.connect();
    let mut call = |name, args: &[u8]| peer.call(name, args).data::<(u64,)>().0;
    assert_eq!(call("visits", b"\x91\xa3you"), 1);
    assert_eq!(call("visits", b"\x91\xa3you"), 2);
    assert_eq!(call("visits", b"\x91\xa2me"), 1);
    assert_eq!(call("sum", b"\x92\x02\x03"), 5);
    // 0.25 seconds.
    assert_eq!(call("slowly", b"\x91\xca\x3e\x80\x00\x00"), 2);
    let refused = peer.ask(&RequestBuilder::replace(1, 1));
    assert!(refused.error_mentions("This engine does not support writing to spaces"));
    // A replica counts nobody, and answers what only reads.
    assert_eq!(peer.call("vestibule.demote", &[0x90]).code, 0);
    let refused = peer.call("visits", b"\x91\xa3you");
    assert_eq!(refused.error_code(), Some(7), "{refused:?}");
    let told = peer.call("slowly", b"\x91\x00").data::<(u64,)>();
    assert_eq!(told, (2,));
    example.process.signal("INT");
    assert_in_order(&example.finish(), &["stopped after"]);
}

#[test]
fn expiry_forgets_what_is_over_and_counts_it_no_more() {
    let directory = Directory::new();
    let mut example = Example::start("expiry", &directory, &["127.0.0.1:0"]);
    let mut peer = example.connect();
    // For an hour, and for no time.
    assert!(peer.call("put", b"\x93\xa1a\xa1b\xcd\x0e\x10").code == 0);
    assert!(peer.call("put", b"\x93\xa1c\xa1d\x00").code == 0);
    // For longer than there are instants: that is refused, and no panic of Tx.
    let refused = peer.call_with("put", &("e", "f", 1e19));
    assert_eq!(refused.error_code(), Some(1), "{refused:?}");
    let mut get = |key: &[u8]| peer.call("get", key).data::<(Option<String>,)>().0;
    assert_eq!(get(b"\x91\xa1a").as_deref(), Some("b"));
    assert_eq!(get(b"\x91\xa1c"), None);
    wait_until("it is forgotten", || {
        peer.call("count", &[0x90]).data::<(u64,)>().0 == 1
    });
    // A replica puts nothing, and gets what is there.
    assert_eq!(peer.call("vestibule.demote", &[0x90]).code, 0);
    let refused = peer.call("put", b"\x93\xa1e\xa1f\xcd\x0e\x10");
    assert_eq!(refused.error_code(), Some(7), "{refused:?}");
    assert_eq!(peer.call_with("get", &("a",)).value::<String>(), "b");
    assert_eq!(peer.call("count", &[0x90]).data::<(u64,)>().0, 1);
    example.process.signal("TERM");
    assert_in_order(&example.finish(), &["stopped, 0 requests cut off"]);
}

#[test]
fn own_engine_keeps_the_contract_of_engines() {
    let directory = Directory::new();
    let journal = directory.path().join("journal");
    check_engine(|| Ok(own_engine::Accounts::new(&journal)));
}

#[test]
fn own_engine_keeps_its_accounts_and_lets_the_first_transaction_win() {
    let directory = Directory::new();
    let arguments = ["127.0.0.1:0", "journal"];
    let mut example = Example::start("own_engine", &directory, &arguments);
    let mut peer = example.connect();
    let store = |sync, tuple: &[u8]| {
        let request = RequestBuilder::new(RequestType::Replace, sync);
        request.uint(keys::SPACE_ID, 512).pair(keys::TUPLE, tuple)
    };
    assert_eq!(peer.ask(&store(1, b"\x93\x01\xa3ann\x64")).code, 0);
    // Two transactions take from one account.
    for stream in [1, 2] {
        let begin = RequestBuilder::new(RequestType::Begin, stream).stream(stream);
        assert_eq!(peer.ask(&begin).code, 0);
        let update = RequestBuilder::new(RequestType::Update, stream).stream(stream);
        let update = update.uint(keys::SPACE_ID, 512).pair(keys::KEY, &[0x91, 1]);
        let update = update.pair(keys::TUPLE, b"\x91\x93\xa1-\x02\x0a");
        assert_eq!(peer.ask(&update).code, 0);
    }
    let commit = |stream| RequestBuilder::new(RequestType::Commit, stream).stream(stream);
    assert_eq!(peer.ask(&commit(1)).code, 0);
    assert_eq!(peer.ask(&commit(2)).error_code(), Some(97));
    let wrong = peer.ask(&store(3, &[0x91, 0xa0]));
    assert_eq!(wrong.error_code(), Some(23), "{wrong:?}");
    example.process.signal("INT");
    example.finish();
    let mut example = Example::start("own_engine", &directory, &arguments);
    let reply = example.connect().ask(&RequestBuilder::select(4, 1));
    let rows: Vec<(u64, String, i64)> = reply.data();
    assert_eq!(rows, [(1, "ann".to_owned(), 90)]);
    example.process.signal("INT");
    assert_in_order(&example.finish(), &["stopped after"]);
}

#[test]
fn job_queue_tells_of_jobs_and_how_far_they_are() {
    let directory = Directory::new();
    let mut example = Example::start("job_queue", &directory, &["127.0.0.1:0"]);
    let mut peers = example.connect_many(3);
    let [producer, worker, watcher] = &mut peers[..] else {
        panic!("three were asked for");
    };
    watcher.send(&RequestBuilder::watch(1, "jobs"));
    assert_eq!(watcher.receive().event(), Some(("jobs".to_owned(), None)));
    watcher.send(&RequestBuilder::watch(2, "jobs"));
    watcher.ping();
    // Nothing is there, and then somebody waits for it.
    let none: Option<(u64, String, u32)> = worker.call_with("take", &(0.0,)).value();
    assert_eq!(none, None);
    worker.send(&RequestBuilder::call(
        7,
        "take",
        b"\x91\xcb\x40\x3e\0\0\0\0\0\0",
    ));
    let number: u64 = producer.call_with("put", &("paint", 3)).value();
    let taken: (u64, String, u32) = worker.receive().value();
    assert_eq!(taken, (number, "paint".to_owned(), 3));
    let (key, waiting) = watcher.receive().event().expect("an event comes");
    assert_eq!(key, "jobs");
    // One waits, or is taken already.
    assert!(matches!(waiting.as_deref(), Some([0 | 1])), "{waiting:?}");
    worker.send(&RequestBuilder::call(8, "work", &[0x91, number as u8]));
    for step in 1..=3 {
        let push = worker.receive();
        assert_eq!((push.code, push.sync), (keys::CODE_CHUNK, 8));
        assert_eq!(push.value::<(u32, u32)>(), (step, 3));
    }
    assert_eq!(worker.receive().value::<String>(), "done: paint");
    let again = worker.call_with("work", &(number,));
    assert!(again.error_mentions("nobody has taken the job"));
    example.process.signal("INT");
    assert_in_order(&example.finish(), &["stopped after"]);
}

#[test]
fn server_keeps_its_data() {
    let directory = Directory::new();
    let mut example = Example::start("server", &directory, &["127.0.0.1:0"]);
    let mut peer = example.connect();
    make_space(&mut peer);
    assert_eq!(peer.ask(&RequestBuilder::replace(1, 7)).code, 0);
    example.process.signal("INT");
    example.finish();
    let mut example = Example::start("server", &directory, &["127.0.0.1:0"]);
    let reply = example.connect().ask(&RequestBuilder::select(2, 7));
    assert_eq!(reply.data::<Vec<(u64, u64)>>().len(), 1);
    example.process.signal("INT");
    example.finish();
}

/// How many rows are written before and after each change.
const ROWS: u64 = 300;

/// Numbers of a line, in their order.
fn numbers(line: &str) -> Vec<u64> {
    let words = line.split(|own: char| !own.is_ascii_digit());
    words.filter_map(|own| own.parse().ok()).collect()
}

#[test]
fn failover_shows_what_clients_see_when_another_tarantool_takes_over() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let rows = ROWS.to_string();
    // Longer than a busy machine takes.
    let arguments = ["--rows", &rows, "--failover-hold", "60s"];
    let arguments = [&arguments[..], &["--tarantool", &program]].concat();
    let output = Example::start("failover", &directory, &arguments).finish();
    assert_in_order(
        &output,
        &[
            "a: a Tarantool at 127.0.0.1:",
            "b: a Tarantool at 127.0.0.1:",
            "c: a Tarantool at 127.0.0.1:",
            "the gateway: vestibule serve --listen=127.0.0.1:0 --upstream=a=127.0.0.1:",
            "8 clients write through 127.0.0.1:",
            "nothing happens\n  acknowledged",
            "a switch: b takes over from a\n  acknowledged",
            "a crash: b is killed, and c takes over\n  acknowledged",
            "b comes back, read-only\n  acknowledged",
            "at the end, of the rows that were\n  acknowledged",
            "are on a;",
            "are on b;",
            "are on c;",
        ],
    );
    let told = output.lines().filter(|own| own.contains("longest wait"));
    let told: Vec<_> = told.map(numbers).collect();
    assert_eq!(told.len(), 4, "{output}");
    for (at, scene) in told.iter().enumerate() {
        assert!(scene[0] >= ROWS, "{output}");
        assert_eq!(scene[1], 0, "nothing is refused that can wait: {output}");
        // Of those that the killed one had from its 8 clients, nobody knows.
        let unknown_max = if at == 2 { 8 } else { 0 };
        assert!(scene[2] <= unknown_max, "{output}");
    }
    // All that is acknowledged is there, on each of them the same.
    let found = output.lines().filter(|own| own.contains(" are on "));
    let found: Vec<_> = found.map(numbers).collect();
    assert_eq!(found.len(), 3, "{output}");
    let sum = |at: usize| told.iter().map(|own| own[at]).sum::<u64>();
    for row in &found {
        // What was acknowledged since the last of the lines is there as well.
        assert!(row[0] >= sum(0) && row[0] == row[1], "{output}");
        assert_eq!(row[2..4], [0, 0], "{output}");
        assert_eq!(row[5], sum(2), "{output}");
        assert_eq!(row, &found[0], "{output}");
    }
    // Nothing stays.
    assert!(!output.contains("failover:"), "{output}");
    let left = fs::read_dir(directory.path()).expect("it is there");
    assert_eq!(left.count(), 0);
}

#[test]
fn failover_says_what_it_lacks() {
    let directory = Directory::new();
    let run = |arguments: &[&str]| {
        let output = Command::new(example("vestibule", "examples", "failover"))
            .args(arguments)
            .env("TMPDIR", directory.path())
            .output()
            .expect("the example starts");
        let text = String::from_utf8(output.stderr).expect("it is text");
        let help = String::from_utf8(output.stdout).expect("it is text");
        (output.status.code(), text, help)
    };
    let (code, text, _) = run(&["--tarantool", "/nowhere/tarantool"]);
    let expected = "failover: there is no Tarantool at '/nowhere/tarantool': install it (Debian's \
                    package 'tarantool'), or tell where it is by --tarantool\n";
    assert_eq!((code, &*text), (Some(1), expected));
    let (code, text, _) = run(&["--vestibule", "/nowhere/vestibule"]);
    let expected = "failover: there is no server at '/nowhere/vestibule': build it (`cargo build \
                    --release`), or tell where it is by --vestibule\n";
    assert_eq!((code, &*text), (Some(1), expected));
    let (code, _, help) = run(&["--help"]);
    assert_eq!(code, Some(0));
    for option in ["--rows", "--failover-hold", "--tarantool", "--vestibule"] {
        assert!(help.contains(option), "{help}");
    }
    let left = fs::read_dir(directory.path()).expect("it is there");
    assert_eq!(left.count(), 0);
}

#[test]
#[cfg(feature = "bench")]
fn storm_counts_the_visits_that_are_answered() {
    let directory = Directory::new();
    let arguments = ["--seconds", "2", "--no-tarantool"];
    let output = Example::start("storm", &directory, &arguments).finish();
    let scene = [
        "visits",
        "1 s",
        "2 s",
        "after",
        "the slowest visit that was answered",
    ];
    let scenes = [&["#4910"][..], &scene, &["#3776"], &scene].concat();
    assert_in_order(&output, &scenes);
}
