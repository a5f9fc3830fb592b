//! The processes of the example, each of which ends with it.

use std::fs;
use std::io::{self, BufRead as _, BufReader, ErrorKind};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use vestibule_client::Client;

use crate::Fault;

const INSTANCE: &str = include_str!("instance.lua");

/// A directory that is gone at the end.
pub(crate) struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    pub(crate) fn new() -> Result<Self, Fault> {
        let name = format!("vestibule-failover-{}", std::process::id());
        let own = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&own.0)?;
        fs::write(own.0.join("instance.lua"), INSTANCE)?;
        // Others may not read what a gateway takes for a secret.
        let password = own.password_file();
        fs::write(&password, "secret")?;
        let ours = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&password, ours)?;
        Ok(own)
    }

    fn password_file(&self) -> PathBuf {
        self.0.join("password")
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A Tarantool, by the name that the gateway has for it.
pub(crate) struct Tarantool {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    /// A connection of the operator's, who does not go through the gateway.
    pub(crate) operator: Client,
    child: Child,
    _input: ChildStdin,
}

impl Tarantool {
    /// Starts it, and waits until it serves. The system picks the port unless there is an address.
    pub(crate) async fn start(
        program: &Path,
        directory: &TemporaryDirectory,
        name: &'static str,
        address: Option<SocketAddr>,
        peers: &[SocketAddr],
        is_read_only: bool,
    ) -> Result<Self, Fault> {
        let own = directory.0.join(name);
        fs::create_dir_all(&own)?;
        let address = address.map_or("127.0.0.1:0".to_owned(), |own| own.to_string());
        let mut child = Command::new(program)
            .arg(directory.0.join("instance.lua"))
            .arg(&own)
            .args([address, uris(peers), is_read_only.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|fault| match fault.kind() {
                ErrorKind::NotFound => Fault(format!(
                    "there is no Tarantool at '{}': install it (Debian's package 'tarantool'), or \
                     tell where it is by --tarantool",
                    program.display()
                )),
                _ => fault.into(),
            })?;
        let input = child.stdin.take().expect("the input is piped");
        let output = child.stdout.take().expect("the output is piped");
        let Ok(address) = next_address(output).await else {
            let _ = child.kill();
            let _ = child.wait();
            let log = fs::read_to_string(own.join("tarantool.log")).unwrap_or_default();
            let last: Vec<_> = log.lines().rev().take(5).collect();
            let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
            return Err(Fault(format!("{name} does not start:\n{last}")));
        };
        let operator = Client::builder(address.to_string()).credentials("operator", "secret");
        Ok(Self {
            name,
            address,
            operator: operator.connect().await?,
            child,
            _input: input,
        })
    }

    /// All instances replicate each other.
    pub(crate) async fn follow(&self, peers: &[SocketAddr]) -> Result<(), Fault> {
        let lua = "box.cfg{replication = (...):split(',')}";
        Ok(self.operator.eval::<()>(lua, (uris(peers),)).await?)
    }

    /// The operator's switch, which no gateway touches.
    pub(crate) async fn set_read_only(&self, is_read_only: bool) -> Result<(), Fault> {
        let lua = "box.cfg{read_only = ...}";
        Ok(self.operator.eval::<()>(lua, (is_read_only,)).await?)
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Tarantool {
    fn drop(&mut self) {
        // It is killed already, or there is nothing that it has to keep.
        let _ = self.kill();
    }
}

/// As Tarantool is told of whom it replicates.
fn uris(peers: &[SocketAddr]) -> String {
    let uri = |own: &SocketAddr| format!("replicator:secret@{own}");
    peers.iter().map(uri).collect::<Vec<_>>().join(",")
}

/// The gateway: the server as users have it.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Gateway {
    /// Starts it before these, and waits until it listens.
    pub(crate) async fn start(
        program: &Path,
        directory: &TemporaryDirectory,
        upstreams: &[Tarantool],
        failover_hold: &str,
    ) -> Result<Self, Fault> {
        let mut arguments = vec!["serve".to_owned(), "--listen=127.0.0.1:0".to_owned()];
        let upstream = |own: &Tarantool| format!("--upstream={}={}", own.name, own.address);
        arguments.extend(upstreams.iter().map(upstream));
        arguments.push("--upstream-user=gateway".to_owned());
        let password = directory.password_file();
        arguments.push(format!("--upstream-password-file={}", password.display()));
        arguments.push(format!("--failover-hold={failover_hold}"));
        // What it does, and not who logs in.
        arguments.push("--log=info,vestibule::audit=warn".to_owned());
        println!("the gateway: vestibule {}", arguments.join(" "));
        let mut child = Command::new(program)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().expect("the output is piped");
        // It ends with this, also where nobody waits for its address any more.
        let mut own = Self {
            address: "127.0.0.1:0".parse().expect("it is one"),
            child,
        };
        let address = next_address(output).await;
        own.address = address.map_err(|_| Fault("the gateway does not start".to_owned()))?;
        Ok(own)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // In its own time: it says good-bye to its clients.
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(id) = id {
            let _ = kill_process(id, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// The address in the next line. A process that ends says none.
async fn next_address(output: ChildStdout) -> io::Result<SocketAddr> {
    let read = move || {
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).map(|_| line)
    };
    // Clients go on meanwhile, on the thread of who waits here.
    let line = tokio::task::spawn_blocking(read).await??;
    let mut words = line.split([' ', ',', '\n']);
    let address = words.find_map(|own| own.parse().ok());
    address.ok_or_else(|| io::Error::other("it says no address"))
}
