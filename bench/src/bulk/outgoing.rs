//! What a connection has to send: groups, then what is handed to the socket next.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write as _};

use bytes::Bytes;
use mio::net::TcpStream;
use vestibule_wire::groups::{Agreement, Group, Pace, Payload as _, Piece, Sender, WrongCredit};
use vestibule_wire::limits::RECORD_MAX;

#[cfg(any(target_os = "android", target_os = "linux"))]
use socket2::SockRef;

use super::frame::Frame;

/// Pieces that one system call writes.
const PARTS_PER_WRITE_MAX: usize = 64;
/// Bytes that are written before replies are looked at again.
const WRITTEN_MAX: usize = 512 * 1024;

/// The requests of one connection that wait for the socket.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    sender: Sender<Frame>,
    parts: VecDeque<Part>,
    ready: usize,
    pace: Pace,
    /// Bytes of values that were ever written.
    pub(super) values_written: u64,
}

#[derive(Debug)]
struct Part {
    bytes: Bytes,
    is_value: bool,
}

impl Outgoing {
    pub(super) fn cut(&mut self, agreed: Agreement) {
        self.sender.cut(agreed);
    }

    pub(super) fn push(&mut self, group: Group, frame: Frame) {
        self.sender.push(group, frame, 0);
    }

    pub(super) fn credit(&mut self, number: u32, limit: u32) -> Result<(), WrongCredit> {
        self.sender.credit(number, limit)
    }

    /// Writes until nothing is left that may be sent, until the socket takes no more, or for long
    /// enough. Whether the socket may take more.
    pub(super) fn flush(&mut self, stream: &mut TcpStream) -> io::Result<bool> {
        let flushed = self.write(stream);
        if let Some(max) = self.pace.new_unsent_max() {
            bound_unsent(&*stream, max)?;
        }
        flushed
    }

    fn write(&mut self, stream: &mut TcpStream) -> io::Result<bool> {
        let mut total = 0;
        while total < WRITTEN_MAX {
            self.refill(total);
            if self.parts.is_empty() {
                break;
            }
            let mut slices = [IoSlice::new(&[]); PARTS_PER_WRITE_MAX];
            let is_apart = self.ready <= RECORD_MAX;
            let mut room = match is_apart {
                true => self.pace.record_max(),
                false => usize::MAX,
            };
            let mut count = 0;
            for (slice, part) in slices.iter_mut().zip(&self.parts) {
                let size = part.bytes.len().min(room);
                if size == 0 {
                    break;
                }
                *slice = IoSlice::new(&part.bytes[..size]);
                room -= size;
                count += 1;
            }
            match send(stream, &slices[..count], is_apart) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    total += written;
                    self.advance(written);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.pace.on_full(total);
                    return Ok(false);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.pace.on_open(total);
        Ok(true)
    }

    /// Whether something may be written.
    pub(super) fn has_ready(&mut self) -> bool {
        self.refill(0);
        !self.parts.is_empty()
    }

    fn refill(&mut self, taken: usize) {
        while let Some(alone) = self.pace.piece(taken, self.ready)
            && let Some(Piece { head, payload }) = self.sender.pick_up_to(alone)
        {
            self.ready += head.as_bytes().len() + payload.size();
            let head = Bytes::copy_from_slice(head.as_bytes());
            let parts = [(head, false), (payload.head, false), (payload.value, true)];
            for (bytes, is_value) in parts {
                if !bytes.is_empty() {
                    self.parts.push_back(Part { bytes, is_value });
                }
            }
        }
        if self.parts.is_empty() {
            self.sender.rest();
        }
    }

    fn advance(&mut self, mut written: usize) {
        self.ready -= written;
        while written > 0
            && let Some(part) = self.parts.front_mut()
        {
            let of_part = written.min(part.bytes.len());
            written -= of_part;
            if part.is_value {
                self.values_written += of_part as u64;
            }
            let _ = part.bytes.split_to(of_part);
            if part.bytes.is_empty() {
                self.parts.pop_front();
            }
        }
    }
}

/// Has the kernel take no more while this many bytes are not sent: what it has taken goes before
/// everything that comes later.
#[cfg(any(target_os = "android", target_os = "linux"))]
pub(super) fn bound_unsent<'a>(stream: impl Into<SockRef<'a>>, max: u32) -> io::Result<()> {
    stream.into().set_tcp_notsent_lowat(max)
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
pub(super) fn bound_unsent<S>(_: S, _: u32) -> io::Result<()> {
    Ok(())
}

/// Writes; a kernel that is asked to hold little joins nothing with what is written apart.
fn send(stream: &mut TcpStream, slices: &[IoSlice<'_>], is_apart: bool) -> io::Result<usize> {
    if !is_apart {
        return stream.write_vectored(slices);
    }
    #[cfg(any(target_os = "android", target_os = "linux"))]
    {
        let flags = libc::MSG_EOR | libc::MSG_NOSIGNAL;
        stream.try_io(|| SockRef::from(&*stream).send_vectored_with_flags(slices, flags))
    }
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    stream.write_vectored(slices)
}
