//! TLS of a real server: who gets in, who does not, what is refused at the start, and what those
//! come to who agree on nothing.

mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use socket2::{Domain, Socket, Type};
use support::{Directory, Server, command, is_skipped, make_space, pem, tls_files, wait_until};
use vestibule_client::{Client, TlsOptions};

/// The server's certificate and key in a directory, as options.
fn identity(directory: &Path) -> [String; 4] {
    let [certificate, key] = tls_files(directory).map(|own| own.display().to_string());
    [
        "--tls-certificate".to_owned(),
        certificate,
        "--tls-key".to_owned(),
        key,
    ]
}

fn allow(file: &Path, mode: u32) {
    let mode = fs::Permissions::from_mode(mode);
    fs::set_permissions(file, mode).expect("the file is ours");
}

fn start(directory: &Directory, more: &[&str]) -> (Server, SocketAddr) {
    let identity = identity(directory.path());
    let identity: Vec<&str> = identity.iter().map(String::as_str).collect();
    let arguments = [&["--tls-listen", "127.0.0.1:0"], &identity[..], more].concat();
    let server = Server::start(directory.path(), &arguments);
    let address = server.tls_address();
    (server, address)
}

fn trusting() -> TlsOptions {
    TlsOptions::with_roots_file(pem("ca.pem")).expect("it is there")
}

fn showing() -> TlsOptions {
    let options = trusting().client_certificate_files(pem("client.pem"), pem("client.key"));
    options.expect("they are there")
}

async fn connect(address: SocketAddr, tls: TlsOptions) -> Result<Client, vestibule_client::Error> {
    let client = Client::builder(address.to_string()).tls(tls);
    client.connect_timeout(support::PATIENCE).connect().await
}

fn run<T>(work: impl Future<Output = T>) -> T {
    actix_rt::System::new().block_on(work)
}

#[test]
fn requests_and_replies_of_all_sizes_come_through() {
    let directory = Directory::new();
    let options = ["--tuple-size-max", "16777216"];
    let (server, address) = start(&directory, &options);
    make_space(&mut server.connect());
    run(async {
        let client = connect(address, trusting()).await.expect("it is let in");
        client.ping().await.expect("it is answered");
        let rows = client.space::<(u64, String)>("rows");
        let sizes = [0, 1, 1 << 10, 16 << 10, 100 << 10, 1 << 20, 9 << 20];
        for (key, size) in (0..).zip(sizes) {
            let row = (key, "x".repeat(size));
            rows.replace(&row).await.expect("it is written");
        }
        for (key, size) in (0_u64..).zip(sizes) {
            let read = rows.get((key,)).await.expect("it is read");
            assert_eq!(read.map(|(_, text)| text.len()), Some(size));
        }
    });
    assert!(server.terminate().success());
}

#[test]
fn who_shows_no_certificate_that_is_trusted_is_not_let_in() {
    let directory = Directory::new();
    let authority = pem("ca.pem").display().to_string();
    let (_server, address) = start(&directory, &["--tls-client-ca", &authority]);
    run(async {
        let client = connect(address, showing()).await.expect("it is let in");
        client.ping().await.expect("it is answered");
        let refused = connect(address, trusting()).await;
        let told = match refused {
            Err(told) => told,
            // By 1.3 a client learns of it with the first reply.
            Ok(client) => client.ping().await.expect_err("it shows none"),
        };
        drop(told);
    });
}

