//! Sockets.

#[cfg(any(target_os = "android", target_os = "linux"))]
use socket2::SockRef;
use tokio::net::{TcpStream, UnixStream};

use super::handshake::broken;
use crate::address::Address;
use crate::error::Error;
#[cfg(any(target_os = "android", target_os = "linux"))]
use crate::limits::UNSENT_IN_KERNEL_MAX;
use crate::options::Options;

/// A socket that is connected.
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// TLS over one of the others, agreed on.
    #[cfg(feature = "tls")]
    Tls(tls::Encrypted),
}

/// Connects; tries every address that a name has.
pub(super) async fn connect(address: &Address, options: &Options) -> Result<Socket, Error> {
    let socket = match address {
        Address::Tcp { host, port } => tcp(host, *port).await.map(Socket::Tcp),
        Address::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
    };
    let socket = socket.map_err(broken)?;
    #[cfg(feature = "tls")]
    if let Some(own) = &options.tls {
        return tls::agree(own, address, socket).await;
    }
    #[cfg(not(feature = "tls"))]
    let Options { .. } = options;
    Ok(socket)
}

async fn tcp(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let socket = TcpStream::connect((host, port)).await?;
    // Requests that wait for each other's replies must not wait for the kernel.
    socket.set_nodelay(true)?;
    #[cfg(any(target_os = "android", target_os = "linux"))]
    SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT_IN_KERNEL_MAX)?;
    Ok(socket)
}

#[cfg(feature = "tls")]
mod tls {
    //! TLS over sockets.

    use tokio::io::{AsyncRead, AsyncWrite};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::pki_types::ServerName;

    use super::{Socket, broken};
    use crate::address::Address;
    use crate::error::Error;
    use crate::limits::TLS_UNSENT_MAX;
    use crate::tls::TlsOptions;

    /// What is read and written as a socket is.
    pub(in crate::link) trait Duplex:
        AsyncRead + AsyncWrite + Send + Unpin
    {
    }

    impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

    pub(in crate::link) type Encrypted = Box<dyn Duplex>;

    pub(super) async fn agree(
        options: &TlsOptions,
        address: &Address,
        socket: Socket,
    ) -> Result<Socket, Error> {
        let name = options.name_at(address)?;
        let encrypted = match socket {
            Socket::Tcp(socket) => over(options, name, socket).await?,
            Socket::Unix(socket) => over(options, name, socket).await?,
            Socket::Tls(socket) => socket,
        };
        Ok(Socket::Tls(encrypted))
    }

    async fn over<S: Duplex + 'static>(
        options: &TlsOptions,
        name: ServerName<'static>,
        socket: S,
    ) -> Result<Encrypted, Error> {
        let connector = TlsConnector::from(options.config());
        let agreed = connector.connect_with(name, socket, |own| {
            own.set_buffer_limit(Some(TLS_UNSENT_MAX));
        });
        Ok(Box::new(agreed.await.map_err(broken)?))
    }
}
