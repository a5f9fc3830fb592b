//! What comes in: listeners that are bound already, and connections that were accepted elsewhere.
//!
//! ```text
//!   address of the configuration ─▶ bind ─┐
//!   socket activation, unix sockets ──────┴▶ Listener ─▶ Acceptor ─┐
//!   TLS, a proxy, a pipe, a test ──────────────────────▶ Connection ─┴▶ slot ─▶ session thread
//! ```

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::pin::Pin;
use std::task::{Context, Waker};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::slots::ListenerKind;

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PeerAddress {
    /// An address of the network.
    Network(SocketAddr),
    /// This machine, without an address: a unix socket, a pipe. As good as loopback.
    Local,
}

impl PeerAddress {
    /// The address as which it counts; that of loopback for what has none.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        match self {
            Self::Network(address) => address.ip().to_canonical(),
            Self::Local => Ipv4Addr::LOCALHOST.into(),
        }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(address) => address.fmt(f),
            // As Tarantool tells it.
            Self::Local => f.write_str("unix/:(socket)"),
        }
    }
}

impl From<SocketAddr> for PeerAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Network(address)
    }
}

/// Bytes in both directions, whatever carries them.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Duplex for S {}

/// What carries a connection on its way to its session thread. Sockets travel as those of `std`:
/// the reactor of that thread takes them over.
pub(crate) enum IncomingStream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Other(Pin<Box<dyn Duplex>>),
}

impl IncomingStream {
    /// Writes what is taken at once, and says that there is no more.
    pub(crate) fn write_last(&mut self, bytes: &[u8]) -> io::Result<()> {
        use std::io::Write as _;
        use std::net::Shutdown;
        match self {
            Self::Tcp(stream) => {
                stream.write_all(bytes)?;
                stream.shutdown(Shutdown::Write)
            }
            Self::Unix(stream) => {
                stream.write_all(bytes)?;
                stream.shutdown(Shutdown::Write)
            }
            Self::Other(stream) => {
                // Nobody waits for it: what is not taken at once is not told.
                let mut cx = Context::from_waker(Waker::noop());
                let _ = stream.as_mut().poll_write(&mut cx, bytes)?;
                let _ = stream.as_mut().poll_flush(&mut cx)?;
                let _ = stream.as_mut().poll_shutdown(&mut cx)?;
                Ok(())
            }
        }
    }
}

impl fmt::Debug for IncomingStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp(_) => "Tcp",
            Self::Unix(_) => "Unix",
            Self::Other(_) => "Other",
        })
    }
}

/// A connection that was accepted elsewhere, for
/// [`RuntimeHandle::adopt`](crate::RuntimeHandle::adopt).
#[derive(Debug)]
pub struct Connection {
    pub(crate) stream: IncomingStream,
    pub(crate) peer: PeerAddress,
    pub(crate) kind: ListenerKind,
}

impl Connection {
    /// A TCP connection, which comes from where its socket says.
    ///
    /// # Errors
    ///
    /// The socket is not connected any more.
    pub fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let peer = stream.peer_addr()?.into();
        Ok(Self::of(IncomingStream::Tcp(stream), peer))
    }

    /// A connection of a unix socket.
    ///
    /// # Errors
    ///
    /// The socket cannot be set up.
    pub fn unix(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self::of(IncomingStream::Unix(stream), PeerAddress::Local))
    }

    /// Whatever carries bytes in both directions: TLS, a pipe, [`tokio::io::duplex`]. It is polled
    /// on a session thread, and must not block there; what it needs of a reactor or of timers stays
    /// where it was made, and has to live as long. `peer` decides what the connection may do: one
    /// from this machine may be an administrator's.
    ///
    /// That the other side is gone is noticed when the connection is read or written.
    pub fn over(
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        peer: impl Into<PeerAddress>,
    ) -> Self {
        Self::of(IncomingStream::Other(Box::pin(stream)), peer.into())
    }

    fn of(stream: IncomingStream, peer: PeerAddress) -> Self {
        Self {
            stream,
            peer,
            kind: ListenerKind::Clients,
        }
    }

    /// Says where it comes from, if a proxy stands before the socket.
    #[must_use]
    pub fn from_peer(mut self, peer: impl Into<PeerAddress>) -> Self {
        self.peer = peer.into();
        self
    }

    /// Has it take one of the administrators' slots, as if it had come to
    /// [`Config::admin_listen`](crate::Config::admin_listen). What it may do is no different.
    #[must_use]
    pub fn for_administrators(mut self) -> Self {
        self.kind = ListenerKind::Administrators;
        self
    }
}

/// Why a connection was not adopted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdoptError {
    /// Every slot is taken, or as many as one address may have; the client was told so.
    #[error("too many connections")]
    TooManyConnections,
}

/// A listener that is bound already, for [`RuntimeHandle::listen`](crate::RuntimeHandle::listen):
/// of a unix socket, from socket activation, or with options of one's own.
#[derive(Debug)]
pub struct Listener {
    pub(crate) socket: ListenerSocket,
    pub(crate) kind: ListenerKind,
}

#[derive(Debug)]
pub(crate) enum ListenerSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// A listener for TCP.
    ///
    /// # Errors
    ///
    /// The socket cannot be set up.
    pub fn tcp(socket: TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self::of(ListenerSocket::Tcp(socket)))
    }

    /// A listener on a unix socket. Its file is its owner's: nobody removes it here.
    ///
    /// # Errors
    ///
    /// The socket cannot be set up.
    pub fn unix(socket: UnixListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self::of(ListenerSocket::Unix(socket)))
    }

    fn of(socket: ListenerSocket) -> Self {
        Self {
            socket,
            kind: ListenerKind::Clients,
        }
    }

    /// Makes it one for administrators, like those of
    /// [`Config::admin_listen`](crate::Config::admin_listen): its connections take their slots, and
    /// it is open until the end of a stop.
    #[must_use]
    pub fn for_administrators(mut self) -> Self {
        self.kind = ListenerKind::Administrators;
        self
    }

    /// The address, if it is one of the network.
    pub(crate) fn address(&self) -> io::Result<Option<SocketAddr>> {
        match &self.socket {
            ListenerSocket::Tcp(socket) => socket.local_addr().map(Some),
            ListenerSocket::Unix(_) => Ok(None),
        }
    }
}

/// Why a runtime does not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Other machines reach the listener, and guest, who needs no password, may do everything.
    #[error("{}", crate::exposure::refusal(*address, power))]
    ExposedGuest {
        /// Where they reach it.
        address: SocketAddr,
        /// How guest comes to it.
        power: String,
    },
    /// The socket tells no address, or cannot be waited for.
    #[error("cannot listen: {0}")]
    Socket(#[from] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_counts_by_its_address_however_it_is_written() {
        let told = |address: &str| {
            let peer = PeerAddress::from(address.parse::<SocketAddr>().unwrap());
            (peer.ip().to_string(), peer.to_string())
        };
        let expected = ("192.0.2.1".to_owned(), "192.0.2.1:5".to_owned());
        assert_eq!(told("192.0.2.1:5"), expected);
        assert_eq!(told("[::ffff:192.0.2.1]:5").0, "192.0.2.1");
        assert!(PeerAddress::Local.ip().is_loopback());
        assert_eq!(PeerAddress::Local.to_string(), "unix/:(socket)");
    }
}
