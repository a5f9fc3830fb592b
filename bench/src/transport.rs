//! What carries a connection to the server: TCP, a unix socket, or TLS over TCP.
//!
//! ```text
//!   Target ─▶ BlockingStream ── greeting, login, preparation ──▶ Transport ── the measurement
//! ```
//!
//! TLS is that of the servers here, rustls with ring, 1.2 and 1.3. Each connection has a
//! whole handshake: what is measured is not what a ticket saves.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::error::BenchError;

/// Where a server is, and how it is spoken to. Cheap to clone.
#[derive(Clone)]
pub struct Target(Way);

#[derive(Clone)]
enum Way {
    Tcp(SocketAddr),
    Unix(Arc<Path>),
    Tls(SocketAddr, Arc<Secured>),
}

/// Whom to trust at the other end.
struct Secured {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl From<SocketAddr> for Target {
    fn from(addr: SocketAddr) -> Self {
        Self(Way::Tcp(addr))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self} by {})", self.transport())
    }
}

/// The address, without the transport.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Way::Tcp(addr) | Way::Tls(addr, _) => addr.fmt(f),
            Way::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Target {
    /// The server of a name: `HOST:PORT`, `unix:/PATH` or `unix/:/PATH`. By TLS if a file with what
    /// to trust is named; `server_name` is what the certificate has to have in place of the host.
    pub(crate) fn resolve(
        name: &str,
        tls_ca: Option<&Path>,
        server_name: Option<&str>,
    ) -> Result<Self, BenchError> {
        let usage = |text: String| BenchError::Usage(text);
        let path = ["unix/:", "unix:"]
            .iter()
            .find_map(|own| name.strip_prefix(own));
        if let Some(path) = path {
            if tls_ca.is_some() {
                let text = "TLS is for addresses of the network, not for unix sockets";
                return Err(usage(text.to_owned()));
            }
            return Ok(Self(Way::Unix(Path::new(path).into())));
        }
        let addr = name
            .to_socket_addrs()
            .map_err(BenchError::io(format!("resolving {name}")))?
            .next()
            .ok_or_else(|| usage(format!("{name} resolves to no address")))?;
        let Some(file) = tls_ca else {
            return match server_name {
                Some(_) => Err(usage("--tls-server-name needs --tls-ca".to_owned())),
                None => Ok(addr.into()),
            };
        };
        let host = name.rsplit_once(':').map_or(name, |(host, _)| host);
        let host = server_name.unwrap_or(host.trim_matches(['[', ']']));
        let name = ServerName::try_from(host.to_owned())
            .map_err(|fault| usage(format!("{host:?} is no name of a server: {fault}")))?;
        let config = config(file).map_err(|fault| usage(format!("{}: {fault}", file.display())))?;
        let config = Arc::new(config);
        Ok(Self(Way::Tls(addr, Arc::new(Secured { config, name }))))
    }

    /// `tcp`, `unix` or `tls`.
    pub(crate) fn transport(&self) -> &'static str {
        match self.0 {
            Way::Tcp(_) => "tcp",
            Way::Unix(_) => "unix",
            Way::Tls(..) => "tls",
        }
    }

    /// The address, for what goes over plain TCP alone.
    pub(crate) fn plain_tcp(&self, what: &str) -> Result<SocketAddr, BenchError> {
        match self.0 {
            Way::Tcp(addr) => Ok(addr),
            _ => Err(BenchError::Usage(format!(
                "{what} goes over plain TCP alone"
            ))),
        }
    }

    /// Connects, with a bound on each step.
    pub(crate) fn connect(&self, patience: Duration) -> io::Result<BlockingStream> {
        let tcp = |addr: &SocketAddr| {
            let stream = TcpStream::connect_timeout(addr, patience)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(patience))?;
            stream.set_write_timeout(Some(patience))?;
            io::Result::Ok(stream)
        };
        Ok(match &self.0 {
            Way::Tcp(addr) => BlockingStream::Tcp(tcp(addr)?),
            Way::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(patience))?;
                stream.set_write_timeout(Some(patience))?;
                BlockingStream::Unix(stream)
            }
            Way::Tls(addr, secured) => {
                let tls = ClientConnection::new(secured.config.clone(), secured.name.clone());
                let tls = tls.map_err(io::Error::other)?;
                BlockingStream::Tls(Box::new(StreamOwned::new(tls, tcp(addr)?)))
            }
        })
    }
}

