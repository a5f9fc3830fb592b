//! Sockets.

use std::io::{self, IoSlice};
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

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &*self.0 {
            Half::Tcp(half) => half.try_write_vectored(slices),
            Half::Unix(half) => half.try_write_vectored(slices),
        }
    }

    /// Has `write` write `size` bytes; a socket that takes a part of them is full, and is not asked
    /// again before it says that it is not.
    fn try_fill(
        &self,
        size: usize,
        write: impl FnOnce(&Self) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut taken = 0;
        let write = || {
            taken = write(self)?;
            if taken < size {
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
            match self.try_fill(bytes.len(), |own| own.try_write(bytes)) {
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let size = slices.iter().map(|slice| slice.len()).sum();
        loop {
            ready!(self.poll_ready(cx))?;
            match self.try_fill(size, |own| own.try_write_vectored(slices)) {
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
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
    //!
    //! ```text
    //!   records ──▶ the stream's half ─┐
    //!                                  ├─▶ one socket
    //!   how much it is to hold ────────┘
    //! ```

    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{AsyncRead, AsyncWrite, ReadHalf};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::pki_types::ServerName;

    use super::{Socket, Write, WriteHalf, broken};
    use crate::address::Address;
    use crate::error::Error;
    use crate::limits::TLS_UNSENT_MAX;
    use crate::tls::TlsOptions;

    /// What is read and written as a socket is.
    trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

    impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

    /// A stream that is agreed on, and the socket that it writes to.
    pub(in crate::link) struct Encrypted {
        stream: Box<dyn Duplex>,
        below: WriteHalf,
    }

    /// What such a stream is written to by.
    pub(in crate::link) struct EncryptedWriteHalf {
        half: tokio::io::WriteHalf<Box<dyn Duplex>>,
        below: WriteHalf,
    }

    impl Encrypted {
        /// The stream, for the handshake of who uses it.
        pub(in crate::link) fn stream(&mut self) -> &mut (impl AsyncRead + AsyncWrite + Unpin) {
            &mut self.stream
        }

        /// One half to read, and one to write.
        pub(in crate::link) fn into_split(self) -> (impl AsyncRead + Unpin, EncryptedWriteHalf) {
            let (reader, half): (ReadHalf<_>, _) = tokio::io::split(self.stream);
            let below = self.below;
            (reader, EncryptedWriteHalf { half, below })
        }
    }

    impl AsyncWrite for EncryptedWriteHalf {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.half).poll_write(cx, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.half).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.half).poll_shutdown(cx)
        }
    }

    impl Write for EncryptedWriteHalf {
        fn bound_unsent(&self, max: u32) {
            self.below.bound_unsent(max);
        }
    }

    pub(super) async fn agree(
        options: &TlsOptions,
        address: &Address,
        socket: Socket,
    ) -> Result<Socket, Error> {
        let name = options.name_at(address)?;
        let encrypted = match socket {
            Socket::Tcp(socket) => {
                let (reader, writer) = socket.into_split();
                over(options, name, reader, writer.into()).await?
            }
            Socket::Unix(socket) => {
                let (reader, writer) = socket.into_split();
                over(options, name, reader, writer.into()).await?
            }
            Socket::Tls(socket) => socket,
        };
        Ok(Socket::Tls(encrypted))
    }

    async fn over(
        options: &TlsOptions,
        name: ServerName<'static>,
        reader: impl AsyncRead + Send + Unpin + 'static,
        below: WriteHalf,
    ) -> Result<Encrypted, Error> {
        let connector = TlsConnector::from(options.config());
        let socket = tokio::io::join(reader, below.clone());
        let agreed = connector.connect_with(name, socket, |own| {
            own.set_buffer_limit(Some(TLS_UNSENT_MAX));
        });
        let stream = Box::new(agreed.await.map_err(broken)?);
        Ok(Encrypted { stream, below })
    }

    #[cfg(test)]
    mod tests {
        use std::sync::Arc;

        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        use tokio::net::TcpListener;
        use tokio_rustls::TlsAcceptor;
        use tokio_rustls::rustls::ServerConfig;
        use tokio_rustls::rustls::crypto::ring::default_provider;
        use tokio_rustls::rustls::pki_types::pem::PemObject as _;
        use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
        use vestibule_wire::limits::{UNSENT_IN_KERNEL_FAST_MAX, UNSENT_IN_KERNEL_MAX};

        use super::*;
        use crate::link::transport::{Half, SockRef, connect};
        use crate::options::Options;

        const CA: &[u8] = include_bytes!("../../tests/certificates/ca.pem");
        const SERVER: &[u8] = include_bytes!("../../tests/certificates/server.pem");
        const SERVER_KEY: &[u8] = include_bytes!("../../tests/certificates/server.key");

        fn acceptor() -> TlsAcceptor {
            let chain = CertificateDer::pem_slice_iter(SERVER);
            let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
            let key = PrivateKeyDer::from_pem_slice(SERVER_KEY).unwrap();
            let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth();
            Arc::new(config.with_single_cert(chain, key).unwrap()).into()
        }

        #[tokio::test]
        async fn the_socket_below_holds_what_its_connection_says() {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = Address::Tcp {
                host: "127.0.0.1".to_owned(),
                port: listener.local_addr().unwrap().port(),
            };
            let options = Options {
                tls: Some(TlsOptions::with_roots_pem(CA).unwrap()),
                ..Options::default()
            };
            let accepted = async {
                let (socket, _) = listener.accept().await.unwrap();
                acceptor().accept(socket).await.unwrap()
            };
            let (connected, mut peer) = tokio::join!(connect(&address, &options), accepted);
            let Ok(Socket::Tls(own)) = connected else {
                panic!("it is agreed on")
            };
            let (reader, mut writer) = own.into_split();
            let Half::Tcp(half) = &*writer.below.clone().0 else {
                panic!("it is a socket of TCP")
            };
            let unsent_max = || SockRef::from(half.as_ref()).tcp_notsent_lowat().unwrap();
            assert_eq!(unsent_max(), UNSENT_IN_KERNEL_MAX);
            writer.bound_unsent(UNSENT_IN_KERNEL_FAST_MAX);
            assert_eq!(unsent_max(), UNSENT_IN_KERNEL_FAST_MAX);
            // What is written goes there as well.
            writer.write_all(b"a ping").await.unwrap();
            writer.flush().await.unwrap();
            let mut read = [0; 6];
            peer.read_exact(&mut read).await.unwrap();
            assert_eq!(&read, b"a ping");
            drop(reader);
        }
    }
}
