//! Tarantools that are reached by TLS, and by unix sockets.

use std::fs;
use std::process::Command;
use std::time::Instant;

use tokio_rustls::rustls::version::{TLS12, TLS13};
use vestibule_client::{Client, TlsOptions};

use crate::relay::{Relay, tls};
use crate::replicas::{replicated, selects};
use crate::support::{
    Directory, PATIENCE, Server, pem, secret, tarantool, tls_files, tls_files_of, wait_until,
};
use crate::{answers_are_the_same, eval, gateway, gateway_with, log_in, start, start_at};

#[test]
fn by_a_unix_socket_a_client_is_answered_the_same() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let path = directory.path().join("tarantool.sock");
    let listen = format!("unix/:{}", path.display());
    let upstream = start_at(&program, &directory, &listen);
    let server = gateway(&directory, &[("a", &upstream)]);
    answers_are_the_same(&upstream, &server);
}

#[test]
fn by_tls_a_client_is_answered_the_same() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let upstream = start(&program, &directory);
    let to = upstream.address.network().expect("it listens by TCP");
    let (_relay, address) = Relay::of_tls(tls("server", &[&TLS12, &TLS13], true), to);
    let files = tls_files_of("client", directory.path());
    let [certificate, key] = files.map(|own| own.display().to_string());
    let (name, ca) = (format!("a=localhost:{}", address.port()), pem("ca.pem"));
    let ca = ca.to_str().expect("the path is plain");
    let trusted = ["--upstream", &name, "--upstream-tls-ca", ca];
    let shown = [
        "--upstream-tls-certificate",
        &certificate,
        "--upstream-tls-key",
        &key,
    ];
    let server = gateway_with(&directory, &[&trusted[..], &shown].concat());
    answers_are_the_same(&upstream, &server);
}

#[test]
fn files_of_upstreams_are_taken_by_a_reload_and_whether_there_are_any_is_not() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let upstream = start(&program, &directory);
    let to = upstream.address.network().expect("it listens by TCP");
    let (relay, address) = Relay::of_tls(tls("server", &[&TLS13], false), to);
    let file = directory.path().join("vestibule.toml");
    let write = |line: &str| {
        let text = format!("upstream = ['a=localhost:{}']\n{line}\n", address.port());
        fs::write(&file, text).expect("the directory is ours");
    };
    let by = |name: &str| format!("upstream_tls_ca = '{}'", pem(name).display());
    write(&by("ca.pem"));
    let server = gateway_with(
        &directory,
        &["--config", file.to_str().expect("it is plain")],
    );
    let mut alice = log_in(server.connect());
    assert_eq!(alice.ask(&eval("return 1")).code, 0);
    let reload = || server.connect().call("vestibule.reload", &[0x90]);
    for (line, part) in [
        ("", "whether there is 'upstream_tls_ca' cannot change"),
        (
            "upstream_tls_ca = '/nowhere/at/all.pem'",
            "vestibule.toml:2: 'upstream_tls_ca': /nowhere/at/all.pem: No such file",
        ),
    ] {
        write(line);
        let told = reload().error_text().expect("it is refused");
        assert!(told.contains(part), "{told}");
    }
    write(&by("stranger.pem"));
    let told = reload();
    assert_eq!(told.code, 0, "{:?}", told.error_text());
    assert!(told.body.windows(15).any(|own| own == b"upstream_tls_ca"));
    // What is connected stays so; the next connection is not trusted.
    assert_eq!(alice.ask(&eval("return 1")).code, 0);
    drop(relay);
    let (_relay, _) = Relay::of_tls_at(address, tls("server", &[&TLS13], false), to);
    wait_until("the upstream is not trusted", || {
        let told = alice.ask(&eval("return 1"));
        told.error_mentions("a: TLS: invalid peer certificate: UnknownIssuer")
    });
}