#[test]
fn what_is_no_identity_is_refused_by_name() {
    let directory = Directory::new();
    let own = identity(directory.path());
    let told = |certificate: &Path, key: &Path, more: &[&str]| {
        let Output { status, stderr, .. } = command(directory.path())
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--tls-listen",
                "127.0.0.1:0",
            ])
            .arg("--tls-certificate")
            .arg(certificate)
            .arg("--tls-key")
            .arg(key)
            .args(more)
            .output()
            .expect("the binary starts");
        let text = String::from_utf8_lossy(&stderr).into_owned();
        assert_eq!(status.code(), Some(2), "{text}");
        text
    };
    let (certificate, key) = (Path::new(&own[1]), Path::new(&own[3]));
    let other = directory.path().join("other.key");
    fs::copy(pem("client.key"), &other).expect("the directory is ours");
    allow(&other, 0o600);
    let text = told(certificate, &other, &[]);
    assert!(
        text.contains("other.key: the key is not that of the certificate"),
        "{text}"
    );
    allow(&other, 0o644);
    let text = told(certificate, &other, &[]);
    assert!(
        text.contains("other.key: others may use it (mode 644)"),
        "{text}"
    );
    let encrypted = directory.path().join("encrypted.key");
    let locked =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n";
    fs::write(&encrypted, locked).expect("the directory is ours");
    allow(&encrypted, 0o600);
    let text = told(certificate, &encrypted, &[]);
    assert!(
        text.contains("encrypted.key: the key is encrypted"),
        "{text}"
    );
    let text = told(key, key, &[]);
    assert!(
        text.contains("server.key: there is no certificate"),
        "{text}"
    );
    let nowhere = Path::new("/nowhere/at/all.pem");
    let text = told(
        certificate,
        key,
        &["--tls-client-ca", "/nowhere/at/all.pem"],
    );
    assert!(text.contains("/nowhere/at/all.pem: "), "{text}");
    let text = told(nowhere, key, &[]);
    assert!(text.contains("flag --tls-certificate: "), "{text}");
    let Output { status, stderr, .. } = command(directory.path())
        .args(["serve", "--tls-listen", "127.0.0.1:0"])
        .output()
        .expect("the binary starts");
    let text = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(2), "{text}");
    assert!(text.contains("--tls-certificate and --tls-key"), "{text}");
}

/// A connection from another address of this host.
fn connect_from_elsewhere(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there is a descriptor");
    let source = SocketAddr::from(([127, 0, 0, 2], 0));
    socket.bind(&source.into()).expect("it is this host's");
    socket.connect(&address.into()).expect("it listens");
    socket.into()
}

/// The first bytes of a handshake, and no more.
fn half_a_handshake(address: SocketAddr) -> TcpStream {
    let mut stream = connect_from_elsewhere(address);
    stream
        .write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3])
        .expect("it is taken");
    stream
}

#[test]
fn who_stands_still_keeps_nobody_out_and_is_let_go_after_ten_seconds() {
    let directory = Directory::new();
    let (server, address) = start(&directory, &["--session-threads", "1"]);
    let before = server.descriptors();
    let mut silent: Vec<_> = (0..100).map(|_| connect_from_elsewhere(address)).collect();
    silent.extend((0..100).map(|_| half_a_handshake(address)));
    run(async {
        // Places are given up to other addresses after a second; the hundred have all 32.
        let client = connect(address, trusting()).await.expect("it is let in");
        client.ping().await.expect("it is answered");
    });
    // A server that speaks no TLS would have greeted them.
    let mut greeted = [0; 64];
    for stream in &mut silent {
        let patient = stream.set_read_timeout(Some(support::PATIENCE));
        patient.expect("a timeout can be set");
        let read = stream.read(&mut greeted).unwrap_or(0);
        assert_ne!(greeted[..read].get(..9), Some(&b"Tarantool"[..]));
    }
    drop(silent);
    wait_until("nothing of them is left", || server.descriptors() <= before);
}

#[test]
fn who_finds_no_slot_is_told_so() {
    let directory = Directory::new();
    let options = ["--connections-max", "1", "--admin-listen", "127.0.0.1:0"];
    let (server, address) = start(&directory, &options);
    // The connection by which the server was found to serve may not be gone yet.
    let mut only = server.connect();
    wait_until("there is a slot for one", || {
        let is_served = only.try_call(1, "vestibule.state", &[0x90]);
        let is_served = is_served.is_some_and(|reply| reply.code == 0);
        if !is_served {
            only = server.connect();
        }
        is_served
    });
    run(async {
        let refused = connect(address, trusting()).await;
        let error = match refused {
            Err(error) => error,
            Ok(client) => client.ping().await.expect_err("there is no slot"),
        };
        let told = format!("{error:?}");
        assert!(
            told.contains("116") || told.contains("connections"),
            "{told}"
        );
    });
}

