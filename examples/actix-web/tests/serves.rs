//! The example, run as its reader would run it.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use vestibule_actors::testing::{Peer, RequestBuilder};

/// A test waits no longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(30);

struct Example {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    http: SocketAddr,
    iproto: SocketAddr,
    page: SocketAddr,
}

impl Example {
    fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_vestibule-example-actix-web"))
            .args(["127.0.0.1:0"; 3])
            .stdout(Stdio::piped())
            .spawn()
            .expect("it was built");
        let stdout = process.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(stdout).lines();
        let told = lines.next().expect("a line").expect("of text");
        let mut addresses = told.split(['[', ']']).filter_map(|own| own.parse().ok());
        let mut next = || addresses.next().expect("an address in the first line");
        Self {
            http: next(),
            iproto: next(),
            page: next(),
            process,
            lines,
        }
    }

    /// The status and the body of a request's response.
    fn ask(&self, method: &str, path: &str) -> (u16, String) {
        ask(self.http, method, path)
    }

    /// What the page and its data are at a path.
    fn look(&self, path: &str) -> String {
        let (status, body) = ask(self.page, "GET", path);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.expect("there is `kill`").success());
    }

    /// The last line of its output, once it has ended well.
    fn last_line(&mut self) -> String {
        let last = self.lines.by_ref().map_while(Result::ok).last();
        assert!(self.process.wait().expect("it ends").success());
        last.unwrap_or_default()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // Over already, unless a test has failed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The status and the body of a response.
fn ask(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n");
    let request = format!("{head}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("it answers");
    let status = response.split(' ').nth(1).and_then(|own| own.parse().ok());
    let body = response.split("\r\n\r\n").nth(1).unwrap_or_default();
    (status.expect("a status"), body.to_owned())
}

#[test]
fn http_and_iproto_share_the_engine_the_page_shows_both_and_one_signal_ends_all() {
    let mut example = Example::start();
    let mut answer = example.ask("POST", "/visits/you");
    while answer.0 == 503 {
        // It recovers still.
        answer = example.ask("POST", "/visits/you");
    }
    assert_eq!(answer, (200, "1".to_owned()));
    let mut peer = Peer::connect(example.iproto);
    let call = RequestBuilder::call(1, "visits", b"\x91\xa3you");
    assert_eq!(peer.ask(&call).data::<Vec<u64>>(), [2]);
    assert_eq!(example.ask("GET", "/visits/you"), (200, "2".to_owned()));
    assert_eq!(example.ask("GET", "/visits/nobody").0, 404);
    assert!(example.look("/").contains("<title>vestibule</title>"));
    assert!(example.look("/status.txt").contains("Assist for"));
    let requests = "vestibule_requests_total{request=\"call\",path=\"tx\"} 1\n";
    assert!(example.look("/metrics").contains(requests));
    // A replica counts nobody: that is to be asked for elsewhere, and what is there is told.
    assert_eq!(peer.call("vestibule.demote", b"\x90").code, 0);
    assert!(example.look("/status.txt").contains("it is a replica"));
    assert_eq!(example.ask("POST", "/visits/you").0, 503);
    assert_eq!(peer.ask(&call).error_code(), Some(7));
    assert_eq!(example.ask("GET", "/visits/you"), (200, "2".to_owned()));
    example.signal("TERM");
    assert_eq!(
        example.last_line(),
        "stopped: 0 requests cut off, failure None"
    );
}
