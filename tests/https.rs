//! The side door by TLS, as those have it who come from elsewhere: the real binary, asked by curl
//! and by `vestibule probe`.

#[path = "../http/tests/support/client.rs"]
mod client;
mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Output};

use client::get;
use support::{
    Directory, Server, address_of_this_machine, command, is_skipped, pem, tls_files_of, tool,
    wait_until,
};

const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// The server's certificate and key as a file names them, and what stands beside them there.
fn own_files(directory: &Path, name: &str, more: &str) -> String {
    let [certificate, key] = tls_files_of(name, directory).map(|own| own.display().to_string());
    format!("[tls]\ncertificate = '{certificate}'\nkey = '{key}'\n{more}")
}

/// A server whose door speaks TLS by the files of its own file.
fn start(directory: &Directory, at: IpAddr, more: &str) -> (Server, SocketAddr) {
    let file = directory.path().join("vestibule.toml");
    let text = own_files(directory.path(), "server", more);
    fs::write(&file, text).expect("the directory is ours");
    let config = file.display().to_string();
    let listen = SocketAddr::new(at, 0).to_string();
    let arguments = ["--config", &config, "--http-listen", &listen, "--http-tls"];
    let server = Server::start(directory.path(), &arguments);
    let address = server.http_address();
    (server, address)
}

fn curl(arguments: &[&str]) -> Output {
    Command::new(tool("VESTIBULE_TEST_CURL"))
        .args(["--silent", "--show-error", "--max-time", "60"])
        .args(arguments)
        .output()
        .expect("it can be run")
}

/// The status that curl gets by https, 0 if it gets none.
fn status(address: SocketAddr, path: &str, more: &[&str]) -> u16 {
    let authority = pem("ca.pem").display().to_string();
    let url = format!("https://{address}{path}");
    let asked = ["--cacert", &authority, "--output", "/dev/null"];
    let told = curl(&[&asked[..], &["--write-out", "%{http_code}"], more, &[&url]].concat());
    String::from_utf8_lossy(&told.stdout).parse().unwrap_or(0)
}

/// What `vestibule probe` comes to, which needs nothing but the binary.
fn probe(address: SocketAddr, more: &[&str]) -> Output {
    let authority = pem("ca.pem").display().to_string();
    let door = format!("https://{address}");
    Command::new(env!("CARGO_BIN_EXE_vestibule"))
        .args(["probe", "ready", "--timeout", "60s", "--http", &door])
        .args(["--tls-ca", &authority])
        .args(more)
        .output()
        .expect("it can be run")
}

fn is_ready(address: SocketAddr) -> bool {
    probe(address, &[]).status.success()
}

#[test]
fn curl_is_answered_by_https() {
    if is_skipped("curl") {
        return;
    }
    let directory = Directory::new();
    let (server, address) = start(&directory, LOOPBACK, "");
    for path in ["/livez", "/readyz?writes", "/metrics", "/status.json", "/"] {
        for version in ["1.2", "1.3"] {
            let only = ["--tls-max", version, &format!("--tlsv{version}")];
            assert_eq!(status(address, path, &only), 200, "{path} by {version}");
        }
    }
    let told = curl(&[&format!("https://{address}/livez")]);
    let text = String::from_utf8_lossy(&told.stderr);
    assert_eq!(
        told.status.code(),
        Some(60),
        "it trusts nobody else: {text}"
    );
    assert!(server.terminate().success());
}

#[test]
fn who_asks_in_plain_is_told_to_ask_by_https() {
    let directory = Directory::new();
    let (_server, address) = start(&directory, LOOPBACK, "");
    for path in ["/livez", "/metrics", "/status.json", "/nowhere"] {
        let answer = get(address, path);
        assert_eq!(
            (answer.status, &*answer.body),
            (400, "TLS is spoken here: ask by https\n")
        );
    }
    // What is neither ends with an alert, or none.
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(b"\0\0\0\0").expect("it is taken");
    let patient = stream.set_read_timeout(Some(support::PATIENCE));
    patient.expect("a timeout can be set");
    let mut told = Vec::new();
    let _ = stream.read_to_end(&mut told);
    assert!(told.len() < 16, "{told:?}");
    assert!(is_ready(address));
}

#[test]
fn handshakes_that_stand_still_hold_up_no_probe_and_are_let_go() {
    let directory = Directory::new();
    let (server, address) = start(&directory, LOOPBACK, "");
    assert!(is_ready(address));
    let before = server.descriptors();
    let connect = || TcpStream::connect(address).expect("it listens");
    let mut idle: Vec<_> = (0..100).map(|_| connect()).collect();
    for half in &mut idle[50..] {
        // The first bytes of a handshake. Many are closed already.
        let _ = half.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);
    }
    for _ in 0..5 {
        assert!(is_ready(address));
    }
    for stream in &mut idle {
        let patient = stream.set_read_timeout(Some(support::PATIENCE));
        patient.expect("a timeout can be set");
        // Closed, with an alert or without one.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    drop(idle);
    wait_until("nothing of them is left", || server.descriptors() <= before);
}

