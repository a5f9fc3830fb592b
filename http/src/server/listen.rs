//! The door's sockets.

use std::io;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use vestibule_actors::{ListenAddress, UnixSocketFile};

use super::request::Peer;
use crate::limits::SEND_BUFFER_SIZE;

/// A socket that listens.
pub(super) enum Listener {
    Tcp(TcpListener),
    /// With its file, which is removed when it is closed: before that.
    Unix(UnixSocketFile, UnixListener),
}

/// A connection that was accepted.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    /// Listens there, at once. For the thread whose reactor it is to be of.
    ///
    /// # Errors
    ///
    /// The system refuses it, or somebody else listens there.
    pub(super) fn bind(address: &ListenAddress, unix_mode: u32) -> io::Result<Self> {
        match address {
            ListenAddress::Tcp(address) => {
                let listener = std::net::TcpListener::bind(address)?;
                // Those that are accepted have it from it.
                SockRef::from(&listener).set_send_buffer_size(SEND_BUFFER_SIZE)?;
                listener.set_nonblocking(true)?;
                Ok(Self::Tcp(TcpListener::from_std(listener)?))
            }
            ListenAddress::Unix(path) => {
                let (listener, file) = UnixSocketFile::bind(path, unix_mode)?;
                SockRef::from(&listener).set_send_buffer_size(SEND_BUFFER_SIZE)?;
                Ok(Self::Unix(file, UnixListener::from_std(listener)?))
            }
            other => Err(io::Error::other(format!("{other} is no address of HTTP"))),
        }
    }

    /// Where it listens, with the port that the system picked.
    ///
    /// # Errors
    ///
    /// The system does not tell.
    pub(super) fn address(&self) -> io::Result<ListenAddress> {
        match self {
            Self::Tcp(own) => Ok(ListenAddress::Tcp(own.local_addr()?)),
            Self::Unix(file, _) => Ok(ListenAddress::Unix(file.path().to_owned())),
        }
    }

    pub(super) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(own) => {
                let (stream, peer) = own.accept().await?;
                Ok((Stream::Tcp(stream), Peer::Address(peer.ip())))
            }
            Self::Unix(_, own) => {
                let (stream, _) = own.accept().await?;
                Ok((Stream::Unix(stream), Peer::Unix))
            }
        }
    }
}
