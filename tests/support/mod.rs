//! A server process under test: the real binary, on a loopback port that the system picks.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file takes its own part of it"
)]

pub mod tarantool;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use vestibule_actors::testing::{Peer, RequestBuilder};
use vestibule_actors::wire::keys::{self, RequestType};

/// Nothing here waits longer; a busy machine needs much less.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A directory that is gone when the test is over.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("vestibule-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a temporary directory can be made");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A file that only its owner may read, with the password `planted-` and this word.
pub fn secret(directory: &Path, word: &str) -> PathBuf {
    let file = directory.join(format!("secret-{word}"));
    fs::write(&file, format!("planted-{word}\n")).expect("the directory is ours");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("the file is ours");
    file
}

/// A certificate or a key of the client's tests.
pub fn pem(name: &str) -> PathBuf {
    let certificates = Path::new(env!("CARGO_MANIFEST_DIR")).join("client/tests/certificates");
    certificates.join(name)
}

/// The certificate of the client's tests, and a copy of its key in a directory, as it has to be.
pub fn tls_files(directory: &Path) -> [PathBuf; 2] {
    tls_files_of("server", directory)
}

/// The same of one of the other certificates there.
pub fn tls_files_of(name: &str, directory: &Path) -> [PathBuf; 2] {
    let [certificate, key] = ["pem", "key"].map(|end| format!("{name}.{end}"));
    let own = directory.join(&key);
    fs::copy(pem(&key), &own).expect("the directory is ours");
    fs::set_permissions(&own, fs::Permissions::from_mode(0o600)).expect("the file is ours");
    [pem(&certificate), own]
}

/// The same as variables of a server.
pub fn tls_variables(directory: &Path) -> [(String, String); 2] {
    let [certificate, key] = tls_files(directory).map(|own| own.display().to_string());
    [
        ("VESTIBULE_TLS_CERTIFICATE".to_owned(), certificate),
        ("VESTIBULE_TLS_KEY".to_owned(), key),
    ]
}

/// A process that is killed when it is dropped.
#[derive(Debug)]
pub struct Process(pub Child);

impl Process {
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.id().to_string()])
            .status()
            .expect("kill can be run");
        assert!(status.success());
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the process ends", || {
            status = self.0.try_wait().expect("the child can be waited for");
            status.is_some()
        });
        status.expect("that is what was waited for")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running server. Dropped, it is killed.
#[derive(Debug)]
pub struct Server {
    process: Process,
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    tls_address: Option<SocketAddr>,
    http_address: Option<SocketAddr>,
    // Kept open: a server whose output nobody reads would be stopped by a full pipe.
    _output: BufReader<std::process::ChildStdout>,
}

impl Server {
    /// Starts on a port that the system picks.
    pub fn start(data: &Path, arguments: &[&str]) -> Self {
        Self::start_on("127.0.0.1:0", data, arguments)
    }

    /// Starts on a given address and waits until it listens.
    pub fn start_on(listen: &str, data: &Path, arguments: &[&str]) -> Self {
        Self::spawn(command(data), listen, arguments)
    }

    /// Starts with a limit of open files that it cannot raise.
    pub fn start_limited(descriptors: u32, data: &Path, arguments: &[&str]) -> Self {
        Self::spawn(limited_command(descriptors, data), "127.0.0.1:0", arguments)
    }

    /// Starts a command that is made here or in [`limited_command`].
    pub fn spawn(command: Command, listen: &str, arguments: &[&str]) -> Self {
        let server = Self::spawn_loading(command, listen, arguments);
        server.wait_until_serving();
        server
    }

    /// Starts on a port that the system picks, and does not wait until its data are loaded.
    pub fn start_loading(data: &Path, arguments: &[&str]) -> Self {
        Self::spawn_loading(command(data), "127.0.0.1:0", arguments)
    }

