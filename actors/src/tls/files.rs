//! The files of an identity: read, and checked against each other.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring::{Ticketer, default_provider};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

use super::followed::{Loaded, Source};
use super::pem::{PemFile, TlsError, TlsFile};
use crate::limits::TLS_TICKETS;

/// The files of an identity, all of them PEM.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlsFiles {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

impl TlsFiles {
    /// A chain of certificates, the server's own first, and its key, which only its owner and group
    /// may use.
    #[must_use]
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            certificate: certificate.into(),
            key: key.into(),
            client_ca: None,
        }
    }

    /// Clients have to show a certificate that leads to one of those in this file.
    #[must_use]
    pub fn client_ca(mut self, path: impl Into<PathBuf>) -> Self {
        self.client_ca = Some(path.into());
        self
    }

    fn certificate_file(&self) -> PemFile<'_> {
        PemFile {
            file: TlsFile::Certificate,
            path: &self.certificate,
        }
    }

    fn key_file(&self) -> PemFile<'_> {
        PemFile {
            file: TlsFile::Key,
            path: &self.key,
        }
    }

    fn server(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        verifier: Option<Arc<dyn ClientCertVerifier>>,
    ) -> Result<ServerConfig, TlsError> {
        let certificate = self.certificate_file();
        let builder = ServerConfig::builder_with_provider(default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(|fault| certificate.fault(fault))?;
        let asks = verifier.is_some();
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let server = builder.with_single_cert(chain, key);
        let mut server = server.map_err(|fault| not_a_pair(fault, certificate, self.key_file()))?;
        // Nothing of a session is kept here: what is needed is in the ticket.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        if asks {
            // A certificate is looked at whenever its owner comes.
            server.send_tls13_tickets = 0;
        } else {
            let ticketer = Ticketer::new();
            server.ticketer = ticketer.map_err(|fault| self.key_file().fault(fault))?;
            server.send_tls13_tickets = TLS_TICKETS;
        }
        Ok(server)
    }
}

/// Which of both is to blame if a chain and a key make no pair.
pub(super) fn not_a_pair(
    fault: rustls::Error,
    certificate: PemFile<'_>,
    key: PemFile<'_>,
) -> TlsError {
    match fault {
        rustls::Error::InconsistentKeys(_) => key.fault("the key is not that of the certificate"),
        fault => certificate.fault(fault),
    }
}

impl Source for TlsFiles {
    type Made = Servers;

    fn paths(&self) -> Vec<&Path> {
        let always: [&Path; 2] = [&self.certificate, &self.key];
        always
            .into_iter()
            .chain(self.client_ca.as_deref())
            .collect()
    }

    fn load(&self) -> Result<Loaded<Servers>, TlsError> {
        let certificate = self.certificate_file();
        let chain = certificate.certificates()?;
        let mut ends = vec![certificate.end(&chain)?];
        let key = self.key_file().private_key()?;
        let Some(path) = &self.client_ca else {
            let made = Servers::same(self.server(chain, key, None)?);
            return Ok(Loaded { made, ends });
        };
        let file = PemFile {
            file: TlsFile::ClientCa,
            path,
        };
        let authorities = file.certificates()?;
        ends.push(file.end(&authorities)?);
        let roots = Arc::new(file.roots(authorities)?);
        let verifier = |is_needed| verifier(file, roots.clone(), is_needed).map(Some);
        let of_all = self.server(chain.clone(), key.clone_key(), verifier(false)?)?;
        let of_clients = self.server(chain, key, verifier(true)?)?;
        let made = Servers {
            of_clients: Arc::new(of_clients),
            of_all: Arc::new(of_all),
        };
        Ok(Loaded { made, ends })
    }
}

/// What handshakes go by.
#[derive(Clone)]
pub(super) struct Servers {
    /// Of those who have to show a certificate, if one is asked for.
    pub(super) of_clients: Arc<ServerConfig>,
    /// Of those who need not.
    pub(super) of_all: Arc<ServerConfig>,
}

impl Servers {
    fn same(server: ServerConfig) -> Self {
        let server = Arc::new(server);
        Self {
            of_clients: server.clone(),
            of_all: server,
        }
    }
}

fn verifier(
    file: PemFile<'_>,
    roots: Arc<RootCertStore>,
    is_needed: bool,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let provider = default_provider().into();
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider);
    let builder = match is_needed {
        true => builder,
        false => builder.allow_unauthenticated(),
    };
    builder.build().map_err(|fault| file.fault(fault))
}
