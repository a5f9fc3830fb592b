//! The files of an identity: read, and checked against each other.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tokio_rustls::rustls::crypto::ring::{Ticketer, default_provider};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

use super::validity::not_after;
use crate::limits::{TLS_FILE_SIZE_MAX, TLS_TICKETS};
use crate::private_file::open_private;

/// The files of an identity, all of them PEM.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlsFiles {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

/// One of the files of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsFile {
    /// The chain of certificates, the server's own first.
    Certificate,
    /// The private key.
    Key,
    /// The certificates that those of clients have to lead to.
    ClientCa,
}

/// Files make no identity. What stands in them is not told.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct TlsError {
    file: TlsFile,
    path: PathBuf,
    why: String,
}

impl TlsError {
    /// Which of the files is to blame.
    #[must_use]
    pub fn file(&self) -> TlsFile {
        self.file
    }
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

    fn path(&self, file: TlsFile) -> Option<&Path> {
        match file {
            TlsFile::Certificate => Some(&self.certificate),
            TlsFile::Key => Some(&self.key),
            TlsFile::ClientCa => self.client_ca.as_deref(),
        }
    }

    fn fault(&self, file: TlsFile, why: impl ToString) -> TlsError {
        TlsError {
            file,
            path: self.path(file).unwrap_or(Path::new("")).to_owned(),
            why: why.to_string(),
        }
    }

    /// What tells one state of the files from another without reading them.
    pub(super) fn stamp(&self) -> Vec<Option<Stamp>> {
        let files = [TlsFile::Certificate, TlsFile::Key, TlsFile::ClientCa];
        let stamps = files.map(|file| Stamp::of(self.path(file)?));
        stamps.into()
    }

    /// Reads and checks all of them.
    pub(super) fn load(&self) -> Result<Loaded, TlsError> {
        let chain = self.certificates(TlsFile::Certificate)?;
        let mut ends = vec![self.end(TlsFile::Certificate, &chain)?];
        let verifier = match self.client_ca {
            None => None,
            Some(_) => {
                let authorities = self.certificates(TlsFile::ClientCa)?;
                ends.push(self.end(TlsFile::ClientCa, &authorities)?);
                Some(self.verifier(authorities)?)
            }
        };
        let server = Arc::new(self.server(chain, self.private_key()?, verifier)?);
        Ok(Loaded { server, ends })
    }

    fn server(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        verifier: Option<Arc<dyn ClientCertVerifier>>,
    ) -> Result<ServerConfig, TlsError> {
        let builder = ServerConfig::builder_with_provider(default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(|fault| self.fault(TlsFile::Certificate, fault))?;
        let asks = verifier.is_some();
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut server = builder.with_single_cert(chain, key).map_err(|fault| {
            let is_mismatch = matches!(fault, rustls::Error::InconsistentKeys(_));
            match is_mismatch {
                true => self.fault(TlsFile::Key, "the key is not that of the certificate"),
                false => self.fault(TlsFile::Certificate, fault),
            }
        })?;
        // Nothing of a session is kept here: what is needed is in the ticket.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        if asks {
            // A certificate is looked at whenever its owner comes.
            server.send_tls13_tickets = 0;
        } else {
            let ticketer = Ticketer::new();
            server.ticketer = ticketer.map_err(|fault| self.fault(TlsFile::Key, fault))?;
            server.send_tls13_tickets = TLS_TICKETS;
        }
        Ok(server)
    }

    fn verifier(
        &self,
        authorities: Vec<CertificateDer<'static>>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            let added = roots.add(authority);
            added.map_err(|fault| self.fault(TlsFile::ClientCa, fault))?;
        }
        let provider = default_provider().into();
        WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
            .build()
            .map_err(|fault| self.fault(TlsFile::ClientCa, fault))
    }

    fn certificates(&self, file: TlsFile) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let path = self.path(file).unwrap_or(Path::new(""));
        let pem = File::open(path).and_then(read);
        let pem = pem.map_err(|fault| self.fault(file, fault))?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        match certificates {
            Ok(certificates) if certificates.is_empty() => {
                Err(self.fault(file, "there is no certificate"))
            }
            Ok(certificates) => Ok(certificates),
            Err(fault) => Err(self.fault(file, told(&fault))),
        }
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let fault = |why: String| self.fault(TlsFile::Key, why);
        let pem = open_private(&self.key).and_then(read);
        let pem = pem.map_err(|error| fault(error.to_string()))?;
        let has = |text: &str| pem.windows(text.len()).any(|own| own == text.as_bytes());
        if has("BEGIN ENCRYPTED PRIVATE KEY") || has("Proc-Type: 4,ENCRYPTED") {
            let text = "the key is encrypted, and nobody is asked for its password: take that away \
                        with openssl pkey";
            return Err(fault(text.to_owned()));
        }
        PrivateKeyDer::from_pem_slice(&pem).map_err(|error| fault(told(&error)))
    }

    /// When the first of these certificates ends.
    fn end(
        &self,
        file: TlsFile,
        certificates: &[CertificateDer<'_>],
    ) -> Result<(PathBuf, u64), TlsError> {
        let ends = certificates.iter().map(|own| not_after(own));
        let ends: Option<Vec<u64>> = ends.collect();
        let first = ends.and_then(|ends| ends.into_iter().min());
        let first = first.ok_or_else(|| self.fault(file, "there is no certificate"))?;
        Ok((self.path(file).unwrap_or(Path::new("")).to_owned(), first))
    }
}

/// What an identity is made of.
#[derive(Clone)]
pub(super) struct Loaded {
    pub(super) server: Arc<ServerConfig>,
    /// When the first certificate of each file ends, in seconds since 1970.
    pub(super) ends: Vec<(PathBuf, u64)>,
}

/// What changes with the content of a file, as a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            file: (found.dev(), found.ino()),
            size: found.len(),
            modified: found.modified().ok(),
        })
    }
}

fn read(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(TLS_FILE_SIZE_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > TLS_FILE_SIZE_MAX {
        return Err(io::Error::other(format!(
            "longer than {TLS_FILE_SIZE_MAX} bytes"
        )));
    }
    Ok(bytes)
}

/// A fault of PEM, without what stands there.
fn told(fault: &pem::Error) -> String {
    match fault {
        pem::Error::NoItemsFound => "there is none of it (PEM)".to_owned(),
        _ => "it is no PEM".to_owned(),
    }
}
