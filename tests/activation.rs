//! Sockets that a service manager hands over: these tests are systemd, and hold them.

#[path = "activation/handing.rs"]
mod handing;
mod support;

use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{self, UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use handing::{Started, refused, start, start_command};
use support::{Directory, PATIENCE, Process, command, is_skipped, pem, tls_files, wait_until};
use vestibule_actors::testing::Peer;
use vestibule_client::{Client, TlsOptions};

const NO_ARGS: &[u8] = &[0x90];

fn tcp() -> (TcpListener, SocketAddr) {
    let own = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = own.local_addr().expect("it is bound");
    (own, address)
}

fn wait_until_it_serves(address: SocketAddr) {
    let mut peer = Peer::connect(address);
    wait_until("the engine is ready", || {
        peer.call("vestibule.state", NO_ARGS)
            .error_mentions("assist")
    });
}

fn get(stream: &mut (impl std::io::Read + std::io::Write), path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is answered");
    answer
}

fn greeting(stream: &mut UnixStream) -> String {
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("it can be set");
    let mut greeting = [0; 128];
    stream.read_exact(&mut greeting).expect("it is greeted");
    String::from_utf8_lossy(&greeting).into_owned()
}

fn ping_by_tls(address: SocketAddr) {
    actix_rt::System::new().block_on(async {
        let trusting = TlsOptions::with_roots_file(pem("ca.pem")).expect("it is a certificate");
        let client = Client::builder(address.to_string()).tls(trusting);
        let client = client.connect().await.expect("it is let in");
        client.ping().await.expect("it is answered");
    });
}

/// Certificate and key, as flags.
fn tls_options(directory: &Path) -> [String; 2] {
    let [certificate, key] = tls_files(directory).map(|own| own.display().to_string());
    [
        format!("--tls-certificate={certificate}"),
        format!("--tls-key={key}"),
    ]
}

/// No program that it starts has the sockets.
fn assert_closed_for_others(server: &Started, count: usize) {
    const CLOSE_ON_EXEC: i64 = 0o200_0000;
    for number in 3..3 + count {
        let info = fs::read_to_string(format!("/proc/{}/fdinfo/{number}", server.process.id()));
        let info = info.expect("it has this descriptor");
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = i64::from_str_radix(flags.expect("it has flags").trim(), 8);
        let flags = flags.expect("they are octal");
        assert_ne!(flags & CLOSE_ON_EXEC, 0, "{number}: {info}");
    }
}

/// The side door tells where it listens, and who has said so.
fn assert_told_of_the_manager(door: SocketAddr, listening: [String; 2]) {
    let mut door = TcpStream::connect(door).expect("it listens");
    let told = get(&mut door, "/config.json");
    let (_, body) = told.split_once("\r\n\r\n").expect("it has a body");
    let shown: serde_json::Value = serde_json::from_str(body).expect("it is JSON");
    let expected = serde_json::json!({
        "option": "listen", "values": listening, "origin": "service manager",
    });
    let rows = shown.as_array().expect("it is a list");
    assert!(rows.contains(&expected), "{shown}");
}

#[test]
fn sockets_of_every_name_and_kind_are_served_and_left_to_their_owner() {
    let directory = Directory::new();
    let at = |name: &str| directory.path().join(name);
    let [clients, administrators, tls, http] = [tcp(), tcp(), tcp(), tcp()];
    let [own_path, http_path] = ["own.sock", "http.sock"].map(at);
    let unix = [&own_path, &http_path].map(|own| UnixListener::bind(own).expect("it is free"));
    let sockets = [
        ("clients", clients.0.as_fd()),
        ("clients", unix[0].as_fd()),
        ("admin", administrators.0.as_fd()),
        ("tls", tls.0.as_fd()),
        ("http", http.0.as_fd()),
        ("http", unix[1].as_fd()),
    ];
    let options = tls_options(directory.path());
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let mut server = start(directory.path(), &sockets, &options);

    let told = &server.told;
    let own = own_path.display();
    assert!(
        told[0].ends_with(&format!("listens on {}, unix:{own}", clients.1)),
        "{told:?}"
    );
    assert_eq!(told[1], format!("administrators at {}", administrators.1));
    assert_eq!(told[2], format!("TLS at {}", tls.1));
    let expected = format!("HTTP at {}, unix:{}", http.1, http_path.display());
    assert_eq!(told[3], expected);

    wait_until_it_serves(clients.1);
    Peer::connect(administrators.1).ping();
    let mut stream = UnixStream::connect(&own_path).expect("it listens");
    assert!(greeting(&mut stream).contains("Binary"));
    assert_told_of_the_manager(http.1, [clients.1.to_string(), format!("unix:{own}")]);
    let told = get(
        &mut UnixStream::connect(&http_path).expect("it listens"),
        "/readyz",
    );
    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    ping_by_tls(tls.1);

    assert_closed_for_others(&server, sockets.len());
    server.process.signal("TERM");
    assert_eq!(server.process.wait().code(), Some(0));
    for path in [&own_path, &http_path] {
        UnixStream::connect(path).expect("its owner still listens");
    }
    // The socket that stood for --listen is another process's already: nothing else was opened.
    TcpStream::connect(clients.1).expect("its owner still listens");
}

#[test]
fn what_is_configured_is_what_is_handed_over_or_is_left_out() {
    let directory = Directory::new();
    let (clients, address) = tcp();
    let sockets = [("clients", clients.as_fd())];
    let same = address.to_string();
    let server = start(directory.path(), &sockets, &["--listen", &same]);
    assert!(
        server.told[0].ends_with(&format!("listens on {same}")),
        "{:?}",
        server.told
    );
    // A reload that says something else is refused, and nothing is changed.
    drop(server);
    let file = directory.path().join("own.toml");
    fs::write(&file, "").expect("the directory is ours");
    let named = file.to_str().expect("it is text");
    let server = start(directory.path(), &sockets, &["--config", named]);
    wait_until_it_serves(address);
    let mut peer = Peer::connect(address);
    let taken = peer.call("vestibule.reload", NO_ARGS);
    assert_eq!(taken.code, 0, "{:?}", taken.error_text());
    fs::write(&file, "\nlisten = ['127.0.0.1:1']\n").expect("the directory is ours");
    let told = peer.call("vestibule.reload", NO_ARGS).error_text();
    let told = told.expect("it is refused");
    assert!(
        told.contains("own.toml:2: 'listen'") && told.contains(&same),
        "{told}"
    );
    drop(server);

    for (arguments, place) in [
        (
            &["--listen", "127.0.0.1:1"][..],
            "flag --listen: the service manager",
        ),
        (
            &["--config", named],
            "own.toml:2: 'listen': the service manager",
        ),
    ] {
        let (code, told) = refused(&sockets, "clients", arguments);
        assert_eq!(code, Some(2), "{told}");
        for part in [place, &same, "127.0.0.1:1", "as 'clients'"] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
    let (code, told) = refused(&sockets, "admin", &["--admin-listen", "127.0.0.1:1"]);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("flag --admin-listen: "), "{told}");
}

#[test]
fn a_socket_that_is_of_no_use_is_refused_by_what_it_is() {
    let directory = Directory::new();
    let at = |name: &str| directory.path().join(name);
    let (clients, _) = tcp();
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let datagrams = UnixDatagram::bind(at("datagrams")).expect("it is free");
    let (connected, _other) = UnixStream::pair().expect("it can be made");
    let file = fs::File::create(at("file")).expect("the directory is ours");
    let unix = UnixListener::bind(at("unix")).expect("it is free");
    let name = format!("vestibule-activation-{}", std::process::id());
    let nameless = net::SocketAddr::from_abstract_name(name).expect("it is a name");
    let nameless = UnixListener::bind_addr(&nameless).expect("it is free");
    let everywhere = TcpListener::bind("0.0.0.0:0").expect("a port is free");
    for (socket, name, expected) in [
        (
            clients.as_fd(),
            "vestibule.socket",
            "the names are 'clients', 'admin', 'tls', 'reads', 'tls-reads', 'http'",
        ),
        (clients.as_fd(), "", "FileDescriptorName="),
        (
            udp.as_fd(),
            "clients",
            "'clients', is a socket for datagrams",
        ),
        (
            datagrams.as_fd(),
            "admin",
            "descriptor 3, 'admin', is a socket for datagrams",
        ),
        (connected.as_fd(), "http", "does not listen (Accept=no"),
        (file.as_fd(), "clients", "is no socket of TCP"),
        (nameless.as_fd(), "clients", "a unix socket without a file"),
        (unix.as_fd(), "tls", "TLS is for addresses of the network"),
        (
            clients.as_fd(),
            "tls",
            "needs --tls-certificate and --tls-key",
        ),
        (clients.as_fd(), "reads", "'reads', which is for gateways"),
        (
            unix.as_fd(),
            "tls-reads",
            "TLS is for addresses of the network",
        ),
        (clients.as_fd(), "clients:admin", "invalid LISTEN_FDNAMES"),
        (
            everywhere.as_fd(),
            "clients",
            "is reachable from other machines",
        ),
        (
            everywhere.as_fd(),
            "admin",
            "is reachable from other machines",
        ),
    ] {
        let (code, told) = refused(&[("", socket)], name, &[]);
        assert_eq!(code, Some(2), "{name}: {told}");
        assert!(told.contains(expected), "{name}: {told}");
    }
}

#[test]
fn a_gateway_is_handed_sockets_as_well() {
    let directory = Directory::new();
    let [clients, administrators, tls, http] = [tcp(), tcp(), tcp(), tcp()];
    let sockets = [
        ("clients", clients.0.as_fd()),
        ("admin", administrators.0.as_fd()),
        ("tls", tls.0.as_fd()),
        ("http", http.0.as_fd()),
    ];
    // Nobody is there, and pings need nobody.
    let identity = tls_options(directory.path());
    let [certificate, key] = identity.each_ref().map(String::as_str);
    let upstream = ["--upstream", "a=127.0.0.1:1", certificate, key];
    let gateway = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    let _server = start_command(gateway, &sockets, &upstream);
    Peer::connect(clients.1).ping();
    Peer::connect(administrators.1).ping();
    ping_by_tls(tls.1);
    let told = get(
        &mut TcpStream::connect(http.1).expect("it listens"),
        "/livez",
    );
    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
}

/// By whom SELECTs of this connection are answered.
const READ_FROM: (&str, Option<&str>) = ("read_from", None);

#[test]
fn a_gateway_is_handed_sockets_for_reads() {
    let directory = Directory::new();
    let [clients, reads, by_tls] = [tcp(), tcp(), tcp()];
    let sockets = [
        ("clients", clients.0.as_fd()),
        ("reads", reads.0.as_fd()),
        ("tls-reads", by_tls.0.as_fd()),
    ];
    let identity = tls_options(directory.path());
    let [certificate, key] = identity.each_ref().map(String::as_str);
    let reading = ["--staleness-max", "1s", "--read-from", "primary"];
    let options = ["--upstream", "a=127.0.0.1:1", certificate, key];
    let gateway = || Command::new(env!("CARGO_BIN_EXE_vestibule"));
    let server = start_command(gateway(), &sockets, &[&options[..], &reading].concat());
    assert_eq!(server.told[1], format!("reads of replicas at {}", reads.1));
    let last = format!("reads of replicas by TLS at {}", by_tls.1);
    assert_eq!(server.told[2], last);
    for (address, expected) in [(clients.1, "primary"), (reads.1, "replica")] {
        let told = Peer::connect(address).call_with("vestibule.set", &READ_FROM);
        assert_eq!(told.value::<String>(), expected);
    }
    actix_rt::System::new().block_on(async {
        let trusting = TlsOptions::with_roots_file(pem("ca.pem")).expect("it is a certificate");
        let client = Client::builder(by_tls.1.to_string()).tls(trusting);
        let client = client.connect().await.expect("it is let in");
        let told = client.call::<String>("vestibule.set", READ_FROM).await;
        assert_eq!(told.expect("it is answered"), "replica");
    });
    drop(server);
    for (without, part) in [
        (&reading[..2], "--listen-reads needs --read-from primary"),
        (&reading[2..], "--listen-reads needs --staleness-max"),
    ] {
        let arguments = [&options[..2], without].concat();
        let (code, told) = refused(&sockets[1..2], "reads", &arguments);
        assert_eq!(code, Some(2), "{told}");
        assert!(told.contains(part), "{told}");
    }
    let arguments = [&options[..2], &reading].concat();
    let (code, told) = refused(&sockets[2..], "tls-reads", &arguments);
    assert_eq!(code, Some(2), "{told}");
    let part = "--tls-listen-reads needs --tls-certificate and --tls-key";
    assert!(told.contains(part), "{told}");
}

#[test]
fn what_was_handed_to_another_process_is_none_of_its_business() {
    let directory = Directory::new();
    let mut server = command(directory.path());
    server
        .args(["serve", "--listen", "127.0.0.1:0", "--log", "warn"])
        .envs([
            ("LISTEN_PID", "1"),
            ("LISTEN_FDS", "1"),
            ("LISTEN_FDNAMES", "other"),
        ]);
    support::Server::spawn_with(server, false, false)
        .connect()
        .ping();
}

/// Systemd holds the socket: what comes while nobody accepts waits in its queue.
#[test]
fn a_restart_under_load_refuses_no_connection() {
    const RESTARTS: usize = 3;
    let directory = Directory::new();
    let (clients, address) = tcp();
    let sockets = [("clients", clients.as_fd())];
    let is_over = AtomicBool::new(false);
    let greeted = AtomicUsize::new(0);
    let connect = || {
        while !is_over.load(Ordering::Relaxed) {
            // This is what must not fail; a server that stops may tell so whom it has accepted.
            let mut stream = TcpStream::connect(address).expect("no connection is refused");
            stream
                .set_read_timeout(Some(PATIENCE))
                .expect("it can be set");
            let mut greeting = [0; 128];
            if stream.read_exact(&mut greeting).is_ok() {
                greeted.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(connect)).collect();
        // However it ends, they do.
        let over = Over(&is_over);
        for _ in 0..RESTARTS {
            let mut server = start(directory.path(), &sockets, &["--lameduck", "0"]);
            let before = greeted.load(Ordering::Relaxed);
            wait_until("some are served", || {
                greeted.load(Ordering::Relaxed) > before + 20
                    || clients.iter().any(|own| own.is_finished())
            });
            server.process.signal("TERM");
            let _ = server.process.wait();
        }
        // The last of them wait for one more.
        let server = start(directory.path(), &sockets, &[]);
        drop(over);
        clients
            .into_iter()
            .for_each(|own| own.join().expect("none was refused"));
        drop(server);
    });
}

/// What systemd has for trying it out, which starts the server when the first connection is there.
#[test]
fn systemds_own_program_starts_it_with_the_first_connection() {
    if is_skipped("systemd-socket-activate") {
        return;
    }
    let directory = Directory::new();
    let path = directory.path().join("own.sock");
    let server = command(directory.path());
    let mut activate = Command::new("systemd-socket-activate");
    activate
        .arg(format!("--listen={}", path.display()))
        .arg("--fdname=clients");
    for (name, value) in server.get_envs() {
        let (name, value) = (name.to_string_lossy(), value.unwrap_or_default());
        activate.arg(format!("--setenv={name}={}", value.to_string_lossy()));
    }
    activate
        .arg(server.get_program())
        .args(["serve", "--log", "warn"]);
    let started = Process(activate.spawn().expect("systemd is installed"));
    wait_until("it listens", || path.exists());
    let mut stream = UnixStream::connect(&path).expect("it listens");
    assert!(greeting(&mut stream).contains("Binary"));
    started.signal("TERM");
}

/// Tells that it is over, when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
