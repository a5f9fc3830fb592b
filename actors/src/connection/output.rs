//! Bytes on their way to a client: one buffer, a cursor, and a memory that is given back when empty.
//!
//! Invariant: `sent <= bytes.len()`, and the buffer is empty when they are equal.

use std::io;

use super::transport::Transport;
use crate::limits::{OUTPUT_MAX, OUTPUT_PAUSE};

/// The output of one connection.
#[derive(Debug, Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    sent: usize,
    has_written: bool,
}

/// What a flush came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Everything is in the kernel's hands.
    All,
    /// The kernel's buffer is full.
    Blocked,
}

impl Output {
    /// Where frames are appended.
    #[inline]
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Uses a spare buffer if it holds none of its own.
    #[inline]
    pub(crate) fn lend(&mut self, spare: impl FnOnce() -> Vec<u8>) {
        if self.bytes.capacity() == 0 {
            self.bytes = spare();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.len() == self.sent
    }

    /// Memory that it takes, in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Bytes that wait.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Whether anything was written since this was asked last.
    pub(crate) fn take_written(&mut self) -> bool {
        std::mem::take(&mut self.has_written)
    }

    /// Whether so much waits that its connection should not be read.
    pub(crate) fn is_over_pause(&self) -> bool {
        self.size() >= OUTPUT_PAUSE
    }

    /// Whether so much waits that its connection is to be closed.
    pub(crate) fn is_over_max(&self) -> bool {
        self.size() > OUTPUT_MAX
    }

    /// Writes what it can; hands the buffer back through `give_back` when it is empty.
    pub(crate) fn flush(
        &mut self,
        stream: &dyn Transport,
        give_back: impl FnOnce(Vec<u8>),
    ) -> io::Result<Flushed> {
        while self.sent < self.bytes.len() {
            match stream.try_write(&self.bytes[self.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.sent += written;
                    self.has_written = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.compact();
                    return Ok(Flushed::Blocked);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.sent = 0;
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        give_back(bytes);
        Ok(Flushed::All)
    }

    /// Drops what is sent once it is more than half, so that a slow reader's buffer does not only grow.
    fn compact(&mut self) {
        if self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}
