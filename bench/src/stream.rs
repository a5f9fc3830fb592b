//! A non-blocking stream of frames: what a read left over, what a write could not send.
//!
//! Both ends use it, the generator and the null server. The bytes of a read live in a buffer that
//! all connections share; a connection owns memory only while a frame is cut in two, or while the
//! peer does not read.

use std::io::{self, ErrorKind};

use crate::transport::ByteStream;

/// More than a whole turn of the deepest usual pipeline; only its front is touched when less
/// arrives, so that it stays in the cache.
pub(crate) const SHARED_BUFFER_SIZE: usize = 256 * 1024;

/// A stream with its two leftovers.
pub(crate) struct BufferedStream<S> {
    pub(crate) stream: S,
    /// The front of a frame whose end has not arrived.
    partial: Vec<u8>,
    /// What the socket did not take, from `sent` on.
    pending: Vec<u8>,
    sent: usize,
}

/// What one read gave.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Filled {
    /// How many bytes at the front of the shared buffer belong to this stream.
    pub(crate) len: usize,
    pub(crate) end: ReadEnd,
}

/// What to expect of another read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ReadEnd {
    /// Nothing: the socket is empty and will say when that changes.
    Drained,
    /// The buffer was filled to the brim.
    More,
    /// The peer has closed.
    Closed,
}

impl<S: ByteStream> BufferedStream<S> {
    pub(crate) fn new(stream: S) -> Self {
        BufferedStream {
            stream,
            partial: Vec::new(),
            pending: Vec::new(),
            sent: 0,
        }
    }

    /// Reads once, behind what was left over. A read that does not fill the buffer has emptied
    /// the socket, so the read that would only say "would block" is saved; `to_the_end` asks
    /// for it, because a close may hide behind the last bytes.
    pub(crate) fn fill(&mut self, shared: &mut [u8], to_the_end: bool) -> io::Result<Filled> {
        let kept = self.partial.len();
        if kept >= shared.len() {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "a frame exceeds the buffer",
            ));
        }
        shared[..kept].copy_from_slice(&self.partial);
        self.partial.clear();
        let room = shared.len() - kept;
        let to_the_end = to_the_end || self.stream.reads_in_parts();
        loop {
            let (read, end) = match self.stream.read(&mut shared[kept..]) {
                Ok(0) => (0, ReadEnd::Closed),
                Ok(read) if read == room || to_the_end => (read, ReadEnd::More),
                Ok(read) => (read, ReadEnd::Drained),
                Err(error) if error.kind() == ErrorKind::WouldBlock => (0, ReadEnd::Drained),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            return Ok(Filled {
                len: kept + read,
                end,
            });
        }
    }

    /// Keeps the bytes that were read and are no whole frame yet.
    pub(crate) fn keep(&mut self, rest: &[u8]) {
        self.partial.extend_from_slice(rest);
    }

    /// Sends now, or as soon as the socket takes it.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.pending.is_empty() {
            self.pending.extend_from_slice(bytes);
            return Ok(());
        }
        let sent = write_some(&mut self.stream, bytes)?;
        self.pending.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    /// Continues a send, when the socket says that it takes more.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self.stream.flush() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            flushed => flushed?,
        }
        if self.pending.is_empty() {
            return Ok(());
        }
        self.sent += write_some(&mut self.stream, &self.pending[self.sent..])?;
        if self.sent == self.pending.len() {
            self.pending.clear();
            self.sent = 0;
        }
        Ok(())
    }
}

/// Writes until all is sent or the socket is full.
fn write_some(stream: &mut impl ByteStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => sent += written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream as Blocking};
    use std::thread;

    use mio::net::TcpStream;

    use super::*;

    fn pair() -> (BufferedStream<TcpStream>, Blocking) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = Blocking::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        (BufferedStream::new(TcpStream::from_std(stream)), peer)
    }

    fn fill_until(
        buffered: &mut BufferedStream<TcpStream>,
        shared: &mut [u8],
        wanted: ReadEnd,
    ) -> Filled {
        loop {
            let filled = buffered.fill(shared, true).unwrap();
            if filled.end == wanted {
                return filled;
            }
            buffered.keep(&shared[..filled.len]);
            thread::yield_now();
        }
    }

    #[test]
    fn leftovers_come_first_and_a_close_is_seen_behind_them() {
        let (mut buffered, mut peer) = pair();
        peer.write_all(b"def").unwrap();
        drop(peer);
        buffered.keep(b"abc");
        let mut shared = [0; 64];
        let filled = fill_until(&mut buffered, &mut shared, ReadEnd::Closed);
        assert_eq!(&shared[..filled.len], b"abcdef");
    }

    #[test]
    fn a_frame_larger_than_the_buffer_is_an_error() {
        let (mut buffered, _peer) = pair();
        buffered.keep(b"abcd");
        assert!(buffered.fill(&mut [0; 4], false).is_err());
    }

    #[test]
    fn what_the_socket_does_not_take_is_sent_later_and_in_order() {
        let (mut buffered, mut peer) = pair();
        let bytes: Vec<u8> = (0..16 * 1024 * 1024u32)
            .map(|at| (at % 251) as u8)
            .collect();
        let (head, tail) = bytes.split_at(bytes.len() - 10);
        buffered.send(head).unwrap();
        assert!(
            !buffered.pending.is_empty(),
            "the socket took 16 MiB at once"
        );
        buffered.send(tail).unwrap();
        let expected = bytes.clone();
        let reader = thread::spawn(move || {
            let mut received = vec![0; expected.len()];
            peer.read_exact(&mut received).unwrap();
            assert!(received == expected);
        });
        while !buffered.pending.is_empty() {
            buffered.flush().unwrap();
            thread::yield_now();
        }
        reader.join().unwrap();
    }
}
