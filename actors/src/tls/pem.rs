//! Certificates and keys, read from files. What stands in them is not told.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::validity::not_after;
use crate::limits::TLS_FILE_SIZE_MAX;
use crate::private_file::open_private;

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsFile {
    /// The chain of certificates, the own one first.
    Certificate,
    /// The private key.
    Key,
    /// The certificates that those of clients have to lead to.
    ClientCa,
    /// The certificates that those of servers have to lead to.
    ServerCa,
}

/// Files are of no use. What stands in them is not told.
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

/// One file (PEM), and what it is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct PemFile<'a> {
    pub(super) file: TlsFile,
    pub(super) path: &'a Path,
}

impl PemFile<'_> {
    pub(super) fn fault(self, why: impl ToString) -> TlsError {
        TlsError {
            file: self.file,
            path: self.path.to_owned(),
            why: why.to_string(),
        }
    }

    /// All certificates, of which there has to be one at least.
    pub(super) fn certificates(self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let pem = File::open(self.path).and_then(read);
        let pem = pem.map_err(|fault| self.fault(fault))?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        match certificates {
            Ok(certificates) if certificates.is_empty() => {
                Err(self.fault("there is no certificate"))
            }
            Ok(certificates) => Ok(certificates),
            Err(fault) => Err(self.fault(told(&fault))),
        }
    }

    /// The key, which only its owner and group may use.
    pub(super) fn private_key(self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let pem = open_private(self.path).and_then(read);
        let pem = pem.map_err(|error| self.fault(error))?;
        let has = |text: &str| pem.windows(text.len()).any(|own| own == text.as_bytes());
        if has("BEGIN ENCRYPTED PRIVATE KEY") || has("Proc-Type: 4,ENCRYPTED") {
            let text = "the key is encrypted, and nobody is asked for its password: take that away \
                        with openssl pkey";
            return Err(self.fault(text));
        }
        PrivateKeyDer::from_pem_slice(&pem).map_err(|error| self.fault(told(&error)))
    }

    /// Certificates as what others have to lead to.
    pub(super) fn roots(
        self,
        certificates: Vec<CertificateDer<'static>>,
    ) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            let added = roots.add(certificate);
            added.map_err(|fault| self.fault(fault))?;
        }
        Ok(roots)
    }

    /// When the first of these certificates ends, in seconds since 1970.
    pub(super) fn end(
        self,
        certificates: &[CertificateDer<'_>],
    ) -> Result<(PathBuf, u64), TlsError> {
        let ends = certificates.iter().map(|own| not_after(own));
        let ends: Option<Vec<u64>> = ends.collect();
        let first = ends.and_then(|ends| ends.into_iter().min());
        let first = first.ok_or_else(|| self.fault("there is no certificate"))?;
        Ok((self.path.to_owned(), first))
    }
}

/// What changes with the content of a file, as a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    pub(super) fn of(path: &Path) -> Option<Self> {
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