    /// Starts a gateway on a port that the system picks, and waits until an upstream serves.
    pub fn start_gateway(arguments: &[&str]) -> Self {
        let mut command = Command::new(BINARY);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "warn"])
            .args(arguments);
        Self::spawn_with(command, false, arguments.contains(&"--http-listen"))
    }

    fn spawn_loading(mut command: Command, listen: &str, arguments: &[&str]) -> Self {
        command.args(["serve", "--listen", listen, "--debug-procedures"]);
        if !arguments.contains(&"--log") {
            command.args(["--log", "warn"]);
        }
        command.args(arguments);
        let has_admin_listener = arguments.contains(&"--admin-listen");
        let has_side_door = arguments.contains(&"--http-listen");
        Self::begin(command, has_admin_listener, has_side_door)
    }

    /// Starts a command that has all its arguments, and waits until it serves.
    pub fn spawn_with(command: Command, has_admin_listener: bool, has_side_door: bool) -> Self {
        let server = Self::begin(command, has_admin_listener, has_side_door);
        server.wait_until_serving();
        server
    }

    /// Starts a command that has all its arguments, and does not wait until it serves.
    pub fn begin(mut command: Command, has_admin_listener: bool, has_side_door: bool) -> Self {
        let child = command.stdout(Stdio::piped()).spawn();
        let mut child = child.expect("the binary starts");
        let mut output = BufReader::new(child.stdout.take().expect("the output is piped"));
        let address = next_address(&mut output);
        let admin_address = has_admin_listener.then(|| next_address(&mut output));
        let is_by_tls = |own: &OsStr| own == "--tls-listen" || own == "--tls-listen-reads";
        let listens_for_tls = command.get_args().any(is_by_tls);
        let tls_address = listens_for_tls.then(|| next_address(&mut output));
        let http_address = has_side_door.then(|| next_address(&mut output));
        Self {
            process: Process(child),
            address,
            admin_address,
            tls_address,
            http_address,
            _output: output,
        }
    }

    /// Waits until it serves.
    pub fn wait_until_serving(&self) {
        let mut peer = self.connect();
        wait_until("the engine is ready", || {
            peer.call("vestibule.state", &[0x90])
                .error_mentions("assist")
        });
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for administrators, if it was started so.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
            .expect("it was started with --admin-listen")
    }

    /// Where it listens for TLS, if it was started so.
    pub fn tls_address(&self) -> SocketAddr {
        self.tls_address.expect("it was started with --tls-listen")
    }

    /// Where its side door is, if it was started so.
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
            .expect("it was started with --http-listen")
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn connect(&self) -> Peer {
        Peer::connect(self.address)
    }

    /// Descriptors that it has open.
    pub fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.pid());
        fs::read_dir(path).expect("the process is there").count()
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Bounds the size of files that it may write, in bytes: the disk is full for it.
    pub fn limit_files(&self, size: &str) {
        let status = Command::new("prlimit")
            .args([
                format!("--pid={}", self.pid()),
                format!("--fsize={size}:unlimited"),
            ])
            .status();
        assert!(status.expect("prlimit (util-linux) can be run").success());
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.process.wait()
    }

    /// SIGTERM, and its end.
    pub fn terminate(mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.process.0.kill().expect("the child can be killed");
        self.wait();
    }
}

const BINARY: &str = env!("CARGO_BIN_EXE_vestibule");

/// The first address of the network in the server's next line.
fn next_address(output: &mut impl BufRead) -> SocketAddr {
    let mut line = String::new();
    output
        .read_line(&mut line)
        .expect("the server writes where it listens");
    let mut words = line.split([' ', ',', '\n']);
    words
        .find_map(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("no address in the line: {line:?}"))
}

/// Makes the space that
/// [`RequestBuilder::replace`](vestibule_actors::testing::RequestBuilder::replace) writes to: the
/// first user space is 512.
pub fn make_space(peer: &mut Peer) {
    for (procedure, args) in [
        ("box.schema.space.create", &b"\x91\xa4rows"[..]),
        ("box.space.rows:create_index", b"\x91\xa7primary"),
    ] {
        let made = peer.call(procedure, args);
        assert_eq!(made.code, 0, "{procedure}: {:?}", made.error_text());
    }
}

/// Every row of the space that [`make_space`] makes.
pub fn select_all() -> RequestBuilder {
    select_all_of(512)
}

/// Every row of a space.
pub fn select_all_of(space: u64) -> RequestBuilder {
    RequestBuilder::new(RequestType::Select, 1)
        .uint(keys::SPACE_ID, space)
        .uint(keys::LIMIT, u64::MAX)
        .pair(keys::KEY, &[0x90])
}

