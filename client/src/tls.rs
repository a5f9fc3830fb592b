//! TLS: which servers are trusted, and who the client is to them.
//!
//! TLS begins before the greeting, as Tarantool Enterprise has it, and as what ends TLS before a
//! server does. Versions 1.2 and 1.3. Nothing is taken from the system: what is trusted is told.

use std::fmt;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};
use tokio_rustls::{TlsConnector, client};

use crate::address::Address;
use crate::error::{Error, ErrorKind};

/// How a client and its server know each other by TLS. Cheap to clone.
///
/// ```no_run
/// use vestibule_client::{Client, TlsOptions};
///
/// # async fn example() -> Result<(), vestibule_client::Error> {
/// let tls = TlsOptions::with_roots_file("/etc/app/ca.pem")?
///     .client_certificate_files("/etc/app/app.pem", "/etc/app/app.key")?;
/// let client = Client::builder("app:secret@db1:3301").tls(tls).connect().await?;
/// # client.ping().await
/// # }
/// ```
#[derive(Clone)]
pub struct TlsOptions {
    roots: Arc<RootCertStore>,
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions")
            .field("roots", &self.roots.len())
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

impl TlsOptions {
    /// Trust in servers whose certificates lead to one of these (PEM, one or more), and in no
    /// others. A server that signs its own certificate is trusted by no way but this.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tls`]: there is no certificate, or one that cannot be read.
    pub fn with_roots_pem(pem: impl AsRef<[u8]>) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(pem.as_ref(), "roots")? {
            let added = roots.add(certificate);
            added.map_err(|fault| fail("a root is no certificate", fault))?;
        }
        let roots = Arc::new(roots);
        Ok(Self {
            config: config(&roots, None)?,
            roots,
            server_name: None,
        })
    }

    /// As [`with_roots_pem`](Self::with_roots_pem), from a file, which is read now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tls`]: also if the file cannot be read.
    pub fn with_roots_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::with_roots_pem(read(path.as_ref())?)
    }

    /// Shows servers that ask for it this certificate: its chain, the client's own first, and its
    /// key, both PEM. A key that is encrypted cannot be read.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tls`]: there is no certificate or no key, or they do not fit each other.
    pub fn client_certificate_pem(
        mut self,
        chain: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<Self, Error> {
        let chain = certificates(chain.as_ref(), "chain")?;
        let key = PrivateKeyDer::from_pem_slice(key.as_ref())
            .map_err(|fault| fail("there is no private key", fault))?;
        self.config = config(&self.roots, Some((chain, key)))?;
        Ok(self)
    }

    /// As [`client_certificate_pem`](Self::client_certificate_pem), from files, which are read now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tls`]: also if a file cannot be read.
    pub fn client_certificate_files(
        self,
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, Error> {
        self.client_certificate_pem(read(chain.as_ref())?, read(key.as_ref())?)
    }

    /// The name, or IP address, that the server's certificate has to have, in place of the host of
    /// the URL. With a unix socket, which has none, it has to be told.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tls`]: it is neither.
    pub fn server_name(mut self, name: &str) -> Result<Self, Error> {
        self.server_name = Some(checked_name(name)?);
        Ok(self)
    }

    /// Agrees on TLS over a stream that is connected to `host`, for another protocol than IPROTO:
    /// HTTP, for example. What is told by [`server_name`](Self::server_name) is asked for in place
    /// of `host`. How long it takes is bounded by its caller, who may drop it at any time.
    ///
    /// # Errors
    ///
    /// `host` is no name, the other side is not who it has to be, or it is gone.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        host: &str,
    ) -> io::Result<ConnectedTls<S>> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => checked_name(host).map_err(io::Error::other)?,
        };
        let connector = TlsConnector::from(self.config());
        connector.connect(name, stream).await.map(ConnectedTls)
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// The name that the certificate of the server at this address has to have.
    pub(crate) fn name_at(&self, address: &Address) -> Result<ServerName<'static>, Error> {
        match (&self.server_name, address) {
            (Some(name), _) => Ok(name.clone()),
            (None, Address::Tcp { host, .. }) => checked_name(host),
            (None, Address::Unix(_)) => Err(Error::not_sent(
                ErrorKind::Tls,
                "TLS: a server at a unix socket needs the name that its certificate has",
            )),
        }
    }
}

