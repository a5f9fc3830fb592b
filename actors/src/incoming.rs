//! What comes in: listeners that are bound already, and connections that were accepted elsewhere.
//!
//! ```text
//!   address of the configuration ─▶ bind ─┐
//!   socket activation, unix sockets ──────┴▶ Listener ─▶ Acceptor ─┐
//!   TLS, a proxy, a pipe, a test ──────────────────────▶ Connection ─┴▶ slot ─▶ session thread
//! ```

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::endpoints::{ListenAddress, PeerAddress, UnixPeer, UnixSocketFile};
use crate::limits::{
    CONNECTION_REQUESTS_MAX, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES, OUTPUT_MAX,
    OUTPUT_MAX_LEAST,
};
use crate::settable::settable;
use crate::slots::ListenerKind;
use crate::tls::TlsIdentity;

settable! {
    /// How much of the runtime one connection may use, for [`Connection::bounds`]: at most what the
    /// runtime gives to each, which is the default.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct ConnectionBounds {
        /// Requests that are forwarded to Tx and not answered; what comes beyond it is not read
        /// until one is. At least 1, at most [`CONNECTION_REQUESTS_MAX`].
        pub requests: usize,
        /// Bytes of replies that its client leaves before it is closed. At least
        /// [`OUTPUT_MAX_LEAST`], at most [`OUTPUT_MAX`]. A reply that is larger reaches those only
        /// who take it as it comes.
        pub output_bytes: usize,
        /// After how long it is closed, as [`TimeLimits::idle`](crate::config::TimeLimits::idle)
        /// says, which is the most, if there is one; `None` for that one.
        pub idle: Option<Duration>,
    }
}

impl Default for ConnectionBounds {
    fn default() -> Self {
        Self {
            requests: CONNECTION_REQUESTS_MAX,
            output_bytes: OUTPUT_MAX,
            idle: None,
        }
    }
}

impl ConnectionBounds {
    /// Refuses those beyond what the runtime gives; `idle` is its idle time, 0 for none.
    pub(crate) fn check(&self, idle: Duration) -> Result<(), AdoptError> {
        if !(1..=CONNECTION_REQUESTS_MAX).contains(&self.requests) {
            return Err(AdoptError::Requests {
                asked: self.requests,
            });
        }
        if !(OUTPUT_MAX_LEAST..=OUTPUT_MAX).contains(&self.output_bytes) {
            return Err(AdoptError::OutputBytes {
                asked: self.output_bytes,
            });
        }
        let max = if idle.is_zero() { Duration::MAX } else { idle };
        match self.idle {
            Some(asked) if asked.is_zero() || asked > max => Err(AdoptError::Idle { asked, max }),
            _ => Ok(()),
        }
    }
}

/// Where a connection comes from, and what it may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) peer: PeerAddress,
    pub(crate) bounds: ConnectionBounds,
    /// Whether it came in where replicas answer SELECTs.
    pub(crate) is_for_reads: bool,
}

impl From<PeerAddress> for Origin {
    fn from(peer: PeerAddress) -> Self {
        let bounds = ConnectionBounds::default();
        Self {
            peer,
            bounds,
            is_for_reads: false,
        }
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
    pub(crate) bounds: ConnectionBounds,
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

    /// A connection of a unix socket. Who is at its other end is asked when it is served.
    ///
    /// # Errors
    ///
    /// The socket cannot be set up.
    pub fn unix(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let peer = PeerAddress::Unix(UnixPeer::default());
        Ok(Self::of(IncomingStream::Unix(stream), peer))
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
            bounds: ConnectionBounds::default(),
        }
    }

    /// Lets it use less of the runtime than others.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use vestibule_actors::{Connection, ConnectionBounds, PeerAddress};
    ///
    /// let (_client, server) = tokio::io::duplex(4096);
    /// let bounds = ConnectionBounds::default()
    ///     .requests(16)
    ///     .output_bytes(16 << 20)
    ///     .idle(Some(Duration::from_secs(60)));
    /// let connection = Connection::over(server, PeerAddress::Local).bounds(bounds);
    /// # let _ = connection;
    /// ```
    #[must_use]
    pub fn bounds(mut self, bounds: ConnectionBounds) -> Self {
        self.bounds = bounds;
        self
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
    /// The bound on its requests is out of range.
    #[error("requests of a connection are bounded by 1 to {CONNECTION_REQUESTS_MAX}, not {asked}")]
    Requests {
        /// What was asked for.
        asked: usize,
    },
    /// The bound on its output is out of range.
    #[error(
        "the output of a connection is bounded by {OUTPUT_MAX_LEAST} to {OUTPUT_MAX} bytes, not \
         {asked}"
    )]
    OutputBytes {
        /// What was asked for.
        asked: usize,
    },
    /// The idle time is none, or longer than that of the runtime.
    #[error("a connection may be idle for no more than {max:?}, and for some time, not {asked:?}")]
    Idle {
        /// What was asked for.
        asked: Duration,
        /// The runtime's.
        max: Duration,
    },
}

