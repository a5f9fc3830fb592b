//! What carries the bytes of a connection: a socket, or whatever behaves like one.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::BufMut as _;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, Interest, ReadBuf, Ready};
use tokio::net::{TcpStream, UnixStream};

use super::adopted::Adopted;
use crate::endpoints::PeerAddress;
use crate::incoming::IncomingStream;

/// A stream of bytes in both directions that never blocks. Called a few times per turn of its
/// session, whatever the number of requests.
pub(crate) trait Transport {
    /// Reads what there is.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>)
    -> Poll<io::Result<()>>;

    /// Writes what is taken at once. What is not taken comes first when this is called again.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// The same with bytes that stand in several places.
    fn try_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_write(slices.first().map_or(&[], |first| first))
    }

    /// The same, and what is written later is not to be joined with it in the kernel, which would
    /// take more than it is asked to hold.
    fn try_write_apart(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_write_vectored(slices)
    }

    /// Has the kernel take no more while this many bytes are not sent: what comes later waits for
    /// them.
    fn bound_unsent(&self, _max: u32) {}

    /// Whether there is something to be read, or the end of it.
    #[cfg(feature = "tls")]
    fn poll_read_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Whether something may be taken again.
    fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether bytes have arrived that are not read. Asks the kernel: for what is rare.
    fn has_unread(&self) -> bool;

    /// Whether the client has closed its half, although what came before may not be read yet.
    fn is_read_closed(&self) -> bool;

    /// Whether the client is gone for good: whatever is written reaches nobody.
    fn is_gone(&self) -> bool;

    /// Bytes of memory that it takes, beside the kernel's.
    fn held(&self) -> usize {
        0
    }
}

/// A connection that came in, on the reactor of this thread if it is a socket. Who is at the other
/// end of a unix socket is asked now, if nobody has done so.
///
/// # Errors
///
/// The socket cannot be set up, or the reactor cannot take it.
pub(crate) fn from_incoming(
    stream: IncomingStream,
    peer: &mut PeerAddress,
) -> io::Result<Box<dyn Transport>> {
    Ok(match stream {
        IncomingStream::Tcp(socket) => {
            socket.set_nonblocking(true)?;
            // Replies are written in as few segments as there are turns; waiting for more helps
            // nobody.
            socket.set_nodelay(true)?;
            Box::new(TcpStream::from_std(socket)?)
        }
        IncomingStream::Unix(socket) => {
            socket.set_nonblocking(true)?;
            let socket = UnixStream::from_std(socket)?;
            peer.ask(&socket);
            Box::new(socket)
        }
        IncomingStream::Other(stream) => Box::new(Adopted::new(stream)),
    })
}

/// What the reactor knows of a socket. Costs no system call.
fn is_known(ready: impl Future<Output = io::Result<Ready>>, is: fn(Ready) -> bool) -> bool {
    match pin!(ready).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(ready)) => is(ready),
        Poll::Ready(Err(_)) => true,
        Poll::Pending => false,
    }
}

macro_rules! socket {
    ($socket:ty, $bound_unsent:expr, $write_apart:expr) => {
        impl Transport for $socket {
            fn poll_read(
                &mut self,
                cx: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                AsyncRead::poll_read(Pin::new(self), cx, buffer)
            }

            fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                Self::try_write(self, bytes)
            }

            fn try_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
                Self::try_write_vectored(self, slices)
            }

            fn try_write_apart(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
                ($write_apart)(self, slices)
            }

            fn bound_unsent(&self, max: u32) {
                ($bound_unsent)(self, max);
            }

            #[cfg(feature = "tls")]
            fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Self::poll_read_ready(self, cx)
            }

            fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Self::poll_write_ready(self, cx)
            }

            fn has_unread(&self) -> bool {
                // What the reactor knows is as old as its last look.
                let peeked = SockRef::from(self).peek(&mut [MaybeUninit::uninit()]);
                peeked.is_ok_and(|bytes| bytes > 0)
            }

            fn is_read_closed(&self) -> bool {
                is_known(self.ready(Interest::READABLE), Ready::is_read_closed)
            }

            fn is_gone(&self) -> bool {
                is_known(self.ready(Interest::WRITABLE), Ready::is_write_closed)
            }
        }
    };
}

socket!(TcpStream, bound_unsent_of_tcp, write_apart_to_tcp);
socket!(UnixStream, |_, _| (), UnixStream::try_write_vectored);

/// Writes some of these bytes, when they are taken; how many. What is not taken comes first when
/// this is called again.
///
/// # Errors
///
/// The other side is gone.
pub(crate) async fn write_some(stream: &mut dyn Transport, bytes: &[u8]) -> io::Result<usize> {
    poll_fn(|cx| {
        loop {
            match stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
            ready!(stream.poll_write_ready(cx))?;
        }
    })
    .await
}

/// Adds at most `most` bytes of what there is to a buffer that has room for them.
pub(crate) fn poll_read_into(
    stream: &mut dyn Transport,
    cx: &mut Context<'_>,
    buffer: &mut Vec<u8>,
    most: usize,
) -> Poll<io::Result<usize>> {
    // It does not wait: what is polled once and dropped has read, or has not.
    pin!(Readable(stream).read_buf(&mut buffer.limit(most))).poll(cx)
}

/// A transport as the half of a stream that is read.
struct Readable<'a>(&'a mut dyn Transport);

impl AsyncRead for Readable<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().0.poll_read(cx, buffer)
    }
}

fn bound_unsent_of_tcp(socket: &TcpStream, max: u32) {
    #[cfg(any(target_os = "android", target_os = "linux"))]
    if let Err(error) = SockRef::from(socket).set_tcp_notsent_lowat(max) {
        log::debug!("TCP_NOTSENT_LOWAT: {error}");
    }
    let _ = (socket, max);
}

/// What is an end of a record is not filled up by what comes later.
fn write_apart_to_tcp(socket: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    #[cfg(any(target_os = "android", target_os = "linux"))]
    {
        let flags = libc::MSG_EOR | libc::MSG_NOSIGNAL;
        let write = || SockRef::from(socket).send_vectored_with_flags(slices, flags);
        socket.try_io(Interest::WRITABLE, write)
    }
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    socket.try_write_vectored(slices)
}
