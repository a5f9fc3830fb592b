//! Servers that are connected to: whom of them is trusted, and who this one is to them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::ServerName;

use super::files::not_a_pair;
use super::followed::{Followed, Loaded, Source};
use super::pem::{PemFile, TlsError, TlsFile};

/// The files by which upstreams and a gateway know each other, all of them PEM. Nothing is taken
/// from the system: what is trusted is told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UpstreamTlsFiles {
    ca: PathBuf,
    own: Option<(PathBuf, PathBuf)>,
    server_name: Option<String>,
}

/// A name that no certificate can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a server, and no address")]
pub struct ServerNameError(String);

impl UpstreamTlsFiles {
    /// Trust in upstreams whose certificates lead to one of those in this file, and in no others.
    #[must_use]
    pub fn new(ca: impl Into<PathBuf>) -> Self {
        Self {
            ca: ca.into(),
            own: None,
            server_name: None,
        }
    }

    /// Shows upstreams that ask for it this certificate: its chain, the own one first, and its key,
    /// which only its owner and group may use.
    #[must_use]
    pub fn certificate(mut self, chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.own = Some((chain.into(), key.into()));
        self
    }

    /// The name, or the address, that the certificates of all upstreams have to have, in place of
    /// the host by which each is connected to.
    ///
    /// # Errors
    ///
    /// It is neither.
    pub fn server_name(mut self, name: &str) -> Result<Self, ServerNameError> {
        checked_name(name)?;
        self.server_name = Some(name.to_owned());
        Ok(self)
    }

    fn ca_file(&self) -> PemFile<'_> {
        PemFile {
            file: TlsFile::ServerCa,
            path: &self.ca,
        }
    }
}

fn checked_name(name: &str) -> Result<ServerName<'static>, ServerNameError> {
    ServerName::try_from(name.to_owned()).map_err(|_| ServerNameError(name.to_owned()))
}

impl Source for UpstreamTlsFiles {
    type Made = Arc<ClientConfig>;

    fn paths(&self) -> Vec<&Path> {
        let own = self.own.iter().flat_map(|(chain, key)| [chain, key]);
        [&self.ca]
            .into_iter()
            .chain(own)
            .map(PathBuf::as_path)
            .collect()
    }

    fn load(&self) -> Result<Loaded<Arc<ClientConfig>>, TlsError> {
        let ca = self.ca_file();
        let authorities = ca.certificates()?;
        let mut ends = vec![ca.end(&authorities)?];
        let builder = ClientConfig::builder_with_provider(default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(|fault| ca.fault(fault))?
            .with_root_certificates(ca.roots(authorities)?);
        let made = match &self.own {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let [chain, key] = [(TlsFile::Certificate, chain), (TlsFile::Key, key)]
                    .map(|(file, path)| PemFile { file, path });
                let certificates = chain.certificates()?;
                ends.push(chain.end(&certificates)?);
                let made = builder.with_client_auth_cert(certificates, key.private_key()?);
                made.map_err(|fault| not_a_pair(fault, chain, key))?
            }
        };
        let made = Arc::new(made);
        Ok(Loaded { made, ends })
    }
}

/// How a gateway and its upstreams know each other by TLS 1.2 and 1.3. Cheap to clone; all clones
/// are one. The files are read when it is made, and again by [`reload`](Self::reload); a gateway
/// looks at them once a minute.
#[derive(Clone)]
pub struct UpstreamTls(Arc<Followed<UpstreamTlsFiles>>);

impl fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamTls")
            .field("files", &self.0.files())
            .finish_non_exhaustive()
    }
}

impl UpstreamTls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// One of them cannot be read, others may use the key, it is encrypted, or they do not fit each
    /// other.
    pub fn load(files: UpstreamTlsFiles) -> Result<Self, TlsError> {
        Followed::load(files).map(|own| Self(Arc::new(own)))
    }

    /// Reads the files again; connections that are made from now on go by what stands there.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load); then nothing changes.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.0.reload()
    }

    /// Reads the files again if they are others than when they were looked at last; whether they
    /// were. Reads files: for a thread that may wait for a disk.
    ///
    /// # Errors
    ///
    /// As [`reload`](Self::reload), once for each time that they have changed.
    pub fn reload_changed(&self) -> Result<bool, TlsError> {
        self.0.reload_changed()
    }

    /// How often files that had changed were taken (`taken`), and how often they did not fit
    /// (`refused`), by [`reload_changed`](Self::reload_changed).
    #[must_use]
    pub fn renewals(&self) -> BTreeMap<&'static str, u64> {
        self.0.renewals()
    }

    /// Goes on as another one that was loaded, with its files.
    pub fn become_as(&self, other: &Self) {
        self.0.become_as(&other.0);
    }

    /// When the first certificate of each file ends: that of what is trusted, and the own one.
    #[must_use]
    pub fn ends(&self) -> Vec<(PathBuf, SystemTime)> {
        self.0.ends()
    }

    /// What a connection that is made now goes by.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        self.0.made()
    }

    /// The name that the certificate of an upstream at this host has to have.
    pub(crate) fn name_at(&self, host: &str) -> Result<ServerName<'static>, ServerNameError> {
        let told = self.0.files().server_name;
        checked_name(told.as_deref().unwrap_or(host))
    }
}
