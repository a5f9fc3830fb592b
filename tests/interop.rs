//! Real connectors against the real binary: Python `tarantool` and `asynctnt`, npm
//! `tarantool-driver`, net.box of Debian's `tarantool`.
//!
//! `tests/run` installs them and tells where they are. Without it these tests fail and say so; they
//! are left out only by `VESTIBULE_TEST_SKIP_INTEROP=1`, loudly.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use support::{Directory, Server, block, is_skipped, make_space, tool, wait_until};

/// A tuple of 1 MiB and its frame must fit.
const OPTIONS: &[&str] = &["--tuple-size-max", "16777216"];

#[derive(Debug, Clone, Copy)]
enum Suite {
    PythonTarantool,
    PythonAsynctnt,
    NodeDriver,
    NetBox,
}

impl Suite {
    fn command(self) -> Command {
        let script = |name| format!("{}/tests/interop/{name}", env!("CARGO_MANIFEST_DIR"));
        let (variable, name) = match self {
            Self::PythonTarantool => ("VESTIBULE_TEST_PYTHON", "python_tarantool.py"),
            Self::PythonAsynctnt => ("VESTIBULE_TEST_PYTHON", "python_asynctnt.py"),
            Self::NodeDriver => ("VESTIBULE_TEST_NODE", "node_driver.js"),
            Self::NetBox => ("VESTIBULE_TEST_TARANTOOL", "netbox.lua"),
        };
        let mut command = Command::new(tool(variable));
        command.arg(script(name));
        if matches!(self, Self::NodeDriver) {
            command.env("NODE_PATH", tool("VESTIBULE_TEST_NODE_PATH"));
        }
        command
    }

    fn phase(self, address: &str, phase: &str) -> Command {
        let mut command = self.command();
        command.args(["--addr", address, "--phase", phase]);
        command
    }

    /// Runs a phase to its end and shows what it said if it failed.
    fn run(self, server: &Server, phase: &str, more: &[&str]) {
        self.run_at(&server.address().to_string(), phase, more);
    }

