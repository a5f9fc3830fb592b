//! Replies in chunks, until they are whole.
//!
//! ```text
//!   pieces ─▶ receiver ─▶ whole
//!                └ the rest of a large one: read straight to its reply, but for that of the first,
//!                  which may be refused, and that of the last, which ends it
//! ```

use std::collections::HashMap;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::{BufMut as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use vestibule_wire::client::ReplyFrame;
use vestibule_wire::groups::chunk::{Chunk, First, PieceBegun};
use vestibule_wire::groups::{Received, Receiver};
use vestibule_wire::keys::CODE_EVENT;
use vestibule_wire::limits::GROUP_QUANTUM;

use super::{AGREED, Arrived, Fault, Reply};
use crate::limits::{CHUNK_CREDIT, STRAIGHT_READ_MIN};

/// A reply has told whose it is within this number of bytes.
const REPLY_HEADER_MAX: usize = 1024;

/// Replies in chunks that are not whole.
#[derive(Debug)]
pub(super) struct Chunks {
    receiver: Receiver,
    /// The wanted ones, by their numbers.
    open: HashMap<u32, Opened>,
    /// One of them has told whose it is since it was asked who is waited for, and how many
    /// requests were given up by then.
    has_told: bool,
    given_up: u64,
    /// The piece that is read straight to its reply.
    piece: Option<HalfPiece>,
    /// What comes next is likely to be the head of a piece like the one before.
    awaits_head: bool,
}

/// A piece whose head has come, and not all of the rest.
#[derive(Debug)]
struct HalfPiece {
    number: u32,
    left: usize,
}

#[derive(Debug)]
struct Opened {
    /// Whose reply it is, once its header is there.
    sync: Option<u64>,
    /// Nobody has asked for it by its sync.
    is_event: bool,
    total: usize,
}

impl Chunks {
    pub(super) fn new() -> Self {
        Self {
            receiver: Receiver::new(AGREED),
            open: HashMap::new(),
            has_told: false,
            given_up: 0,
            piece: None,
            awaits_head: false,
        }
    }

    /// See [`stop_unwanted`](super::Incoming::stop_unwanted).
    pub(super) fn stop_unwanted<W: Fn(u64) -> bool>(
        &mut self,
        given_up: u64,
        wanted: impl FnOnce() -> W,
        answer: &mut Vec<u8>,
    ) {
        let are_more = std::mem::replace(&mut self.given_up, given_up) != given_up;
        let is_news = std::mem::take(&mut self.has_told) || are_more;
        if !is_news || self.open.is_empty() {
            return;
        }
        let is_wanted = wanted();
        let receiver = &mut self.receiver;
        self.open.retain(|number, opened| {
            let sync = opened.sync.filter(|_| !opened.is_event);
            let is_wanted = sync.is_none_or(&is_wanted);
            if !is_wanted {
                answer.extend(receiver.stop(*number, None).unwrap_or_default());
            }
            is_wanted
        });
    }

    /// Takes what has come of a piece whose rest is to be read straight to its reply; false if that
    /// is not worth while, or not to be: all of it is taken at once.
    pub(super) fn begin_piece(
        &mut self,
        begun: PieceBegun<'_>,
        answer: &mut Vec<u8>,
    ) -> Result<bool, Fault> {
        let PieceBegun {
            number,
            size,
            bytes,
            ..
        } = begun;
        let left = size - bytes.len();
        let is_wanted = self.open.get(&number).is_some_and(|own| own.sync.is_some());
        // Room is made for the rest at once: memory is at most twice what has come.
        let come = self.receiver.begun(number).map_or(0, |own| own.len()) + bytes.len();
        // What makes the reply whole is taken at once.
        let is_last = self.receiver.total(number) == Some(come + left);
        let is_straight = is_wanted
            && size >= STRAIGHT_READ_MIN
            && left <= come
            && !is_last
            && self.receiver.takes_parts(&begun);
        if !is_straight {
            return Ok(false);
        }
        self.receiver.data(number, None, bytes)?;
        self.piece = Some(HalfPiece { number, left });
        self.admit(number, answer);
        Ok(true)
    }

    /// Whether what comes next is read straight to its reply.
    pub(super) fn is_straight(&self) -> bool {
        let piece = self.piece.as_ref();
        piece.is_some_and(|own| self.receiver.begun(own.number).is_some())
    }

    /// Whether what comes next is likely to be the head of a piece, as it was before; asked once.
    pub(super) fn takes_head(&mut self) -> bool {
        std::mem::take(&mut self.awaits_head)
    }

    /// Reads more of a piece straight to its reply; how many bytes.
    pub(super) fn poll_fill<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        answer: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        let Some(HalfPiece { number, left }) = &mut self.piece else {
            return Poll::Ready(Ok(0));
        };
        let (number, most) = (*number, *left);
        let read = |bytes: &mut Vec<u8>| pin!(reader.read_buf(&mut bytes.limit(most))).poll(cx);
        let poll = match self.receiver.fill(number, most, read) {
            Ok(Some((poll, _))) => poll,
            // It was asked before whether all of the piece may come.
            Ok(None) => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            Err(damage) => return Poll::Ready(Err(io::Error::other(damage))),
        };
        if let Poll::Ready(Ok(count)) = poll {
            *left -= count;
            if *left == 0 {
                self.piece = None;
                self.awaits_head = true;
            }
            self.admit(number, answer);
        }
        poll
    }

    /// Takes the rest of a piece that was begun and is not wanted any more, as far as it has come.
    pub(super) fn take_rest(&mut self, bytes: &mut BytesMut) -> Result<(), Fault> {
        if let Some(HalfPiece { number, left }) = &mut self.piece {
            let part = bytes.split_to(bytes.len().min(*left));
            *left -= part.len();
            if !part.is_empty() {
                self.receiver.data(*number, None, &part)?;
            }
            if *left == 0 {
                self.piece = None;
            }
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    #[cfg(test)]
    pub(super) fn allocated(&self) -> usize {
        self.receiver.allocated()
    }

    fn admit(&mut self, number: u32, answer: &mut Vec<u8>) {
        if let Some(credit) = self.receiver.admit_ahead(number, CHUNK_CREDIT) {
            answer.extend_from_slice(credit.as_bytes());
        }
    }

    /// Takes what is said of a message that is cut; `answer` grows by what is to be sent back.
    pub(super) fn take(
        &mut self,
        chunk: Chunk<'_>,
        size_max: usize,
        answer: &mut Vec<u8>,
    ) -> Result<Option<Arrived>, Fault> {
        Ok(match chunk {
            Chunk::Data {
                number,
                first,
                piece,
            } => self.data(number, first, piece, size_max, answer)?,
            Chunk::Credit { number, limit } => Some(Arrived::Credit { number, limit }),
            Chunk::Stop { number, error } => Some(Arrived::Stop {
                number,
                error: ReplyFrame::error_in(error),
            }),
            Chunk::Reset { number, error } => {
                self.receiver.reset(number);
                let sync = self.open.remove(&number).and_then(|opened| opened.sync);
                sync.map(|sync| Arrived::GivenUp {
                    sync,
                    error: ReplyFrame::error_in(error),
                })
            }
        })
    }

    fn data(
        &mut self,
        number: u32,
        first: Option<First>,
        piece: &[u8],
        size_max: usize,
        answer: &mut Vec<u8>,
    ) -> Result<Option<Arrived>, Fault> {
        match self.receiver.data(number, first, piece)? {
            Received::Opened(First { total, .. }) => {
                let total = total as usize;
                let (sync, is_event) = (None, false);
                self.open.insert(
                    number,
                    Opened {
                        sync,
                        is_event,
                        total,
                    },
                );
                self.went_on(number, size_max, answer)
            }
            Received::Piece => self.went_on(number, size_max, answer),
            Received::Complete {
                content, credit, ..
            } => {
                self.open.remove(&number);
                if let Some(credit) = credit {
                    answer.extend_from_slice(credit.as_bytes());
                }
                let size = content.len();
                let reply = Reply::from_content(content)?;
                let sync = reply.sync;
                Ok(Some(if size > size_max {
                    Arrived::TooLong { sync, size }
                } else {
                    Arrived::Reply(reply)
                }))
            }
            Received::Dropped => Ok(None),
        }
    }

    /// Admits more of a message, or refuses it when its header says whose it is.
    fn went_on(
        &mut self,
        number: u32,
        size_max: usize,
        answer: &mut Vec<u8>,
    ) -> Result<Option<Arrived>, Fault> {
        let Some(opened) = self.open.get_mut(&number) else {
            return Ok(None);
        };
        let size = opened.total;
        if opened.sync.is_none() {
            let begun = self.receiver.begun(number).map_or(&[][..], |own| own);
            match ReplyFrame::read_content(begun) {
                Ok(frame) => {
                    opened.sync = Some(frame.sync);
                    opened.is_event = frame.code == CODE_EVENT;
                    self.has_told = true;
                }
                // The first piece may be as short as its sender likes.
                Err(_) if begun.len() < REPLY_HEADER_MAX => {}
                Err(fault) => return Err(fault.into()),
            }
        }
        let credit = match opened.sync {
            Some(sync) if size > size_max => {
                self.open.remove(&number);
                let stop = self.receiver.stop(number, None);
                answer.extend(stop.unwrap_or_default());
                return Ok(Some(Arrived::TooLong { sync, size }));
            }
            None if size > size_max => self.receiver.admit(number, GROUP_QUANTUM),
            _ => self.receiver.admit_ahead(number, CHUNK_CREDIT),
        };
        if let Some(credit) = credit {
            answer.extend_from_slice(credit.as_bytes());
        }
        Ok(None)
    }
}
