//! TLS, with the scripted server behind an end of it: who is trusted, and that all gets through.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use vestibule_client::testing::{Answer, Received, ScriptedServer};
use vestibule_client::{Client, ClientBuilder, Error, ErrorKind, Outcome, Retry, TlsOptions};

const CA: &str = include_str!("certificates/ca.pem");
const STRANGER: &str = include_str!("certificates/stranger.pem");
const SERVER: &str = include_str!("certificates/server.pem");
const SERVER_KEY: &str = include_str!("certificates/server.key");
const CLIENT: &str = include_str!("certificates/client.pem");
const CLIENT_KEY: &str = include_str!("certificates/client.key");

const PATIENCE: Duration = Duration::from_secs(60);

/// What a server has of TLS.
fn acceptor(versions: &[&'static SupportedProtocolVersion], asks_clients: bool) -> TlsAcceptor {
    let provider = Arc::new(default_provider());
    let chain = CertificateDer::pem_slice_iter(SERVER.as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(SERVER_KEY.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .unwrap();
    let config = if asks_clients {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(CA.as_bytes()).unwrap();
        roots.add(root).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        config.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        config.with_no_client_auth()
    };
    Arc::new(config.with_single_cert(chain, key).unwrap()).into()
}

/// A scripted server that is reached by TLS.
struct Front {
    url: String,
    server: ScriptedServer,
    accepting: AbortHandle,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass<S: AsyncRead + AsyncWrite + Unpin>(acceptor: TlsAcceptor, socket: S, to: String) {
    // Who is not agreed with is told by TLS, and gone.
    if let Ok(mut own) = acceptor.accept(socket).await
        && let Ok(mut behind) = TcpStream::connect(to).await
    {
        let _ = tokio::io::copy_bidirectional(&mut own, &mut behind).await;
    }
}

fn behind(server: &ScriptedServer) -> String {
    server.url().trim_start_matches("tarantool://").to_owned()
}

impl Front {
    async fn start(acceptor: TlsAcceptor) -> Self {
        let server = ScriptedServer::start(echo).await.expect("a loopback port");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = listener.local_addr().unwrap().to_string();
        let to = behind(&server);
        let accepting = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(pass(acceptor.clone(), socket, to.clone()));
            }
        });
        Self {
            url,
            server,
            accepting: accepting.abort_handle(),
        }
    }

    async fn usual() -> Self {
        Self::start(acceptor(&[&TLS12, &TLS13], false)).await
    }

    async fn refused(&self, tls: TlsOptions) -> Error {
        let error = builder(&self.url).tls(tls).connect().await.unwrap_err();
        assert_eq!(
            (error.kind(), error.outcome()),
            (ErrorKind::Tls, Outcome::NotSent),
            "{error}"
        );
        assert_eq!(self.server.received().len(), 0);
        error
    }
}

fn echo(request: &Received) -> Answer {
    match request.arguments::<(String,)>() {
        Some((text,)) => Answer::value(text),
        None => Answer::values([(1, "Ada")]),
    }
}

fn builder(url: &str) -> ClientBuilder {
    let builder = Client::builder(url).request_timeout(Some(PATIENCE));
    builder.credentials("app", "secret").retry(Retry::never())
}

fn trusting() -> TlsOptions {
    TlsOptions::with_roots_pem(CA).unwrap()
}

async fn select(client: &Client) -> Vec<(u64, String)> {
    let users = client.space::<(u64, String)>("users");
    users.select(..).await.unwrap()
}

#[tokio::test]
async fn a_client_logs_in_and_selects_by_either_version() {
    for version in [&TLS12, &TLS13] {
        let front = Front::start(acceptor(&[version], false)).await;
        let client = builder(&front.url).tls(trusting()).connect().await.unwrap();
        assert_eq!(select(&client).await, [(1, "Ada".to_owned())]);
    }
}

#[tokio::test]
async fn a_server_that_is_not_trusted_is_not_talked_to() {
    let front = Front::usual().await;
    let error = front
        .refused(TlsOptions::with_roots_pem(STRANGER).unwrap())
        .await;
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    // Nor with a certificate of the client's own.
    let tls = TlsOptions::with_roots_pem(STRANGER).unwrap();
    front
        .refused(tls.client_certificate_pem(CLIENT, CLIENT_KEY).unwrap())
        .await;
}

#[tokio::test]
async fn a_server_of_another_name_is_not_talked_to() {
    let front = Front::usual().await;
    let error = front
        .refused(trusting().server_name("db2.test").unwrap())
        .await;
    assert!(error.to_string().contains("db2.test"), "{error}");
    let named = trusting().server_name("db.test").unwrap();
    let client = builder(&front.url).tls(named).connect().await.unwrap();
    assert_eq!(select(&client).await.len(), 1);
}

#[tokio::test]
async fn a_server_knows_its_clients_by_their_certificates() {
    for version in [&TLS12, &TLS13] {
        let front = Front::start(acceptor(&[version], true)).await;
        // With 1.3 the refusal comes when the client believes to be connected.
        front.refused(trusting()).await;
        let known = trusting()
            .client_certificate_pem(CLIENT, CLIENT_KEY)
            .unwrap();
        let client = builder(&front.url).tls(known).connect().await.unwrap();
        assert_eq!(select(&client).await.len(), 1);
    }
}

#[tokio::test]
async fn a_server_without_tls_is_told_apart_from_one_that_is_not_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = listener.local_addr().unwrap().to_string();
    let greeting = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(&[b'T'; 128]).await.unwrap();
        // It waits for a login, until the client has gone.
        let _ = socket.read_to_end(&mut Vec::new()).await;
    });
    let plain = builder(&url).tls(trusting()).connect().await.unwrap_err();
    assert_eq!(plain.kind(), ErrorKind::Tls, "{plain:?}");
    greeting.await.unwrap();
    let nobody = builder(&url).tls(trusting()).connect().await.unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::Connection);
}

