//! The door's sockets.

use std::io;
use std::path::Path;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use vestibule_actors::{ListenAddress, UnixSocketFile};

use super::request::Peer;
use crate::config::HttpListener;
use crate::limits::SEND_BUFFER_SIZE;

/// A socket that listens.
pub(super) enum Listener {
    Tcp(TcpListener),
    /// With its file, if that is to be removed when it is closed: before that.
    Unix(Option<UnixSocketFile>, UnixListener),
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
                Self::over(HttpListener::Tcp(std::net::TcpListener::bind(address)?))
            }
            ListenAddress::Unix(path) => {
                let (listener, file) = UnixSocketFile::bind(path, unix_mode)?;
                Ok(Self::Unix(Some(file), UnixListener::from_std(listener)?))
            }
            other => Err(io::Error::other(format!("{other} is no address of HTTP"))),
        }
    }

    /// Listens by a socket that is bound already. For the thread whose reactor it is to be of.
    ///
    /// # Errors
    ///
    /// The socket cannot be set up.
    pub(super) fn over(bound: HttpListener) -> io::Result<Self> {
        match bound {
            HttpListener::Tcp(listener) => {
                // Those that are accepted have it from it.
                SockRef::from(&listener).set_send_buffer_size(SEND_BUFFER_SIZE)?;
                listener.set_nonblocking(true)?;
                Ok(Self::Tcp(TcpListener::from_std(listener)?))
            }
            HttpListener::Unix(listener) => {
                listener.set_nonblocking(true)?;
                Ok(Self::Unix(None, UnixListener::from_std(listener)?))
            }
        }
    }

    /// Where it listens, with the port that the system picked; a unix socket that is bound already
    /// may have no path.
    ///
    /// # Errors
    ///
    /// The system does not tell.
    pub(super) fn address(&self) -> io::Result<Option<ListenAddress>> {
        let path = |own: &Path| ListenAddress::Unix(own.to_owned());
        Ok(match self {
            Self::Tcp(own) => Some(ListenAddress::Tcp(own.local_addr()?)),
            Self::Unix(Some(file), _) => Some(path(file.path())),
            Self::Unix(None, own) => own.local_addr()?.as_pathname().map(path),
        })
    }

    pub(super) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(own) => {
                let (stream, peer) = own.accept().await?;
                Ok((Stream::Tcp(stream), Peer::Address(peer.ip())))
            }
            Self::Unix(_, own) => {
                let (stream, _) = own.accept().await?;
                // It has nothing from its listener.
                SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER_SIZE)?;
                Ok((Stream::Unix(stream), Peer::Unix))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::any::Any;
    use std::os::unix::net;

    use super::*;

    /// What the system keeps for a client that does not read.
    fn send_buffer_size(stream: &Stream) -> usize {
        let told = match stream {
            Stream::Tcp(own) => SockRef::from(own).send_buffer_size(),
            Stream::Unix(own) => SockRef::from(own).send_buffer_size(),
        };
        told.expect("the system tells")
    }

    #[test]
    fn little_is_kept_for_a_client_that_does_not_read_however_it_comes() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .expect("it can be made");
        let path = std::env::temp_dir().join(format!("vestibule-door-{}", std::process::id()));
        let any_port = ListenAddress::Tcp(([127, 0, 0, 1], 0).into());
        runtime.block_on(async {
            for address in [any_port, ListenAddress::Unix(path)] {
                let listener = Listener::bind(&address, 0o600).expect("it listens");
                let address = listener.address().expect("it is told").expect("it has one");
                let _client: Box<dyn Any> = match &address {
                    ListenAddress::Unix(own) => {
                        Box::new(net::UnixStream::connect(own).expect("it listens"))
                    }
                    other => {
                        let address = other.to_string();
                        Box::new(std::net::TcpStream::connect(address).expect("it listens"))
                    }
                };
                let (stream, _) = listener.accept().await.expect("it is accepted");
                let size = send_buffer_size(&stream);
                assert!(size <= 2 * SEND_BUFFER_SIZE, "{address}: {size}");
            }
        });
    }
}
