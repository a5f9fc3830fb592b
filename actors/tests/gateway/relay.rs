//! What ends TLS before an upstream: bytes go through.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

/// A file of the certificates that tests have.
pub(crate) fn pem(name: &str) -> PathBuf {
    // The tests of two packages have this file.
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let certificates = |root: &Path| root.join("client/tests/certificates");
    let mut found = package.ancestors().map(certificates);
    found.find(|own| own.is_dir()).unwrap().join(name)
}

/// A server of TLS by the certificate of this name.
pub(crate) fn tls(
    name: &str,
    versions: &[&'static SupportedProtocolVersion],
    asks_clients: bool,
) -> Arc<ServerConfig> {
    let provider = Arc::new(default_provider());
    let chain = CertificateDer::pem_file_iter(pem(&format!("{name}.pem"))).unwrap();
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(pem(&format!("{name}.key"))).unwrap();
    let config = ServerConfig::builder_with_provider(provider.clone());
    let config = config.with_protocol_versions(versions).unwrap();
    let config = if asks_clients {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(pem("ca.pem")).unwrap();
        roots.add(root).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
        config.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        config.with_no_client_auth()
    };
    Arc::new(config.with_single_cert(chain, key).unwrap())
}

/// A relay, until it is dropped.
pub(crate) struct Relay {
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// From any port by TLS to this address.
    pub(crate) fn of_tls(config: Arc<ServerConfig>, to: SocketAddr) -> (Self, SocketAddr) {
        Self::of_tls_at("127.0.0.1:0".parse().unwrap(), config, to)
    }

    /// The same from a port of the test's choice.
    pub(crate) fn of_tls_at(
        from: SocketAddr,
        config: Arc<ServerConfig>,
        to: SocketAddr,
    ) -> (Self, SocketAddr) {
        let listener = std::net::TcpListener::bind(from).unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let relay = Self::run(async move || {
            let listener = TcpListener::from_std(listener).unwrap();
            let acceptor = TlsAcceptor::from(config);
            while let Ok((socket, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::task::spawn_local(async move {
                    // Who is not agreed with is told by TLS, and gone.
                    if let Ok(agreed) = acceptor.accept(socket).await {
                        pass(agreed, to).await;
                    }
                });
            }
        });
        (relay, address)
    }

    /// What accepts, on a thread of its own.
    pub(crate) fn run(accept: impl AsyncFnOnce() + Send + 'static) -> Self {
        let (end, ended) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            LocalSet::new().block_on(&runtime.unwrap(), async {
                tokio::task::spawn_local(accept());
                let _ = ended.await;
            });
        });
        Self {
            end: Some(end),
            thread: Some(thread),
        }
    }
}

/// Passes on what comes, until either side ends it.
pub(crate) async fn pass(mut from: impl AsyncRead + AsyncWrite + Unpin, to: SocketAddr) {
    if let Ok(mut behind) = TcpStream::connect(to).await {
        let _ = copy_bidirectional(&mut from, &mut behind).await;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the relay panicked");
        }
    }
}