/// A stream that is agreed on by [`TlsOptions::connect`].
#[derive(Debug)]
pub struct ConnectedTls<S>(client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for ConnectedTls<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ConnectedTls<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

fn checked_name(name: &str) -> Result<ServerName<'static>, Error> {
    let fault = |fault| fail(&format!("{name:?} is no name of a server"), fault);
    ServerName::try_from(name.to_owned()).map_err(fault)
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn config(
    roots: &Arc<RootCertStore>,
    identity: Option<Identity>,
) -> Result<Arc<ClientConfig>, Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|fault| fail("no version of it is there", fault))?
        .with_root_certificates(Arc::clone(roots));
    let config = match identity {
        None => config.with_no_client_auth(),
        Some((chain, key)) => config
            .with_client_auth_cert(chain, key)
            .map_err(|fault| fail("the certificate and its key are of no use", fault))?,
    };
    Ok(Arc::new(config))
}

/// All certificates of a text, of which there has to be one at least.
fn certificates(pem: &[u8], of: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|fault| fail(&format!("the {of} cannot be read"), fault))?;
    if all.is_empty() {
        let text = format!("TLS: the {of} have no certificate");
        return Err(Error::not_sent(ErrorKind::Tls, text));
    }
    Ok(all)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|fault| fail(&path.display().to_string(), fault))
}

fn fail(what: &str, fault: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::not_sent(ErrorKind::Tls, format!("TLS: {what}: {fault}")).with_source(fault)
}

/// Whether a socket failed because of TLS: one of both sides has refused the other.
pub(crate) fn is_of_tls(fault: &io::Error) -> bool {
    fault
        .get_ref()
        .is_some_and(|inner| inner.is::<rustls::Error>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CA: &str = include_str!("../tests/certificates/ca.pem");
    const CLIENT: &str = include_str!("../tests/certificates/client.pem");
    const CLIENT_KEY: &str = include_str!("../tests/certificates/client.key");
    const SERVER_KEY: &str = include_str!("../tests/certificates/server.key");

    fn options() -> TlsOptions {
        TlsOptions::with_roots_pem(CA).unwrap()
    }

    fn fault(made: Result<TlsOptions, Error>) -> String {
        let error = made.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
        error.to_string()
    }

    #[test]
    fn what_is_no_certificate_and_no_key_is_told() {
        let none = fault(TlsOptions::with_roots_pem(""));
        assert_eq!(none, "TLS: the roots have no certificate");
        let cut = fault(TlsOptions::with_roots_pem(&CA[..CA.len() / 2]));
        assert!(cut.starts_with("TLS: the roots cannot be read: "), "{cut}");
        let no_key = fault(options().client_certificate_pem(CLIENT, CLIENT));
        assert!(no_key.contains("no private key"), "{no_key}");
        let other = fault(options().client_certificate_pem(CLIENT, SERVER_KEY));
        assert!(other.contains("of no use"), "{other}");
        let missing = fault(TlsOptions::with_roots_file("/nowhere/ca.pem"));
        assert!(missing.contains("/nowhere/ca.pem"), "{missing}");
    }

    #[test]
    fn a_key_is_not_shown() {
        let options = options()
            .client_certificate_pem(CLIENT, CLIENT_KEY)
            .unwrap();
        let shown = format!("{options:?}");
        assert_eq!(shown, "TlsOptions { roots: 1, server_name: None, .. }");
    }

    #[test]
    fn a_server_is_known_by_its_host_unless_told_otherwise() {
        let tcp = |host: &str| Address::Tcp {
            host: host.to_owned(),
            port: 1,
        };
        let unix = Address::Unix("/run/t.sock".into());
        let name = |options: &TlsOptions, address: &Address| {
            options
                .name_at(address)
                .map(|name| name.to_str().into_owned())
        };
        assert_eq!(name(&options(), &tcp("db1")).unwrap(), "db1");
        assert_eq!(name(&options(), &tcp("::1")).unwrap(), "::1");
        assert!(name(&options(), &tcp("no name")).is_err());
        assert!(name(&options(), &unix).is_err());
        let told = options().server_name("db.test").unwrap();
        assert_eq!(name(&told, &tcp("db1")).unwrap(), "db.test");
        assert_eq!(name(&told, &unix).unwrap(), "db.test");
        assert!(options().server_name("no name").is_err());
    }
}