/// The rows of the space that [`make_space`] makes.
pub fn rows(peer: &mut Peer) -> Vec<(u64, u64)> {
    peer.ask(&select_all()).data()
}

/// A value as MessagePack, structs and maps by name.
pub fn pack(value: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("plain values")
}

/// The program of Debian's Tarantool, or `None` if it is to be left out.
pub fn tarantool() -> Option<String> {
    (!is_skipped("Tarantool")).then(|| tool("VESTIBULE_TEST_TARANTOOL"))
}

/// Writes a row `[n, n]` for each number, all of them before any reply is read.
pub fn write_rows(peer: &mut Peer, keys: Range<u64>) {
    let requests = keys.clone().map(|key| RequestBuilder::replace(key, key));
    let bytes: Vec<u8> = requests.flat_map(|request| request.bytes()).collect();
    peer.send_bytes(&bytes);
    for _ in keys {
        assert_eq!(peer.receive().code, 0);
    }
}

/// Makes Tx stand still and say so with this reason. The reply comes when it goes on.
pub fn block(peer: &mut Peer, seconds: u64, reason: &str) {
    let args = rmp_serde::to_vec(&(seconds, reason)).expect("plain values");
    peer.send(&RequestBuilder::call(1, "vestibule.debug.block", &args));
}

/// Where `tests/run` has put a tool.
pub fn tool(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!(
            "{variable} is not set: run tests/run, which installs what is needed, or set \
             VESTIBULE_TEST_SKIP_INTEROP=1 to leave these tests out"
        )
    })
}

/// Whether tests are left out that need what `tests/run` installs: said loudly.
pub fn is_skipped(what: &str) -> bool {
    let skipped = std::env::var_os("VESTIBULE_TEST_SKIP_INTEROP").is_some_and(|own| own == "1");
    if skipped {
        eprintln!("NOT TESTED: {what}, left out by VESTIBULE_TEST_SKIP_INTEROP=1");
    }
    skipped
}

/// A number from the environment.
pub fn number_from_env(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    let number = value.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} is no number: {value}")))
}

/// The binary with data in a directory and nothing taken from this environment.
pub fn command(data: &Path) -> Command {
    environment(Command::new(BINARY), data)
}

/// The same with a limit of open files that it cannot raise.
pub fn limited_command(descriptors: u32, data: &Path) -> Command {
    let mut command = environment(Command::new("sh"), data);
    let limited = format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"");
    command.args(["-c", &limited, BINARY]);
    command
}

fn environment(mut command: Command, data: &Path) -> Command {
    command
        .current_dir(data)
        .env("VESTIBULE_DATA", data.join("data"))
        // A disk that takes its time is no matter of the tests that do not ask for it.
        .env("VESTIBULE_TX_STALL_AFTER", "0");
    command
}

/// The program of an example of a package, beside this test. Cargo makes it for a run of all tests;
/// for a run of one file alone it is made here, if it is not there or older than its source.
pub fn example(package: &str, folder: &str, name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("this program has a path");
    let profile = own
        .ancestors()
        .nth(2)
        .expect("it is in <profile>/deps of the target directory");
    let program = profile.join("examples").join(name);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = root.join(folder).join(format!("{name}.rs"));
    // Or a folder of several files.
    let parts = fs::read_dir(root.join(folder).join(name));
    let parts = parts.into_iter().flatten().flatten().map(|own| own.path());
    let newest = parts.chain([source]).filter_map(|own| modified(&own)).max();
    if modified(&program) < newest {
        let profile_name = match profile.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", package, "--example", name])
            .args(["--profile", profile_name, "--target-dir"])
            .arg(profile.parent().expect("it is in the target directory"))
            .current_dir(root)
            .status();
        assert!(status.expect("cargo can be run").success());
    }
    program
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|data| data.modified()).ok()
}

/// Waits for what no message tells.
pub fn wait_until(what: &str, mut until: impl FnMut() -> bool) {
    let began = Instant::now();
    while !until() {
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        pause();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "between two looks at another process"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}

/// An address of this machine that is not loopback, if it has one.
pub fn address_of_this_machine() -> Option<IpAddr> {
    // Nothing is sent: the system picks the address that it would be sent from.
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}
