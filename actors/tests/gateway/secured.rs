//! Upstreams that are reached by TLS, and by unix sockets.

use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::UnixListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use vestibule_actors::serving::State;
use vestibule_actors::testing::{RequestBuilder, TestServer, config};
use vestibule_actors::wire::client::GREETING_SIZE;
use vestibule_actors::wire::keys::CODE_CHUNK;
use vestibule_actors::{
    Gateway, GatewayBuilder, TlsFile, TlsFiles, TlsIdentity, Upstream, UpstreamTls,
    UpstreamTlsFiles, Upstreams,
};

use crate::relay::{Relay, pass as pass_bytes, pem, tls};
use crate::upstream::{FakeUpstream, PATIENCE, upstreams};
use crate::{DONE, eval, goes_to, pass};

/// A directory of this test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let path = std::env::temp_dir().join(format!("vestibule-secured-{process}-{count}"));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// A key that nobody else may use.
    fn key(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::copy(pem(name), &path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn trusting() -> UpstreamTlsFiles {
    UpstreamTlsFiles::new(pem("ca.pem"))
}

fn by(files: UpstreamTlsFiles) -> UpstreamTls {
    UpstreamTls::load(files).expect("the files are there")
}

/// From a unix socket to this address.
fn unix_relay(path: &Path, to: SocketAddr) -> Relay {
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    listener.set_nonblocking(true).unwrap();
    Relay::run(async move || {
        let listener = UnixListener::from_std(listener).unwrap();
        while let Ok((socket, _)) = listener.accept().await {
            tokio::task::spawn_local(pass_bytes(socket, to));
        }
    })
}

/// What a server greets with that is reached by TLS.
fn greeting_by_tls(address: SocketAddr) -> Vec<u8> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(pem("ca.pem")).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let agreed = ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut greeting = vec![0; GREETING_SIZE];
    let mut stream = StreamOwned::new(agreed, socket);
    stream.read_exact(&mut greeting).unwrap();
    greeting
}

fn gateway(upstreams: Upstreams, tls: &UpstreamTls) -> TestServer<Gateway> {
    // What is wrong is to be told at once, and nothing else be wrong because the machine is busy.
    let upstreams = upstreams.connect_timeout(PATIENCE);
    let builder = GatewayBuilder::new(config(), upstreams);
    TestServer::of_gateway(builder.upstream_tls(tls.clone()))
}

/// Waits until the gateway says this of its upstreams.
fn says(server: &TestServer<Gateway>, part: &str) {
    server.wait_until(part, || {
        let told = server.connect().ask(&eval(1, "return 1"));
        assert_eq!(told.error_code(), Some(116), "{told:?}");
        told.error_text().is_some_and(|text| text.contains(part))
    });
}

#[test]
fn requests_of_all_sizes_pass_by_either_version_of_tls() {
    for version in [&TLS12, &TLS13] {
        let upstream = FakeUpstream::start();
        upstream.set_password("alice", "secret");
        let (_relay, address) = Relay::of_tls(tls("server", &[version], false), upstream.address);
        let server = gateway(upstreams(&[("a", address)]), &by(trusting()));
        server.wait_for(State::Assist);
        let mut peer = server.connect();
        assert_eq!(peer.log_in("alice", "secret").code, 0);
        pass(&mut peer, &upstream, &eval(1, "return 1"));
        let size = 3 << 20;
        peer.send(&RequestBuilder::replace_large(7, 1, size));
        let asked = upstream.asked();
        assert_eq!(asked.user, "alice");
        assert!(asked.body.len() > size as usize);
        let body: Vec<u8> = [&[0x81, 0x30, 0xc6, 0, 0x50, 0, 0][..], &vec![7; 5 << 20]].concat();
        asked.push(&body);
        asked.reply(&body);
        let (push, reply) = (peer.receive(), peer.receive());
        assert_eq!((push.code, reply.code), (CODE_CHUNK, 0));
        assert!(push.body == body && reply.body == body);
    }
}

#[test]
fn an_upstream_that_is_not_who_it_has_to_be_is_not_used_and_the_reason_is_told() {
    let upstream = FakeUpstream::start();
    let told_of = |certificate: &str, files: UpstreamTlsFiles, part: &str| {
        let versions: &[_] = &[&TLS12, &TLS13];
        let (_relay, address) = Relay::of_tls(tls(certificate, versions, false), upstream.address);
        let server = gateway(upstreams(&[("a", address)]), &by(files));
        says(&server, part);
        assert_eq!(server.handle().serving().state, State::Loading);
    };
    let stranger = UpstreamTlsFiles::new(pem("stranger.pem"));
    told_of(
        "server",
        stranger,
        "a: TLS: invalid peer certificate: UnknownIssuer",
    );
    let named = trusting().server_name("db2.test").unwrap();
    told_of("server", named, "not valid for name \"db2.test\"");
    told_of(
        "expired",
        trusting(),
        "a: TLS: invalid peer certificate: certificate expired",
    );
    assert_eq!(upstream.connections(), 0);
    // Nor is one that has no TLS at all.
    let server = gateway(upstreams(&[("a", upstream.address)]), &by(trusting()));
    says(&server, "a: TLS: ");
    assert_eq!(server.handle().serving().state, State::Loading);
}

#[test]
fn a_name_that_is_told_counts_instead_of_the_host() {
    let upstream = FakeUpstream::start();
    let (_relay, address) = Relay::of_tls(tls("server", &[&TLS13], false), upstream.address);
    let named = trusting().server_name("db.test").unwrap();
    let server = gateway(upstreams(&[("a", address)]), &by(named));
    server.wait_for(State::Assist);
    assert!(trusting().server_name("no name").is_err());
}

#[test]
fn upstreams_know_a_gateway_by_its_certificate() {
    let scratch = Scratch::new();
    for version in [&TLS12, &TLS13] {
        let upstream = FakeUpstream::start();
        let (_relay, address) = Relay::of_tls(tls("server", &[version], true), upstream.address);
        let nobody = by(trusting());
        let server = gateway(upstreams(&[("a", address)]), &nobody);
        says(&server, "a: ");
        assert_eq!(upstream.connections(), 0);
        // The files become others, and the next connection goes by them.
        let shown = trusting().certificate(pem("client.pem"), scratch.key("client.key"));
        nobody.become_as(&by(shown));
        server.wait_for(State::Assist);
        pass(&mut server.connect(), &upstream, &eval(1, "return 1"));
        let ends = server.handle().metrics().tls.ends;
        let files: Vec<_> = ends.iter().map(|(file, _)| file.clone()).collect();
        assert_eq!(files, [pem("ca.pem"), pem("client.pem")]);
    }
}

#[test]
fn files_are_read_again_when_they_have_changed() {
    let upstream = FakeUpstream::start();
    let (_relay, address) = Relay::of_tls(tls("server", &[&TLS13], false), upstream.address);
    let scratch = Scratch::new();
    let ca = scratch.0.join("ca.pem");
    fs::copy(pem("stranger.pem"), &ca).unwrap();
    let own = by(UpstreamTlsFiles::new(&ca));
    let server = gateway(upstreams(&[("a", address)]), &own);
    says(&server, "UnknownIssuer");
    assert!(!own.reload_changed().unwrap());
    fs::write(&ca, "no certificate").unwrap();
    let fault = own.reload_changed().unwrap_err();
    assert_eq!(fault.file(), TlsFile::ServerCa);
    says(&server, "UnknownIssuer");
    fs::copy(pem("ca.pem"), &ca).unwrap();
    assert!(own.reload_changed().unwrap());
    server.wait_for(State::Assist);
}

#[test]
fn a_handshake_that_stands_still_has_the_time_of_a_connection() {
    // It accepts, by its queue, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let upstreams = upstreams(&[("a", address)]).connect_timeout(Duration::from_millis(50));
    let builder = GatewayBuilder::new(config(), upstreams);
    let server = TestServer::of_gateway(builder.upstream_tls(by(trusting())));
    says(&server, "a: no connection within 50ms");
}

/// From any port by TLS to this address, but only the first connection: handshakes of others stand
/// still.
fn relay_of_one(to: SocketAddr) -> (Relay, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let acceptor = TlsAcceptor::from(tls("server", &[&TLS13], false));
    let relay = Relay::run(async move || {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        pass_bytes(acceptor.accept(socket).await.unwrap(), to).await;
    });
    (relay, address)
}

#[test]
fn what_waits_for_a_handshake_is_before_what_is_sent_when_requests_go_elsewhere() {
    let (first, second) = (FakeUpstream::start(), FakeUpstream::start());
    second.set_writable(false);
    let (_first, a) = relay_of_one(first.address);
    let (_second, b) = Relay::of_tls(tls("server", &[&TLS13], false), second.address);
    let upstreams = upstreams(&[("a", a), ("b", b)]).failover_hold(3 * PATIENCE);
    let builder = GatewayBuilder::new(config(), upstreams.connect_timeout(3 * PATIENCE));
    let server = TestServer::of_gateway(builder.upstream_tls(by(trusting())));
    server.wait_for(State::Assist);
    let mut peer = server.connect();
    (1..4).for_each(|key| peer.send(&RequestBuilder::replace(key, key)));
    peer.ping();
    first.set_writable(false);
    second.set_writable(true);
    peer.send(&RequestBuilder::replace(4, 4));
    for sync in 1..5 {
        second.asked().reply(DONE);
        assert_eq!(peer.receive().sync, sync);
    }
}

#[test]
fn an_upstream_at_a_unix_socket_serves_beside_others_by_tls() {
    let (first, second) = (FakeUpstream::start(), FakeUpstream::start());
    let scratch = Scratch::new();
    let path = scratch.0.join("a.sock");
    let _unix = unix_relay(&path, first.address);
    let (_tls, address) = Relay::of_tls(tls("server", &[&TLS13], false), second.address);
    second.set_writable(false);
    let mut all = upstreams(&[("b", address)]);
    all.upstreams.push(Upstream::at_socket("a", &path));
    let server = gateway(all, &by(trusting()));
    server.wait_for(State::Assist);
    let mut peer = server.connect();
    pass(&mut peer, &first, &eval(1, "return 1"));
    first.set_writable(false);
    second.set_writable(true);
    goes_to(&server, &second, &first);
}

#[test]
fn a_unix_socket_that_nobody_has_is_told_with_its_upstream() {
    let upstreams =
        Upstreams::default().upstreams(vec![Upstream::at_socket("a", "/nowhere/at/all")]);
    let server = TestServer::before(upstreams);
    says(&server, "a: No such file or directory");
}

#[test]
fn clients_come_by_tls_to_a_gateway_as_well() {
    let upstream = FakeUpstream::start();
    let scratch = Scratch::new();
    let identity = TlsFiles::new(pem("server.pem"), scratch.key("server.key"));
    let identity = TlsIdentity::load(identity).unwrap();
    let builder = GatewayBuilder::new(config(), upstreams(&[("a", upstream.address)]));
    let server =
        TestServer::of_gateway(builder.tls(identity, vec!["127.0.0.1:0".parse().unwrap()]));
    server.wait_for(State::Assist);
    let listeners = server.handle().listeners().iter();
    let over_tls = listeners.filter(|own| own.is_over_tls);
    let address = over_tls.filter_map(|own| own.address.network()).next();
    let address = address.expect("it listens for TLS");
    let greeting = String::from_utf8(greeting_by_tls(address)).unwrap();
    assert!(greeting.starts_with("Tarantool 2.6.0 "), "{greeting}");
    let handshakes = server.handle().metrics().tls.handshakes;
    assert_eq!(handshakes["ok"], 1, "{handshakes:?}");
}
