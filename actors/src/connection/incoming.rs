//! Requests that come in chunks, until they are whole.
//!
//! ```text
//!   pieces ─▶ receiver ─▶ whole ─▶ dispatched, as any other
//!                            └▶ kept, if it finds no credit: its last piece comes again then
//! ```
//!
//! The rest of a large piece is read straight to where its request is put together, if there is
//! room for it, or it is no more than what has come. Of the last piece one byte is left, which
//! comes as a piece of its own: the request may find no credit, and this is what comes again.

use std::io;
use std::task::Poll;

use vestibule_wire::Error;
use vestibule_wire::groups::chunk::{self, First, Head, PieceBegun};
use vestibule_wire::groups::{Agreement, DamagedSequence, Received, Receiver};
use vestibule_wire::growing::Growing;

use crate::limits::{
    CHUNK_CREDIT, CHUNK_MESSAGES_MAX, CHUNK_WINDOW, STRAIGHT_READ_MAX, STRAIGHT_READ_MIN,
};
use crate::resources::Buffers;

/// What a server holds of messages in chunks, for each connection that sends them.
pub(crate) const AGREED: Agreement = Agreement {
    window: CHUNK_WINDOW,
    messages_max: CHUNK_MESSAGES_MAX,
};

/// The messages in chunks of one connection.
#[derive(Debug)]
pub(crate) struct Incoming {
    receiver: Receiver,
    /// A whole request, without its length prefix, that was not taken yet.
    kept: Option<Vec<u8>>,
    /// The piece that is read straight to its request.
    piece: Option<HalfPiece>,
    /// What comes next is likely to be the head of a piece like the one before.
    awaits_head: bool,
}

/// A piece whose head has come, and not all of the rest.
#[derive(Debug)]
struct HalfPiece {
    number: u32,
    size: usize,
    /// What is read straight of what has not come.
    left: usize,
    /// Whether a byte is left behind that.
    is_last: bool,
}

/// What was read straight to a request.
#[derive(Debug, Default)]
pub(crate) struct Filled {
    /// How many bytes.
    pub(crate) bytes: usize,
    /// Whether they end a piece.
    pub(crate) is_end: bool,
    /// The head of the piece that its last byte is to be.
    pub(crate) last: Option<Head>,
    /// What is to be sent back.
    pub(crate) credit: Option<Head>,
}

/// What a piece has brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Brought {
    /// What is to be sent back.
    pub(crate) answer: Vec<u8>,
    /// A whole request.
    pub(crate) request: Option<Vec<u8>>,
}

impl Default for Incoming {
    fn default() -> Self {
        Self {
            receiver: Receiver::new(AGREED),
            kept: None,
            piece: None,
            awaits_head: false,
        }
    }
}

impl Incoming {
    /// Memory that it takes, in bytes.
    pub(crate) fn allocated(&self) -> usize {
        self.receiver.allocated() + self.kept.as_ref().map_or(0, Vec::capacity)
    }

    /// The request that was not taken, if there is one.
    pub(crate) fn take_kept(&mut self) -> Option<Vec<u8>> {
        self.kept.take()
    }

    /// The request could not be taken: its last piece comes again.
    pub(crate) fn keep(&mut self, request: Vec<u8>) {
        self.kept = Some(request);
    }

    /// Takes a piece.
    pub(crate) fn data(
        &mut self,
        number: u32,
        first: Option<First>,
        piece: &[u8],
        packet_size_max: u64,
        buffers: &mut Buffers,
    ) -> Result<Brought, DamagedSequence> {
        let mut brought = Brought::default();
        match first {
            Some(first) if u64::from(first.total) > packet_size_max => {
                self.receiver.begin(number, first, Growing::default())?;
                let what = format!("too big packet size in the header: {}", first.total);
                let error = Error::invalid_msgpack(&what);
                let stop = self.receiver.stop(number, Some(&error));
                brought.answer.extend(stop.unwrap_or_default());
            }
            _ => {
                let spare = self.spare_for(number, first, piece.len(), buffers);
                self.place(number, first, spare, buffers)?;
            }
        }
        match self.receiver.data(number, None, piece)? {
            Received::Opened(_) | Received::Piece => {
                if let Some(credit) = self.receiver.admit_ahead(number, CHUNK_CREDIT) {
                    brought.answer.extend_from_slice(credit.as_bytes());
                }
            }
            Received::Complete {
                content, credit, ..
            } => {
                if let Some(credit) = credit {
                    brought.answer.extend_from_slice(credit.as_bytes());
                }
                brought.request = Some(content);
            }
            Received::Dropped => {}
        }
        Ok(brought)
    }

