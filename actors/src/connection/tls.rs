//! TLS over another transport.
//!
//! ```text
//!   session ─▶ at most 64 KiB are encrypted ─▶ the kernel takes all of it ─▶ written, the next
//!   session ◀─ what is decrypted ◀─ read, a few KiB at a time ◀─ the kernel
//! ```
//!
//! As with every stream that keeps what it has taken, bytes count as written when the kernel has
//! them: until then they are in the output of their connection, so what is urgent stands behind
//! 64 KiB at most, and a connection that is closed when all is sent waits for them.

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::ReadBuf;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig, ClientConnection, Connection};
use tokio_rustls::rustls::{ServerConfig, ServerConnection};

use super::transport::Transport;
use crate::limits::{READ_SIZE, TLS_EMPTY_READ_MAX, TLS_MEMORY, TLS_UNSENT_MAX};
use crate::reactor::go_on_behind_reactor;

/// A connection by TLS.
pub(crate) struct Tls {
    under: Box<dyn Transport>,
    tls: Connection,
    /// Bytes that were encrypted and are not all written: the first of those that come next.
    taken: usize,
    /// Bytes that are decrypted and not read.
    unread: usize,
    has_failed: bool,
}

impl Tls {
    /// Over a connection that came in, on which nothing was agreed yet.
    ///
    /// # Errors
    ///
    /// The identity does not suffice for a handshake.
    pub(crate) fn accept(under: Box<dyn Transport>, config: Arc<ServerConfig>) -> io::Result<Self> {
        Self::new(under, ServerConnection::new(config).map(Into::into))
    }

    /// Over a connection to a server that has to have this name.
    ///
    /// # Errors
    ///
    /// What is told of the server does not suffice for a handshake.
    pub(crate) fn connect(
        under: Box<dyn Transport>,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<Self> {
        Self::new(under, ClientConnection::new(config, name).map(Into::into))
    }

    fn new(under: Box<dyn Transport>, tls: Result<Connection, rustls::Error>) -> io::Result<Self> {
        let mut tls = tls.map_err(io::Error::other)?;
        tls.set_buffer_limit(Some(TLS_UNSENT_MAX));
        Ok(Self {
            under,
            tls,
            taken: 0,
            unread: 0,
            has_failed: false,
        })
    }

    /// Agrees with the other side. No more than one step of it is taken before others of this
    /// thread get their turn.
    ///
    /// # Errors
    ///
    /// There is nothing to agree on, or the other side is gone.
    pub(crate) async fn agree(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_agree(cx)).await
    }

    fn poll_agree(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_writing = match self.write_encrypted(false) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => true,
            Err(error) => return Poll::Ready(Err(error)),
            Ok(()) if !self.tls.is_handshaking() => return Poll::Ready(Ok(())),
            Ok(()) => false,
        };
        if is_writing && self.under.poll_write_ready(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        match self.read_encrypted(cx) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(ErrorKind::UnexpectedEof.into())),
            Poll::Ready(Ok(_)) => {
                // It may have cost a millisecond: others first.
                go_on_behind_reactor(cx);
                Poll::Pending
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Reads a few KiB and decrypts them; how many there were.
    fn read_encrypted(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut source = SocketSource {
            under: &mut *self.under,
            cx,
        };
        let read = match self.tls.read_tls(&mut source) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(self.fail(error))),
        };
        match self.tls.process_new_packets() {
            Ok(state) => self.unread = state.plaintext_bytes_to_read(),
            Err(error) => {
                // The other side is told why, if it takes that at once.
                let _ = self.write_encrypted(false);
                let error = io::Error::new(ErrorKind::InvalidData, error);
                return Poll::Ready(Err(self.fail(error)));
            }
        }
        Poll::Ready(Ok(read))
    }

    /// Writes what is encrypted.
    fn write_encrypted(&mut self, is_apart: bool) -> io::Result<()> {
        while self.tls.wants_write() {
            let mut sink = SocketSink {
                under: &mut *self.under,
                is_apart,
            };
            match self.tls.write_tls(&mut sink) {
                Ok(0) => return Err(self.fail(ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(error),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.fail(error)),
            }
        }
        Ok(())
    }

    fn write(&mut self, slices: &[IoSlice<'_>], is_apart: bool) -> io::Result<usize> {
        if self.taken == 0 {
            // What the library said by itself goes first, and leaves room.
            self.write_encrypted(is_apart)?;
            self.taken = self.tls.writer().write_vectored(slices)?;
        }
        self.write_encrypted(is_apart)?;
        Ok(std::mem::take(&mut self.taken))
    }

    fn fail(&mut self, error: io::Error) -> io::Error {
        self.has_failed = true;
        error
    }
}

impl Transport for Tls {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut empty = 0;
        loop {
            let most = buffer.remaining().min(READ_SIZE);
            match self.tls.reader().read(buffer.initialize_unfilled_to(most)) {
                Ok(size) => {
                    self.unread = self.unread.saturating_sub(size);
                    buffer.advance(size);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // It has left without a word: requests have lengths, so none is taken for whole.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Ok(()));
                }
                Err(error) => return Poll::Ready(Err(self.fail(error))),
            }
            if empty >= TLS_EMPTY_READ_MAX {
                go_on_behind_reactor(cx);
                return Poll::Pending;
            }
            match self.read_encrypted(cx) {
                Poll::Ready(Ok(read)) => empty += read.max(1),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(&[IoSlice::new(bytes)], false)
    }

    fn try_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write(slices, false)
    }

    fn try_write_apart(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write(slices, true)
    }

    fn bound_unsent(&self, max: u32) {
        self.under.bound_unsent(max);
    }

    fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.under.poll_read_ready(cx)
    }

    fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.under.poll_write_ready(cx)
    }

    fn has_unread(&self) -> bool {
        self.unread > 0 || self.under.has_unread()
    }

    fn is_read_closed(&self) -> bool {
        self.has_failed || self.under.is_read_closed()
    }

    fn is_gone(&self) -> bool {
        self.has_failed || self.under.is_gone()
    }

    fn held(&self) -> usize {
        TLS_MEMORY + self.unread + self.taken
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        if self.has_failed || self.tls.is_handshaking() || std::thread::panicking() {
            return;
        }
        // It says goodbye, if that is taken at once: nobody waits for it.
        self.tls.send_close_notify();
        let _ = self.write_encrypted(false);
    }
}

/// What is under TLS, to be read as the library reads.
struct SocketSource<'a, 'b> {
    under: &'a mut dyn Transport,
    cx: &'a mut Context<'b>,
}

impl io::Read for SocketSource<'_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(bytes);
        match self.under.poll_read(self.cx, &mut buffer) {
            Poll::Ready(read) => read.map(|()| buffer.filled().len()),
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

/// The same, to be written.
struct SocketSink<'a> {
    under: &'a mut dyn Transport,
    is_apart: bool,
}

impl io::Write for SocketSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.is_apart {
            true => self.under.try_write_apart(slices),
            false => self.under.try_write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
