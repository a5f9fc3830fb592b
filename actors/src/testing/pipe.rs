//! A connection in memory, with a bounded buffer towards the client as a kernel has one.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, BytesMut};
use tokio::io::ReadBuf;

use crate::connection::transport::Transport;

#[derive(Debug, Default)]
struct PipeBuffers {
    to_server: BytesMut,
    to_client: Vec<u8>,
    /// Bytes that `to_client` holds at most.
    room: usize,
    /// The client sends no more.
    has_client_ended: bool,
    /// The client is gone for good.
    has_client_closed: bool,
    /// The server has been told so, which had written something.
    is_reset: bool,
    has_server_closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl PipeBuffers {
    fn poll_read(&mut self, cx: &Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let size = self.to_server.len().min(buffer.remaining());
        if size == 0 && !self.has_client_ended && !self.has_client_closed {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        buffer.put_slice(&self.to_server[..size]);
        self.to_server.advance(size);
        Poll::Ready(Ok(()))
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.has_client_closed {
            self.is_reset = true;
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let size = bytes.len().min(self.room - self.to_client.len());
        if size == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.to_client.extend_from_slice(&bytes[..size]);
        Ok(size)
    }

    fn poll_write_ready(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if self.has_client_closed || self.to_client.len() < self.room {
            return Poll::Ready(Ok(()));
        }
        self.writer = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[derive(Debug, Clone)]
struct Both(Arc<Mutex<PipeBuffers>>);

impl Both {
    fn lock(&self) -> MutexGuard<'_, PipeBuffers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something and wakes what waited for it.
    fn change<R>(&self, edit: impl FnOnce(&mut PipeBuffers) -> R) -> R {
        let (result, reader, writer) = {
            let mut buffers = self.lock();
            let result = edit(&mut buffers);
            (result, buffers.reader.take(), buffers.writer.take())
        };
        reader.into_iter().chain(writer).for_each(Waker::wake);
        result
    }
}

/// A new connection whose server may write `room` bytes ahead of its client.
pub(crate) fn pipe(room: usize) -> (ClientEnd, ServerEnd) {
    let buffers = PipeBuffers {
        room,
        ..PipeBuffers::default()
    };
    let both = Both(Arc::new(Mutex::new(buffers)));
    (ClientEnd(both.clone()), ServerEnd(both))
}

/// The server's end: dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct ServerEnd(Both);

impl Transport for ServerEnd {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.lock().poll_read(cx, buffer)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().try_write(bytes)
    }

    fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().poll_write_ready(cx)
    }

    fn has_unread(&self) -> bool {
        !self.0.lock().to_server.is_empty()
    }

    fn is_read_closed(&self) -> bool {
        let own = self.0.lock();
        own.has_client_ended || own.has_client_closed
    }

    fn is_gone(&self) -> bool {
        self.0.lock().is_reset
    }
}

impl Drop for ServerEnd {
    fn drop(&mut self) {
        self.0.lock().has_server_closed = true;
    }
}

/// The client's end: dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct ClientEnd(Both);

impl ClientEnd {
    pub(crate) fn send(&self, bytes: &[u8]) {
        self.0.change(|own| own.to_server.extend_from_slice(bytes));
    }

    /// Takes what has come, for ever out of the server's reach.
    pub(crate) fn receive(&self) -> Vec<u8> {
        if self.0.lock().to_client.is_empty() {
            return Vec::new();
        }
        self.0.change(|own| std::mem::take(&mut own.to_client))
    }

    /// The same, behind what `received` holds: the connection keeps its buffer.
    pub(crate) fn receive_into(&self, received: &mut Vec<u8>) {
        if !self.0.lock().to_client.is_empty() {
            self.0.change(|own| received.append(&mut own.to_client));
        }
    }

    /// Sends no more, and receives still.
    #[cfg(test)]
    pub(crate) fn end(&self) {
        self.0.change(|own| own.has_client_ended = true);
    }

    /// The server has closed; what it wrote before can still be received.
    #[cfg(test)]
    pub(crate) fn is_over(&self) -> bool {
        self.0.lock().has_server_closed
    }
}

impl Drop for ClientEnd {
    fn drop(&mut self) {
        self.0.change(|own| own.has_client_closed = true);
    }
}