/// What `openssl s_client` is answered.
fn s_client(address: SocketAddr, options: &[&str]) -> String {
    let mut client = Command::new("openssl")
        .args([
            "s_client",
            "-connect",
            &address.to_string(),
            "-quiet",
            "-no_ign_eof",
        ])
        .args(["-CAfile", &pem("ca.pem").display().to_string()])
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl can be run");
    let mut output = client.stdout.take().expect("it is piped");
    let mut greeting = [0; 128];
    let read = output.read(&mut greeting).unwrap_or(0);
    drop(client.stdin.take());
    let _ = client.kill();
    let _ = client.wait();
    String::from_utf8_lossy(&greeting[..read]).into_owned()
}

#[test]
fn openssl_is_greeted_by_1_2_and_1_3_and_by_nothing_older() {
    if is_skipped("openssl s_client") {
        return;
    }
    let directory = Directory::new();
    let (_server, address) = start(&directory, &[]);
    for version in ["-tls1_2", "-tls1_3"] {
        let greeting = s_client(address, &[version]);
        assert!(greeting.starts_with("Tarantool "), "{version}: {greeting}");
    }
    let old = s_client(address, &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]);
    assert_eq!(old, "", "1.1 is not spoken");
}

/// A certificate that `authority` has signed, made by openssl.
fn signed(directory: &Path, name: &str, authority: &str, days: &str) -> [String; 2] {
    let script = r#"
        set -e
        cd "$1"
        if [ ! -e "$3.pem" ]; then
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
                -subj "/CN=$3" -addext keyUsage=critical,keyCertSign -keyout "$3.key" -out "$3.pem"
        fi
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" \
            -keyout "$2.key" -out "$2.csr"
        printf '%s\n' subjectAltName=DNS:localhost,IP:127.0.0.1 \
            extendedKeyUsage=clientAuth,serverAuth >ext
        openssl x509 -req -in "$2.csr" -CA "$3.pem" -CAkey "$3.key" -CAcreateserial \
            -not_before 20200101000000Z -days "$4" -out "$2.pem" -extfile ext 2>/dev/null ||
            openssl x509 -req -in "$2.csr" -CA "$3.pem" -CAkey "$3.key" -CAcreateserial \
                -days "$4" -out "$2.pem" -extfile ext
    "#;
    let done = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(directory)
        .args([name, authority, days])
        .output()
        .expect("sh can be run");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    ["pem", "key"].map(|kind| {
        directory
            .join(format!("{name}.{kind}"))
            .display()
            .to_string()
    })
}

#[test]
fn of_clients_with_certificates_only_the_right_ones_are_greeted() {
    if is_skipped("openssl s_client") {
        return;
    }
    let directory = Directory::new();
    let path = directory.path();
    let right = signed(path, "right", "own", "20000");
    let wrong = signed(path, "wrong", "strange", "20000");
    // Days that are over are made by none of its options: the day before this one ends.
    let expired = signed(path, "expired", "own", "-1");
    let authority = path.join("own.pem").display().to_string();
    let (_server, address) = start(&directory, &["--tls-client-ca", &authority]);
    for version in ["-tls1_2", "-tls1_3"] {
        let shown = |[certificate, key]: &[String; 2]| {
            s_client(address, &[version, "-cert", certificate, "-key", key])
        };
        assert!(shown(&right).starts_with("Tarantool "), "{version}");
        assert_eq!(shown(&wrong), "", "{version}");
        assert_eq!(shown(&expired), "", "{version}");
        assert_eq!(s_client(address, &[version]), "", "{version}: none");
    }
}

#[test]
fn a_storm_of_handshakes_leaves_others_served_and_nothing_behind() {
    let directory = Directory::new();
    let (server, address) = start(&directory, &[]);
    let mut pinging = server.connect();
    pinging.ping();
    let before = server.descriptors();
    let count = support::number_from_env("VESTIBULE_TEST_HANDSHAKES").unwrap_or(200);
    run(async {
        let arrive = (0..count).map(|_| {
            let tls = trusting();
            actix_rt::spawn(async move {
                let client = connect(address, tls).await.expect("it is let in");
                client.ping().await.expect("it is answered");
            })
        });
        let arriving: Vec<_> = arrive.collect();
        let others = actix_rt::task::spawn_blocking(move || {
            for _ in 0..100 {
                pinging.ping();
            }
        });
        for one in arriving {
            one.await.expect("it has come through");
        }
        others.await.expect("they were answered");
    });
    wait_until("they are gone", || server.descriptors() <= before);
}