    /// Takes what has come of a piece whose rest is to be read straight to its request; what is to
    /// be sent back. `None` if that is not worth while, or not to be: all of it is taken at once.
    pub(crate) fn begin_piece(
        &mut self,
        begun: PieceBegun<'_>,
        packet_size_max: u64,
        buffers: &mut Buffers,
    ) -> Result<Option<Option<Head>>, DamagedSequence> {
        let PieceBegun {
            number,
            first,
            size,
            bytes,
        } = begun;
        let Some(total) = self.total(number, first) else {
            return Ok(None);
        };
        let (come, room) = self.come(number);
        let is_last = come + size == total;
        let left = size - bytes.len() - usize::from(is_last);
        let is_wanted = size >= STRAIGHT_READ_MIN
            && left > 0
            && total as u64 <= packet_size_max
            && self.kept.is_none()
            && self.receiver.takes_parts(&begun);
        if !is_wanted {
            return Ok(None);
        }
        let spare = self.spare_for(number, first, bytes.len(), buffers);
        // Room is made for the rest at once: memory is at most twice what has come.
        if spare.is_none() && room < come + size && left > come + bytes.len() {
            return Ok(None);
        }
        self.place(number, first, spare, buffers)?;
        self.receiver.data(number, None, bytes)?;
        self.piece = Some(HalfPiece {
            number,
            size,
            left,
            is_last,
        });
        Ok(Some(self.receiver.admit_ahead(number, CHUNK_CREDIT)))
    }

    /// Bytes that a request is to have, which begins with such a piece or is under way and wanted.
    fn total(&self, number: u32, first: Option<First>) -> Option<usize> {
        match first {
            Some(first) => Some(first.total as usize),
            None => self.receiver.total(number),
        }
    }

    /// Bytes that have come of a request, and those that its buffer has room for.
    fn come(&self, number: u32) -> (usize, usize) {
        let own = self.receiver.begun(number);
        own.map_or((0, 0), |own| (own.len(), own.capacity()))
    }

    /// A used buffer of the size of a request of which `more` bytes have come, if there is one and
    /// the request is in none.
    fn spare_for(
        &self,
        number: u32,
        first: Option<First>,
        more: usize,
        buffers: &mut Buffers,
    ) -> Option<Vec<u8>> {
        let total = self.total(number, first)?;
        let (come, room) = self.come(number);
        (room < total).then(|| buffers.spare_large(total, come + more))?
    }

    /// Begins a request in that buffer, or moves there what has come of it.
    fn place(
        &mut self,
        number: u32,
        first: Option<First>,
        spare: Option<Vec<u8>>,
        buffers: &mut Buffers,
    ) -> Result<(), DamagedSequence> {
        if let Some(first) = first {
            let bytes = spare.unwrap_or_default();
            return self.receiver.begin(number, first, bytes.into());
        }
        if let Some(spare) = spare
            && let Some(left) = self.receiver.move_into(number, spare)
        {
            buffers.give_back(left);
        }
        Ok(())
    }

    /// Bytes that have come of a piece whose rest is read straight to its request.
    pub(crate) fn half_piece(&self) -> Option<usize> {
        let piece = self.piece.as_ref()?;
        Some((piece.size - piece.left).max(1))
    }

