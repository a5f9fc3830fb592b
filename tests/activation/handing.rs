//! Servers that are started as systemd does it: with sockets, their number and their names.

use std::io::{BufRead as _, BufReader};
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};

use crate::support::{Directory, Process, command};

/// Above all descriptors that the launcher hands over.
const COPIES_FROM: i32 = 100;

/// A socket with the name that systemd would tell.
pub(super) type Named<'a> = (&'a str, BorrowedFd<'a>);

/// A server that was handed sockets, and what it told of itself.
pub(super) struct Started {
    pub(super) process: Process,
    pub(super) told: Vec<String>,
    _output: BufReader<ChildStdout>,
}

/// Descriptors for one child, which inherits them.
fn inherited(sockets: &[Named<'_>]) -> Vec<OwnedFd> {
    let copy = |(_, own): &Named<'_>| {
        let copy = fcntl_dupfd_cloexec(own, COPIES_FROM).expect("a descriptor is free");
        fcntl_setfd(&copy, FdFlags::empty()).expect("it is ours");
        copy
    };
    sockets.iter().map(copy).collect()
}

/// The command that a command becomes in a shell that hands it sockets: it knows its own number.
fn handing(of: &Command, copies: &[OwnedFd], names: &str) -> Command {
    let mut moves = String::new();
    for (index, copy) in copies.iter().enumerate() {
        let own = copy.as_raw_fd();
        moves += &format!("exec {}<&{own} {own}<&-\n", index + 3);
    }
    let count = copies.len();
    let script = format!(
        "{moves}LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES='{names}' exec \"$0\" \"$@\""
    );
    let mut shell = Command::new("bash");
    shell
        .args(["-c", &script])
        .arg(of.get_program())
        .args(of.get_args());
    shell.envs(
        of.get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    if let Some(directory) = of.get_current_dir() {
        shell.current_dir(directory);
    }
    shell
}

fn names(sockets: &[Named<'_>]) -> String {
    let names: Vec<_> = sockets.iter().map(|(name, _)| *name).collect();
    names.join(":")
}

/// Starts a server as systemd does, and waits until it has told where it listens.
pub(super) fn start(data: &Path, sockets: &[Named<'_>], arguments: &[&str]) -> Started {
    start_command(command(data), sockets, arguments)
}

pub(super) fn start_command(
    mut server: Command,
    sockets: &[Named<'_>],
    arguments: &[&str],
) -> Started {
    server.args(["serve", "--log", "warn"]).args(arguments);
    let copies = inherited(sockets);
    let child = handing(&server, &copies, &names(sockets))
        .stdout(Stdio::piped())
        .spawn();
    let mut process = Process(child.expect("a shell starts"));
    let mut output = BufReader::new(process.0.stdout.take().expect("it is piped"));
    let mut told = Vec::new();
    let is_last = |line: &String| line.starts_with("data in") || line.starts_with("before ");
    while !told.last().is_some_and(is_last) {
        let mut line = String::new();
        let size = output.read_line(&mut line).expect("it writes text");
        assert!(size > 0, "it ends after {told:?}");
        told.push(line.trim_end().to_owned());
    }
    Started {
        process,
        told,
        _output: output,
    }
}

/// What a server says that is handed sockets and does not start.
pub(super) fn refused(
    sockets: &[Named<'_>],
    names: &str,
    arguments: &[&str],
) -> (Option<i32>, String) {
    let directory = Directory::new();
    let mut server = command(directory.path());
    server.arg("serve").args(arguments);
    let copies = inherited(sockets);
    let output = handing(&server, &copies, names).output();
    let output = output.expect("a shell starts");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), told)
}