/// A listener that is bound already, for [`RuntimeHandle::listen`](crate::RuntimeHandle::listen):
/// of a unix socket, from socket activation, or with options of one's own.
#[derive(Debug)]
pub struct Listener {
    pub(crate) socket: ListenerSocket,
    pub(crate) kind: ListenerKind,
    pub(crate) tls: Option<TlsIdentity>,
    pub(crate) is_for_reads: bool,
}

#[derive(Debug)]
pub(crate) enum ListenerSocket {
    Tcp(TcpListener),
    Unix(UnixListener, Option<UnixSocketFile>),
}

impl Listener {
    /// A listener for TCP. A client whose machine is gone without a word is noticed as behind an
    /// address of the configuration, unless the socket has its own say in that (`SO_KEEPALIVE`).
    ///
    /// # Errors
    ///
    /// The socket cannot be set up.
    pub fn tcp(socket: TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        keep_alive(SockRef::from(&socket))?;
        Ok(Self::of(ListenerSocket::Tcp(socket)))
    }

    /// A listener on a unix socket. Its file is its owner's: nobody removes it here.
    ///
    /// # Errors
    ///
    /// The socket cannot be set up.
    pub fn unix(socket: UnixListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self::of(ListenerSocket::Unix(socket, None)))
    }

    /// A listener on a unix socket at a path, as one of
    /// [`Config::listen`](crate::Config::listen) is made: see [`UnixSocketFile::bind`]. Its file
    /// is removed when it listens no more.
    ///
    /// # Errors
    ///
    /// It cannot be listened on there.
    pub fn unix_at(path: &Path, mode: u32) -> io::Result<Self> {
        let (socket, file) = UnixSocketFile::bind(path, mode)?;
        Ok(Self::of(ListenerSocket::Unix(socket, Some(file))))
    }

    fn of(socket: ListenerSocket) -> Self {
        Self {
            socket,
            kind: ListenerKind::Clients,
            tls: None,
            is_for_reads: false,
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

    /// Has SELECTs of its connections be answered by replicas, as of those of
    /// [`Upstreams::listen_reads`](crate::Upstreams::listen_reads), if replicas may answer any.
    #[must_use]
    pub fn for_reads(mut self) -> Self {
        self.is_for_reads = true;
        self
    }

    /// Has its connections agree on TLS before they are greeted.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn over_tls(mut self, identity: TlsIdentity) -> Self {
        self.tls = Some(identity);
        self
    }

    /// The address at which other machines may reach it.
    pub(crate) fn network(&self) -> Option<SocketAddr> {
        match &self.socket {
            ListenerSocket::Tcp(socket) => socket.local_addr().ok(),
            ListenerSocket::Unix(..) => None,
        }
    }

    /// Where it listens, as far as the system tells: a unix socket may have no path, and its file
    /// another name by now.
    pub(crate) fn address(&self) -> io::Result<Option<ListenAddress>> {
        Ok(match &self.socket {
            ListenerSocket::Tcp(socket) => Some(socket.local_addr()?.into()),
            ListenerSocket::Unix(_, Some(file)) => Some(ListenAddress::Unix(file.path().into())),
            ListenerSocket::Unix(socket, None) => {
                let address = socket.local_addr()?;
                address
                    .as_pathname()
                    .map(|path| ListenAddress::Unix(path.into()))
            }
        })
    }
}

/// Has the connections that a listener accepts, which inherit it, be asked now and then whether
/// somebody is there: a client whose machine is gone without a word is noticed. Where that is on
/// already it stays as it is.
pub(crate) fn keep_alive(socket: SockRef<'_>) -> io::Result<()> {
    if socket.keepalive()? {
        return Ok(());
    }
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)
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

    fn bound() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").expect("a port is free")
    }

    #[test]
    fn a_bound_socket_asks_after_silent_clients_unless_it_has_its_own_say() {
        let time = |listener: &Listener| {
            let ListenerSocket::Tcp(socket) = &listener.socket else {
                panic!("it is one of TCP");
            };
            let socket = SockRef::from(socket);
            assert!(socket.keepalive().expect("it is told"));
            socket.tcp_keepalive_time().expect("it is told")
        };
        let listener = Listener::tcp(bound()).expect("it is set up");
        assert_eq!(time(&listener), KEEPALIVE_IDLE);

        let own = Duration::from_secs(777);
        let socket = bound();
        let keepalive = TcpKeepalive::new().with_time(own);
        let set = SockRef::from(&socket).set_tcp_keepalive(&keepalive);
        set.expect("it can be set");
        let listener = Listener::tcp(socket).expect("it is set up");
        assert_eq!(time(&listener), own);
    }
}