    /// Has `read` read more of that piece, at most the number of bytes that it is given.
    pub(crate) fn fill(
        &mut self,
        read: impl FnOnce(&mut Vec<u8>, usize) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<Filled>> {
        let Some(piece) = &mut self.piece else {
            return Poll::Ready(Ok(Filled::default()));
        };
        let (number, most) = (piece.number, piece.left.min(STRAIGHT_READ_MAX));
        let filled = self.receiver.fill(number, most, |own| read(own, most));
        let Ok(Some((poll, _))) = filled else {
            // It was asked before whether all of the piece may come.
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        };
        let Poll::Ready(Ok(bytes)) = poll else {
            return poll.map_ok(|_| Filled::default());
        };
        piece.left -= bytes;
        let (is_end, is_last) = (piece.left == 0, piece.is_last);
        if is_end {
            self.piece = None;
            self.awaits_head = !is_last;
        }
        let credit = self.receiver.admit_ahead(number, CHUNK_CREDIT);
        Poll::Ready(Ok(Filled {
            bytes,
            is_end,
            last: (is_end && is_last).then(|| chunk::data(number, None, 1)),
            credit,
        }))
    }

    /// Whether what comes next is likely to be the head of a piece, as it was before: until
    /// something [has come](Self::on_head).
    pub(crate) fn awaits_head(&self) -> bool {
        self.awaits_head
    }

    /// What comes next was read, a head or not.
    pub(crate) fn on_head(&mut self) {
        self.awaits_head = false;
    }

    /// The client has given a message up. False if there is none such.
    pub(crate) fn reset(&mut self, number: u32) -> bool {
        self.receiver.reset(number)
    }
}

/// The error that ends a connection whose chunks cannot be understood.
pub(crate) fn damage(what: impl std::fmt::Display) -> Error {
    Error::invalid_msgpack(&what.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vestibule_wire::groups::Group;
    use vestibule_wire::limits::CHUNK_PAYLOAD_MAX;

    use super::*;
    use crate::memory::Memory;

    /// Who declares the largest piece behind a few bytes gets no room for it.
    #[test]
    fn m13_memory_is_at_most_twice_what_has_come_of_pieces_that_have_begun_too() {
        const BEGUN: usize = 50;
        let mut incoming = Incoming::default();
        let mut buffers = Buffers::new(Arc::new(Memory::new(usize::MAX)));
        let first = First {
            group: Group::stream(2).expect("above 0"),
            total: 10_000_000,
        };
        let opened = incoming.data(1, Some(first), &[1; BEGUN], u64::MAX, &mut buffers);
        assert!(opened.is_ok_and(|own| own.request.is_none()));
        let (mut come, mut straight) = (BEGUN, 0);
        for _ in 0..10 {
            let begun = PieceBegun {
                number: 1,
                first: None,
                size: CHUNK_PAYLOAD_MAX,
                bytes: &[1; BEGUN],
            };
            let begun = incoming.begin_piece(begun, u64::MAX, &mut buffers);
            let begun = begun.expect("in form");
            if begun.is_none() {
                let piece = vec![1; CHUNK_PAYLOAD_MAX];
                let piece = incoming.data(1, None, &piece, u64::MAX, &mut buffers);
                assert!(piece.is_ok_and(|own| own.request.is_none()));
            }
            straight += usize::from(begun.is_some());
            while incoming.half_piece().is_some() {
                let filled = incoming.fill(|bytes, most| {
                    assert!(bytes.capacity() <= 2 * bytes.len(), "{}", bytes.len());
                    let size = most.min(10_000);
                    bytes.extend_from_slice(&vec![1; size]);
                    Poll::Ready(Ok(size))
                });
                assert!(matches!(filled, Poll::Ready(Ok(filled)) if filled.bytes > 0));
            }
            come += CHUNK_PAYLOAD_MAX;
            assert!((come..=2 * come).contains(&incoming.allocated()), "{come}");
        }
        assert_eq!(
            straight, 9,
            "all but the one that was more than what had come"
        );
    }

    /// All but the last byte, which is what comes again if there is no credit for the request.
    #[test]
    fn a_request_is_read_in_place_from_its_first_piece_to_its_last() {
        const TOTAL: usize = 1_000_000;
        const BEGUN: usize = 64_000;
        let mut incoming = Incoming::default();
        let mut buffers = Buffers::new(Arc::new(Memory::new(usize::MAX)));
        let used = Vec::with_capacity(TOTAL);
        let place: *const u8 = used.as_ptr();
        buffers.give_back(used);
        let group = Group::stream(2).expect("above 0");
        let (mut come, mut last) = (0, None);
        while last.is_none() {
            let total = TOTAL as u32;
            let size = CHUNK_PAYLOAD_MAX.min(TOTAL - come);
            let begun = PieceBegun {
                number: 1,
                first: (come == 0).then_some(First { group, total }),
                size,
                bytes: &[1; BEGUN],
            };
            let begun = incoming.begin_piece(begun, u64::MAX, &mut buffers);
            assert!(
                begun.is_ok_and(|own| own.is_some()),
                "in place from {come} on"
            );
            come += size;
            while incoming.half_piece().is_some() {
                let filled = incoming.fill(|bytes, most| {
                    bytes.resize(bytes.len() + most, 2);
                    Poll::Ready(Ok(most))
                });
                let Poll::Ready(Ok(filled)) = filled else {
                    panic!("there is more");
                };
                last = filled.last;
            }
        }
        assert_eq!(come, TOTAL);
        assert_eq!(last, Some(chunk::data(1, None, 1)));
        let brought = incoming.data(1, None, &[3], u64::MAX, &mut buffers);
        let request = brought.expect("in order").request.expect("it is whole");
        assert_eq!((request.len(), request.as_ptr()), (TOTAL, place));
        assert_eq!(request.last(), Some(&3));
    }
}