/// Replicas answer those who come in where they are read, by the certificate of the other door.
#[test]
fn replicas_answer_who_comes_in_by_tls_where_they_are_read() {
    let Some(program) = tarantool() else { return };
    let (directories, [_first, second], upstreams) = replicated(&program);
    let files = tls_files(directories[0].path());
    let [certificate, key] = files.map(|own| own.display().to_string());
    let reading = ["--staleness-max", "1s", "--read-from", "primary"];
    let options = [
        "--upstream",
        &upstreams,
        "--tls-listen-reads",
        "127.0.0.1:0",
    ];
    let identity = ["--tls-certificate", &certificate, "--tls-key", &key];
    let server = gateway_with(
        &directories[0],
        &[&reading[..], &options, &identity].concat(),
    );
    actix_rt::System::new().block_on(async {
        let tls = TlsOptions::with_roots_file(pem("ca.pem")).expect("it is there");
        let client = Client::builder(format!("alice:secret@{}", server.tls_address())).tls(tls);
        let client = client.connect_timeout(PATIENCE).connect().await;
        let client = client.expect("she is let in");
        let rows = client.space::<(u64, u64)>(512);
        let (before, began) = (selects(&second), Instant::now());
        while selects(&second) == before {
            assert!(began.elapsed() < PATIENCE, "the replica answers nothing");
            rows.get(7).await.expect("it is answered");
        }
    });
}

#[test]
fn clients_come_by_tls_to_a_gateway() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let upstream = start(&program, &directory);
    let [certificate, key] = tls_files(directory.path()).map(|own| own.display().to_string());
    let upstream = format!("a={}", upstream.address);
    let options = ["--upstream", &upstream, "--tls-listen", "127.0.0.1:0"];
    let identity = ["--tls-certificate", &certificate, "--tls-key", &key];
    let server = gateway_with(&directory, &[options, identity].concat());
    actix_rt::System::new().block_on(async {
        let tls = TlsOptions::with_roots_file(pem("ca.pem")).expect("it is there");
        let client = Client::builder(format!("alice:secret@{}", server.tls_address())).tls(tls);
        let client = client.connect_timeout(PATIENCE).connect().await;
        let client = client.expect("she is let in");
        let told: u64 = client.eval("return 7", ()).await.expect("it is answered");
        assert_eq!(told, 7);
    });
}

/// With the files and addresses of this test in place of those of the page.
#[test]
fn the_example_of_the_documentation_is_one() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let upstream = start(&program, &directory);
    let to = upstream.address.network().expect("it listens by TCP");
    let (_relay, address) = Relay::of_tls(tls("server", &[&TLS12, &TLS13], true), to);
    let page = include_str!("../../docs/gateway.md");
    let (_, chapter) = page.split_once("### By TLS\n").expect("it is there");
    let (_, block) = chapter.split_once("```sh\n").expect("it has an example");
    let (mut example, _) = block.split_once("```").expect("it ends");
    let mut made = String::new();
    let files = tls_files_of("client", directory.path());
    let [certificate, key] = files.map(|own| own.display().to_string());
    for (own, ours) in [
        (
            "vestibule --listen",
            concat!("exec ", env!("CARGO_BIN_EXE_vestibule"), " --listen"),
        ),
        ("0.0.0.0:3301", "127.0.0.1:0"),
        (
            "db1.example.com:3301",
            &format!("localhost:{}", address.port()),
        ),
        // Nobody listens there: one of two upstreams serves.
        ("db2.example.com:3301", "localhost:1"),
        (
            "/etc/vestibule/tls/ca.crt",
            &pem("ca.pem").display().to_string(),
        ),
        ("/etc/vestibule/tls/gateway.crt", &certificate),
        ("/etc/vestibule/tls/gateway.key", &key),
    ] {
        let (before, after) = example.split_once(own).expect("in this order");
        made.push_str(before);
        made.push_str(ours);
        example = after;
    }
    made.push_str(example);
    let mut command = Command::new("sh");
    command
        .args(["-c", &made])
        .env("VESTIBULE_UPSTREAM_USER", "gateway")
        .env(
            "VESTIBULE_UPSTREAM_PASSWORD_FILE",
            secret(directory.path(), "gateway"),
        );
    let server = Server::spawn_with(command, false, false);
    answers_are_the_same(&upstream, &server);
}
