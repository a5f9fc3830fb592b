//! Sockets.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

#[cfg(any(target_os = "android", target_os = "linux"))]
use socket2::SockRef;
use tokio::io::{AsyncWrite, Interest};
use tokio::net::{TcpStream, UnixStream, tcp, unix};
use vestibule_wire::limits::UNSENT_IN_KERNEL_MAX;

use super::handshake::broken;
use crate::address::Address;
use crate::error::Error;
use crate::options::Options;

/// A socket that is connected.
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// TLS over one of the others, agreed on.
    #[cfg(feature = "tls")]
    Tls(tls::Encrypted),
}

/// What a connection writes to.
pub(super) trait Write: AsyncWrite + Unpin {
    /// Has the kernel take no more while this many bytes are not sent, where it can be told.
    fn bound_unsent(&self, _max: u32) {}
}

/// Where a plain socket is written to: by its connection's task, or by who asks.
#[derive(Debug, Clone)]
pub(crate) struct WriteHalf(Arc<Half>);

#[derive(Debug)]
enum Half {
    Tcp(tcp::OwnedWriteHalf),
    Unix(unix::OwnedWriteHalf),
}

impl From<tcp::OwnedWriteHalf> for WriteHalf {
    fn from(half: tcp::OwnedWriteHalf) -> Self {
        Self(Arc::new(Half::Tcp(half)))
    }
}

impl From<unix::OwnedWriteHalf> for WriteHalf {
    fn from(half: unix::OwnedWriteHalf) -> Self {
        Self(Arc::new(Half::Unix(half)))
    }
}

impl WriteHalf {
    /// Writes what the socket takes now.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &*self.0 {
            Half::Tcp(half) => half.try_write(bytes),
            Half::Unix(half) => half.try_write(bytes),
        }
    }

    /// The same; a socket that takes a part of it is full, and is not asked again before it says
    /// that it is not.
    fn try_fill(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        let write = || {
            taken = self.try_write(bytes)?;
            if taken < bytes.len() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(())
        };
        let written = match &*self.0 {
            Half::Tcp(half) => half.as_ref().try_io(Interest::WRITABLE, write),
            Half::Unix(half) => half.as_ref().try_io(Interest::WRITABLE, write),
        };
        if taken > 0 {
            return Ok(taken);
        }
        written.map(|()| 0)
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &*self.0 {
            Half::Tcp(half) => half.as_ref().poll_write_ready(cx),
            Half::Unix(half) => half.as_ref().poll_write_ready(cx),
        }
    }
}

impl AsyncWrite for WriteHalf {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_ready(cx))?;
            match self.try_fill(bytes) {
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Nothing: the last of those who may write shuts the socket down, which is at once.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Write for WriteHalf {
    fn bound_unsent(&self, max: u32) {
        if let Half::Tcp(half) = &*self.0 {
            // If it cannot be told, it holds what it held.
            let _ = bound_unsent(half.as_ref(), max);
        }
    }
}

/// Connects; tries every address that a name has.
pub(super) async fn connect(address: &Address, options: &Options) -> Result<Socket, Error> {
    let socket = match address {
        Address::Tcp { host, port } => connect_tcp(host, *port).await.map(Socket::Tcp),
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

async fn connect_tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let socket = TcpStream::connect((host, port)).await?;
    // Requests that wait for each other's replies must not wait for the kernel.
    socket.set_nodelay(true)?;
    bound_unsent(&socket, UNSENT_IN_KERNEL_MAX)?;
    Ok(socket)
}

/// Has the kernel take no more while this many bytes are not sent: what is written later waits for
/// them.
fn bound_unsent(socket: &TcpStream, max: u32) -> io::Result<()> {
    #[cfg(any(target_os = "android", target_os = "linux"))]
    SockRef::from(socket).set_tcp_notsent_lowat(max)?;
    let _ = (socket, max);
    Ok(())
}

#[cfg(feature = "tls")]
mod tls {
    //! TLS over sockets.

    use tokio::io::{AsyncRead, AsyncWrite};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::pki_types::ServerName;

    use super::{Socket, Write, broken};
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

    /// The socket below keeps the bound that it has from the start.
    impl Write for tokio::io::WriteHalf<Encrypted> {}

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
