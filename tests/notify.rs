//! What a service manager is told: a datagram socket of these tests is systemd.

mod support;

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;

use support::{Directory, Process, Server, block, command, make_space, write_rows};

const NO_ARGS: &[u8] = &[0x90];

/// The service manager of a server.
struct Manager {
    socket: UnixDatagram,
    name: String,
}

impl Manager {
    /// With a socket that is a file.
    fn at_path(directory: &Directory) -> Self {
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket can be bound");
        let name = path.to_str().expect("it is text").to_owned();
        Self::over(socket, name)
    }

    /// With a socket that has a name of its own, as systemd's has in containers.
    fn abstract_one() -> Self {
        let name = format!("vestibule-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("it is a name");
        let socket = UnixDatagram::bind_addr(&address).expect("a socket can be bound");
        Self::over(socket, format!("@{name}"))
    }

    fn over(socket: UnixDatagram, name: String) -> Self {
        let patience = Some(support::PATIENCE);
        socket.set_read_timeout(patience).expect("it can be set");
        Self { socket, name }
    }

    /// A command whose manager it is.
    fn command(&self, directory: &Directory) -> Command {
        let mut command = command(directory.path());
        command.env("NOTIFY_SOCKET", &self.name);
        command
    }

    fn next(&self) -> String {
        let mut buffer = [0; 4096];
        let size = self.socket.recv(&mut buffer);
        let size = size.expect("something is told in time");
        let text = str::from_utf8(&buffer[..size]);
        text.expect("it is text").to_owned()
    }

    /// All that is told until a message has a line that begins so, which is the last one.
    fn until(&self, wanted: &str) -> Vec<String> {
        let mut told = Vec::new();
        loop {
            told.push(self.next());
            if has(told.last().expect("one was added"), wanted) {
                return told;
            }
        }
    }

    /// The next message that has a line that begins so.
    fn wait(&self, wanted: &str) -> String {
        self.until(wanted).pop().expect("one was found")
    }
}

fn has(message: &str, wanted: &str) -> bool {
    message.lines().any(|line| line.starts_with(wanted))
}

#[test]
fn a_server_whose_output_nobody_reads_serves_all_the_same() {
    let directory = Directory::new();
    let manager = Manager::at_path(&directory);
    let (reader, writer) = std::io::pipe().expect("a pipe can be made");
    drop(reader);
    let child = manager
        .command(&directory)
        .args(["--listen", "127.0.0.1:0", "--log", "warn"])
        .stdout(writer)
        .spawn();
    let mut server = Process(child.expect("the binary starts"));
    manager.wait("READY=1");
    server.signal("TERM");
    manager.wait("STOPPING=1");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn ready_status_and_stopping_are_told_to_sockets_of_both_kinds() {
    let directory = Directory::new();
    for manager in [Manager::at_path(&directory), Manager::abstract_one()] {
        let command = manager.command(&directory);
        let mut server = Server::spawn(command, "127.0.0.1:0", &["--lameduck", "1s"]);
        assert!(has(&manager.wait("READY=1"), "STATUS=assist, primary"));
        let mut operator = server.connect();
        let _ = operator.call("vestibule.demote", NO_ARGS);
        manager.wait("STATUS=assist, replica");
        server.signal("TERM");
        manager.wait("STOPPING=1");
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn time_is_asked_for_while_data_are_loaded_and_while_a_stop_lasts() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &["--checkpoint-interval", "0"]);
    let mut peer = server.connect();
    make_space(&mut peer);
    write_rows(&mut peer, 0..100_000);
    drop(server);
    let manager = Manager::at_path(&directory);
    let command = manager.command(&directory);
    let mut server = Server::spawn(command, "127.0.0.1:0", &["--lameduck", "1h"]);
    let told = manager.until("READY=1");
    let asked = |messages: &[String]| {
        let asked = messages.iter();
        asked
            .filter(|own| has(own, "EXTEND_TIMEOUT_USEC=15000000"))
            .count()
    };
    assert!(asked(&told) > 0, "{told:?}");
    assert!(!has(&told[0], "READY=1"), "{told:?}");
    server.signal("TERM");
    assert_eq!(asked(&[manager.wait("STOPPING=1")]), 1);
    // And again, though nothing changes.
    for _ in 0..2 {
        manager.wait("EXTEND_TIMEOUT_USEC=15000000");
    }
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn the_watchdog_hears_of_it_while_tx_is_blocked() {
    let directory = Directory::new();
    let manager = Manager::at_path(&directory);
    let mut command = manager.command(&directory);
    command.env("WATCHDOG_USEC", "200000");
    let server = Server::spawn(command, "127.0.0.1:0", &[]);
    manager.wait("READY=1");
    block(&mut server.connect(), 600, "the test");
    manager.wait("STATUS=solo, primary: the test");
    for _ in 0..10 {
        manager.wait("WATCHDOG=1");
    }
}

#[test]
fn without_a_watchdog_none_is_told() {
    let directory = Directory::new();
    let manager = Manager::at_path(&directory);
    let command = manager.command(&directory);
    let server = Server::spawn(command, "127.0.0.1:0", &[]);
    let mut told = manager.until("READY=1");
    server.signal("TERM");
    told.extend(manager.until("STOPPING=1"));
    assert!(!told.iter().any(|own| has(own, "WATCHDOG")), "{told:?}");
}

#[test]
fn a_reload_is_told_with_its_time_and_its_end_also_if_it_is_refused() {
    let directory = Directory::new();
    let manager = Manager::at_path(&directory);
    let file = directory.path().join("vestibule.toml");
    std::fs::write(&file, "").expect("the directory is ours");
    let arguments = ["--config", file.to_str().expect("it is text")];
    let command = manager.command(&directory);
    let server = Server::spawn(command, "127.0.0.1:0", &arguments);
    manager.wait("READY=1");
    let mut last = 0;
    for text in ["", "idle_timeout = '1h'\n", "idel_timeout = '1h'\n"] {
        std::fs::write(&file, text).expect("the directory is ours");
        server.signal("HUP");
        let told = manager.wait("RELOADING=1");
        let time = told
            .lines()
            .find_map(|own| own.strip_prefix("MONOTONIC_USEC="));
        let time: u64 = time.expect("it is told").parse().expect("a number");
        assert!(time > last, "{told}");
        last = time;
        manager.wait("READY=1");
    }
}

#[test]
fn a_manager_that_does_not_read_holds_up_nobody() {
    let directory = Directory::new();
    let manager = Manager::at_path(&directory);
    let command = manager.command(&directory);
    let mut server = Server::spawn(command, "127.0.0.1:0", &[]);
    let mut operator = server.connect();
    for _ in 0..1000 {
        assert_eq!(operator.call("vestibule.solo", NO_ARGS).code, 0);
        assert_eq!(operator.call("vestibule.assist", NO_ARGS).code, 0);
    }
    server.connect().ping();
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}