#[test]
fn a_reload_gives_it_other_certificates() {
    let directory = Directory::new();
    let (server, address) = start(&directory, LOOPBACK, "");
    let reload = |name: &str| {
        let text = own_files(directory.path(), name, "");
        fs::write(directory.path().join("vestibule.toml"), text).expect("the directory is ours");
        let told = server.connect().call("vestibule.reload", &[0x90]);
        assert_eq!(told.code, 0, "{:?}", told.error_text());
    };
    assert!(is_ready(address));
    // It is no server's: who asks now meets the new one.
    reload("client");
    let told = probe(address, &[]);
    assert_eq!(told.status.code(), Some(1));
    let text = String::from_utf8_lossy(&told.stderr);
    assert!(text.contains("certificate"), "{text}");
    reload("server");
    assert!(is_ready(address));
}

#[test]
fn a_certificate_stands_for_the_token_and_metrics_need_none() {
    if is_skipped("curl") {
        return;
    }
    let elsewhere = address_of_this_machine().expect("it has one besides loopback");
    let directory = Directory::new();
    let authority = format!("client_ca = '{}'\n", pem("ca.pem").display());
    let (_server, address) = start(&directory, elsewhere, &authority);
    let name = format!("localhost:{}", address.port());
    let here = format!("{name}:{address}");
    let [certificate, key] = ["client.pem", "client.key"].map(|own| pem(own).display().to_string());
    let ask = |path: &str, more: &[&str]| {
        let url = format!("https://{name}{path}");
        let authority = pem("ca.pem").display().to_string();
        let to = [
            "--cacert",
            &authority,
            "--connect-to",
            &here,
            "--output",
            "/dev/null",
        ];
        let told = curl(&[&to[..], &["--write-out", "%{http_code}"], more, &[&url]].concat());
        String::from_utf8_lossy(&told.stdout).parse().unwrap_or(0)
    };
    let shown = ["--cert", &certificate, "--key", &key];
    for (path, without) in [("/metrics", 200), ("/readyz", 200), ("/status.json", 403)] {
        assert_eq!(ask(path, &[]), without, "{path}");
        assert_eq!(ask(path, &shown), 200, "{path}");
    }
    // One that nobody trusts is none, and is not taken for none.
    let [certificate, key] = strange(directory.path());
    assert_eq!(ask("/metrics", &["--cert", &certificate, "--key", &key]), 0);
}

/// A certificate that signs itself.
fn strange(directory: &Path) -> [String; 2] {
    let files = ["pem", "key"].map(|own| directory.join(format!("strange.{own}")));
    let [certificate, key] = files.map(|own| own.display().to_string());
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "7"])
        .args([
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-subj",
            "/CN=strange",
        ])
        .args(["-keyout", &key, "-out", &certificate])
        .output();
    assert!(made.expect("openssl can be run").status.success());
    [certificate, key]
}

#[test]
fn without_a_certificate_it_is_refused_and_a_unix_socket_needs_none() {
    let directory = Directory::new();
    let told = command(directory.path())
        .args(["serve", "--http-tls", "--http-listen", "127.0.0.1:0"])
        .output()
        .expect("the binary starts");
    let text = String::from_utf8_lossy(&told.stderr);
    assert_eq!(told.status.code(), Some(2), "{text}");
    let expected = "--http-tls needs --tls-certificate and --tls-key";
    assert!(text.contains(expected), "{text}");
    let socket = directory.path().join("http.sock");
    let unix = format!("unix:{}", socket.display());
    let mut command = command(directory.path());
    command.env("VESTIBULE_HTTP_LISTEN", &unix);
    let _server = Server::spawn(command, "127.0.0.1:0", &["--http-tls"]);
    let asked = Command::new(env!("CARGO_BIN_EXE_vestibule"))
        .args(["probe", "live", "--http", &unix])
        .output()
        .expect("it can be run");
    assert!(asked.status.success(), "{asked:?}");
}

#[test]
fn a_probe_by_https_has_to_be_told_whom_to_trust() {
    let directory = Directory::new();
    let (_server, address) = start(&directory, LOOPBACK, "");
    let ask = |more: &[&str]| {
        let door = format!("https://{address}");
        let asked = Command::new(env!("CARGO_BIN_EXE_vestibule"))
            .args(["probe", "live", "--http", &door])
            .args(more)
            .output()
            .expect("it can be run");
        let text = String::from_utf8_lossy(&asked.stderr).into_owned();
        (asked.status.code(), text)
    };
    let (code, text) = ask(&[]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("https needs --tls-ca"), "{text}");
    let (code, text) = ask(&["--tls-ca", "/nowhere/ca.pem"]);
    assert_eq!(code, Some(2), "{text}");
    let other = pem("client.pem").display().to_string();
    let (code, text) = ask(&["--tls-ca", &other]);
    assert_eq!(code, Some(1), "it is not who it has to be: {text}");
    let authority = pem("ca.pem").display().to_string();
    let (code, text) = ask(&["--tls-ca", &authority, "--tls-server-name", "other.test"]);
    assert_eq!(code, Some(1), "it has another name: {text}");
    assert_eq!(ask(&["--tls-ca", &authority]), (Some(0), String::new()));
}