    fn run_at(self, address: &str, phase: &str, more: &[&str]) {
        let output = self
            .phase(address, phase)
            .args(more)
            .output()
            .expect("the suite starts");
        assert!(
            output.status.success(),
            "{self:?} {phase} failed\n{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn whole(self) {
        if is_skipped("connectors") {
            return;
        }
        let directory = Directory::new();
        let server = Server::start(directory.path(), OPTIONS);
        self.run(&server, "basic", &[]);
        self.run(&server, "control", &[]);
        self.run(&server, "write", &[]);
        let server = self.across_a_restart(server, &directory);
        self.run(&server, "verify", &[]);
        self.while_tx_is_blocked(&server);
    }

    /// The same connector object goes on by its own means when the server comes back.
    fn across_a_restart(self, server: Server, directory: &Directory) -> Server {
        let address = server.address().to_string();
        let mut client = self.phase(&address, "reconnect");
        let client = client
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        let mut client = client.spawn().expect("the suite starts");
        let mut output = BufReader::new(client.stdout.take().expect("the output is piped"));
        let mut said = String::new();
        while !said.ends_with("READY\n") {
            let size = output
                .read_line(&mut said)
                .expect("the suite's output can be read");
            assert!(size > 0, "{self:?} ended before it was ready:\n{said}");
        }
        assert!(
            server.terminate().success(),
            "a stop with one idle client is clean"
        );
        let server = Server::start_on(&address, directory.path(), OPTIONS);
        go_on(&mut client);
        let mut rest = String::new();
        while output
            .read_line(&mut rest)
            .expect("the suite's output can be read")
            > 0
        {}
        assert!(
            client.wait().expect("the suite ends").success(),
            "{self:?}\n{said}{rest}"
        );
        server
    }

    /// New connections are greeted, served and refused at once while Tx's thread stands still.
    fn while_tx_is_blocked(self, server: &Server) {
        let mut operator = server.connect();
        operator.call("box.schema.user.create", &user("interop"));
        operator.call("box.schema.user.grant", b"\x92\xa7interop\xa5super");
        let mut blocker = server.connect();
        block(&mut blocker, 30, "busy on purpose");
        wait_until("Tx is blocked", || {
            operator
                .call("vestibule.state", &[0x90])
                .error_mentions("busy on purpose")
        });
        self.run(
            server,
            "blocked",
            &["--user", "interop", "--password", "interop"],
        );
        let state = operator.call("vestibule.state", &[0x90]);
        assert!(
            state.error_mentions("busy on purpose"),
            "{self:?} was done while Tx was blocked"
        );
    }
}

/// `["interop", {password = "interop"}]`
fn user(name: &str) -> Vec<u8> {
    let mut args = vec![0x92];
    for text in [name, "password", name] {
        if text == "password" {
            args.push(0x81);
        }
        args.push(0xa0 | text.len() as u8);
        args.extend_from_slice(text.as_bytes());
    }
    args
}

fn go_on(client: &mut Child) {
    let mut input = client.stdin.take().expect("the input is piped");
    // A suite that has ended already tells its reason by its output.
    let _ = input.write_all(b"go on\n");
}

#[test]
fn python_tarantool() {
    Suite::PythonTarantool.whole();
}

#[test]
fn python_asynctnt() {
    Suite::PythonAsynctnt.whole();
}

#[test]
fn node_tarantool_driver() {
    Suite::NodeDriver.whole();
}

#[test]
fn net_box() {
    Suite::NetBox.whole();
}

/// Runs the suite that comes with a connector, from the folder of this name in the one that
/// `variable` tells. What is out of scope is listed with its reason; a test that is listed and
/// passes, or that fails or is skipped and is not listed, fails.
fn suite_of(name: &str, variable: &str) {
    suite_over("tcp", name, variable);
}

/// The same by another transport: `unix` or `tls`.
fn suite_over(transport: &str, name: &str, variable: &str) {
    let script = format!("{name}_suite.py");
    run_suite(transport, &script, &[], (name, variable));
}

/// Runs it against a real Tarantool and through a gateway before one: it comes out the same, but
/// for what is listed.
fn suite_through_a_gateway(name: &str, variable: &str) {
    run_suite("tcp", "gateway_suite.py", &[name], (name, variable));
}

fn run_suite(transport: &str, script: &str, arguments: &[&str], (name, variable): (&str, &str)) {
    if is_skipped("connectors") {
        return;
    }
    let directory = format!("{}/tests/interop/suites", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(tool("VESTIBULE_TEST_PYTHON"))
        .arg(format!("{directory}/{script}"))
        .args(arguments)
        .arg(format!("{}/{name}", tool(variable)))
        .env("VESTIBULE_TEST_SERVER", env!("CARGO_BIN_EXE_vestibule"))
        .env("VESTIBULE_TEST_TRANSPORT", transport)
        .output()
        .expect("the suite starts");
    assert!(
        output.status.success(),
        "{transport}\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_suite_of_asynctnt_passes_but_for_what_is_listed() {
    suite_of("asynctnt", "VESTIBULE_TEST_SUITES");
}

#[test]
fn the_suite_of_python_tarantool_passes_but_for_what_is_listed() {
    suite_of("tarantool", "VESTIBULE_TEST_SUITES");
}

#[test]
fn the_suite_of_node_tarantool_driver_passes_but_for_what_is_listed() {
    suite_of("tarantool-driver", "VESTIBULE_TEST_NODE_PATH");
}

/// asynctnt speaks no TLS.
#[test]
fn the_suites_pass_over_unix_sockets() {
    suite_over("unix", "asynctnt", "VESTIBULE_TEST_SUITES");
    suite_over("unix", "tarantool", "VESTIBULE_TEST_SUITES");
    suite_over("unix", "tarantool-driver", "VESTIBULE_TEST_NODE_PATH");
}

#[test]
fn the_suites_of_those_that_speak_it_pass_over_tls() {
    suite_over("tls", "tarantool", "VESTIBULE_TEST_SUITES");
    suite_over("tls", "tarantool-driver", "VESTIBULE_TEST_NODE_PATH");
}

/// Debian's net.box speaks no TLS: this is all it has beside TCP.
#[test]
fn net_box_over_a_unix_socket() {
    if is_skipped("connectors") {
        return;
    }
    let directory = Directory::new();
    let socket = directory.path().join("own.sock");
    let listen = format!("unix:{}", socket.display());
    let options = [OPTIONS, &["--listen", &listen]].concat();
    let server = Server::start(directory.path(), &options);
    let address = format!("unix/:{}", socket.display());
    for phase in ["basic", "control", "write"] {
        Suite::NetBox.run_at(&address, phase, &[]);
    }
    drop(server);
}

/// What the pool of the connector does by itself.
#[test]
fn pythons_pool_comes_back_after_changes_were_refused() {
    if is_skipped("connectors") {
        return;
    }
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    make_space(&mut server.connect());
    Suite::PythonTarantool.run(&server, "pool", &[]);
}

#[test]
fn the_suite_of_asynctnt_is_the_same_through_a_gateway() {
    suite_through_a_gateway("asynctnt", "VESTIBULE_TEST_SUITES");
}

#[test]
fn the_suite_of_python_tarantool_is_the_same_through_a_gateway() {
    suite_through_a_gateway("tarantool", "VESTIBULE_TEST_SUITES");
}

#[test]
fn the_suite_of_node_tarantool_driver_is_the_same_through_a_gateway() {
    suite_through_a_gateway("tarantool-driver", "VESTIBULE_TEST_NODE_PATH");
}

#[test]
fn a_suite_that_hangs_leaves_no_server_behind() {
    if is_skipped("connectors") {
        return;
    }
    let hangs = "
import threading
from server import Server, limit_time
server = Server(lambda _: None)
server.start()
print(server._process.pid, server._directory, flush=True)
limit_time(0)
threading.Event().wait()
";
    let output = Command::new(tool("VESTIBULE_TEST_PYTHON"))
        .args(["-c", hangs])
        .env(
            "PYTHONPATH",
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/suites"),
        )
        .env("VESTIBULE_TEST_SERVER", env!("CARGO_BIN_EXE_vestibule"))
        .output()
        .expect("the suite starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("WRONG the suite is still running"), "{said}");
    let first = said.lines().next().and_then(|line| line.split_once(' '));
    let (pid, directory) = first.expect("the server is told");
    assert!(
        !Path::new(&format!("/proc/{pid}")).exists(),
        "server {pid} runs on"
    );
    assert!(!Path::new(directory).exists(), "{directory} is left");
}
