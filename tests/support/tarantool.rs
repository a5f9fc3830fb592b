//! A Tarantool that a test stands before or compares with.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{ChildStdin, Command, Stdio};

use vestibule_actors::ListenAddress;
use vestibule_actors::testing::Peer;

use super::Process;

/// A Tarantool. It ends when its standard input is closed, even if this process is killed.
#[derive(Debug)]
pub struct Tarantool {
    pub process: Process,
    _input: ChildStdin,
    pub address: ListenAddress,
}

impl Tarantool {
    /// Runs one of the scripts in `tests` that end with `serve.lua`, and waits until it serves.
    pub fn start(program: &str, script: &str, arguments: &[&OsStr]) -> Self {
        let mut child = Command::new(program)
            .arg(format!("{}/tests/{script}", env!("CARGO_MANIFEST_DIR")))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Tarantool starts");
        let mut output = BufReader::new(child.stdout.take().expect("the output is piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("the output can be read");
        assert!(line.ends_with('\n'), "Tarantool did not start");
        let address = line.trim().parse();
        Self {
            _input: child.stdin.take().expect("the input is piped"),
            process: Process(child),
            address: address.expect("Tarantool tells where it listens"),
        }
    }

    /// A connection of guest's.
    pub fn connect(&self) -> Peer {
        match &self.address {
            ListenAddress::Unix(path) => Peer::connect_unix(path),
            address => Peer::connect(address.network().expect("it is one of the network")),
        }
    }
}