fn config(file: &Path) -> Result<ClientConfig, String> {
    let told = |fault: &dyn fmt::Display| fault.to_string();
    let pem = std::fs::read(file).map_err(|fault| told(&fault))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|fault| told(&fault))?;
        roots.add(certificate).map_err(|fault| told(&fault))?;
    }
    if roots.is_empty() {
        return Err("there is no certificate".to_owned());
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|fault| told(&fault))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// A connection that is waited for.
pub(crate) enum BlockingStream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl BlockingStream {
    /// Gives up the blocking ways.
    pub(crate) fn into_transport(self) -> io::Result<Transport> {
        Ok(match self {
            Self::Tcp(stream) => Transport::Tcp(nonblocking(stream)?),
            Self::Unix(stream) => {
                stream.set_nonblocking(true)?;
                Transport::Unix(mio::net::UnixStream::from_std(stream))
            }
            Self::Tls(stream) => {
                let StreamOwned { conn, sock } = *stream;
                Transport::Tls(Box::new(StreamOwned::new(conn, nonblocking(sock)?)))
            }
        })
    }
}

fn nonblocking(stream: TcpStream) -> io::Result<mio::net::TcpStream> {
    stream.set_nonblocking(true)?;
    Ok(mio::net::TcpStream::from_std(stream))
}

/// A connection that is waited for by nobody.
pub(crate) enum Transport {
    Tcp(mio::net::TcpStream),
    Unix(mio::net::UnixStream),
    Tls(Box<StreamOwned<ClientConnection, mio::net::TcpStream>>),
}

/// Bytes in both directions that never block.
pub(crate) trait ByteStream: Read + Write {
    /// Whether a read that leaves room in its buffer may leave bytes behind.
    fn reads_in_parts(&self) -> bool {
        false
    }
}

impl ByteStream for mio::net::TcpStream {}

impl ByteStream for Transport {
    fn reads_in_parts(&self) -> bool {
        // A read gives what stands in one record.
        matches!(self, Self::Tls(_))
    }
}

/// What all of them are read and written by.
macro_rules! delegate {
    ($type:ident, $read_tls:path) => {
        impl Read for $type {
            fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
                match self {
                    Self::Tcp(own) => own.read(bytes),
                    Self::Unix(own) => own.read(bytes),
                    Self::Tls(own) => end_of($read_tls(&mut **own, bytes)),
                }
            }
        }

        impl Write for $type {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                match self {
                    Self::Tcp(own) => own.write(bytes),
                    Self::Unix(own) => own.write(bytes),
                    Self::Tls(own) => own.write(bytes),
                }
            }

            fn flush(&mut self) -> io::Result<()> {
                match self {
                    Self::Tcp(own) => own.flush(),
                    Self::Unix(own) => own.flush(),
                    Self::Tls(own) => own.flush(),
                }
            }
        }
    };
}

delegate!(BlockingStream, Read::read);
// Whether what was written before is taken yet does not matter to what is read: each side would
// wait for the other one.
delegate!(Transport, read_part);

/// Reads what is decrypted, or decrypts what there is.
fn read_part(
    stream: &mut StreamOwned<ClientConnection, mio::net::TcpStream>,
    bytes: &mut [u8],
) -> io::Result<usize> {
    loop {
        match stream.conn.reader().read(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            read => return read,
        }
        if stream.conn.read_tls(&mut stream.sock)? == 0 {
            return Ok(0);
        }
        let processed = stream.conn.process_new_packets();
        processed.map_err(|fault| io::Error::new(ErrorKind::InvalidData, fault))?;
    }
}

/// A server that leaves without a word has left.
fn end_of(read: io::Result<usize>) -> io::Result<usize> {
    match read {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(0),
        read => read,
    }
}

impl Source for Transport {
    fn register(&mut self, registry: &Registry, token: Token, on: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(own) => own.register(registry, token, on),
            Self::Unix(own) => own.register(registry, token, on),
            Self::Tls(own) => own.sock.register(registry, token, on),
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, on: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(own) => own.reregister(registry, token, on),
            Self::Unix(own) => own.reregister(registry, token, on),
            Self::Tls(own) => own.sock.reregister(registry, token, on),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Self::Tcp(own) => own.deregister(registry),
            Self::Unix(own) => own.deregister(registry),
            Self::Tls(own) => own.sock.deregister(registry),
        }
    }
}
