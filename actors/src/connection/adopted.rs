//! A stream that is no socket of ours: TLS, a pipe, whatever an embedder has.
//!
//! It may keep to itself what it has taken, as TLS does. So bytes count as written when it has
//! flushed them, and not before: until then they stay in the output of their connection, and a
//! connection that is closed when all is sent waits for them as well.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::ReadBuf;

use super::transport::Transport;
use crate::incoming::Duplex;

/// A stream behind the interface of a socket.
pub(crate) struct Adopted {
    stream: Pin<Box<dyn Duplex>>,
    /// The task of its session, once that has polled it.
    waker: Option<Waker>,
    /// Bytes that it has taken and not flushed: the first of those that it is given next.
    taken: usize,
    /// The stream takes nothing, and wakes the task when it does.
    is_waited_for: bool,
    has_failed: bool,
}

impl Adopted {
    pub(crate) fn new(stream: Pin<Box<dyn Duplex>>) -> Self {
        Self {
            stream,
            waker: None,
            taken: 0,
            is_waited_for: false,
            has_failed: false,
        }
    }

    /// Remembers the task; true if it is another one.
    fn is_new_task(&mut self, cx: &Context<'_>) -> bool {
        let is_same = |own: &Waker| own.will_wake(cx.waker());
        let is_new = !self.waker.as_ref().is_some_and(is_same);
        if is_new {
            self.waker = Some(cx.waker().clone());
        }
        is_new
    }

    /// Writes, and flushes what is taken.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.taken == 0 {
            match self.stream.as_mut().poll_write(cx, bytes) {
                Poll::Ready(Ok(taken)) => self.taken = taken,
                other => return other,
            }
        }
        match self.stream.as_mut().poll_flush(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(std::mem::take(&mut self.taken))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Transport for Adopted {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.is_new_task(cx);
        let poll = self.stream.as_mut().poll_read(cx, buffer);
        self.has_failed |= matches!(poll, Poll::Ready(Err(_)));
        poll
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let waker = self.waker.clone();
        let known = waker.as_ref().unwrap_or(Waker::noop());
        match self.poll_write(&mut Context::from_waker(known), bytes) {
            Poll::Ready(done) => {
                self.is_waited_for = false;
                self.has_failed |= done.is_err();
                done
            }
            Poll::Pending => {
                self.is_waited_for = waker.is_some();
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
    }

    fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // It can only be asked by writing: once more, if the task that waits is another one.
        if self.is_new_task(cx) || !self.is_waited_for {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    fn has_unread(&self) -> bool {
        // There is nobody to ask but the stream, by reading.
        false
    }

    fn is_read_closed(&self) -> bool {
        self.has_failed
    }

    fn is_gone(&self) -> bool {
        self.has_failed
    }
}

impl Drop for Adopted {
    fn drop(&mut self) {
        if self.has_failed || std::thread::panicking() {
            return;
        }
        // TLS says goodbye, if that is taken at once: nobody waits for it.
        let mut cx = Context::from_waker(Waker::noop());
        let _ = self.stream.as_mut().poll_shutdown(&mut cx);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;

    use tokio::io::{AsyncRead, AsyncWrite};

    use super::*;

    struct Task;

    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }

    /// A stream that takes four bytes at a time, and flushes every other time.
    #[derive(Default)]
    struct Lazy {
        inside: Vec<u8>,
        flushed: Vec<u8>,
        may_flush: bool,
    }

    impl AsyncRead for Lazy {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Lazy {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let size = bytes.len().min(4);
            self.inside.extend_from_slice(&bytes[..size]);
            Poll::Ready(Ok(size))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if !self.may_flush {
                // Every other time.
                self.may_flush = true;
                return Poll::Pending;
            }
            self.may_flush = false;
            let inside = std::mem::take(&mut self.inside);
            self.flushed.extend(inside);
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn bytes_are_written_once_they_are_flushed_and_once_only() {
        let mut stream = Adopted::new(Box::pin(Lazy::default()));
        let mut bytes = &b"abcdefghij"[..];
        let mut rounds = 0;
        while !bytes.is_empty() {
            match stream.try_write(bytes) {
                Ok(size) => bytes = &bytes[size..],
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            rounds += 1;
        }
        // Four, four and two bytes, each of them refused once.
        assert_eq!(rounds, 6);
    }

    #[test]
    fn a_task_that_is_not_known_to_the_stream_writes_once_more_before_it_waits() {
        let (stream, _other) = tokio::io::duplex(4);
        let mut stream = Adopted::new(Box::pin(stream));
        assert_eq!(stream.try_write(b"abcdef").unwrap(), 4);
        assert!(stream.try_write(b"ef").is_err());
        let waker = Waker::from(Arc::new(Task));
        let mut cx = Context::from_waker(&waker);
        assert!(stream.poll_write_ready(&mut cx).is_ready());
        assert!(stream.try_write(b"ef").is_err());
        assert!(stream.poll_write_ready(&mut cx).is_pending());
    }
}
