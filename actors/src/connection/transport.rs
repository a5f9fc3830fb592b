//! What carries the bytes of a connection: a socket, or whatever behaves like one.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use socket2::SockRef;
use tokio::io::{AsyncRead, Interest, ReadBuf, Ready};
use tokio::net::TcpStream;

/// A stream of bytes in both directions that never blocks. Called a few times per turn of its
/// session, whatever the number of requests.
pub(crate) trait Transport {
    /// Reads what there is.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>)
    -> Poll<io::Result<()>>;

    /// Writes what is taken at once.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Whether something may be taken again.
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether bytes have arrived that are not read. Asks the kernel: for what is rare.
    fn has_unread(&self) -> bool;

    /// Whether the client has closed its half, although what came before may not be read yet.
    fn is_read_closed(&self) -> bool;

    /// Whether the client is gone for good: whatever is written reaches nobody.
    fn is_gone(&self) -> bool;
}

/// A socket that was accepted elsewhere, on the reactor of this thread.
///
/// # Errors
///
/// The socket cannot be set up, or the reactor cannot take it.
pub(crate) fn from_socket(socket: std::net::TcpStream) -> io::Result<Box<dyn Transport>> {
    socket.set_nonblocking(true)?;
    // Replies are written in as few segments as there are turns; waiting for more helps nobody.
    socket.set_nodelay(true)?;
    Ok(Box::new(TcpStream::from_std(socket)?))
}

/// Whether the reactor knows this of a socket. Costs no system call.
fn is_ready(socket: &TcpStream, interest: Interest, is: fn(Ready) -> bool) -> bool {
    let ready = pin!(socket.ready(interest));
    match ready.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(ready)) => is(ready),
        Poll::Ready(Err(_)) => true,
        Poll::Pending => false,
    }
}

impl Transport for TcpStream {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(self), cx, buffer)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Self::try_write(self, bytes)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_write_ready(self, cx)
    }

    fn has_unread(&self) -> bool {
        // What the reactor knows is as old as its last look.
        let peeked = SockRef::from(self).peek(&mut [MaybeUninit::uninit()]);
        peeked.is_ok_and(|bytes| bytes > 0)
    }

    fn is_read_closed(&self) -> bool {
        is_ready(self, Interest::READABLE, Ready::is_read_closed)
    }

    fn is_gone(&self) -> bool {
        is_ready(self, Interest::WRITABLE, Ready::is_write_closed)
    }
}
