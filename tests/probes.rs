//! Probes as those ask them who have `curl`: in every state of a real server, over TCP and over a
//! unix socket.

mod support;

use std::path::PathBuf;
use std::process::Command;

use support::{Directory, Server, is_skipped, make_space, tool, wait_until, write_rows};
use vestibule_actors::testing::{Peer, RequestBuilder};
use vestibule_actors::wire::keys::RequestType;

const PROBES: [&str; 4] = ["livez", "startupz", "readyz", "readyz?writes"];

/// What `curl` is told, over TCP and over the unix socket.
struct Door {
    address: String,
    socket: PathBuf,
}

impl Door {
    /// The status that `curl` gets; 0 if it gets none.
    fn ask(&self, path: &str, over_unix: bool) -> u16 {
        let mut curl = Command::new(tool("VESTIBULE_TEST_CURL"));
        curl.args([
            "--silent",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
        ]);
        if over_unix {
            curl.arg("--unix-socket").arg(&self.socket);
        }
        let told = curl.arg(format!("http://{}/{path}", self.address)).output();
        let told = told.expect("it can be run").stdout;
        String::from_utf8_lossy(&told).parse().unwrap_or(0)
    }

    /// What all probes answer, which is the same over both.
    fn told(&self) -> [u16; 4] {
        PROBES.map(|path| {
            let over_tcp = self.ask(path, false);
            assert_eq!(self.ask(path, true), over_tcp, "{path}");
            over_tcp
        })
    }
}

/// A server with a door of both kinds, which may still be loading.
fn start(directory: &Directory, more: &[&str]) -> (Server, Door) {
    let socket = directory.path().join("http.sock");
    let unix = format!("unix:{}", socket.display());
    // The last one is the one that is told last.
    let listen = ["--http-listen", &unix, "--http-listen", "127.0.0.1:0"];
    let server = Server::start_loading(directory.path(), &[&listen[..], more].concat());
    let address = server.http_address().to_string();
    (server, Door { address, socket })
}

fn call(peer: &mut Peer, procedure: &str) {
    assert_eq!(peer.call(procedure, &[0x90]).code, 0, "{procedure}");
}

#[test]
fn probes_are_answered_while_a_large_journal_is_read() {
    if is_skipped("curl") {
        return;
    }
    let directory = Directory::new();
    let server = Server::start(directory.path(), &["--journal-sync", "never"]);
    let mut peer = server.connect();
    make_space(&mut peer);
    // Small to write, and slow to read: each row is in all indexes.
    for number in 0..INDEXES {
        let index = (
            format!("i{number}"),
            Parts {
                parts: [(2, "unsigned")],
                unique: false,
            },
        );
        let made = peer.call_with("box.space.rows:create_index", &index);
        assert_eq!(made.code, 0, "{:?}", made.error_text());
    }
    write_rows(&mut peer, 0..ROWS);
    server.kill();
    let (server, door) = start(&directory, &[]);
    assert_eq!(door.ask("startupz", false), 503, "it is still loading");
    assert_eq!(door.ask("livez", true), 200);
    assert_eq!(door.ask("readyz", true), 503);
    wait_until("it has started", || door.ask("startupz", true) == 200);
    assert_eq!(door.told(), [200, 200, 200, 200]);
    drop(server);
}

/// So that reading takes seconds.
const ROWS: u64 = 60_000;
const INDEXES: usize = 12;

#[derive(serde::Serialize)]
struct Parts {
    parts: [(u32, &'static str); 1],
    unique: bool,
}

#[test]
fn probes_are_answered_by_the_table_in_each_state() {
    if is_skipped("curl") {
        return;
    }
    let directory = Directory::new();
    let grace = [
        "--shutdown-grace-period",
        "60s",
        "--tx-stall-after",
        "100ms",
    ];
    let (mut server, door) = start(&directory, &grace);
    wait_until("it has started", || door.ask("startupz", false) == 200);
    let mut peer = server.connect();
    make_space(&mut peer);
    assert_eq!(door.told(), [200, 200, 200, 200], "assist");
    call(&mut peer, "vestibule.solo");
    assert_eq!(door.told(), [200, 200, 200, 503], "solo");
    call(&mut peer, "vestibule.assist");
    let mut stuck = server.connect();
    // Without a reason nobody says so.
    let silent = RequestBuilder::call(1, "vestibule.debug.block", &[0x91, 4]);
    stuck.send(&silent);
    let mut queued = server.connect();
    queued.send(&RequestBuilder::replace(1, 1));
    wait_until("the stall is found", || {
        door.ask("readyz?writes", false) == 503
    });
    assert_eq!(door.ask("livez?tx_stalled=1h", true), 400);
    assert_eq!(door.told(), [200, 200, 200, 503], "a stall");
    assert_eq!(stuck.receive().code, 0);
    wait_until("it is over", || door.ask("readyz?writes", false) == 200);
    call(&mut peer, "vestibule.demote");
    assert_eq!(door.told(), [200, 200, 200, 503], "a replica");
    call(&mut peer, "vestibule.promote");
    server.limit_files("0");
    assert_ne!(peer.ask(&RequestBuilder::replace(7, 7)).code, 0);
    wait_until("the fault is told", || {
        door.ask("readyz?writes", true) == 503
    });
    assert_eq!(
        door.told(),
        [200, 200, 200, 503],
        "a journal that has failed"
    );
    let begin = RequestBuilder::new(RequestType::Begin, 1).stream(1);
    assert_eq!(peer.ask(&begin).code, 0);
    server.signal("TERM");
    wait_until("the stop is told", || door.ask("readyz", false) == 503);
    assert_eq!(door.told(), [200, 200, 503, 503], "a stop");
    let rollback = RequestBuilder::new(RequestType::Rollback, 2).stream(1);
    assert_eq!(peer.ask(&rollback).code, 0);
    server.wait();
    assert_eq!(door.ask("livez", false), 0, "it is closed last");
    assert!(!door.socket.exists());
}