#[tokio::test]
async fn a_server_that_says_nothing_to_tls_is_given_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = listener.local_addr().unwrap().to_string();
    let limit = Duration::from_millis(50);
    let client = builder(&url).tls(trusting()).connect_timeout(limit);
    let error = tokio::time::timeout(PATIENCE, client.connect()).await;
    let error = error.expect("it is given up").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert_eq!(error.to_string(), "no connection within 50ms");
}

#[tokio::test]
async fn large_messages_get_through_in_both_directions_beside_pings() {
    let front = Front::usual().await;
    for chunks in [true, false] {
        let client = builder(&front.url).tls(trusting()).chunks(chunks);
        let client = client.connect().await.unwrap();
        assert_eq!(client.server().await.unwrap().has_chunks, chunks);
        let large = "x".repeat(4 << 20);
        let calls = ["a", "b"].map(|name| {
            let text = format!("{name}{large}");
            let call = client.call::<String>("echo", (&text,));
            async move { assert!(call.await.unwrap() == text) }
        });
        let [first, second] = calls;
        let many = async {
            for _ in 0..100 {
                client.ping().await.unwrap();
            }
        };
        tokio::join!(first, second, many);
    }
}

#[tokio::test]
async fn what_was_sent_before_a_close_arrives() {
    let front = Front::usual().await;
    let client = builder(&front.url).tls(trusting()).connect().await.unwrap();
    let transaction = client.begin().await.unwrap();
    drop(transaction);
    drop(client);
    let arrived = front.server.wait_for(2);
    tokio::time::timeout(PATIENCE, arrived)
        .await
        .expect("BEGIN and ROLLBACK");
}

#[tokio::test]
async fn a_connection_is_made_again_by_tls() {
    let front = Front::usual().await;
    let client = builder(&front.url).tls(trusting());
    let client = client.backoff(Duration::from_millis(1), Duration::from_millis(10));
    let client = client.connect().await.unwrap();
    front.server.drop_connections();
    let until = tokio::time::timeout(PATIENCE, async {
        while client.call::<String>("echo", ("x",)).await.is_err() {}
    });
    until.await.expect("it comes back");
}

#[tokio::test]
async fn a_unix_socket_needs_the_name_that_its_server_has() {
    let server = ScriptedServer::start(echo).await.unwrap();
    let path = std::env::temp_dir().join(format!("vestibule-tls-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let url = format!("unix:{}", path.display());
    let to = behind(&server);
    let accepting = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        pass(acceptor(&[&TLS13], false), socket, to).await;
    });
    let nameless = builder(&url).tls(trusting()).connect().await.unwrap_err();
    assert_eq!(nameless.kind(), ErrorKind::Tls);
    let named = trusting().server_name("db.test").unwrap();
    let client = builder(&url).tls(named).connect().await.unwrap();
    assert_eq!(select(&client).await.len(), 1);
    drop(client);
    accepting.await.unwrap();
    let _ = std::fs::remove_file(&path);
}

/// TLS is begun by the client, before any greeting: the first bytes are a record of a handshake.
#[tokio::test]
async fn nothing_is_sent_in_the_clear() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = listener.local_addr().unwrap().to_string();
    let client = builder(&url).tls(trusting()).open().unwrap();
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut head = [0; 3];
    socket.read_exact(&mut head).await.unwrap();
    assert_eq!(head, [22, 3, 1], "a handshake");
    drop(client);
}
